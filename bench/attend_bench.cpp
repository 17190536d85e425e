// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// ops::attend by two threads, 8 kv heads of 128 with 4 query heads for each: decode steps, and a prompt's prefill.
//
// Each step is planned once, as an engine does, and the time is that of a layer.
//
// Decode. Baseline: F16, run in turn with each format, iteration by iteration; `speedup_over_f16` is the ratio of the
// medians. Limit: a step reads every key and value once; `read_bandwidth_fraction` is the share of what the same
// threads reach when they only read, measured before and after each benchmark. Another baseline is the same mathematics
// over contiguous f32 arrays by raw pointers, one plain loop that the compiler vectorizes. A cache that demotes runs in
// turn with one that stores all in the smaller format, too: `ratio_to_plain`. Each iteration takes the
// next layer, and the layers together are larger than the caches. Prefill. Limit: multiplications; `peak_fraction` is
// the share of the threads' fused multiply-adds in the widest registers that the kernels use, measured in the same run,
// of the operations that causal attention needs.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cmath>
#include <folio/eviction/lru.hpp>
#include <folio/ops/demote.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <folio/quantizer/two_sided_tile.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <optional>
#include <string>
#include <type_traits>

#include "peak_flops.hpp"
#include "plain_attention.hpp"
#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t dim = bench_model.head_dim, kv_heads = bench_model.kv_heads, heads_per_kv_head = 4;
constexpr std::int32_t query_heads = kv_heads * heads_per_kv_head;

ThreadPool& threads() {
  static ThreadPool pool(2);
  return pool;
}

/// The rows of `num_tokens` tokens: 1,024 different ones, again and again.
std::vector<float> const& token_rows(std::int64_t num_tokens) {
  static std::vector<float> const some = random_floats(std::int64_t{1024} * row_floats);
  static std::vector<float> rows;
  while (rows.size() < to_size(num_tokens * row_floats)) rows.insert(rows.end(), some.begin(), some.end());
  return rows;
}

/// Sequences of one length in a cache of as many layers as fill the working set.
template <class KeyQuantizer, class ValueQuantizer>
class Steps {
 public:
  static constexpr bool tiles = is_tile_format<KeyQuantizer>;
  static constexpr std::int32_t block_size = tiles ? 128 : 16;
  using Cache = KvCache<Model<bench_model>, BlockSize<block_size>, Keys<KeyQuantizer>, Values<ValueQuantizer>>;

  Steps(std::int32_t num_sequences, std::int32_t context, std::int32_t query_tokens)
      : layers_(layers_to_fill(bytes_per_token, num_sequences * context)),
        cache_(CacheConfig{.num_blocks = {num_sequences * blocks_for(context, block_size)}, .layers = layers_}),
        step_bytes_(bytes_per_token * context * num_sequences),
        q_(random_floats(std::int64_t{num_sequences} * query_tokens * query_heads * dim)),
        out_(q_.size()) {
    std::vector<BatchItem> all, last;
    for (std::int32_t i = 0; i < num_sequences; ++i) sequences_.push_back(cache_.create(context));
    for (Sequence& sequence : sequences_) {
      all.emplace_back(&sequence);
      last.emplace_back(&sequence, query_tokens);
    }
    auto const prompt = cache_.batch(all);
    float const* const rows = token_rows(std::int64_t{num_sequences} * context).data();
    if constexpr (tiles)
      demote(prompt.view(), rows, context);
    else
      ops::append(prompt.view(), 0, rows, rows);
    copy_first_layer_to_all(cache_, prompt.view());
    batch_.emplace(cache_.batch(last));
    plan_.emplace(ops::plan_attention(batch_->view(), query_heads, {}, {&threads(), &workspace_}));
  }

  /// One layer of a step; returns its seconds.
  double run() {
    auto const start = Clock::now();
    ops::attend(*plan_, layer_, AttentionIo{q_.data(), query_heads, out_.data()});
    benchmark::DoNotOptimize(out_.data());
    double const seconds = seconds_since(start);
    layer_ = (layer_ + 1) % layers_;
    return seconds;
  }
  [[nodiscard]] std::int64_t step_bytes() const { return step_bytes_; }

