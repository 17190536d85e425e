// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What the library asks of the host's heap: nothing while a step is repeated, and nothing is lost when the heap is
// empty. A program of its own, because it replaces operator new.
#include <folio/eviction/adaptive.hpp>
#include <folio/eviction/lru.hpp>
#include <folio/eviction/s3fifo.hpp>
#include <folio/folio.hpp>
#include <folio/locked.hpp>
#include <folio/planning.hpp>
#include <folio/precision/bit_allocation.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <folio/prefix/batched_lookup.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <folio/reservation.hpp>
#include <folio/thread_pool.hpp>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "precision/hybrid_models.hpp"
#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::test::for_every_failure;
using folio::test::for_every_failure_anew;
using folio::test::HostHeap;

namespace {

std::int64_t num_allocations() { return HostHeap::of_this_thread().num_allocations; }

constexpr folio::ModelConfig hybrid{.layers = 4,
                                    .kv_heads = 1,
                                    .head_dim = 8,
                                    .groups = {folio::full_attention(), folio::sliding_window(5, 1)},
                                    .pattern = folio::repeat_groups({0, 1, 1, 1})};
using Cache = folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<4, 2>, folio::F32, folio::test::LedgerAllocator>;

/// What the store of a cache knows of its blocks and live sequences, and what it counts as held ahead.
template <class AnyCache>
std::vector<std::int64_t> everything(AnyCache const& cache) {
  folio::SequenceStore const& store = cache.state()->store;
  std::vector<std::int64_t> all;
  for (int g = 0; g < store.num_groups(); ++g) all.push_back(store.num_reserved(g));
  for (int l = 0; l < store.num_lists(); ++l) {
    folio::BlockPool const& pool = store.pool(l);
    all.insert(all.end(), {pool.num_free(), pool.num_live(), pool.num_shared()});
    for (std::int32_t id = 1; id <= pool.num_blocks(); ++id) all.push_back(pool.ref_count(folio::BlockId{id}));
  }
  for (auto const& state : store.states()) {
    if (!state->live) continue;
    all.insert(all.end(), {to_int(state->id), state->num_tokens, state->num_new_tokens, state->num_demoted});
    for (folio::BlockList const& list : state->lists) {
      all.insert(all.end(),
                 {static_cast<std::int64_t>(list.blocks.size()), list.num_tokens, list.first_resident_block});
      for (folio::BlockId const block : list.blocks) all.push_back(to_int(block));
    }
  }
  return all;
}

using TiledHybrid =
    folio::test::CacheOf<folio::test::full_first, folio::F32, folio::BlockSizes<4, 2>,
                         folio::Demote<folio::Keys<folio::ChannelTile<2, 8>>, folio::Values<folio::Int4Rotated>>>;

constexpr folio::ModelConfig full_only{.layers = 3, .kv_heads = 2, .head_dim = 16};
using TokenTiles = folio::ChannelTile<4, 8>;
using PlainDemoting = folio::test::CacheOf<full_only, folio::F32, folio::BlockSize<4>,
                                           folio::Demote<folio::Int8PerToken, folio::BlockSize<8>>>;

/// A cache that demotes, of which every operation is tried with each of its allocations failing.
template <class Demoting>
struct DemotionTrial {
  static folio::CacheConfig config() {
    folio::CacheConfig config = folio::test::small_hybrid(3, 4);
    config.num_blocks = {50, 120};
    config.num_blocks.resize(std::size_t{Demoting::num_groups});
    return config;
  }
  Demoting cache{config()};
  std::vector<folio::Sequence> sequences = {};

