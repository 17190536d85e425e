// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Smoke tests: rows appended and gathered, tiles brought by TMA, and a captured step replayed.
#include <folio/allocator/device.cuh>
#include <folio/kernels/rows.hpp>
#include <folio/ops/attend.cuh>
#include <folio/ops/gather.cuh>

#include "pair.cuh"
#include "tensor_map_kernels.cuh"

namespace folio::bench {

namespace {

/// Every token that no window has given back, read by both.
template <class... Policies>
void check_gather(Pair<Policies...>& pair) {
  auto const on_host = pair.step();
  for (std::int32_t layer = 0; layer < Pair<Policies...>::Host::model.layers; ++layer)
    for (std::int32_t i = 0; i < on_host.num_sequences(); ++i) {
      GroupShape const& shape = pair.host().shape(on_host.view().place(layer).group);
      std::int32_t const length = on_host.lengths()[static_cast<std::size_t>(i)];
      std::int32_t const first = shape.window > 0 ? std::max(0, length - 11) : 0, n = length - first;
      std::int64_t const rows = std::int64_t{n} * shape.kv_heads;
      std::vector<float> keys(static_cast<std::size_t>(rows * shape.key_dim));
      std::vector<float> values(static_cast<std::size_t>(rows * shape.value_dim));
      ops::gather(on_host.view(), layer, {i, first, n}, keys.data(), values.data());
      Array<float> const device_keys(rows * shape.key_dim + 1), device_values(rows * shape.value_dim + 1);
      ops::gather(pair.view(), layer, {i, first, n}, device_keys.data(), device_values.data(), pair.stream);
      expect_same("a gathered key", keys, device_keys.to_host(pair.stream, 0, rows * shape.key_dim));
      expect_same("a gathered value", values, device_values.to_host(pair.stream, 0, rows * shape.value_dim));
    }
}

template <class... Policies>
void smoke_append(Run const&) {
  Pair<Policies...> pair(hybrid_blocks());
  fill(pair, 7);
  pair.expect_same_blocks("what append wrote");
  check_gather(pair);
}

/// The tiles of all blocks of a group of layers, by TMA, against the rows themselves.
template <int Group, class... Policies>
void check_tiles(Pair<Policies...>& pair) {
  using View = typename Pair<Policies...>::View;
  auto const on_host = pair.step();
  View const& view = pair.view();
  GroupShape const& shape = view.group(Group).shape;
  TensorMap const keys = make_tensor_map(pair.view(), Group, Plane::key, pair.device().num_blocks(Group));
  TensorMap const values = make_tensor_map(pair.view(), Group, Plane::value, pair.device().num_blocks(Group));
  std::int32_t const width = shape.key_dim + shape.value_dim;
  std::int64_t const blocks = std::int64_t{on_host.num_sequences()} * view.group(Group).width;
  std::int64_t const size = blocks * shape.kv_heads * shape.block_size * width;
  Array<float> const out(std::vector<float>(static_cast<std::size_t>(size), -1.0F));
  for (std::int32_t layer = 0; layer < shape.layers; ++layer) {
    dim3 const grid(static_cast<unsigned>(shape.kv_heads), static_cast<unsigned>(on_host.num_sequences()));
    ops::launch(folio::test::tiles_kernel<View, Group>, grid, 64, 0, pair.stream, view, keys, values, layer,
                out.data());
    std::vector<float> const found = out.to_host(pair.stream);
    std::vector<float> expected = found;  // slots after a sequence's end are not written
    for (std::int32_t i = 0; i < on_host.num_sequences(); ++i) {
      auto const sequence = on_host.view().template sequence_in<Group>(i, layer);
      for (std::int32_t token = 0; token < sequence.num_tokens(); ++token)
        for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
          std::int64_t const block = std::int64_t{i} * view.group(Group).width + token / shape.block_size;
          float* const to =
              expected.data() + ((block * shape.kv_heads + head) * shape.block_size + token % shape.block_size) * width;
          ops::load_row(sequence.key(head, token), shape.key_dim, to);
          ops::load_row(sequence.value(head, token), shape.value_dim, to + shape.key_dim);
        }
    }
    expect_same("a row of a tile", expected, found);
  }
}

template <class... Policies>
void smoke_tiles(Run const&) {
  Pair<LlamaModel, Policies...> pair({60});
  fill(pair, 7);
  check_tiles<0>(pair);
}

/// A step of appends and attention, captured once, replayed for sequences that grow, end and begin.
void smoke_graph(Run const& run) {
  using Policies = Pair<LlamaModel, BlockSize<16>, Int8PerToken>;
  Stream const stream;
  Policies::Device cache({.num_blocks = {40}}, DeviceAllocator(stream));
  DeviceBatch batch(cache, {4, 4, 64});
  std::int32_t const heads = 4, layers = Policies::Host::model.layers;
  Array<float> const rows(4 * 256, 5, stream), q(std::int64_t{4} * heads * 128, 6, stream), out(q.size()),
      again(q.size());
  auto plan = ops::plan_attention(batch.view(), heads, {}, {.num_parts = 3});
  Array<std::byte> const workspace(plan.workspace_bytes());
  plan.set_workspace({workspace.data(), static_cast<std::size_t>(workspace.size())});
  auto const attend = [&](float* to, cudaStream_t s) {
    plan.set_stream(s);
    ops::attend(plan, layers - 1, AttentionIo{q.data(), heads, to});
  };
  auto const step = [&](cudaStream_t s) {
    for (std::int32_t layer = 0; layer < layers; ++layer) ops::append(batch.view(), layer, rows.data(), rows.data(), s);
    attend(out.data(), s);
  };
  step(stream);  // a step of nobody: loads the kernels
  stream.wait();
  Graph const graph(stream, step);
  std::vector<Sequence> sequences;
  std::vector<float> last(static_cast<std::size_t>(q.size()));
  for (int i = 0; i < (run.tiny ? 8 : 20); ++i) {
    if (i % 3 == 0 && sequences.size() < 4) sequences.push_back(cache.create());
    if (i % 7 == 6) sequences.erase(sequences.begin());
    std::vector<BatchItem> items;
    for (Sequence& sequence : sequences) {
      sequence.extend(1);
      items.emplace_back(&sequence);
    }
    batch.upload(items, stream);
    graph.launch(stream);
    attend(again.data(), stream);
    auto const count = static_cast<std::int64_t>(sequences.size()) * heads * 128;
    std::vector<float> const replayed = out.to_host(stream, 0, count), expected = again.to_host(stream, 0, count);
    expect_same("what a graph's replay computes", expected, replayed);
    if (difference(expected, std::vector<float>(expected.size())) == 0)
      throw std::runtime_error("a replay did nothing");
  }
}

template <class... Policies>
void add(std::vector<Job>& jobs, std::string const& name, bool in_tiny) {
  jobs.push_back({"smoke/append/" + name, 30, in_tiny, smoke_append<HybridModel, HybridBlocks, Policies...>});
  jobs.push_back({"smoke/tma/" + name, 30, in_tiny, smoke_tiles<Policies...>});
}

}  // namespace

void add_append_smoke(std::vector<Job>& jobs) {
  add<F16, LayoutHnd>(jobs, "f16/hnd", true);
  add<Int8PerToken, LayoutNhd>(jobs, "int8/nhd", true);
  add<Int4Rotated, LayoutHnd>(jobs, "int4/hnd", true);
  jobs.push_back({"smoke/graph", 30, true, smoke_graph});
#if defined(FOLIO_GPU_BENCH_ALL)
  add<F16, LayoutNhd>(jobs, "f16/nhd", false);
  add<Int8PerToken, LayoutHnd>(jobs, "int8/hnd", false);
  add<Int4Rotated, LayoutNhd>(jobs, "int4/nhd", false);
  add<Int4Rotated, LayoutInterleaved>(jobs, "int4/interleaved", false);
  add<Int2Rotated, LayoutHnd>(jobs, "int2/hnd", false);
  add<Fp8E4M3, LayoutHnd>(jobs, "fp8/hnd", false);
  add<BF16, LayoutHnd>(jobs, "bf16/hnd", false);
  add<F32, LayoutHnd>(jobs, "f32/hnd", false);
#endif
}

}  // namespace folio::bench
