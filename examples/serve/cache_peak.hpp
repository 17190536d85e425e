// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How well a paged cache is filled, counted slot by slot.

#include <algorithm>
#include <cstdint>
#include <folio/folio.hpp>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "caches/paged_cache.hpp"
#include "engine.hpp"
#include "generation.hpp"
#include "tenants.hpp"

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

/// The gauges without the blocks that are held ahead: what sequences have.
[[nodiscard]] inline folio::Stats used_alone(folio::Stats stats) {
  for (folio::GroupStats& group : stats.groups) {
    std::int64_t const slots = group.live == 0 ? 0 : group.slots_held / group.live * group.reserved;
    group.live -= group.reserved;
    group.slots_held -= slots;
    group.slots_empty -= slots;
    stats.slots_held -= slots;
    stats.bytes_live -= group.reserved * group.block_bytes;
  }
  return stats;
}

/// How full a cache is when it is fullest, which goes into a run's result.
class CachePeak {
 public:
  /// To be called right after a step's appends, when the cache is fullest. `running` are all that hold blocks.
  void note(PagedCache const& cache, EngineOptions const& options, std::span<std::unique_ptr<Generation> const> running,
            RunResult& result) {
    result.peak_sequences = std::max(result.peak_sequences, static_cast<std::int64_t>(running.size()));
    std::int64_t ahead = 0;
    for (auto const& item : running) ahead += item->bytes_ahead(cache.budget());
    result.bytes_ahead = std::max(result.bytes_ahead, ahead);
    std::int64_t const used = cache.live_bytes() - ahead;
    if (used <= used_) return;
    used_ = used;
    note_tenants(cache, options, running, result.tenants);
    folio::Stats const stats = used_alone(cache.stats());
    std::vector<folio::Sequence const*> sequences;
    for (auto const& item : running) sequences.push_back(&item->sequence);
    result.bytes_peak = stats.bytes_live;
    result.bits_per_element = cache.bits_per_element();
    result.waste = stats.waste();
    result.waste_beyond_last_blocks = waste_beyond_last_blocks(stats, sequences, cache.budget().block_size());
  }

 private:
  std::int64_t used_ = 0;  // bytes of the blocks that sequences had then
};

}  // namespace serve
