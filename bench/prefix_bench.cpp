// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The prefix tree: what a block costs to find again, to keep and to evict. Nanoseconds per block of 16 tokens, and the
// 99th percentile of single operations in a tree of 100,000 live sequences.
//
// Baselines: a hash map of chained block hashes, as engines keep it, which trusts its hash; and reading alone: the
// tokens of both sides compared by memcmp, below which no exact match can be.

#include <benchmark/benchmark.h>

#include <folio/detail/sequence_store.hpp>
#include <folio/prefix/prefix_index.hpp>
#include <unordered_map>

#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t block_size = 16, prompt_tokens = 65'536, prompt_blocks = prompt_tokens / block_size;

GroupShape shape() { return group_shape(ModelConfig{.layers = 1, .kv_heads = 1}, 0, block_size); }

/// Hears of every unit that is stored, so that keys are computed.
struct Listener {
  static constexpr PrefixEvents hears = PrefixEvents::stored;
  void stored(PrefixStored const&) noexcept {}
};

/// Block lists and a tree, without the blocks' memory: bookkeeping alone.
template <class Tree = PrefixIndex<>>
struct Ledger {
  explicit Ledger(std::int64_t num_blocks) : Ledger({shape()}, num_blocks) {}
  Ledger(std::vector<GroupShape> const& shapes, std::int64_t num_blocks)
      : blocks(shapes.size(), num_blocks),
        store(shapes, blocks, copies, block_size),
        tree(store.pools(), std::vector<std::int64_t>(shapes.size(), 64)) {
    store.set_reclaimer(&tree);
  }
  ~Ledger() { store.release_all(); }
  SequenceState& create(std::span<std::int32_t const> prompt) {
    SequenceState& state = store.create();
    auto const size = static_cast<std::int32_t>(prompt.size());
    tree.take(tree.find(0, prompt, size - 1), state, prompt);
    if (!store.try_extend(state, size - state.num_tokens)) throw Error("the benchmark's pool is too small");
    return state;
  }
  std::vector<std::int64_t> blocks;
  NoCopies copies;
  SequenceStore store;
  Tree tree;
};

