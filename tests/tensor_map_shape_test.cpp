// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <folio/layout/hnd.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/layout/nhd.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <folio/tensor_map_shape.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/strangers.hpp"

using namespace folio;

namespace {

GroupShape shape_of(std::int32_t layers, std::int32_t kv_heads, std::int32_t dim, std::int32_t block_size) {
  return {.layers = layers, .kv_heads = kv_heads, .key_dim = dim, .value_dim = dim / 2, .block_size = block_size};
}

/// What TMA demands of every descriptor, and of a box's place in shared memory.
void check_limits(TensorMapShape const& shape) {
  CHECK(shape.offset % 16 == 0);
  for (std::int64_t const stride : shape.strides) {
    CHECK(stride > 0);
    CHECK(stride % 16 == 0);
    CHECK(stride < std::int64_t{1} << 40);
  }
  for (int i = 0; i < TensorMapShape::rank; ++i) {
    CHECK(shape.extents[i] > 0);
    CHECK(shape.extents[i] <= std::int64_t{1} << 32);
    CHECK(shape.box[i] > 0);
    CHECK(shape.box[i] <= 256);
    CHECK(shape.box[i] <= shape.extents[i]);
  }
  CHECK(shape.line_bytes() % 16 == 0);
  CHECK((shape.element_bytes == 1 || shape.box[0] > 128));  // no larger than it needs to be
}

/// The offsets in the pool of the bytes that TMA brings for a tile, in their order in shared memory.
std::vector<std::int64_t> bytes_of_tile(TensorMapShape const& shape, std::int64_t block, std::int64_t layer,
                                        std::int64_t head) {
  std::vector<std::int64_t> offsets;
  std::int64_t const begin =
      shape.offset + head * shape.strides[1] + layer * shape.strides[2] + block * shape.strides[3];
  for (std::int64_t line = 0; line < shape.box[1]; ++line)
    for (std::int64_t byte = 0; byte < shape.line_bytes(); ++byte)
      offsets.push_back(begin + line * shape.strides[0] + byte);
  return offsets;
}

/// Every byte of every row comes to the place in shared memory where the layout looks for it.
template <class Quantizer, class Layout>
void check(GroupShape const& group) {
  INFO(Layout::name << ", " << Quantizer::name << ", " << group.kv_heads << " heads of " << group.key_dim
                    << ", blocks of " << group.block_size);
  BlockMap<Quantizer, Quantizer, Layout> const map{group};
  for (Plane const plane : {Plane::key, Plane::value}) {
    if (plane == Plane::value && group.values_in_keys()) continue;
    constexpr std::int32_t num_blocks = 4;
    TensorMapShape const shape = tensor_map_shape(map, plane, num_blocks);
    check_limits(shape);
    PlaneExtent const extent = map.extent(plane, RowPart::code);
    REQUIRE(shape.tile_bytes() == extent.slots * extent.row_bytes);
    CHECK(shape.extents[2] == group.kv_heads);
    CHECK(shape.extents[3] == group.layers);
    CHECK(shape.extents[4] == num_blocks + 1);
    bool same = true;
    for (std::int32_t const block : {0, 1, num_blocks})
      for (std::int32_t layer = 0; layer < group.layers; ++layer)
        for (std::int32_t head = 0; head < group.kv_heads; ++head) {
          std::vector<std::int64_t> const brought = bytes_of_tile(shape, block, layer, head);
          for (std::int32_t slot = 0; slot < extent.slots; ++slot)
            for (std::int32_t byte = 0; byte < extent.row_bytes; ++byte) {
              auto const at = static_cast<std::size_t>(
                  Layout::code_offset(plane, {1, extent.slots, extent.row_bytes}, 0, slot, byte));
              same = same && brought[at] == map.offset(block, layer, plane, RowPart::code, head, slot, byte);
            }
        }
    CHECK(same);
  }
}

template <class Quantizer>
void check_layouts(GroupShape const& group) {
  check<Quantizer, LayoutHnd>(group);
  check<Quantizer, LayoutNhd>(group);
  check<Quantizer, LayoutInterleaved>(group);
  check<Quantizer, BasicLayoutInterleaved<8>>(group);
  check<Quantizer, BasicLayoutInterleaved<4>>(group);
  check<Quantizer, test::SwizzledLayout>(group);  // whoever wrote it
}

}  // namespace

