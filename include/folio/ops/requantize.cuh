// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Stores tokens a second time in another format, on the device: to the same bytes as ops/requantize.hpp on the host.

#include <folio/kernels/lanes.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/ops/requantize.hpp>
#include <folio/quantizer/basis.hpp>
#include <folio/view.hpp>

namespace folio::ops {

namespace detail {

/// Those of two groups of lanes that hold more elements each: whole bytes in both formats.
template <class A, class B>
using FewerLanes = std::conditional_t<(A::count < B::count), A, B>;

/// One row: decoded by the lanes, rotated to the model's basis, encoded together.
template <class FromQuantizer, std::int32_t Dim, class RowLanes, class FromRow, class ToRow>
__device__ void requantize_row_by_lanes(FromRow const& from, ToRow const& to) {
  RowLanes const lanes;
  constexpr int n = RowLanes::per_lane;
  Pack<float, n> part{};
  if (lanes.active()) part = from.template load_in<FromQuantizer::basis, n>(lanes.rank() * n);
  change_basis_by<FromQuantizer::basis>(lanes, part, Dim);
  to.store_by(lanes, part);
}

/// The rows of `tokens`, shared by the thread blocks of a row of the grid.
template <class From, class To, int FromGroup, int ToGroup>
__device__ void requantize_tokens(From const& from, std::int32_t from_index, Tokens const& tokens, To const& to,
                                  std::int32_t to_index, Tokens const& to_tokens) {
  using Layer = LayerView<From, FromGroup>;
  constexpr std::int32_t key_dim = Layer::known.key_dim, value_dim = Layer::known.value_dim;
  using Target = LayerView<To, ToGroup>;
  using KeyLanes =
      FewerLanes<RowLanes<typename Layer::KeyQuantizer, key_dim>, RowLanes<typename Target::KeyQuantizer, key_dim>>;
  using ValueLanes = FewerLanes<RowLanes<typename Layer::ValueQuantizer, value_dim>,
                                RowLanes<typename Target::ValueQuantizer, value_dim>>;
  constexpr int lanes = KeyLanes::count > ValueLanes::count ? KeyLanes::count : ValueLanes::count;
  auto const source = from.template sequence_in<FromGroup>(tokens.sequence, from_index);
  auto const target = to.template sequence_in<ToGroup>(to_tokens.sequence, to_index);
  std::int32_t const kv_heads = source.shape().kv_heads;
  std::int64_t const rows = std::int64_t{tokens.count} * kv_heads;
  std::int64_t const stride = std::int64_t{gridDim.x} * (blockDim.x / lanes);
  for (std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / lanes; row < rows; row += stride) {
    auto const token = static_cast<std::int32_t>(row / kv_heads), head = static_cast<std::int32_t>(row % kv_heads);
    std::int32_t const read = tokens.first + token, write = to_tokens.first + token;
    if (source.block_id(read) == null_block || target.block_id(write) == null_block) continue;
    if (threadIdx.x % lanes < KeyLanes::count)
      requantize_row_by_lanes<typename Layer::KeyQuantizer, key_dim, KeyLanes>(source.key(head, read),
                                                                               target.key(head, write));
    if constexpr (!Layer::known.values_in_keys())
      if (threadIdx.x % lanes < ValueLanes::count)
        requantize_row_by_lanes<typename Layer::ValueQuantizer, value_dim, ValueLanes>(source.value(head, read),
                                                                                       target.value(head, write));
  }
}

}  // namespace detail

/// Kernel. Decodes `tokens` of `from` in layer `from_index` of group `FromGroup`, and encodes them into `to_tokens`, as
/// many, of `to` in layer `to_index` of group `ToGroup`.
///
/// Any grid of one dimension; whole warps in a block. Each row is shared by RowLanes<quantizer, dim>::count threads.
/// Tokens that left a window, on either side, are skipped. No slot is both read and written. Traffic: reads
/// each row once, writes its codes and parameters once.
template <class From, class To, int FromGroup, int ToGroup>
__global__ void requantize_kernel(From from, std::int32_t from_index, Tokens tokens, To to, std::int32_t to_index,
                                  Tokens to_tokens) {
  detail::requantize_tokens<From, To, FromGroup, ToGroup>(from, from_index, tokens, to, to_index, to_tokens);
}

/// ops::requantize on the device, on `stream`: the same bytes. Asynchronous. The caller knows that the ranges exist on
/// both sides: lengths and tables are on the device and are not read here. Throws Error for sequences or a layer that
/// do not exist, for a layer with rows of fewer than 16 bits, or when the layer's rows differ in size, CudaError when
/// the launch fails. Tokens of `from` may be given up, and those of `to` be read, by what follows on `stream`.
template <class From, class To>
void requantize(DeviceView<From> const& from, std::int32_t layer, Tokens const& tokens, DeviceView<To> const& to,
                Tokens const& to_tokens, cudaStream_t stream) {
  check_range(from, tokens);
  check_range(to, to_tokens);
  check_as_many(tokens, to_tokens);
  From const& source = from;
  To const& target = to;
  detail::with_groups(source, target, layer, [&](auto from_group, auto from_index, auto to_group, auto to_index) {
    if (tokens.count == 0) return;
    std::int64_t const rows = std::int64_t{tokens.count} * source.group(from_group()).shape.kv_heads;
    launch(requantize_kernel<From, To, from_group(), to_group()>, grid_for(rows * 32), 256, 0, stream, source,
           from_index, tokens, target, to_index, to_tokens);
  });
}

}  // namespace folio::ops