std::vector<std::int32_t> random_tokens(std::int64_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> tokens(to_size(n));
  for (std::int32_t& token : tokens) token = static_cast<std::int32_t>(random() % 128'000);
  return tokens;
}

void per_block(benchmark::State& state, double seconds, double blocks) {
  state.counters["ns_per_block"] = seconds / blocks * 1e9 / static_cast<double>(state.iterations());
}

/// A cached prompt of 65,536 tokens: found, compared exactly, its blocks listed and held; then given back, untimed.
void match(benchmark::State& state) {
  Ledger<> ledger(prompt_blocks + 16);
  auto const prompt = random_tokens(prompt_tokens + 1, 1), again = prompt;
  SequenceState& first = ledger.create(prompt);
  ledger.tree.insert(first, 0, std::span(prompt).first(prompt_tokens));
  ledger.store.release(first);
  double seconds = 0;
  for (auto _ : state) {
    SequenceState& sequence = ledger.store.create();
    auto const start = Clock::now();
    ledger.tree.take(ledger.tree.find(0, again, prompt_tokens), sequence, again);
    double const took = seconds_since(start);
    seconds += took;
    state.SetIterationTime(took);
    if (sequence.num_tokens != prompt_tokens) state.SkipWithError("not found");
    ledger.store.release(sequence);
  }
  per_block(state, seconds, prompt_blocks);
}

/// Reading both copies of the tokens.
void match_memcmp(benchmark::State& state) {
  auto const prompt = random_tokens(prompt_tokens, 1), again = prompt;
  auto const start = Clock::now();
  for (auto _ : state) benchmark::DoNotOptimize(std::memcmp(prompt.data(), again.data(), prompt.size() * 4));
  per_block(state, seconds_since(start), prompt_blocks);
}

/// Of symbols after those of another hash: fast, and no secret in it.
std::uint64_t chained_hash(std::uint64_t before, std::span<std::int32_t const> symbols) {
  for (std::int32_t const symbol : symbols) {
    before = (before ^ static_cast<std::uint32_t>(symbol)) * 0x9FB21C651E98DF25U;
    before ^= before >> 32;
  }
  return before;
}

/// A hash map from each block's chained hash to its id, found one by one; nothing is compared.
void match_hash_map(benchmark::State& state) {
  auto const prompt = random_tokens(prompt_tokens, 1);
  std::unordered_map<std::uint64_t, BlockId> map;
  auto const walk = [&](auto const& visit) {
    std::uint64_t key = 0;
    for (std::int32_t b = 0; b < prompt_blocks; ++b) {
      key = chained_hash(key, std::span(prompt).subspan(to_size(b) * block_size, block_size));
      visit(key, b);
    }
  };
  walk([&](std::uint64_t key, std::int32_t b) { map[key] = BlockId{b + 1}; });
  std::vector<BlockId> found;
  auto const start = Clock::now();
  for (auto _ : state) {
    found.clear();
    walk([&](std::uint64_t key, std::int32_t) { found.push_back(map.find(key)->second); });
    benchmark::DoNotOptimize(found.data());
  }
  per_block(state, seconds_since(start), prompt_blocks);
}

/// The keys of a prompt's units, one after the other.
void keys(benchmark::State& state) {
  auto const prompt = random_tokens(prompt_tokens, 1);
  PrefixKeys const make(KeySecret::random(), block_size);
  auto const start = Clock::now();
  for (auto _ : state) {
    PrefixKey key = make.scope(0);
    for (std::int32_t b = 0; b < prompt_blocks; ++b)
      key = make.unit(key, std::span(prompt).subspan(to_size(b) * block_size, block_size));
    benchmark::DoNotOptimize(key);
  }
  per_block(state, seconds_since(start), prompt_blocks);
}

/// New prompts of 2,048 tokens, kept one after the other; what was kept is evicted, untimed, when memory is full.
template <class Tree = PrefixIndex<>>
void insert(benchmark::State& state) {
  constexpr std::int32_t tokens = 2048, blocks = tokens / block_size;
  Ledger<Tree> ledger(64 * blocks);
  auto prompt = random_tokens(tokens, 2);
  double seconds = 0;
  for (auto _ : state) {
    ++prompt[0];
    SequenceState& sequence = ledger.create(prompt);
    auto const start = Clock::now();
    ledger.tree.insert(sequence, 0, prompt);
    double const took = seconds_since(start);
    seconds += took;
    state.SetIterationTime(took);
    ledger.store.release(sequence);
  }
  per_block(state, seconds, blocks);
}

/// 100,000 live sequences that share a few hundred openings; single operations, their 99th percentile in microseconds.
void many_live(benchmark::State& state) {
  constexpr std::int32_t num_sequences = 100'000, tokens = 512;
  for (auto _ : state) {
    Ledger<> ledger(std::int64_t{num_sequences + 60'000} * (tokens / block_size));
    std::vector<std::vector<std::int32_t>> openings;
    for (unsigned i = 0; i < 300; ++i) openings.push_back(random_tokens(tokens / 2, i + 10));
    std::mt19937 random(3);
    std::vector<double> match_times, insert_times, evict_times;
    auto const timed = [](std::vector<double>& times, auto const& work) {
      auto const start = Clock::now();
      work();
      times.push_back(seconds_since(start) * 1e6);
    };
    auto const one = [&](bool measure) -> SequenceState& {
      std::vector<std::int32_t> prompt = openings[random() % openings.size()];
      for (std::int32_t i = 0; i < tokens / 2; ++i) prompt.push_back(static_cast<std::int32_t>(random() % 128'000));
      std::vector<double> unused;
      SequenceState& sequence = ledger.store.create();
      timed(measure ? match_times : unused,
            [&] { ledger.tree.take(ledger.tree.find(0, prompt, tokens - 1), sequence, prompt); });
      if (!ledger.store.try_extend(sequence, tokens - sequence.num_tokens)) throw Error("the pool is too small");
      timed(measure ? insert_times : unused, [&] { ledger.tree.insert(sequence, 0, prompt); });
      return sequence;
    };
    for (std::int32_t i = 0; i < num_sequences; ++i) one(false);
    for (std::int32_t i = 0; i < 50'000; ++i) ledger.store.release(one(true));
    for (std::int32_t i = 0; i < 50'000; ++i) timed(evict_times, [&] { ledger.tree.evict_unit(); });
    auto const percentile = [](std::vector<double>& times) {
      auto const at = times.begin() + static_cast<std::ptrdiff_t>(times.size() * 99 / 100);
      std::nth_element(times.begin(), at, times.end());
      return *at;
    };
    state.counters["live_sequences"] = num_sequences;
    state.counters["match_p99_us"] = percentile(match_times);
    state.counters["insert_p99_us"] = percentile(insert_times);
    state.counters["evict_p99_us"] = percentile(evict_times);
  }
}

/// 1,000 units evicted from a branch of so many tokens, in a model with full attention and a window of 1,024 tokens.
/// The window's blocks are there for the last window only, or for all that was computed in chunks.
void evict_window(benchmark::State& state) {
  auto const tokens = static_cast<std::int32_t>(state.range(0));
  constexpr std::int32_t units = 1000;
  GroupShape windowed = shape();
  windowed.kind = AttentionKind::sliding_window;
  windowed.window = 1024;
  auto const prompt = random_tokens(tokens, 4);
  std::vector<double> times;
  for (auto _ : state) {
    state.PauseTiming();
    Ledger<> ledger({shape(), windowed}, tokens / block_size + 16);
    SequenceState& sequence = ledger.store.create();
    for (std::int32_t t = 0; t < tokens; t += 4096) {
      if (!ledger.store.try_extend(sequence, 4096)) throw Error("the benchmark's pool is too small");
      if (state.range(1) != 0) ledger.tree.insert(sequence, 0, std::span(prompt).first(to_size(t + 4096)));
    }
    ledger.tree.insert(sequence, 0, prompt);
    ledger.store.release(sequence);
    state.ResumeTiming();
    auto const start = Clock::now();
    for (std::int32_t i = 0; i < units; ++i)
      if (!ledger.tree.evict_unit()) state.SkipWithError("there was nothing to evict");
    times.push_back(seconds_since(start));
    state.SetIterationTime(times.back());
  }
  auto const median = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), median, times.end());
  state.counters["us_per_unit"] = *median / units * 1e6;
}

void settings(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMicrosecond)->UseManualTime()->Iterations(2000);
}
void baseline(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMicrosecond)->Iterations(1000); }

BENCHMARK(match)->Name("prefix/match")->Apply(settings);
BENCHMARK(match_memcmp)->Name("prefix/match/limit_memcmp")->Apply(baseline);
BENCHMARK(match_hash_map)->Name("prefix/match/baseline_hash_map")->Apply(baseline);
BENCHMARK(keys)->Name("prefix/keys")->Apply(baseline);
BENCHMARK(insert<>)->Name("prefix/insert")->Apply(settings);
BENCHMARK(insert<PrefixIndex<LruEviction, Listener>>)->Name("prefix/insert/with_keys")->Apply(settings);
void evictions(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMicrosecond)->UseManualTime()->Iterations(15); }
BENCHMARK(evict_window)->Name("prefix/evict/window1k/ctx16k")->Args({1 << 14, 0})->Apply(evictions);
BENCHMARK(evict_window)->Name("prefix/evict/window1k/ctx1M")->Args({1 << 20, 0})->Apply(evictions);
BENCHMARK(evict_window)->Name("prefix/evict/window1k/chunks/ctx16k")->Args({1 << 14, 1})->Apply(evictions);
BENCHMARK(evict_window)->Name("prefix/evict/window1k/chunks/ctx1M")->Args({1 << 20, 1})->Apply(evictions);
BENCHMARK(many_live)->Name("prefix/many_live")->Unit(benchmark::kMillisecond)->Iterations(1);

}  // namespace
