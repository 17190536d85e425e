// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The device's operations, each beside the GPU's own limit in the same run: the bandwidth of a plain copy, or of plain
// reading. Times are the device's, from events. Needs a GPU.

#include <folio/ops/prefill.cuh>
#include <folio/ops/swap.cuh>
#include <iostream>

#include "support.cuh"

namespace {

using namespace folio;
using namespace folio::bench;

/// A cache with `num_sequences` sequences of `num_tokens` tokens, enough layers to leave the L2 behind, all written.
template <QuantizerPolicy Q, LayoutPolicy Layout = LayoutHnd>
struct Filled {
  using Cache = KvCache<Model<bench_model>, BlockSize<16>, Q, Layout, DeviceAllocator>;

  Filled(std::int32_t num_sequences, std::int32_t num_tokens, std::int32_t queries)
      : layers(static_cast<std::int32_t>(
            std::max<std::int64_t>(1, working_set_bytes / (stored_bytes_per_token<Q>() * num_sequences * num_tokens)))),
        cache({.num_blocks = {std::int64_t{num_sequences} * (num_tokens / 16 + 1)}, .layers = layers},
              DeviceAllocator(timer.stream())),
        batch(cache, {num_sequences, std::max(num_sequences * queries, chunk), num_tokens}) {
    Array<Half> const rows(std::int64_t{chunk} * row_floats);
    for (std::int32_t i = 0; i < num_sequences; ++i) sequences.push_back(cache.create());
    for (Sequence& sequence : sequences)
      for (std::int32_t done = 0; done < num_tokens; done += chunk) {
        sequence.append(std::min(chunk, num_tokens - done));
        batch.upload({&sequence}, timer.stream());
        for (std::int32_t layer = 0; layer < layers; ++layer)
          ops::append(batch.view(), layer, rows.data(), rows.data(), timer.stream());
      }
    std::vector<BatchItem> items;
    for (Sequence const& sequence : sequences) items.emplace_back(&sequence, queries);
    batch.upload(items, timer.stream());
    check_cuda(cudaStreamSynchronize(timer.stream()), "filling the cache");
  }

