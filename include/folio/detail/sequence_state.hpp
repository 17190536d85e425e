// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a sequence holds, and who copies blocks for it. Host only.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/demotion_rules.hpp>
#include <folio/model.hpp>
#include <folio/prefix/leases.hpp>
#include <limits>
#include <span>
#include <vector>

namespace folio {

/// Copies blocks: the owner of their memory.
class BlockCopier {
 public:
  /// Comes before up to `count` calls of `copy`, and may throw std::bad_alloc, when nothing has changed yet.
  virtual void prepare(std::int64_t count) = 0;
  /// Copies all bytes of block `from` to block `to` of a list's pool.
  virtual void copy(int list, BlockId from, BlockId to) noexcept = 0;

 protected:
  ~BlockCopier() = default;
};

/// Of blocks without memory: bookkeeping alone.
struct NoCopies final : BlockCopier {
  void prepare(std::int64_t) override {}
  void copy(int, BlockId, BlockId) noexcept override {}
};

/// What one sequence holds in one list of a layer group: which of its tokens, in which blocks. Stored tokens are
/// numbered in the order of their positions.
///
/// Each group has a list that tokens are appended to. A group whose older tokens are demoted has a second one, of whole
/// demotion units, and no gap of its own.
struct BlockList {
  static constexpr std::int32_t no_gap = std::numeric_limits<std::int32_t>::max();

  /// By index: block i holds stored tokens [i * block_size, (i + 1) * block_size). Given back after it left the window:
  /// null_block.
  std::vector<BlockId> blocks;
  std::int32_t num_tokens = 0;  ///< stored: with a window all of the sequence's, given back or not
  /// Of the tokens at positions [gap_begin, gap_end) some are stored no more. All others are, here or, demoted, in the
  /// second list. Sinks and what is demoted are before the gap, or it begins in what is demoted and ends after that.
  std::int32_t gap_begin = no_gap, gap_end = 0;
  /// Blocks from the end of the sinks' to this index were given back because they left the window.
  std::int32_t first_resident_block = 0;

  /// How many of the first `position` tokens of a sequence of `length` are stored here; -1 inside the gap, where nobody
  /// knows.
  [[nodiscard]] std::int32_t num_stored_before(std::int32_t position, std::int32_t length,
                                               DemotedTokens const& demoted = {}) const noexcept {
    if (position <= gap_begin) return position - demoted.num_before(position);
    return position >= gap_end ? position - (length - num_tokens) : -1;
  }
  /// The blocks that the sequence holds: those of its sinks, and those from the window on.
  [[nodiscard]] std::array<std::span<BlockId const>, 2> held(GroupShape const& shape) const noexcept {
    std::span<BlockId const> const all = as_span(blocks);
    auto const size = static_cast<std::int32_t>(all.size());
    std::int32_t const sinks = std::min(size, blocks_for(shape.sinks, shape.block_size));
    std::int32_t const window = std::max(sinks, std::min(size, first_resident_block));
    return {all.first(static_cast<std::size_t>(sinks)), all.subspan(static_cast<std::size_t>(window))};
  }
  /// Of a sequence without tokens.
  void forget_tokens() noexcept {
    num_tokens = first_resident_block = 0;
    close_gap();
  }
  void close_gap() noexcept {
    gap_begin = no_gap;
    gap_end = 0;
  }
  /// All tokens up to `begin`, and all from `end` on, are stored.
  void widen_gap(std::int32_t begin, std::int32_t end) noexcept {
    gap_begin = begin < gap_begin ? begin : gap_begin;
    gap_end = end > gap_end ? end : gap_end;
  }
};

/// Which stored tokens stay after a compaction: the first `num_first`, which stayed where they were, the last
/// `num_last`, which are the sequence's last, and others between them, in their order.
///
/// `num_first` and `num_last` are a promise that nobody can check. Give no more than stayed in every list, such as
/// TopKOptions::sinks and recent; fewer, or 0, is always safe, but refused where others have blocks from there on. If
/// they are too large, a prefix with wrong keys may be inserted and found later, and a truncation may leave other
/// tokens than it says.
struct KeptTokens {
  std::int32_t num_tokens = 0;  ///< all of them
  std::int32_t num_first = 0, num_last = 0;
};

/// The last change of a block list that was not at its end, and when it was.
struct BlockListChange {
  std::int32_t first = 0;  ///< blocks before this index stayed
  /// The sequence's generation since then, and since the change before it.
  std::uint64_t generation = 0, earlier = 0;
};

/// One sequence: its tokens, and its block list in each layer group. Owned by the SequenceStore, named by a Sequence.
struct SequenceState {
  SequenceId id{};
  bool live = false;
  std::int32_t num_tokens = 0;      ///< positions: tokens that it was extended by, stored or not
  std::int32_t num_new_tokens = 0;  ///< of the last extension that are still there: the default query of a batch
  std::int32_t num_demoted = 0;     ///< tokens in the second list of each group that has one
  /// Counts changes that took blocks away from the lists: tables that were made before are stale. Never set back, so
  /// that a sequence is told from the one that had this state before.
  std::uint64_t generation = 0;
  BlockList lists[max_lists];
  BlockListChange changes[max_lists];  ///< of `lists`; not set back either
  std::int32_t num_cached_tokens = 0;  ///< that it, or what it is a fork of, began with: found, less what was truncated
  PrefixLease prefix;                  ///< what it keeps in a prefix index; of none where there is none

  /// The sequence's first tokens, up to the first that a layer group may store no more.
  [[nodiscard]] std::int32_t num_exact_tokens(int num_groups) const noexcept {
    std::int32_t exact = num_tokens;
    for (int g = 0; g < num_groups; ++g) exact = lists[g].gap_begin < exact ? lists[g].gap_begin : exact;
    return exact;
  }

  /// Notes that blocks of list `g` from index `first` on were taken away or exchanged.
  void note_change(int g, std::size_t first) noexcept {
    BlockListChange& change = changes[g];
    change = {static_cast<std::int32_t>(first), ++generation, change.generation};
  }
  /// Of a table row that was made of list `g` at an earlier generation, blocks before this index are still
  /// right: all but what one change took, or none after two.
  [[nodiscard]] std::int32_t num_unchanged_since(std::uint64_t row_generation, int g) const noexcept {
    BlockListChange const& change = changes[g];
    if (change.generation <= row_generation) return std::numeric_limits<std::int32_t>::max();
    return change.earlier <= row_generation ? change.first : 0;
  }
};

/// What happened since the cache was made.
struct SequenceCounters {
  std::int64_t created = 0, released = 0, appends = 0, truncates = 0, forks = 0, copies = 0, out_of_blocks = 0;
  std::int64_t demotions = 0, demoted_tokens = 0;  ///< calls that demoted something, and what
};

}  // namespace folio
