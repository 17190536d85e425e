// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/layout/layout.hpp>

namespace folio {

/// NZ, the fractal layout of Ascend's matrix units: [head][dim run][slot][32 bytes], keys and values alike. A row is
/// cut into runs of 32 bytes, 16 elements of f16; the same run of all slots of a block lies together. What is left of a
/// row that is no multiple of 32 bytes is a last, shorter run.
///
/// Host and device, stateless. For caches that kernels with 16 x 16 tiles read as they are, and that are exchanged with
/// such engines: with f16 rows of a multiple of 16 elements a plane is [kv_heads * head_dim / 16][block_size][16], the
/// shape of cache mode PA_NZ of torch_npu and vllm-ascend. Choose LayoutInterleaved where only keys are read across
/// tokens; LayoutHnd where a warp shares a row.
struct LayoutNz {
  static constexpr char const* name = "nz";
  static constexpr std::int32_t fractal_bytes = 32;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t run_bytes(Plane) { return 16; }  // the most there is
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr bool whole_heads(Plane) { return true; }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t code_offset(Plane plane, PlaneExtent extent,
                                                                            std::int32_t head, std::int32_t slot,
                                                                            std::int32_t byte) {
    std::int32_t const begin = byte / fractal_bytes * fractal_bytes, left = extent.row_bytes - begin;
    std::int32_t const run = left < fractal_bytes ? left : fractal_bytes;
    return param_offset(plane, extent, head, 0) + std::int64_t{begin} * extent.slots + std::int64_t{slot} * run +
           (byte - begin);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int64_t param_offset(Plane, PlaneExtent extent,
                                                                             std::int32_t head, std::int32_t slot) {
    return (std::int64_t{head} * extent.slots + slot) * extent.row_bytes;
  }
};
static_assert(LayoutPolicy<LayoutNz>);

}  // namespace folio
