// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/eviction/slru.hpp>
#include <string>

#include "conformance/eviction_suite.hpp"
#include "eviction/named_leaves.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::NamedLeaves;

TEST_CASE("slru is a policy of eviction") {
  folio::test::eviction_suite([] { return SlruEviction(); });
}

TEST_CASE("slru: a scan goes through probation and takes nothing that was found") {
  NamedLeaves<SlruEviction> names;
  auto& a = names.store("A");
  auto& b = names.store("B");
  for (char const* name : {"1", "2", "3"}) names.store(name);
  names.use(a);
  names.use(b);
  std::string gone;
  for (char const* name : {"4", "5", "6", "7", "8"}) {
    names.store(name);
    gone += names.evict();
  }
  CHECK(gone == "12345");
  CHECK(names.evict(4) == "678A");  // without newcomers the oldest of the found ones
}

TEST_CASE("slru: beyond its share the protected segment gives its oldest back to probation") {
  NamedLeaves<SlruEviction> names(SlruEviction(0.5));
  auto& a = names.store("A");
  auto& b = names.store("B");
  names.store("1");
  names.store("2");
  names.use(a);
  names.use(b);              // A and B are half of all
  names.use(*names.all[3]);  // 2 as well: A goes back, after 1
  names.policy.remove(a);
  names.policy.add(a);  // unused: it stays where it is
  CHECK(names.evict(4) == "1AB2");
  CHECK_THROWS_WITH(SlruEviction(1.5), contains("folio: slru cannot protect a share of 1.500000"));
}