  /// Tokens in the full layers as they are stored, of all sequences.
  [[nodiscard]] std::vector<float> contents() {
    std::vector<float> all;
    for (folio::Sequence const& sequence : sequences) {
      auto const batch = cache.batch({{&sequence, 0}});
      std::size_t const rows = static_cast<std::size_t>(sequence.num_tokens()) * 2 * 16, begin = all.size();
      all.resize(begin + 2 * rows);
      folio::ops::gather(batch.view(), 0, {0, 0, sequence.num_tokens()}, all.data() + begin, all.data() + begin + rows);
    }
    return all;
  }
  void write(folio::Sequence const& sequence, unsigned seed) {
    auto const batch = cache.batch({{&sequence}});
    auto const rows = folio::test::random_floats(std::int64_t{sequence.num_new_tokens()} * 2 * 16, seed);
    for (std::int32_t layer = 0; layer < 3; ++layer) folio::ops::append(batch.view(), layer, rows.data(), rows.data());
  }
};

}  // namespace

TEST_CASE("filling a batch again allocates nothing once it has been as large") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {64, 64}}, folio::test::LedgerAllocator(ledger));
  folio::Sequence a = cache.create(9), b = cache.create(3);
  folio::BatchItem const items[] = {&a, &b};
  folio::BatchPadding const padding{.num_sequences = 4, .num_query_tokens = 16, .row_blocks = 32};
  auto batch = cache.batch(items, padding);
  a.extend(2);
  b.extend(4);
  auto const before = num_allocations();
  cache.batch(items, batch, padding);
  cache.batch(std::span(items, 1), batch, padding);
  auto const view = batch.view();
  auto const after = num_allocations();
  CHECK(after == before);
  CHECK(view.num_sequences() == 4);
}

TEST_CASE("sequences and batches that grow token by token allocate now and then, not each time") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {1100, 2100}}, folio::test::LedgerAllocator(ledger));
  folio::Sequence sequence = cache.create(1);
  folio::BatchItem const items[] = {{&sequence, 1}};
  auto batch = cache.batch(items);
  std::int64_t for_sequence = 0, for_batch = 0;
  for (int i = 1; i < 4096; ++i) {
    auto const before = num_allocations();
    sequence.extend(1);
    auto const between = num_allocations();
    cache.batch(items, batch);
    for_sequence += between - before;
    for_batch += num_allocations() - between;
  }
  CHECK(for_sequence < 2 * 24);  // two lists, of 1024 and 2048 blocks, that grow by half
  CHECK(for_batch < 24);
}

TEST_CASE("a sequence that is made takes one allocation, however many there are, but now and then") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {4, 4}}, folio::test::LedgerAllocator(ledger));
  std::vector<folio::Sequence> sequences(4096);
  auto const before = num_allocations();
  for (folio::Sequence& sequence : sequences) sequence = cache.create();
  auto const after = num_allocations();
  CHECK(after - before < 4096 + 64);
}

TEMPLATE_TEST_CASE("looking prompts up allocates nothing", "", folio::LruEviction, folio::S3FifoEviction,
                   folio::AdaptiveEviction) {
  folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<4, 2>, folio::F32, TestType> cache({.num_blocks = {64, 128}});
  std::vector<std::int32_t> prompt(40), other(40);
  for (std::int32_t i = 0; i < 40; ++i) {
    prompt[static_cast<std::size_t>(i)] = i;
    other[static_cast<std::size_t>(i)] = i < 22 ? i : 100 + i;
  }
  for (auto const& symbols : {prompt, other}) {
    folio::Sequence sequence = cache.create(40);
    static_cast<void>(cache.insert(sequence, symbols));
  }
  std::vector<std::int32_t> longer = prompt;
  longer.resize(60);
  std::vector<std::vector<std::int32_t>> const all{prompt, other, std::vector<std::int32_t>(40, 7), longer};
  std::int32_t found = 0;
  auto const before = num_allocations();
  for (int i = 0; i < 10; ++i)
    for (auto const& symbols : all) {
      found += cache.num_cached_tokens(symbols);
      found += cache.prefixes().find(0, symbols, 30).num_symbols;
    }
  auto const after = num_allocations();
  CHECK(after == before);
  CHECK(found > 0);
}

