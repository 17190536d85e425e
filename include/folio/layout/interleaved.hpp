// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/layout/layout.hpp>

namespace folio {

/// Interleaved layout, keys in dim-major tiles: [head][dim run][slot][RunBytes], values head-major.
///
/// Host and device, stateless. A key row is cut into runs of RunBytes; the same run of all slots of a block lies
/// together. So the score of 32 tokens against one query loads 32 neighbouring runs: one coalesced access for a warp,
/// whole vectors for SIMD, where token-major keys would stride. Values are summed along tokens and stay whole.
/// The idea is the x-split key cache of PagedAttention (arXiv:2309.06180).
/// Choose LayoutHnd when a warp shares one row instead.
template <std::int32_t RunBytes = 16>
struct BasicLayoutInterleaved {
  static_assert(RunBytes == 4 || RunBytes == 8 || RunBytes == 16, "folio: RunBytes must be 4, 8 or 16");

  static constexpr char const* name = "interleaved";

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t run_bytes(Plane plane) {
    return plane == Plane::key ? RunBytes : whole_row;
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr bool whole_heads(Plane) { return true; }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t code_offset(Plane plane, PlaneExtent extent,
                                                                            std::int32_t head, std::int32_t slot,
                                                                            std::int32_t byte) {
    if (plane == Plane::value) return param_offset(plane, extent, head, slot) + byte;
    std::int64_t const head_begin = std::int64_t{head} * extent.slots * extent.row_bytes;
    return head_begin + (std::int64_t{byte / RunBytes} * extent.slots + slot) * RunBytes + byte % RunBytes;
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t param_offset(Plane, PlaneExtent extent,
                                                                             std::int32_t head, std::int32_t slot) {
    return (std::int64_t{head} * extent.slots + slot) * extent.row_bytes;
  }
};

using LayoutInterleaved = BasicLayoutInterleaved<>;
static_assert(LayoutPolicy<LayoutInterleaved>);

}  // namespace folio
