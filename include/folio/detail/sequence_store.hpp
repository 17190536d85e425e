// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Every sequence's block lists: create, extend, fork (copy on write), truncate, release. Host only, knows no bytes.

#include <algorithm>
#include <array>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/block_pool.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/block_lists.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/detail/extension_plan.hpp>
#include <folio/detail/group_pools.hpp>
#include <folio/detail/sequence_checks.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/detail/sequence_states.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// KV cache manager without bytes: the block pools of all layer groups, and every live sequence. KvCache owns one;
/// Sequence handles keep it alive.
///
/// A sequence has a list for each group, and after those second ones (DemotionRules). Each list has a pool of its own.
///
/// Host only, not thread-safe: one owner thread. Every operation happens whole or changes nothing.
class SequenceStore : public BlockLists {
 public:
  /// A list, with a pool of num_blocks[l] blocks, for each shape. `copier` is called when a shared block must be
  /// copied, and outlives the store. `slack`: tokens that a group with a window keeps besides those that the next query
  /// sees. `demotion`: which lists are second ones; none, if it has no groups.
  SequenceStore(std::vector<GroupShape> shapes, std::span<std::int64_t const> num_blocks, BlockCopier& copier,
                std::int32_t slack = 0, DemotionRules const& demotion = {})
      : BlockLists(std::move(shapes), num_blocks, copier, demotion), slack_(slack) {}

  [[nodiscard]] std::int32_t slack() const noexcept { return slack_; }
  /// Every slot of the store; those that are not `live` are unused.
  [[nodiscard]] std::span<std::unique_ptr<SequenceState> const> states() const noexcept { return states_.all(); }

  /// A new empty sequence. Cost: O(1), amortized.
  SequenceState& create() {
    SequenceState& state = states_.take();
    ++counters_.created;
    return state;
  }

  /// Takes back that a state was created, without blocks.
  void discard(SequenceState& state) noexcept {
    for (int l = 0; l < num_lists(); ++l) list(state, l) = {};
    states_.give_back(state);
    --counters_.created;
  }

  /// How many blocks of group `g` an extension of n tokens would take more than it gives back out of the window.
  [[nodiscard]] std::int64_t blocks_to_extend(SequenceState const& state, int g, std::int32_t n) const {
    check_extension(state, n);
    ExtensionPlan const plan = this->plan(state, g, n);
    return plan.asked() - plan.freed;
  }

  /// The fewest blocks of group `g` that must be obtainable so that an extension of n tokens succeeds: where memory is
  /// short, what can be evicted spares a copy, leaves the window free, or is given up by the tree.
  [[nodiscard]] std::int64_t fewest_to_extend(SequenceState const& state, int g, std::int32_t n) const {
    check_extension(state, n);
    std::int64_t gain[max_groups] = {};
    would_gain(state, n, gain);
    return plan(state, g, n).asked_at_least() - gain[g];
  }

  /// Blocks of group `g` that an extension of n tokens takes more than its window leaves free or evictable: what is to
  /// be held ahead for it.
  [[nodiscard]] std::int64_t blocks_ahead(SequenceState const& state, int g, std::int32_t n) const {
    check_extension(state, n);
    return plan(state, g, n).asked_ahead();
  }

  /// The group that has too few blocks for n more tokens, or -1. Changes nothing. Cost: O(groups + blocks that leave a
  /// window).
  [[nodiscard]] int group_short_of(SequenceState const& state, std::int32_t n) const {
    return short_of(state, n, all_asked).group;
  }

  /// Slots for n more tokens in every group; false, and nothing changed, when a group has not enough blocks.
  /// Cost: O(new blocks), and one block copy where the last block is partly filled and shared.
  [[nodiscard]] bool try_extend(SequenceState& state, std::int32_t n) {
    check_extension(state, n);
    if (fits_in_place(state, n))
      prepare_tree(state, n);
    else if (!take_slots(state, n))
      return false;
    if (n > 0) state.prefix.got_slots(state.num_cached_tokens);
    for (int g = 0; g < num_groups(); ++g) list(state, g).num_tokens += n;
    state.num_tokens += n;
    state.num_new_tokens = n;
    ++counters_.appends;
    return true;
  }

