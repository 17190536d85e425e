// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Every policy under generated traffic, in a real prefix tree.
#include <algorithm>
#include <cstdint>
#include <deque>
#include <folio/eviction/adaptive.hpp>
#include <folio/eviction/cost_aware.hpp>
#include <folio/eviction/fair.hpp>
#include <folio/eviction/lfu.hpp>
#include <folio/eviction/lru.hpp>
#include <folio/eviction/none.hpp>
#include <folio/eviction/priority_ttl.hpp>
#include <folio/eviction/s3fifo.hpp>
#include <folio/eviction/slru.hpp>
#include <string>
#include <utility>

#include "../../bench/replay/generate.hpp"
#include "../../bench/replay/oracle.hpp"
#include "../../bench/replay/replay.hpp"
#include "support/prefix_ledger.hpp"

using namespace folio;
namespace test = folio::test;
using folio::bench::generate;
using folio::bench::OracleEviction;
using folio::bench::Replay;
using folio::bench::Trace;
using folio::test::PrefixLedger;
using folio::test::Symbols;

namespace {

constexpr std::int32_t block_size = 4;

std::int64_t longest(Trace const& trace) {
  std::size_t most = 1;
  for (auto const& request : trace) most = std::max(most, request.ids.size());
  return static_cast<std::int64_t>(most);
}

/// Blocks found, of all that were asked for.
template <class Policy>
double hit_rate(Trace const& trace, std::int64_t capacity) {
  Replay<Policy> run(capacity, longest(trace), block_size);
  if constexpr (requires { run.tree().eviction().read(trace); }) run.tree().eviction().read(trace);
  return run.run(trace).hit_rate();
}

Symbols symbols_of(std::vector<std::int32_t> const& ids) {
  Symbols symbols;
  for (std::int32_t const id : ids) symbols.insert(symbols.end(), block_size, id);
  return symbols;
}

/// lru that notes when more entries came than it was told of.
struct Counting : LruEviction {
  void reserve(std::size_t num_entries) noexcept { told = std::max(told, num_entries); }
  void add(EvictionEntry& entry) noexcept {
    most = std::max(most, ++now);
    surprised = surprised || now > told;
    LruEviction::add(entry);
  }
  void remove(EvictionEntry& entry) noexcept {
    --now;
    LruEviction::remove(entry);
  }
  std::size_t told = 0, now = 0, most = 0;
  bool surprised = false;
};

}  // namespace

TEST_CASE("a policy is told how many entries there can be before they come") {
  PrefixLedger<PrefixIndex<Counting>> ledger(400, block_size);
  test::RandomRequests requests(ledger, 1);
  for (int i = 0; i < 3000; ++i) requests.step();
  CHECK(ledger.tree.eviction().most > 10);
  CHECK(ledger.tree.eviction().told < 1000);
  CHECK_FALSE(ledger.tree.eviction().surprised);
}

TEMPLATE_TEST_CASE("requests that run keep what they hold, and the accounts close", "", NoEviction, LruEviction,
                   LfuEviction, SlruEviction, S3FifoEviction, PriorityTtlEviction, CostAwareEviction, AdaptiveEviction,
                   FairEviction<S3FifoEviction>) {
  Trace const trace = generate("mixed", 7);
  PrefixLedger<PrefixIndex<TestType>> ledger(1500, block_size);
  BlockPool const& pool = ledger.store.pool(0);
  std::deque<std::pair<SequenceState*, Symbols>> running;
  std::int64_t refused = 0;
  for (std::size_t i = 0; i < 1500; ++i) {
    ledger.tree.set_time(trace[i].seconds);
    Symbols symbols = symbols_of(trace[i].ids);
    SequenceState* const state = ledger.run(symbols, static_cast<std::int32_t>(i % 3));
    refused += state == nullptr;
    if (state != nullptr) {
      REQUIRE(ledger.tree.insert(*state, 0, symbols) == static_cast<std::int32_t>(symbols.size()));
      running.emplace_back(state, std::move(symbols));
    }
    for (auto const& [live, held] : running) REQUIRE(ledger.kept(held) == static_cast<std::int32_t>(held.size()));
    if (running.size() > 3) {
      ledger.store.release(*running.front().first);
      running.pop_front();
    }
    REQUIRE(pool.num_free() + pool.num_live() + pool.num_cached() == 1500);
    if (i % 50 != 0) continue;  // gauges go through all nodes
    auto const& counters = ledger.tree.counters();
    REQUIRE(counters.stored_units - counters.evicted_units == ledger.gauges().all.units);
  }
  for (auto const& [live, held] : running) ledger.store.release(*live);
  ledger.tree.evict_all();
  bool const evicts = TestType::name != std::string("none");
  CHECK((refused > 0) == !evicts);
  CHECK((ledger.tree.num_nodes() == 0) == evicts);
  CHECK((pool.num_free() == 1500) == evicts);
}

TEST_CASE("on scans, policies that put newcomers on trial find more than lru") {
  Trace const trace = generate("scan");
  double const lru = hit_rate<LruEviction>(trace, 2000);
  CHECK(hit_rate<S3FifoEviction>(trace, 2000) > 1.2 * lru);
  CHECK(hit_rate<SlruEviction>(trace, 2000) > 1.2 * lru);
  CHECK(hit_rate<LfuEviction>(trace, 2000) > 1.1 * lru);
}

TEST_CASE("without priorities priority_ttl is lru") {
  Trace const trace = generate("chat");
  CHECK(hit_rate<PriorityTtlEviction>(trace, 1000) == hit_rate<LruEviction>(trace, 1000));
}

TEST_CASE("where everything fits, all policies find the same; nothing finds more than the oracle") {
  Trace const trace = generate("loop");
  double const all = hit_rate<LruEviction>(trace, 200'000), most = hit_rate<OracleEviction>(trace, 3000);
  CHECK(all > 0.9);
  auto const check = [&]<class Policy>() {
    INFO(Policy::name);
    CHECK(hit_rate<Policy>(trace, 200'000) == all);
    CHECK(hit_rate<Policy>(trace, 3000) <= most);
  };
  check.operator()<NoEviction>();
  check.operator()<LfuEviction>();
  check.operator()<SlruEviction>();
  check.operator()<S3FifoEviction>();
  check.operator()<CostAwareEviction>();
  check.operator()<AdaptiveEviction>();
}
