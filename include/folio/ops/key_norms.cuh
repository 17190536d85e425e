// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Norms of stored keys, on the device.

#include <folio/kernels/lanes.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/ops/key_norms.hpp>
#include <folio/view.hpp>

namespace folio::ops {

/// Kernel. The norms of `tokens` in layer `index` of group `Group`, times `factor`: `norms`, [kv_heads][tokens.count].
///
/// Any grid of one dimension, whole warps in a block. Each key is read once by a group of lanes and summed in one
/// order, so results repeat bit by bit. The tokens must not lie before a window.
template <class View, int Group>
__global__ void key_norms_kernel(View view, std::int32_t index, Tokens tokens, float factor, float* norms) {
  using Layer = LayerView<View, Group>;
  using Quantizer = typename Layer::KeyQuantizer;
  constexpr std::int32_t key_dim = Layer::known.key_dim;
  using KeyLanes = RowLanes<Quantizer, key_dim>;
  constexpr int n = KeyLanes::per_lane, lanes = KeyLanes::count;
  KeyLanes const mine;
  auto const sequence = view.template sequence_in<Group>(tokens.sequence, index);
  std::int64_t const rows = std::int64_t{tokens.count} * sequence.shape().kv_heads;
  std::int64_t const stride = std::int64_t{gridDim.x} * (blockDim.x / lanes);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / lanes; row < rows; row += stride) {
    auto const head = static_cast<std::int32_t>(row / tokens.count);
    auto const token = static_cast<std::int32_t>(tokens.first + row % tokens.count);
    Pack<float, n> part{};
    if (mine.active()) part = sequence.key(head, token).template load_in<Quantizer::basis, n>(mine.rank() * n);
    float sum = 0;
    for (int d = 0; d < n; ++d) sum += part[d] * part[d];
    sum = mine.sum(sum);
    if (mine.rank() == 0) norms[row] = factor * sqrtf(sum);
  }
}

/// ops::key_norms on the device, on `stream`. Asynchronous; `norms` is device memory. The caller knows that the tokens
/// exist: lengths and tables are on the device and are not read here. Throws Error, before anything is launched, for a
/// sequence or layer that does not exist, a negative range or a null `norms`, CudaError when the launch fails.
template <class View>
void key_norms(DeviceView<View> const& view, std::int32_t layer, Tokens const& tokens, float* norms, float factor,
               cudaStream_t stream) {
  View const& plain = view;
  with_group(plain, layer, [&](auto group, std::int32_t index) {
    check_range(plain, tokens);
    detail::check_norms(norms, tokens);
    if (tokens.count == 0) return;
    std::int64_t const threads = std::int64_t{tokens.count} * plain.group(group()).shape.kv_heads * 32;
    launch(key_norms_kernel<View, group()>, grid_for(threads), 256, 0, stream, plain, index, tokens, factor, norms);
  });
}

}  // namespace folio::ops
