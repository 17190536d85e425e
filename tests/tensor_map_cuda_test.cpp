// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Tiles that a thread block brings to shared memory hold the rows that the view reads in the blocks.
#include "support/simt_cache.hpp"
//
#include <folio/kernels/rows.hpp>
#include <folio/tensor_map.cuh>

#include "simt/cuda_runtime/tensor_map.hpp"
#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "tensor_map_kernels.cuh"

namespace {

using namespace folio;

constexpr ModelConfig two_kinds{.layers = 4,
                                .kv_heads = 3,
                                .head_dim = 64,
                                .value_head_dim = 40,
                                .groups = {full_attention(), sliding_window(20, 3)},
                                .pattern = repeat_groups({0, 1})};

/// What tiles_kernel writes, read by the host in the blocks themselves.
template <int Group, class View>
std::vector<float> rows_of_blocks(View const& view, std::int32_t layer, float unwritten) {
  GroupShape const& shape = view.group(Group).shape;
  std::int32_t const width = shape.key_dim + shape.value_dim;
  std::vector<float> out(static_cast<std::size_t>(view.num_sequences()) * view.group(Group).width * shape.kv_heads *
                             shape.block_size * width,
                         unwritten);
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
    auto const sequence = view.template sequence_in<Group>(i, layer);
    for (std::int32_t token = 0; token < sequence.num_tokens(); ++token)
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        std::int64_t const block = std::int64_t{i} * view.group(Group).width + token / shape.block_size;
        std::int64_t const row = (block * shape.kv_heads + head) * shape.block_size + token % shape.block_size;
        float* const to = out.data() + row * width;
        ops::load_row(sequence.key(head, token), shape.key_dim, to);
        ops::load_row(sequence.value(head, token), shape.value_dim, to + shape.key_dim);
      }
  }
  return out;
}

/// Counts the bytes of tiles that differ between load_tile, which copies here, and what TMA makes of the descriptor.
/// Grid: (heads, layers, blocks).
template <class Layer, Plane plane>
__global__ void both_ways_kernel(__grid_constant__ TensorMap const map, int* num_different) {
  __shared__ TmaTile<Layer, plane> copied, brought;
  __shared__ TileBarrier arrived;
  arrived.init();
  TileIndex const at{BlockId{static_cast<int>(blockIdx.z)}, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.x)};
  load_tile(map, at, copied, arrived);
  if (threadIdx.x == 0) simt::tensor_map_load(map.descriptor, brought.bytes, 0, 0, at.head, at.layer, to_int(at.block));
  arrived.wait(0);
  int different = 0;
  for (std::size_t i = threadIdx.x; i < sizeof(copied.bytes); i += blockDim.x)
    different += copied.bytes[i] != brought.bytes[i] ? 1 : 0;
  atomicAdd(num_different, different);
}

template <class Layer, Plane plane>
void check_descriptor(TensorMap const& map, GroupShape const& shape, std::int64_t num_blocks) {
  simt::Buffer<int> const num_different(std::vector<int>{0}, "the number of bytes that differ");
  dim3 const grid(static_cast<unsigned>(shape.kv_heads), static_cast<unsigned>(shape.layers),
                  static_cast<unsigned>(num_blocks) + 1);
  simt::launch({.grid = grid, .block = 32, .name = "both_ways_kernel"}, both_ways_kernel<Layer, plane>, map,
               num_different.data());
  CHECK(num_different[0] == 0);
}

template <int Group, class View>
void check_tiles(View const& on_host, View const& on_device, std::int64_t num_blocks, dim3 block) {
  DeviceView<View> const view(on_device);
  TensorMap const keys = make_tensor_map(view, Group, Plane::key, num_blocks);
  TensorMap const values = make_tensor_map(view, Group, Plane::value, num_blocks);
  GroupShape const& shape = view.group(Group).shape;
  if constexpr (simt::reads_tensor_maps) {  // on a GPU load_tile is TMA itself
    check_descriptor<LayerView<View, Group>, Plane::key>(keys, shape, num_blocks);
    check_descriptor<LayerView<View, Group>, Plane::value>(values, shape, num_blocks);
  }
  auto const heads = static_cast<unsigned>(shape.kv_heads), sequences = static_cast<unsigned>(view.num_sequences());
  for (std::int32_t layer = 0; layer < shape.layers; ++layer) {
    std::vector<float> const expected = rows_of_blocks<Group>(on_host, layer, -12345.0F);
    simt::Buffer<float> const out(std::vector<float>(expected.size(), -12345.0F), "out");
    simt::launch({.grid = dim3(heads, sequences), .block = block, .name = "tiles_kernel", .seed = 11},
                 folio::test::tiles_kernel<View, Group>, on_device, keys, values, layer, out.data());
    CHECK(out.to_vector() == expected);
  }
}

