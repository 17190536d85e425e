// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A kernel that has the keys of each block brought to shared memory by TMA while it works on those of the block before.
// On a GPU without TMA the threads copy them: the same kernel, the same scores.

#include <algorithm>
#include <cmath>
#include <folio/cuda.cuh>
#include <folio/tensor_map.cuh>
#include <iostream>
#include <random>
#include <string>
#include <vector>

#include "device_array.cuh"

// [kernel]
/// scores[kv head][token] = q . key of sequence 0 in layer `index` of the group; q: [kv head][D].
/// Grid (kv heads), 8 threads for each slot of a block.
template <int D, class View>
__global__ void scores_kernel(View view, __grid_constant__ folio::TensorMap const keys, int index, float const* q,
                              float* scores) {
  using Layer = folio::LayerView<View, 0>;
  __shared__ folio::KeyTile<Layer> tiles[2];  // one is read while the other is filled
  __shared__ folio::TileBarrier arrived[2];
  int const head = static_cast<int>(blockIdx.x), slot = static_cast<int>(threadIdx.x / 8);
  int const part = static_cast<int>(threadIdx.x % 8) * (D / 8);  // this thread's elements of a row
  auto const sequence = view.template sequence_in<0>(0, index);
  int const block_size = sequence.shape().block_size, num_tokens = sequence.num_tokens();
  int const num_blocks = folio::blocks_for(num_tokens, block_size);

  auto const load = [&](int i) {
    folio::load_tile(keys, {sequence.block_id(i * block_size), index, head}, tiles[i % 2], arrived[i % 2]);
  };
  for (auto& barrier : arrived) barrier.init();
  for (int i = 0; i < 2 && i < num_blocks; ++i) load(i);
  for (int i = 0; i < num_blocks; ++i) {
    arrived[i % 2].wait(i / 2);
    int const token = i * block_size + slot;
    float score = 0;
    if (token < num_tokens) {
      auto const key = tiles[i % 2].row(sequence.key(head, token), slot);  // codes here, scales in the block
      for (int d = part; d < part + D / 8; d += 8) {
        auto const elements = key.template load<8>(d);
        for (int k = 0; k < 8; ++k) score += q[head * D + d + k] * elements[k];
      }
    }
    for (int distance = 1; distance < 8; distance *= 2) score += __shfl_xor_sync(0xFFFFFFFFU, score, distance);
    if (token < num_tokens && threadIdx.x % 8 == 0) scores[std::int64_t{head} * num_tokens + token] = score;
    __syncthreads();  // everybody has read the tile
    if (i + 2 < num_blocks) load(i + 2);
  }
}
// [/kernel]

namespace {

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 4, .head_dim = 128};
constexpr int num_tokens = 77, layer = 1, block_size = 16, dim = model.head_dim, heads = model.kv_heads;

/// In LayoutNhd a head's rows lie apart, which a tensor map describes and a plain bulk copy cannot.
template <class Allocator>
using Cache =
    folio::KvCache<folio::Model<model>, folio::BlockSize<block_size>, folio::Int8PerToken, folio::LayoutNhd, Allocator>;

std::vector<float> random_rows(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<float> rows(size);
  for (float& x : rows) x = static_cast<float>(random() >> 8) * 0x1p-23F - 1.0F;
  return rows;
}

/// The same scores from the same rows, stored and read by the host.
std::vector<float> scores_on_host(std::vector<float> const& rows, std::vector<float> const& q) {
  Cache<folio::HostAllocator> cache({.num_blocks = {8}});
  folio::Sequence const sequence = cache.create(num_tokens);
  auto const batch = cache.batch({&sequence});
  folio::ops::append(batch.view(), layer, rows.data(), rows.data());
  auto const stored = batch.view().sequence(0, layer);
  std::vector<float> scores(std::size_t{heads} * num_tokens);
  for (int head = 0; head < heads; ++head)
    for (int token = 0; token < num_tokens; ++token)
      for (int d = 0; d < dim; ++d)
        scores[static_cast<std::size_t>(head * num_tokens + token)] +=
            q[static_cast<std::size_t>(head * dim + d)] * stored.key(head, token)[d];
  return scores;
}

}  // namespace

int main() {
  if (std::string const why = folio::no_cuda_device_because(); !why.empty()) {
    std::cout << "SKIP: no CUDA device (" << why << ")\n";
    return skipped;
  }
  std::vector<float> const rows = random_rows(std::size_t{num_tokens} * heads * dim, 1);
  std::vector<float> const q = random_rows(std::size_t{heads} * dim, 2);
  Stream const stream;
  Cache<folio::DeviceAllocator> cache({.num_blocks = {8}}, folio::DeviceAllocator(stream));
  folio::DeviceBatch batch(cache, {.num_sequences = 1, .num_query_tokens = num_tokens, .num_tokens = num_tokens});
  folio::Sequence const sequence = cache.create(num_tokens);
  batch.upload({&sequence}, stream);
  DeviceArray<float> const device_rows(rows, stream), device_q(q, stream),
      scores(std::size_t{heads} * num_tokens, stream);
  folio::ops::append(batch.view(), layer, device_rows.data(), device_rows.data(), stream);
  // [launch]
  auto const view = batch.view();
  folio::TensorMap const keys = folio::make_tensor_map(view, 0, folio::Plane::key, cache.num_blocks());
  folio::ops::launch(scores_kernel<dim, decltype(view)>, heads, block_size * 8, 0, stream, view, keys, layer,
                     device_q.data(), scores.data());
  // [/launch]
  std::vector<float> const result = scores.to_host(), expected = scores_on_host(rows, q);
  float worst = 0;
  for (std::size_t i = 0; i < result.size(); ++i)
    if (float const error = std::abs(result[i] - expected[i]); !(error <= worst))
      worst = error;  // a NaN is worst of all
  std::cout << "scores of " << num_tokens << " keys through shared memory differ from the host's by at most " << worst
            << "\n";
  return worst < 1e-4F && std::cout.flush() ? 0 : 1;
}
