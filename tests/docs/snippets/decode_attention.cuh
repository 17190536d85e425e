// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The kernels of docs/write_a_kernel.md that lead up to examples/02_attention_kernel.cu. Compiled by nvcc in
// decode_attention.cu, run on the host in decode_attention_test.cpp.

#include <cmath>
#include <cstddef>
#include <folio/kernels/element.cuh>
#include <folio/kernels/lanes.cuh>
#include <folio/quantizer/basis.hpp>
#include <folio/view.hpp>
#include <type_traits>

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

// [mixed]
/// decode_attention over the view of a cache that demotes: both its lists, one after the other, into one softmax.
/// Grid (num_sequences, num_query_heads), one warp each. In a layer without a window; D is 128, 256 or 512.
template <int D, class Mixed>
__global__ void mixed_attention(Mixed view, int layer, float scale, float const* q, float* out) {
  using Lanes = folio::ops::Lanes<D>;
  constexpr int N = Lanes::per_lane;
  Lanes const lanes;
  int const i = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  std::int64_t const row = (std::int64_t{blockIdx.x} * gridDim.y + blockIdx.y) * D;
  folio::Vec<N> sum{};  // in the model's basis, from list to list
  float max = -INFINITY, weights = 0;
  auto const add_tokens_of = [&](auto const& list) {
    using View = std::remove_cvref_t<decltype(list)>;  // an ordinary view
    constexpr folio::Basis key_basis = View::KeyQuantizer::basis, value_basis = View::ValueQuantizer::basis;
    auto query = folio::ops::load_part<N>(lanes, q + row);
    folio::change_basis_by<key_basis>(lanes, query, D);
    folio::change_basis_by<value_basis>(lanes, sum, D);
    auto const sequence = list.sequence(i, layer);
    int const kv_head = folio::kv_head_of(head, static_cast<int>(gridDim.y), sequence.shape().kv_heads);
    for (auto const block : sequence.blocks()) {
      for (int slot = 0; slot < block.size(); ++slot) {
        auto const key = block.key(kv_head, slot).template load_in<key_basis, N>(lanes.rank() * N);
        auto const value = block.value(kv_head, slot).template load_in<value_basis, N>(lanes.rank() * N);
        float score = 0;
        for (int e = 0; e < N; ++e) score += query[e] * key[e];
        score = scale * lanes.sum(score);
        float const next = fmaxf(max, score), keep = expf(max - next), weight = expf(score - next);
        for (int e = 0; e < N; ++e) sum[e] = sum[e] * keep + weight * value[e];
        weights = weights * keep + weight;
        max = next;
      }
    }
    folio::change_basis_by<value_basis>(lanes, sum, D);
  };
  add_tokens_of(view.demoted);
  add_tokens_of(view.recent);
  for (int e = 0; e < N; ++e) sum[e] = weights > 0 ? sum[e] / weights : 0;
  folio::ops::store_part<N>(lanes, sum, out + row);
}
// [/mixed]
