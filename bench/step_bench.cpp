// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A step's bookkeeping: a token more for each sequence, and the tables that kernels read. Nanoseconds per step.
//
// Beside it, in turn with it, run two loops over std::vector, which do less than is needed (no reference counts, no
// checks, no copy on write, one layer group): one copies each sequence's blocks into its row in every step, one has
// rows of a fixed width and writes what is new. ratio_to_vectors and ratio_to_kept_rows are the medians of Folio's time
// over theirs.

#include <benchmark/benchmark.h>

#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t block_size = 16, steps_at_once = 64;

/// Sequences as an engine meets them: each at another place in its last block, `ctx` tokens in the middle of a round.
struct Load {
  std::int32_t num_sequences, ctx;
  [[nodiscard]] std::int32_t first_length(std::int32_t i) const { return ctx - steps_at_once / 2 - i * 7 % block_size; }
  [[nodiscard]] std::int32_t most_blocks() const { return blocks_for(ctx + steps_at_once, block_size); }
  [[nodiscard]] std::int64_t num_blocks() const { return std::int64_t{num_sequences} * most_blocks(); }
};

/// One head of 8 elements: the smallest blocks there are, because only their ids matter here.
constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 8};

class Folio {
 public:
  explicit Folio(Load const& load) : load_(load), cache_(CacheConfig{.num_blocks = {load.num_blocks()}}) {
    for (std::int32_t i = 0; i < load.num_sequences; ++i) sequences_.push_back(cache_.create(load.first_length(i)));
    for (Sequence const& sequence : sequences_) items_.emplace_back(&sequence);
  }
  void begin_round() {
    for (std::int32_t i = 0; i < load_.num_sequences; ++i) {
      sequences_[to_size(i)].truncate(load_.first_length(i) - 1);
      sequences_[to_size(i)].extend(1);
    }
    cache_.batch(items_, batch_);
  }
  void step() {
    for (Sequence& sequence : sequences_) sequence.extend(1);
    cache_.batch(items_, batch_);
    benchmark::DoNotOptimize(batch_.bytes().data());
  }

 private:
  using Cache = KvCache<Model<tiny>, BlockSize<block_size>>;
  Load load_;
  Cache cache_;
  std::vector<Sequence> sequences_;
  std::vector<BatchItem> items_;
  Batch<Cache::View> batch_ = cache_.batch(std::span<BatchItem const>{});
};

/// Block lists, and a stack of free ids.
class Vectors {
 public:
  explicit Vectors(Load const& load) : load_(load), lists_(to_size(load.num_sequences)), lengths_(lists_.size()) {
    for (std::int64_t i = load.num_blocks(); i > 0; --i) free_.push_back(static_cast<int>(i));
    slots_.resize(lists_.size());
    query_starts_.resize(lists_.size() + 1);
    for (std::int32_t i = 0; i < load.num_sequences; ++i)
      while (lengths_[to_size(i)] < load.first_length(i)) append(to_size(i));
  }
  void begin_round() {
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      lengths_[i] = load_.first_length(static_cast<std::int32_t>(i));
      for (; std::ssize(lists_[i]) > blocks_for(lengths_[i], block_size); lists_[i].pop_back())
        free_.push_back(lists_[i].back());
    }
  }

 protected:
  /// Whether it took a block.
  bool append(std::size_t i) {
    bool const is_full = lengths_[i]++ % block_size == 0;
    if (is_full) {
      lists_[i].push_back(free_.back());
      free_.pop_back();
    }
    return is_full;
  }
  /// What kernels need beside the rows.
  void fill_slot(std::size_t i) {
    int const last = lengths_[i] - 1;
    slots_[i] = std::int64_t{lists_[i].back()} * block_size + last % block_size;
    query_starts_[i + 1] = query_starts_[i] + 1;
  }

  Load load_;
  std::vector<std::vector<int>> lists_;
  std::vector<int> lengths_, free_, query_starts_, table_;
  std::vector<std::int64_t> slots_;
};

