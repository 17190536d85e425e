// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Closes the gaps between the kept tokens of a sequence, on the device, in place.

#include <algorithm>
#include <cstdint>
#include <folio/device_batch.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/ops/compact.hpp>
#include <folio/ops/copy_rows.cuh>
#include <span>
#include <type_traits>

namespace folio::ops {

namespace detail {

inline constexpr int compact_threads = 256;
inline constexpr int compact_unroll = 4;   ///< pieces that a thread has in flight
inline constexpr int compact_columns = 8;  ///< pieces side by side that one thread block moves

/// Moves one column of `num_columns` pieces, at most Width, of a list's rows from place `begin` on: row j takes row
/// kept[j]. at(row, column) is a piece's address. All threads of the block call it.
///
/// A tile of rows is read, then written. Nothing is written that is still to be read: what this tile writes lies before
/// all rows that later tiles read, since kept[j] >= j, and what other threads of this tile read was read before the
/// barrier.
template <int Width, int Bytes, class At>
__device__ void move_rows(std::int32_t const* kept, std::int32_t begin, std::int32_t count, std::int32_t num_columns,
                          At const& at) {
  std::int32_t const rows = static_cast<std::int32_t>(blockDim.x) * compact_unroll / Width;
  std::int32_t const column = static_cast<std::int32_t>(threadIdx.x) % Width;
  for (std::int32_t first = begin; first < count; first += rows) {
    AlignedBytes<Bytes> held[std::size_t{compact_unroll}];
    bool moves[std::size_t{compact_unroll}];
    for (int u = 0; u < compact_unroll; ++u) {
      std::int32_t const j =
          first + static_cast<std::int32_t>(static_cast<unsigned>(u) * blockDim.x + threadIdx.x) / Width;
      std::int32_t const source = j < count && column < num_columns ? kept[j] : j;
      moves[u] = source != j;
      if (moves[u]) held[u] = *aligned_cast<AlignedBytes<Bytes> const>(at(source, column));
    }
    __syncthreads();
    for (int u = 0; u < compact_unroll; ++u) {
      std::int32_t const j =
          first + static_cast<std::int32_t>(static_cast<unsigned>(u) * blockDim.x + threadIdx.x) / Width;
      if (moves[u]) *aligned_cast<AlignedBytes<Bytes>>(at(j, column)) = held[u];
    }
  }
}

/// How the bytes of a plane's rows are shared over thread blocks: columns of codes, then columns of parameters.
template <class View, int Group, Plane plane>
struct PlaneColumns {
  using Layer = LayerView<View, Group>;
  using Layout = typename View::Layout;
  static constexpr bool keys = plane == Plane::key;
  using Quantizer = std::conditional_t<keys, typename Layer::KeyQuantizer, typename Layer::ValueQuantizer>;
  static_assert(!is_tile_format<Quantizer>,
                "folio: tokens of a tile share their parameters and cannot be moved apart: choose tokens before they "
                "are demoted, or take a format that stores each row by itself");
  static constexpr std::int32_t dim = keys ? Layer::known.key_dim : Layer::known.value_dim;
  static constexpr bool exists = keys || !Layer::known.values_in_keys();
  static constexpr std::int32_t piece = Layout::run_bytes(plane) < 16 ? Layout::run_bytes(plane) : 16;
  static constexpr std::int32_t code_pieces = (code_bytes<Quantizer>(dim) + 15) / 16 * 16 / piece;  // padding too
  static constexpr std::int32_t param_pieces = Quantizer::param_bytes(dim) / 4;
  static constexpr std::int32_t codes = (code_pieces + compact_columns - 1) / compact_columns;
  static constexpr std::int32_t params = (param_pieces + compact_columns - 1) / compact_columns;
  static constexpr std::int32_t count = exists ? codes + params : 0;  ///< columns
  static constexpr int param_width = param_pieces > 4 ? 8 : param_pieces > 2 ? 4 : param_pieces > 1 ? 2 : 1;

