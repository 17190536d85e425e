// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A kernel of one's own over the view: attention of one decode step, for any format and layout, in forty lines.

#include <algorithm>
#include <cmath>
#include <folio/cuda.cuh>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "device_array.cuh"

// [kernel]
/// out = softmax(scale * q K^T) V for the last token of each sequence, in a layer without a window.
/// Grid (num_sequences, num_query_heads), one warp each. q, out: [sequence][query head][D]; D is 128, 256 or 512.
template <int D, class View>
__global__ void decode_attention(View view, int layer, float scale, float const* q, float* out) {
  using Lanes = folio::ops::Lanes<D>;  // who of the warp has which elements of a row
  constexpr int N = Lanes::per_lane;
  constexpr folio::Basis key_basis = View::KeyQuantizer::basis, value_basis = View::ValueQuantizer::basis;
  Lanes const lanes;
  std::int64_t const row = (std::int64_t{blockIdx.x} * gridDim.y + blockIdx.y) * D;
  auto query = folio::ops::load_part<N>(lanes, q + row);
  folio::change_basis_by<key_basis>(lanes, query, D);  // the query once, instead of every key

  auto const sequence = view.sequence(static_cast<int>(blockIdx.x), layer);
  int const kv_head =
      folio::kv_head_of(static_cast<int>(blockIdx.y), static_cast<int>(gridDim.y), sequence.shape().kv_heads);
  folio::Vec<N> sum{};
  float max = -INFINITY, weights = 0;
  for (auto const block : sequence.blocks()) {  // one look-up in the block table
    for (int slot = 0; slot < block.size(); ++slot) {
      auto const key = block.key(kv_head, slot).template load_in<key_basis, N>(lanes.rank() * N);  // one vector load
      auto const value = block.value(kv_head, slot).template load_in<value_basis, N>(lanes.rank() * N);
      float score = 0;
      for (int i = 0; i < N; ++i) score += query[i] * key[i];
      score = scale * lanes.sum(score);
      float const next = fmaxf(max, score), keep = expf(max - next), weight = expf(score - next);
      for (int i = 0; i < N; ++i) sum[i] = sum[i] * keep + weight * value[i];
      weights = weights * keep + weight;
      max = next;
    }
  }
  for (int i = 0; i < N; ++i) sum[i] = weights > 0 ? sum[i] / weights : 0;
  folio::change_basis_by<value_basis>(lanes, sum, D);  // the output once, instead of every value
  folio::ops::store_part<N>(lanes, sum, out + row);
}
// [/kernel]

namespace {

constexpr folio::ModelConfig model{.layers = 1, .kv_heads = 2, .head_dim = 128};
constexpr int num_query_heads = 8;

std::vector<float> random_rows(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> rows(size);
  for (float& x : rows) x = static_cast<float>(random() >> 8) * 0x1p-23F - 1.0F;
  return rows;
}

/// Runs the kernel over blocks on the device, and folio::ops::attend over the same rows on the host.
template <class... Policies>
float difference_to_host() {
  folio::KvCache<folio::Model<model>, Policies...> on_host({.num_blocks = {32}});
  folio::KvCache<folio::Model<model>, folio::DeviceAllocator, Policies...> cache({.num_blocks = {32}});
  Stream const stream;
  folio::DeviceBatch batch(cache, {.num_sequences = 3, .num_query_tokens = 128, .num_tokens = 256});

  std::vector<folio::Sequence> sequences, host_sequences;
  std::vector<folio::BatchItem> prefill, decode, host_prefill, host_decode;
  for (int const length : {1, 16, 77}) {
    sequences.push_back(cache.create(length));
    host_sequences.push_back(on_host.create(length));
  }
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    prefill.emplace_back(&sequences[i]);
    decode.emplace_back(&sequences[i], 1);
    host_prefill.emplace_back(&host_sequences[i]);
    host_decode.emplace_back(&host_sequences[i], 1);
  }
  std::vector<float> const keys = random_rows(128 * 2 * 128, 1), values = random_rows(128 * 2 * 128, 2);
  std::vector<float> const q = random_rows(3 * num_query_heads * 128, 3);
  std::vector<float> expected(q.size());
  folio::ops::append(on_host.batch(host_prefill).view(), 0, keys.data(), values.data());
  folio::ops::attend(on_host.batch(host_decode).view(), 0,
                     folio::AttentionIo{q.data(), num_query_heads, expected.data()});

  DeviceArray<float> const device_keys(keys, stream), device_values(values, stream), device_q(q, stream);
  DeviceArray<float> const out(q.size(), stream);
  batch.upload(prefill, stream);
  folio::ops::append(batch.view(), 0, device_keys.data(), device_values.data(), stream);
  batch.upload(decode, stream);
  // [launch]
  auto const view = batch.view();
  folio::ops::launch(decode_attention<128, decltype(view)>, dim3(3, num_query_heads), 32, 0, stream, view, 0,
                     1.0F / std::sqrt(128.0F), device_q.data(), out.data());
  // [/launch]

  std::vector<float> const result = out.to_host();
  float worst = 0;
  for (std::size_t i = 0; i < result.size(); ++i)
    if (float const error = std::abs(result[i] - expected[i]); !(error <= worst))
      worst = error;  // a NaN is worst of all
  return worst;
}

}  // namespace

int main() {
  if (std::string const why = folio::no_cuda_device_because(); !why.empty()) {
    std::cout << "SKIP: " << why << "\n";
    return skipped;
  }
  float const halves = difference_to_host<folio::F16>();
  float const eight_bits = difference_to_host<folio::Int8PerToken, folio::LayoutNhd>();
  float const four_bits = difference_to_host<folio::Int4Rotated, folio::LayoutInterleaved>();
  std::cout << "largest difference to the host's attention: f16 " << halves << ", int8 " << eight_bits << ", int4 "
            << four_bits << "\n";
  // The host multiplies integer formats with queries of 16 bits.
  return halves < 1e-5F && eight_bits < 1e-4F && four_bits < 1e-4F && std::cout.flush() ? 0 : 1;
}
