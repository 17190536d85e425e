// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// ops::attend: one decode step of one sequence in one layer: 8 kv heads of 128, 4 query heads for each.
//
// Baseline: the same mathematics over contiguous f32 arrays by raw pointers. Limit: decoding reads every key and value
// once, so no step is faster than reading them; `read_bandwidth_fraction` is the share of the bandwidth that the same
// threads reach when they only read, measured in the same run. Each iteration takes the next layer, and the layers
// together are larger than the caches. FOLIO_BENCH_LONG=1 adds a context of 16,384 tokens.

#include <benchmark/benchmark.h>

#include <cmath>
#include <cstdlib>
#include <limits>
#include <memory>
#include <string>

#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t dim = bench_model.head_dim, kv_heads = bench_model.kv_heads, heads_per_kv_head = 4;
constexpr std::int32_t query_heads = kv_heads * heads_per_kv_head;

/// `threads`, and what they can read in a second: measured once.
struct Machine {
  explicit Machine(int num_threads) : threads(num_threads), read_limit(read_bandwidth(threads)) {}
  ThreadPool threads;
  double read_limit;
};
Machine& machine(int num_threads) {
  static std::vector<std::unique_ptr<Machine>> machines;
  for (auto const& m : machines)
    if (m->threads.num_threads() == num_threads) return *m;
  return *machines.emplace_back(std::make_unique<Machine>(num_threads));
}

void report(benchmark::State& state, double seconds, std::int64_t bytes_per_token, std::int32_t context,
            double read_limit) {
  double const read =
      static_cast<double>(state.iterations()) * context * static_cast<double>(bytes_per_token) / seconds;
  state.counters["read_GB_per_s"] = read / 1e9;
  state.counters["read_bandwidth_GB_per_s"] = read_limit / 1e9;
  state.counters["read_bandwidth_fraction"] = read / read_limit;
}

template <QuantizerPolicy Q>
void attend_paged(benchmark::State& state, std::int32_t context, int num_threads) {
  Machine& m = machine(num_threads);
  using Cache = KvCache<Model<bench_model>, BlockSize<16>, Q>;
  std::int32_t const layers = layers_to_fill(stored_bytes_per_token<Q>(), context);
  Cache cache(CacheConfig{.num_blocks = {blocks_for(context, 16)}, .layers = layers});
  Sequence const sequence = cache.create(context);
  {
    auto const prompt = cache.batch({&sequence});
    std::vector<float> const rows = random_floats(std::int64_t{context} * row_floats);
    ops::append(prompt.view(), 0, rows.data(), rows.data());
    copy_first_layer_to_all(cache, prompt.view());
  }
  auto const batch = cache.batch({{&sequence, 1}});
  auto const view = batch.view();
  std::vector<float> const q = random_floats(query_heads * dim);
  std::vector<float> out(q.size());
  std::int32_t layer = 0;
  auto const start = Clock::now();
  for (auto _ : state) {
    ops::attend(view, layer, q.data(), query_heads, out.data(), nullptr, {.threads = &m.threads});
    benchmark::DoNotOptimize(out.data());
    layer = (layer + 1) % layers;
  }
  report(state, seconds_since(start), stored_bytes_per_token<Q>(), context, m.read_limit);
}

