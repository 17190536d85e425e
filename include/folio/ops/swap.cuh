// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Moves blocks between a pool in device memory and one in pinned host memory: out when room is needed, in again later.

#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/ops/copy_blocks.cuh>
#include <span>

namespace folio::ops {

/// Swap out: copies each block `from` of `device_pool` over block `to` of `host_pool`, on `stream`.
///
/// `device_pool`, `host_pool`: the addresses of block 0 of both, with the same block_bytes; `host_pool` is pinned
/// memory that the device can read and write (PinnedAllocator). Copies keep their order. Goes as copy_pieces does:
/// blocks of copy_engine_bytes or more by the copy engines, smaller ones by a kernel. The list is not needed any more
/// when the call returns.
///
/// Asynchronous, in the stream's order. The device blocks may be written by later work on `stream`, and by others
/// after an event recorded there. The host blocks may be read once the stream has passed this point (an event says
/// when): until then nobody else may touch them, and both pools stay.
/// Throws Error, before anything is copied, for block_bytes that are no positive multiple of 16; CudaError when CUDA
/// refuses a copy; earlier ones then happen.
inline void swap_out(std::byte const* device_pool, std::byte* host_pool, std::int64_t block_bytes,
                     std::span<BlockCopy const> copies, cudaStream_t stream) {
  detail::copy_blocks_as_pieces(device_pool, host_pool, block_bytes, copies, false, stream);
}

/// Swap in: copies each block `from` of `host_pool` over block `to` of `device_pool`, on `stream`; all else as
/// in swap_out. Later work on `stream` may read the device blocks. The host blocks are to be held, unchanged, until the
/// stream has passed this point.
inline void swap_in(std::byte* device_pool, std::byte const* host_pool, std::int64_t block_bytes,
                    std::span<BlockCopy const> copies, cudaStream_t stream) {
  detail::copy_blocks_as_pieces(host_pool, device_pool, block_bytes, copies, false, stream);
}

}  // namespace folio::ops
