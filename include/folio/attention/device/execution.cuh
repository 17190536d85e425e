// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How a device runs an attention, beside what is computed (attention/params.hpp).

#include <cstddef>
#include <cstdint>
#include <folio/cuda_runtime.cuh>
#include <span>

namespace folio {

/// Execution of an attention on the device. The two numbers are for the split of long contexts (ops::decode).
struct DeviceExecution {
  cudaStream_t stream = nullptr;
  std::span<std::byte> workspace = {};  ///< device memory at a multiple of 16 bytes; none where nothing is split
                                        ///< and no own tokens come
  std::int32_t num_parts = 0;           ///< that the tokens of a query are split into; 0: as many as fill the GPU
  std::int32_t max_tokens = 0;  ///< the longest sequence to expect, for the choice of parts; 0: what a table row holds
  /// Whether calls bring the step's own tokens (AttentionIo::k, v), for which the workspace that a plan asks for has
  /// one part more.
  bool own_tokens = false;
};

}  // namespace folio