struct CopiedRows : Vectors {
  using Vectors::Vectors;
  void step() {
    std::size_t width = 0;
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      append(i);
      width = std::max(width, lists_[i].size());
    }
    table_.resize(lists_.size() * width);
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      auto const row = table_.begin() + static_cast<std::ptrdiff_t>(i * width);
      std::fill(std::copy(lists_[i].begin(), lists_[i].end(), row), row + static_cast<std::ptrdiff_t>(width), 0);
      fill_slot(i);
    }
    benchmark::DoNotOptimize(table_.data());
    benchmark::DoNotOptimize(slots_.data());
    benchmark::ClobberMemory();
  }
};

struct KeptRows : Vectors {
  explicit KeptRows(Load const& load) : Vectors(load) { table_.resize(to_size(load.num_blocks())); }
  void begin_round() {
    Vectors::begin_round();
    std::fill(table_.begin(), table_.end(), 0);
    for (std::size_t i = 0; i < lists_.size(); ++i)
      std::copy(lists_[i].begin(), lists_[i].end(), table_.begin() + static_cast<std::ptrdiff_t>(i * width()));
  }
  void step() {
    for (std::size_t i = 0; i < lists_.size(); ++i) {
      if (append(i)) table_[i * width() + lists_[i].size() - 1] = lists_[i].back();
      fill_slot(i);
    }
    benchmark::DoNotOptimize(table_.data());
    benchmark::DoNotOptimize(slots_.data());
    benchmark::ClobberMemory();
  }
  [[nodiscard]] std::size_t width() const { return to_size(load_.most_blocks()); }
};

template <class Engine>
double round_seconds(Engine& engine) {
  engine.begin_round();
  auto const start = Clock::now();
  for (int step = 0; step < steps_at_once; ++step) engine.step();
  return seconds_since(start) / steps_at_once;
}

double median(std::vector<double> values) {
  auto const middle = values.begin() + std::ssize(values) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

void append_and_tables(benchmark::State& state, Load const& load) {
  Folio folio(load);
  CopiedRows copied(load);
  KeptRows kept(load);
  std::vector<double> seconds, to_vectors, to_kept_rows;
  for (auto _ : state) {
    double const by_copies = round_seconds(copied), by_folio = round_seconds(folio), by_kept = round_seconds(kept);
    state.SetIterationTime(by_folio);
    seconds.push_back(by_folio);
    to_vectors.push_back(by_folio / by_copies);
    to_kept_rows.push_back(by_folio / by_kept);
  }
  state.counters["ns_per_step"] = median(seconds) * 1e9;
  state.counters["ratio_to_vectors"] = median(to_vectors);
  state.counters["ratio_to_kept_rows"] = median(to_kept_rows);
}

void settings(benchmark::internal::Benchmark* b) { b->UseManualTime()->Unit(benchmark::kMicrosecond)->Iterations(300); }

BENCHMARK_CAPTURE(append_and_tables, 1, Load{1, 4096})->Name("step/append_and_tables/seqs1/ctx4096")->Apply(settings);
BENCHMARK_CAPTURE(append_and_tables, 8, Load{8, 4096})->Name("step/append_and_tables/seqs8/ctx4096")->Apply(settings);
BENCHMARK_CAPTURE(append_and_tables, 256, Load{256, 4096})
    ->Name("step/append_and_tables/seqs256/ctx4096")
    ->Apply(settings);
BENCHMARK_CAPTURE(append_and_tables, 1_long, Load{1, 131'072})
    ->Name("step/append_and_tables/seqs1/ctx131072")
    ->Apply(settings);
BENCHMARK_CAPTURE(append_and_tables, 256_long, Load{256, 131'072})
    ->Name("step/append_and_tables/seqs256/ctx131072")
    ->Apply(settings)
    ->Iterations(20);

}  // namespace
