// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <folio/eviction/adaptive.hpp>
#include <folio/eviction/fair.hpp>
#include <folio/eviction/lru.hpp>
#include <folio/eviction/none.hpp>
#include <folio/eviction/priority_ttl.hpp>
#include <folio/eviction/s3fifo.hpp>
#include <map>
#include <set>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "conformance/eviction_suite.hpp"
#include "support/prefix_ledger.hpp"

using namespace folio;
using folio::test::below;
using folio::test::contains;
using folio::test::count_from;
using folio::test::PrefixLedger;
using folio::test::RandomRequests;

namespace {

static_assert(!evicts<FairEviction<NoEviction>> && evicts<FairEviction<LruEviction>>);

using Fair = FairEviction<LruEviction>;
static_assert(EvictionPolicy<Fair> && !Fair::wants_keys);

/// Judges every victim by the definition, from ledger of its own.
struct Judged : Fair {
  void add(EvictionEntry& e) noexcept {
    candidates[e.tenant].insert(&e);
    Fair::add(e);
  }
  void remove(EvictionEntry& e) noexcept {
    candidates[e.tenant].erase(&e);
    Fair::remove(e);
  }
  void stored(EvictionEntry& e, std::span<PrefixKey const> keys) noexcept {
    kept[e.tenant] += e.units;
    Fair::stored(e, keys);
  }
  void removed(EvictionEntry const& e, PrefixKey const& key) noexcept {
    --kept[e.tenant];
    ++num_lost;
    Fair::removed(e, key);
  }
  void judge(std::int32_t loser) noexcept {
    bool const above = kept[loser] > quota(loser);
    double all = 0, weights = 0;
    for (auto const& [tenant, units] : kept) {
      all += static_cast<double>(units);
      if (units > 0) weights += weight(tenant);
    }
    auto const share = [&](std::int32_t tenant) { return all * weight(tenant) / weights; };
    for (auto const& [tenant, entries] : candidates) {
      if (tenant == loser || entries.empty()) continue;
      auto const mine = static_cast<double>(kept[loser]), other = static_cast<double>(kept[tenant]);
      if (!above && kept[tenant] > quota(tenant)) FAIL_CHECK("tenant " << tenant << " is above its quota and keeps");
      if (!above && mine < share(loser) - 1e-9 && other > share(tenant) + 1e-9)
        FAIL_CHECK("tenant " << loser << " is below its share and loses, and " << tenant << " is above");
      if (above == (kept[tenant] > quota(tenant)) && other / weight(tenant) > mine / weight(loser))
        FAIL_CHECK("tenant " << tenant << " has more for its weight than " << loser << ", which loses");
    }
  }
  EvictionEntry* victim(double now) noexcept {
    EvictionEntry* const e = Fair::victim(now);
    if (e != nullptr) judge(e->tenant);
    bool none = true;
    for (auto const& [tenant, entries] : candidates) none = none && entries.empty();
    if ((e == nullptr) != none) FAIL_CHECK("a victim is there and is not named");
    return e;
  }
  EvictionEntry* over_quota(double now) noexcept {
    EvictionEntry* const e = Fair::over_quota(now);
    for (auto const& [tenant, entries] : candidates)
      if (e == nullptr && !entries.empty() && kept[tenant] > quota(tenant)) FAIL_CHECK("a quota is not kept");
    return e;
  }
  void share(std::int32_t tenant, TenantShare s) {
    shares[tenant] = s;
    set_share(tenant, s);
  }
  [[nodiscard]] double weight(std::int32_t tenant) { return shares[tenant].weight; }
  [[nodiscard]] std::int64_t quota(std::int32_t tenant) { return shares[tenant].quota_units; }

