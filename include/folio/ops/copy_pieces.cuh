// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Copies pieces of memory on a stream, by one kernel or by the copy engines for many pieces at once.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <folio/kernels/launch.cuh>
#include <folio/ops/copy_pieces.hpp>
#include <span>
#include <string>

namespace folio::ops {

/// From this size on a piece is moved by the GPU's copy engines, which leave its cores to others; below, by a kernel
/// that reads or writes the host's memory, because each copy costs the engines some microseconds. An estimate, to be
/// tuned on a GPU.
inline constexpr std::int64_t copy_engine_bytes = 65536;

/// Pieces that go in one launch or one call at the most.
inline constexpr std::size_t max_pieces = 160;

/// 16 bytes, copied by one load and one store.
struct alignas(16) Chunk {
  std::uint32_t words[4];
};

/// The pieces of one launch, as a kernel's parameter: they need no device memory, and no upload before the launch.
struct PieceBatch {
  struct Entry {
    std::byte const* from;
    std::byte* to;
    std::int64_t chunks;
  };
  std::int32_t size = 0;
  Entry entries[max_pieces];  ///< 3.8 KB, where all parameters of a kernel may have 4 KB
};

/// Kernel. Copies each piece of `batch`, all at the same time: nothing that one writes is read or written by another.
///
/// Grid: (any, any); y walks over the pieces, x over the bytes of one. Traffic: each byte is read and written once, in
/// 16-byte accesses that neighbours join.
template <class Unit = Chunk>  // a template, because a kernel in a header must be one
__global__ void copy_pieces_kernel(__grid_constant__ PieceBatch const batch) {
  for (auto i = static_cast<std::int32_t>(blockIdx.y); i < batch.size; i += static_cast<std::int32_t>(gridDim.y)) {
    auto const* const source = aligned_cast<Unit const>(batch.entries[i].from);
    auto* const target = aligned_cast<Unit>(batch.entries[i].to);
    for (std::int64_t c = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; c < batch.entries[i].chunks;
         c += std::int64_t{gridDim.x} * blockDim.x)
      target[c] = source[c];
  }
}

namespace detail {

/// A set of up to max_pieces addresses. Open addressing, at most half full.
class AddressSet {
 public:
  explicit AddressSet(std::size_t most) : size_(std::bit_ceil(2 * most + 2)) { std::fill_n(places_, size_, nullptr); }

  [[nodiscard]] bool contains(std::byte const* address) const { return places_[find(address)] != nullptr; }
  void insert(std::byte const* address) { places_[find(address)] = address; }

 private:
  /// The place of the address, or the free one that it would get.
  [[nodiscard]] std::size_t find(std::byte const* address) const {
    // Fibonacci hashing: addresses that are regular spread as well as random ones.
    std::uint64_t const hash = reinterpret_cast<std::uintptr_t>(address) * std::uint64_t{0x9E3779B97F4A7C15};
    auto place = static_cast<std::size_t>(hash >> 32) & (size_ - 1);
    while (places_[place] != nullptr && places_[place] != address) place = (place + 1) & (size_ - 1);
    return place;
  }

  std::size_t size_;
  std::byte const* places_[std::bit_ceil(2 * max_pieces + 2)];
};

}  // namespace detail

/// How many of the first pieces can be copied at the same time and come to what they come to one after another: none of
/// them writes what an earlier one reads or writes, or reads what an earlier one writes. At least 1, unless there are
/// none, and at most max_pieces. Pieces that share memory begin at the same address. Cost: some 10 ns for each piece.
[[nodiscard]] inline std::size_t next_independent_run(std::span<CopyPiece const> pieces) {
  std::size_t const most = std::min(pieces.size(), max_pieces);
  detail::AddressSet read(most), written(most);
  for (std::size_t n = 0; n < most; ++n) {
    CopyPiece const& piece = pieces[n];
    if (written.contains(piece.to) || written.contains(piece.from) || read.contains(piece.to)) return n;
    read.insert(piece.from);
    written.insert(piece.to);
  }
  return most;
}

namespace detail {

/// Pieces of memory to copy, in CUDA's types.
struct CopyList {
  void *to[max_pieces], *from[max_pieces];
  std::size_t bytes[max_pieces];
  std::size_t size = 0;