TEST_CASE("block pools allocate nothing after they are made") {
  folio::BlockPool pool(100);
  std::vector<folio::BlockId> blocks(100);
  auto const before = num_allocations();
  bool const taken = pool.allocate(blocks);
  for (folio::BlockId const block : blocks) pool.retain(block);
  for (int round = 0; round < 2; ++round)
    for (folio::BlockId const block : blocks) pool.release(block);
  auto const after = num_allocations();
  CHECK(taken);
  CHECK(after == before);
}

TEST_CASE("a pool that finds no memory to grow is as it was") {
  auto const make = [] {
    auto pool = std::make_unique<folio::BlockPool>(10);
    static_cast<void>(pool->allocate());
    return pool;
  };
  auto const grow = [](folio::BlockPool& pool) { pool.resize(100'000); };
  auto const failures = for_every_failure_anew(make, grow, [&](folio::BlockPool& pool, std::int64_t) {
    CHECK(pool.num_blocks() == 10);
    CHECK(pool.num_free() == 9);
    grow(pool);
    CHECK(pool.num_free() == 99'999);
  });
  CHECK(failures == 2);
  auto const made = make();
  folio::BlockPool& pool = *made;
  grow(pool);
  folio::BlockId const first{1};
  CHECK(pool.num_free() == 99'999);
  CHECK(pool.allocate() == folio::BlockId{2});
  pool.release(first);
  CHECK(for_every_failure([&] { pool.resize(2); }, [](std::int64_t) {}) == 0);
}

TEST_CASE("truncating and releasing allocate nothing, so they cannot fail for want of memory") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {64, 64}}, folio::test::LedgerAllocator(ledger));
  std::vector<folio::Sequence> sequences;
  for (std::int32_t i = 0; i < 20; ++i) sequences.push_back(cache.create(1));
  for (int i = 0; i < 11; ++i) sequences[0].extend(1);
  auto const before = num_allocations();
  sequences[0].truncate(11);
  sequences.clear();
  auto const after = num_allocations();
  CHECK(after == before);
}

TEST_CASE("a cache that runs out of host memory while it is made gives everything back") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  std::int64_t live = 0;
  auto const make = [&] {
    live = HostHeap::num_live();
    Cache const cache({.num_blocks = {4, 4}}, folio::test::LedgerAllocator(ledger));
  };
  auto const failures = for_every_failure(make, [&](std::int64_t k) {
    bool const leaked = HostHeap::num_live() != live;  // before a macro allocates
    INFO("allocation " << k);
    CHECK_FALSE(leaked);
    CHECK(ledger->live == 0);
  });
  CHECK(failures > 3);
}

TEST_CASE("create, append and fork that run out of host memory change nothing") {
  struct Trial {
    Cache cache{{.num_blocks = {64, 64}},
                folio::test::LedgerAllocator(std::make_shared<folio::test::LedgerAllocator::Ledger>())};
    folio::test::ModelSequence<Cache> story{cache};
    folio::Sequence made;
    std::vector<std::int64_t> before;
  };
  int const what = GENERATE(0, 1, 2);
  auto const make = [] {
    auto trial = std::make_unique<Trial>();
    trial->story.extend(6);
    trial->before = everything(trial->cache);
    return trial;
  };
  auto const operation = [&](Trial& trial) {
    if (what == 0) trial.made = trial.cache.create();
    if (what == 1) trial.story->extend(40);
    if (what == 2) trial.made = trial.story->fork();
  };
  auto const failures = for_every_failure_anew(make, operation, [&](Trial& trial, std::int64_t k) {
    CAPTURE(what, k);
    CHECK(trial.story.difference() == "");
    CHECK(everything(trial.cache) == trial.before);
    auto const after = trial.cache.stats();
    CHECK(after.counters.created - after.counters.released == after.num_sequences);
    operation(trial);
    CHECK(everything(trial.cache) != trial.before);
  });
  CHECK(failures > 0);
}

