// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Writes a step's new keys and values into their slots. Host only.

#include <folio/executor.hpp>
#include <folio/ops/with_group.hpp>

namespace folio::ops {

/// Encodes and scatters the keys and values of a step's query tokens in one layer.
///
/// `keys`: [view.num_query_tokens()][kv_heads][key_dim], `values`: [..][kv_heads][value_dim], both floats in the
/// model's basis, tokens in the batch's order. Tokens whose slot is -1 are skipped. A latent layer has no values of its
/// own: `keys` is [..][1][rank + rope dims] and `values` is null. Throws Error, before anything is written, for a layer
/// that does not exist or a pointer that is missing. Cost: one pass over the rows. Threads: rows are shared over
/// `threads`; nobody else may read or write these slots meanwhile. A step's tokens are written before attend reads
/// them.
template <HostReadableView View>
void append(View const& view, std::int32_t layer, float const* keys, float const* values, Executor threads = {}) {
  with_group(view, layer, [&](auto group, std::int32_t index) {
    LayerView<View, group()> const rows(view.group(group()), index);
    GroupShape const shape = rows.shape();
    if (view.num_query_tokens() > 0 && (keys == nullptr || (values == nullptr && !shape.values_in_keys())))
      throw Error("folio: append needs keys, and values unless the layer is latent");
    parallel_for(threads, view.num_query_tokens(), [&](std::int64_t token) {
      Slot const slot{rows.table().slots[token]};
      if (slot == no_slot) return;
      BlockId const block = block_of(slot, shape.block_size);
      std::int32_t const offset = offset_of(slot, shape.block_size);
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        std::int64_t const row = token * shape.kv_heads + head;
        rows.key(block, head, offset).store(keys + row * shape.key_dim, shape.key_dim);
        if constexpr (!decltype(rows)::known.values_in_keys())
          rows.value(block, head, offset).store(values + row * shape.value_dim, shape.value_dim);
      }
    });
  });
}

}  // namespace folio::ops
