// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes a step's new keys and values into their slots. Host only.

#include <cstdint>
#include <folio/executor.hpp>
#include <folio/kernels/row_strides.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/with_group.hpp>
#include <type_traits>

namespace folio::ops {

namespace detail {

/// Encodes one row of activations, which go through floats.
template <class RowType, class T>
void append_row(RowType const& row, T const* from, std::int32_t dim) {
  if constexpr (std::is_same_v<T, float>) {
    row.store(from, dim);
  } else {
    float floats[max_row_dim];
    load_activations(from, dim, floats);
    row.store(floats, dim);
  }
}

}  // namespace detail

/// Append (reshape_and_cache): encodes and scatters the keys and values of a step's query tokens in one layer.
///
/// `keys`: [view.num_query_tokens()][kv_heads][key_dim], `values`: [..][kv_heads][value_dim], both of float, Half or
/// BFloat16 in the model's basis, tokens in the batch's order and as far apart as `strides` says. Tokens whose slot is
/// -1 are skipped. A latent layer has no values of its own: `keys` is [..][1][rank + rope dims] and `values` is null.
/// Throws Error, before anything is written, for a layer that does not exist, a pointer that is missing, rows that
/// overlap, or a view without slots, such as that of what is demoted. Takes nothing from the heap. Cost: one pass over
/// the rows. Threads: rows are shared over `threads`; nobody else may read or write these slots meanwhile. A step's
/// tokens are written before attend reads them.
template <HostReadableView View, Activation T>
void append(View const& view, std::int32_t layer, T const* keys, std::type_identity_t<T> const* values,
            Executor threads = {}, RowStrides const& strides = {}) {
  with_group(view, layer, [&](auto group, std::int32_t index) {
    LayerView<View, group()> const rows(view.group(group()), index);
    GroupShape const shape = rows.shape();
    if (view.num_query_tokens() > 0)
      folio::detail::check_new_rows(rows.table().slots, keys, values, shape.values_in_keys());
    std::int64_t const key_stride =
        folio::detail::checked_stride(strides.keys, std::int64_t{shape.kv_heads} * shape.key_dim, "keys");
    std::int64_t const value_stride =
        folio::detail::checked_stride(strides.values, std::int64_t{shape.kv_heads} * shape.value_dim, "values");
    parallel_for(threads, view.num_query_tokens(), [&](std::int64_t token) {
      Slot const slot{rows.table().slots[token]};
      if (slot == no_slot) return;
      BlockId const block = block_of(slot, shape.block_size);
      std::int32_t const offset = offset_of(slot, shape.block_size);
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        detail::append_row(rows.key(block, head, offset),
                           keys + token * key_stride + std::int64_t{head} * shape.key_dim, shape.key_dim);
        if constexpr (!decltype(rows)::known.values_in_keys())
          detail::append_row(rows.value(block, head, offset),
                             values + token * value_stride + std::int64_t{head} * shape.value_dim, shape.value_dim);
      }
    });
  });
}

}  // namespace folio::ops