TEST_CASE("a tensor map brings every tile as its layout arranges it") {
  for (GroupShape const& group : {shape_of(1, 1, 16, 1), shape_of(2, 3, 48, 4), shape_of(3, 2, 80, 5),
                                  shape_of(2, 2, 128, 16), shape_of(1, 2, 256, 32), shape_of(1, 3, 64, 128)}) {
    check_layouts<F16>(group);
    check_layouts<Int8PerToken>(group);
    check_layouts<Int4Rotated>(group);
  }
  check_layouts<F32>(shape_of(2, 2, 512, 4));  // lines of 2048 bytes: the longest
  check_layouts<F16>(
      {.kind = AttentionKind::latent, .layers = 2, .kv_heads = 1, .key_dim = 576, .value_dim = 512, .block_size = 64});
  check_layouts<F32>({.kind = AttentionKind::latent,
                      .layers = 1,
                      .kv_heads = 1,
                      .key_dim = 576,
                      .value_dim = 512,
                      .block_size = 16});  // rows of 2304 bytes, in lines that are cut elsewhere
  check<F16, LayoutHnd>(shape_of(1, 2, 64, 512));
}

TEST_CASE("a tensor map's lines are rows, or runs of all slots") {
  GroupShape const group = shape_of(32, 8, 128, 16);
  BlockMap<F16, F16, LayoutHnd> const hnd{group};
  TensorMapShape const by_head = tensor_map_shape(hnd, Plane::key, 100);
  CHECK(by_head.line_bytes() == 256);
  CHECK(by_head.strides[0] == 256);
  CHECK(by_head.strides[1] == 16 * 256);
  CHECK(by_head.strides[2] == hnd.layer_bytes());
  CHECK(by_head.strides[3] == hnd.block_bytes());
  CHECK(by_head.offset == 0);
  CHECK(by_head.element_bytes == 1);
  CHECK(tensor_map_shape(hnd, Plane::value, 100).offset == 8 * 16 * 256);

  TensorMapShape const by_token = tensor_map_shape(BlockMap<F16, F16, LayoutNhd>{group}, Plane::key, 100);
  CHECK(by_token.strides[0] == 8 * 256);
  CHECK(by_token.strides[1] == 256);

  TensorMapShape const by_run = tensor_map_shape(BlockMap<F16, F16, LayoutInterleaved>{group}, Plane::key, 100);
  CHECK(by_run.box[0] == 16 * 16);
  CHECK(by_run.box[1] == 256 / 16);
  CHECK(by_run.strides[0] == 16 * 16);
  CHECK(by_run.strides[1] == 16 * 256);

  TensorMapShape const wide = tensor_map_shape(BlockMap<F16, F16, LayoutHnd>{shape_of(1, 1, 576, 16)}, Plane::key, 9);
  CHECK(wide.element_bytes == 8);
  CHECK(wide.box[0] == 144);
}

TEST_CASE("a tensor map of a cache beyond 4 GiB has strides and extents of 64 bits") {
  GroupShape const group = shape_of(80, 64, 512, 64);
  TensorMapShape const shape = tensor_map_shape(BlockMap<F16, F16, LayoutNhd>{group}, Plane::key, 2000000000);
  CHECK(shape.strides[3] == std::int64_t{80} * 64 * 64 * (1024 + 512));
  CHECK(shape.extents[4] == 2000000001);
}

TEST_CASE("a tensor map that TMA could not read is refused in a sentence") {
  auto const refused = [](auto const& map, Plane plane, char const* because) {
    REQUIRE_THROWS_WITH(tensor_map_shape(map, plane, 10), test::contains(because));
  };
  GroupShape const latent{
      .kind = AttentionKind::latent, .layers = 1, .kv_heads = 1, .key_dim = 72, .value_dim = 64, .block_size = 4};
  refused(BlockMap<F16, F16, LayoutHnd>{latent}, Plane::value, "ask for a tensor map of Plane::key");
  refused(BlockMap<F32, F32, LayoutNhd>{shape_of(1, 2, 576, 16)}, Plane::key,
          "16 rows of 2304 bytes in the layout nhd");
  refused(BlockMap<F16, F16, LayoutNhd>{shape_of(1, 2, 64, 512)}, Plane::key, "at most 256 lines");
  refused(BlockMap<F16, F16, test::ShreddedLayout>{shape_of(1, 3, 64, 16)}, Plane::key, "layout shredded");
}
