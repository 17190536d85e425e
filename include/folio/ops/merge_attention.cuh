// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Joins partial attentions over different tokens into the attention over all of them, on the device.

#include <cmath>
#include <cstdint>
#include <folio/kernels/element.cuh>
#include <folio/kernels/launch.cuh>
#include <string>

namespace folio::ops {

namespace detail {

inline constexpr int merge_threads = 256, most_merge_warps = merge_threads / 32;

/// Partial attentions, as the arguments of merge_attention.
struct MergeParts {
  float const *out, *lse;
  std::int32_t count;
  std::int64_t num_rows;
  std::int32_t dim;

  [[nodiscard]] __device__ float part_lse(std::int32_t part, std::int64_t row) const {
    return lse[part * num_rows + row];
  }
};

/// Where merged rows go: `rows_each` of them for each token, side by side, whose rows begin `stride` elements apart.
template <class Out>
struct MergedRows {
  Out* out;
  float* lse;
  std::int32_t rows_each;
  std::int64_t stride;

  [[nodiscard]] __device__ Out* row(std::int64_t i, std::int32_t dim) const {
    if (rows_each == 1) return out + i * stride;
    return out + i / rows_each * stride + i % rows_each * dim;
  }
};

/// Warps that share a row: as many as leave each some 8 parts. The loads of a warp's parts are on their way together.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr int warps_for_row(std::int32_t num_parts, int most) {
  int warps = 1;
  while (warps < most && warps * 8 < num_parts) warps *= 2;
  return warps;
}

inline unsigned merge_grid(std::int32_t num_parts, std::int64_t num_rows) {
  return grid_for(num_rows * 32 * warps_for_row(num_parts, most_merge_warps));
}

template <class Op>
__device__ float over_warp(float value, Op const& op) {
  for (int d = 1; d < 32; d *= 2) value = op(value, __shfl_xor_sync(0xFFFFFFFFU, value, d));
  return value;
}

/// What the parts of a row weigh: a part with log-sum-exp l weighs exp(l - max) / sum. `sum` is 0 where all are empty,
/// and NaN where one of them is.
struct MergeWeights {
  float max = -INFINITY, sum = 0;

  __device__ MergeWeights(MergeParts const& parts, std::int64_t row) {
    auto const lane = static_cast<std::int32_t>(threadIdx.x % 32);
    for (std::int32_t p = lane; p < parts.count; p += 32) max = fmaxf(max, parts.part_lse(p, row));
    max = over_warp(max, [](float a, float b) { return fmaxf(a, b); });
    if (max == -INFINITY) max = 0;  // so that differences to it are numbers
    for (std::int32_t p = lane; p < parts.count; p += 32) sum += expf(parts.part_lse(p, row) - max);
    sum = over_warp(sum, [](float a, float b) { return a + b; });
  }
};

/// Adds up a warp's parts of a row, `first`, `first` + `step`, ..: of their N elements from `d` on in this lane. What
/// an empty part holds is read, and left out.
template <int N>
__device__ Pack<float, N> add_parts(MergeParts const& parts, MergeWeights const& weights, std::int64_t row,
                                    std::int32_t d, std::int32_t first, std::int32_t step) {
  constexpr int at_once = 4;
  Pack<float, N> total{};
  for (; first < parts.count; first += 32 * step) {
    std::int32_t const left = (parts.count - first + step - 1) / step, count = left < 32 ? left : 32;
    std::int32_t const mine = first + static_cast<std::int32_t>(threadIdx.x % 32) * step;
    float const lse = mine < parts.count ? parts.part_lse(mine, row) : -INFINITY;
    float const weight = lse == -INFINITY ? -1.0F : expf(lse - weights.max) / weights.sum;  // -1: empty
    for (std::int32_t j = 0; j < count; j += at_once) {
      Pack<float, N> read[std::size_t{at_once}] = {};
      for (int u = 0; u < at_once; ++u) {
        std::int32_t const part = first + (j + u < count ? j + u : count - 1) * step;
        if (d < parts.dim) read[u] = load_elements<N>(parts.out + (part * parts.num_rows + row) * parts.dim + d);
      }
      for (int u = 0; u < at_once; ++u) {  // lanes from `count` on are empty parts
        float const w = __shfl_sync(0xFFFFFFFFU, weight, j + u);
        for (int e = 0; e < N; ++e) total[e] += w < 0 ? 0.0F : w * read[u][e];
      }
    }
  }
  return total;
}

/// Merges rows [0, end_row), a few at a time, of N elements in each lane. Called by whole blocks.
template <int N, class Out>
__device__ void merge_rows_by(MergeParts const& parts, std::int64_t end_row, MergedRows<Out> const& to) {
  __shared__ Pack<float, N> sums[std::size_t{most_merge_warps}][std::size_t{32}];
  auto const lane = static_cast<std::int32_t>(threadIdx.x % 32), warp = static_cast<std::int32_t>(threadIdx.x / 32);
  auto const warps = static_cast<std::int32_t>(blockDim.x / 32);
  std::int32_t const each = warps_for_row(parts.count, warps), rank = warp % each;
  std::int64_t const at_once = warps / each;
  for (std::int64_t first = blockIdx.x * at_once; first < end_row; first += gridDim.x * at_once) {
    bool const has = first + warp / each < end_row;
    std::int64_t const row = has ? first + warp / each : end_row - 1;
    MergeWeights const weights(parts, row);
    for (std::int32_t d = lane * N; d < parts.dim + lane * N; d += 32 * N) {
      auto total = add_parts<N>(parts, weights, row, d, rank, each);
      if (each > 1) {
        sums[warp][lane] = total;
        __syncthreads();
        for (std::int32_t w = 1; w < each && rank == 0; ++w)
          for (int e = 0; e < N; ++e) total[e] += sums[warp + w][lane][e];
        __syncthreads();
      }
      if (has && rank == 0 && d < parts.dim) store_elements(total, to.row(row, parts.dim) + d);
    }
    if (to.lse != nullptr && has && rank == 0 && lane == 0)
      to.lse[row] = weights.sum == 0 ? -INFINITY : weights.max + logf(weights.sum);
  }
}

template <class Out>
__device__ void merge_rows(MergeParts const& parts, std::int64_t end_row, MergedRows<Out> const& to) {
  auto const aligned = [](void const* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; };
  if (parts.dim % 4 == 0 && aligned(parts.out) && aligned(to.out))
    merge_rows_by<4>(parts, end_row, to);
  else
    merge_rows_by<1>(parts, end_row, to);
}

}  // namespace detail

