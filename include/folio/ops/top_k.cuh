// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The choice of the tokens to keep, on the device. The only header of the library that includes CUB.

#include <algorithm>
#include <cstdint>
#include <cub/device/device_segmented_radix_sort.cuh>
#include <folio/block.hpp>
#include <folio/kernels/launch.cuh>
#include <folio/ops/top_k.hpp>

namespace folio::ops {

namespace detail {

inline constexpr int top_k_threads = 256;

/// The parts of top_k's temporary storage.
struct TopKStorage {
  static constexpr std::int64_t alignment = 256;

  /// `memory` may be null: then only num_bytes means something.
  TopKStorage(void* memory, std::int64_t num_rows, TopKOptions const& options) {
    std::int64_t const keys_bytes = num_rows * options.max_tokens * std::int64_t{sizeof(std::uint32_t)};
    take(memory, keys_bytes, orders);
    take(memory, keys_bytes, sorted);
    take(memory, num_rows * std::int64_t{sizeof(std::int32_t)}, begins);
    take(memory, num_rows * std::int64_t{sizeof(std::int32_t)}, ends);
    std::byte* rest = nullptr;
    take(memory, 0, rest);
    sort = rest;
  }

  std::uint32_t *orders = nullptr, *sorted = nullptr;
  std::int32_t *begins = nullptr, *ends = nullptr;
  void* sort = nullptr;
  std::int64_t num_bytes = 0;  ///< before what CUB needs

 private:
  template <class T>
  void take(void* memory, std::int64_t bytes, T*& part) {
    if (memory != nullptr) part = aligned_cast<T>(static_cast<std::byte*>(memory) + num_bytes);
    num_bytes += (bytes + alignment - 1) / alignment * alignment;
  }
};

/// Sorts each row's orders, highest first: leaves them in one of storage.orders and storage.sorted, and tells which.
/// Without storage.sort it only tells in `sort_bytes` what CUB needs.
inline std::uint32_t const* sort_orders(TopKStorage const& storage, std::size_t& sort_bytes, std::int64_t num_rows,
                                        TopKOptions const& options, cudaStream_t stream) {
  cub::DoubleBuffer<std::uint32_t> orders(storage.orders, storage.sorted);
  check_cuda(cub::DeviceSegmentedRadixSort::SortKeysDescending(
                 storage.sort, sort_bytes, orders, static_cast<int>(num_rows * options.max_tokens),
                 static_cast<int>(num_rows), storage.begins, storage.ends, 0, 32, stream),
             "sorting scores");
  return orders.Current();
}

inline std::int64_t checked_top_k_rows(std::int32_t num_sequences, TopKOptions const& options) {
  check_top_k(options);
  std::int64_t const num_rows = std::int64_t{options.layers} * num_sequences * options.heads;
  if (num_rows > std::int64_t{INT32_MAX} / options.max_tokens)
    throw Error("folio: " + std::to_string(num_rows) + " rows of " + std::to_string(options.max_tokens) +
                " scores are more than the 2147483647 that one top_k takes; give fewer layers at a time");
  return num_rows;
}

}  // namespace detail

/// Kernel. The order of every token of the rows that are longer than k, and the bounds of what is to be sorted.
///
/// `orders`: [rows][options.max_tokens], `begins`, `ends`: [rows]; rows are [layers][num_sequences][heads]. Grid: (any,
/// any); x walks over the tokens of a row, y over the rows.
template <class View>
__global__ void top_k_orders_kernel(View view, float const* scores, TopKOptions options, std::uint32_t* orders,
                                    std::int32_t* begins, std::int32_t* ends) {
  std::int32_t const num_rows = options.layers * view.num_sequences() * options.heads;
  for (auto row = static_cast<std::int32_t>(blockIdx.y); row < num_rows; row += static_cast<std::int32_t>(gridDim.y)) {
    std::int32_t const i = row / options.heads % view.num_sequences();
    std::int32_t const length = detail::num_scored(view, options, i);
    std::int32_t const sorted = length > options.k && options.k > 0 ? length : 0;  // who keeps all needs no order
    std::int64_t const begin = std::int64_t{row} * options.max_tokens;
    for (std::int64_t t = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; t < sorted;
         t += std::int64_t{gridDim.x} * blockDim.x)
      orders[begin + t] = detail::retention_order(scores[begin + t], static_cast<std::int32_t>(t), length, options);
    if (blockIdx.x != 0 || threadIdx.x != 0) continue;
    begins[row] = static_cast<std::int32_t>(begin);
    ends[row] = static_cast<std::int32_t>(begin) + sorted;
  }
}

namespace detail {

/// What decides about a row: orders above `order` are kept, and the first `ties` of those equal to it.
struct TopKThreshold {
  std::uint32_t order = 0;
  std::int32_t ties = 0;