  /// Pieces that adjoin on both sides are one.
  void add(CopyPiece const& piece) {
    auto* const source = const_cast<std::byte*>(piece.from);
    bool const adjoins = size > 0 && static_cast<std::byte*>(from[size - 1]) + bytes[size - 1] == source &&
                         static_cast<std::byte*>(to[size - 1]) + bytes[size - 1] == piece.to;
    if (!adjoins) {
      to[size] = piece.to;
      from[size] = source;
      bytes[size++] = 0;
    }
    bytes[size - 1] += static_cast<std::size_t>(piece.bytes);
  }
};

[[nodiscard]] inline bool is_legacy_stream(cudaStream_t stream) {
#if defined(CUDA_API_PER_THREAD_DEFAULT_STREAM)
  return stream == cudaStreamLegacy;
#else
  return stream == nullptr || stream == cudaStreamLegacy;
#endif
}

/// Gives all pieces to CUDA in one call. False where that is not possible: an older toolkit or driver, the legacy
/// stream, a stream that is captured into a graph, or whatever CUDA finds against it. Pieces that were copied all the
/// same may be copied again.
[[nodiscard]] inline bool copy_as_batch(CopyList& list, cudaStream_t stream) {
#if CUDART_VERSION >= 12080
  if (is_legacy_stream(stream)) return false;
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream, &capture), "asking whether a stream is captured");
  if (capture != cudaStreamCaptureStatusNone) return false;
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  attributes.flags = cudaMemcpyFlagPreferOverlapWithCompute;
  std::size_t first = 0;
#if CUDART_VERSION >= 13000
  cudaError_t const code =
      cudaMemcpyBatchAsync(list.to, list.from, list.bytes, list.size, &attributes, &first, 1, stream);
#else
  std::size_t failed = 0;
  cudaError_t const code =
      cudaMemcpyBatchAsync(list.to, list.from, list.bytes, list.size, &attributes, &first, 1, &failed, stream);
#endif
  if (code != cudaSuccess) static_cast<void>(cudaGetLastError());  // the copies one by one tell what is wrong
  return code == cudaSuccess;
#else
  static_cast<void>(list);
  static_cast<void>(stream);
  return false;
#endif
}

inline void check_bytes(std::int64_t bytes) {
  if (bytes <= 0 || bytes % static_cast<std::int64_t>(sizeof(Chunk)) != 0)
    throw Error("folio: a block, or another piece of memory to copy, has a positive multiple of 16 bytes, not " +
                std::to_string(bytes));
}

/// Copies up to max_pieces pieces that are independent. After an error it may be called again with the same.
inline void copy_run(std::span<CopyPiece const> pieces, cudaStream_t stream) {
  PieceBatch batch;
  CopyList list;
  std::int64_t longest = 0;
  for (CopyPiece const& piece : pieces) {
    if (!piece.by_kernel && piece.bytes >= copy_engine_bytes) {
      list.add(piece);
      continue;
    }
    batch.entries[batch.size++] = {piece.from, piece.to, piece.bytes / static_cast<std::int64_t>(sizeof(Chunk))};
    longest = std::max(longest, piece.bytes / static_cast<std::int64_t>(sizeof(Chunk)));
  }
  if (batch.size > 0)
    launch(copy_pieces_kernel<>, dim3(std::min(grid_for(longest), 64U), static_cast<unsigned>(batch.size)), 256, 0,
           stream, batch);
  if (list.size > 0 && !copy_as_batch(list, stream))
    for (std::size_t i = 0; i < list.size; ++i)
      check_cuda(cudaMemcpyAsync(list.to[i], list.from[i], list.bytes[i], cudaMemcpyDefault, stream),
                 "copying a piece");
}

}  // namespace detail

/// ops::copy_pieces on the device, on `stream`, also where it is being captured into a graph. Asynchronous: the pieces
/// are memory that the device reads and writes (device, managed, or pinned), the list is the host's and is not needed
/// any more when the call returns.
///
/// Pieces keep their order, where those that share memory begin at the same address. Each run of independent ones, at
/// most max_pieces, takes a launch for those below copy_engine_bytes and those that are to go `by_kernel`, and one
/// cudaMemcpyBatchAsync for the others (CUDA 12.8 or newer, outside of graph captures and of the legacy stream; else a
/// copy each, those that adjoin joined). Takes no host memory.
/// Throws Error, before anything is copied, for pieces of no positive multiple of 16 bytes or that do not begin at such
/// a multiple; CudaError when CUDA refuses a copy: those of earlier runs then happen.
inline void copy_pieces(std::span<CopyPiece const> pieces, cudaStream_t stream) {
  for (CopyPiece const& piece : pieces) {
    detail::check_bytes(piece.bytes);
    check_aligned(piece.from, "a piece of memory to copy");
    check_aligned(piece.to, "where a piece of memory is copied to");
  }
  while (!pieces.empty()) {
    std::size_t const run = next_independent_run(pieces);
    detail::copy_run(pieces.first(run), stream);
    pieces = pieces.subspan(run);
  }
}

}  // namespace folio::ops