/// Kernel. Merges attention over parts of the tokens by their log-sum-exp: `parts_out` [num_parts][num_rows][dim] and
/// `parts_lse` [num_parts][num_rows], natural logarithms, into `out` [num_rows][dim] and `lse` [num_rows], or null.
/// Parts that are empty (lse = -infinity) count nothing, whatever their rows hold; rows whose parts are all empty
/// become zeros. An lse of NaN makes its row NaN. Any grid of one dimension, blocks of 32 to 256 threads, a power of
/// two. Traffic: each part once, in 16-byte accesses where dim is a multiple of 4 and both arrays begin at multiples of
/// 16 bytes. The parts of a row are read by up to 8 warps at a time, 4 by each, and added in a fixed order.
template <class Out>
__global__ void merge_attention_kernel(float const* parts_out, float const* parts_lse, std::int32_t num_parts,
                                       std::int64_t num_rows, std::int32_t dim, Out* out, float* lse) {
  detail::merge_rows(detail::MergeParts{parts_out, parts_lse, num_parts, num_rows, dim}, num_rows,
                     detail::MergedRows<Out>{out, lse, 1, dim});
}

/// ops::merge_attention on the device, of any number of parts: what the ranks of a context-parallel group, or a shared
/// prefix and the rest, have computed. Asynchronous; all pointers are device memory; Out is float, Half or BFloat16.
/// Throws Error for less than one part or a null pointer, CudaError when the launch fails.
template <class Out>
void merge_attention(float const* parts_out, float const* parts_lse, std::int32_t num_parts, std::int64_t num_rows,
                     std::int32_t dim, Out* out, float* lse, cudaStream_t stream) {
  if (num_rows == 0) return;
  if (num_parts < 1 || parts_out == nullptr || parts_lse == nullptr || out == nullptr)
    throw Error("folio: merging attention needs at least 1 part, its rows and lse, and a place for the result, not " +
                std::to_string(num_parts) + " parts" +
                (parts_out == nullptr || parts_lse == nullptr || out == nullptr ? " and a null pointer" : ""));
  launch(merge_attention_kernel<Out>, detail::merge_grid(num_parts, num_rows), detail::merge_threads, 0, stream,
         parts_out, parts_lse, num_parts, num_rows, dim, out, lse);
}

}  // namespace folio::ops
