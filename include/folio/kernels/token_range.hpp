// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether the tokens that an operation is asked for exist and are in memory. Host only.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <string>

namespace folio::ops {

/// Throws Error for tokens of a sequence that `view` does not have.
template <class View>
void check_sequence(View const& view, Tokens const& tokens) {
  if (tokens.sequence < 0 || tokens.sequence >= view.num_sequences())
    throw Error("folio: the batch has " + std::to_string(view.num_sequences()) + " sequences, so no sequence " +
                std::to_string(tokens.sequence));
}

/// Throws Error for tokens that no step can have: all that can be said where lengths are in device memory.
template <class View>
void check_range(View const& view, Tokens const& tokens) {
  check_sequence(view, tokens);
  if (tokens.first < 0 || tokens.count < 0)
    throw Error("folio: tokens are counted from 0, so there are not " + std::to_string(tokens.count) + " from " +
                std::to_string(tokens.first) + " on");
}

/// Throws Error where what is read and what is written are not equally many tokens.
inline void check_as_many(Tokens const& from, Tokens const& to) {
  if (from.count != to.count)
    throw Error("folio: " + std::to_string(from.count) + " tokens do not fill the places of " +
                std::to_string(to.count));
}

/// Throws Error unless a sequence that stores `num_tokens` in a layer has these.
inline void check_length(std::int32_t num_tokens, Tokens const& tokens) {
  if (tokens.first < 0 || tokens.count < 0 || tokens.first > num_tokens - tokens.count)
    throw Error("folio: in this layer the sequence stores " + std::to_string(num_tokens) + " tokens, so not the " +
                std::to_string(tokens.count) + " from " + std::to_string(tokens.first) + " on");
}

/// Throws Error unless `sequence`, of one layer, stores these tokens, and none of them was given back when it left a
/// window.
template <class Sequence>
void check_tokens(Sequence const& sequence, Tokens const& tokens) {
  check_length(sequence.num_tokens(), tokens);
  for (std::int32_t token = tokens.first; token < tokens.first + tokens.count; ++token)
    if (sequence.block_id(token) == null_block)
      throw Error("folio: token " + std::to_string(token) + " was given back when it left the layer's window");
}

}  // namespace folio::ops
