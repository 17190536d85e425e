// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Joins partial attentions over different tokens into the attention over all of them, on the device.

#include <cmath>
#include <cstdint>
#include <folio/ops/element.cuh>
#include <folio/ops/launch.cuh>
#include <string>

namespace folio::ops {

namespace detail {

/// Merges row `row` of the parts. Called by a whole thread block.
template <class Out>
__device__ void merge_row(float const* parts_out, float const* parts_lse, std::int32_t num_parts, std::int64_t num_rows,
                          std::int64_t row, std::int32_t dim, Out* out, float* lse) {
  float max = -INFINITY, sum = 0;
  for (std::int32_t p = 0; p < num_parts; ++p) max = fmaxf(max, parts_lse[p * num_rows + row]);
  bool const empty = max == -INFINITY;
  for (std::int32_t p = 0; p < num_parts && !empty; ++p) sum += expf(parts_lse[p * num_rows + row] - max);
  for (auto d = static_cast<std::int32_t>(threadIdx.x); d < dim; d += static_cast<std::int32_t>(blockDim.x)) {
    float total = 0;
    for (std::int32_t p = 0; p < num_parts && !empty; ++p) {
      float const weight = expf(parts_lse[p * num_rows + row] - max) / sum;
      if (weight != 0) total += weight * parts_out[(p * num_rows + row) * dim + d];  // an empty part holds anything
    }
    store_element(total, out[row * dim + d]);
  }
  if (lse != nullptr && threadIdx.x == 0) lse[row] = empty ? max : max + logf(sum);
}

}  // namespace detail

/// Kernel. Merges attention over parts of the tokens by their log-sum-exp: `parts_out` [num_parts][num_rows][dim] and
/// `parts_lse` [num_parts][num_rows], natural logarithms, into `out` [num_rows][dim] and `lse` [num_rows], or null.
/// Parts that are empty (lse = -infinity) count nothing, whatever their rows hold; rows whose parts are all empty
/// become zeros. Any grid and block of one dimension. Traffic: each part once.
template <class Out>
__global__ void merge_attention_kernel(float const* parts_out, float const* parts_lse, std::int32_t num_parts,
                                       std::int64_t num_rows, std::int32_t dim, Out* out, float* lse) {
  for (std::int64_t row = blockIdx.x; row < num_rows; row += gridDim.x)
    detail::merge_row(parts_out, parts_lse, num_parts, num_rows, row, dim, out, lse);
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
  launch(merge_attention_kernel<Out>, grid_for(num_rows * 256), 128, 0, stream, parts_out, parts_lse, num_parts,
         num_rows, dim, out, lse);
}

}  // namespace folio::ops
