// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies whole blocks on the device: copy on write for many sequences at once, and moves between pools.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/ops/copy_blocks.hpp>
#include <folio/ops/copy_pieces.cuh>
#include <span>

namespace folio::ops {

namespace detail {

/// Blocks of two pools, or of one, as pieces.
inline void copy_blocks_as_pieces(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes,
                                  std::span<BlockCopy const> copies, bool by_kernel, cudaStream_t stream) {
  check_bytes(block_bytes);
  for (CopyPiece pieces[max_pieces]; !copies.empty();) {
    std::size_t const size = std::min(copies.size(), max_pieces);
    for (std::size_t i = 0; i < size; ++i)
      pieces[i] = {from_pool + to_int(copies[i].from) * block_bytes, to_pool + to_int(copies[i].to) * block_bytes,
                   block_bytes, by_kernel};
    copy_pieces({pieces, size}, stream);
    copies = copies.subspan(size);
  }
}

}  // namespace detail

/// ops::copy_blocks on the device, on `stream`. Asynchronous: the pools are memory that the device reads and writes
/// (device, managed, or pinned), the list is the host's and is not needed any more when the call returns.
///
/// Copies keep their order: those that touch each other's blocks go in separate launches. `from_pool` and `to_pool` are
/// the same, or share no memory, and begin at multiples of 16 bytes. Cost: a launch for each max_pieces copies that are
/// independent. Throws Error, before anything is launched, when block_bytes is no positive multiple of 16, CudaError
/// when a launch fails; copies of earlier launches then happen.
inline void copy_blocks(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes,
                        std::span<BlockCopy const> copies, cudaStream_t stream) {
  detail::copy_blocks_as_pieces(from_pool, to_pool, block_bytes, copies, true, stream);
}

}  // namespace folio::ops
