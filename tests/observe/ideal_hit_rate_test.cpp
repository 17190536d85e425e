// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/observe/ideal_hit_rate.hpp>
#include <set>
#include <vector>

#include "support/prefix_ledger.hpp"

using namespace folio;
using folio::test::below;
using folio::test::contains;
using folio::test::count_from;
using folio::test::PrefixLedger;
using folio::test::RandomRequests;
using folio::test::Symbols;

TEST_CASE("the error of a count is what it should be, and has no side") {
  constexpr double standard_error = 1.04 / 64;
  for (int const n : {1, 2, 10, 100, 1000, 5'000, 10'000, 20'000, 60'000, 200'000}) {
    double sum = 0, squares = 0, worst = 0;
    int const runs = n > 10'000 ? 30 : 60;
    for (int run = 0; run < runs; ++run) {
      HyperLogLog counter;
      for (int i = 0; i < n; ++i) {
        auto const key = static_cast<std::uint64_t>(run) * 10'000'000 + static_cast<std::uint64_t>(i);
        counter.add(key);
        if (i % 3 == 0) counter.add(key);  // counts once
      }
      double const error = counter.estimate() / n - 1;
      sum += error;
      squares += error * error;
      worst = std::max(worst, std::abs(error));
    }
    INFO("of " << n);
    CHECK(worst < 4.5 * standard_error);
    CHECK(std::abs(sum / runs) < 4 * standard_error / std::sqrt(runs));
    CHECK(std::sqrt(squares / runs) < 1.4 * standard_error);
    if (n <= 10) CHECK(worst < 0.01);  // few are counted all but exactly
  }
  CHECK(HyperLogLog().estimate() == 0);
}

TEST_CASE("the ceiling is that of all units looked up, and the hits are the tree's") {
  IdealHitRate ceiling;
  CHECK(ceiling.ceiling() == 0);
  CHECK(ceiling.hit_rate() == 0);
  std::mt19937 random(5);
  std::set<Symbols> different;
  std::vector<Symbols> prompts;
  double num_units = 0;
  for (int request = 0; request < 4000; ++request) {
    Symbols prompt;
    if (!prompts.empty() && below(random, 2) == 0)
      prompt = prompts[static_cast<std::size_t>(below(random, static_cast<std::int32_t>(prompts.size())))];
    for (int n = 1 + below(random, 40); n > 0; --n) prompt.push_back(below(random, 1000));
    prompts.push_back(prompt);
    ceiling.looked_up({prompt, 0, 8, 0});
    for (std::size_t end = 8; end <= prompt.size(); end += 8) {
      ++num_units;
      different.emplace(prompt.begin(), prompt.begin() + static_cast<std::ptrdiff_t>(end));
    }
  }
  CHECK(static_cast<double>(ceiling.num_units()) == num_units);
  auto const exact = static_cast<double>(different.size());
  CHECK(ceiling.num_different_units() == Approx(exact).epsilon(0.05));
  CHECK(ceiling.ceiling() == Approx((num_units - exact) / num_units).margin(0.03));
  CHECK(ceiling.ceiling() > 0.3);

  ceiling = IdealHitRate();
  auto const prompt = count_from(1, 20);
  ceiling.looked_up({Prefix(prompt, 1), 0, 8, 0});
  ceiling.looked_up({Prefix(prompt, 2), 0, 8, 0});  // another scope: nothing to be had
  CHECK(ceiling.ceiling() == Approx(0).margin(0.001));
  ceiling.looked_up({Prefix(prompt, 2), 17, 8, 0});  // 2 units and a part
  CHECK(ceiling.num_units() == 6);
  CHECK(ceiling.hit_rate() == Approx(2.0 / 6));
  CHECK(ceiling.ceiling() == Approx(2.0 / 6).margin(0.001));
  CHECK_THAT(to_json(ceiling), contains("\"units\":6,"));
  std::string const json = to_json(ceiling), name = "\"hit_ceiling\":";
  REQUIRE(json.find(name) != std::string::npos);
  CHECK(std::stod(json.substr(json.find(name) + name.size())) == Approx(ceiling.ceiling()));
}

TEST_CASE("reuse after eviction counts what was stored again and lately evicted") {
  PrefixLedger<PrefixIndex<LruEviction, ReuseAfterEviction>> ledger(11);
  auto const a = count_from(1, 41), b = count_from(100, 41);  // 10 units, and a token besides
  REQUIRE(ledger.serve(a));
  REQUIRE(ledger.serve(b));  // a goes
  ReuseAfterEviction const& reuse = ledger.tree.sink();
  CHECK(reuse.num_evicted() == 10);
  CHECK(reuse.num_reused() == 0);
  REQUIRE(ledger.serve(a));
  CHECK(reuse.num_reused() == 10);
  CHECK(reuse.num_stored() == 30);
  REQUIRE(ledger.serve(a));  // a hit is no reuse after eviction
  CHECK(reuse.num_reused() == 10);
  CHECK_THAT(to_json(reuse), contains("{\"stored_units\":30,\"evicted_units\":20,\"reused_units\":10}"));
}

TEST_CASE("reuse after eviction remembers so many ghosts, the latest, as an obvious model does") {
  ReuseAfterEviction reuse(5);
  std::vector<std::uint64_t> model;  // evictions, the latest last
  std::int64_t reused = 0;
  std::mt19937 random(1);
  Symbols const symbols{1, 2};
  for (std::int64_t number = 1; number <= 20'000; ++number) {
    auto const low = static_cast<std::uint64_t>(below(random, 12));
    PrefixKey const key{low, 0};
    if (below(random, 3) == 0) {
      reuse.stored({number, {}, {&key, 1}, symbols, 2, 0});
      bool found = false;
      for (std::uint64_t& ghost : model) {
        found = found || ghost == low;
        if (ghost == low) ghost = 1000;  // it was stored again: only its place is taken
      }
      reused += found ? 1 : 0;
    } else {
      reuse.removed({number, key, 0});
      for (std::uint64_t& ghost : model)
        if (ghost == low) ghost = 1000;
      model.push_back(low);
      if (model.size() > 5) model.erase(model.begin());
    }
    REQUIRE(reuse.num_reused() == reused);
  }
  CHECK(reused > 1000);
}

TEST_CASE("gauges say what could be had: making room frees what is reclaimable") {
  for (unsigned seed = 1; seed <= 90; ++seed) {
    bool const one_group = seed % 2 == 0;
    std::vector<GroupShape> shapes{test::group_of(4), test::group_of(2, 7, 3), test::group_of(8)};
    if (one_group) shapes.resize(1);
    PrefixLedger<PrefixIndex<>> ledger(
        shapes, one_group ? std::vector<std::int64_t>{50} : std::vector<std::int64_t>{50, 60, 30});
    int const num_groups = ledger.store.num_groups();
    RandomRequests requests(ledger, seed, 3);
    std::vector<PrefixPin> pins;
    for (int step = 0; step < 80; ++step) {
      requests.step();
      Symbols const prompt = requests.prompt();
      PrefixMatch const match = ledger.tree.find(0, prompt, static_cast<std::int32_t>(prompt.size()));
      if (step % 20 == 0 && match.num_symbols >= 8) pins.push_back(ledger.tree.pin(match, 8));
    }
    PrefixGauges const before = ledger.gauges();
    std::int64_t free = 0, cached = 0, live = 0;
    for (int g = 0; g < num_groups; ++g) {
      free += ledger.store.pool(g).num_free();
      cached += ledger.store.pool(g).num_cached();
      for (auto const& state : ledger.store.states())
        for (BlockId const block : state->lists[g].blocks) live += block != null_block ? 1 : 0;
    }
    CHECK(before.all.live_blocks == live);
    CHECK(before.all.reclaimable_blocks <= cached);
    CHECK(before.all.kept_blocks >= cached);
    TenantGauges sum;
    for (TenantGauges const& t : before.tenants) {
      sum.units += t.units;
      sum.kept_blocks += t.kept_blocks;
      sum.pinned_blocks += t.pinned_blocks;
    }
    CHECK(sum.units == before.all.units);
    CHECK(sum.kept_blocks == before.all.kept_blocks);
    CHECK(sum.pinned_blocks == before.all.pinned_blocks);
    std::vector<std::int64_t> all;
    for (int g = 0; g < num_groups; ++g) all.push_back(ledger.store.num_obtainable(g));
    for (int g = 0; g < num_groups; ++g)
      while (ledger.tree.reclaim(g, null_block)) {
      }
    for (int g = 0; g < num_groups; ++g) free -= ledger.store.pool(g).num_free();
    CHECK(-free == before.all.reclaimable_blocks);
    for (int g = 0; g < num_groups; ++g) CHECK(ledger.store.pool(g).num_free() == all[static_cast<std::size_t>(g)]);
    for (int g = 0; g < num_groups; ++g) CHECK(ledger.store.num_obtainable(g) == all[static_cast<std::size_t>(g)]);
    PrefixGauges const after = ledger.gauges();
    CHECK(after.all.pinned_units == before.all.pinned_units);
    CHECK(after.all.pinned_blocks == before.all.pinned_blocks);
    requests.finish();
    ledger.tree.evict_all();
    CHECK(ledger.gauges().all.units == before.all.pinned_units);
    pins.clear();
    ledger.tree.evict_all();
    CHECK(ledger.gauges().tenants.empty());
    CHECK(ledger.tree.num_nodes() == 0);
  }
}

TEST_CASE("gauges as JSON") {
  PrefixLedger<PrefixIndex<>> ledger(10);
  REQUIRE(ledger.serve(count_from(1, 8), 3));
  CHECK(to_json(ledger.gauges()) ==
        "{\"units\":2,\"pinned_units\":0,\"kept_blocks\":2,\"pinned_blocks\":0,\"reclaimable_blocks\":2,"
        "\"live_blocks\":0,\"tenants\":[{\"tenant\":3,\"units\":2,\"pinned_units\":0,\"kept_blocks\":2,"
        "\"pinned_blocks\":0,\"reclaimable_blocks\":2,\"live_blocks\":0}]}");
  CHECK(to_json(PrefixGauges{}) ==
        "{\"units\":0,\"pinned_units\":0,\"kept_blocks\":0,\"pinned_blocks\":0,\"reclaimable_blocks\":0,"
        "\"live_blocks\":0,\"tenants\":[]}");
}