float dot(float const* a, float const* b) {
  float lanes[8] = {};
  for (std::int32_t d = 0; d < dim; d += 8)
    for (std::int32_t j = 0; j < 8; ++j) lanes[j] += a[d + j] * b[d + j];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// The four query heads of one kv head over contiguous keys and values [context][dim], 16 tokens at a time, with the
/// running softmax of ops::attend.
void attend_raw(float const* keys, float const* values, std::int32_t context, float const* q, float* out) {
  constexpr std::int32_t tile = 16;
  float const scale = 1.0F / std::sqrt(static_cast<float>(dim));
  float max[heads_per_kv_head], sum[heads_per_kv_head] = {};
  std::fill(max, max + heads_per_kv_head, -std::numeric_limits<float>::infinity());
  std::fill(out, out + heads_per_kv_head * dim, 0.0F);
  for (std::int64_t first = 0; first < context; first += tile) {
    for (std::int32_t head = 0; head < heads_per_kv_head; ++head) {
      float* const acc = out + head * dim;
      float scores[tile];
      for (std::int32_t t = 0; t < tile; ++t) scores[t] = scale * dot(q + head * dim, keys + (first + t) * dim);
      float const next = std::max(max[head], *std::max_element(scores, scores + tile));
      float const keep = std::exp(max[head] - next);
      if (keep != 1.0F)
        for (std::int32_t d = 0; d < dim; ++d) acc[d] *= keep;
      sum[head] *= keep;
      for (std::int32_t t = 0; t < tile; ++t) {
        float const weight = std::exp(scores[t] - next);
        float const* const value = values + (first + t) * dim;
        sum[head] += weight;
        for (std::int32_t d = 0; d < dim; ++d) acc[d] += weight * value[d];
      }
      max[head] = next;
    }
  }
  for (std::int32_t head = 0; head < heads_per_kv_head; ++head)
    for (std::int32_t d = 0; d < dim; ++d) out[head * dim + d] /= sum[head];
}

/// Whether attend_raw computes what ops::attend does, over the same keys, which are the values too.
bool baseline_is_right(std::vector<float> const& keys, std::int32_t context, std::vector<float> const& q,
                       std::vector<float> const& out) {
  KvCache<Model<bench_model>, F32> cache(CacheConfig{.num_blocks = {blocks_for(context, 16)}, .layers = 1});
  Sequence const sequence = cache.create(context);
  std::vector<float> rows(keys.size()), expected(out.size());
  for (std::int64_t token = 0; token < context; ++token)
    for (std::int64_t head = 0; head < kv_heads; ++head)
      std::copy_n(keys.begin() + (head * context + token) * dim, dim, rows.begin() + (token * kv_heads + head) * dim);
  ops::append(cache.batch({&sequence}).view(), 0, rows.data(), rows.data());
  ops::attend(cache.batch({{&sequence, 1}}).view(), 0, q.data(), query_heads, expected.data());
  for (std::size_t i = 0; i < out.size(); ++i)
    if (!(std::abs(out[i] - expected[i]) < 1e-5F)) return false;
  return true;
}

void attend_contiguous(benchmark::State& state, std::int32_t context, int num_threads) {
  Machine& m = machine(num_threads);
  std::int32_t const layers = layers_to_fill(stored_bytes_per_token<F32>(), context);
  std::int64_t const head_floats = std::int64_t{context} * dim, layer_floats = kv_heads * head_floats;
  std::vector<float> const first_layer = random_floats(layer_floats);
  std::vector<float> keys(to_size(layers * layer_floats)), values(keys.size());
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    std::copy(first_layer.begin(), first_layer.end(), keys.begin() + layer * layer_floats);
    std::copy(first_layer.begin(), first_layer.end(), values.begin() + layer * layer_floats);
  }
  std::vector<float> const q = random_floats(query_heads * dim);
  std::vector<float> out(q.size());
  std::int32_t layer = 0;
  auto const start = Clock::now();
  for (auto _ : state) {
    m.threads.parallel_for(kv_heads, [&](std::int64_t head) {
      std::int64_t const at = layer * layer_floats + head * head_floats;
      std::int64_t const row = head * heads_per_kv_head * dim;
      attend_raw(keys.data() + at, values.data() + at, context, q.data() + row, out.data() + row);
    });
    benchmark::DoNotOptimize(out.data());
    layer = (layer + 1) % layers;
  }
  report(state, seconds_since(start), stored_bytes_per_token<F32>(), context, m.read_limit);
  if (!baseline_is_right(first_layer, context, q, out)) state.SkipWithError("the baseline computes something else");
}

template <class F>
void add(char const* what, F const& f) {
  std::vector<std::int32_t> contexts{2048};
  if (std::getenv("FOLIO_BENCH_LONG") != nullptr) contexts.push_back(16384);
  for (std::int32_t const context : contexts)
    for (int const threads : {1, 2}) {
      std::string const name =
          std::string("attend/") + what + "/context:" + std::to_string(context) + "/threads:" + std::to_string(threads);
      benchmark::RegisterBenchmark(name.c_str(), f, context, threads)
          ->Unit(benchmark::kMicrosecond)
          ->Iterations(200 * 2048 / context)
          ->UseRealTime();
    }
}

[[maybe_unused]] bool const registered = [] {
  add("baseline_contiguous_f32", attend_contiguous);
  add("f32", attend_paged<F32>);
  add("f16", attend_paged<F16>);
  add("int8", attend_paged<Int8PerToken>);
  add("int4_rotated", attend_paged<Int4Rotated>);
  return true;
}();

}  // namespace
