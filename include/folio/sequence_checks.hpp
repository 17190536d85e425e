// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What truncate and erase refuse, and the sentences that say so. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <span>
#include <string>

namespace folio::detail {

/// Throws Error where a sequence cannot be truncated to n tokens, because layer group `g` gave back, before block
/// `first_resident_block`, what the next query would see.
inline void check_truncate(GroupShape const& s, int g, std::int32_t first_resident_block, std::int32_t n) {
  std::int32_t const sink_blocks = blocks_for(s.sinks, s.block_size);
  bool const gave_back = first_resident_block > sink_blocks;
  if (!gave_back || blocks_for(n, s.block_size) <= sink_blocks) return;
  std::int64_t const first_held = std::int64_t{first_resident_block} * s.block_size;
  if (s.window_begin(n) >= first_held) return;
  throw Error("folio: cannot truncate to " + std::to_string(n) + " tokens: layer group " + std::to_string(g) +
              ", with a window of " + std::to_string(s.window) + ", gave back the tokens before " +
              std::to_string(first_held) + "; truncate to 0 or to at least " +
              std::to_string(first_held + s.window - 1) +
              ", or let the cache keep more (CacheConfig::tokens_in_flight)");
}

/// Throws Error where tokens [first, first + n) cannot be taken out of a sequence of `num_tokens`: tokens that there
/// are not, parts of blocks, windows, and caches that keep prefixes.
inline void check_erase(std::span<GroupShape const> shapes, bool keeps_prefixes, std::int32_t num_tokens,
                        std::int32_t first, std::int32_t n) {
  if (first < 0 || n < 0 || first > num_tokens - n)
    throw Error("folio: cannot erase " + std::to_string(n) + " tokens from " + std::to_string(first) +
                " on of a sequence of " + std::to_string(num_tokens));
  if (keeps_prefixes)
    throw Error("folio: in a cache that keeps prefixes no tokens can be erased: the rest would be found as a prefix");
  for (std::size_t g = 0; g < shapes.size(); ++g)
    if (shapes[g].window != 0 || first % shapes[g].block_size != 0 || n % shapes[g].block_size != 0)
      throw Error("folio: erase takes whole blocks, of " + std::to_string(shapes[g].block_size) + " tokens in layer " +
                  "group " + std::to_string(g) + ", of groups without a window, not " + std::to_string(n) +
                  " tokens from " + std::to_string(first) + " on");
}

}  // namespace folio::detail