template <class... Policies>
void check_format() {
  folio::test::Twins<Model<two_kinds>, BlockSizes<16, 4>, Policies...> twins({.num_blocks = {20, 60}});
  for (std::int32_t const length : {0, 1, 16, 17, 37}) twins.add(length);
  auto const host = twins.host_batch(), device = twins.device_batch();
  auto const rows = static_cast<std::size_t>(host.num_query_tokens()) * 3;
  for (std::int32_t layer = 0; layer < 4; ++layer) {
    std::vector<float> const keys = folio::test::random_rows(rows * 64, static_cast<std::uint32_t>(layer));
    std::vector<float> const values = folio::test::random_rows(rows * 40, static_cast<std::uint32_t>(layer) + 50);
    ops::append(host.view(), layer, keys.data(), values.data());
    ops::append(device.view(), layer, keys.data(), values.data());  // the runner's memory, written by the host
  }
  folio::test::SimtBatch const on_device(device);
  check_tiles<0>(host.view(), on_device.view(), twins.device().num_blocks(0), dim3(32));
  check_tiles<1>(host.view(), on_device.view(), twins.device().num_blocks(1), dim3(8, 6));  // not a whole warp
}

/// A cache of one sequence of two blocks, and the tensor map of its keys.
struct Small {
  static constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 16};
  using Twins = folio::test::Twins<Model<model>, BlockSize<4>, F16>;
  using View = typename Twins::View;
  using Layer = LayerView<View, 0>;

  Small() { twins.add(8); }
  [[nodiscard]] DeviceView<View> view() { return DeviceView<View>(twins.device_batch().view()); }

  Twins twins{{.num_blocks = {4}}};
};

/// Two tiles after each other through one stage of shared memory.
template <class Layer>
__global__ void two_tiles_kernel(__grid_constant__ TensorMap const map, int second_phase, bool sync, int* sum) {
  __shared__ KeyTile<Layer> tile;
  __shared__ TileBarrier arrived;
  arrived.init();
  load_tile(map, {BlockId{1}, 0, 0}, tile, arrived);
  arrived.wait(0);
  int const first = std::to_integer<int>(tile.bytes[(threadIdx.x + 32) % 64]);
  if (sync) __syncthreads();
  load_tile(map, {BlockId{2}, 0, 0}, tile, arrived);
  arrived.wait(second_phase);
  sum[threadIdx.x] = first + std::to_integer<int>(tile.bytes[threadIdx.x]);
}

}  // namespace

TEST_CASE("tiles hold the rows of their blocks: f16, hnd") { check_format<F16, LayoutHnd>(); }
TEST_CASE("tiles hold the rows of their blocks: int8 keys, int4 values, nhd") {
  check_format<Keys<Int8PerToken>, Values<Int4Rotated>, LayoutNhd>();
}
TEST_CASE("tiles hold the rows of their blocks: int4, interleaved") { check_format<Int4Rotated, LayoutInterleaved>(); }

TEST_CASE("misuse of a tile's barrier is found", "[stand_in]") {
  Small small;
  TensorMap const map = make_tensor_map(small.view(), 0, Plane::key, 4);
  simt::Buffer<int> const sum(64, "sum");
  auto const launch = [&](int second_phase, bool sync) {
    simt::launch({.grid = 1, .block = 64, .name = "two_tiles_kernel"}, two_tiles_kernel<Small::Layer>, map,
                 second_phase, sync, sum.data());
  };
  auto const fault_of = [&](int second_phase, bool sync) {
    try {
      launch(second_phase, sync);
    } catch (simt::Error const& error) {
      return error.fault();
    }
    return simt::Fault::launch;
  };
  launch(1, true);
  CHECK(fault_of(0, true) == simt::Fault::kernel);  // on a GPU: goes on before the second tile is there
  CHECK(fault_of(2, true) == simt::Fault::kernel);  // on a GPU: waits for ever
  if (simt::checks_memory()) CHECK(fault_of(1, false) == simt::Fault::race);
}

TEST_CASE("a tensor map that cannot be made is refused in a sentence", "[stand_in]") {
  Small small;
  REQUIRE_THROWS_WITH(make_tensor_map(small.view(), 1, Plane::key, 4),
                      folio::test::contains("no layer group 1; it has 1"));
  simt::fail_next("cudaGetDriverEntryPointByVersion", cudaErrorInvalidValue);
  REQUIRE_THROWS_AS(make_tensor_map(small.view(), 0, Plane::key, 4), CudaError);
  simt::fail_next("cuTensorMapEncodeTiled", 1);
  REQUIRE_THROWS_WITH(make_tensor_map(small.view(), 0, Plane::key, 4), folio::test::contains("the driver's error 1"));
  TensorMapShape shape = tensor_map_shape(small.view(), 0, Plane::key, 4);
  shape.strides[1] = 8;
  REQUIRE_THROWS_WITH(make_tensor_map(small.view().group(0).pool, shape), folio::test::contains("TMA's limits"));
}