TEST_CASE("a thread pool for which the host has no memory ends the threads that it started") {
  bool leaked = false;
  std::int64_t live = 0;
  auto const make = [&] {
    live = HostHeap::num_live();
    folio::ThreadPool const threads(4);
  };
  auto const failures = for_every_failure(make, [&](std::int64_t) { leaked = leaked || HostHeap::num_live() != live; });
  CHECK(failures >= 6);  // three threads, and the list of them
  CHECK_FALSE(leaked);
}

TEST_CASE("a batch that finds no memory for a larger step keeps the tables that it had") {
  Cache cache({.num_blocks = {64, 64}},
              folio::test::LedgerAllocator(std::make_shared<folio::test::LedgerAllocator::Ledger>()));
  folio::Sequence a = cache.create(3), b = cache.create(40), c = cache.create(7);
  folio::BatchItem const small[] = {&a}, large[] = {&a, &b, &c};
  using Tables = decltype(cache.batch(small));
  auto batch = cache.batch(small);
  std::vector<std::byte> const before(batch.bytes().begin(), batch.bytes().end());
  std::byte const* begin = nullptr;
  auto const make = [&] {
    auto tables = std::make_unique<Tables>(cache.batch(small));
    begin = tables->bytes().data();
    return tables;
  };
  auto const enlarge = [&](Tables& tables) { cache.batch(large, tables); };
  auto const failures = for_every_failure_anew(make, enlarge, [&](Tables& tables, std::int64_t k) {
    CAPTURE(k);
    CHECK(tables.num_sequences() == 1);
    CHECK(tables.num_query_tokens() == 3);
    CHECK(tables.bytes().data() == begin);  // views still point into it
    CHECK(std::vector<std::byte>(tables.bytes().begin(), tables.bytes().end()) == before);
    enlarge(tables);
    CHECK(tables.num_sequences() == 3);
  });
  CHECK(failures == 6);  // the buffer, and what it knows of its rows and sequences
  enlarge(batch);
  CHECK(batch.bytes().size() == cache.batch(large).bytes().size());
  CHECK(batch.lengths()[1] == 40);
  batch.prepare(cache.state()->store, large, {.num_sequences = 9, .num_tokens = 300});
  CHECK(batch.num_sequences() == 3);
  auto const allocations = num_allocations();
  cache.batch(large, batch, {.num_sequences = 9, .num_tokens = 300});
  bool const prepared = num_allocations() == allocations;
  CHECK(prepared);
  CHECK(batch.num_sequences() == 9);
}

TEST_CASE("a reservation that runs out of host memory holds what it held, and does what was asked when there is some") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {64, 64}}, folio::test::LedgerAllocator(ledger));
  folio::Sequence sequence = cache.create(6), sibling = sequence.fork();  // so that the next append copies a block
  folio::Reservation ahead;
  auto const run = [&](auto const& operation) {
    auto const before = everything(cache);
    std::int64_t const held[] = {ahead.num_blocks(0), ahead.num_blocks(1)};
    auto const failures = for_every_failure(operation, [&](std::int64_t k) {
      CAPTURE(k);
      CHECK(everything(cache) == before);
      CHECK((ahead.num_blocks(0) == held[0] && ahead.num_blocks(1) == held[1]));
    });
    CHECK(everything(cache) != before);
    return failures;
  };
  CHECK(run([&] { static_cast<void>(ahead.try_reserve(sequence, 100, 9)); }) == 2);
  CHECK(ahead.num_blocks(0) == 26);
  CHECK(run([&] { static_cast<void>(ahead.try_extend(sequence, 90)); }) >= 2);
  CHECK(sequence.num_tokens() == 96);
  CHECK(run([&] { static_cast<void>(ahead.try_reserve(sequence, 140, 9)); }) > 0);
  ahead.release();
  CHECK(cache.stats().reserved == 0);
}

