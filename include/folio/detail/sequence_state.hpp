// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a sequence holds, and who copies blocks for it. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/model.hpp>
#include <folio/prefix/leases.hpp>
#include <limits>
#include <vector>

namespace folio {

/// Copies blocks: the owner of their memory.
class BlockCopier {
 public:
  /// Comes before every `copy` and may throw std::bad_alloc, when nothing has changed yet.
  virtual void prepare(int group) = 0;
  /// Copies all bytes of block `from` to block `to` of a layer group.
  virtual void copy(int group, BlockId from, BlockId to) noexcept = 0;

 protected:
  ~BlockCopier() = default;
};

/// Of blocks without memory: bookkeeping alone.
struct NoCopies final : BlockCopier {
  void prepare(int) override {}
  void copy(int, BlockId, BlockId) noexcept override {}
};

/// What one sequence holds in one layer group.
struct BlockList {
  /// By logical index: block i holds tokens [i * block_size, (i + 1) * block_size). Given back after it left the
  /// window: null_block.
  std::vector<BlockId> blocks;
  /// Blocks from the end of the sinks' to this index were given back because they left the window.
  std::int32_t first_resident_block = 0;
};

/// The last change of a block list that was not at its end, and when it was.
struct BlockListChange {
  std::int32_t first = 0;  ///< blocks before this index stayed
  /// The sequence's generation since then, and since the change before it.
  std::uint64_t generation = 0, earlier = 0;
};

/// One sequence: its length and its block list in each layer group. Owned by the SequenceStore, named by a Sequence.
struct SequenceState {
  SequenceId id{};
  bool live = false;
  std::int32_t num_tokens = 0;
  std::int32_t num_new_tokens = 0;  ///< of the last extension that are still there: the default query of a batch
  /// Counts changes that took blocks away from the lists: tables that were made before are stale. Never set back, so
  /// that a sequence is told from the one that had this state before.
  std::uint64_t generation = 0;
  BlockList lists[max_groups];
  BlockListChange changes[max_groups];  ///< of `lists`; not set back either
  std::int32_t num_cached_tokens = 0;   ///< that it, or what it is a fork of, began with: found, and still there
  PrefixLease prefix;                   ///< what it keeps in a prefix index; of none where there is none

  /// Notes that blocks of layer group `g` from index `first` on were taken away or exchanged.
  void note_change(int g, std::size_t first) noexcept {
    BlockListChange& change = changes[g];
    change = {static_cast<std::int32_t>(first), ++generation, change.generation};
  }
  /// Of a table row that was made of layer group `g` at an earlier generation, blocks before this index are still
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
};

}  // namespace folio
