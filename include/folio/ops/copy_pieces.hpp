// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies pieces of memory, each from anywhere to anywhere: what moves of blocks between pools and tiers are made of.
// Host only.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <folio/executor.hpp>
#include <span>

namespace folio::ops {

/// Copy piece: a piece of memory to copy.
struct CopyPiece {
  std::byte const* from = nullptr;
  std::byte* to = nullptr;
  std::int64_t bytes = 0;
  /// Device: copied by a kernel, however large: for copies from device memory to device memory.
  bool by_kernel = false;
};

/// Batch copy: copies all bytes of each piece.
///
/// The pieces are independent: nothing that one writes is read or written by another. Cost: memory bandwidth; one
/// memcpy for each piece. Shared over `threads`.
inline void copy_pieces(std::span<CopyPiece const> pieces, Executor threads = {}) {
  parallel_for(threads, static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
    CopyPiece const& piece = pieces[static_cast<std::size_t>(i)];
    if (piece.bytes > 0) std::memcpy(piece.to, piece.from, static_cast<std::size_t>(piece.bytes));
  });
}

}  // namespace folio::ops
