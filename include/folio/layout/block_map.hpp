// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The map of a block: which bytes belong to which (layer, plane, head, slot, dim). Host and device.
//
//   block = [layer 0 of the group | layer 1 | ...]              all layers together, so that a block moves as one piece
//   layer = [key codes | key parameters | value codes | value parameters]   each arranged by the layout policy

#include <folio/layout/layout.hpp>
#include <folio/model.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <initializer_list>

namespace folio {

/// Row part, codes or parameters (scales): kept apart, so that both can be read with aligned 16-byte loads.
enum class RowPart : std::uint8_t { code, param };

/// The codes, or the parameters, of one head of one layer in one block: a tile for those who copy whole ones.
struct HeadTile {
  std::byte* begin = nullptr;  ///< where contiguous, the first byte; else where the row of slot 0 begins
  std::int64_t bytes = 0;      ///< of the rows of all slots, their padding included
  bool contiguous = false;     ///< whether the tile is [begin, begin + bytes)
};

/// Bytes: a cache line, so that blocks never share one.
inline constexpr std::int64_t block_alignment = 64;

/// Block map: the byte offsets of everything in a block, for one group of layers. All 64-bit; folds to constants where
/// the shape does.
template <QuantizerPolicy KeyQuantizer, QuantizerPolicy ValueQuantizer, LayoutPolicy Layout>
struct BlockMap {
  static constexpr std::int64_t plane_alignment = 16;  ///< bytes: one vector load

  GroupShape shape;

  /// The rows of one plane of one layer: their number, and the padded bytes of each.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr PlaneExtent extent(Plane plane, RowPart part) const {
    if (plane == Plane::key) return extent_of<KeyQuantizer>(part, shape.key_dim);
    if (shape.values_in_keys()) return {shape.kv_heads, shape.block_size, 0};
    return extent_of<ValueQuantizer>(part, shape.value_dim);
  }

  /// Where in a layer a plane's codes or parameters begin.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int64_t plane_offset(Plane plane, RowPart part) const {
    std::int64_t offset = 0;
    if (plane == Plane::key && part == RowPart::code) return offset;
    offset += align(extent(Plane::key, RowPart::code).bytes(), plane_alignment);
    if (plane == Plane::key) return offset;
    offset += align(extent(Plane::key, RowPart::param).bytes(), plane_alignment);
    if (part == RowPart::code) return offset;
    return offset + align(extent(Plane::value, RowPart::code).bytes(), plane_alignment);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int64_t layer_bytes() const {
    return plane_offset(Plane::value, RowPart::param) +
           align(extent(Plane::value, RowPart::param).bytes(), plane_alignment);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int64_t block_bytes() const {
    return align(shape.layers * layer_bytes(), block_alignment);
  }

  /// Whether a block has less than 2^62 bytes, so that 64 bits hold every offset in it. Asked when a cache is made.
  [[nodiscard]] constexpr bool fits_64_bits() const {
    double bytes = 0;  // of a layer, if it is not exact it is close
    for (Plane const plane : {Plane::key, Plane::value})
      for (RowPart const part : {RowPart::code, RowPart::param}) {
        PlaneExtent const t = extent(plane, part);
        bytes += static_cast<double>(t.heads) * t.slots * t.row_bytes + plane_alignment;
      }
    return bytes * shape.layers + block_alignment < 0x1p62;
  }

  /// The byte of the pool that holds byte `byte` of the row (layer of the group, plane, head, slot) of block `block`.
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int64_t offset(std::int32_t block, std::int32_t layer, Plane plane,
                                                                RowPart part, std::int32_t head, std::int32_t slot,
                                                                std::int32_t byte) const {
    std::int64_t const begin = block * block_bytes() + layer * layer_bytes() + plane_offset(plane, part);
    PlaneExtent const t = extent(plane, part);
    return begin + (part == RowPart::code ? Layout::code_offset(plane, t, head, slot, byte)
                                          : Layout::param_offset(plane, t, head, t.slots == 1 ? 0 : slot) + byte);
  }

 private:
  /// The parameters of a tile format are as those of one row for each head.
  template <QuantizerPolicy Q>
  [[nodiscard]] FOLIO_HOST_DEVICE constexpr PlaneExtent extent_of(RowPart part, std::int32_t dim) const {
    if constexpr (is_tile_format<Q>)
      if (part == RowPart::param) return {shape.kv_heads, 1, Q::tile_param_bytes(dim)};
    return {shape.kv_heads, shape.block_size, row_bytes<Q>(part, dim)};
  }

  template <QuantizerPolicy Q>
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t row_bytes(RowPart part, std::int32_t dim) {
    // A row of codes is a multiple of 16 bytes, so that every row starts on a vector boundary.
    return part == RowPart::code ? static_cast<std::int32_t>(align(code_bytes<Q>(dim), plane_alignment))
                                 : Q::param_bytes(dim);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t align(std::int64_t bytes, std::int64_t to) {
    return (bytes + to - 1) / to * to;
  }
};

}  // namespace folio