  std::map<std::int32_t, std::int64_t> kept;
  std::map<std::int32_t, std::set<EvictionEntry*>> candidates;
  std::map<std::int32_t, TenantShare> shares;
  std::int64_t num_lost = 0;
};
using Ledger = PrefixLedger<PrefixIndex<Judged>>;

/// A policy that wants to learn.
struct Curious : LruEviction {
  explicit Curious(LruEviction base = {}, std::vector<std::string>* to = nullptr)
      : LruEviction(std::move(base)), heard(to) {}
  static constexpr PrefixEvents hears = PrefixEvents::hit | PrefixEvents::stored | PrefixEvents::removed;
  static constexpr bool wants_keys = true;
  void hit(EvictionEntry const& e, std::int32_t, double) noexcept { note(e, "hit"); }
  void stored(EvictionEntry const& e, std::span<PrefixKey const> keys) noexcept {
    ++num_stored;
    note(e, "stored " + std::to_string(keys.size()));
  }
  void removed(EvictionEntry const& e, PrefixKey const&) noexcept {
    note(e, "removed, heard " + std::to_string(num_stored) + " before");
  }
  void note(EvictionEntry const& e, std::string const& what) {
    ++num_calls;
    if (heard != nullptr) heard->push_back(std::to_string(e.tenant) + " " + what);
  }
  std::vector<std::string>* heard;
  int num_stored = 0;
  static inline int num_calls = 0;
};
static_assert(FairEviction<Curious>::wants_keys);

/// Requests of a tenant, each with a prompt that nobody had before, of 8 units.
struct Traffic {
  void request(Ledger& ledger, std::int32_t tenant) {
    REQUIRE(ledger.serve(count_from(next, 32), tenant));
    next += 32;
  }
  std::int32_t next = 1000;
};

}  // namespace

TEMPLATE_TEST_CASE("fair is a policy of eviction, over whichever", "", LruEviction, S3FifoEviction, AdaptiveEviction,
                   PriorityTtlEviction) {
  folio::test::eviction_suite(
      [] {
        FairEviction<TestType> policy;
        policy.set_share(1, {.weight = 2, .quota_units = 20});
        return policy;
      },
      true, true);
}

TEST_CASE("under pressure, shares follow the weights") {
  Ledger ledger(600);
  Judged& policy = ledger.tree.eviction();
  policy.share(1, {.weight = 1});
  policy.share(2, {.weight = 2});
  policy.share(3, {.weight = 3});
  Traffic traffic;
  for (int i = 0; i < 200; ++i)
    for (std::int32_t const tenant : {1, 2, 3}) traffic.request(ledger, tenant);
  for (std::int32_t const tenant : {1, 2, 3}) {
    CHECK(policy.kept_units(tenant) == policy.kept[tenant]);
    CHECK(std::abs(policy.kept_units(tenant) - 100 * tenant) <= 8);  // a request's own units come and go at once
  }
}

TEST_CASE("traffic does not make a share: one that floods takes nothing from the others") {
  Ledger ledger(400);
  Traffic traffic;
  for (int i = 0; i < 25; ++i) traffic.request(ledger, 1);  // 200 units, its share
  auto const mine = ledger.tree.eviction().kept_units(1);
  for (int i = 0; i < 1000; ++i) traffic.request(ledger, 2);
  CHECK(mine == 200);
  CHECK(ledger.tree.eviction().kept_units(1) >= 192);  // while the request runs, its blocks are live and not yet kept
}

TEST_CASE("a share that is not used is lent, and its owner takes it back by storing") {
  Ledger ledger(400);
  Traffic traffic;
  for (int i = 0; i < 100; ++i) traffic.request(ledger, 2);
  CHECK(ledger.tree.eviction().kept_units(2) == 400);
  for (int i = 0; i < 10; ++i) {
    traffic.request(ledger, 1);
    CHECK(ledger.tree.eviction().kept_units(1) == 8 * (i + 1));  // not one of its units went
  }
  for (int i = 0; i < 100; ++i) {
    traffic.request(ledger, 1);
    if (i % 10 == 0) traffic.request(ledger, 2);
  }
  CHECK(std::abs(ledger.tree.eviction().kept_units(1) - 200) <= 8);
  CHECK(std::abs(ledger.tree.eviction().kept_units(2) - 200) <= 8);
}

TEST_CASE("no tenant is starved: below its share, what it stores stays until it is above") {
  Ledger ledger(512);
  Traffic traffic;
  std::mt19937 random(1);
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 200; ++i) traffic.request(ledger, 1 + below(random, 15));
    std::vector<std::int32_t> const prompt = count_from(traffic.next, 32);  // 8 units of a share of 32
    traffic.next += 32;
    REQUIRE(ledger.serve(prompt, 0));
    for (int i = 0; i < 50; ++i) traffic.request(ledger, 1 + below(random, 15));
    REQUIRE(ledger.kept(prompt) == 32);
    ledger.tree.evict_all();
  }
}

