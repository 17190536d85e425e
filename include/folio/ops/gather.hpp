// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Reads stored keys and values back into contiguous floats. Host only.

#include <folio/ops/rows.hpp>
#include <folio/ops/thread_pool.hpp>
#include <folio/ops/with_group.hpp>

namespace folio::ops {

/// Decodes tokens [first_token, first_token + num_tokens) of sequence `i` of the batch in one layer.
///
/// `keys`: [num_tokens][kv_heads][key_dim], `values`: [num_tokens][kv_heads][value_dim], in the model's basis; either
/// may be null. Throws Error, before anything is written, for a sequence, layer or range that does not exist, or for
/// tokens that were given back behind a window. Cost: one pass over the rows. Tokens are shared over `threads`.
template <HostReadableView View>
void gather(View const& view, std::int32_t i, std::int32_t layer, std::int32_t first_token, std::int32_t num_tokens,
            float* keys, float* values, ThreadPool* threads = nullptr) {
  if (i < 0 || i >= view.num_sequences())
    throw Error("folio: the batch has " + std::to_string(view.num_sequences()) + " sequences, so no sequence " +
                std::to_string(i));
  with_group(view, layer, [&](auto group, std::int32_t index) {
    auto const sequence = view.template sequence_in<group()>(i, index);
    GroupShape const shape = sequence.shape();
    if (first_token < 0 || num_tokens < 0 || first_token > sequence.num_tokens() - num_tokens)
      throw Error("folio: the sequence has " + std::to_string(sequence.num_tokens()) + " tokens, so not the " +
                  std::to_string(num_tokens) + " from " + std::to_string(first_token) + " on");
    for (std::int32_t token = first_token; token < first_token + num_tokens; ++token)
      if (sequence.block_id(token) == null_block)
        throw Error("folio: token " + std::to_string(token) + " was given back behind the layer's window");
    parallel_for(threads, num_tokens, [&](std::int64_t t) {
      auto const token = static_cast<std::int32_t>(first_token + t);
      for (std::int32_t head = 0; head < shape.kv_heads; ++head) {
        std::int64_t const row = t * shape.kv_heads + head;
        if (keys != nullptr) {
          float* const out = keys + row * shape.key_dim;
          load_row(sequence.key(head, token), shape.key_dim, out);
          change_basis(View::KeyQuantizer::basis, out, shape.key_dim, shape.key_dim);
        }
        if (values != nullptr) {
          float* const out = values + row * shape.value_dim;
          load_row(sequence.value(head, token), shape.value_dim, out);
          change_value_basis<View>(shape, out);
        }
      }
    });
  });
}

}  // namespace folio::ops