TEMPLATE_TEST_CASE(
    "a cache that demotes and runs out of host memory is as it was, and does what was asked when there is some", "",
    folio::test::Int8Hybrid, TiledHybrid, PlainDemoting) {
  using Trial = DemotionTrial<TestType>;
  struct Step {
    void (*prepare)(Trial&);
    void (*operation)(Trial&);
    std::int64_t more_failures_than;
  };
  Step const steps[] = {
      {[](Trial& t) { t.sequences.reserve(4); }, [](Trial& t) { t.sequences.push_back(t.cache.create(41)); }, 2},
      {[](Trial& t) { t.write(t.sequences[0], 1); }, [](Trial& t) { t.sequences[0].extend(20); }, 0},
      {[](Trial& t) { t.write(t.sequences[0], 2); }, [](Trial& t) { t.sequences.push_back(t.sequences[0].fork()); }, 1},
      // Copies what the fork shares.
      {[](Trial&) {}, [](Trial& t) { static_cast<void>(t.sequences[1].try_extend(33)); }, 0},
      // The second list, and the demotion's tables.
      {[](Trial& t) { t.write(t.sequences[1], 3); }, [](Trial& t) { t.cache.demote(t.sequences[1]); }, 3},
      {[](Trial&) {}, [](Trial& t) { t.sequences.push_back(t.sequences[1].fork()); }, 2},
      // The demotion's tables grow once more.
      {[](Trial& t) {
         t.sequences[1].extend(120);
         t.write(t.sequences[1], 4);
       },
       [](Trial& t) { t.cache.demote(t.sequences[1]); }, 1},
      {[](Trial&) {}, [](Trial& t) { t.cache.demote(t.sequences[0]); }, 0}};
  auto const after = [&](std::size_t num_steps) {
    auto trial = std::make_unique<Trial>();
    for (std::size_t i = 0; i < num_steps; ++i) {
      steps[i].prepare(*trial);
      steps[i].operation(*trial);
    }
    return trial;
  };
  for (std::size_t i = 0; i < std::size(steps); ++i) {
    std::vector<std::int64_t> before;
    std::vector<float> stored;
    auto const make = [&] {
      auto trial = after(i);
      steps[i].prepare(*trial);
      before = everything(trial->cache);
      stored = trial->contents();
      return trial;
    };
    auto const failures = for_every_failure_anew(make, steps[i].operation, [&](Trial& trial, std::int64_t k) {
      CAPTURE(i, k);
      CHECK(everything(trial.cache) == before);
      CHECK(trial.contents() == stored);
      steps[i].operation(trial);
      CHECK(everything(trial.cache) != before);
    });
    CAPTURE(i);
    CHECK(failures > steps[i].more_failures_than);
  }
  auto const trial = after(std::size(steps));
  auto& cache = trial->cache;
  auto& sequences = trial->sequences;
  CHECK(cache.stats().counters.demotions == 3);
  std::int64_t const before = num_allocations();
  sequences[1].truncate(sequences[1].num_tokens() - 10);
  if constexpr (TestType::num_groups == 1) {
    sequences[1].truncate(4 + 3 * cache.demotion_unit());
    sequences[1].truncate(2);
  }
  sequences.pop_back();
  bool const allocated = num_allocations() != before;
  CHECK_FALSE(allocated);
  sequences.clear();
  CHECK(cache.stats().live == 0);
}