  /// Takes the host memory that begin_demotion needs. Throws std::bad_alloc.
  void prepare_demotion(SequenceState& state, std::int32_t n) const {
    for (int l = num_groups(); l < num_lists(); ++l)
      reserve_amortized(list(state, l).blocks, blocks_for(list(state, l).num_tokens + n, shape(l).block_size));
  }
  /// Blocks of each second list for n more demoted tokens, whole units, with n tokens more in it; then
  /// end_demotion, when they are written, or cancel_demotion. There are enough: list_short_of_demotion(n) is -1. May
  /// throw std::bad_alloc, but not after prepare_demotion; nothing has changed then. Cost: O(new blocks).
  void begin_demotion(SequenceState& state, std::int32_t n) {
    prepare_demotion(state, n);
    for (int l = num_groups(); l < num_lists(); ++l)
      while (shape(l).layers != 0 && blocks_for(n, shape(l).block_size) > pool(l).num_free())
        if (!reclaimer_->reclaim(l, null_block)) break;
    for (int l = num_groups(); l < num_lists(); list(state, l++).num_tokens += n)
      grow(state, l, {.new_blocks = blocks_for(n, shape(l).block_size)});
  }
  /// The list that has too few blocks for n more demoted tokens, whole units of any sequences, or -1.
  [[nodiscard]] int list_short_of_demotion(std::int64_t n) const {
    for (int l = num_groups(); l < num_lists(); ++l)
      if (shape(l).layers != 0 && n / shape(l).block_size > num_obtainable(l)) return l;
    return -1;
  }
  void note_out_of_blocks() noexcept { ++counters_.out_of_blocks; }
  /// The n tokens after the sinks of each first list are in the second one now: gives their blocks back.
  void end_demotion(SequenceState& state, std::int32_t n) noexcept {
    state.num_demoted += n;
    for (int g = 0; g < num_groups(); ++g) {
      if (!demotion().demotes(g)) continue;
      BlockList& l = list(state, g);
      take_out(state, g, demotion().sinks, n);
      std::int32_t const after = l.num_tokens - demotion().sinks;  // tokens after what is demoted
      if (l.gap_begin < demotion().sinks + state.num_demoted) l.widen_gap(l.gap_begin, state.num_tokens - after);
      state.num_new_tokens = std::min(state.num_new_tokens, after);
    }
    state.prefix.demoted(state);
    ++counters_.demotions;
    counters_.demoted_tokens += n;
  }
  void cancel_demotion(SequenceState& state) noexcept {
    for (int l = num_groups(); l < num_lists(); ++l) shrink(state, l, state.num_demoted);
  }

  /// Makes the blocks of stored tokens [first, end) of group `g` the sequence's alone: copies those that others have.
  /// False, and nothing changed, when there are too few blocks. Throws Error for tokens that are not stored;
  /// std::bad_alloc. Cost: O(blocks), and a block copy for each that was shared.
  [[nodiscard]] bool try_own(SequenceState& state, int g, std::int32_t first, std::int32_t end) {
    check_stored(state, g, first, end);
    std::int32_t const begin = first / shape(g).block_size,
                       after = first < end ? blocks_for(end, shape(g).block_size) : 0;
    return own_blocks(state, g, begin, after);
  }

  /// A sequence with the same tokens in the same blocks. Cost: O(blocks); no key or value is copied.
  SequenceState& fork(SequenceState const& parent) {
    SequenceState& child = create();
    try {
      for (int l = 0; l < num_lists(); ++l) list(child, l) = list(parent, l);
    } catch (...) {
      discard(child);
      throw;
    }
    for (int l = 0; l < num_lists(); ++l)
      for (auto const part : list(parent, l).held(shape(l))) pool(l).retain_live(part);
    child.num_demoted = parent.num_demoted;
    child.num_tokens = parent.num_tokens;
    child.num_new_tokens = parent.num_new_tokens;
    child.num_cached_tokens = parent.num_cached_tokens;
    child.prefix = parent.prefix;
    ++counters_.forks;
    return child;
  }

