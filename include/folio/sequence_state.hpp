// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a sequence holds, and what its store calls: the memory's owner for copies, the prefix tree for room. Host only.

#include <cstdint>
#include <folio/block.hpp>
#include <folio/model.hpp>
#include <folio/prefix/prefix.hpp>
#include <vector>

namespace folio {

/// Copies all bytes of block `from` to block `to` of layer group `group`. The owner of the memory gives it. `prepare`
/// comes before every `copy` and may throw, when nothing has changed yet; `copy` cannot fail.
struct BlockCopier {
  void* owner = nullptr;
  void (*copy)(void* owner, int group, BlockId from, BlockId to) noexcept = nullptr;
  void (*prepare)(void* owner, int group) = nullptr;
};

/// What one sequence holds in one layer group.
struct BlockList {
  /// By logical index: block i holds tokens [i * block_size, (i + 1) * block_size). Given back behind a window:
  /// null_block.
  std::vector<BlockId> blocks;
  /// Blocks from the end of the sinks' to this index were given back behind the window.
  std::int32_t given_back_end = 0;
};

/// One sequence: its length and its block list in each layer group. Owned by the SequenceStore, named by a Sequence.
struct SequenceState {
  SequenceId id{};
  bool live = false;
  std::int32_t num_tokens = 0;
  std::int32_t num_new_tokens = 0;  ///< of the last append that are still there: the default query of a batch
  BlockList lists[max_groups];
  std::int32_t num_cached_tokens = 0;  ///< that it began with, found in the prefix tree
  std::int32_t num_told_units = 0;     ///< that it inserted, of which an eviction policy that learns was told
  std::int32_t lease = -1;             ///< the node of the prefix tree that it keeps from being evicted, or -1
  std::int32_t tenant = 0;
  Retention retention;
};

/// What a prefix tree does for the sequences of a store. Absent: nothing is kept, and nothing can be evicted.
struct PrefixHooks {
  void* owner = nullptr;
  /// Evicts until group `group` has `num_blocks` free blocks; false when that cannot be.
  bool (*make_room)(void* owner, int group, std::int64_t num_blocks) = nullptr;
  void (*forked)(void* owner, SequenceState const& parent, SequenceState& child) = nullptr;
  /// An append to the sequence, which still has its length from before, copied its last block.
  void (*copied)(void* owner, SequenceState& state) noexcept = nullptr;
  void (*released)(void* owner, SequenceState& state) noexcept = nullptr;
};

/// What happened since the cache was made.
struct SequenceCounters {
  std::int64_t created = 0, released = 0, appends = 0, truncates = 0, forks = 0, copies = 0, out_of_blocks = 0;
};

}  // namespace folio
