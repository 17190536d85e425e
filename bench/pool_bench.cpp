// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Bookkeeping: what a block costs to hand out, to take back, to share and to list. Nanoseconds per block.
//
// Beside each figure stand two baselines: a bare std::vector, which does less than is needed (no reference counts), and
// the textbook's containers, which do as much.

#include <benchmark/benchmark.h>

#include <list>
#include <memory>
#include <numeric>
#include <unordered_map>

#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t pool_blocks = 100'000, batch_blocks = 1000;

/// Folio's pool.
struct Folio {
  BlockPool pool{pool_blocks};
  bool allocate(std::span<BlockId> blocks) { return pool.allocate(blocks); }
  void free(std::span<BlockId const> blocks) { pool.release_live(blocks); }
};

/// The same by the calls that check each id.
struct FolioChecked : Folio {
  void free(std::span<BlockId const> blocks) {
    for (BlockId const block : blocks) pool.release(block);
  }
};

/// A stack of ids and nothing else: the least that can be done.
struct Vector {
  std::vector<BlockId> unused = std::vector<BlockId>(pool_blocks);
  Vector() {
    for (std::int32_t i = 0; i < pool_blocks; ++i) unused[to_size(i)] = BlockId{pool_blocks - i};
  }
  bool allocate(std::span<BlockId> blocks) {
    if (unused.size() < blocks.size()) return false;
    for (BlockId& block : blocks) {
      block = unused.back();
      unused.pop_back();
    }
    return true;
  }
  void free(std::span<BlockId const> blocks) {
    for (BlockId const block : blocks) unused.push_back(block);
  }
};

/// A linked list of free ids and a map of reference counts.
struct ListAndMap {
  std::list<BlockId> unused;
  std::unordered_map<std::int32_t, int> ref_counts;
  ListAndMap() {
    for (std::int32_t i = 1; i <= pool_blocks; ++i) unused.push_back(BlockId{i});
  }
  bool allocate(std::span<BlockId> blocks) {
    if (unused.size() < blocks.size()) return false;
    for (BlockId& block : blocks) {
      block = unused.back();
      unused.pop_back();
      ref_counts[to_int(block)] = 1;
    }
    return true;
  }
  void free(std::span<BlockId const> blocks) {
    for (BlockId const block : blocks) {
      auto const at = ref_counts.find(to_int(block));
      if (--at->second > 0) continue;
      ref_counts.erase(at);
      unused.push_back(block);
    }
  }
};

enum class Timed { allocate, free };

/// Hands out a pool in batches and takes it back in batches; one of both is timed. Each round frees in another order
/// than it allocated, so that ids are as mixed as in a cache that has run for a while.
template <class Manager, Timed timed>
void pool(benchmark::State& state) {
  Manager manager;
  std::vector<BlockId> blocks(pool_blocks);
  std::mt19937_64 random(1);
  double total = 0;
  for (auto _ : state) {
    auto start = Clock::now();
    bool all = true;
    for (std::int32_t i = 0; i < pool_blocks; i += batch_blocks)
      all = manager.allocate(std::span(blocks).subspan(to_size(i), batch_blocks)) && all;
    double seconds = seconds_since(start);
    if (!all) state.SkipWithError("the pool ran out of blocks");

    std::shuffle(blocks.begin(), blocks.end(), random);
    start = Clock::now();
    for (std::int32_t i = 0; i < pool_blocks; i += batch_blocks)
      manager.free(std::span(blocks).subspan(to_size(i), batch_blocks));
    if (timed == Timed::free) seconds = seconds_since(start);
    state.SetIterationTime(seconds);
    total += seconds;
  }
  state.counters["ns_per_block"] = total * 1e9 / (static_cast<double>(state.iterations()) * pool_blocks);
}

/// One head of 8 elements: the smallest blocks there are, because only their ids matter here.
constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 8};
using Cache = KvCache<Model<tiny>, BlockSize<16>>;

void fork_folio(benchmark::State& state) {
  Cache cache(CacheConfig{.num_blocks = {pool_blocks}});
  Sequence const parent = cache.create(16 * batch_blocks);
  std::vector<Sequence> children(64);
  double total = 0;
  for (auto _ : state) {
    auto const start = Clock::now();
    for (Sequence& child : children) child = parent.fork();
    double const seconds = seconds_since(start);
    for (Sequence& child : children) child.release();
    state.SetIterationTime(seconds);
    total += seconds;
  }
  state.counters["ns_per_block"] = total * 1e9 / (static_cast<double>(state.iterations()) * 64 * batch_blocks);
}

/// A sequence as a vector of shared pointers to blocks.
void fork_shared_pointers(benchmark::State& state) {
  std::vector<std::shared_ptr<BlockId>> parent;
  for (std::int32_t i = 1; i <= batch_blocks; ++i) parent.push_back(std::make_shared<BlockId>(BlockId{i}));
  std::vector<std::vector<std::shared_ptr<BlockId>>> children(64);
  double total = 0;
  for (auto _ : state) {
    auto const start = Clock::now();
    for (auto& child : children) child = std::vector(parent);
    double const seconds = seconds_since(start);
    for (auto& child : children) child = {};
    state.SetIterationTime(seconds);
    total += seconds;
  }
  state.counters["ns_per_block"] = total * 1e9 / (static_cast<double>(state.iterations()) * 64 * batch_blocks);
}

