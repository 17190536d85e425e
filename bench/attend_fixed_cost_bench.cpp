// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// ops::attend where there is little to attend to: one sequence of a few tokens, one query token, 32 layers, 8 kv heads
// of 128 with 4 query heads for each, by one thread.
//
// Baseline: the same mathematics over contiguous f32 arrays by one plain loop, in turn with the step, iteration by
// iteration; `ratio_to_plain_loop` is the ratio of the medians, below 1 where attend is faster. `ns_per_call` is a
// layer's share of a step: the plan, made once, and its attention. `fixed_ns_per_call` is the same of a step that sees
// none of its tokens, but prepares its queries as for all of them, and `allocations_per_step` what append, plan and
// attention of all layers take from the heap.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "plain_attention.hpp"
#include "support.hpp"

namespace {

std::atomic<std::int64_t> num_allocations{0};

void* take(std::size_t size, std::size_t alignment) {
  num_allocations.fetch_add(1, std::memory_order_relaxed);
  std::size_t const rounded = (size + alignment) / alignment * alignment;
  if (void* const p = std::aligned_alloc(alignment, rounded)) return p;
  throw std::bad_alloc();
}

}  // namespace

[[gnu::noinline]] void* operator new(std::size_t size) { return take(size, 16); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return take(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t dim = bench_model.head_dim, kv_heads = bench_model.kv_heads, heads = 4, layers = 32;
constexpr std::int32_t query_heads = kv_heads * heads;

double median(std::vector<double> seconds) {
  std::nth_element(seconds.begin(), seconds.begin() + std::ssize(seconds) / 2, seconds.end());
  return seconds[seconds.size() / 2];
}

template <class KeyQuantizer, class ValueQuantizer = KeyQuantizer>
void fixed_cost(benchmark::State& state, std::int32_t context) {
  KvCache<Model<bench_model>, BlockSize<16>, Keys<KeyQuantizer>, Values<ValueQuantizer>> cache(
      CacheConfig{.num_blocks = {blocks_for(context, 16)}, .layers = layers});
  Sequence const sequence = cache.create(context);
  std::vector<float> const rows = random_floats(std::int64_t{context} * row_floats);
  std::vector<float> const q = random_floats(query_heads * dim);
  std::vector<float> out(q.size()), plain_out(q.size());
  auto const all = cache.batch({&sequence});
  for (std::int32_t layer = 0; layer < layers; ++layer) ops::append(all.view(), layer, rows.data(), rows.data());
  auto const batch = cache.batch({{&sequence, 1}});
  AttentionWorkspace workspace;
  auto const step = [&](AttentionParams const& params) {
    auto const start = Clock::now();
    AttentionPlan const plan = ops::plan_attention(batch.view(), query_heads, params, {{}, &workspace});
    for (std::int32_t layer = 0; layer < layers; ++layer)
      ops::attend(plan, layer, AttentionIo{q.data(), query_heads, out.data()});
    benchmark::DoNotOptimize(out.data());
    return seconds_since(start);
  };

  // [layer][kv head][token][dim]; keys are values, too, but lie elsewhere.
  std::int64_t const head_floats = std::int64_t{context} * dim, layer_floats = kv_heads * head_floats;
  std::vector<float> keys(to_size(layers * layer_floats));
  for (std::int64_t layer = 0; layer < layers; ++layer)
    for (std::int64_t token = 0; token < context; ++token)
      for (std::int64_t head = 0; head < kv_heads; ++head)
        std::copy_n(rows.begin() + (token * kv_heads + head) * dim, dim,
                    keys.begin() + layer * layer_floats + head * head_floats + token * dim);
  std::vector<float> const values = keys;
  auto const plain_step = [&] {
    auto const start = Clock::now();
    for (std::int64_t layer = 0; layer < layers; ++layer)
      for (std::int64_t head = 0; head < kv_heads; ++head) {
        std::int64_t const at = layer * layer_floats + head * head_floats, row = head * heads * dim;
        attend_plainly<dim, heads>(keys.data() + at, values.data() + at, context, q.data() + row,
                                   plain_out.data() + row);
      }
    benchmark::DoNotOptimize(plain_out.data());
    return seconds_since(start);
  };

  std::vector<double> seconds, fixed, plain;
  static_cast<void>(step({}));
  std::int64_t const before = num_allocations;
  ops::append(batch.view(), 0, rows.data(), rows.data());
  static_cast<void>(step({}));
  std::int64_t const taken = num_allocations - before;
  for (auto _ : state) {
    fixed.push_back(step({.token_begin = context}));
    plain.push_back(plain_step());
    seconds.push_back(step({}));
    state.SetIterationTime(seconds.back());
  }
  state.counters["ns_per_call"] = median(seconds) * 1e9 / layers;
  state.counters["fixed_ns_per_call"] = median(fixed) * 1e9 / layers;
  state.counters["plain_ns_per_call"] = median(plain) * 1e9 / layers;
  state.counters["ratio_to_plain_loop"] = median(seconds) / median(plain);
  state.counters["allocations_per_step"] = static_cast<double>(taken);
  float const tolerance = KeyQuantizer::bits < 8 || ValueQuantizer::bits < 8 ? 0.5F : 0.05F;
  for (std::size_t i = 0; i < out.size(); ++i)
    if (!(std::abs(out[i] - plain_out[i]) < tolerance * (1 + std::abs(plain_out[i]))))
      return state.SkipWithError("the baseline computes something else");
}

[[maybe_unused]] bool const registered = [] {
  for (std::int32_t const context : {1, 8, 16, 32, 64, 128, 1024}) {
    auto const add = [&](std::string const& name, auto const& f) {
      benchmark::RegisterBenchmark((name + "/kv8/g4/d128/ctx" + std::to_string(context)).c_str(), f, context)
          ->Unit(benchmark::kMicrosecond)
          ->Iterations(context > 100 ? 50 : 400)
          ->UseManualTime();
    };
    add("attend/fixed_cost", fixed_cost<F16>);
    add("attend/fixed_cost_f32", fixed_cost<F32>);
    add("attend/fixed_cost_int8", fixed_cost<Int8PerToken>);
    if (context != 1 && context != 16) continue;  // what the others cost besides grows as theirs
    add("attend/fixed_cost_bf16", fixed_cost<BF16>);
    add("attend/fixed_cost_fp8_e4m3", fixed_cost<Fp8E4M3>);
    add("attend/fixed_cost_int4", fixed_cost<Int4PerToken>);
    add("attend/fixed_cost_k_int8_v_int4_rotated", fixed_cost<Int8PerToken, Int4Rotated>);
    add("attend/fixed_cost_int6_rotated", fixed_cost<Int6Rotated>);
    add("attend/fixed_cost_int4_rotated", fixed_cost<Int4Rotated>);
  }
  return true;
}();

}  // namespace
