// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/layout/layout.hpp>

namespace folio {

/// HND, head-major: [head][slot][dim] ("HND" in FlashInfer's words). All tokens of one head of a block lie together.
///
/// Host and device, stateless, a few integer operations. A kernel in which one thread block works on one head reads one
/// stretch of memory per block. The default. Choose LayoutNhd when tokens are written or moved one at a time.
struct LayoutHnd {
  static constexpr char const* name = "hnd";

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t run_bytes(Plane) { return whole_row; }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr bool whole_heads(Plane) { return true; }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t code_offset(Plane plane, PlaneExtent extent,
                                                                            std::int32_t head, std::int32_t slot,
                                                                            std::int32_t byte) {
    return param_offset(plane, extent, head, slot) + byte;
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t param_offset(Plane, PlaneExtent extent,
                                                                             std::int32_t head, std::int32_t slot) {
    return (std::int64_t{head} * extent.slots + slot) * extent.row_bytes;
  }
};
static_assert(LayoutPolicy<LayoutHnd>);

}  // namespace folio
