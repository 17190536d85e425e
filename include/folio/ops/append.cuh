// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes a step's new keys and values into their slots, on the device: quantize and scatter in one pass.

#include <folio/kernels/element.cuh>
#include <folio/kernels/lanes.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/kernels/row_strides.hpp>
#include <folio/view.hpp>

namespace folio::ops {

namespace detail {

/// One row of one plane: the lanes read it, encode it together and write its codes.
template <class RowLanes, class RowType, class T>
__device__ void append_row(RowType const& to, T const* from) {
  RowLanes const lanes;
  to.store_by(lanes, load_part<RowLanes::per_lane>(lanes, from));
}

}  // namespace detail

/// Kernel. Encodes and scatters the keys and values of a step's query tokens in layer `index` of group `Group`.
///
/// `keys`: [num_query_tokens][kv_heads][key_dim], `values` likewise with value_dim, null in a latent layer; tokens are
/// `strides` apart, which are not 0 here. T is float, Half or BFloat16. Tokens whose slot is -1 are skipped. Any grid
/// of one dimension; whole warps in a block. Each row is shared by RowLanes<quantizer, dim>::count threads. Traffic:
/// reads each row once, writes its codes and parameters once.
template <class View, int Group, class T>
__global__ void append_kernel(View view, std::int32_t index, T const* keys, T const* values, RowStrides strides) {
  using Layer = LayerView<View, Group>;
  constexpr std::int32_t key_dim = Layer::known.key_dim, value_dim = Layer::known.value_dim;
  constexpr bool has_values = !Layer::known.values_in_keys();
  using KeyLanes = RowLanes<typename Layer::KeyQuantizer, key_dim>;
  using ValueLanes = RowLanes<typename Layer::ValueQuantizer, value_dim>;
  constexpr int lanes = KeyLanes::count > ValueLanes::count ? KeyLanes::count : ValueLanes::count;
  Layer const layer(view.group(Group), index);
  GroupShape const shape = layer.shape();
  std::int64_t const rows = std::int64_t{view.num_query_tokens()} * shape.kv_heads;
  std::int64_t const stride = std::int64_t{gridDim.x} * (blockDim.x / lanes);
  // Groups of lanes of one warp may have rows left while others have none, so each group's exchanges name its own
  // lanes.
  for (std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / lanes; row < rows; row += stride) {
    std::int64_t const token = row / shape.kv_heads;
    Slot const slot{layer.table().slots[token]};
    if (slot == no_slot) continue;
    auto const head = static_cast<std::int32_t>(row % shape.kv_heads);
    BlockId const block = block_of(slot, shape.block_size);
    std::int32_t const offset = offset_of(slot, shape.block_size);
    // Where a plane needs fewer lanes than the other, the first group of them does its row.
    if (threadIdx.x % lanes < KeyLanes::count)
      detail::append_row<KeyLanes>(layer.key(block, head, offset), keys + token * strides.keys + head * key_dim);
    if constexpr (has_values)
      if (threadIdx.x % lanes < ValueLanes::count)
        detail::append_row<ValueLanes>(layer.value(block, head, offset),
                                       values + token * strides.values + head * value_dim);
  }
}

/// ops::append on the device: launches append_kernel for `layer` of the model on `stream`. Asynchronous; all pointers
/// are device memory; they and their rows begin at multiples of 16 bytes. Throws Error for others, for one that is
/// missing, for strides that do not fit, for a layer that does not exist, and for a view without slots, CudaError when
/// the launch fails.
template <class View, class T>
void append(DeviceView<View> const& view, std::int32_t layer, T const* keys, std::type_identity_t<T> const* values,
            cudaStream_t stream, RowStrides strides = {}) {
  with_group(static_cast<View const&>(view), layer, [&](auto group, std::int32_t index) {
    if (view.num_query_tokens() == 0) return;
    GroupShape const& shape = view.group(group()).shape;
    folio::detail::check_new_rows(view.group(group()).slots, keys, values, shape.values_in_keys());
    check_aligned(keys, "keys");
    if (!shape.values_in_keys()) check_aligned(values, "values");
    strides.keys = checked_device_stride<T>(strides.keys, std::int64_t{shape.kv_heads} * shape.key_dim, "keys");
    strides.values = checked_device_stride<T>(strides.values, std::int64_t{shape.kv_heads} * shape.value_dim, "values");
    std::int64_t const rows = std::int64_t{view.num_query_tokens()} * shape.kv_heads;
    launch(append_kernel<View, group(), T>, grid_for(rows * 32), 256, 0, stream, view, index, keys, values, strides);
  });
}

}  // namespace folio::ops
