// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/lru.hpp>
#include <folio/eviction/sieve.hpp>

#include "../../bench/replay/generate.hpp"
#include "../../bench/replay/replay.hpp"
#include "conformance/eviction_suite.hpp"
#include "eviction/named_leaves.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::NamedLeaves;

TEST_CASE("sieve is a policy of eviction") {
  folio::test::eviction_suite([] { return SieveEviction(); });
}

TEST_CASE("sieve: the hand passes what was found, and meets what is new before it begins again") {
  NamedLeaves<SieveEviction> names;
  auto& a = names.store("a");
  names.store("b");
  auto& c = names.store("c");
  names.store("d");
  names.use(a);
  names.use(c);
  CHECK(names.evict() == "b");     // a is passed
  CHECK(names.evict() == "d");     // c as well
  names.store("e");                // where the hand comes to next
  CHECK(names.evict(3) == "eac");  // lru would take a and c first, which were used before e came
  CHECK(names.evict() == "");
}

TEST_CASE("sieve: a hit counts once, until the hand has come by") {
  NamedLeaves<SieveEviction> names;
  auto& a = names.store("a");
  auto& b = names.store("b");
  auto& c = names.store("c");
  names.use(a, 5);
  names.use(b);
  names.use(c);
  CHECK(names.evict() == "a");  // all are passed, and the hand is at the oldest again
  names.use(b);
  CHECK(names.evict(2) == "cb");
}

TEST_CASE("sieve: what is held keeps its place, which the hand may pass meanwhile") {
  NamedLeaves<SieveEviction> names;
  auto& a = names.store("a");
  names.store("b");
  names.store("c");
  auto& d = names.store("d");
  names.policy.remove(a);
  names.policy.remove(d);
  CHECK(names.evict() == "b");
  names.policy.add(a);  // before the hand
  names.policy.add(d);  // after it
  CHECK(names.evict(3) == "cda");
}

TEST_CASE("sieve: on scans it finds more than lru") {
  auto const trace = folio::bench::generate("scan");
  std::size_t longest = 1;
  for (auto const& request : trace) longest = std::max(longest, request.ids.size());
  auto const length = static_cast<std::int64_t>(longest);
  double const lru = folio::bench::Replay<LruEviction>(2000, length, 4).run(trace).hit_rate();
  CHECK(folio::bench::Replay<SieveEviction>(2000, length, 4).run(trace).hit_rate() > 1.2 * lru);
}
