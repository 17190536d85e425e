// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The kernels of docs/write_a_kernel.md that lead up to examples/02_attention_kernel.cu. Compiled by nvcc in
// decode_attention.cu, run on the host in decode_attention_test.cpp.

#include <cstddef>
#include <folio/view.hpp>

// [element]
/// Writes element `dim` of the key of `token` in kv head `head`, of sequence 0 of the step. One thread. For formats
/// that do not rotate.
template <class View>
__global__ void read_element(View view, int layer, int head, int token, int dim, float* to) {
  auto const sequence = view.sequence(0, layer);
  *to = sequence.key(head, token)[dim];
}
// [/element]

// [scores]
/// scores[token] = q . key of sequence 0 in kv head `head`. A thread for each token, any grid. q: [D], in the keys'
/// basis.
template <int D, class View>
__global__ void scores_kernel(View view, int layer, int head, float const* q, float* scores) {
  constexpr int N = 128 / View::KeyQuantizer::bits;  // as many elements as 16 bytes hold
  constexpr folio::Basis basis = View::KeyQuantizer::basis;
  auto const sequence = view.sequence(0, layer);
  int const first = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  int const stride = static_cast<int>(gridDim.x * blockDim.x);
  for (int token = first; token < sequence.num_tokens(); token += stride) {
    auto const key = sequence.key(head, token);  // one look-up in the block table
    auto const params = key.params();            // the row's scale, read once
    float score = 0;
    for (int d = 0; d < D; d += N) {
      auto const elements = key.template load_in<basis, N>(d, params);  // one load of 16 bytes, decoded
      for (int i = 0; i < N; ++i) score += q[d + i] * elements[i];
    }
    scores[token] = score;
  }
}
// [/scores]

// [staged]
/// The same by one thread block of at least block_size threads, with the keys of a block in shared memory.
template <int D, class View>
__global__ void staged_scores_kernel(View view, int layer, int head, float const* q, float* scores) {
  using Quantizer = typename View::KeyQuantizer;
  constexpr int block_size = folio::LayerView<View, 0>::known.block_size, param_bytes = Quantizer::param_bytes(D);
  constexpr int row_bytes = folio::code_bytes<Quantizer>(D), chunks = row_bytes / 16, N = 128 / Quantizer::bits;
  alignas(16) __shared__ std::byte codes[block_size][row_bytes + 16];  // 16 more: rows begin in different banks
  alignas(16) __shared__ std::byte params[block_size][param_bytes + 4];
  int const thread = static_cast<int>(threadIdx.x), num_threads = static_cast<int>(blockDim.x);
  auto const sequence = view.sequence(0, layer);
  for (auto const block : sequence.blocks()) {
    for (int i = thread; i < block.size() * chunks; i += num_threads) {
      int const slot = i / chunks, byte = i % chunks * 16;
      __pipeline_memcpy_async(&codes[slot][byte], block.key(head, slot).codes(byte), 16);
    }
    for (int byte = 0; byte < param_bytes && thread < block.size(); byte += 4)
      __pipeline_memcpy_async(&params[thread][byte], block.key(head, thread).param_bytes() + byte, 4);
    __pipeline_commit();
    __pipeline_wait_prior(0);  // this thread's copies are there
    __syncthreads();           // and everybody's
    if (thread < block.size()) {
      float score = 0;
      for (int d = 0; d < D; d += N) {
        float elements[N];
        auto const scale = Quantizer::load_params(params[thread], d);
        Quantizer::template decode<N>(&codes[thread][d / N * 16], scale, elements);
        for (int i = 0; i < N; ++i) score += q[d + i] * elements[i];
      }
      scores[block.first_token() + thread] = score;
    }
    __syncthreads();  // the next block's copies overwrite them
  }
}
// [/staged]
