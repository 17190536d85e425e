// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many blocks the cache gets.

#include <algorithm>
#include <cstdint>
#include <folio/folio.hpp>
#include <limits>
#include <string>
#include <vector>

#include "bad_input.hpp"
#include "engine.hpp"

namespace serve {

/// What the user allows, but not more blocks than all generations could ever fill.
struct BlockBudget {
  folio::GroupShape shape;
  std::int64_t block_bytes = 0;
  std::int32_t batch_tokens = 0;

  /// The most blocks that a sequence holds on its way to `num_tokens`: a cache that keeps prefixes keeps a block more
  /// than its window needs.
  [[nodiscard]] std::int64_t blocks_of(std::int32_t num_tokens) const {
    return folio::most_blocks_held(shape, num_tokens, batch_tokens + shape.block_size);
  }

  /// Throws BadInput when the longest request alone does not fit.
  [[nodiscard]] std::int64_t num_blocks(std::vector<Tokens> const& prompts, EngineOptions const& options) const {
    std::int64_t longest = 0, all = 0;
    for (Tokens const& prompt : prompts) {
      // The last token is drawn, but never looked back at, so it takes no slot.
      std::int64_t const one = blocks_of(static_cast<std::int32_t>(prompt.size()) + options.max_tokens - 1);
      longest = std::max(longest, one);
      all += one * options.samples;
    }
    constexpr std::int64_t default_bytes = std::int64_t{1} << 30;
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max() - 1;
    std::int64_t const bytes = options.memory_bytes == 0 ? default_bytes : options.memory_bytes;
    std::int64_t const affordable = bytes / block_bytes - 1;  // one is the null block
    if (affordable < longest)
      throw BadInput(
          (options.memory_bytes == 0 ? "The default of 1G for --memory" : "--memory " + std::to_string(bytes)) +
          " is too small: the longest request alone needs " + std::to_string((longest + 1) * block_bytes) + " bytes (" +
          std::to_string(longest) + " blocks of " + std::to_string(block_bytes) + " bytes and the null block).");
    return std::min({affordable, all, most});
  }
};

}  // namespace serve
