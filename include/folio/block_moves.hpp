// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies of whole blocks that are due, in one order: copies on write, and moves out to another tier. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/block.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/detail/sequence_state.hpp>
#include <folio/detail/sequence_states.hpp>
#include <folio/error.hpp>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Block move: a block that is due to be copied, within its list's pool or out of it.
struct BlockMove {
  BlockId from{};
  BlockId to{};                 ///< null_block: out
  std::byte* memory = nullptr;  ///< where it goes that goes out
  std::int32_t list = 0;

  [[nodiscard]] bool is_out() const noexcept { return to == null_block; }
};

/// Moves that run: who knows which of them have ended, where somebody else makes them.
class MovesInFlight {
 public:
  static constexpr std::int64_t none = -1;
  /// The earliest tick that has not passed, or `none`. Waits for nothing.
  virtual std::int64_t first_tick() = 0;

 protected:
  ~MovesInFlight() = default;
};

/// Block moves (offloading queue): the copies of whole blocks that a cache is due to make, in the order in which they
/// were noted: copies on write, and moves out to memory of a lower tier. The next upload makes them, or the next host
/// batch; where the device cannot read the blocks they are made at once. So a block may be noted to go out, be given
/// back, be given out again and be a copy's target before one upload: each move sees what was there when it was noted,
/// and what is given back is free at once.
///
/// Clock: moves out are done in ticks, one for each upload that did some. `passed()` says which have ended; nothing
/// waits for one.
///
/// Host only, one owner thread: that of the cache, which has one of these (KvCache::moves) and keeps it alive.
class BlockMoves : protected BlockCopier {
 public:
  static constexpr std::int64_t no_room = -1;  ///< as a tick: nothing was noted

  BlockMoves(BlockMoves const&) = delete;
  BlockMoves& operator=(BlockMoves const&) = delete;

  /// Takes host memory for `num_moves` moves out more that are due at a time, so that move_out cannot fail for want of
  /// it: as many as a tier has places. Throws Error for a number below 0 or from 2^31 on, std::bad_alloc; nothing has
  /// changed then.
  void reserve_out(std::int64_t num_moves) {
    if (num_moves < 0 || num_moves > std::numeric_limits<std::int32_t>::max())
      throw Error("folio: room for " + std::to_string(num_moves) +
                  " moves of blocks is asked for; give 0 to 2147483647");
    reserve(num_moves);
    out_room_ += num_moves;
  }

  /// Move out (offload): copies block `block` of a list's pool to `memory`, KvCache::block_bytes(list) bytes, as it is
  /// when all has run that was launched so far. What is launched from then on until the next upload does not write it.
  /// It may be given back, and given to others, as soon as this returns.
  ///
  /// `memory`: what the host writes, or, where the device can read the blocks, the device (PinnedAllocator), from a
  /// multiple of 16 bytes on. Nobody else touches it before it is written, or cancel_out took the move back.
  /// Returns the tick that the copy is of: it is there when passed() is not less. `no_room`, and nothing noted, where
  /// as many moves are due as there is room for (reserve_out). Cost: O(1), no allocation; a memcpy of the block where
  /// moves are made at once. Throws Error, and changes nothing, for a list, a block or memory that there cannot be;
  /// nothing else, so it may be called where nothing may throw, as by an event sink that hears what is about to be
  /// evicted.
  std::int64_t move_out(int list, BlockId block, std::byte* memory) {
    check_out(list, block, memory);
    if (!defers_copies) {
      std::memcpy(memory, address(list, block), bytes_of_block(list));
      return ticks_;
    }
    if (num_out_ == out_room_) return no_room;
    due_.push_back({block, null_block, memory, list});
    ++num_out_;
    return ticks_ + 1;
  }

  /// Takes back moves out to [begin, begin + bytes) that no upload has made yet: before that memory goes, or holds
  /// something else. Those that were made may still run: passed() says. Cost: O(moves that are due).
  void cancel_out(std::byte const* begin, std::int64_t bytes) noexcept {
    auto const first = reinterpret_cast<std::uintptr_t>(begin);
    auto const is_there = [&](BlockMove const& m) {
      auto const to = reinterpret_cast<std::uintptr_t>(m.memory);
      return m.is_out() && to >= first && to - first < static_cast<std::uintptr_t>(bytes);
    };
    auto const end = std::remove_if(due_.begin(), due_.end(), is_there);
    num_out_ -= due_.end() - end;
    due_.erase(end, due_.end());
  }