TEMPLATE_TEST_CASE("a demotion that runs out of host memory evicts no prefix, and leaves batches as good as they were",
                   "", folio::F16, TokenTiles, (folio::TwoSidedKeys<4, 8>), (folio::TwoSidedValues<2, 8>)) {
  using Demoting = folio::test::CacheOf<full_only, folio::F32, folio::BlockSize<4>,
                                        folio::Demote<TestType, folio::BlockSize<8>>, folio::LruEviction>;
  static std::vector<std::int32_t> const prompt(28, 7);
  struct Trial {
    Demoting cache{{.num_blocks = {100}, .demotion = {.sinks = 8, .recent_window = 4, .num_blocks = {15}}}};
    folio::Sequence sequence;
    folio::Batch<typename Demoting::View> batch{cache.state()};
    std::int32_t cached = 0;
  };
  bool const demotes_first = GENERATE(true, false);
  auto const make = [&] {
    auto trial = std::make_unique<Trial>();
    Demoting& cache = trial->cache;
    {
      folio::Sequence first = cache.create(28);
      if (demotes_first) cache.demote(first);  // the demotion's tables are there, and too small
      static_cast<void>(cache.insert(first, prompt));
    }
    trial->sequence = cache.create(124);
    cache.batch({{&trial->sequence, 4}}, trial->batch);
    trial->cached = cache.num_cached_tokens(prompt);
    REQUIRE((cache.num_due(trial->sequence) / 8 > cache.num_free_blocks(1)) == demotes_first);
    REQUIRE(trial->cached > 0);
    return trial;
  };
  auto const demote = [](Trial& trial) { trial.cache.demote(trial.sequence); };
  auto const failures = for_every_failure_anew(make, demote, [](Trial& trial, std::int64_t k) {
    CAPTURE(k);
    CHECK(trial.cache.num_cached_tokens(prompt) == trial.cached);
    CHECK(trial.cache.stats().prefixes.evicted_units == 0);
    CHECK_FALSE(trial.batch.is_stale());
    CHECK(trial.sequence.num_demoted_tokens() == 0);
  });
  CHECK(failures > 1);  // the tables, and the second list
  auto const trial = make();
  demote(*trial);
  CHECK((trial->cache.stats().prefixes.evicted_units > 0) == demotes_first);
  CHECK(trial->batch.is_stale());
}

TEST_CASE(
    "a demotion that is repeated as a step is allocates nothing but rows of tokens, and where nothing is due nothing") {
  DemotionTrial<PlainDemoting> trial;
  folio::Sequence sequence = trial.cache.create(100);
  trial.cache.demote(sequence);
  auto const before = num_allocations();
  std::int32_t const due = trial.cache.demote(sequence);
  auto const after = num_allocations();
  CHECK(due == 0);
  CHECK(after == before);
}

TEST_CASE("a batch over two formats that finds no memory for a larger step keeps the tables that it had") {
  DemotionTrial<folio::test::Int8Hybrid> trial;
  auto& cache = trial.cache;
  auto& sequences = trial.sequences;
  for (std::int32_t const n : {9, 60, 30}) sequences.push_back(cache.create(n));
  cache.demote(sequences[1]);
  folio::BatchItem const small[] = {&sequences[0]}, large[] = {&sequences[0], {&sequences[1], 2}, &sequences[2]};
  auto batch = cache.batch(small);
  auto const tables = [&] { return std::vector<std::byte>(batch.bytes().begin(), batch.bytes().end()); };
  auto const before = tables();
  auto const unchanged = [&](std::int64_t k) {
    CAPTURE(k);
    CHECK(tables() == before);
    CHECK(batch.view().num_sequences() == 1);
    CHECK_FALSE(batch.view().any_demoted());
  };
  folio::BatchItem const demoted[] = {&sequences[0], {&sequences[1], 60}}, twice[] = {&sequences[1], &sequences[1]};
  for (auto const& items : {std::span<folio::BatchItem const>(demoted), std::span<folio::BatchItem const>(twice)})
    CHECK_THROWS_AS(cache.batch(items, batch), folio::Error);
  unchanged(0);
  auto const make = [&] { return std::make_unique<decltype(batch)>(cache.batch(small)); };
  auto const enlarge = [&](auto& any_batch) { cache.batch(large, any_batch); };
  auto const failures = for_every_failure_anew(make, enlarge, [&](auto& one, std::int64_t k) {
    std::swap(batch, one);
    unchanged(k);
    enlarge(batch);
    CHECK(batch.view().num_sequences() == 3);
  });
  CHECK(failures > 3);
  enlarge(batch);
  CHECK(batch.view().num_sequences() == 3);
  CHECK(batch.view().any_demoted());
  CHECK(tables() != before);
}

