// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launching kernels with every error checked.

#include <algorithm>
#include <cstdint>
#include <folio/cuda_runtime.cuh>
#include <folio/device_view.hpp>
#include <folio/kernels/row_strides.hpp>
#include <folio/kernels/with_group.hpp>
#include <string>
#include <type_traits>

namespace folio::ops {

/// Blocks of 256 threads for `num_threads`, at most 65,535 of them: kernels walk on in strides of the grid.
[[nodiscard]] inline unsigned grid_for(std::int64_t num_threads) {
  return static_cast<unsigned>(std::clamp<std::int64_t>((num_threads + 255) / 256, 1, 65535));
}

/// Throws Error unless rows that begin at `rows` can be read and written 16 bytes at a time.
inline void check_aligned(void const* rows, char const* name) {
  if (reinterpret_cast<std::uintptr_t>(rows) % 16 != 0)
    throw Error(std::string("folio: ") + name +
                " must begin at a multiple of 16 bytes: kernels read and write as many");
}

/// The elements from a token's row to the next: `stride`, or `row` where it is 0. Throws Error where rows would
/// overlap, or could not be read 16 bytes at a time.
template <class T>
[[nodiscard]] std::int64_t checked_device_stride(std::int64_t stride, std::int64_t row, char const* name) {
  stride = folio::detail::checked_stride(stride, row, name);
  if (stride * std::int64_t{sizeof(T)} % 16 != 0)
    throw Error(std::string("folio: the rows of ") + name + " begin " + std::to_string(stride) +
                " elements apart, which is no multiple of 16 bytes: kernels read and write as many");
  return stride;
}

/// Launches `kernel` on `stream` and throws CudaError when it could not be launched. Does not wait for it.
/// What kernel<<<grid, block, shared_bytes, stream>>>(arguments...) does, checked, and in words that a host compiler
/// knows.
template <class... Parameters>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
            std::type_identity_t<Parameters>... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  check_cuda(cudaLaunchKernelEx(&config, kernel, arguments...), "a kernel launch");
}

}  // namespace folio::ops
