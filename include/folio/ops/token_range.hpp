// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether the tokens that an operation is asked for exist and are in memory. Host only.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <string>

namespace folio::ops {

/// Throws Error unless `view` has a sequence `i`.
template <class View>
void check_sequence(View const& view, std::int32_t i) {
  if (i < 0 || i >= view.num_sequences())
    throw Error("folio: the batch has " + std::to_string(view.num_sequences()) + " sequences, so no sequence " +
                std::to_string(i));
}

/// Throws Error for tokens that no sequence can have: all that can be said where lengths are in device memory.
inline void check_range(std::int32_t first_token, std::int32_t num_tokens) {
  if (first_token < 0 || num_tokens < 0)
    throw Error("folio: tokens are counted from 0, so there are not " + std::to_string(num_tokens) + " from " +
                std::to_string(first_token) + " on");
}

/// Throws Error unless `sequence`, of one layer, has tokens [first_token, first_token + num_tokens), and none of them
/// was given back behind a window.
template <class Sequence>
void check_tokens(Sequence const& sequence, std::int32_t first_token, std::int32_t num_tokens) {
  if (first_token < 0 || num_tokens < 0 || first_token > sequence.num_tokens() - num_tokens)
    throw Error("folio: the sequence has " + std::to_string(sequence.num_tokens()) + " tokens, so not the " +
                std::to_string(num_tokens) + " from " + std::to_string(first_token) + " on");
  for (std::int32_t token = first_token; token < first_token + num_tokens; ++token)
    if (sequence.block_id(token) == null_block)
      throw Error("folio: token " + std::to_string(token) + " was given back behind the layer's window");
}

}  // namespace folio::ops
