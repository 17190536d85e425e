// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One step's tables in device memory, at addresses that never change. Host code that calls CUDA.

#include <algorithm>
#include <cstdint>
#include <deque>
#include <folio/batch.hpp>
#include <folio/detail/due_moves.cuh>
#include <folio/detail/staged_upload.cuh>
#include <folio/detail/table_patch.cuh>
#include <folio/device_view.hpp>
#include <folio/kv_cache.hpp>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <utility>

namespace folio {

namespace detail {

/// Throws Error, with the reason, where `stream` is being captured into a graph. The capture goes on.
inline void refuse_capture(cudaStream_t stream, char const* why) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream, &status), "asking whether a stream is captured");
  if (status != cudaStreamCaptureStatusNone)
    throw Error(std::string("folio: the stream is being captured into a graph: ") + why);
}

/// What tells a stream from a later one with the same handle; 0 where CUDA cannot.
inline std::uint64_t stream_id([[maybe_unused]] cudaStream_t stream) {
#if CUDART_VERSION >= 12000
  unsigned long long id = 0;
  check_cuda(cudaStreamGetId(stream, &id), "asking for a stream's id");
  return id;
#else
  return 0;
#endif
}

}  // namespace detail

/// Batch capacity: the largest step that a DeviceBatch can hold. Every step has this size: rows and slots that a step
/// does not need are padding (length 0, null blocks, slot -1).
struct BatchCapacity {
  std::int32_t num_sequences = 0;
  std::int32_t num_query_tokens = 0;  ///< of all sequences together
  std::int32_t num_tokens = 0;        ///< that a list stores of the longest sequence; with a window, within that
  /// Whether steps may have items with positions or limits. The view has limits then, which kernels read in every step,
  /// and rows of groups with a window are as long as others.
  bool has_limits = false;
};

/// Device batch: the block tables of a step in device memory: what kernels' views point into.
///
/// The host keeps a copy of the tables. `upload` writes what the step changes in it into pinned memory, and a kernel
/// makes the same changes on the device: nothing else is touched, however large the padding. The pinned memory is
/// double: the host waits only where the kernel of the step before the last has not run yet. The device's buffer and
/// the sizes in the view stay the same, so a CUDA graph that was captured with `view()` replays with each upload's
/// contents.
///
/// Rules for streams:
/// 1. Steps of a cache run in the order of their uploads. An upload on a stream waits for all that was launched so far
///    on the stream of the cache's upload before it.
/// 2. That earlier stream must still exist. Whoever destroys it calls `retire` first.
/// 3. Launch a step's kernels between its upload and the next, on its stream, or join them into it by events. So a
///    block is written by its next owner after the last kernel that reads it, and copies on write see earlier steps.
/// 4. Reads beside the steps, such as a copy to the host on another stream: hold the blocks with a BlockHold.
/// 5. Writes beside the steps, such as swap_in: after an upload that followed the extension which gave the blocks, and
///    before the kernels that read them. Uploads make the block moves that are due, and earlier steps may still read.
///
/// Host only, one owner thread. Movable. Keeps the cache's memory alive. Made and destroyed outside of graph captures:
/// it takes device memory, and waits for the device when it goes. Cost of an upload: that of BatchTables::fill, a
/// memcpy of what changed, and a kernel that reads it; for block moves that are due (KvCache::moves) one more kernel,
/// and where some go out an event.
template <class View>
class DeviceBatch {
 public:
  /// Tables for steps of `size` over `cache`, whose blocks the device must be able to read. Throws Error for a size
  /// without sequences, query tokens or tokens, CudaError, OutOfMemory.
  template <class... Policies>
  DeviceBatch(KvCache<Policies...>& cache, BatchCapacity const& size)
      : cache_(cache.core_),
        size_(checked(size)),
        tables_(tables_for(*cache_, size)),
        on_device_(num_bytes()),
        staging_(TablePatch::bytes_for(num_bytes() / 4)) {
    static_assert(device_can_read<typename KvCache<Policies...>::Allocator>,
                  "folio: the blocks of this cache are in memory that no kernel can read: give the cache "
                  "DeviceAllocator, VirtualAllocator, ManagedAllocator or PinnedAllocator");
    static_assert(!KvCache<Policies...>::BasisOfRows::rotates,
                  "folio: RotationMatrices are applied by the host's operations alone: for the device make the cache "
                  "without them, and rotate keys, values, queries and results beside its kernels");
    detail::prepare_due_moves(*cache_);
  }

