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

// Members that would never be called, or with what is not there.
struct SaysNothingOfKeys : LruEviction {
  static constexpr PrefixEvents hears = PrefixEvents::inserted;
  void inserted(PrefixInserted const&) noexcept {}
};
struct WantsKeys : SaysNothingOfKeys {
  static constexpr bool wants_keys = true;
};
struct HasQuota : LruEviction {
  static constexpr PrefixEvents hears = PrefixEvents::over_quota;
  EvictionEntry* over_quota(double) noexcept { return nullptr; }
};
struct SaysNotThatItHasQuota : HasQuota {
  static constexpr PrefixEvents hears = PrefixEvents::none;
};
struct OddQuota : HasQuota {
  int over_quota(double) noexcept { return 0; }
};
struct ThrowingQuota : HasQuota {
  EvictionEntry* over_quota(double) { return nullptr; }
};
struct Prepares : LruEviction {
  static constexpr PrefixEvents hears = PrefixEvents::prepare;
  void prepare(std::int32_t, std::int32_t) {}
};
struct SaysNotThatItPrepares : Prepares {
  static constexpr PrefixEvents hears = PrefixEvents::none;
};
struct OddPreparation : Prepares {
  void prepare(std::int32_t*, std::int32_t) {}
};
static_assert(!EvictionPolicy<SaysNothingOfKeys> && EvictionPolicy<WantsKeys>);
static_assert(EvictionPolicy<HasQuota> && EvictionPolicy<Prepares>);
static_assert(!EvictionPolicy<SaysNotThatItHasQuota> && !EvictionPolicy<OddQuota> && !EvictionPolicy<ThrowingQuota>);
static_assert(!EvictionPolicy<SaysNotThatItPrepares> && !EvictionPolicy<OddPreparation>);

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