  /// Keeps the first n tokens. Throws Error, and changes nothing, as check_truncate does. Cost: O(blocks given up).
  void truncate(SequenceState& state, std::int32_t n) {
    for (int g = 0; g < num_groups(); ++g)
      check_truncate(state, g, shape(g), n, demotion().tokens(state.num_demoted, g), demotion().unit);
    for (int g = 0; g < num_groups(); ++g) {
      BlockList& l = list(state, g);
      shrink(state, g, l.num_stored_before(n, state.num_tokens, demotion().tokens(state.num_demoted, g)));
      if (n <= l.gap_begin) l.close_gap();
    }
    state.num_demoted = DemotedTokens{demotion().sinks, state.num_demoted}.num_before(n);
    for (int l = num_groups(); l < num_lists(); ++l) shrink(state, l, state.num_demoted);
    state.num_new_tokens = std::max(0, state.num_new_tokens - (state.num_tokens - n));
    state.num_cached_tokens = std::min(state.num_cached_tokens, n);
    state.num_tokens = n;
    state.prefix.shorten(n);
    ++counters_.truncates;
  }

  /// Takes stored tokens [first, first + n) out of group `g`, whole blocks; those after them close up, and keep their
  /// positions. Throws Error, and changes nothing, for tokens that there are not, parts of blocks, and windows. Cost:
  /// O(blocks).
  void cut(SequenceState& state, int g, std::int32_t first, std::int32_t n) {
    check_cut(state, g, shape(g), first, n, demotion().sinks_of(g));
    if (n == 0) return;
    BlockList& l = list(state, g);
    take_out(state, g, first, n);
    l.widen_gap(first + demotion().tokens(state.num_demoted, g).num_tokens, state.num_tokens - (l.num_tokens - first));
    note_gap(state, l);
  }

  /// Keeps the first `kept.num_tokens` stored tokens of group `g`, after those that stay were moved there, in their
  /// order. Throws Error, and changes nothing, as check_keep does. Cost: O(blocks).
  void keep(SequenceState& state, int g, KeptTokens const& kept) {
    check_keep(state, g, shape(g), pool(g), kept, demotion().sinks_of(g));
    BlockList& l = list(state, g);
    if (kept.num_tokens == l.num_tokens) return;
    l.widen_gap(kept.num_first + demotion().tokens(state.num_demoted, g).num_tokens, state.num_tokens - kept.num_last);
    shrink(state, g, kept.num_tokens);
    state.note_change(g, 0);  // what is in its blocks is another token
    note_gap(state, l);
  }

  /// Makes room ahead for n more tokens of a sequence: evicts, as an extension would, until wanted(g, ahead) blocks of
  /// each group are free, where `ahead` is blocks_ahead as it becomes meanwhile. False, and nothing changed, when a
  /// group has not so many. `get_ready()` is called before anything changes, and may throw.
  template <class Wanted, class GetReady>
  [[nodiscard]] bool make_room(SequenceState& state, std::int32_t n, Wanted wanted, GetReady get_ready) {
    Shortage const found = short_of(state, n, wanted);
    if (found.group >= 0) return false;
    get_ready();
    if (found.gives_up) state.prefix.prepare();
    evict_for(state, n, found, wanted);
    return true;
  }

  /// Blocks of group `g` that are held ahead of use (reservation.hpp): live, and in no sequence.
  [[nodiscard]] std::int64_t num_reserved(int g) const { return reserved_[static_cast<std::size_t>(g)]; }
  void note_reserved(int g, std::int64_t more) { reserved_[static_cast<std::size_t>(g)] += more; }

  /// Gives every block back. The state is unused then.
  void release(SequenceState& state) noexcept {
    for (int l = 0; l < num_lists(); ++l) shrink(state, l, 0);
    states_.give_back(state);
    ++counters_.released;
  }
  /// Releases every live sequence, before an index goes that leases are of. Their handles are not used again.
  void release_all() noexcept {
    for (auto const& state : states())
      if (state->live) release(*state);
  }

 private:
  /// What lacks for an extension: a group that has too few blocks, or -1; and whether the others have enough only if
  /// the tree gives up the unit of which the sequence has a part.
  struct Shortage {
    int group = -1;
    bool gives_up = false;
  };
  static std::int64_t all_asked(int, std::int64_t blocks) { return blocks; }

