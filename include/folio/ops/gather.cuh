// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads stored keys and values back into contiguous memory, on the device, in the model's basis.

#include <folio/ops/element.cuh>
#include <folio/ops/lanes.cuh>
#include <folio/ops/launch.cuh>
#include <folio/quantizer/basis.hpp>
#include <folio/view.hpp>

namespace folio::ops {

namespace detail {

/// One row: decoded by the lanes, turned back to the model's basis and written. `RowDim` is the length of the stored
/// row, of which the first `Dim` elements are wanted.
template <class Quantizer, std::int32_t Dim, std::int32_t RowDim, class RowType, class T>
__device__ void gather_row(RowType const& from, T* to) {
  RowLanes<Quantizer, Dim> const lanes;
  constexpr int n = RowLanes<Quantizer, Dim>::per_lane;
  Pack<float, n> part{};
  if (lanes.active()) part = from.template load_in<Quantizer::basis, n>(lanes.rank() * n);
  change_basis_by<Quantizer::basis>(lanes, part, RowDim);
  store_part<n>(lanes, part, to);
}

}  // namespace detail

/// Kernel. Decodes tokens [first_token, first_token + num_tokens) of sequence `i` in layer `index` of group `Group`.
///
/// `keys`: [num_tokens][kv_heads][key_dim], `values`: [num_tokens][kv_heads][value_dim]; either may be null. T is
/// float, Half or BFloat16. Any grid of one dimension; whole warps in a block. The tokens must not lie behind a window.
template <class View, int Group, class T>
__global__ void gather_kernel(View view, std::int32_t i, std::int32_t index, std::int32_t first_token,
                              std::int32_t num_tokens, T* keys, T* values) {
  using Layer = LayerView<View, Group>;
  constexpr std::int32_t key_dim = Layer::known.key_dim, value_dim = Layer::known.value_dim;
  constexpr bool latent = Layer::known.values_in_keys();
  using KeyQuantizer = typename View::KeyQuantizer;
  using ValueQuantizer = std::conditional_t<latent, KeyQuantizer, typename View::ValueQuantizer>;
  constexpr int key_lanes = RowLanes<KeyQuantizer, key_dim>::count;
  constexpr int value_lanes = RowLanes<ValueQuantizer, value_dim>::count;
  constexpr int lanes = key_lanes > value_lanes ? key_lanes : value_lanes;
  auto const sequence = view.template sequence_in<Group>(i, index);
  std::int32_t const kv_heads = sequence.shape().kv_heads;
  std::int64_t const rows = std::int64_t{num_tokens} * kv_heads;
  std::int64_t const stride = std::int64_t{gridDim.x} * (blockDim.x / lanes);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / lanes; row < rows; row += stride) {
    auto const token = static_cast<std::int32_t>(first_token + row / kv_heads);
    auto const head = static_cast<std::int32_t>(row % kv_heads);
    if (keys != nullptr && threadIdx.x % lanes < key_lanes)
      detail::gather_row<KeyQuantizer, key_dim, key_dim>(sequence.key(head, token), keys + row * key_dim);
    if (values != nullptr && threadIdx.x % lanes < value_lanes)
      detail::gather_row<ValueQuantizer, value_dim, latent ? key_dim : value_dim>(sequence.value(head, token),
                                                                                  values + row * value_dim);
  }
}

/// ops::gather on the device, on `stream`. Asynchronous; all pointers are device memory and begin at multiples of 16
/// bytes. The caller knows that the range exists: lengths and tables are on the device and are not read here. Throws
/// Error for a layer that does not exist or pointers that are not aligned, CudaError when the launch fails.
template <class View, class T>
void gather(DeviceView<View> const& view, std::int32_t i, std::int32_t layer, std::int32_t first_token,
            std::int32_t num_tokens, T* keys, std::type_identity_t<T>* values, cudaStream_t stream) {
  with_group(static_cast<View const&>(view), layer, [&](auto group, std::int32_t index) {
    if (num_tokens == 0) return;
    check_aligned(keys, "keys");
    check_aligned(values, "values");
    std::int64_t const rows = std::int64_t{num_tokens} * view.group(group()).shape.kv_heads;
    launch(gather_kernel<View, group(), T>, grid_for(rows * 32), 256, 0, stream, view, i, index, first_token,
           num_tokens, keys, values);
  });
}

}  // namespace folio::ops
