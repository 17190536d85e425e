// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// CUDA's words for a host compiler: what a kernel's source needs in order to be run by simt::launch (runner.hpp).
// docs/simt.md says how to write such a source. Included before it, as nvcc includes cuda_runtime.h before each.
// Under nvcc this header holds simt::shared_memory alone.

#include <cstddef>
#include <cstdint>

#if defined(__CUDACC__)

namespace simt {

/// The block's dynamic shared memory as a T, an array for instance. Every call returns the same bytes.
template <class T>
__device__ T& shared_memory() {
  extern __shared__ __align__(128) unsigned char simt_shared_memory[];
  return reinterpret_cast<T&>(simt_shared_memory);
}

}  // namespace simt

#else

// NOLINTBEGIN: these are CUDA's names
#if __has_include(<vector_types.h>)
#include <vector_functions.h>  // the toolkit is on the include path: its types, which cuda_fp16.h and its like build on
#include <vector_types.h>
#undef __constant__
#undef __device__
#undef __forceinline__
#undef __global__
#undef __grid_constant__
#undef __host__
#undef __launch_bounds__
#undef __managed__
#undef __shared__
#else
#include "simt/vector_types.hpp"
#define __align__(n) __attribute__((aligned(n)))
#endif

#define __constant__
#define __device__
#define __forceinline__ inline __attribute__((always_inline))
#define __global__
#define __grid_constant__
#define __host__
#define __launch_bounds__(...)
#define __managed__
// One copy for all threads of a block, since they are fibers of one OS thread, and in a memory of its own, thread-local
// storage, so that the shadow memory can tell it from other variables. In a block scope this implies static.
#define __shared__ thread_local
// NOLINTEND

#include "simt/atomics.hpp"
#include "simt/detail.hpp"
#include "simt/math.hpp"
#include "simt/warp.hpp"

inline constexpr simt::Index3 const& threadIdx = simt::detail::thread_index;
inline constexpr simt::Index3 const& blockIdx = simt::detail::block_index;
inline constexpr simt::Index3 const& blockDim = simt::detail::block_extent;
inline constexpr simt::Index3 const& gridDim = simt::detail::grid_extent;
inline constexpr int warpSize = 32;

namespace simt {

/// The block's dynamic shared memory as a T, an array for instance. Every call returns the same bytes.
/// Fails when the launch gave fewer bytes than a T needs.
template <class T>
T& shared_memory() {
  return reinterpret_cast<T&>(*detail::shared_memory(sizeof(T), alignof(T)));
}

}  // namespace simt

#endif
