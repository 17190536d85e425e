// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What cannot be done to a sequence, in a sentence. Host only.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <limits>
#include <string>

namespace folio {

/// Throws Error where no sequence can have n tokens more than this one.
inline void check_extension(SequenceState const& state, std::int32_t n) {
  if (n < 0 || n > std::numeric_limits<std::int32_t>::max() - state.num_tokens)
    throw Error("folio: cannot append " + std::to_string(n) + " tokens to a sequence of " +
                std::to_string(state.num_tokens) + "; a sequence has at most 2147483647");
}

/// Throws Error where a length is not from 0 to the sequence's, or where layer group `g` has given back tokens that the
/// next query at n would see.
inline void check_truncate(SequenceState const& state, int g, GroupShape const& shape, std::int32_t n) {
  if (n < 0 || n > state.num_tokens)
    throw Error("folio: cannot truncate a sequence of " + std::to_string(state.num_tokens) + " tokens to " +
                std::to_string(n) + "; give a length from 0 to that");
  std::int32_t const first_resident_block = state.lists[g].first_resident_block;
  std::int32_t const sink_blocks = blocks_for(shape.sinks, shape.block_size);
  if (first_resident_block <= sink_blocks || blocks_for(n, shape.block_size) <= sink_blocks) return;
  std::int64_t const first_held = std::int64_t{first_resident_block} * shape.block_size;
  if (shape.window_begin(n) >= first_held) return;
  throw Error("folio: cannot truncate to " + std::to_string(n) + " tokens: layer group " + std::to_string(g) +
              ", with a window of " + std::to_string(shape.window) + ", gave back the tokens before " +
              std::to_string(first_held) + "; truncate to 0 or to at least " +
              std::to_string(first_held + shape.window - 1) +
              ", or let the cache keep more (CacheConfig::tokens_in_flight)");
}

/// Throws Error where tokens [first, first + n) cannot be taken out of the blocks of layer group `g`.
inline void check_erase(SequenceState const& state, int g, GroupShape const& shape, std::int32_t first,
                        std::int32_t n) {
  if (first < 0 || n < 0 || first > state.num_tokens - n)
    throw Error("folio: cannot erase " + std::to_string(n) + " tokens from " + std::to_string(first) +
                " on of a sequence of " + std::to_string(state.num_tokens));
  if (state.prefix.is_bound())
    throw Error("folio: in a cache that keeps prefixes no tokens can be erased: the rest would be found as a prefix");
  if (shape.window != 0 || first % shape.block_size != 0 || n % shape.block_size != 0)
    throw Error("folio: erase takes whole blocks, of " + std::to_string(shape.block_size) + " tokens in layer group " +
                std::to_string(g) + ", of groups without a window, not " + std::to_string(n) + " tokens from " +
                std::to_string(first) + " on");
}

}  // namespace folio