TEST_CASE("create_all leaves no sequence, and holds no block, when the host has no memory for one of them") {
  folio::KvCache<folio::Model<full_only>, folio::BlockSize<4>, folio::F32, folio::LruEviction> cache(
      {.num_blocks = {40}});
  std::vector<std::vector<std::int32_t>> tokens;
  for (std::int32_t i = 0; i < 5; ++i) {
    tokens.push_back({1, 2, 3, 4, 5, 6, 7, 8, 9});
    tokens.back()[static_cast<std::size_t>(i)] += 100;
    folio::Sequence sequence = cache.create(9);
    cache.insert(sequence, tokens.back());
  }
  std::vector<folio::Prefix> prompts(tokens.begin(), tokens.end());
  std::vector<folio::Sequence> made;
  auto const before = everything(cache);
  auto const failures = for_every_failure([&] { made = folio::create_all(cache, prompts); },
                                          [&](std::int64_t k) {
                                            CAPTURE(k);
                                            CHECK(made.empty());
                                            CHECK(everything(cache) == before);
                                            CHECK(cache.stats().num_sequences == 0);
                                          });
  CHECK(failures > 5);
  REQUIRE(made.size() == 5);
  for (folio::Sequence const& sequence : made) CHECK(sequence.num_cached_tokens() == 8);
  CHECK(cache.stats().live == 10);
}

TEST_CASE("a locked cache that runs out of host memory is as it was, and its lock is free") {
  folio::LockedCache<Cache> cache(
      Cache({.num_blocks = {64, 64}},
            folio::test::LedgerAllocator(std::make_shared<folio::test::LedgerAllocator::Ledger>())));
  std::vector<folio::LockedSequence<Cache>> sequences;
  sequences.reserve(3);
  auto const state = [&] { return cache.with([](Cache& inner) { return everything(inner); }); };
  auto const run = [&](auto const& operation) {
    auto const before = state();
    auto const failures = for_every_failure(operation, [&](std::int64_t k) {
      CAPTURE(k);
      CHECK(state() == before);
    });
    CHECK(failures > 0);
  };
  run([&] { sequences.push_back(cache.create(6)); });
  run([&] { sequences[0].extend(40); });
  run([&] { sequences.push_back(sequences[0].fork()); });
  folio::LockedCache<Cache>::Item const items[] = {{&sequences[0]}, {&sequences[1]}};
  auto tables = cache.batch(std::span(items, 1));
  run([&] { cache.batch(items, tables); });
  CHECK(tables.num_sequences() == 2);
  run([&] { tables = cache.batch(items); });
}

TEST_CASE("plans that find no host memory keep none, and are made when there is some") {
  std::vector<folio::LengthRange> const lengths{{1, 100, 1}, {50, 70, 2}};
  std::vector<std::int32_t> const sizes{8, 16, 32, 64};
  std::vector<folio::MemoryClaim> const claims{{1}, {2}, {3}};
  std::vector<double> const sensitivities{4, 2, 1};
  std::vector<folio::FormatCost> const formats{{1, 1}, {0.5, 2}, {0.1, 4}};
  std::int64_t live = 0;
  bool leaked = false;
  auto const run = [&](auto const& operation) {
    auto const with_count = [&] {
      live = HostHeap::num_live();
      static_cast<void>(operation());
    };
    return for_every_failure(with_count, [&](std::int64_t) { leaked = leaked || HostHeap::num_live() != live; });
  };
  CHECK(run([&] { return folio::block_size_costs(lengths, sizes); }) > 1);
  CHECK(run([&] { return folio::fair_split(claims, 10, 0.5); }) > 0);
  CHECK(run([&] { return folio::allocate_bits(sensitivities, formats, 8); }) > 5);
  CHECK(run([&] { return folio::allocate_bits(sensitivities, formats, 8, 0); }) > 5);
  CHECK_FALSE(leaked);
}
