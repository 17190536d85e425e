// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Block moves that are due, made on a stream, and which of them have ended. Host code that calls CUDA.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/block_moves.hpp>
#include <folio/cuda_runtime.cuh>
#include <folio/detail/cache_state.hpp>
#include <folio/ops/copy_pieces.cuh>
#include <memory>
#include <span>

namespace folio::detail {

/// Events of the last ticks of moves: a ring. Where more ticks run than it has events, the last event stands for
/// several of them, and so they pass together. Nothing waits.
class MoveEvents final : public MovesInFlight {
 public:
  static constexpr std::size_t capacity = 4;

  /// What is launched on `stream` so far is the end of tick `tick`. Throws CudaError, and nothing is noted.
  void record(std::int64_t tick, cudaStream_t stream) {
    static_cast<void>(first_tick());
    std::size_t const i = std::min(size_, capacity - 1);
    Entry& entry = entries_[(first_ + i) % capacity];
    entry.end.record(stream);
    if (size_ == capacity) return;
    entry.tick = tick;
    ++size_;
  }

  std::int64_t first_tick() override {
    for (; size_ > 0 && entries_[first_].end.done(); --size_) first_ = (first_ + 1) % capacity;
    return size_ > 0 ? entries_[first_].tick : none;
  }

 private:
  struct Entry {
    CudaEvent end;
    std::int64_t tick = 0;  // the first that it stands for
  };
  std::array<Entry, capacity> entries_;
  std::size_t first_ = 0, size_ = 0;
};

/// Gives a cache what do_due_moves needs. Throws CudaError.
inline void prepare_due_moves(CacheState& cache) {
  if (cache.in_flight == nullptr) cache.in_flight = std::make_shared<MoveEvents>();
}

/// Does what a cache is due to do before the next step, on `stream`: clears null blocks, and makes the moves in their
/// order, those that are independent in one call. Takes no host memory. What was not launched when it throws CudaError
/// is still due.
inline void do_due_moves(CacheState& cache, cudaStream_t stream) {
  for (std::size_t l = 0; l < cache.pools.size() && cache.clears_null_blocks; ++l)
    if (cache.pools[l] != nullptr)  // else without layers
      check_cuda(cudaMemsetAsync(cache.pools[l], 0, static_cast<std::size_t>(cache.block_bytes[l]), stream),
                 "clearing the null block");
  cache.clears_null_blocks = false;
  if (!cache.has_due()) return;
  for (ops::CopyPiece pieces[ops::max_pieces]; !cache.due().empty();) {
    std::size_t const size = std::min(cache.due().size(), ops::max_pieces);
    for (std::size_t i = 0; i < size; ++i) {
      BlockMove const& move = cache.due()[i];
      pieces[i] = {cache.address(move.list, move.from), move.is_out() ? move.memory : cache.address(move.list, move.to),
                   cache.block_bytes[static_cast<std::size_t>(move.list)], !move.is_out()};
    }
    std::size_t const run = ops::next_independent_run({pieces, size});
    ops::detail::copy_run({pieces, run}, stream);
    cache.note_done(run);
  }
  if (cache.is_ticking()) static_cast<MoveEvents&>(*cache.in_flight).record(cache.issued() + 1, stream);
  cache.end_tick();
}

}  // namespace folio::detail
