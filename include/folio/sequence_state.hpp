// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a sequence holds, and what its store calls: the memory's owner for copies, the prefix tree for room. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/model.hpp>
#include <folio/prefix/prefix.hpp>
#include <limits>
#include <memory>
#include <vector>

namespace folio {

/// Copies all bytes of block `from` to block `to` of layer group `group`. The owner of the memory gives it. `prepare`
/// comes before every `copy` and may throw, when nothing has changed yet; `copy` cannot fail.
struct BlockCopier {
  void* owner = nullptr;
  void (*copy)(void* owner, int group, BlockId from, BlockId to) noexcept = nullptr;
  void (*prepare)(void* owner, int group) = nullptr;
};

/// A look-up that is no use yet: it counts once, when the sequence that made it or a fork of that gets its first slots.
struct PendingLookup {
  std::int32_t num_symbols = 0;  ///< of the prompt
  bool counted = false;
  std::vector<std::int32_t> symbols = {};  ///< the prompt, where a sink hears of look-ups
  std::int32_t scope = 0;
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
  static constexpr std::int32_t none = -1;

  SequenceId id{};
  bool live = false;
  std::int32_t num_tokens = 0;
  std::int32_t num_new_tokens = 0;  ///< of the last append that are still there: the default query of a batch
  /// Counts changes that took blocks away from the lists: tables that were made before are stale. Never set back, so
  /// that a sequence is told from the one that had this state before.
  std::uint64_t generation = 0;
  BlockList lists[max_groups];
  BlockListChange changes[max_groups];  ///< of `lists`; not set back either
  std::int32_t num_cached_tokens = 0;   ///< that it, or what it is a fork of, began with: found, and still there
  /// The look-up of its prompt, until it gets slots. A fork waits for the same one.
  std::shared_ptr<PendingLookup> pending;
  std::int32_t num_reported_units = 0;  ///< that it inserted, of which an eviction policy that learns was told
  std::int32_t lease = none;            ///< the node of the prefix tree that it keeps from being evicted
  std::int32_t num_leased_tokens = 0;   ///< its first tokens that are in blocks of the way to that node
  std::int64_t epoch = 0;               ///< the prefix tree was cleared so often when it was created
  std::int32_t tenant = 0;
  Retention retention;

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

/// What a prefix tree does for the sequences of a store. Absent: nothing is kept, and nothing can be evicted. What is
/// noexcept cannot fail; `prepare` comes first, may throw, and changes nothing that anybody can see.
struct PrefixHooks {
  void* owner = nullptr;
  bool evicts = false;  ///< whether what is cached and not protected can be evicted
  /// Gets ready for an append of at least a token to the sequence.
  void (*prepare)(void* owner, SequenceState& state) = nullptr;
  /// Blocks that an append to the sequence needs less in each group if the tree gives up the unit of which the sequence
  /// has only a part: all 0 when somebody else needs the unit.
  void (*gain)(void* owner, SequenceState const& state, std::int64_t* by_group) noexcept = nullptr;
  void (*give_up)(void* owner, SequenceState& state) noexcept = nullptr;
  /// Evicts something so that, when it is called again and again, blocks of group `group` get free, and `shared`, if it
  /// is not null_block, is only the sequence's that holds it; false when nothing can go.
  bool (*evict)(void* owner, int group, BlockId shared) noexcept = nullptr;
  void (*forked)(void* owner, SequenceState const& parent, SequenceState& child) noexcept = nullptr;
  /// The sequence, which still has its length from before, has got slots for at least a token.
  void (*appended)(void* owner, SequenceState& state) noexcept = nullptr;
  void (*truncated)(void* owner, SequenceState& state) noexcept = nullptr;
  void (*released)(void* owner, SequenceState& state) noexcept = nullptr;
};

/// What happened since the cache was made.
struct SequenceCounters {
  std::int64_t created = 0, released = 0, appends = 0, truncates = 0, forks = 0, copies = 0, out_of_blocks = 0;
};

}  // namespace folio
