// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Kernels with one bug each, which the template argument `Bug::planted` puts in and `Bug::none` leaves out.

#include <cstring>

#include "simt/cuda.hpp"

namespace planted {

enum class Bug { none, planted };

/// Turns each block's part of `data` around. Bug: no barrier between writing and reading shared memory.
template <Bug bug>
__global__ void reverse(int const* in, int* out) {
  int* const shared = &simt::shared_memory<int>();
  int const n = blockDim.x, i = threadIdx.x, first = blockIdx.x * n;
  shared[i] = in[first + i];
  if constexpr (bug == Bug::none) __syncthreads();
  out[first + i] = shared[n - 1 - i];
}

/// Sums over sliding pairs, again and again in one buffer. Bug: no barrier between reading and the next round's
/// writing.
template <Bug bug>
__global__ void smooth(int* data, int rounds) {
  int* const shared = &simt::shared_memory<int>();
  int const n = blockDim.x, i = threadIdx.x;
  shared[i] = data[i];
  for (int round = 0; round < rounds; ++round) {
    __syncthreads();
    int const sum = shared[i] + shared[(i + 1) % n];
    if constexpr (bug == Bug::none) __syncthreads();
    shared[i] = sum;
  }
  data[i] = shared[i];
}

/// Fills slots of a block of a cache. Bug: one slot more than there are.
template <Bug bug>
__global__ void fill_slots(float* block, int num_slots, int dim) {
  int const last = bug == Bug::planted ? num_slots : num_slots - 1;
  for (int slot = 0; slot <= last; ++slot)
    for (int d = threadIdx.x; d < dim; d += blockDim.x) block[slot * dim + d] = static_cast<float>(slot);
}

/// Differences of neighbours. Bug: the last thread's neighbour is beyond the shared memory.
template <Bug bug>
__global__ void differences(int const* in, int* out) {
  int* const shared = &simt::shared_memory<int>();
  int const n = blockDim.x, i = threadIdx.x;
  shared[i] = in[i];
  __syncthreads();
  int const next = bug == Bug::planted ? i + 1 : min(i + 1, n - 1);
  out[i] = shared[next] - shared[i];
}

/// Sums up per-warp results. Bug: reads those of warps that the block does not have.
template <Bug bug>
__global__ void count_warps(int* out) {
  int* const shared = simt::shared_memory<int[32]>();
  int const warp = threadIdx.x / warpSize, num_warps = (blockDim.x + warpSize - 1) / warpSize;
  if (threadIdx.x % warpSize == 0) shared[warp] = 1;
  __syncthreads();
  int sum = 0;
  for (int i = 0; i < (bug == Bug::planted ? 32 : num_warps); ++i) sum += shared[i];
  out[threadIdx.x] = sum;
}

/// Bug: half of the threads wait at a barrier that the others never reach.
template <Bug bug>
__global__ void barrier_in_branch(int* out) {
  int& sum = simt::shared_memory<int>();
  if (threadIdx.x == 0) sum = 0;
  if constexpr (bug == Bug::none) __syncthreads();
  if (threadIdx.x < blockDim.x / 2) {
    if constexpr (bug == Bug::planted) __syncthreads();
    atomicAdd(&sum, 1);
  }
  __syncthreads();
  out[threadIdx.x] = sum;
}

/// Bug: threads without an element return, and the others wait for them at a barrier.
template <Bug bug>
__global__ void early_exit(int const* in, int n, int* out) {
  int* const shared = &simt::shared_memory<int>();
  int const i = threadIdx.x;
  if (bug == Bug::planted && i >= n) return;
  if (i < n) shared[i] = in[i];
  __syncthreads();
  if (i < n) out[i] = shared[n - 1 - i];
}

/// The sum over each warp, in every lane. Bug: half of the lanes are not there.
template <Bug bug>
__global__ void shuffle_in_branch(int* data) {
  int value = data[threadIdx.x];
  bool const takes_part = bug == Bug::none || threadIdx.x % warpSize < 16;
  if (takes_part)
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffff, value, step);
  data[threadIdx.x] = value;
}

/// Bug: two branches shuffle at two places, which happens to pair their lanes.
template <Bug bug>
__global__ void shuffle_in_both_branches(int* data) {
  int value = data[threadIdx.x];
  if (bug == Bug::none || threadIdx.x % 2 == 0) {
    value = __shfl_xor_sync(0xffffffff, value, 1);
  } else {
    value = __shfl_xor_sync(0xffffffff, value, 3);
  }
  data[threadIdx.x] = value;
}

/// Each lane takes the value of lane 20. Bug: the mask names the first 16 lanes only.
template <Bug bug>
__global__ void shuffle_from_inactive(int* data) {
  int const lane = threadIdx.x;
  int const value = data[lane];
  unsigned const mask = 0x0000ffff;
  if (lane < 16) data[lane] = __shfl_sync(mask, value, bug == Bug::planted ? 20 : 10);
}