  /// Makes `items` the step: see above. Throws Error, and changes nothing, as BatchTables::fill does, for a step that
  /// is larger than `size()`, or for a stream that is being captured into a graph; CudaError.
  void upload(std::span<BatchItem const> items, cudaStream_t stream) {
    prepare(items, stream);
    std::span<std::byte> const staging = staging_.begin();
    bool const is_known = std::exchange(is_known_, false);
    has_failed_ = true;
    if (!is_known) tables_.fill(cache_->store, {}, padding());
    TablePatch patch(staging.data(), static_cast<std::int64_t>(staging.size()));
    tables_.fill(cache_->store, items, padding(), patch);
    follow_earlier_steps(stream);
    if (!is_known) clear_tables(stream);
    patch.apply(on_device_.begin(), stream);
    staging_.end(stream);
    is_known_ = true;
    upload_bytes_ = patch.bytes();
    detail::do_due_moves(*cache_, stream);
    has_failed_ = false;
  }
  void upload(std::initializer_list<BatchItem> items, cudaStream_t stream) {
    upload(std::span(items.begin(), items.size()), stream);
  }

  /// Makes the block moves that are due (BlockMoves), as an upload does, and leaves the step as it is: for an engine
  /// that is idle. Counts as an upload in the rules for streams. Where nothing is due, nothing is done. Throws Error
  /// for a stream that is being captured into a graph, CudaError; moves that were not launched are still due then.
  void flush(cudaStream_t stream) {
    detail::refuse_capture(stream, "moves that are due are made before a graph is launched, not while it is captured");
    if (!cache_->has_due()) return;
    follow_earlier_steps(stream);
    detail::do_due_moves(*cache_, stream);
  }

  /// Throws Error and std::bad_alloc where `upload` would, for a step whose longest list will have `num_tokens` tokens
  /// by then, or more; and takes the host memory that it needs.
  void prepare(std::span<BatchItem const> items, cudaStream_t stream, std::int32_t num_tokens = 0) {
    detail::refuse_capture(stream, "a step is uploaded before a graph is launched, not while it is captured");
    check(items, num_tokens);
    tables_.prepare(cache_->store, items, padding());
  }

  /// Call this before `stream` is destroyed, if it may be the last upload's: the next upload, of any DeviceBatch of the
  /// cache, then comes after what was launched on it so far. Cost: an event. Throws CudaError.
  void retire(cudaStream_t stream) {
    EarlierSteps& earlier = cache_->earlier_steps;
    if (!earlier.has_stream || earlier.stream != stream) return;
    auto const end = std::make_shared<CudaEvent>();
    end->record(stream);
    earlier.retired = end;
    earlier.has_stream = false;
  }

  /// What kernels read. The same from step to step: a graph that was captured with it replays with later uploads. Where
  /// NDEBUG is not defined, it throws Error when the last upload is stale or failed.
  [[nodiscard]] DeviceView<View> view() const {
#ifndef NDEBUG
    if (has_failed_)
      throw Error("folio: the last upload failed, and the device has not the step's tables; upload again");
    if (is_stale())
      throw Error(
          "folio: this batch is stale: one of its sequences gave back, copied or exchanged a block since; upload "
          "the step after extend, truncate, cut, keep, demote, release and insert");
#endif
    return DeviceView<View>(tables_.template view_over<View>(on_device_.begin(), *cache_));
  }
  /// Whether a sequence of the last upload gave back, copied or exchanged a block since (BatchTables::is_stale), or
  /// that upload failed: what is launched from now on would read blocks that somebody else may have. Check it before a
  /// graph is replayed.
  [[nodiscard]] bool is_stale() const noexcept { return has_failed_ || tables_.is_stale(); }
  [[nodiscard]] BatchCapacity const& size() const noexcept { return size_; }
  /// The host's copy of the tables of the last upload.
  [[nodiscard]] BatchTables const& tables() const noexcept { return tables_; }
  /// What the device read from the host's memory for the last upload.
  [[nodiscard]] std::int64_t upload_bytes() const noexcept { return upload_bytes_; }

 private:
  /// Tables of a step without sequences.
  static BatchTables tables_for(CacheState const& cache, BatchCapacity const& size) {
    BatchTables tables(View::num_lists, View::num_groups);
    tables.fill(cache.store, {}, padding(size));
    return tables;
  }
  [[nodiscard]] std::int64_t num_bytes() const noexcept { return static_cast<std::int64_t>(tables_.bytes().size()); }

