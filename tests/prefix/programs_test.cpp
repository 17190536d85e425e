// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Random programs over caches with prefixes, on real bytes. FOLIO_PROGRAMS: how many, in thousandths of what CI runs.
// FOLIO_SEED: the first seed; alone, the one program to run. A failure tells its seed.
#include "prefix/prefix_programs.hpp"

#include <chrono>
#include <folio/eviction/fair.hpp>
#include <folio/observe/ideal_hit_rate.hpp>

#include "support/catch.hpp"

namespace {

using namespace folio;
using namespace folio::test;

/// Whether these are the programs that CI runs: chance decides what a few of other seeds meet.
bool is_recorded() { return std::getenv("FOLIO_SEED") == nullptr && std::getenv("FOLIO_PROGRAMS") == nullptr; }

/// Runs programs of which each hits and is short of memory in its own way, and sees that CI's seeds met everything.
template <class Cache>
void run_programs(std::vector<std::int64_t> const& scarce, std::vector<std::int64_t> const& more, unsigned count,
                  int check_every = 1) {
  unsigned const first = number_from("FOLIO_SEED", 1);
  bool const only_one = std::getenv("FOLIO_SEED") != nullptr && std::getenv("FOLIO_PROGRAMS") == nullptr;
  count = only_one ? 1 : std::max(1U, count * number_from("FOLIO_PROGRAMS", 1000) / 1000);
  std::vector<std::int64_t> const ample(scarce.size(), 1500);
  PrefixProgramCounts counts;
  for (unsigned seed = first; seed < first + count; ++seed) {
    bool const is_ample = seed % 8 == 0;
    auto const& blocks = is_ample ? ample : seed % 2 == 0 ? scarce : more;
    PrefixProgram<Cache>(blocks, seed, is_ample, check_every).run(40 + static_cast<int>(seed % 5) * 20, counts);
  }
  if (!is_recorded()) return;
  CHECK(counts.hits > 0);
  CHECK(counts.partial_hits > 0);
  CHECK(counts.evictions > 0);
  CHECK(counts.merges > 0);
  CHECK(counts.copies > 0);
  CHECK(counts.refusals > 0);
  CHECK(counts.pins > 0);
  CHECK(counts.reservations > 0);
  CHECK(counts.waits > 0);
  CHECK(counts.alone > 0);
  CHECK(counts.clearings > 0);
  CHECK(counts.cuts > 0);
  CHECK(counts.keeps > 0);
  CHECK(counts.compactions > 0);
}

/// Seconds for 1,000 units that are evicted from a branch of so many tokens, in groups without and with a window.
/// Blocks of the window are there for its end and, for odd seeds, for random places before it.
double seconds_to_evict(std::int32_t tokens, unsigned seed) {
  constexpr std::int32_t block_size = 16, chunk = 4096;
  std::mt19937 random(seed);
  std::int64_t const num_blocks = tokens / block_size;
  PrefixLedger<PrefixIndex<>> ledger({group_of(block_size), group_of(block_size, 1024)}, {num_blocks, num_blocks});
  Symbols symbols;
  SequenceState& sequence = ledger.store.create();
  for (std::int32_t t = 0; t < tokens; t += chunk) {
    for (std::int32_t i = 0; i < chunk; ++i) symbols.push_back(below(random, 1000));
    REQUIRE(ledger.store.try_extend(sequence, chunk));
    if (seed % 2 == 1 && below(random, 4) == 0) ledger.tree.insert(sequence, 0, symbols);
  }
  REQUIRE(ledger.tree.insert(sequence, 0, symbols) == tokens);
  ledger.store.release(sequence);
  int evicted = 0;
  auto const begin = std::chrono::steady_clock::now();
  while (evicted < 1000 && ledger.tree.evict_unit()) ++evicted;
  std::chrono::duration<double> const seconds = std::chrono::steady_clock::now() - begin;
  REQUIRE(evicted == 1000);
  return seconds.count();
}

}  // namespace

TEST_CASE("random programs with prefixes: one full group, f32") {
  run_programs<FullPrefixCache<F32>>({14}, {40}, 6000);
}
TEST_CASE("random programs with prefixes: full, window with sinks and latent groups, f32") {
  run_programs<HybridPrefixCache<F32>>({20, 24, 14}, {50, 60, 32}, 4000);
}
TEST_CASE("random programs with prefixes: a group is much shorter of blocks than the others") {
  run_programs<HybridPrefixCache<F32>>({60, 18, 40}, {16, 90, 50}, 500);
}
TEST_CASE("random programs with prefixes: a format for each layer group") {
  run_programs<HybridPrefixCache<Keys<F16, Int4PerToken, Int8PerToken>, Values<Int8PerToken, F32, F16>>>(
      {20, 24, 14}, {50, 60, 32}, 300);
}
TEST_CASE("random programs with prefixes: int8, and somebody listens") {
  run_programs<FullPrefixCache<Int8PerToken, IdealHitRate>>({14}, {40}, 300);
  run_programs<HybridPrefixCache<Int8PerToken>>({20, 24, 14}, {50, 60, 32}, 200);
}
TEST_CASE("random programs with prefixes: copies wait for the next step") {
  run_programs<FullPrefixCache<F32, SharedHostMemory>>({14}, {40}, 500, 3);
  run_programs<HybridPrefixCache<F32, SharedHostMemory>>({20, 24, 14}, {50, 60, 32}, 300, 3);
}
TEST_CASE("random programs with prefixes: keys mean the same in every cache that has the secret and the names") {
  run_programs<FullPrefixCache<F32, KeyWatch>>({14}, {40}, 400);
  run_programs<HybridPrefixCache<F32, KeyWatch>>({20, 24, 14}, {50, 60, 32}, 300);
  if (is_recorded()) CHECK(KeyWatch::num_agreed > 10'000);
}
TEST_CASE("random programs with prefixes: tenants with weights and a quota") {
  run_programs<EvictingPrefixCache<FairEviction<WornLruEviction>>>({14}, {40}, 1000);
}
TEST_CASE("random programs with prefixes: with a window, eviction from a branch costs the same however long that is") {
  for (unsigned seed = 1; seed <= 4; ++seed) {
    double of_short = 1, of_long = 1;
    for (int times = 0; times < 3; ++times) {  // the least of three: others may run at the same time
      of_short = std::min(of_short, seconds_to_evict(1 << 14, seed));
      of_long = std::min(of_long, seconds_to_evict(1 << 18, seed));
    }
    CAPTURE(seed, of_short * 1e6, of_long * 1e6);
    CHECK(of_long < 8 * of_short);
  }
}