/// The lanes of a warp pass values on through shared memory. Bug: no __syncwarp in between; a shuffle orders nothing.
template <Bug bug>
__global__ void pass_on(int* data) {
  int* const shared = &simt::shared_memory<int>();
  int const i = threadIdx.x, warp = i / warpSize, lane = i % warpSize;
  shared[i] = data[i];
  if constexpr (bug == Bug::none) __syncwarp();
  int const all = __shfl_sync(0xffffffff, data[i], 0);
  data[i] = shared[warp * warpSize + (lane + 1) % warpSize] + 0 * all;
}

/// The first warp makes a table that every warp reads. Bug: only a barrier of the warp after it.
template <Bug bug>
__global__ void table(int* out) {
  int* const shared = simt::shared_memory<int[32]>();
  int const lane = threadIdx.x % warpSize;
  if (threadIdx.x < warpSize) shared[lane] = lane * lane;
  if constexpr (bug == Bug::none) {
    __syncthreads();
  } else {
    __syncwarp();
  }
  out[threadIdx.x] = shared[lane];
}

/// Bug: each block also writes the first element of the next one's part.
template <Bug bug>
__global__ void fill_parts(int* out, int n) {
  int const first = blockIdx.x * blockDim.x, end = first + blockDim.x + (bug == Bug::planted ? 1 : 0);
  for (int i = first + threadIdx.x; i < min(end, n); i += blockDim.x) out[i] = 7;
}

/// The last block reads what the others wrote. Bug: no fence before the atomic that says so.
template <Bug bug>
__global__ void last_block_reads(int* partial, unsigned* num_done, int* total) {
  if (threadIdx.x != 0) return;
  partial[blockIdx.x] = blockIdx.x;
  if constexpr (bug == Bug::none) __threadfence();
  if (atomicAdd(num_done, 1) != gridDim.x - 1) return;
  __threadfence();
  int sum = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) sum += partial[b];
  *total = sum;
}

/// Bug: a plain addition where threads add to one variable.
template <Bug bug>
__global__ void count(unsigned* out) {
  unsigned& sum = simt::shared_memory<unsigned>();
  if (threadIdx.x == 0) sum = 0;
  __syncthreads();
  if constexpr (bug == Bug::none) {
    atomicAdd(&sum, 1);
  } else {
    sum += 1;
  }
  __syncthreads();
  if (threadIdx.x == 0) *out = sum;
}

/// The dot products of a query with rows of codes that have a scale each. Bug: the scale of the row before. Nothing
/// about it is wrong but the numbers, so only a comparison finds it.
template <Bug bug>
__global__ void scores(signed char const* codes, float const* scales, float const* query, int dim, float* out) {
  int const row = blockIdx.x, lane = threadIdx.x;
  float sum = 0;
  for (int d = lane; d < dim; d += warpSize) sum += query[d] * codes[row * dim + d];
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
  int const scale_row = bug == Bug::planted && row > 0 ? row - 1 : row;
  if (lane == 0) out[row] = sum * scales[scale_row];
}

/// Sums of eight codes, which come in one load. Bug: the codes begin 4 bytes too early for that.
template <Bug bug>
__global__ void sums_of_eight(unsigned char const* codes, int* sums) {
  unsigned char const* const begin = codes + (bug == Bug::planted ? 4 : 8);
  auto const eight = reinterpret_cast<unsigned long long const*>(begin)[threadIdx.x];
  int sum = 0;
  for (int i = 0; i < 64; i += 8) sum += static_cast<int>((eight >> i) & 255);
  sums[threadIdx.x] = sum;
}

/// The same as reverse, with a shared variable whose size is known. Bug: no barrier.
template <Bug bug, int n>
__global__ void reverse_static(int const* in, int* out) {
  __shared__ int shared[n];
  shared[threadIdx.x] = in[threadIdx.x];
  if constexpr (bug == Bug::none) __syncthreads();
  out[threadIdx.x] = shared[n - 1 - threadIdx.x];
}

/// Copies rows of 24 bytes, by memcpy or as structs. Bug: one row more than there are.
struct Row {
  int values[6];
};
template <Bug bug, bool by_memcpy>
__global__ void copy_rows(Row const* from, int num_rows, Row* to) {
  int const end = num_rows + (bug == Bug::planted ? 1 : 0);
  for (int i = threadIdx.x; i < end; i += blockDim.x) {
    if constexpr (by_memcpy) {
      std::memcpy(to + i, from + i, sizeof(Row));
    } else {
      to[i] = from[i];
    }
  }
}

}  // namespace planted
