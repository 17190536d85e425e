// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How well a paged cache is filled, counted slot by slot.

#include <algorithm>
#include <cstdint>
#include <folio/folio.hpp>
#include <map>
#include <span>
#include <vector>

namespace serve {

/// Slots of live blocks that are neither filled nor in the last block of a sequence, as a share of all slots held, in
/// all lists. Paging leaves none: this is measured to see that it does. `sequences` are all that hold
/// blocks; a block that they share counts once.
[[nodiscard]] inline double waste_beyond_last_blocks(folio::Stats const& stats,
                                                     std::span<folio::Sequence const* const> sequences,
                                                     std::int32_t block_size) {
  struct Fill {
    std::int32_t tokens = 0;
    bool last = false;
  };
  std::int64_t explained = 0;
  for (std::size_t l = 0; l < stats.groups.size(); ++l) {
    std::map<folio::BlockId, Fill> blocks;
    for (folio::Sequence const* sequence : sequences) {
      folio::BlockList const& list = sequence->state().lists[l];
      std::vector<folio::BlockId> const& ids = list.blocks;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        if (ids[i] == folio::null_block) continue;  // given back when it left a window, or of a group without layers
        Fill& fill = blocks[ids[i]];
        std::int32_t const first = static_cast<std::int32_t>(i) * block_size;
        fill.tokens = std::max(fill.tokens, std::min(block_size, list.num_tokens - first));
        fill.last = fill.last || i + 1 == ids.size();
      }
    }
    for (auto const& [id, fill] : blocks) explained += fill.last ? block_size : fill.tokens;
  }
  return stats.slots_held == 0
             ? 0.0
             : static_cast<double>(stats.slots_held - explained) / static_cast<double>(stats.slots_held);
}

}  // namespace serve
