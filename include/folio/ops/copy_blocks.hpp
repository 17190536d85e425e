// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies whole blocks: what copy on write, swapping and defragmentation are made of. Host only.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/block.hpp>
#include <folio/executor.hpp>
#include <span>

namespace folio::ops {

/// Block copies: copies all bytes of each block `from` over its block `to`, within one pool or from one to another.
///
/// `from_pool` and `to_pool` are the addresses of block 0; `block_bytes` is the same in both. The copies are
/// independent: no block is both a target and named again. Cost: memory bandwidth; one memcpy per block. Shared over
/// `threads`.
inline void copy_blocks(std::byte const* from_pool, std::byte* to_pool, std::int64_t block_bytes,
                        std::span<BlockCopy const> copies, Executor threads = {}) {
  parallel_for(threads, static_cast<std::int64_t>(copies.size()), [&](std::int64_t i) {
    BlockCopy const& copy = copies[static_cast<std::size_t>(i)];
    std::memcpy(to_pool + to_int(copy.to) * block_bytes, from_pool + to_int(copy.from) * block_bytes,
                static_cast<std::size_t>(block_bytes));
  });
}

}  // namespace folio::ops
