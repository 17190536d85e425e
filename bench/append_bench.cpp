// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// ops::append: what it costs to store a prompt's keys and values, for each format and layout.
//
// Baseline: the same encoding into one contiguous array by raw pointers, so the difference is what paging costs.
// Limit: memcpy's bandwidth in the same run; `of_memcpy` is the share of it that reading the rows and writing the
// blocks takes. An iteration stores 512 tokens in one layer; the layers together are larger than the caches.
// `ns_per_token_head`: one key and one value of one token in one head, on one thread.

#include <benchmark/benchmark.h>

#include <string>

#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t num_tokens = 512;
constexpr std::int64_t plane_floats = std::int64_t{num_tokens} * row_floats;
constexpr std::int64_t input_bytes = 2 * plane_floats * std::int64_t{sizeof(float)};

/// What memcpy reaches here, measured once.
double memcpy_limit() {
  static double const limit = copy_bandwidth(Copy::from_cache, input_bytes);
  return limit;
}

template <QuantizerPolicy Q>
void report(benchmark::State& state, double seconds) {
  auto const iterations = static_cast<double>(state.iterations());
  double const input = iterations * static_cast<double>(input_bytes) / seconds;
  double const written = iterations * num_tokens * static_cast<double>(stored_bytes_per_token<Q>()) / seconds;
  state.counters["input_GB_per_s"] = input / 1e9;
  state.counters["written_GB_per_s"] = written / 1e9;
  state.counters["of_memcpy"] = (input + written) / memcpy_limit();
  state.counters["ns_per_token_head"] = seconds * 1e9 / (iterations * num_tokens * bench_model.kv_heads);
}

template <QuantizerPolicy Q, LayoutPolicy Layout>
void append_paged(benchmark::State& state) {
  using Cache = KvCache<Model<bench_model>, BlockSize<16>, Q, Layout>;
  std::int32_t const layers = layers_to_fill(stored_bytes_per_token<Q>(), num_tokens);
  Cache cache(CacheConfig{.num_blocks = {num_tokens / 16}, .layers = layers});
  std::memset(cache.pool(), 1, to_size(cache.memory_bytes()));  // the system gives a page at its first touch
  Sequence const sequence = cache.create(num_tokens);
  auto const batch = cache.batch({&sequence});
  auto const view = batch.view();
  std::vector<float> const keys = random_floats(plane_floats), values = random_floats(plane_floats);
  std::int32_t layer = 0;
  auto const start = Clock::now();
  for (auto _ : state) {
    ops::append(view, layer, keys.data(), values.data());
    benchmark::ClobberMemory();
    layer = (layer + 1) % layers;
  }
  report<Q>(state, seconds_since(start));
}

template <QuantizerPolicy Q>
void append_contiguous(benchmark::State& state) {
  constexpr std::int32_t dim = bench_model.head_dim;
  constexpr std::int64_t code_row = code_bytes<Q>(dim), param_row = Q::param_bytes(dim);
  constexpr std::int64_t rows = 2 * std::int64_t{num_tokens} * bench_model.kv_heads;
  std::int32_t const layers = layers_to_fill(stored_bytes_per_token<Q>(), num_tokens);
  std::vector<std::byte> codes(to_size(layers * rows * code_row), std::byte{1});
  std::vector<std::byte> params(to_size(layers * rows * param_row) + 1, std::byte{1});
  std::vector<float> const input = random_floats(2 * plane_floats);
  std::int32_t layer = 0;
  auto const start = Clock::now();
  for (auto _ : state) {
    for (std::int64_t row = 0; row < rows; ++row) {
      std::int64_t const at = layer * rows + row;
      Q::encode(input.data() + row * dim, dim, codes.data() + at * code_row, params.data() + at * param_row);
    }
    benchmark::ClobberMemory();
    layer = (layer + 1) % layers;
  }
  report<Q>(state, seconds_since(start));
}

/// The same bytes as f32, moved by memcpy: the limit as a row of its own.
void append_memcpy(benchmark::State& state) {
  std::vector<std::byte> memory(to_size(working_set_bytes), std::byte{1}), input(to_size(input_bytes), std::byte{2});
  std::int64_t at = 0;
  auto const start = Clock::now();
  for (auto _ : state) {
    std::memcpy(memory.data() + at, input.data(), input.size());
    benchmark::ClobberMemory();
    at = at + 2 * input_bytes <= working_set_bytes ? at + input_bytes : 0;
  }
  report<F32>(state, seconds_since(start));
}

void settings(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMicrosecond)->Iterations(400)->UseRealTime(); }

/// In the default layout only: others do not take every format, and cost the same to write.
template <QuantizerPolicy Q>
void register_whole_rows() {
  std::string const name = std::string("append/") + Q::name + "/";
  benchmark::RegisterBenchmark((name + "hnd").c_str(), append_paged<Q, LayoutHnd>)->Apply(settings);
  benchmark::RegisterBenchmark((name + "baseline_contiguous").c_str(), append_contiguous<Q>)->Apply(settings);
}

template <QuantizerPolicy Q>
void register_format() {
  std::string const name = std::string("append/") + Q::name + "/";
  register_whole_rows<Q>();
  benchmark::RegisterBenchmark((name + "nhd").c_str(), append_paged<Q, LayoutNhd>)->Apply(settings);
  benchmark::RegisterBenchmark((name + "interleaved").c_str(), append_paged<Q, LayoutInterleaved>)->Apply(settings);
}

[[maybe_unused]] bool const registered = [] {
  benchmark::RegisterBenchmark("append/memcpy", append_memcpy)->Apply(settings);
  register_format<F32>();
  register_format<F16>();
  register_format<BF16>();
  register_format<Fp8E4M3>();
  register_format<Int8PerToken>();
  register_format<Int4Rotated>();
  register_whole_rows<Int8PerGroup<32>>();
  register_whole_rows<Int6Rotated>();
  register_whole_rows<Int3Rotated>();
  register_whole_rows<Int2Rotated>();
  register_whole_rows<Nvfp4>();
  register_whole_rows<Mxfp4>();
  return true;
}();

}  // namespace
