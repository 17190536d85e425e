// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// ops::gather: what it costs to read stored keys and values back as floats, for each format and layout.
//
// Baseline: the same decoding from one contiguous array by raw pointers, so the difference is what paging costs.
// Limit: memcpy's bandwidth in the same run; `of_memcpy` is the share of it that reading the blocks and writing the
// rows takes. An iteration reads 512 tokens of one layer; the layers together are larger than the caches.

#include <benchmark/benchmark.h>

#include <string>

#include "support.hpp"

namespace {

using namespace folio;
using namespace folio::bench;

constexpr std::int32_t num_tokens = 512;
constexpr std::int64_t plane_floats = std::int64_t{num_tokens} * row_floats;
constexpr std::int64_t output_bytes = 2 * plane_floats * std::int64_t{sizeof(float)};

/// What memcpy reaches here, measured once.
double memcpy_limit() {
  static double const limit = copy_bandwidth(Copy::to_cache, output_bytes);
  return limit;
}

template <QuantizerPolicy Q>
void report(benchmark::State& state, double seconds) {
  auto const iterations = static_cast<double>(state.iterations());
  double const output = iterations * static_cast<double>(output_bytes) / seconds;
  double const read = iterations * num_tokens * static_cast<double>(stored_bytes_per_token<Q>()) / seconds;
  state.counters["read_GB_per_s"] = read / 1e9;
  state.counters["output_GB_per_s"] = output / 1e9;
  state.counters["of_memcpy"] = (output + read) / memcpy_limit();
}

template <QuantizerPolicy Q, LayoutPolicy Layout>
void gather_paged(benchmark::State& state) {
  using Cache = KvCache<Model<bench_model>, BlockSize<16>, Q, Layout>;
  std::int32_t const layers = layers_to_fill(stored_bytes_per_token<Q>(), num_tokens);
  Cache cache(CacheConfig{.num_blocks = {num_tokens / 16}, .layers = layers});
  Sequence const sequence = cache.create(num_tokens);
  auto const batch = cache.batch({&sequence});
  auto const view = batch.view();
  std::vector<float> keys = random_floats(plane_floats), values = random_floats(plane_floats);
  ops::append(view, 0, keys.data(), values.data());
  copy_first_layer_to_all(cache, view);
  std::int32_t layer = 0;
  auto const start = Clock::now();
  for (auto _ : state) {
    ops::gather(view, layer, {0, 0, num_tokens}, keys.data(), values.data());
    benchmark::ClobberMemory();
    layer = (layer + 1) % layers;
  }
  report<Q>(state, seconds_since(start));
}

template <QuantizerPolicy Q>
void gather_contiguous(benchmark::State& state) {
  constexpr std::int32_t dim = bench_model.head_dim;
  constexpr std::int64_t code_row = code_bytes<Q>(dim), param_row = Q::param_bytes(dim);
  constexpr std::int64_t rows = 2 * std::int64_t{num_tokens} * bench_model.kv_heads;
  std::int32_t const layers = layers_to_fill(stored_bytes_per_token<Q>(), num_tokens);
  std::vector<std::byte> codes(to_size(layers * rows * code_row)), params(to_size(layers * rows * param_row) + 4);
  std::vector<float> output = random_floats(2 * plane_floats);
  for (std::int64_t row = 0; row < rows; ++row)
    Q::encode(output.data() + row * dim, dim, codes.data() + row * code_row, params.data() + row * param_row);
  for (std::int64_t at = 1; at < layers; ++at) {  // every layer is as the first
    std::memcpy(codes.data() + at * rows * code_row, codes.data(), to_size(rows * code_row));
    std::memcpy(params.data() + at * rows * param_row, params.data(), to_size(rows * param_row));
  }
  std::int32_t layer = 0;
  auto const start = Clock::now();
  for (auto _ : state) {
    for (std::int64_t row = 0; row < rows; ++row) {
      std::int64_t const at = layer * rows + row;
      float* const out = output.data() + row * dim;
      decode_row<Q>(codes.data() + at * code_row, params.data() + at * param_row, dim, out);
      change_basis(Q::basis, out, dim, dim);
    }
    benchmark::ClobberMemory();
    layer = (layer + 1) % layers;
  }
  report<Q>(state, seconds_since(start));
}

/// The same bytes as f32, moved by memcpy: the limit as a row of its own.
void gather_memcpy(benchmark::State& state) {
  std::vector<std::byte> memory(to_size(working_set_bytes), std::byte{1}), output(to_size(output_bytes), std::byte{2});
  std::int64_t at = 0;
  auto const start = Clock::now();
  for (auto _ : state) {
    std::memcpy(output.data(), memory.data() + at, output.size());
    benchmark::ClobberMemory();
    at = at + 2 * output_bytes <= working_set_bytes ? at + output_bytes : 0;
  }
  report<F32>(state, seconds_since(start));
}

void settings(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMicrosecond)->Iterations(400)->UseRealTime(); }

template <QuantizerPolicy Q>
void register_format() {
  std::string const name = std::string("gather/") + Q::name + "/";
  benchmark::RegisterBenchmark((name + "hnd").c_str(), gather_paged<Q, LayoutHnd>)->Apply(settings);
  benchmark::RegisterBenchmark((name + "nhd").c_str(), gather_paged<Q, LayoutNhd>)->Apply(settings);
  benchmark::RegisterBenchmark((name + "interleaved").c_str(), gather_paged<Q, LayoutInterleaved>)->Apply(settings);
  benchmark::RegisterBenchmark((name + "baseline_contiguous").c_str(), gather_contiguous<Q>)->Apply(settings);
}

[[maybe_unused]] bool const registered = [] {
  benchmark::RegisterBenchmark("gather/memcpy", gather_memcpy)->Apply(settings);
  register_format<F32>();
  register_format<F16>();
  register_format<BF16>();
  register_format<Fp8E4M3>();
  register_format<Int8PerToken>();
  register_format<Int4Rotated>();
  return true;
}();

}  // namespace
