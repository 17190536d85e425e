// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One layer of a step as attention reads it, its types forgotten. Host only.
//
// What a view's types tell, in numbers and function pointers. So the work of attend() is compiled once, not for each
// model, layout, quantizer and group of layers: a further model costs its users little compile time.

#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/model.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/simd/tile.hpp>
#include <folio/view.hpp>
#include <vector>

namespace folio::ops::detail {

/// Where a block has the rows of each slot in one kv head: the same in every block.
struct RowOffsets {
  std::vector<std::int64_t> codes, params;  ///< [slot] bytes from the layer's begin in the block
  std::int64_t tile = 0;                    ///< the parameters of the whole block, where the format has those
};

/// Some slots of a block in one kv head, for those who decode them.
struct SlotRange {
  BlockId block;
  std::int32_t head, first, count;
};

/// The keys or the values of a layer.
struct AttendPlane {
  simd::RowKernels (*kernels)(bool many_rows);
  RowParams params;
  Basis basis;
  std::int32_t code_bytes;          ///< of a row, to be asked for ahead
  std::vector<RowOffsets> offsets;  ///< of each kv head
  /// Null where the kernels read rows in place. Else it writes the slots' rows as floats, `stride` apart.
  void (*decode)(GroupTable const& table, std::int32_t index, SlotRange slots, float* out, std::int32_t stride);
};

struct AttendLayer {
  GroupShape shape;
  GroupTable const& table;
  std::int32_t index;  ///< in the group
  std::byte const* base;
  std::int64_t block_bytes;
  AttendPlane keys, values;
};

}  // namespace folio::ops::detail
