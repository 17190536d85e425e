// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Decode attention through the view: docs/write_a_kernel.md's loop. The twin of raw_pointers.cuh.

#include <folio/view.hpp>

namespace view {

constexpr int D = 128, N = D / 32, query_heads = 32;

template <class View>
__global__ void decode_attention(View view, int layer, float scale, float const* q, float* out) {
  int const first = threadIdx.x * N;
  std::int64_t const row = (std::int64_t{blockIdx.x} * gridDim.y + blockIdx.y) * D + first;
  float query[N], acc[N] = {}, max = -INFINITY, sum = 0;
  for (int i = 0; i < N; ++i) query[i] = scale * q[row + i];

  auto const sequence = view.sequence(blockIdx.x, layer);
  int const head = folio::kv_head_of(blockIdx.y, query_heads, sequence.shape().kv_heads);
  for (auto const block : sequence.blocks()) {
#pragma unroll 1  // as its twin
    for (int slot = 0; slot < block.size(); ++slot) {
      folio::Vec<N> const k = block.key(head, slot).template load_in<View::KeyQuantizer::basis, N>(first);
      folio::Vec<N> const v = block.value(head, slot).template load_in<View::ValueQuantizer::basis, N>(first);
      float score = 0;
      for (int i = 0; i < N; ++i) score += query[i] * k[i];
      for (int step = 16; step > 0; step /= 2) score += __shfl_xor_sync(0xffffffff, score, step);
      float const next = fmaxf(max, score), keep = __expf(max - next), weight = __expf(score - next);
      for (int i = 0; i < N; ++i) acc[i] = acc[i] * keep + weight * v[i];
      sum = sum * keep + weight;
      max = next;
    }
  }
  float const norm = sum > 0 ? __fdividef(1, sum) : 0;
  for (int i = 0; i < N; ++i) out[row + i] = acc[i] * norm;
}

}  // namespace view
