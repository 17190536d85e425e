// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The pools of all lists, and what is done to the block list of one sequence. Host only, knows no bytes.

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/block_pool.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/detail/extension_plan.hpp>
#include <folio/detail/group_pools.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/model.hpp>
#include <span>
#include <utility>
#include <vector>

namespace folio {

/// Block lists over pools: a list grows, shrinks, loses blocks in its middle and gets blocks of its own. Under
/// SequenceStore, which decides when. Host only, not thread-safe.
class BlockLists {
 public:
  [[nodiscard]] int num_groups() const noexcept { return pools_.num_groups(); }
  [[nodiscard]] int num_lists() const noexcept { return pools_.size(); }
  [[nodiscard]] DemotionRules const& demotion() const noexcept { return pools_.demotion(); }
  [[nodiscard]] BlockPool const& pool(int list) const { return pools_[list]; }
  [[nodiscard]] BlockPool& pool(int list) { return pools_[list]; }
  [[nodiscard]] GroupPools& pools() noexcept { return pools_; }
  [[nodiscard]] GroupShape const& shape(int list) const { return pools_.shape(list); }
  /// Who evicts what is cached and not protected when blocks are short. Null: nobody can.
  void set_reclaimer(BlockReclaimer* reclaimer) noexcept { reclaimer_ = reclaimer; }
  /// Blocks of list `l` that can be had now: those that are free, and those of prefixes that nobody needs. O(1).
  [[nodiscard]] std::int64_t num_obtainable(int l) const {
    return std::int64_t{pool(l).num_free()} + (reclaimer_ != nullptr ? pool(l).num_evictable() : 0);
  }

  [[nodiscard]] SequenceCounters const& counters() const noexcept { return counters_; }

 protected:
  BlockLists(std::vector<GroupShape> shapes, std::span<std::int64_t const> num_blocks, BlockCopier& copier,
             DemotionRules const& demotion)
      : pools_(std::move(shapes), num_blocks, demotion), copier_(copier) {}
  ~BlockLists() = default;

  static BlockList& list(SequenceState& s, int l) { return s.lists[l]; }
  static BlockList const& list(SequenceState const& s, int l) { return s.lists[l]; }

  /// Gives back the blocks before index `end`, which have left the window.
  void give_back(SequenceState& state, int g, std::int32_t end) noexcept {
    BlockList& l = list(state, g);
    std::int32_t const begin = std::max(l.first_resident_block, blocks_for(shape(g).sinks, shape(g).block_size));
    if (begin < end) state.note_change(g, static_cast<std::size_t>(begin));
    for (std::int32_t i = begin; i < end; ++i)
      pool(g).release_live(std::exchange(l.blocks[static_cast<std::size_t>(i)], null_block));
    l.first_resident_block = end;
  }

  /// As planned: there are enough blocks.
  void grow(SequenceState& state, int g, ExtensionPlan const& plan) noexcept {
    BlockList& l = list(state, g);
    BlockPool& pool = this->pool(g);
    if (plan.copies_last) {
      BlockId const shared = l.blocks.back();
      l.blocks.back() = *pool.allocate();
      copier_.copy(g, shared, l.blocks.back());
      pool.release_live(shared);
      state.note_change(g, l.blocks.size() - 1);
      ++counters_.copies;
    }
    std::size_t const before = l.blocks.size();
    l.blocks.resize(before + static_cast<std::size_t>(plan.new_blocks));
    [[maybe_unused]] bool const all = pool.allocate(as_span(l.blocks).subspan(before));
    assert(all);
  }

  /// Lets go of the whole blocks of stored tokens [first, first + n).
  void take_out(SequenceState& state, int g, std::int32_t first, std::int32_t n) noexcept {
    BlockList& l = list(state, g);
    auto const begin = static_cast<std::size_t>(first / shape(g).block_size);
    auto const count = static_cast<std::size_t>(n / shape(g).block_size);
    pool(g).release_live(as_span(l.blocks).subspan(begin, count));
    auto const from = l.blocks.begin() + static_cast<std::ptrdiff_t>(begin);
    l.blocks.erase(from, from + static_cast<std::ptrdiff_t>(count));
    l.num_tokens -= n;
    state.note_change(g, begin);
  }

  /// Leaves n stored tokens.
  void shrink(SequenceState& state, int g, std::int32_t n) noexcept {
    GroupShape const& s = shape(g);
    BlockList& l = list(state, g);
    auto const keep = static_cast<std::size_t>(blocks_for(n, s.block_size));
    if (l.blocks.size() > keep) state.note_change(g, keep);
    for (; l.blocks.size() > keep; l.blocks.pop_back())
      if (l.blocks.back() != null_block) pool(g).release_live(l.blocks.back());
    l.first_resident_block = std::min(l.first_resident_block, static_cast<std::int32_t>(l.blocks.size()));
    l.num_tokens = n;
  }

  /// Copies of the blocks [begin, end) of a list that others have, too, for the sequence alone; false, and nothing
  /// changed, when there are too few. May throw std::bad_alloc; nothing has changed then.
  [[nodiscard]] bool own_blocks(SequenceState& state, int l, std::int32_t begin, std::int32_t end) {
    BlockPool& pool = this->pool(l);
    std::span<BlockId> const blocks = as_span(list(state, l).blocks);
    auto const is_others = [&](BlockId block) { return block != null_block && pool.is_shared(block); };
    auto const num_shared = [&] {
      return std::count_if(blocks.begin() + begin, blocks.begin() + std::max(begin, end), is_others);
    };
    if (num_shared() > num_obtainable(l)) {
      ++counters_.out_of_blocks;
      return false;
    }
    copier_.prepare(num_shared());
    while (num_shared() > pool.num_free())  // evicting may leave the sequence alone with some
      if (!reclaimer_->reclaim(l, null_block)) break;
    for (std::int32_t i = begin; i < end; ++i) {
      BlockId& block = blocks[static_cast<std::size_t>(i)];
      if (!is_others(block)) continue;
      BlockId const own = *pool.allocate();
      copier_.copy(l, block, own);
      pool.release_live(std::exchange(block, own));
      state.note_change(l, static_cast<std::size_t>(i));
      ++counters_.copies;
    }
    return true;
  }

  GroupPools pools_;
  BlockCopier& copier_;
  BlockReclaimer* reclaimer_ = nullptr;
  SequenceCounters counters_;
};

}  // namespace folio
