// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The kernel of docs/write_a_kernel.md. Compiled by nvcc in decode_attention.cu, run on the host in
// decode_attention_test.cpp.

// [kernel]
#include <folio/quantizer/hadamard.hpp>
#include <folio/view.hpp>

/// Turns a row of D elements in shared memory to a quantizer's basis, or back. Called by the whole warp.
template <folio::Basis basis, int D>
__device__ void change_basis(float* row) {
  __syncwarp();
  if (basis == folio::Basis::hadamard && threadIdx.x == 0) folio::hadamard_rotate(row, D);
  __syncwarp();
}

/// One decode step in a layer without a window: out = softmax(scale * q K^T) V for one query token of each sequence.
/// Grid (num_sequences, num_query_heads), one warp each. q, out: [sequence][query head][D].
template <int D, class View>
__global__ void decode_attention(View view, int layer, int heads_per_kv_head, float scale, float const* q, float* out) {
  constexpr int N = D / 32;  // elements of a row for each lane
  int const first = threadIdx.x * N, kv_head = blockIdx.y / heads_per_kv_head;
  std::int64_t const row = (std::int64_t{blockIdx.x} * gridDim.y + blockIdx.y) * D;

  __shared__ float shared[D];
  for (int i = 0; i < N; ++i) shared[first + i] = scale * q[row + first + i];
  change_basis<View::KeyQuantizer::basis, D>(shared);  // the query once, instead of every key
  float query[N], acc[N] = {}, max = -INFINITY, sum = 0;
  for (int i = 0; i < N; ++i) query[i] = shared[first + i];

  auto const sequence = view.sequence(blockIdx.x, layer);
  for (auto const block : sequence.blocks()) {  // one look-up in the block table
    for (int slot = 0; slot < block.size(); ++slot) {
      folio::Vec<N> const k = block.key(kv_head, slot).template load<N>(first);  // one load, decoded
      float score = 0;
      for (int i = 0; i < N; ++i) score += query[i] * k[i];
      for (int step = 16; step > 0; step /= 2) score += __shfl_xor_sync(0xffffffff, score, step);

      float const next = fmaxf(max, score), keep = expf(max - next), weight = expf(score - next);
      folio::Vec<N> const v = block.value(kv_head, slot).template load<N>(first);
      for (int i = 0; i < N; ++i) acc[i] = acc[i] * keep + weight * v[i];
      sum = sum * keep + weight;
      max = next;
    }
  }

  for (int i = 0; i < N; ++i) shared[first + i] = sum > 0 ? acc[i] / sum : 0;
  change_basis<View::ValueQuantizer::basis, D>(shared);  // the output once, instead of every value
  for (int i = 0; i < N; ++i) out[row + first + i] = shared[first + i];
}
// [/kernel]
