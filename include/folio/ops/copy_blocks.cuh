// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies whole blocks on the device: copy on write for many sequences at once, and moves between pools.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/kernels/launch.cuh>
#include <folio/ops/copy_blocks.hpp>
#include <span>
#include <string>
#include <vector>

namespace folio::ops {

/// 16 bytes, copied by one load and one store. Blocks are aligned to 64 bytes and a multiple of 64 long.
struct alignas(16) Chunk {
  std::uint32_t words[4];
};

/// The copies of one launch, as a kernel's parameter: they need no device memory, and no upload before the launch.
struct BlockCopies {
  static constexpr std::int32_t capacity = 224;  ///< 1.8 KB, where all parameters of a kernel may have 4 KB

  std::int32_t size = 0;
  BlockCopy copies[std::size_t{capacity}];
};

/// Kernel. Copies block `from` of `from_pool` over block `to` of `to_pool` for each of `copies`.
///
/// Pools may be the same. All copies run at the same time: no block is both a target and named again. Grid: (any, any);
/// y walks over the copies, x over the bytes of one. Traffic: each byte is read and written once, in 16-byte accesses
/// that neighbours join.
template <class Unit = Chunk>  // a template, because a kernel in a header must be one
__global__ void copy_blocks_kernel(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes,
                                   __grid_constant__ BlockCopies const copies) {
  std::int64_t const chunks = block_bytes / static_cast<std::int64_t>(sizeof(Unit));
  for (auto i = static_cast<std::int32_t>(blockIdx.y); i < copies.size; i += static_cast<std::int32_t>(gridDim.y)) {
    auto const* const source = aligned_cast<Unit const>(from_pool + to_int(copies.copies[i].from) * block_bytes);
    auto* const target = aligned_cast<Unit>(to_pool + to_int(copies.copies[i].to) * block_bytes);
    for (std::int64_t c = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; c < chunks;
         c += std::int64_t{gridDim.x} * blockDim.x)
      target[c] = source[c];
  }
}

namespace detail {

/// A set of up to `most` blocks. Open addressing, at most half full.
class BlockSet {
 public:
  explicit BlockSet(std::size_t most) : ids_(std::bit_ceil(2 * most + 2), none) {}

  [[nodiscard]] bool contains(BlockId block) const { return ids_[find(block)] != none; }
  void insert(BlockId block) { ids_[find(block)] = to_int(block); }

 private:
  static constexpr std::int32_t none = INT32_MIN;

  /// The place of the block, or the free one that it would get.
  [[nodiscard]] std::size_t find(BlockId block) const {
    // Fibonacci hashing: ids that are regular spread as well as random ones.
    std::uint64_t const hash = static_cast<std::uint32_t>(to_int(block)) * std::uint64_t{0x9E3779B97F4A7C15};
    auto place = static_cast<std::size_t>(hash >> 32) & (ids_.size() - 1);
    while (ids_[place] != none && ids_[place] != to_int(block)) place = (place + 1) & (ids_.size() - 1);
    return place;
  }

  std::vector<std::int32_t> ids_;
};

}  // namespace detail

/// How many of the first copies can run at the same time and come to what they come to one after another: none of them
/// writes a block that an earlier one reads or writes, or reads one that an earlier one writes. At least 1, unless
/// there are none. `one_pool`: whether `from` and `to` name blocks of the same pool. Cost: O(copies), some 10 ns each.
[[nodiscard]] inline std::size_t next_independent_run(std::span<BlockCopy const> copies, bool one_pool = true) {
  detail::BlockSet read(copies.size()), written(copies.size());
  for (std::size_t n = 0; n < copies.size(); ++n) {
    BlockCopy const& copy = copies[n];
    if (written.contains(copy.to) || (one_pool && (written.contains(copy.from) || read.contains(copy.to)))) return n;
    read.insert(copy.from);
    written.insert(copy.to);
  }
  return copies.size();
}

namespace detail {

inline void check_block_bytes(std::int64_t block_bytes) {
  if (block_bytes <= 0 || block_bytes % static_cast<std::int64_t>(sizeof(Chunk)) != 0)
    throw Error("folio: a block has a positive multiple of 16 bytes, not " + std::to_string(block_bytes));
}

}  // namespace detail

/// ops::copy_blocks on the device, on `stream`. Asynchronous: the pools are memory that the device reads and writes
/// (device, managed, or pinned), the list is the host's and is not needed any more when the call returns.
///
/// Copies keep their order: those that touch each other's blocks go in separate launches. `from_pool` and `to_pool` are
/// the same, or share no memory. Cost: a launch for each 224 copies that are independent. Throws Error, before anything
/// is launched, when block_bytes is no positive multiple of 16, CudaError when a launch fails; copies of earlier
/// launches then happen.
inline void copy_blocks(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes,
                        std::span<BlockCopy const> copies, cudaStream_t stream) {
  detail::check_block_bytes(block_bytes);
  while (!copies.empty()) {
    auto const most = std::min(copies.size(), std::size_t{BlockCopies::capacity});
    std::size_t const run = next_independent_run(copies.first(most), from_pool == to_pool);
    BlockCopies batch;
    batch.size = static_cast<std::int32_t>(run);
    std::copy_n(copies.begin(), run, batch.copies);
    dim3 const grid(std::min(grid_for(block_bytes / 16), 64U), static_cast<unsigned>(run));
    launch(copy_blocks_kernel<>, grid, 256, 0, stream, from_pool, to_pool, block_bytes, batch);
    copies = copies.subspan(run);
  }
}

}  // namespace folio::ops