  /// `sorted`: the row's orders, highest first, unless all its tokens are kept.
  __device__ TopKThreshold(std::uint32_t const* sorted, std::int32_t count, std::int32_t length) : ties(count) {
    if (count == 0 || count == length) return;
    order = sorted[count - 1];
    std::int32_t low = 0, high = count - 1;  // the first place of `order`
    while (low < high) {
      std::int32_t const middle = (low + high) / 2;
      if (sorted[middle] > order)
        low = middle + 1;
      else
        high = middle;
    }
    ties = count - low;
  }
};

/// Tokens that are above and at the threshold, by warp of a thread block.
struct TopKCounts {
  std::int32_t above[std::size_t{top_k_threads / 32}], equal[std::size_t{top_k_threads / 32}];
};

/// Writes the kept ones of the tokens that the block's threads have, one each; `above` and `equal` count all before
/// them, and then all up to the last of them.
__device__ inline void select_tile(std::uint32_t order, bool exists, std::int32_t token, TopKThreshold const& threshold,
                                   TopKCounts& counts, std::int32_t& above, std::int32_t& equal, std::int32_t* kept) {
  auto const warp = static_cast<int>(threadIdx.x / 32);
  unsigned const lower_lanes = (1U << threadIdx.x % 32) - 1;
  bool const is_above = exists && order > threshold.order, is_equal = exists && order == threshold.order;
  unsigned const aboves = __ballot_sync(0xFFFFFFFFU, is_above), equals = __ballot_sync(0xFFFFFFFFU, is_equal);
  if (threadIdx.x % 32 == 0) {
    counts.above[warp] = __popc(aboves);
    counts.equal[warp] = __popc(equals);
  }
  __syncthreads();
  std::int32_t my_above = above + __popc(aboves & lower_lanes), my_equal = equal + __popc(equals & lower_lanes);
  for (int w = 0; w < top_k_threads / 32; ++w) {
    my_above += w < warp ? counts.above[w] : 0;
    my_equal += w < warp ? counts.equal[w] : 0;
    above += counts.above[w];
    equal += counts.equal[w];
  }
  if (is_above || (is_equal && my_equal < threshold.ties))
    kept[my_above + (my_equal < threshold.ties ? my_equal : threshold.ties)] = token;
  __syncthreads();  // the counts were read
}

}  // namespace detail

/// Kernel. Writes the tokens of each row that are above its k-th highest order, and of those equal to it the first.
///
/// `sorted`: [rows][options.max_tokens] orders, highest first, of the rows that are longer than k; `kept`, `counts`: as
/// top_k's. Any grid of one dimension, blocks of 256 threads; a block has a row at a time. Traffic: each score up to
/// the last one that is kept once.
template <class View>
__global__ void top_k_select_kernel(View view, float const* scores, TopKOptions options, std::uint32_t const* sorted,
                                    std::int32_t* kept, std::int32_t* counts) {
  __shared__ detail::TopKCounts of_warps;
  std::int32_t const num_rows = options.layers * view.num_sequences() * options.heads;
  for (auto row = static_cast<std::int32_t>(blockIdx.x); row < num_rows; row += static_cast<std::int32_t>(gridDim.x)) {
    std::int32_t const i = row / options.heads % view.num_sequences();
    std::int32_t const length = detail::num_scored(view, options, i);
    std::int32_t const count = options.k < length ? options.k : length;
    std::int64_t const begin = std::int64_t{row} * options.max_tokens;
    std::int32_t* const to = kept + std::int64_t{row} * options.k;
    detail::TopKThreshold const threshold(sorted + begin, count, length);
    std::int32_t above = 0, equal = 0;
    for (std::int32_t first = 0; first < length && above + (equal < threshold.ties ? equal : threshold.ties) < count;
         first += detail::top_k_threads) {
      std::int32_t const t = first + static_cast<std::int32_t>(threadIdx.x);
      std::uint32_t const order = t < length ? detail::retention_order(scores[begin + t], t, length, options) : 0;
      detail::select_tile(order, t < length, t, threshold, of_warps, above, equal, to);
    }
    for (std::int32_t j = count + static_cast<std::int32_t>(threadIdx.x); j < options.k; j += detail::top_k_threads)
      to[j] = -1;
    if (threadIdx.x == 0) counts[row] = count;
  }
}

/// Bytes of temporary storage that top_k needs for batches of up to `num_sequences` sequences. Throws Error as top_k
/// does, CudaError when there is no device to ask.
[[nodiscard]] inline std::int64_t top_k_temp_bytes(std::int32_t num_sequences, TopKOptions const& options) {
  std::int64_t const num_rows = detail::checked_top_k_rows(num_sequences, options);
  detail::TopKStorage const storage(nullptr, num_rows, options);
  std::size_t sort_bytes = 0;
  detail::sort_orders(storage, sort_bytes, num_rows, options, nullptr);
  return storage.num_bytes + static_cast<std::int64_t>(sort_bytes);
}

/// ops::top_k on the device, on `stream`: three kernels, the middle one CUB's. Asynchronous; all pointers are device
/// memory. `temp`: `temp_bytes` of it, at least top_k_temp_bytes, aligned to 256, in use until the work is done. The
/// caller knows that no sequence is longer than options.max_tokens. Throws Error for options that contradict each
/// other, storage that is too small, and more than 2147483647 scores; CudaError when a launch fails.
template <class View>
void top_k(DeviceView<View> const& view, float const* scores, TopKOptions const& options, std::int32_t* kept,
           std::int32_t* counts, void* temp, std::int64_t temp_bytes, cudaStream_t stream) {
  detail::check_top_k_group<View>(options);
  std::int64_t const num_rows = detail::checked_top_k_rows(view.num_sequences(), options);
  if (num_rows == 0) return;
  detail::TopKStorage const storage(temp, num_rows, options);
  std::int64_t const needed = top_k_temp_bytes(view.num_sequences(), options);
  if (temp == nullptr || temp_bytes < needed)
    throw Error("folio: top_k needs " + std::to_string(needed) + " bytes of temporary storage, not " +
                std::to_string(temp == nullptr ? 0 : temp_bytes) + "; ask top_k_temp_bytes");
  View const& plain = view;
  auto const rows = static_cast<unsigned>(std::min<std::int64_t>(num_rows, 65535));
  dim3 const grid(std::min(grid_for(options.max_tokens), 64U), rows);
  launch(top_k_orders_kernel<View>, grid, detail::top_k_threads, 0, stream, plain, scores, options, storage.orders,
         storage.begins, storage.ends);
  auto sort_bytes = static_cast<std::size_t>(temp_bytes - storage.num_bytes);
  std::uint32_t const* const sorted = detail::sort_orders(storage, sort_bytes, num_rows, options, stream);
  launch(top_k_select_kernel<View>, rows, detail::top_k_threads, 0, stream, plain, scores, options, sorted, kept,
         counts);
}

}  // namespace folio::ops
