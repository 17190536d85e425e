// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an append takes of one group's blocks and gives back to them, before it does. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/model.hpp>
#include <span>

namespace folio {

/// What an append does to a sequence's blocks in one layer group.
struct AppendPlan {
  std::int32_t new_blocks = 0;
  bool copies_last = false;         ///< copy on write of the partly filled last block
  std::int32_t give_back_end = 0;   ///< blocks before this index leave the window
  std::int32_t freed = 0;           ///< of them, those that are free then
  std::int32_t obtainable = 0;      ///< of them, those that are free or can be evicted then
  bool copy_can_be_spared = false;  ///< since what shares the last block can be evicted

  [[nodiscard]] std::int64_t asked() const { return std::int64_t{new_blocks} + (copies_last ? 1 : 0); }
  [[nodiscard]] std::int64_t asked_ahead() const { return asked() - obtainable; }
  [[nodiscard]] std::int64_t asked_at_least() const { return asked_ahead() - (copy_can_be_spared ? 1 : 0); }
};

/// The first block after the sinks that a sequence still holds, which has given back those before index
/// `given_back_end`.
[[nodiscard]] inline std::int32_t first_after_sinks(GroupShape const& shape, std::int32_t given_back_end) {
  return std::max(given_back_end, blocks_for(shape.sinks, shape.block_size));
}

/// Where a group's blocks come from, a BlockPool, and what an append may count on there.
template <class Pool>
struct AppendSource {
  GroupShape const& shape;
  Pool const& pool;
  std::int32_t slack;  ///< tokens that a window keeps besides those that the next query sees
  bool evicts;         ///< what is cached and not protected can be had

  /// Whether a sequence that holds `block` has it for itself, or would when what can be evicted was evicted.
  [[nodiscard]] bool can_be_alone_with(BlockId block) const {
    return evicts ? pool.has_one_holder_or_evictable(block) : !pool.is_shared(block);
  }

  /// Of n more tokens for a sequence of `num_tokens` in these blocks, of which those from the sinks' end to index
  /// `given_back_end` have left the window. Cost: O(blocks that leave it).
  [[nodiscard]] AppendPlan plan(std::span<BlockId const> blocks, std::int32_t given_back_end, std::int32_t num_tokens,
                                std::int32_t n) const {
    AppendPlan plan;
    plan.give_back_end = given_back_end;
    if (n <= 0) return plan;
    plan.new_blocks = blocks_for(num_tokens + n, shape.block_size) - static_cast<std::int32_t>(blocks.size());
    plan.copies_last = num_tokens % shape.block_size != 0 && pool.is_shared(blocks.back());
    plan.copy_can_be_spared = plan.copies_last && can_be_alone_with(blocks.back());
    if (shape.window == 0) return plan;
    // The first new token is the query that sees furthest back, but for those that may still be taken back.
    std::int32_t const first_query = std::max(0, num_tokens - slack);
    plan.give_back_end = std::max(given_back_end, shape.window_begin(first_query) / shape.block_size);
    for (std::int32_t i = first_after_sinks(shape, given_back_end); i < plan.give_back_end; ++i) {
      BlockId const block = blocks[static_cast<std::size_t>(i)];
      plan.freed += pool.is_shared(block) ? 0 : 1;
      plan.obtainable += can_be_alone_with(block) ? 1 : 0;
    }
    return plan;
  }
};

}  // namespace folio