  static constexpr std::int32_t chunk = 2048;  // tokens that are written at a time
  Timer timer;
  std::int32_t layers;
  Cache cache;
  DeviceBatch<typename Cache::View> batch;
  std::vector<Sequence> sequences;
};

/// Runs `work(layer)` on a layer after the other, so that none is in the L2 when its turn comes.
template <class Fixture, class Work>
void run(benchmark::State& state, Fixture& fixture, double bytes, double limit, Work const& work) {
  std::int32_t layer = 0;
  double total = 0;
  work(layer);  // loads the kernel
  for (auto _ : state) {
    double const seconds = fixture.timer.seconds([&] { work(layer); });
    state.SetIterationTime(seconds);
    total += seconds;
    layer = (layer + 1) % fixture.layers;
  }
  double const rate = bytes * static_cast<double>(state.iterations()) / total;
  state.counters["bytes_per_second"] = rate;
  state.counters["of_limit"] = rate / limit;
}

template <QuantizerPolicy Q, LayoutPolicy Layout>
void append(benchmark::State& state) {
  constexpr std::int32_t tokens = 8192;
  Filled<Q, Layout> filled(8, tokens / 8, tokens / 8);
  Array<Half> const keys(std::int64_t{tokens} * row_floats), values(keys.size());
  double const bytes = tokens * static_cast<double>(2 * row_floats * 2 + stored_bytes_per_token<Q>());
  run(state, filled, bytes, copy_bandwidth(), [&](std::int32_t layer) {
    ops::append(filled.batch.view(), layer, keys.data(), values.data(), filled.timer.stream());
  });
}

template <QuantizerPolicy Q, LayoutPolicy Layout>
void gather(benchmark::State& state) {
  constexpr std::int32_t tokens = 16384;
  Filled<Q, Layout> filled(1, tokens, 1);
  Array<Half> const keys(std::int64_t{tokens} * row_floats), values(keys.size());
  double const bytes = tokens * static_cast<double>(2 * row_floats * 2 + stored_bytes_per_token<Q>());
  run(state, filled, bytes, copy_bandwidth(), [&](std::int32_t layer) {
    ops::gather(filled.batch.view(), 0, layer, 0, tokens, keys.data(), values.data(), filled.timer.stream());
  });
}

template <QuantizerPolicy Q, LayoutPolicy Layout>
void decode(benchmark::State& state) {
  auto const num_sequences = static_cast<std::int32_t>(state.range(0)),
             tokens = static_cast<std::int32_t>(state.range(1));
  Filled<Q, Layout> filled(num_sequences, tokens, 1);
  Array<Half> const q(std::int64_t{filled.batch.size().num_query_tokens} * num_query_heads * 128), out(q.size());
  auto const view = filled.batch.view();
  Array<float> const workspace(1 + static_cast<std::int64_t>(ops::attend_workspace_bytes(view, num_query_heads)) / 4);
  double const bytes = static_cast<double>(num_sequences) * tokens * static_cast<double>(stored_bytes_per_token<Q>());
  run(state, filled, bytes, read_bandwidth(), [&](std::int32_t layer) {
    ops::attend(view, layer, q.data(), num_query_heads, out.data(), nullptr, {}, workspace.data(), workspace.size() * 4,
                filled.timer.stream());
  });
}

template <QuantizerPolicy Q>
void prefill(benchmark::State& state) {
  auto const tokens = static_cast<std::int32_t>(state.range(0));
  Filled<Q> filled(1, tokens, tokens);
  Array<Half> const q(std::int64_t{filled.batch.size().num_query_tokens} * num_query_heads * 128), out(q.size());
  auto const view = filled.batch.view();
  std::int32_t layer = 0;
  double total = 0;
  for (auto _ : state) {
    double const seconds = filled.timer.seconds(
        [&] { ops::prefill(view, layer, q.data(), num_query_heads, out.data(), nullptr, {}, filled.timer.stream()); });
    state.SetIterationTime(seconds);
    total += seconds;
    layer = (layer + 1) % filled.layers;
  }
  // Scores and weighted values, of half of all pairs: 4 * dim operations a pair.
  double const flops = 2.0 * 128 * num_query_heads * tokens * tokens;
  state.counters["flop_per_second"] = flops * static_cast<double>(state.iterations()) / total;
}

void copy_blocks(benchmark::State& state) {
  Filled<F16> filled(1, 16384, 1);
  std::vector<ops::BlockCopy> copies;
  for (int i = 0; i < 64; ++i) copies.push_back({BlockId{1 + i}, BlockId{513 + i}});
  double const bytes = 2.0 * static_cast<double>(copies.size()) * static_cast<double>(filled.cache.block_bytes());
  run(state, filled, bytes, copy_bandwidth(), [&](std::int32_t) {
    ops::copy_blocks(filled.cache.pool(), filled.cache.pool(), filled.cache.block_bytes(), copies,
                     filled.timer.stream());
  });
}

/// The limit is one large copy over the same bus, in the same direction.
void swap(benchmark::State& state, bool out) {
  Filled<F16> filled(1, 8192, 1);
  std::int64_t const block_bytes = filled.cache.block_bytes(), num_blocks = 64;
  PinnedAllocator pinned;
  std::byte* const host = pinned.allocate((num_blocks + 1) * block_bytes, 64);
  std::vector<ops::BlockCopy> copies;
  for (int i = 1; i <= num_blocks; ++i) copies.push_back({BlockId{out ? 2 * i : i}, BlockId{out ? i : 2 * i}});
  auto const bytes = static_cast<double>(num_blocks * block_bytes);
  double limit = 0;
  for (int pass = 0; pass < 5; ++pass)
    limit = std::max(limit, bytes / filled.timer.seconds([&] {
      void* const pool = filled.cache.pool();
      check_cuda(
          cudaMemcpyAsync(out ? host : pool, out ? pool : host, static_cast<std::size_t>(num_blocks * block_bytes),
                          cudaMemcpyDefault, filled.timer.stream()),
          "copying");
    }));
  run(state, filled, bytes, limit, [&](std::int32_t) {
    if (out)
      ops::swap_out(filled.cache.pool(), host, block_bytes, copies, filled.timer.stream());
    else
      ops::swap_in(filled.cache.pool(), host, block_bytes, copies, filled.timer.stream());
  });
  pinned.deallocate(host, (num_blocks + 1) * block_bytes);
}

/// The host's time for a step's tables: 256 sequences of 4,096 tokens, one new token each.
void upload(benchmark::State& state) {
  KvCache<Model<bench_model>, BlockSize<16>, DeviceAllocator> cache({.num_blocks = {256 * 257}, .layers = 1});
  Timer timer;
  DeviceBatch batch(cache, {256, 256, 4096});
  std::vector<Sequence> sequences;
  for (int i = 0; i < 256; ++i) sequences.push_back(cache.create(4095));
  std::vector<BatchItem> items;
  for (Sequence& sequence : sequences) {
    sequence.append(1);
    items.emplace_back(&sequence);
  }
  for (auto _ : state) batch.upload(items, timer.stream());
  check_cuda(cudaStreamSynchronize(timer.stream()), "uploading");
  state.counters["ns_per_block"] =
      benchmark::Counter(256.0 * 256, benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}

void settings(benchmark::internal::Benchmark* b) { b->Unit(benchmark::kMicrosecond)->Iterations(200)->UseManualTime(); }
void shapes(benchmark::internal::Benchmark* b) {
  b->Unit(benchmark::kMicrosecond)->Iterations(100)->UseManualTime();
  b->ArgNames({"sequences", "ctx"})->Args({1, 16384})->Args({16, 2048})->Args({64, 8192})->Args({256, 1024});
}

template <QuantizerPolicy Q>
void register_format() {
  std::string const format = Q::name;
  auto const name = [&](char const* op, char const* layout) {
    return std::string("gpu/") + op + "/" + format + layout;
  };
  benchmark::RegisterBenchmark(name("append", "/hnd").c_str(), append<Q, LayoutHnd>)->Apply(settings);
  benchmark::RegisterBenchmark(name("append", "/nhd").c_str(), append<Q, LayoutNhd>)->Apply(settings);
  benchmark::RegisterBenchmark(name("gather", "/hnd").c_str(), gather<Q, LayoutHnd>)->Apply(settings);
  benchmark::RegisterBenchmark(name("decode", "/hnd").c_str(), decode<Q, LayoutHnd>)->Apply(shapes);
  benchmark::RegisterBenchmark(name("decode", "/nhd").c_str(), decode<Q, LayoutNhd>)->Apply(shapes);
  benchmark::RegisterBenchmark(name("prefill", "/hnd").c_str(), prefill<Q>)
      ->Unit(benchmark::kMicrosecond)
      ->Iterations(20)
      ->UseManualTime()
      ->Arg(2048);
}

}  // namespace

int main(int argc, char** argv) {
  if (std::string const why = no_cuda_device_because(); !why.empty()) {
    std::cout << "SKIP: " << why << "\n";
    return 77;
  }
  register_format<F16>();
  register_format<BF16>();
  register_format<Fp8E4M3>();
  register_format<Int8PerToken>();
  register_format<Int4Rotated>();
  benchmark::RegisterBenchmark("gpu/copy_blocks", copy_blocks)->Apply(settings);
  benchmark::RegisterBenchmark("gpu/swap_out", [](benchmark::State& s) { swap(s, true); })->Apply(settings);
  benchmark::RegisterBenchmark("gpu/swap_in", [](benchmark::State& s) { swap(s, false); })->Apply(settings);
  benchmark::RegisterBenchmark("gpu/upload", upload)->Unit(benchmark::kMicrosecond)->UseRealTime();
  cudaDeviceProp device{};
  check_cuda(cudaGetDeviceProperties(&device, 0), "asking for the device");
  benchmark::AddCustomContext("gpu", device.name);
  benchmark::AddCustomContext("read_bandwidth", std::to_string(read_bandwidth()));
  benchmark::AddCustomContext("copy_bandwidth", std::to_string(copy_bandwidth()));
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