 private:
  /// By way of a cache of floats.
  template <class View>
  void demote(View const& view, float const* rows, std::int32_t context) {
    KvCache<Model<bench_model>, F32> floats(CacheConfig{.num_blocks = {blocks_for(context, 16)}, .layers = 1});
    Sequence const sequence = floats.create(context);
    auto const batch = floats.batch({&sequence});
    for (std::int32_t i = 0; i < std::ssize(sequences_); ++i, rows += std::int64_t{context} * row_floats) {
      ops::append(batch.view(), 0, rows, rows);
      ops::demote(batch.view(), 0, {0, 0, context}, view, {i, 0, context}, &threads());
    }
  }

  static constexpr std::int64_t bytes_per_token =
      (stored_bytes_per_token<KeyQuantizer>() + stored_bytes_per_token<ValueQuantizer>()) / 2;
  std::int32_t layers_, layer_ = 0;
  Cache cache_;
  std::int64_t step_bytes_;
  std::vector<float> q_, out_;
  std::vector<Sequence> sequences_;
  AttentionWorkspace workspace_;
  std::optional<AttentionPlan> plan_;
  std::optional<std::remove_cvref_t<decltype(std::declval<Cache&>().batch(std::vector<BatchItem>{}))>> batch_;
};

void report(benchmark::State& state, std::vector<double> const& seconds, std::int64_t step_bytes, double read_limit,
            double f16_seconds) {
  double const read = static_cast<double>(step_bytes) / median(seconds);
  state.counters["bytes_per_second"] = read;
  state.counters["read_bandwidth"] = read_limit;
  state.counters["read_bandwidth_fraction"] = read / read_limit;
  state.counters["speedup_over_f16"] = f16_seconds / median(seconds);
}

/// Runs `step` in turn with the same step of F16.
template <class Step>
void run_beside_f16(benchmark::State& state, std::int32_t num_sequences, std::int32_t context, std::int64_t step_bytes,
                    Step const& step) {
  Steps<F16, F16> f16(num_sequences, context, 1);
  double read_limit = read_bandwidth(threads());
  std::vector<double> seconds, f16_seconds;
  for (auto _ : state) {
    f16_seconds.push_back(f16.run());
    seconds.push_back(step());
    state.SetIterationTime(seconds.back());
  }
  read_limit = std::max(read_limit, read_bandwidth(threads()));
  report(state, seconds, step_bytes, read_limit, median(f16_seconds));
}

template <class KeyQuantizer, class ValueQuantizer>
void decode(benchmark::State& state, std::int32_t num_sequences, std::int32_t context) {
  Steps<KeyQuantizer, ValueQuantizer> steps(num_sequences, context, 1);
  run_beside_f16(state, num_sequences, context, steps.step_bytes(), [&] { return steps.run(); });
}

/// A decode step over sinks and newest tokens in f16 and all others demoted, of a request that found its prompt as a
/// prefix.
template <class Quantizer>
class MixedSteps {
 public:
  MixedSteps(std::int32_t context, std::int32_t sinks, std::int32_t recent_window)
      : layers_(layers_to_fill(stored_bytes_per_token<Quantizer>(), context)),
        cache_(CacheConfig{
            .num_blocks = {blocks_for(context, 16) + 8},
            .layers = layers_,
            .demotion = {.sinks = sinks, .recent_window = recent_window, .num_blocks = {blocks_for(context, 16)}}}),
        q_(random_floats(query_heads * dim)),
        out_(q_.size()) {
    std::vector<std::int32_t> const prompt(to_size(context));
    {
      Sequence first = cache_.create(context);
      auto const batch = cache_.batch({&first});
      float const* const rows = token_rows(context).data();
      for (std::int32_t layer = 0; layer < layers_; ++layer) ops::append(batch.view(), layer, rows, rows, &threads());
      cache_.demote(first, folio::all_tokens, &threads());
      cache_.insert(first, prompt);
    }
    sequence_ = cache_.create(Prefix(prompt));
    num_found_ = sequence_.num_tokens();
    sequence_.extend(context - num_found_);
    batch_.emplace(cache_.batch({{&sequence_, 1}}));
    float const* const last = token_rows(context).data() + std::int64_t{context - 1} * row_floats;
    for (std::int32_t layer = 0; layer < layers_; ++layer) ops::append(batch_->view(), layer, last, last);
    plan_.emplace(ops::plan_attention(batch_->view(), query_heads, {}, {&threads(), &workspace_}));
  }

