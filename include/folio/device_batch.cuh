// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One step's tables in device memory, at addresses that never change. Host code that calls CUDA.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <folio/allocator/device.cuh>
#include <folio/allocator/pinned.cuh>
#include <folio/batch.hpp>
#include <folio/device_view.hpp>
#include <folio/kv_cache.hpp>
#include <folio/ops/copy_blocks.cuh>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace folio {

/// The largest step that a DeviceBatch can hold. Every step has this size: rows and slots that a step does not need
/// are padding, written anew each time (length 0, null blocks, slot -1).
struct StepSize {
  std::int32_t num_sequences = 0;
  std::int32_t num_query_tokens = 0;  ///< of all sequences together
  std::int32_t num_tokens = 0;        ///< of the longest sequence
};

/// The tables of a step in device memory: what kernels' views point into.
///
/// `upload` writes the tables into pinned memory and copies them in one asynchronous copy. The pinned memory is double:
/// the host waits only where the copy of the step before the last has not run yet. The device's buffer and the sizes
/// in the view stay the same, so a CUDA graph that was captured with `view()` replays with each upload's contents.
///
/// Streams. Steps of a cache run in the order of their uploads: an upload on stream s comes after everything that was
/// launched so far on the stream of the cache's upload before it, which must still exist. So launch a step's kernels
/// between its upload and the next, on its stream, or join them into it. Then a block that a sequence gives back is
/// written by its next owner only after the last kernel that reads it, and copies on write see what earlier steps
/// wrote. Whoever reads blocks beside that, such as a copy to the host on another stream, holds them with a BlockHold.
/// Whoever writes blocks beside that, such as swap_in, does it behind an upload that came after the append which gave
/// the blocks, and before the kernels that read them: copies on write are made by uploads, and earlier steps may read.
///
/// Host only, one owner thread. Movable. Keeps the cache's memory alive; waits for the device when it goes. Cost of an
/// upload: filling the tables, a memcpy of them, one copy to the device, and one kernel for each group with blocks to
/// copy.
template <class View>
class DeviceBatch {
 public:
  /// Tables for steps of `size` over `cache`, whose blocks the device must be able to read. Throws Error for a size
  /// without sequences, query tokens or tokens, CudaError, OutOfMemory.
  template <class... Policies>
  DeviceBatch(KvCache<Policies...> const& cache, StepSize const& size, cudaStream_t stream = nullptr)
      : cache_(cache.state()), size_(checked(size)), tables_(View::num_groups), device_(stream) {
    static_assert(device_can_read<typename KvCache<Policies...>::Allocator>,
                  "folio: the blocks of this cache are in memory that no kernel can read: give the cache "
                  "DeviceAllocator, VirtualAllocator, ManagedAllocator or PinnedAllocator");
    tables_.fill(cache_->store, {}, padding());
    bytes_ = static_cast<std::int64_t>(tables_.bytes().size());
    on_device_ = Memory<DeviceAllocator>(device_, bytes_);
    for (Staging& staging : staging_) staging.memory = Memory<PinnedAllocator>(PinnedAllocator(), bytes_);
  }

  /// Makes `items` the step: see above. Throws Error, and changes nothing, as BatchTables::fill does, or for a step
  /// that is larger than `size()`; CudaError.
  void upload(std::span<BatchItem const> items, cudaStream_t stream) {
    check(items);
    tables_.fill(cache_->store, items, padding());
    Staging& staging = staging_[next_];
    if (staging.used && !staging.copied.done()) staging.copied.wait();
    std::memcpy(staging.memory.begin(), tables_.bytes().data(), tables_.bytes().size());
    follow_earlier_steps(stream);
    check_cuda(cudaMemcpyAsync(on_device_.begin(), staging.memory.begin(), static_cast<std::size_t>(bytes_),
                               cudaMemcpyHostToDevice, stream),
               "copying a step's tables to the device");
    staging.copied.record(stream);
    staging.used = true;
    next_ = 1 - next_;
    do_due_work(stream);
  }
  void upload(std::initializer_list<BatchItem> items, cudaStream_t stream) {
    upload(std::span(items.begin(), items.size()), stream);
  }

  /// What kernels read. The same from step to step.
  [[nodiscard]] DeviceView<View> view() const {
    return DeviceView<View>(tables_.template view_over<View>(on_device_.begin(), *cache_));
  }
  [[nodiscard]] StepSize const& size() const noexcept { return size_; }
  /// The host's copy of the tables of the last upload.
  [[nodiscard]] BatchTables const& tables() const noexcept { return tables_; }

 private:
  /// Memory that goes with its owner.
  template <class Allocator>
  class Memory {
   public:
    Memory() = default;
    Memory(Allocator allocator, std::int64_t bytes) {
      std::byte* const begin = allocator.allocate(bytes, 64);
      memory_ = std::shared_ptr<std::byte>(begin, Free{std::move(allocator), bytes});
    }
    [[nodiscard]] std::byte* begin() const noexcept { return memory_.get(); }

