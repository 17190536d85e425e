// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Moves blocks between a pool in device memory and one in pinned host memory: out when room is needed, in again later.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/ops/copy_blocks.cuh>
#include <span>
#include <vector>

namespace folio::ops {

/// From this size on a block is moved by the GPU's copy engines, which leave its cores to others; below, by a kernel
/// that reads or writes the host's memory, because each copy costs the engines some microseconds. An estimate, to be
/// tuned on a GPU.
inline constexpr std::int64_t copy_engine_bytes = 64 * 1024;

namespace detail {

/// Pieces of memory to copy, in CUDA's types.
struct CopyList {
  std::vector<void*> to, from;
  std::vector<std::size_t> bytes;
};

/// The copies as pieces; blocks that adjoin on both sides are one.
[[nodiscard]] inline CopyList join_copies(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes,
                                          std::span<BlockCopy const> copies) {
  CopyList list;
  BlockCopy last{};
  for (BlockCopy const& copy : copies) {
    bool const adjoins =
        !list.bytes.empty() && to_int(copy.from) - 1 == to_int(last.from) && to_int(copy.to) - 1 == to_int(last.to);
    if (!adjoins) {
      list.to.push_back(to_pool + to_int(copy.to) * block_bytes);
      list.from.push_back(const_cast<std::byte*>(from_pool) + to_int(copy.from) * block_bytes);
      list.bytes.push_back(0);
    }
    list.bytes.back() += static_cast<std::size_t>(block_bytes);
    last = copy;
  }
  return list;
}

/// Gives all pieces to CUDA in one call. False where that is not possible: an older toolkit or driver, a stream that is
/// captured into a graph, or whatever CUDA finds against it. Pieces that were copied all the same may be copied again.
[[nodiscard]] inline bool copy_as_batch(CopyList& list, cudaStream_t stream) {
#if CUDART_VERSION >= 12080
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream, &capture), "asking whether a stream is captured");
  if (capture != cudaStreamCaptureStatusNone) return false;
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  attributes.flags = cudaMemcpyFlagPreferOverlapWithCompute;
  std::size_t first = 0;
#if CUDART_VERSION >= 13000
  cudaError_t const code = cudaMemcpyBatchAsync(list.to.data(), list.from.data(), list.bytes.data(), list.bytes.size(),
                                                &attributes, &first, 1, stream);
#else
  std::size_t failed = 0;
  cudaError_t const code = cudaMemcpyBatchAsync(list.to.data(), list.from.data(), list.bytes.data(), list.bytes.size(),
                                                &attributes, &first, 1, &failed, stream);
#endif
  if (code != cudaSuccess) static_cast<void>(cudaGetLastError());  // the copies one by one tell what is wrong
  return code == cudaSuccess;
#else
  static_cast<void>(list);
  static_cast<void>(stream);
  return false;
#endif
}

[[nodiscard]] inline bool is_legacy_stream(cudaStream_t stream) {
#if defined(CUDA_API_PER_THREAD_DEFAULT_STREAM)
  return stream == cudaStreamLegacy;
#else
  return stream == nullptr || stream == cudaStreamLegacy;
#endif
}

inline void swap_blocks(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes,
                        std::span<BlockCopy const> copies, cudaStream_t stream) {
  if (is_legacy_stream(stream))
    throw Error(
        "folio: blocks cannot be swapped on the legacy default stream, where CUDA takes no batches of copies: "
        "give a stream of your own, or cudaStreamPerThread");
  check_block_bytes(block_bytes);
  if (block_bytes < copy_engine_bytes) return copy_blocks(from_pool, to_pool, block_bytes, copies, stream);
  constexpr std::size_t most = 1024;  // drivers have failed at batches of many thousands
  while (!copies.empty()) {
    // A batch has no order, so a block that is written again waits for the next.
    std::size_t const run = next_independent_run(copies.first(std::min(copies.size(), most)), false);
    CopyList list = join_copies(from_pool, to_pool, block_bytes, copies.first(run));
    if (!copy_as_batch(list, stream))
      for (std::size_t i = 0; i < list.bytes.size(); ++i)
        check_cuda(cudaMemcpyAsync(list.to[i], list.from[i], list.bytes[i], cudaMemcpyDefault, stream),
                   "swapping a block");
    copies = copies.subspan(run);
  }
}

}  // namespace detail

/// Swap out: copies each block `from` of `device_pool` over block `to` of `host_pool`, on `stream`.
///
/// `device_pool`, `host_pool`: the addresses of block 0 of both, with the same block_bytes; `host_pool` is pinned
/// memory that the device can read and write (PinnedAllocator). Copies keep their order. Blocks of copy_engine_bytes or
/// more go by one cudaMemcpyBatchAsync for each 1024 (CUDA 12.8 or newer, outside of graph captures; else by one copy
/// each, those that adjoin joined), smaller ones by copy_blocks_kernel. The list is not needed any more when the call
/// returns.
///
/// Asynchronous, in the stream's order. The device blocks may be written by later work on `stream`, and by others
/// after an event recorded there. The host blocks may be read once the stream has passed this point (an event says
/// when): until then nobody else may touch them, and both pools stay.
/// Throws Error, before anything is copied, for the legacy default stream, which takes no batches, and for block_bytes
/// that are no positive multiple of 16; CudaError when CUDA refuses a copy; earlier ones then happen.
inline void swap_out(std::byte const* device_pool, std::byte* host_pool, std::int64_t block_bytes,
                     std::span<BlockCopy const> copies, cudaStream_t stream) {
  detail::swap_blocks(device_pool, host_pool, block_bytes, copies, stream);
}

/// Swap in: copies each block `from` of `host_pool` over block `to` of `device_pool`, on `stream`; all else as
/// in swap_out. Later work on `stream` may read the device blocks. The host blocks are to be held, unchanged, until the
/// stream has passed this point.
inline void swap_in(std::byte* device_pool, std::byte const* host_pool, std::int64_t block_bytes,
                    std::span<BlockCopy const> copies, cudaStream_t stream) {
  detail::swap_blocks(host_pool, device_pool, block_bytes, copies, stream);
}

}  // namespace folio::ops
