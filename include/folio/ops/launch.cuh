// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Launching kernels with every error checked. Empty for a host runner, which launches kernels by itself.

#if defined(__CUDACC__)

#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/ops/with_group.hpp>
#include <string>

namespace folio {

/// A call of the CUDA runtime that failed: what was tried, and CUDA's own name and words for why.
class CudaError : public Error {
 public:
  CudaError(char const* what, cudaError_t code)
      : Error(std::string("folio: ") + what + " failed: " + cudaGetErrorName(code) + ": " + cudaGetErrorString(code)),
        code_(code) {}

  [[nodiscard]] cudaError_t code() const noexcept { return code_; }

 private:
  cudaError_t code_;
};

inline void check_cuda(cudaError_t code, char const* what) {
  if (code != cudaSuccess) throw CudaError(what, code);
}

namespace ops {

/// Blocks of 256 threads for `num_threads`, at most 65,535 of them: kernels walk on in strides of the grid.
[[nodiscard]] inline unsigned grid_for(std::int64_t num_threads) {
  return static_cast<unsigned>(std::clamp<std::int64_t>((num_threads + 255) / 256, 1, 65535));
}

/// Launches `kernel` on `stream` and throws CudaError when it could not be launched. Does not wait for it.
template <class... Parameters, class... Arguments>
void launch(void (*kernel)(Parameters...), dim3 grid, dim3 block, std::size_t shared_bytes, cudaStream_t stream,
            Arguments... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(arguments...);
  check_cuda(cudaGetLastError(), "a kernel launch");
}

}  // namespace ops
}  // namespace folio

#endif