TEST_CASE("a quota holds although memory is not short; leased units stay until they are let go") {
  Ledger ledger(400);
  ledger.tree.eviction().share(1, {.quota_units = 20});
  Traffic traffic;
  for (int i = 0; i < 10; ++i) {
    traffic.request(ledger, 1);
    CHECK(ledger.tree.eviction().kept_units(1) <= 20);
  }
  CHECK(ledger.tree.eviction().kept_units(1) == 20);
  CHECK(ledger.store.pool(0).num_free() == 380);

  auto const prompt = count_from(1, 120);
  SequenceState* const running = ledger.run(prompt, 1);
  REQUIRE(running != nullptr);
  CHECK(ledger.tree.insert(*running, 0, prompt) == 120);  // 30 units, all in use: all that is not leased goes
  CHECK(ledger.tree.eviction().kept_units(1) == 30);
  traffic.request(ledger, 1);  // and nothing of a further request can stay
  CHECK(ledger.tree.eviction().kept_units(1) == 30);
  ledger.store.release(*running);
  CHECK(ledger.tree.eviction().kept_units(1) == 20);
  CHECK(ledger.kept(prompt) == 80);  // of one prompt the deepest went

  traffic.request(ledger, 2);
  CHECK(ledger.tree.eviction().kept_units(2) == 8);
  ledger.tree.eviction().share(2, {.quota_units = 0});
  traffic.request(ledger, 2);
  CHECK(ledger.tree.eviction().kept_units(2) == 0);
}

TEST_CASE("whoever is above a quota loses before whoever has most") {
  Ledger ledger(100);
  Traffic traffic;
  for (int i = 0; i < 9; ++i) traffic.request(ledger, 1);
  for (int i = 0; i < 3; ++i) traffic.request(ledger, 2);
  ledger.tree.eviction().share(2, {.quota_units = 10});
  REQUIRE(ledger.tree.evict_unit());
  CHECK(ledger.tree.eviction().kept_units(2) == 23);
  CHECK(ledger.tree.eviction().kept_units(1) == 72);
}

TEST_CASE("of equal tenants the one with the smallest number loses, whoever came first") {
  Ledger ledger(100);
  Traffic traffic;
  for (std::int32_t const tenant : {5, 2, 9}) traffic.request(ledger, tenant);
  for (std::int32_t const loser : {2, 5, 9, 2}) {
    auto const before = ledger.tree.eviction().kept_units(loser);
    REQUIRE(ledger.tree.evict_unit());
    CHECK(ledger.tree.eviction().kept_units(loser) == before - 1);
  }
}

TEST_CASE("a prefix counts for whoever stored it first, and its cut counts right") {
  Ledger ledger(100);
  REQUIRE(ledger.serve(count_from(1, 40), 1));
  auto shared = count_from(1, 40);
  shared.resize(22);
  for (int i = 0; i < 18; ++i) shared.push_back(7);
  REQUIRE(ledger.serve(shared, 2));
  CHECK(ledger.tree.eviction().kept_units(1) == 10);
  CHECK(ledger.tree.eviction().kept_units(2) == 5);
  ledger.tree.evict_all();
  CHECK(ledger.tree.eviction().kept_units(1) == 0);
  CHECK(ledger.tree.eviction().kept_units(2) == 0);
}

TEST_CASE("of every random program each victim is as the definition says, and two runs are alike") {
  std::int64_t lost = 0;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    std::vector<std::int64_t> outcomes[2];
    for (auto& outcome : outcomes) {
      Ledger ledger(48);
      Judged& policy = ledger.tree.eviction();
      policy.share(1, {.weight = 2.5});
      policy.share(2, {.weight = 1, .quota_units = 6});
      RandomRequests requests(ledger, seed, 4);
      for (int step = 0; step < 400; ++step) {
        requests.step();
        if (step % 50 == 0) policy.share(3, {.weight = 0.5 + below(requests.random(), 4)});
        for (std::int32_t tenant = 0; tenant < 4; ++tenant) {
          outcome.push_back(policy.kept_units(tenant));
          REQUIRE(policy.kept_units(tenant) == policy.kept[tenant]);
        }
        auto const gauges = ledger.gauges();
        for (TenantGauges const& t : gauges.tenants) REQUIRE(t.units == policy.kept[t.tenant]);
      }
      requests.finish();
      lost += policy.num_lost;
      ledger.tree.evict_all();
      REQUIRE(ledger.tree.num_nodes() == 0);
      for (std::int32_t tenant = 0; tenant < 4; ++tenant) REQUIRE(policy.kept_units(tenant) == 0);
    }
    REQUIRE(outcomes[0] == outcomes[1]);
  }
  CHECK(lost > 10'000);
}

