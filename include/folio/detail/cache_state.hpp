// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What sequences and batches of a cache share, without the types of its policies. Host only.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/block.hpp>
#include <folio/block_moves.hpp>
#include <folio/detail/sequence_store.hpp>
#include <folio/error.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Where a cache's earlier steps run: a batch was uploaded on `stream`.
struct EarlierSteps {
  bool has_stream = false;
  void* stream = nullptr;
  std::uint64_t stream_id = 0;    ///< what CUDA calls it, for handles may be used again
  std::shared_ptr<void> retired;  ///< an event in its place, which its user is about to destroy
};

class RotationMatrices;

/// The block lists and the addresses of the blocks, and what is due to be copied. Owned by a KvCache, its sequences and
/// its batches together.
struct CacheState : BlockMoves {
  CacheState(std::vector<GroupShape> s, std::span<std::int64_t const> num_blocks, std::vector<std::int64_t> bytes,
             std::int32_t slack, DemotionRules const& demotion)
      : BlockMoves(std::move(bytes)), shapes(std::move(s)), store(shapes, num_blocks, *this, slack, demotion) {}

  // What batches do that is due, and with what.
  using BlockMoves::address, BlockMoves::block_bytes, BlockMoves::defers_copies, BlockMoves::end_tick,
      BlockMoves::has_due, BlockMoves::in_flight, BlockMoves::is_ticking, BlockMoves::note_done, BlockMoves::pools;

  std::vector<GroupShape> shapes;  // by list
  SequenceStore store;
  LayerPattern pattern;
  std::int32_t recent_window = 0;              // the newest tokens of a sequence, which are not demoted
  RotationMatrices const* rotation = nullptr;  // of all rows, where the cache has matrices; its own
  bool clears_null_blocks = true;  // which pad tables, so what is read there must be finite: before the first step
  EarlierSteps earlier_steps;

  /// Throws Error when a block of list `l` after the first `num_blocks` is still to be copied.
  void check_no_move_after(int l, std::int64_t num_blocks) const {
    for (BlockMove const& move : due())
      for (BlockId const block : {move.from, move.to})
        if (move.list == l && to_int(block) > num_blocks)
          throw Error("folio: cannot make a pool one of " + std::to_string(num_blocks) + " blocks: block " +
                      std::to_string(to_int(block)) + " is still to be copied; upload a step first");
  }

  /// Does what is due by the host itself.
  void flush() noexcept {
    for (std::size_t l = 0; l < pools.size() && clears_null_blocks; ++l)
      if (pools[l] != nullptr) std::memset(pools[l], 0, static_cast<std::size_t>(block_bytes[l]));  // else no layers
    clears_null_blocks = false;
    make_moves();
  }

 private:
  [[nodiscard]] std::int64_t num_blocks(int list) const override { return store.pool(list).num_blocks(); }
};

}  // namespace folio
