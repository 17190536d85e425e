// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a plane of a group's blocks looks to TMA, the copy engine of newer GPUs: dims, strides and boxes. Host only,
// without CUDA; tensor_map.cuh makes the descriptor of it.

#include <cstdint>
#include <folio/error.hpp>
#include <folio/layout/block_map.hpp>
#include <optional>
#include <string>
#include <utility>

namespace folio {

/// The codes of one plane of a group of layers, as a tensor of five dims: (element of a line, line, head, layer of the
/// group, block). A box is a tile: the codes of one head of one layer in one block.
///
/// A tile comes to shared memory as its layout arranges a block with this one head, so that the same Row reads it
/// there. It is cut into lines of bytes that lie together in the block as well: in LayoutHnd and LayoutNhd a line is a
/// slot's row; where a layout cuts rows into runs it is one run of all slots, or what else fits a box.
struct TensorMapShape {
  static constexpr int rank = 5;
  std::int64_t extents[rank];      ///< elements, lines, heads, layers, blocks with the null block
  std::int64_t strides[rank - 1];  ///< bytes from one line, head, layer, block to the next: multiples of 16
  std::int32_t box[rank];          ///< of a tile; 256 at most
  std::int32_t element_bytes;      ///< 1, 2, 4 or 8: the smallest with which a line fits a box. Bytes are only moved.
  std::int64_t offset;             ///< bytes from the pool's begin to the tensor's: a multiple of 16

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t line_bytes() const { return box[0] * element_bytes; }
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t tile_bytes() const { return box[1] * line_bytes(); }
};

namespace detail {

/// How far apart the lines and the heads of a tile lie in a block.
struct PlaneStrides {
  std::int64_t line, head;
};

/// The strides with which a tile, cut into lines of `line_bytes`, finds every byte of a block's tile of `tile.heads`
/// heads, or nothing where this layout has no such strides. `line_bytes` is a multiple of 16.
template <LayoutPolicy Layout>
[[nodiscard]] constexpr std::optional<PlaneStrides> plane_strides(Plane plane, PlaneExtent extent,
                                                                  std::int64_t line_bytes) {
  PlaneExtent const alone{1, extent.slots, extent.row_bytes};
  std::int32_t const run = Layout::run_bytes(plane) == whole_row ? 16 : Layout::run_bytes(plane);  // divides a line
  PlaneStrides strides{line_bytes, alone.bytes()};
  for (std::int32_t slot = 0; slot < extent.slots; ++slot)
    for (std::int32_t byte = 0; byte < extent.row_bytes; byte += run)
      if (Layout::code_offset(plane, alone, 0, slot, byte) == line_bytes)
        strides.line = Layout::code_offset(plane, extent, 0, slot, byte);
  if (extent.heads > 1)
    strides.head = Layout::code_offset(plane, extent, 1, 0, 0) - Layout::code_offset(plane, extent, 0, 0, 0);
  for (std::int32_t slot = 0; slot < extent.slots; ++slot)
    for (std::int32_t byte = 0; byte < extent.row_bytes; byte += run) {
      std::int64_t const at = Layout::code_offset(plane, alone, 0, slot, byte);
      std::int64_t const expected = at / line_bytes * strides.line + at % line_bytes;
      for (std::int32_t head = 0; head < extent.heads; ++head)
        if (Layout::code_offset(plane, extent, head, slot, byte) != expected + head * strides.head) return {};
    }
  return strides;
}

inline constexpr std::int32_t max_box = 256;  // TMA's limit, in elements, for each dim

/// The strides of a tile in `num_lines` lines, where TMA's limits and the layout allow that.
template <LayoutPolicy Layout>
[[nodiscard]] constexpr std::optional<PlaneStrides> tma_strides(Plane plane, PlaneExtent extent,
                                                                std::int64_t num_lines) {
  std::int64_t const bytes = std::int64_t{extent.slots} * extent.row_bytes, line_bytes = bytes / num_lines;
  if (num_lines > max_box || bytes % num_lines != 0 || line_bytes % 16 != 0 || line_bytes > max_box * 8) return {};
  std::optional<PlaneStrides> const strides = plane_strides<Layout>(plane, extent, line_bytes);
  return strides && strides->line % 16 == 0 && strides->head % 16 == 0 ? strides : std::nullopt;
}

}  // namespace detail

/// What TMA must know of the codes of `plane` in the blocks that `map` describes, and in which boxes they move. A pool
/// of `num_blocks` blocks besides the null block.
///
/// Every layout whose tiles have strides will do, a user's own as well: the layout is asked for all its offsets, which
/// costs heads * slots * runs calls of it. Throws Error where TMA cannot move a tile as one box: heads whose bytes are
/// mixed in pieces below 16, rows of more than 2048 bytes or blocks of more than 256 tokens when they do not lie
/// together, and the values of a latent layer, which are in its keys.
template <QuantizerPolicy KeyQuantizer, QuantizerPolicy ValueQuantizer, LayoutPolicy Layout>
[[nodiscard]] TensorMapShape tensor_map_shape(BlockMap<KeyQuantizer, ValueQuantizer, Layout> const& map, Plane plane,
                                              std::int64_t num_blocks) {
  if (plane == Plane::value && map.shape.values_in_keys())
    throw Error(
        "folio: the values of a latent layer are the beginning of its keys: ask for a tensor map of Plane::key");
  PlaneExtent const extent = map.extent(plane, RowPart::code);
  bool const whole = Layout::run_bytes(plane) == whole_row;
  std::int64_t num_lines =
      whole ? extent.slots : (extent.row_bytes + Layout::run_bytes(plane) - 1) / Layout::run_bytes(plane);
  std::optional<detail::PlaneStrides> strides = detail::tma_strides<Layout>(plane, extent, num_lines);
  for (std::int64_t lines = 1; !strides && lines <= detail::max_box; ++lines)
    if ((strides = detail::tma_strides<Layout>(plane, extent, lines))) num_lines = lines;
  if (!strides)
    throw Error(
        "folio: TMA cannot move tiles of " + std::to_string(extent.slots) + " rows of " +
        std::to_string(extent.row_bytes) + " bytes in the layout " + Layout::name +
        ": it needs at most 256 lines of at most 2048 bytes, at equal distances that are multiples of 16; take a "
        "smaller block, LayoutHnd, or copy the rows by cp.async");
  auto const line_bytes = static_cast<std::int32_t>(std::int64_t{extent.slots} * extent.row_bytes / num_lines);
  std::int32_t element_bytes = 1;
  while (line_bytes / element_bytes > detail::max_box) element_bytes *= 2;
  return {.extents = {line_bytes / element_bytes, num_lines, extent.heads, map.shape.layers, num_blocks + 1},
          .strides = {strides->line, strides->head, map.layer_bytes(), map.block_bytes()},
          .box = {line_bytes / element_bytes, static_cast<std::int32_t>(num_lines), 1, 1, 1},
          .element_bytes = element_bytes,
          .offset = map.plane_offset(plane, RowPart::code)};
}

/// The same for a group of a view's layers: `cache.num_blocks(group)` blocks.
template <class View>
[[nodiscard]] TensorMapShape tensor_map_shape(View const& view, int group, Plane plane, std::int64_t num_blocks) {
  check_group(group, View::num_groups);
  return [&]<int... Group>(std::integer_sequence<int, Group...>) {
    TensorMapShape found;
    ((Group == group
          ? void(found = tensor_map_shape(LayerView<View, Group>(view.group(Group), 0).map(), plane, num_blocks))
          : void()),
     ...);
    return found;
  }
  (std::make_integer_sequence<int, View::num_groups>());
}

}  // namespace folio
