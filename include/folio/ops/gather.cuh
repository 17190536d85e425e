// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads stored keys and values back into contiguous memory, on the device, in the model's basis.

#include <algorithm>
#include <folio/kernels/element.cuh>
#include <folio/kernels/lanes.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/kernels/token_range.hpp>
#include <folio/quantizer/basis.hpp>
#include <folio/view.hpp>
#include <span>

namespace folio::ops {

namespace detail {

/// One row: decoded by the lanes, rotated back to the model's basis and written. `RowDim` is the length of the stored
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

/// Tokens that one launch of gather_kernel decodes, and the row of the output that each range begins at. 1.5 KiB, which
/// fit into a kernel's parameters.
struct GatherRanges {
  static constexpr int most = 64;
  struct Range {
    Tokens tokens;
    std::int64_t row = 0;
  };
  Range list[std::size_t{most}];
};

/// Kernel. Decodes range blockIdx.y of `ranges` in layer `index` of group `Group`.
///
/// With n tokens in all ranges together, `keys`: [n][kv_heads][key_dim], `values`: [n][kv_heads][value_dim]; either may
/// be null. T is float, Half or BFloat16. Grid: (any, ranges); whole warps in a block. The tokens must not lie before a
/// window.
template <class View, int Group, class T>
__global__ void gather_kernel(View view, std::int32_t index, GatherRanges ranges, T* keys, T* values) {
  using Layer = LayerView<View, Group>;
  constexpr std::int32_t key_dim = Layer::known.key_dim, value_dim = Layer::known.value_dim;
  constexpr bool latent = Layer::known.values_in_keys();
  using KeyQuantizer = typename View::KeyQuantizer;
  using ValueQuantizer = std::conditional_t<latent, KeyQuantizer, typename View::ValueQuantizer>;
  constexpr int key_lanes = RowLanes<KeyQuantizer, key_dim>::count;
  constexpr int value_lanes = RowLanes<ValueQuantizer, value_dim>::count;
  constexpr int lanes = key_lanes > value_lanes ? key_lanes : value_lanes;
  GatherRanges::Range const& range = ranges.list[blockIdx.y];
  auto const sequence = view.template sequence_in<Group>(range.tokens.sequence, index);
  std::int32_t const kv_heads = sequence.shape().kv_heads;
  std::int64_t const rows = std::int64_t{range.tokens.count} * kv_heads, to = range.row * kv_heads;
  std::int64_t const stride = std::int64_t{gridDim.x} * (blockDim.x / lanes);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / lanes; row < rows; row += stride) {
    auto const token = static_cast<std::int32_t>(range.tokens.first + row / kv_heads);
    auto const head = static_cast<std::int32_t>(row % kv_heads);
    if (keys != nullptr && threadIdx.x % lanes < key_lanes)
      detail::gather_row<KeyQuantizer, key_dim, key_dim>(sequence.key(head, token), keys + (to + row) * key_dim);
    if (values != nullptr && threadIdx.x % lanes < value_lanes)
      detail::gather_row<ValueQuantizer, value_dim, latent ? key_dim : value_dim>(sequence.value(head, token),
                                                                                  values + (to + row) * value_dim);
  }
}

/// ops::gather on the device, on `stream`, range after range: one launch for each 64 of them. Asynchronous; all
/// pointers are device memory and begin at multiples of 16 bytes; `ranges` is read before it returns. The caller knows
/// that the tokens exist: lengths and tables are on the device and are not read here. Throws Error, before anything is
/// launched, for a sequence or layer that does not exist or pointers that are not aligned, CudaError when a launch
/// fails.
template <class View, class T>
void gather(DeviceView<View> const& view, std::int32_t layer, std::span<Tokens const> ranges, T* keys,
            std::type_identity_t<T>* values, cudaStream_t stream) {
  View const& plain = view;
  with_group(plain, layer, [&](auto group, std::int32_t index) {
    for (Tokens const& tokens : ranges) check_range(plain, tokens);
    check_aligned(keys, "keys");
    check_aligned(values, "values");
    std::int64_t row = 0;
    while (!ranges.empty()) {
      GatherRanges some;
      auto const count = std::min<std::size_t>(ranges.size(), GatherRanges::most);
      std::int32_t longest = 0;
      for (std::size_t i = 0; i < count; ++i) {
        some.list[i] = {ranges[i], row};
        row += ranges[i].count;
        longest = std::max(longest, ranges[i].count);
      }
      ranges = ranges.subspan(count);
      if (longest == 0) continue;
      dim3 const grid(grid_for(std::int64_t{longest} * plain.group(group()).shape.kv_heads * 32),
                      static_cast<unsigned>(count));
      launch(gather_kernel<View, group(), T>, grid, 256, 0, stream, plain, index, some, keys, values);
    }
  });
}

/// The same of one range.
template <class View, class T>
void gather(DeviceView<View> const& view, std::int32_t layer, Tokens const& tokens, T* keys,
            std::type_identity_t<T>* values, cudaStream_t stream) {
  gather(view, layer, std::span(&tokens, 1), keys, values, stream);
}

}  // namespace folio::ops