  double run() {
    auto const start = Clock::now();
    ops::attend(*plan_, layer_, AttentionIo{q_.data(), query_heads, out_.data()});
    benchmark::DoNotOptimize(out_.data());
    double const seconds = seconds_since(start);
    layer_ = (layer_ + 1) % layers_;
    return seconds;
  }
  [[nodiscard]] std::int64_t step_bytes() const {
    std::int64_t const demoted = sequence_.num_demoted_tokens();
    return demoted * stored_bytes_per_token<Quantizer>() +
           (sequence_.num_tokens() - demoted) * stored_bytes_per_token<F16>();
  }
  [[nodiscard]] std::int32_t num_found() const { return num_found_; }
  [[nodiscard]] std::int32_t num_demoted() const { return sequence_.num_demoted_tokens(); }

 private:
  using Cache = KvCache<Model<bench_model>, F16, Demote<Quantizer>, LruEviction>;
  std::int32_t layers_, layer_ = 0, num_found_ = 0;
  Cache cache_;
  std::vector<float> q_, out_;
  Sequence sequence_;
  AttentionWorkspace workspace_;
  std::optional<Batch<typename Cache::View>> batch_;
  std::optional<ops::MixedAttentionPlan> plan_;
};

/// In turn with the same step of a cache that stores all in the format of what is demoted.
template <class Quantizer>
void decode_mixed(benchmark::State& state, std::int32_t context) {
  MixedSteps<Quantizer> mixed(context, 16, 64);
  Steps<Quantizer, Quantizer> plain(1, context, 1);
  std::vector<double> seconds, plain_seconds;
  run_beside_f16(state, 1, context, mixed.step_bytes(), [&] {
    plain_seconds.push_back(plain.run());
    seconds.push_back(mixed.run());
    return seconds.back();
  });
  state.counters["ratio_to_plain"] = median(seconds) / median(plain_seconds);
  state.counters["found_tokens"] = mixed.num_found();
  state.counters["demoted_tokens"] = mixed.num_demoted();
}

/// Whether attend_plainly computes what ops::attend does, over the same keys, which are the values too.
bool baseline_is_right(std::vector<float> const& keys, std::int32_t context, std::vector<float> const& q,
                       std::vector<float> const& out) {
  KvCache<Model<bench_model>, F32> cache(CacheConfig{.num_blocks = {blocks_for(context, 16)}, .layers = 1});
  Sequence const sequence = cache.create(context);
  std::vector<float> rows(keys.size()), expected(out.size());
  for (std::int64_t token = 0; token < context; ++token)
    for (std::int64_t head = 0; head < kv_heads; ++head)
      std::copy_n(keys.begin() + (head * context + token) * dim, dim, rows.begin() + (token * kv_heads + head) * dim);
  ops::append(cache.batch({&sequence}).view(), 0, rows.data(), rows.data());
  ops::attend(cache.batch({{&sequence, 1}}).view(), 0, AttentionIo{q.data(), query_heads, expected.data()});
  for (std::size_t i = 0; i < out.size(); ++i)
    if (!(std::abs(out[i] - expected[i]) < 1e-4F * (1 + std::abs(expected[i])))) return false;
  return true;
}

