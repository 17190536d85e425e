// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/eviction/cost_aware.hpp>

#include "conformance/eviction_suite.hpp"
#include "eviction/named_leaves.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::NamedLeaves;

TEST_CASE("cost_aware is a policy of eviction") {
  folio::test::eviction_suite([] { return CostAwareEviction(); }, true, true);
}

TEST_CASE("cost_aware: what is cheap to compute goes first, so the shallow one of two, and ages") {
  CostAwareEviction const policy;
  EvictionEntry e;
  e.unit_tokens = 512;
  CHECK(policy.cost(e) == 512 * (1 + 256.0 / 32768));
  e.depth = 64;  // 32768 tokens before it: twice the cost
  CHECK(policy.cost(e) == 512 * (2 + 256.0 / 32768));

  NamedLeaves<CostAwareEviction> names;  // a unit of 512 tokens in 1024 bytes is worth 0.5 at the beginning
  names.store("d", 64);                  // 1.0
  names.store("s", 0);                   // 0.5
  names.use(names.store("h", 0));        // twice that, a little more than d
  CHECK(names.evict() == "s");           // the level is 0.5
  names.store("t", 0);                   // as much, used later
  CHECK(names.evict(3) == "dht");
  CHECK_THROWS_WITH(CostAwareEviction(0),
                    contains("folio: attention cannot cost as much as the rest after 0.000000 tokens"));
}
