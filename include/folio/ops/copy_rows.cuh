// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies stored tokens from one sequence's blocks to another's on the device: to the same bytes as ops/copy_rows.hpp.

#include <cstddef>
#include <cstdint>
#include <folio/kernels/launch.cuh>
#include <folio/ops/copy_rows.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/row.hpp>
#include <folio/view.hpp>

namespace folio::ops {

namespace detail {

/// What a thread moves at once.
template <int Bytes>
struct alignas(Bytes) AlignedBytes {
  std::uint32_t words[std::size_t{Bytes / 4}];
};

inline constexpr int copy_rows_lanes = 8;  ///< threads that share a row

/// One row, padding too: each lane takes a piece of codes at a time, and a word of parameters.
template <std::int32_t Dim, class Quantizer, class Layout, Plane plane>
__device__ void copy_row_by_lanes(Row<Quantizer, Layout, plane> const& from, Row<Quantizer, Layout, plane> const& to,
                                  int lane) {
  static_assert(!Row<Quantizer, Layout, plane>::params_of_tile,
                "folio: tokens of a tile share their parameters and cannot be moved apart: choose tokens before they "
                "are demoted, or take a format that stores each row by itself");
  constexpr std::int32_t piece = Layout::run_bytes(plane) < 16 ? Layout::run_bytes(plane) : 16;
  constexpr std::int32_t code_pieces = (code_bytes<Quantizer>(Dim) + 15) / 16 * 16 / piece;
  constexpr std::int32_t param_words = Quantizer::param_bytes(Dim) / 4;
  using Piece = AlignedBytes<piece>;
  for (std::int32_t i = lane; i < code_pieces; i += copy_rows_lanes)
    *aligned_cast<Piece>(to.codes(i * piece)) = *aligned_cast<Piece const>(from.codes(i * piece));
  if constexpr (param_words > 0)
    for (std::int32_t i = lane; i < param_words; i += copy_rows_lanes)
      *aligned_cast<std::uint32_t>(to.param_bytes() + i * 4) =
          *aligned_cast<std::uint32_t const>(from.param_bytes() + i * 4);
}

}  // namespace detail

/// Kernel. Copies the rows of `tokens` of `from` over those of `to_tokens`, as many, of `to`, in layer `index` of group
/// `Group`.
///
/// Any grid and block of one dimension, of whole groups of 8 threads, which share a row. Tokens that left a window, on
/// either side, are skipped. No slot is both read and written. Traffic: each row is read and written once, in accesses
/// of up to 16 bytes.
template <class From, class To, int Group>
__global__ void copy_rows_kernel(From from, std::int32_t index, Tokens tokens, To to, Tokens to_tokens) {
  using Layer = LayerView<From, Group>;
  constexpr int lanes = detail::copy_rows_lanes;
  auto const source = from.template sequence_in<Group>(tokens.sequence, index);
  auto const target = to.template sequence_in<Group>(to_tokens.sequence, index);
  std::int32_t const kv_heads = source.shape().kv_heads;
  std::int64_t const rows = std::int64_t{tokens.count} * kv_heads;
  std::int64_t const stride = std::int64_t{gridDim.x} * (blockDim.x / lanes);
  int const lane = static_cast<int>(threadIdx.x) % lanes;
  for (std::int64_t row = (std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x) / lanes; row < rows; row += stride) {
    auto const token = static_cast<std::int32_t>(row / kv_heads), head = static_cast<std::int32_t>(row % kv_heads);
    std::int32_t const read = tokens.first + token, write = to_tokens.first + token;
    if (source.block_id(read) == null_block || target.block_id(write) == null_block) continue;
    detail::copy_row_by_lanes<Layer::known.key_dim>(source.key(head, read), target.key(head, write), lane);
    if constexpr (!Layer::known.values_in_keys())
      detail::copy_row_by_lanes<Layer::known.value_dim>(source.value(head, read), target.value(head, write), lane);
  }
}

/// ops::copy_rows on the device, on `stream`: the same bytes. Asynchronous. The caller knows that the ranges exist on
/// both sides: lengths and tables are on the device and are not read here. Throws Error for sequences or a layer that
/// do not exist, or whose heads differ, CudaError when the launch fails. Tokens of `from` may be given up, and those of
/// `to` be read, by what follows on `stream`.
template <class From, class To>
void copy_rows(DeviceView<From> const& from, std::int32_t layer, Tokens const& tokens, DeviceView<To> const& to,
               Tokens const& to_tokens, cudaStream_t stream) {
  check_range(from, tokens);
  check_range(to, to_tokens);
  check_as_many(tokens, to_tokens);
  From const& source = from;
  To const& target = to;
  detail::with_same_group(source, target, layer, [&](auto group, std::int32_t index) {
    if (tokens.count == 0) return;
    std::int64_t const rows = std::int64_t{tokens.count} * source.group(group()).shape.kv_heads;
    launch(copy_rows_kernel<From, To, group()>, grid_for(rows * detail::copy_rows_lanes), 256, 0, stream, source, index,
           tokens, target, to_tokens);
  });
}

}  // namespace folio::ops
