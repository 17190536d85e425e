// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/eviction/lfu.hpp>

#include "conformance/eviction_suite.hpp"
#include "eviction/named_leaves.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::NamedLeaves;

TEST_CASE("lfu is a policy of eviction") {
  folio::test::eviction_suite([] { return LfuEviction(); }, true, true);
}

TEST_CASE("lfu: the least found first, and old fame fades") {
  NamedLeaves<LfuEviction> names;
  auto& star = names.store("S");
  names.use(star, 3);  // worth 4
  names.store("a");
  names.use(names.store("b"));
  names.store("c");
  CHECK(names.evict(2) == "ac");  // worth 1 each; the level is 1
  CHECK(names.evict() == "b");    // 2
  names.store("d");               // 2 + 1
  CHECK(names.evict() == "d");    // the level is 3
  names.use(names.store("e"));    // 3 + 2
  CHECK(names.evict() == "S");    // 4, though it was found three times, and e once
  CHECK(names.evict() == "e");
}

TEST_CASE("lfu: what is held and comes back unused is no younger") {
  NamedLeaves<LfuEviction> names;
  auto& old = names.store("o");
  for (char const* name : {"1", "2", "3"}) {
    names.use(names.store(name));
    names.store("x");
  }
  names.policy.remove(old);
  CHECK(names.evict(3) == "xxx");
  CHECK(names.evict(2) == "12");  // the level is 2
  names.policy.add(old);          // 0 + 1, of its last use
  CHECK(names.evict(2) == "o3");
}
