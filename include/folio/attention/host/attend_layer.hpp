// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A group's layers in a step as attention reads them, their types forgotten. Host only.
//
// What a view's types tell, in numbers and function pointers. So the work of attend() is compiled once, not for each
// model, layout, quantizer and group of layers: a further model costs its users little compile time.

#include <cstddef>
#include <cstdint>
#include <folio/attention/host/token_tile.hpp>
#include <folio/block.hpp>
#include <folio/group_table.hpp>
#include <folio/model.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <vector>

namespace folio::ops::detail {

/// Some slots of a block in one kv head, for those who decode them.
struct SlotRange {
  BlockId block;
  std::int32_t head, first, count;
};

/// The keys or the values of a group's layers. Where a block has the rows of each slot and kv head is the same in every
/// block and layer: bytes from the layer's begin in the block.
struct AttendPlane {
  attention::RowKernels few_rows, many_rows;  ///< kernels for up to few query rows of a kv head, and for more
  attention::RowKernels few_tokens;           ///< for queries that see up to few tokens
  RowParams params{};
  Basis basis{};
  std::int32_t code_bytes = 0;                   ///< of a row, to be asked for ahead
  std::int32_t row_dim = 0;                      ///< of a stored row: of a latent's values, the key's
  std::vector<std::int64_t> codes, slot_params;  ///< [kv head][slot]; empty where there are none
  std::vector<std::int64_t> tile_params;         ///< [kv head] of the whole block, where the format has those
  /// Null where the kernels read rows in place. Else it writes the slots' rows as floats, `stride` apart.
  void (*decode)(GroupTable const& table, std::int32_t index, SlotRange slots, float* out,
                 std::int32_t stride) = nullptr;

  [[nodiscard]] attention::PlaneRows rows(bool sees_few, bool has_many_rows) const {
    return {sees_few ? few_tokens : has_many_rows ? many_rows : few_rows, code_bytes, row_dim, basis};
  }
  /// Of the rows as these kernels multiply them.
  [[nodiscard]] Basis basis_of(bool sees_few) const { return sees_few && few_tokens.decodes ? Basis::model : basis; }
  [[nodiscard]] static std::int32_t decoded_stride(std::int32_t dim) { return (dim + 15) / 16 * 16; }
  /// For a tile's rows as floats, where the plane is decoded.
  void make_room(std::int32_t dim, std::vector<float>& decoded) const {
    auto const floats = std::int64_t{attention::tile_tokens} * decoded_stride(dim);
    if (decode != nullptr) decoded.resize(static_cast<std::size_t>(floats));
  }
};

/// to[i] = base + offsets[i].
inline void add_offsets(std::byte const* base, std::int64_t const* offsets, std::int32_t n, std::byte const** to) {
  std::int32_t i = 0;
  for (; i + 8 <= n; i += 8)  // a constant number, which vectorizes
    for (int j = 0; j < 8; ++j) to[i + j] = base + offsets[i + j];
  for (; i < n; ++i) to[i] = base + offsets[i];
}

/// A group's layers.
struct AttendLayers {
  GroupShape shape;
  GroupTable table;
  std::int64_t block_bytes = 0, layer_bytes = 0;
  AttendPlane keys, values;
  attention::RowKernels own_rows;  ///< of the step's own tokens, where a call has brought some
};

}  // namespace folio::ops::detail
