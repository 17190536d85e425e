// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/eviction/priority_ttl.hpp>
#include <limits>

#include "conformance/eviction_suite.hpp"
#include "eviction/named_leaves.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::NamedLeaves;

TEST_CASE("priority_ttl is a policy of eviction") {
  folio::test::eviction_suite([] { return PriorityTtlEviction(); });
}

TEST_CASE("priority_ttl: the lowest priority first, and each becomes 35 when its time has come") {
  NamedLeaves<PriorityTtlEviction> names;
  auto const keep = [&](std::string const& name, std::int32_t priority, double expires) {
    auto& e = names.make(name);
    e.priority = priority;
    e.expires = expires;
    names.policy.add(e);
  };
  keep("a", 80, 10);
  keep("b", 80, 20);
  keep("c", 35, 5);
  keep("d", 0, 10);
  keep("e", 20, std::numeric_limits<double>::infinity());
  keep("f", 90, 10);
  names.now = 9.999;
  CHECK(names.policy.victim(names.now) == names.all[3].get());
  names.now = 10;  // a, d and f are at 35 now, in the order of their uses; e is lower
  CHECK(names.evict() == "e");
  CHECK(names.evict(3) == "acd");
  names.now = 20;
  CHECK(names.evict(2) == "bf");
}

TEST_CASE("priority_ttl: what is held when its priority expires comes back at 35") {
  NamedLeaves<PriorityTtlEviction> names;
  auto& a = names.make("a");
  a.priority = 100;
  a.expires = 10;
  names.policy.add(a);
  names.store("b");
  names.policy.remove(a);
  names.now = 11;
  names.policy.add(a);
  CHECK(names.evict(2) == "ab");
}
