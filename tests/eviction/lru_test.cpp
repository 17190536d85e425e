// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <folio/eviction/lru.hpp>

#include "conformance/eviction_suite.hpp"
#include "eviction/named_leaves.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::NamedLeaves;

namespace {

// Optional members that would never be called, or with what is not there.
struct HearsKeysThatItHasNot : LruEviction {
  static constexpr PrefixEvents hears = PrefixEvents::inserted;
  void inserted(PrefixInserted const&) noexcept {}
};
struct WantsKeys : HearsKeysThatItHasNot {
  static constexpr bool wants_keys = true;
};
struct OddQuota : LruEviction {
  int over_quota(double) noexcept { return 0; }
};
struct OddPreparation : LruEviction {
  void prepare(std::int32_t*, std::int32_t) {}
};
static_assert(!EvictionPolicy<HearsKeysThatItHasNot> && EvictionPolicy<WantsKeys>);
static_assert(!EvictionPolicy<OddQuota> && !EvictionPolicy<OddPreparation>);

}  // namespace

TEST_CASE("lru is a policy of eviction") {
  folio::test::eviction_suite([] { return LruEviction(); });
}

TEST_CASE("lru: the oldest use first, the deepest first among equals") {
  NamedLeaves<LruEviction> names;
  auto& a = names.store("a");
  names.store("b");
  auto& c = names.store("c", 3);
  auto& d = names.store("d", 7);
  names.use(a);
  names.policy.remove(d);
  d.order = c.order;
  names.policy.add(d);
  CHECK(names.evict(4) == "bdca");
}