void decode_contiguous(benchmark::State& state, std::int32_t context) {
  std::int32_t const layers = layers_to_fill(stored_bytes_per_token<F32>(), context);
  std::int64_t const head_floats = std::int64_t{context} * dim, layer_floats = kv_heads * head_floats;
  std::vector<float> const first_layer(token_rows(context).begin(), token_rows(context).begin() + layer_floats);
  std::vector<float> keys(to_size(layers * layer_floats)), values(keys.size());
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    std::copy(first_layer.begin(), first_layer.end(), keys.begin() + layer * layer_floats);
    std::copy(first_layer.begin(), first_layer.end(), values.begin() + layer * layer_floats);
  }
  std::vector<float> const q = random_floats(query_heads * dim);
  std::vector<float> out(q.size());
  std::int32_t layer = 0;
  run_beside_f16(state, 1, context, stored_bytes_per_token<F32>() * context, [&] {
    auto const start = Clock::now();
    threads().parallel_for(kv_heads, [&](std::int64_t head) {
      std::int64_t const at = layer * layer_floats + head * head_floats, row = head * heads_per_kv_head * dim;
      attend_plainly<dim, heads_per_kv_head>(keys.data() + at, values.data() + at, context, q.data() + row,
                                             out.data() + row);
    });
    layer = (layer + 1) % layers;
    return seconds_since(start);
  });
  if (!baseline_is_right(first_layer, context, q, out)) state.SkipWithError("the baseline computes something else");
}

/// A prompt of `tokens`, all of whose query tokens attend at once.
template <class Quantizer>
void prefill(benchmark::State& state, std::int32_t tokens) {
  Steps<Quantizer, Quantizer> steps(1, tokens, tokens);
  std::vector<double> seconds;
  double const peak = peak_flops(threads());
  for (auto _ : state) {
    seconds.push_back(steps.run());
    state.SetIterationTime(seconds.back());
  }
  // A multiplication and an addition for each seen token and dim, for scores and for values.
  double const flops = 4.0 * dim * query_heads * (0.5 * tokens * (tokens + 1.0)) / median(seconds);
  state.counters["flops_per_second"] = flops;
  state.counters["peak_flops"] = std::max(peak, peak_flops(threads()));
  state.counters["peak_fraction"] = flops / state.counters["peak_flops"].value;
}

constexpr char const* shape = "/kv8/g4/d128/";

void add(std::string const& name, std::int64_t iterations, auto const& f, auto... arguments) {
  benchmark::RegisterBenchmark(name.c_str(), f, arguments...)
      ->Unit(benchmark::kMicrosecond)
      ->Iterations(iterations)
      ->UseManualTime();
}

template <class KeyQuantizer, class ValueQuantizer = KeyQuantizer>
void add_decode(std::string const& format) {
  auto const f = decode<KeyQuantizer, ValueQuantizer>;
  add("attend/decode/" + format + shape + "ctx16384", 40, f, 1, 16384);
  add("attend/decode/" + format + shape + "seqs16/ctx2048", 20, f, 16, 2048);
}

[[maybe_unused]] bool const registered = [] {
  add(std::string("attend/decode/baseline_contiguous_f32") + shape + "ctx16384", 20, decode_contiguous, 16384);
  add_decode<F32>("f32");
  add_decode<F16>("f16");
  add_decode<BF16>("bf16");
  add_decode<Fp8E4M3>("fp8_e4m3");
  add_decode<Int8PerToken>("int8");
  add_decode<Int8PerToken, Int4Rotated>("k_int8_v_int4_rotated");
  add_decode<Int6Rotated>("int6_rotated");
  add_decode<Int4Rotated>("int4_rotated");
  add_decode<Int3Rotated>("int3_rotated");
  add_decode<Int2Rotated>("int2_rotated");
  add_decode<TwoSidedTile<2, 128, GridSide::channels>, TwoSidedTile<2, 128, GridSide::tokens>>("int2_two_sided");
  add(std::string("attend/decode/f16+int4_rotated") + shape + "ctx16384", 40, decode_mixed<Int4Rotated>, 16384);
  add(std::string("attend/prefill/f16") + shape + "tokens512", 20, prefill<F16>, 512);
  add(std::string("attend/prefill/int8") + shape + "tokens512", 20, prefill<Int8PerToken>, 512);
  add(std::string("attend/prefill/int4_rotated") + shape + "tokens512", 20, prefill<Int4Rotated>, 512);
  return true;
}();

}  // namespace
