// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads stored keys and values back into contiguous floats. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/executor.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/kernels/with_group.hpp>
#include <span>
#include <vector>

namespace folio::ops {

namespace detail {

template <class View, int Group>
void gather_token(SequenceView<View, Group> const& sequence, std::int32_t token, float* keys, float* values) {
  using Layer = LayerView<View, Group>;
  GroupShape const shape = sequence.shape();
  for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
    if (keys != nullptr) {
      float* const out = keys + std::int64_t{head} * shape.key_dim;
      load_row(sequence.key(head, token), shape.key_dim, out);
      change_basis(Layer::KeyQuantizer::basis, out, shape.key_dim, shape.key_dim);
    }
    if (values != nullptr) {
      float* const out = values + std::int64_t{head} * shape.value_dim;
      load_row(sequence.value(head, token), shape.value_dim, out);
      change_value_basis(Layer::ValueQuantizer::basis, shape, out);
    }
  }
}

}  // namespace detail

/// Gather (dequantize): decodes tokens of many sequences of the batch in one layer, range after range.
///
/// With n tokens in all ranges together, `keys`: [n][kv_heads][key_dim], `values`: [n][kv_heads][value_dim], in the
/// model's basis; either may be null. Ranges number the tokens that the layer's group stores, and may overlap. Throws
/// Error, before anything is written, for a sequence, layer or range that does not exist, or for tokens that were given
/// back when they left a window. Cost: one pass over the rows. Work is shared over `threads` in pieces of 16 tokens, so
/// a long range and many short ones keep them equally busy.
template <HostReadableView View>
void gather(View const& view, std::int32_t layer, std::span<Tokens const> ranges, float* keys, float* values,
            Executor threads = {}) {
  with_group(view, layer, [&](auto group, std::int32_t index) {
    struct Piece {
      Tokens range;
      std::int64_t row;  // of its first token in the output
    };
    constexpr std::int32_t piece_tokens = 16;
    std::vector<Piece> pieces;
    std::int64_t num_rows = 0;
    for (Tokens const& range : ranges) {
      check_sequence(view, range);
      check_tokens(view.template sequence_in<group()>(range.sequence, index), range);
      for (std::int32_t piece = 0; piece < blocks_for(range.count, piece_tokens); ++piece) {
        std::int32_t const done = piece * piece_tokens;
        pieces.push_back(
            {{range.sequence, range.first + done, std::min(piece_tokens, range.count - done)}, num_rows + done});
      }
      num_rows += range.count;
    }
    parallel_for(threads, static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
      auto const& [range, row] = pieces[static_cast<std::size_t>(i)];
      auto const sequence = view.template sequence_in<group()>(range.sequence, index);
      GroupShape const shape = sequence.shape();
      std::int64_t const key_floats = std::int64_t{shape.kv_heads} * shape.key_dim;
      std::int64_t const value_floats = std::int64_t{shape.kv_heads} * shape.value_dim;
      for (std::int32_t t = 0; t < range.count; ++t)
        detail::gather_token(sequence, range.first + t, keys != nullptr ? keys + (row + t) * key_floats : nullptr,
                             values != nullptr ? values + (row + t) * value_floats : nullptr);
    });
  });
}

/// The same of one range.
template <HostReadableView View>
void gather(View const& view, std::int32_t layer, Tokens const& tokens, float* keys, float* values,
            Executor threads = {}) {
  gather(view, layer, std::span(&tokens, 1), keys, values, threads);
}

}  // namespace folio::ops
