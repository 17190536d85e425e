// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What sequences and batches of a cache share, without the types of its policies. Host only.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/block.hpp>
#include <folio/detail/sequence_store.hpp>
#include <folio/error.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Pending block work: what must be done before the next step's kernels, where blocks are in memory that kernels read:
/// the host's operations only note it, because an earlier step may still be running. A batch does it when it is made.
struct PendingBlockWork {
  bool clear_null_blocks = true;               ///< tables are padded with them, so what is read there must be finite
  std::vector<std::vector<BlockCopy>> copies;  ///< by list, in the order in which they were asked for
  bool has_stream = false;                     ///< a batch was uploaded
  void* stream = nullptr;                      ///< on this stream: where earlier steps run
  std::uint64_t stream_id = 0;                 ///< what CUDA calls it, for handles may be used again
  std::shared_ptr<void> retired;               ///< an event in its place, which its user is about to destroy
};

class RotationMatrices;

/// The block lists and the addresses of the blocks. Owned by a KvCache, its sequences and its batches together.
struct CacheState : private BlockCopier {
  CacheState(std::vector<GroupShape> s, std::span<std::int64_t const> num_blocks, std::vector<std::int64_t> bytes,
             std::int32_t slack, DemotionRules const& demotion)
      : shapes(std::move(s)), block_bytes(std::move(bytes)), store(shapes, num_blocks, *this, slack, demotion) {
    pending.copies.resize(shapes.size());
  }
  CacheState(CacheState const&) = delete;
  CacheState& operator=(CacheState const&) = delete;

  std::vector<GroupShape> shapes;         // by list, as all that follow
  std::vector<std::int64_t> block_bytes;  // of one block
  std::vector<std::byte*> pools;          // where block 0, the null block, begins
  SequenceStore store;
  LayerPattern pattern;
  std::int32_t recent_window = 0;              // the newest tokens of a sequence, which are not demoted
  RotationMatrices const* rotation = nullptr;  // of all rows, where the cache has matrices; its own
  /// Whether copies wait in `pending` for a batch, or are made at once.
  bool defers_copies = false;
  PendingBlockWork pending;

  /// Throws Error when a block of list `l` after the first `num_blocks` is still to be copied.
  void check_no_copy_after(int l, std::int64_t num_blocks) const {
    for (BlockCopy const& copy : pending.copies[static_cast<std::size_t>(l)])
      for (BlockId const block : {copy.from, copy.to})
        if (to_int(block) > num_blocks)
          throw Error("folio: cannot make a pool one of " + std::to_string(num_blocks) + " blocks: block " +
                      std::to_string(to_int(block)) + " is still to be copied; upload a step first");
  }

  /// Does what is pending by the host itself.
  void flush_pending() noexcept {
    for (std::size_t g = 0; g < pools.size(); ++g) {
      if (pools[g] == nullptr) continue;  // without layers
      if (pending.clear_null_blocks) std::memset(pools[g], 0, static_cast<std::size_t>(block_bytes[g]));
      for (BlockCopy const& copy : pending.copies[g]) copy_block(g, copy);
      pending.copies[g].clear();
    }
    pending.clear_null_blocks = false;
  }

 private:
  void copy_block(std::size_t g, BlockCopy const& copy) const noexcept {
    std::memcpy(pools[g] + to_int(copy.to) * block_bytes[g], pools[g] + to_int(copy.from) * block_bytes[g],
                static_cast<std::size_t>(block_bytes[g]));
  }
  /// So that `copy` cannot fail.
  void prepare(int l, std::int64_t count) override {
    auto& copies = pending.copies[static_cast<std::size_t>(l)];
    std::size_t const wanted = copies.size() + static_cast<std::size_t>(count);
    if (wanted > copies.capacity()) copies.reserve(copies.size() + wanted + 7);
  }
  void copy(int l, BlockId from, BlockId to) noexcept override {
    auto const i = static_cast<std::size_t>(l);
    BlockCopy const copy{from, to};
    if (defers_copies)
      pending.copies[i].push_back(copy);
    else
      copy_block(i, copy);
  }
};

}  // namespace folio