  static BatchCapacity checked(BatchCapacity const& size) {
    if (size.num_sequences < 1 || size.num_query_tokens < 1 || size.num_tokens < 1)
      throw Error("folio: a step has at least 1 sequence, 1 query token and 1 token, not " + describe(size));
    return size;
  }
  static std::string describe(BatchCapacity const& s) {
    return std::to_string(s.num_sequences) + " sequences, " + std::to_string(s.num_query_tokens) +
           " query tokens and " + std::to_string(s.num_tokens) + " tokens";
  }
  [[nodiscard]] BatchPadding padding() const { return padding(size_); }
  static BatchPadding padding(BatchCapacity const& size) {
    return {.num_sequences = size.num_sequences,
            .num_query_tokens = size.num_query_tokens,
            .num_tokens = size.num_tokens,
            .has_limits = size.has_limits};
  }

  /// Whether a step fits, before the tables are written anew.
  void check(std::span<BatchItem const> items, std::int32_t num_tokens) const {
    BatchCapacity step{static_cast<std::int32_t>(items.size()), BatchTables::count_queries(cache_->store, items),
                       num_tokens};
    for (BatchItem const& item : items) {
      StepQueries const queries(cache_->store, BatchTables::state_of(cache_->store, item), item);
      if (queries.has_limits() && !size_.has_limits)
        throw Error("folio: sequence " + std::to_string(to_int(item.sequence->id())) +
                    " of the step has queries by positions or limits, for which this DeviceBatch has no room; make one "
                    "with BatchCapacity::has_limits");
      for (int l = 0; l < View::num_lists; ++l) {
        GroupShape const& shape = cache_->store.shape(l);
        BlockList const& list = item.sequence->state().lists[l];
        std::int64_t const row =
            static_cast<std::int64_t>(list.blocks.size()) - hidden_blocks(shape, queries.first_query(l));
        if (shape.window == 0 || row > tables_.table_width(l))
          step.num_tokens = std::max(step.num_tokens, list.num_tokens);
      }
    }
    if (step.num_sequences > size_.num_sequences || step.num_query_tokens > size_.num_query_tokens ||
        step.num_tokens > size_.num_tokens)
      throw Error("folio: this DeviceBatch was made for steps of at most " + describe(size_) + "; this step has " +
                  describe(step));
  }

  /// Orders what is launched on `stream` from now on after the earlier steps of the cache.
  void follow_earlier_steps(cudaStream_t stream) {
    EarlierSteps& earlier = cache_->earlier_steps;
    std::uint64_t const id = detail::stream_id(stream);
    if (earlier.retired != nullptr) {
      static_cast<CudaEvent const*>(earlier.retired.get())->make_wait(stream);
      earlier.retired.reset();
    }
    if (earlier.has_stream && earlier.stream != stream) {
      earlier_steps_.record(static_cast<cudaStream_t>(earlier.stream));
      earlier_steps_.make_wait(stream);
    } else if (earlier.has_stream && earlier.stream_id != id) {  // of a stream that is gone only the handle is left
      check_cuda(cudaDeviceSynchronize(), "waiting for the steps on a stream that was destroyed");
    }
    earlier.has_stream = true;
    earlier.stream = stream;
    earlier.stream_id = id;
  }

  /// Makes the tables those of a step without sequences.
  void clear_tables(cudaStream_t stream) {
    std::int64_t const bytes = num_bytes(),
                       slots = bytes - std::int64_t{8} * size_.num_query_tokens * View::num_groups;  // these come last
    auto const set = [&](std::int64_t begin, std::int64_t end, int value) {
      check_cuda(cudaMemsetAsync(on_device_.begin() + begin, value, static_cast<std::size_t>(end - begin), stream),
                 "clearing a step's tables");
    };
    set(0, slots, 0);
    set(slots, bytes, 0xFF);
  }

  std::shared_ptr<CacheState> cache_;
  BatchCapacity size_;
  BatchTables tables_;
  detail::KernelMemory<detail::StreamlessAllocator> on_device_;
  detail::StagedUpload staging_;
  bool is_known_ = false;  // the device has what `tables_` has; not before the first upload, nor after one that failed
  bool has_failed_ = false;  // the last upload: the device has not what the host's tables say
  std::int64_t upload_bytes_ = 0;
  CudaEvent earlier_steps_;
};

template <class... Policies>
DeviceBatch(KvCache<Policies...>&, BatchCapacity const&) -> DeviceBatch<typename KvCache<Policies...>::View>;

/// Block hold: keeps the blocks of sequences until the device has passed a point: for reads that steps do not know of,
/// such as a copy to the host on a stream of its own.
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

  /// Keeps every block of `sequence` as it is now until everything launched on `stream` so far has run. Throws Error
  /// for a stream that is being captured into a graph, whose work has no such time; CudaError.
  void hold(Sequence const& sequence, cudaStream_t stream) {
    detail::refuse_capture(stream, "blocks are held for work that was launched, not for what a graph will do");
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