  /// The ticks so far: how many uploads, or batches, did moves out.
  [[nodiscard]] std::int64_t issued() const noexcept { return ticks_; }
  /// The last tick of which, and of all before which, every move has ended. On the host: all that were issued. Throws
  /// CudaError where the device is lost. Cost: a few looks at events, no wait.
  [[nodiscard]] std::int64_t passed() const {
    std::int64_t const first = in_flight == nullptr ? MovesInFlight::none : in_flight->first_tick();
    return first == MovesInFlight::none ? ticks_ : first - 1;
  }
  /// What an upload would do now, in this order. Not to be read after the next operation of the cache.
  [[nodiscard]] std::span<BlockMove const> due() const noexcept { return as_span(due_); }

 protected:
  explicit BlockMoves(std::vector<std::int64_t> bytes) : block_bytes(std::move(bytes)) {}
  ~BlockMoves() = default;

  /// The blocks of a list's pool.
  [[nodiscard]] virtual std::int64_t num_blocks(int list) const = 0;

  [[nodiscard]] std::byte* address(int list, BlockId block) const noexcept {
    auto const l = static_cast<std::size_t>(list);
    return pools[l] + to_int(block) * block_bytes[l];
  }
  [[nodiscard]] std::size_t bytes_of_block(int list) const noexcept {
    return static_cast<std::size_t>(block_bytes[static_cast<std::size_t>(list)]);
  }

  /// Whether an upload has anything to do.
  [[nodiscard]] bool has_due() const noexcept { return !due_.empty() || is_ticking_; }
  /// The first `n` moves have been made, or are launched.
  void note_done(std::size_t n) noexcept {
    auto const end = due_.begin() + static_cast<std::ptrdiff_t>(n);
    auto const out = std::count_if(due_.begin(), end, [](BlockMove const& m) { return m.is_out(); });
    num_out_ -= out;
    is_ticking_ = is_ticking_ || out > 0;
    due_.erase(due_.begin(), end);
  }
  /// Whether moves out were made since the last tick, which is to be ended by end_tick.
  [[nodiscard]] bool is_ticking() const noexcept { return is_ticking_; }
  void end_tick() noexcept {
    ticks_ += is_ticking_ ? 1 : 0;
    is_ticking_ = false;
  }

  /// Makes all moves that are due, by the host itself.
  void make_moves() noexcept {
    for (BlockMove const& move : due_)
      std::memcpy(move.is_out() ? move.memory : address(move.list, move.to), address(move.list, move.from),
                  bytes_of_block(move.list));
    note_done(due_.size());
    end_tick();
  }

  std::vector<std::int64_t> block_bytes;  // by list: of one block
  std::vector<std::byte*> pools;          // by list: where block 0, the null block, begins
  /// Whether moves wait for a batch, or are made at once.
  bool defers_copies = false;
  std::shared_ptr<MovesInFlight> in_flight;  // null: nobody else makes them

 private:
  void check_out(int list, BlockId block, std::byte const* memory) const {
    if (list < 0 || static_cast<std::size_t>(list) >= pools.size() || to_int(block) < 1 ||
        to_int(block) > num_blocks(list))
      throw Error("folio: there is no block " + std::to_string(to_int(block)) + " in list " + std::to_string(list) +
                  " to be moved out");
    if (memory == nullptr || reinterpret_cast<std::uintptr_t>(memory) % 16 != 0)
      throw Error("folio: a block is moved out to memory that begins at a multiple of 16 bytes");
  }

  /// Room for `more` moves besides those that are due and the moves out that may come.
  void reserve(std::int64_t more) {
    reserve_amortized(due_, static_cast<std::int64_t>(due_.size()) + (out_room_ - num_out_) + more);
  }
  void prepare(std::int64_t count) override { reserve(count); }
  void copy(int list, BlockId from, BlockId to) noexcept override {
    if (defers_copies)
      due_.push_back({from, to, nullptr, list});
    else
      std::memcpy(address(list, to), address(list, from), bytes_of_block(list));
  }

  std::vector<BlockMove> due_;
  std::int64_t num_out_ = 0, out_room_ = 0;  // of `due_`, and how many there may be
  std::int64_t ticks_ = 0;
  bool is_ticking_ = false;
};

}  // namespace folio
