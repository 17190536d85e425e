// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an extension does to the block list of one layer group, planned before anything changes. Host only, knows no
// bytes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/model.hpp>
#include <span>

namespace folio {

/// What one group's list gets and gives back.
struct ExtensionPlan {
  std::int32_t new_blocks = 0;
  bool copies_last = false;         // copy on write of the partly filled last block
  std::int32_t give_back_end = 0;   // blocks before this index leave the window
  std::int32_t freed = 0;           // of them, those that are free then
  std::int32_t obtainable = 0;      // of them, those that are free or can be evicted then
  bool copy_can_be_spared = false;  // since what shares the last block can be evicted
  [[nodiscard]] std::int64_t asked() const { return std::int64_t{new_blocks} + (copies_last ? 1 : 0); }
  [[nodiscard]] std::int64_t asked_ahead() const { return asked() - obtainable; }
  [[nodiscard]] std::int64_t asked_at_least() const { return asked_ahead() - (copy_can_be_spared ? 1 : 0); }
};

/// A block list of a sequence, and what is around it. `Pool` says who shares a block: BlockPool.
template <class Pool>
struct ExtensionSite {
  GroupShape const& shape;
  Pool const& pool;
  std::span<BlockId const> blocks;
  std::int32_t first_resident_block;  ///< blocks from the end of the sinks' to this index left the window before
  std::int32_t num_tokens;            ///< stored in it; with a window all of the sequence's
  std::int32_t slack;  ///< tokens that a group with a window keeps besides those that the next query sees
  bool evicts;         ///< whether what is cached and not protected can be evicted

  /// The first block after the sinks that is still held.
  [[nodiscard]] std::int32_t first_after_sinks() const {
    return std::max(first_resident_block, blocks_for(shape.sinks, shape.block_size));
  }

  /// Whether n more tokens change nothing of the list: the sequence has their slots for itself, and nothing leaves the
  /// window. Cheap, for it is so in most steps.
  [[nodiscard]] bool fits_in_place(std::int32_t n) const {
    if (std::int64_t{num_tokens} + n > static_cast<std::int64_t>(blocks.size()) * shape.block_size) return false;
    if (n > 0 && pool.is_shared(blocks.back())) return false;
    return shape.window == 0 ||
           shape.window_begin(first_query()) < (std::int64_t{first_resident_block} + 1) * shape.block_size;
  }

  /// Cost: O(blocks that leave the window).
  [[nodiscard]] ExtensionPlan plan(std::int32_t n) const {
    ExtensionPlan plan;
    plan.give_back_end = first_resident_block;
    if (n <= 0) return plan;
    plan.new_blocks = blocks_for(num_tokens + n, shape.block_size) - static_cast<std::int32_t>(blocks.size());
    if (shape.layers == 0) plan.freed = plan.obtainable = plan.new_blocks;  // null blocks, which take nothing
    plan.copies_last = num_tokens % shape.block_size != 0 && pool.is_shared(blocks.back());
    plan.copy_can_be_spared = plan.copies_last && can_be_alone_with(blocks.back());
    if (shape.window == 0) return plan;
    plan.give_back_end = std::max(first_resident_block, shape.window_begin(first_query()) / shape.block_size);
    for (std::int32_t i = first_after_sinks(); i < plan.give_back_end; ++i) {
      BlockId const block = blocks[static_cast<std::size_t>(i)];
      plan.freed += pool.is_shared(block) ? 0 : 1;
      plan.obtainable += can_be_alone_with(block) ? 1 : 0;
    }
    return plan;
  }

 private:
  /// The first new token is the query that sees furthest back, but for those that may still be taken back.
  [[nodiscard]] std::int32_t first_query() const { return std::max(0, num_tokens - slack); }

  /// Whether a sequence that holds `block` has it for itself, or would when what can be evicted was evicted.
  [[nodiscard]] bool can_be_alone_with(BlockId block) const {
    return evicts ? pool.has_one_holder_or_evictable(block) : !pool.is_shared(block);
  }
};

}  // namespace folio
