// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Correct kernels of the kinds that the runner must run, as they would be written for a GPU.

#include "simt/cuda.hpp"

namespace kernels {

/// The sum over the lanes of a warp, in lane 0. `mask` names those that call it, the lowest ones.
__device__ inline float warp_sum(unsigned mask, float value) {
  int const num_lanes = __popc(mask), lane = threadIdx.x % warpSize;
  for (int step = 16; step > 0; step /= 2) {
    int const other = lane + step < num_lanes ? lane + step : lane;
    float const taken = __shfl_sync(mask, value, other);
    if (lane + step < num_lanes) value += taken;
  }
  return value;
}

/// sums[b] = the sum of block b's part of `in`. Any block size; a float of shared memory for each warp.
__global__ void block_sums(float const* in, int n, float* sums) {
  float* const partial = simt::shared_memory<float[32]>();
  int const thread = threadIdx.x, warp = thread / warpSize, lane = thread % warpSize;
  int const num_warps = (blockDim.x + warpSize - 1) / warpSize;
  int const num_lanes = min(warpSize, static_cast<int>(blockDim.x) - warp * warpSize);

  int const i = blockIdx.x * blockDim.x + thread;
  float const sum = warp_sum(0xffffffffu >> (32 - num_lanes), i < n ? in[i] : 0);
  if (lane == 0) partial[warp] = sum;
  __syncthreads();
  if (warp == 0) {
    float total = lane < num_warps ? partial[lane] : 0;
    for (int w = lane + num_lanes; w < num_warps; w += num_lanes) total += partial[w];
    total = warp_sum(0xffffffffu >> (32 - num_lanes), total);
    if (lane == 0) sums[blockIdx.x] = total;
  }
}

/// out[i] = in[0] + ... + in[i], for one block of n threads. 2 n ints of shared memory.
__global__ void inclusive_scan(int const* in, int n, int* out) {
  int* from = &simt::shared_memory<int>();
  int* to = from + n;
  int const i = threadIdx.x;
  from[i] = in[i];
  __syncthreads();
  for (int step = 1; step < n; step *= 2) {
    to[i] = from[i] + (i >= step ? from[i - step] : 0);
    __syncthreads();
    int* const last = from;
    from = to;
    to = last;
  }
  out[i] = from[i];
}

/// The transpose of a [rows][columns] matrix. Blocks of (32, 8); static shared memory.
template <class T>
__global__ void transpose(T const* in, int rows, int columns, T* out) {
  __shared__ T tile[32][33];
  int const column = blockIdx.x * 32 + threadIdx.x, row = blockIdx.y * 32;
  for (int i = threadIdx.y; i < 32; i += blockDim.y)
    if (row + i < rows && column < columns) tile[i][threadIdx.x] = in[(row + i) * columns + column];
  __syncthreads();
  for (int i = threadIdx.y; i < 32; i += blockDim.y) {
    int const out_row = blockIdx.x * 32 + i, out_column = row + threadIdx.x;
    if (out_row < columns && out_column < rows) out[out_row * rows + out_column] = tile[threadIdx.x][i];
  }
}

/// counts[b] += how many of `in` are b, for b below num_bins. That many unsigned of shared memory.
__global__ void histogram(unsigned char const* in, int n, int num_bins, unsigned* counts) {
  unsigned* const mine = &simt::shared_memory<unsigned>();
  for (int bin = threadIdx.x; bin < num_bins; bin += blockDim.x) mine[bin] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) atomicAdd(&mine[in[i]], 1);
  __syncthreads();
  for (int bin = threadIdx.x; bin < num_bins; bin += blockDim.x)
    if (mine[bin] > 0) atomicAdd(&counts[bin], mine[bin]);
}

/// The softmax of each row of [rows][columns]: one warp a row, any number of warps a block. The row's exponentials wait
/// in shared memory, `columns` floats for each warp, where another lane than the one that wrote them reads them.
__global__ void softmax(float const* in, int rows, int columns, float* out) {
  int const warp = threadIdx.x / warpSize, lane = threadIdx.x % warpSize;
  int const row = blockIdx.x * (blockDim.x / warpSize) + warp;
  if (row >= rows) return;
  float* const exponentials = &simt::shared_memory<float>() + warp * columns;

  float most = -INFINITY, sum = 0;
  for (int c = lane; c < columns; c += warpSize) most = fmaxf(most, in[row * columns + c]);
  for (int step = 16; step > 0; step /= 2) most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, step));
  for (int c = lane; c < columns; c += warpSize) {
    exponentials[c] = __expf(in[row * columns + c] - most);
    sum += exponentials[c];
  }
  for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffff, sum, step);
  __syncwarp();
  for (int i = lane; i < columns; i += warpSize) {
    int const c = columns - 1 - i;
    out[row * columns + c] = exponentials[c] / sum;
  }
}

/// *total = the sum of `in`, whatever the grid: each block adds its part to `partial`, and the last one that is done
/// adds those up. One thread a block works; *num_done begins as 0.
__global__ void sum_by_last_block(int const* in, int n, int* partial, unsigned* num_done, int* total) {
  bool& is_last = simt::shared_memory<bool>();
  if (threadIdx.x == 0) {
    int sum = 0;
    for (int i = blockIdx.x; i < n; i += gridDim.x) sum += in[i];
    partial[blockIdx.x] = sum;
    __threadfence();
    is_last = atomicAdd(num_done, 1) == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last || threadIdx.x != blockDim.x - 1) return;
  __threadfence();
  *total = 0;
  for (unsigned b = 0; b < gridDim.x; ++b) *total += partial[b];
}

/// Adds each thread's number to *sum, one after another, under a lock that begins as 0.
__global__ void sum_under_lock(unsigned* lock, int* sum) {
  bool done = false;
  while (!done) {
    if (atomicCAS(lock, 0, 1) == 0) {
      __threadfence();
      *sum += threadIdx.x;
      __threadfence();
      atomicExch(lock, 0);
      done = true;
    }
  }
}

}  // namespace kernels
