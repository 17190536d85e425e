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

/// How the rows of a token are read: by `lanes` threads together, of which a row takes as many as it needs.
template <class View, int Group>
struct GatherLanes {
  using Layer = LayerView<View, Group>;
  static constexpr std::int32_t key_dim = Layer::known.key_dim, value_dim = Layer::known.value_dim;
  static constexpr bool latent = Layer::known.values_in_keys();
  using KeyQuantizer = typename Layer::KeyQuantizer;
  using ValueQuantizer = typename Layer::ValueQuantizer;
  static constexpr int key_lanes = RowLanes<KeyQuantizer, key_dim>::count;
  static constexpr int value_lanes = RowLanes<ValueQuantizer, value_dim>::count;
  static constexpr int lanes = key_lanes > value_lanes ? key_lanes : value_lanes;

  /// The token's rows in kv head `head` to row `row` of the outputs; `lane` of the threads that read them.
  template <class T>
  static __device__ void gather(SequenceView<View, Group> const& sequence, std::int32_t head, std::int32_t token,
                                int lane, std::int64_t row, T* keys, T* values) {
    if (keys != nullptr && lane < key_lanes)
      gather_row<KeyQuantizer, key_dim, key_dim>(sequence.key(head, token), keys + row * key_dim);
    if (values != nullptr && lane < value_lanes)
      gather_row<ValueQuantizer, value_dim, latent ? key_dim : value_dim>(sequence.value(head, token),
                                                                          values + row * value_dim);
  }
};

}  // namespace detail

/// Tokens that one launch of gather_kernel decodes, and the row of the output that each range begins at. 1.5 KiB, which
/// fit into a kernel's parameters.
struct GatherRanges {
  static constexpr int most = 64;
  struct Range {
    Tokens tokens;
    std::int64_t row = 0;

    /// Calls f(token, head, row of the output), each by `Lanes` threads of the blocks of a row of the grid.
    template <int Lanes, class F>
    __device__ void for_each_row(std::int32_t kv_heads, F const& f) const {
      std::int64_t const rows = std::int64_t{tokens.count} * kv_heads, to = row * kv_heads;
      std::int64_t const stride = std::int64_t{gridDim.x} * (blockDim.x / Lanes);
      for (std::int64_t r = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / Lanes; r < rows; r += stride)
        f(static_cast<std::int32_t>(tokens.first + r / kv_heads), static_cast<std::int32_t>(r % kv_heads), to + r);
    }
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
  using Lanes = detail::GatherLanes<View, Group>;
  GatherRanges::Range const& range = ranges.list[blockIdx.y];
  auto const sequence = view.template sequence_in<Group>(range.tokens.sequence, index);
  std::int32_t const kv_heads = sequence.shape().kv_heads;
  range.for_each_row<Lanes::lanes>(kv_heads, [&](std::int32_t token, std::int32_t head, std::int64_t row) {
    Lanes::gather(sequence, head, token, static_cast<int>(threadIdx.x % Lanes::lanes), row, keys, values);
  });
}

namespace detail {

/// Calls each(grid, some) for each 64 of `ranges`.
template <class Each>
void for_gather_ranges(std::span<Tokens const> ranges, std::int32_t kv_heads, Each const& each) {
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
    if (longest > 0) each(dim3(grid_for(std::int64_t{longest} * kv_heads * 32), static_cast<unsigned>(count)), some);
  }
}

}  // namespace detail

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
    detail::for_gather_ranges(ranges, plain.group(group()).shape.kv_heads, [&](dim3 grid, GatherRanges const& some) {
      launch(gather_kernel<View, group(), T>, grid, 256, 0, stream, plain, index, some, keys, values);
    });
  });
}

/// The same of one range.
template <class View, class T>
void gather(DeviceView<View> const& view, std::int32_t layer, Tokens const& tokens, T* keys,
            std::type_identity_t<T>* values, cudaStream_t stream) {
  gather(view, layer, std::span(&tokens, 1), keys, values, stream);
}

}  // namespace folio::ops