/// A copy of the ids alone, with nobody counting.
void fork_vector(benchmark::State& state) {
  std::vector<BlockId> const parent(batch_blocks, BlockId{1});
  std::vector<std::vector<BlockId>> children(64);
  double total = 0;
  for (auto _ : state) {
    auto const start = Clock::now();
    for (auto& child : children) child = std::vector(parent);
    double const seconds = seconds_since(start);
    benchmark::DoNotOptimize(children.data());
    for (auto& child : children) child = {};
    state.SetIterationTime(seconds);
    total += seconds;
  }
  state.counters["ns_per_block"] = total * 1e9 / (static_cast<double>(state.iterations()) * 64 * batch_blocks);
}

/// Appends 1,000 blocks' worth of tokens to each of 64 sequences, `tokens_at_once` at a time.
void append_folio(benchmark::State& state, std::int32_t tokens_at_once) {
  Cache cache(CacheConfig{.num_blocks = {pool_blocks}});
  std::vector<Sequence> sequences(64);
  double total = 0;
  for (auto _ : state) {
    for (Sequence& sequence : sequences) sequence = cache.create();
    auto const start = Clock::now();
    for (Sequence& sequence : sequences)
      for (std::int32_t i = 0; i < 16 * batch_blocks; i += tokens_at_once) sequence.extend(tokens_at_once);
    double const seconds = seconds_since(start);
    for (Sequence& sequence : sequences) sequence.release();
    state.SetIterationTime(seconds);
    total += seconds;
  }
  double const calls = static_cast<double>(state.iterations()) * 64 * 16 * batch_blocks / tokens_at_once;
  state.counters["ns_per_block"] = total * 1e9 / (static_cast<double>(state.iterations()) * 64 * batch_blocks);
  state.counters["ns_per_append"] = total * 1e9 / calls;
}

/// The same with a vector of ids for each sequence and a vector of free ids for all.
void append_vector(benchmark::State& state, std::int32_t tokens_at_once) {
  Vector manager;
  std::vector<std::vector<BlockId>> sequences(64);
  double total = 0;
  for (auto _ : state) {
    for (auto& sequence : sequences) sequence = {};
    auto const start = Clock::now();
    for (auto& sequence : sequences) {
      for (std::int32_t length = 0; length < 16 * batch_blocks;) {
        length += tokens_at_once;
        while (std::ssize(sequence) * 16 < length) {
          sequence.push_back(manager.unused.back());
          manager.unused.pop_back();
        }
        benchmark::DoNotOptimize(sequence.data());
      }
    }
    double const seconds = seconds_since(start);
    for (auto& sequence : sequences) manager.free(sequence);
    state.SetIterationTime(seconds);
    total += seconds;
  }
  double const calls = static_cast<double>(state.iterations()) * 64 * 16 * batch_blocks / tokens_at_once;
  state.counters["ns_per_block"] = total * 1e9 / (static_cast<double>(state.iterations()) * 64 * batch_blocks);
  state.counters["ns_per_append"] = total * 1e9 / calls;
}

void settings(benchmark::internal::Benchmark* b) { b->UseManualTime()->Unit(benchmark::kMicrosecond)->MinTime(0.2); }

BENCHMARK(pool<Folio, Timed::allocate>)->Name("pool/allocate")->Apply(settings);
BENCHMARK(pool<Vector, Timed::allocate>)->Name("pool/allocate/baseline_vector")->Apply(settings);
BENCHMARK(pool<ListAndMap, Timed::allocate>)->Name("pool/allocate/baseline_list_and_map")->Apply(settings);
BENCHMARK(pool<Folio, Timed::free>)->Name("pool/free")->Apply(settings);
BENCHMARK(pool<FolioChecked, Timed::free>)->Name("pool/free/checked")->Apply(settings);
BENCHMARK(pool<Vector, Timed::free>)->Name("pool/free/baseline_vector")->Apply(settings);
BENCHMARK(pool<ListAndMap, Timed::free>)->Name("pool/free/baseline_list_and_map")->Apply(settings);
BENCHMARK(fork_folio)->Name("sequence/fork")->Apply(settings);
BENCHMARK(fork_vector)->Name("sequence/fork/baseline_vector")->Apply(settings);
BENCHMARK(fork_shared_pointers)->Name("sequence/fork/baseline_shared_pointers")->Apply(settings);
BENCHMARK_CAPTURE(append_folio, whole, 16 * batch_blocks)->Name("sequence/append")->Apply(settings);
BENCHMARK_CAPTURE(append_vector, whole, 16 * batch_blocks)->Name("sequence/append/baseline_vector")->Apply(settings);
BENCHMARK_CAPTURE(append_folio, token, 1)->Name("sequence/append_one_token")->Apply(settings);
BENCHMARK_CAPTURE(append_vector, token, 1)->Name("sequence/append_one_token/baseline_vector")->Apply(settings);

}  // namespace