TEST_CASE("the inner policy hears what it wants to hear, each tenant's of its own") {
  std::vector<std::string> heard;
  FairEviction<Curious> policy(Curious{{}, &heard});
  EvictionEntry a, b;
  a.tenant = 1;
  b.tenant = 2;
  std::vector<PrefixKey> const keys{{5, 0}, {6, 0}, {7, 0}};
  for (EvictionEntry* const e : {&a, &b}) {
    e->units = 3;
    policy.prepare(e->tenant, e->units);
    policy.stored(*e, keys);
  }
  policy.hit(b, 3, 0.0);
  policy.removed(a, PrefixKey{7, 0});
  CHECK(heard == std::vector<std::string>{"1 stored 3", "2 stored 3", "2 hit", "1 removed, heard 1 before"});
  PrefixLedger<PrefixIndex<FairEviction<Curious>>> ledger(10);  // and a tree finds all of them
  REQUIRE(ledger.serve(count_from(1, 9), 1));
  REQUIRE(ledger.serve(count_from(1, 9), 1));
  ledger.tree.evict_all();
  CHECK(Curious::num_calls == 4 + 1 + 1 + 2);
}

TEMPLATE_TEST_CASE("tenants that come once leave nothing, a million of them", "", LruEviction, AdaptiveEviction) {
  FairEviction<TestType> policy;
  policy.set_share(-1, {.weight = 2});
  std::array<EvictionEntry, 5> kept;  // the oldest goes when another one comes
  std::size_t most = 0;
  std::int32_t const count = std::is_same_v<TestType, LruEviction> ? 1'000'000 : 20'000;
  for (std::int32_t tenant = 0; tenant < count; ++tenant) {
    EvictionEntry& e = kept[static_cast<std::size_t>(tenant) % kept.size()];
    if (e.units > 0) {
      policy.removed(e, {});
      policy.remove(e);
    }
    e = EvictionEntry();
    e.units = 1;
    e.order = e.tenant = tenant;
    policy.reserve(kept.size());
    policy.prepare(tenant, 1);
    policy.stored(e, {});
    policy.add(e);
    most = std::max(most, policy.num_tenants());
  }
  CHECK(most == kept.size() + 1);
  for (EvictionEntry& e : kept) {
    policy.removed(e, {});
    policy.remove(e);
  }
  CHECK(policy.num_tenants() == 1);
  policy.set_share(-1, {});
  CHECK(policy.num_tenants() == 0);
  policy.prepare(5, 1);  // of whom nothing is stored after all
  policy.prepare(6, 1);
  CHECK(policy.num_tenants() == 1);
}

TEMPLATE_TEST_CASE("a tree tells of all that a tenant has, so that it is forgotten", "", LruEviction, S3FifoEviction,
                   AdaptiveEviction) {
  PrefixLedger<PrefixIndex<FairEviction<TestType>>> ledger(40);
  RandomRequests requests(ledger, 1, 1000);
  std::size_t most = 0;
  for (int step = 0; step < 3000; ++step) {
    requests.step();
    most = std::max(most, ledger.tree.eviction().num_tenants());
  }
  CHECK(most <= 41);  // one for each unit, and one that was prepared
  requests.finish();
  while (ledger.tree.evict_unit()) {
  }
  CHECK(ledger.tree.eviction().num_tenants() <= 1);
}

TEST_CASE("shares that mean nothing are refused in a sentence") {
  Fair policy;
  CHECK_THROWS_WITH(
      policy.set_share(3, {.weight = 0}),
      contains("folio: tenant 3 cannot have a weight of 0.000000 and a quota of 9223372036854775807 units"));
  CHECK_THROWS_WITH(policy.set_share(3, {.weight = std::numeric_limits<double>::quiet_NaN()}),
                    contains("folio: tenant 3 cannot have a weight of nan"));
  CHECK_THROWS_WITH(policy.set_share(3, {.quota_units = -1}),
                    contains("folio: tenant 3 cannot have a weight of 1.000000 and a quota of -1 units"));
}
