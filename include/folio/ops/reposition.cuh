// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Turns stored keys to other positions, on the device: to the same bytes as ops/reposition.hpp does on the host.

#include <folio/kernels/launch.cuh>
#include <folio/ops/reposition.hpp>
#include <folio/view.hpp>

namespace folio::ops {

namespace detail {

/// A few elements of a row, alone, as what Row::store_by takes for a lane: plain floats need no others to be stored.
struct RowPiece {
  int place;  ///< how many pieces of this size come before it
  [[nodiscard]] __device__ int rank() const { return place; }
  [[nodiscard]] __device__ static constexpr bool active() { return true; }
};

/// Turns N pairs from `first_pair` on: N elements at one place of the key and N at another.
template <int N, class KeyRow>
__device__ void turn_pairs(KeyRow const& key, std::int32_t begin, std::int32_t num_pairs, std::int32_t first_pair,
                           RopeTurn const* table, RopePairs pairs) {
  bool const split = pairs == RopePairs::half_split;
  std::int32_t const x_dim = begin + (split ? first_pair : 2 * first_pair);
  std::int32_t const y_dim = x_dim + (split ? num_pairs : N);
  auto x = key.template load<N>(x_dim), y = key.template load<N>(y_dim);
  if (split || N == 1) {
    for (int p = 0; p < N; ++p) turn_pair(x[p], y[p], table[first_pair + p]);
  } else {
    for (int p = 0; p < N / 2; ++p) {
      turn_pair(x[2 * p], x[2 * p + 1], table[first_pair + p]);
      turn_pair(y[2 * p], y[2 * p + 1], table[first_pair + N / 2 + p]);
    }
  }
  key.store_by(RowPiece{x_dim / N}, x);
  key.store_by(RowPiece{y_dim / N}, y);
}

/// Each thread takes N pairs of a key at a time.
template <int N, class Sequence>
__device__ void turn_keys(Sequence const& sequence, Tokens const& tokens, RopeTurn const* table, std::int32_t num_pairs,
                          RopePairs pairs) {
  GroupShape const shape = sequence.shape();
  std::int32_t const begin = shape.values_in_keys() ? shape.value_dim : 0, pieces = num_pairs / N;
  std::int64_t const end = std::int64_t{tokens.count} * shape.kv_heads * pieces;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < end;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    std::int64_t const row = i / pieces;
    auto const token = static_cast<std::int32_t>(tokens.first + row / shape.kv_heads);
    auto const head = static_cast<std::int32_t>(row % shape.kv_heads);
    if (sequence.block_id(token) == null_block) continue;
    turn_pairs<N>(sequence.key(head, token), begin, num_pairs, static_cast<std::int32_t>(i % pieces) * N, table, pairs);
  }
}

}  // namespace detail

/// Kernel. Turns the keys of `tokens` in layer `index` of group `Group` by `table`, [num_pairs], for the first 2 *
/// num_pairs dims of a key, or in a latent layer those after the rank.
///
/// Any grid of one dimension. Tokens that left a window are skipped. Traffic: reads and writes the rotary part
/// of each key once, in pieces of 8 elements, or of one where num_pairs is no multiple of 8; the rest is not touched.
template <class View, int Group>
__global__ void reposition_kernel(View view, std::int32_t index, Tokens tokens, RopeTurn const* table,
                                  std::int32_t num_pairs, RopePairs pairs) {
  auto const sequence = view.template sequence_in<Group>(tokens.sequence, index);
  if (num_pairs % 8 == 0)
    detail::turn_keys<8>(sequence, tokens, table, num_pairs, pairs);
  else
    detail::turn_keys<1>(sequence, tokens, table, num_pairs, pairs);
}

/// ops::reposition on the device, on `stream`: the same bytes. Asynchronous. `table`: device memory with the
/// `num_pairs` turns of rope_table, which stays until the stream has passed this point. The caller knows that the
/// tokens exist: lengths and tables are on the device and are not read here. Throws Error for a sequence or layer that
/// does not exist, a layer whose keys are quantized, or a table that is missing or of the wrong size, CudaError when
/// the launch fails.
template <class View>
void reposition(DeviceView<View> const& view, std::int32_t layer, Tokens const& tokens, RopeTurn const* table,
                std::int32_t num_pairs, RopePairs pairs, cudaStream_t stream) {
  check_range(view, tokens);
  detail::with_group_that_turns(static_cast<View const&>(view), layer, [&](auto group, std::int32_t index) {
    GroupShape const& shape = view.group(group()).shape;
    static_cast<void>(detail::rope_begin(shape, num_pairs));
    if (tokens.count == 0) return;
    if (table == nullptr) throw Error("folio: reposition needs a table of turns in device memory");
    std::int64_t const threads = std::int64_t{tokens.count} * shape.kv_heads * ((num_pairs + 7) / 8);
    launch(reposition_kernel<View, group()>, grid_for(threads), 256, 0, stream, static_cast<View const&>(view), index,
           tokens, table, num_pairs, pairs);
  });
}

}  // namespace folio::ops
