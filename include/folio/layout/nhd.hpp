// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/layout/layout.hpp>

namespace folio {

/// NHD, token-major: [slot][head][dim] ("NHD" in FlashInfer's words). All heads of one token lie together.
///
/// Host and device, stateless, a few integer operations. Appending or moving one token touches one stretch of memory,
/// and it is the order in which projections write keys. Choose LayoutHnd for kernels that work head by head.
struct LayoutNhd {
  static constexpr char const* name = "nhd";

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t run_bytes(Plane) { return whole_row; }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr bool whole_heads(Plane) { return false; }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t code_offset(Plane plane, PlaneExtent extent,
                                                                            std::int32_t head, std::int32_t slot,
                                                                            std::int32_t byte) {
    return param_offset(plane, extent, head, slot) + byte;
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t param_offset(Plane, PlaneExtent extent,
                                                                             std::int32_t head, std::int32_t slot) {
    return (std::int64_t{slot} * extent.heads + head) * extent.row_bytes;
  }
};
static_assert(LayoutPolicy<LayoutNhd>);

}  // namespace folio
