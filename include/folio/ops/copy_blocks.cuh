// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies whole blocks on the device: copy on write for many sequences at once, and moves between pools.

#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/ops/launch.cuh>

namespace folio::ops {

/// 16 bytes, copied by one load and one store. Blocks are aligned to 64 bytes and a multiple of 64 long.
struct alignas(16) Chunk {
  std::uint32_t words[4];
};

/// Kernel. Copies block from[i] of `from_pool` over block to[i] of `to_pool` for each i in [0, num_copies).
///
/// Pools may be the same. No block is both a target and named again. Grid: (any, any); y walks over the copies, x over
/// the bytes of one. Traffic: each byte is read and written once, in 16-byte accesses that neighbours join.
template <class Unit = Chunk>  // a template, because a kernel in a header must be one
__global__ void copy_blocks_kernel(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes,
                                   BlockId const* from, BlockId const* to, std::int32_t num_copies) {
  std::int64_t const chunks = block_bytes / static_cast<std::int64_t>(sizeof(Unit));
  for (std::int32_t i = static_cast<std::int32_t>(blockIdx.y); i < num_copies;
       i += static_cast<std::int32_t>(gridDim.y)) {
    auto const* const source = reinterpret_cast<Unit const*>(from_pool + to_int(from[i]) * block_bytes);
    auto* const target = reinterpret_cast<Unit*>(to_pool + to_int(to[i]) * block_bytes);
    for (std::int64_t c = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; c < chunks;
         c += std::int64_t{gridDim.x} * blockDim.x)
      target[c] = source[c];
  }
}

#if defined(__CUDACC__)
/// ops::copy_blocks on the device, on `stream`. Asynchronous; `from` and `to` are device arrays of `num_copies` ids.
inline void copy_blocks(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes, BlockId const* from,
                        BlockId const* to, std::int32_t num_copies, cudaStream_t stream) {
  if (num_copies == 0) return;
  unsigned const x = std::min(grid_for(block_bytes / 16), 64U);
  dim3 const grid(x, static_cast<unsigned>(std::min(num_copies, 4096)));
  launch(copy_blocks_kernel<>, grid, 256, 0, stream, from_pool, to_pool, block_bytes, from, to, num_copies);
}
#endif

}  // namespace folio::ops