  /// Moves column `column` of one head's rows.
  template <class Sequence>
  __device__ static void move(Sequence const& sequence, std::int32_t head, std::int32_t column,
                              std::int32_t const* kept, std::int32_t num_first, std::int32_t num_kept) {
    auto const row = [&](std::int32_t token) {
      if constexpr (keys)
        return sequence.key(head, token);
      else
        return sequence.value(head, token);
    };
    bool const is_code = column < codes;
    std::int32_t const first = (is_code ? column : column - codes) * compact_columns;
    std::int32_t const rest = (is_code ? code_pieces : param_pieces) - first;
    std::int32_t const width = rest < compact_columns ? rest : compact_columns;
    if (is_code)
      move_rows<compact_columns, piece>(kept, num_first, num_kept, width, [&](std::int32_t token, std::int32_t c) {
        return row(token).codes((first + c) * piece);
      });
    else if constexpr (param_pieces > 0)
      move_rows<param_width, 4>(kept, num_first, num_kept, width, [&](std::int32_t token, std::int32_t c) {
        return row(token).param_bytes() + (first + c) * 4;
      });
  }
};

}  // namespace detail

/// Kernel. ops::compact in group `Group`: see there for the lists.
///
/// Any grid of one dimension, any block that is a multiple of 32: a block has at a time a column of up to 128 bytes of
/// the rows of one layer, sequence and head, which no other block touches. Traffic: each row that moves is read and
/// written once.
template <class View, int Group>
__global__ void compact_kernel(View view, TokenLists lists) {
  using Keys = detail::PlaneColumns<View, Group, Plane::key>;
  using Values = detail::PlaneColumns<View, Group, Plane::value>;
  constexpr std::int32_t columns = Keys::count + Values::count;
  GroupShape const shape = LayerView<View, Group>(view.group(Group), 0).shape();
  std::int64_t const work = std::int64_t{shape.layers} * view.num_sequences() * shape.kv_heads * columns;
  for (std::int64_t w = blockIdx.x; w < work; w += gridDim.x) {
    auto const column = static_cast<std::int32_t>(w % columns);
    std::int64_t const rows = w / columns;
    auto const head = static_cast<std::int32_t>(rows % shape.kv_heads);
    auto const i = static_cast<std::int32_t>(rows / shape.kv_heads % view.num_sequences());
    auto const layer = static_cast<std::int32_t>(rows / shape.kv_heads / view.num_sequences());
    std::int64_t const list = lists.list(layer, i, head, view.num_sequences());
    auto const sequence = view.template sequence_in<Group>(i, layer);
    if (column < Keys::count)
      Keys::move(sequence, head, column, lists.tokens + list * lists.k, lists.num_first, lists.counts[list]);
    else if constexpr (Values::exists)
      Values::move(sequence, head, column - Keys::count, lists.tokens + list * lists.k, lists.num_first,
                   lists.counts[list]);
  }
}

/// Kernel. ops::compact_elements: see there. Any grid of one dimension, any block; a block has a row at a time.
template <class T>
__global__ void compact_elements_kernel(T* rows, std::int64_t num_rows, std::int32_t row_length,
                                        std::int32_t const* kept, std::int32_t const* counts, std::int32_t k, T rest) {
  for (std::int64_t row = blockIdx.x; row < num_rows; row += gridDim.x) {
    T* const elements = rows + row * row_length;
    std::int32_t const count = counts[row];
    for (std::int32_t first = 0; first < count; first += static_cast<std::int32_t>(blockDim.x)) {
      std::int32_t const j = first + static_cast<std::int32_t>(threadIdx.x);
      T const element = j < count ? elements[kept[row * k + j]] : rest;
      __syncthreads();  // what is written, here or after the kept ones, was read: as in move_rows
      if (j < count) elements[j] = element;
    }
    for (std::int32_t j = count + static_cast<std::int32_t>(threadIdx.x); j < row_length;
         j += static_cast<std::int32_t>(blockDim.x))
      elements[j] = rest;
  }
}

/// ops::compact on the device, on `stream`. Asynchronous; the lists are in device memory. The host cannot read them, so
/// it takes all places from TokenLists::num_first to k for written; none before that are. Throws Error, before anything
/// is written, where blocks of these are shared or sinks of a cache that demotes are among them, for a group that does
/// not exist, for lists of other layers or heads than it has, and for a stale batch as DeviceBatch::view does;
/// CudaError when the launch fails. That tokens ascend, exist, and are as many for every head and layer of a sequence
/// is the caller's promise, as is that nothing else works on these blocks meanwhile; and, where a graph is replayed,
/// that they are not shared then.
template <class View>
void compact(DeviceBatch<View> const& batch, std::int32_t group, TokenLists const& lists, cudaStream_t stream) {
  View const all = batch.view();
  auto const& view = detail::appended_lists(all);
  using Appended = std::remove_cvref_t<decltype(view)>;
  detail::with_group_number<Appended>(group, [&](auto g) {
    GroupShape const shape = LayerView<Appended, g()>(view.group(g()), 0).shape();
    detail::check_token_lists(shape, lists);
    std::span<StepQueries const> const sources = batch.tables().sources();
    for (std::size_t i = 0; i < sources.size(); ++i)
      detail::check_written(sources[i], static_cast<std::int64_t>(i), group, lists.num_first, lists.k);
    if (view.num_sequences() == 0 || lists.k == 0) return;
    constexpr std::int64_t columns = detail::PlaneColumns<Appended, g(), Plane::key>::count +
                                     detail::PlaneColumns<Appended, g(), Plane::value>::count;
    std::int64_t const blocks = std::int64_t{shape.layers} * view.num_sequences() * shape.kv_heads * columns;
    launch(compact_kernel<Appended, g()>, static_cast<unsigned>(std::min<std::int64_t>(blocks, 65535)),
           detail::compact_threads, 0, stream, view, lists);
  });
}

/// ops::compact_elements on the device, on `stream`. Asynchronous; all pointers are device memory.
template <class T>
void compact_elements(T* rows, std::int64_t num_rows, std::int32_t row_length, std::int32_t const* kept,
                      std::int32_t const* counts, std::int32_t k, T rest, cudaStream_t stream) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (num_rows == 0 || row_length == 0) return;
  launch(compact_elements_kernel<T>, static_cast<unsigned>(std::min<std::int64_t>(num_rows, 65535)),
         detail::compact_threads, 0, stream, rows, num_rows, row_length, kept, counts, k, rest);
}

}  // namespace folio::ops