   private:
    struct Free {
      /// Steps that are still running use the memory, on streams that may be gone.
      void operator()(std::byte* pointer) noexcept {
        try {
          check_cuda(cudaDeviceSynchronize(), "waiting for a batch's last step");
        } catch (...) {  // NOLINT(bugprone-empty-catch): the device is lost, and with it what ran
        }
        allocator.deallocate(pointer, bytes);
      }
      Allocator allocator;
      std::int64_t bytes;
    };
    std::shared_ptr<std::byte> memory_;
  };

  struct Staging {
    Memory<PinnedAllocator> memory;
    CudaEvent copied;
    bool used = false;
  };

  static StepSize checked(StepSize const& size) {
    if (size.num_sequences < 1 || size.num_query_tokens < 1 || size.num_tokens < 1)
      throw Error("folio: a step has at least 1 sequence, 1 query token and 1 token, not " + describe(size));
    return size;
  }
  static std::string describe(StepSize const& s) {
    return std::to_string(s.num_sequences) + " sequences, " + std::to_string(s.num_query_tokens) +
           " query tokens and " + std::to_string(s.num_tokens) + " tokens";
  }
  [[nodiscard]] BatchPadding padding() const {
    return {.num_sequences = size_.num_sequences,
            .num_query_tokens = size_.num_query_tokens,
            .num_tokens = size_.num_tokens};
  }

  /// Whether a step fits, before the tables are written anew.
  void check(std::span<BatchItem const> items) const {
    StepSize step{static_cast<std::int32_t>(items.size()), BatchTables::count_queries(cache_->store, items), 0};
    for (BatchItem const& item : items) step.num_tokens = std::max(step.num_tokens, item.sequence->num_tokens());
    if (step.num_sequences > size_.num_sequences || step.num_query_tokens > size_.num_query_tokens ||
        step.num_tokens > size_.num_tokens)
      throw Error("folio: this DeviceBatch was made for steps of at most " + describe(size_) + "; this step has " +
                  describe(step));
  }

  /// Orders what is launched on `stream` from now on after the earlier steps of the cache.
  void follow_earlier_steps(cudaStream_t stream) {
    DueWork& due = cache_->due;
    if (due.has_stream && due.stream != stream) {
      earlier_steps_.record(static_cast<cudaStream_t>(due.stream));
      earlier_steps_.make_wait(stream);
    }
    due.has_stream = true;
    due.stream = stream;
  }

  void do_due_work(cudaStream_t stream) {
    DueWork& due = cache_->due;
    for (std::size_t g = 0; g < cache_->pools.size(); ++g) {
      std::byte* const pool = cache_->pools[g];
      std::int64_t const block_bytes = cache_->block_bytes[g];
      if (due.clear_null_blocks)
        check_cuda(cudaMemsetAsync(pool, 0, static_cast<std::size_t>(block_bytes), stream), "clearing the null block");
      ops::copy_blocks(pool, pool, block_bytes, due.copies[g], stream);
      due.copies[g].clear();
    }
    due.clear_null_blocks = false;
  }

  std::shared_ptr<CacheState const> cache_;
  StepSize size_;
  BatchTables tables_;
  DeviceAllocator device_;
  std::int64_t bytes_ = 0;
  Memory<DeviceAllocator> on_device_;
  Staging staging_[2];
  int next_ = 0;
  CudaEvent earlier_steps_;
};

template <class... Policies>
DeviceBatch(KvCache<Policies...> const&, StepSize const&) -> DeviceBatch<typename KvCache<Policies...>::View>;
template <class... Policies>
DeviceBatch(KvCache<Policies...> const&, StepSize const&, cudaStream_t)
    -> DeviceBatch<typename KvCache<Policies...>::View>;

/// Holds the blocks of sequences until the device has passed a point: for reads that steps do not know of, such as a
/// copy to the host on a stream of its own.
///
/// Host only, one owner thread. `hold` costs a fork and an event, `release_done` a look at the oldest events. Blocks
/// that are held are live and shared: they count as such in all gauges, and a sequence that goes on meanwhile copies
/// its partly filled last block, as after every fork. Waits for nothing; a destructor waits for what is held.
class BlockHold {
 public:
  BlockHold() = default;
  BlockHold(BlockHold&&) = default;
  BlockHold& operator=(BlockHold&& other) noexcept {  // what was held goes with `other`, which waits for it
    held_.swap(other.held_);
    return *this;
  }
  ~BlockHold() {
    for (Held const& held : held_) {
      try {
        held.read.wait();
      } catch (...) {  // NOLINT(bugprone-empty-catch): the device is lost, and with it what read
      }
    }
  }

  /// Keeps every block of `sequence` as it is now until everything launched on `stream` so far has run.
  void hold(Sequence const& sequence, cudaStream_t stream) {
    Held held{sequence.fork(), CudaEvent()};
    held.read.record(stream);
    held_.push_back(std::move(held));
  }

  /// Lets go of what has been read. Returns how many holds are left.
  std::int64_t release_done() {
    while (!held_.empty() && held_.front().read.done()) held_.pop_front();
    return static_cast<std::int64_t>(held_.size());
  }

 private:
  struct Held {
    Sequence blocks;
    CudaEvent read;
  };
  std::deque<Held> held_;  // in the order of the calls
};

}  // namespace folio