  [[nodiscard]] ExtensionSite<BlockPool> site(SequenceState const& state, int g) const {
    BlockList const& l = list(state, g);
    return {shape(g), pool(g), as_span(l.blocks), l.first_resident_block, l.num_tokens, slack_, reclaimer_ != nullptr};
  }
  [[nodiscard]] ExtensionPlan plan(SequenceState const& state, int g, std::int32_t n) const {
    return site(state, g).plan(n);
  }
  [[nodiscard]] bool fits_in_place(SequenceState const& state, std::int32_t n) const {
    bool fits = true;
    for (int g = 0; fits && g < num_groups(); ++g) fits = site(state, g).fits_in_place(n);
    return fits;
  }
  /// Takes the host memory that an extension of n tokens needs, before anything changes.
  void prepare(SequenceState& state, std::int32_t n) {
    std::int64_t num_copies = 0;  // at the most
    for (int g = 0; g < num_groups(); ++g) {
      BlockList& l = list(state, g);
      reserve_amortized(l.blocks, blocks_for(l.num_tokens + n, shape(g).block_size));
      if (l.num_tokens % shape(g).block_size != 0) ++num_copies;
    }
    if (num_copies > 0) copier_.prepare(num_copies);
    prepare_tree(state, n);
  }
  void prepare_tree(SequenceState& state, std::int32_t n) {
    if (n > 0) state.prefix.prepare();
  }

  /// Makes the lists those of a sequence that has got n tokens more; false, and nothing changed, when a group has not
  /// enough blocks.
  [[nodiscard]] bool take_slots(SequenceState& state, std::int32_t n) {
    Shortage const found = short_of(state, n, all_asked);
    if (found.group >= 0) {
      ++counters_.out_of_blocks;
      return false;
    }
    prepare(state, n);
    for (int g = 0; g < num_groups(); ++g) give_back(state, g, plan(state, g, n).give_back_end);
    evict_for(state, n, found, all_asked);
    for (int g = 0; g < num_groups(); ++g) grow(state, g, plan(state, g, n));
    return true;
  }

  /// Whether there are wanted(g, blocks) blocks of each group, of those that n more tokens take at the least.
  template <class Wanted>
  [[nodiscard]] Shortage short_of(SequenceState const& state, std::int32_t n, Wanted wanted) const {
    check_extension(state, n);
    std::int64_t gain[max_groups] = {};
    auto const first_short = [&] {
      for (int g = 0; g < num_groups(); ++g)
        if (wanted(g, plan(state, g, n).asked_at_least() - gain[g]) > num_obtainable(g)) return g;
      return -1;
    };
    int const g = first_short();
    return g < 0 ? Shortage{} : Shortage{would_gain(state, n, gain) ? first_short() : g, true};
  }
  /// Fills in what would be gained if the tree gave up the unit of which the sequence has a part; false when nothing.
  bool would_gain(SequenceState const& state, std::int32_t n, std::int64_t* gain) const {
    if (n > 0) state.prefix.count_gain(state, gain);
    return std::any_of(gain, gain + num_groups(), [](std::int64_t more) { return more > 0; });
  }

  /// Evicts until there are the blocks that are wanted for n more tokens. Planned anew each time: evicting may leave
  /// the sequence alone with its last block, so that it needs no copy.
  template <class Wanted>
  void evict_for(SequenceState& state, std::int32_t n, Shortage const& found, Wanted wanted) noexcept {
    if (found.gives_up) state.prefix.give_up_part();
    for (int g = 0; g < num_groups(); ++g)
      for (ExtensionPlan plan = this->plan(state, g, n); wanted(g, plan.asked_ahead()) > pool(g).num_free();
           plan = this->plan(state, g, n))
        if (!reclaimer_->reclaim(g, plan.copies_last ? list(state, g).blocks.back() : null_block)) break;
  }

  /// What is found and kept as a prefix is before a gap, and queries are after it.
  static void note_gap(SequenceState& state, BlockList const& l) noexcept {
    state.num_new_tokens = std::min(state.num_new_tokens, state.num_tokens - l.gap_end);
    state.prefix.shorten(l.gap_begin, false);  // blocks before the gap are held anyway
  }

  std::int32_t slack_;
  SequenceStates states_;
  std::array<std::int64_t, max_groups> reserved_{};
};

}  // namespace folio
