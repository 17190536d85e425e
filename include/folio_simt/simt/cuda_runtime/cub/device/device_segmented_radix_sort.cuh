// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A stand-in for CUB's header of this name: the sort that the library calls, with CUB's signature and manners.

#include <cuda_runtime.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace cub {

// NOLINTBEGIN: CUB's names

/// Two buffers, of which one holds what is meant.
template <class T>
struct DoubleBuffer {
  T* d_buffers[2] = {nullptr, nullptr};
  int selector = 0;

  DoubleBuffer() = default;
  DoubleBuffer(T* current, T* alternate) : d_buffers{current, alternate} {}
  T* Current() { return d_buffers[selector]; }
  T* Alternate() { return d_buffers[selector ^ 1]; }
};

struct DeviceSegmentedRadixSort {
  /// Sorts each segment, highest first, keeping the order of keys that agree in bits [begin_bit, end_bit). Without
  /// temporary storage it only tells how much it needs. The result is always in the other buffer.
  template <class KeyT, class BeginOffsetIteratorT, class EndOffsetIteratorT>
  static cudaError_t SortKeysDescending(void* d_temp_storage, std::size_t& temp_storage_bytes,
                                        DoubleBuffer<KeyT>& d_keys, int num_items, int num_segments,
                                        BeginOffsetIteratorT d_begin_offsets, EndOffsetIteratorT d_end_offsets,
                                        int begin_bit = 0, int end_bit = sizeof(KeyT) * 8,
                                        cudaStream_t stream = nullptr);
};

// NOLINTEND

}  // namespace cub

namespace simt::detail {

/// What the sort does on the device: a kernel of one thread, so that its accesses are checked as those of others. All
/// of the temporary storage, and the keys that are not the result, hold garbage afterwards.
template <class Key, class Begins, class Ends>
__global__ void sort_segments(std::byte* temp, std::size_t temp_bytes, Key* keys, Key* sorted, int num_items,
                              int num_segments, Begins begins, Ends ends, int begin_bit, int end_bit) {
  for (std::size_t i = 0; i < temp_bytes; ++i) temp[i] = std::byte{0xCB};
  Key const mask =
      static_cast<Key>(static_cast<Key>(~Key{0}) >> (static_cast<int>(sizeof(Key)) * 8 - (end_bit - begin_bit)));
  auto const bits = [&](Key key) { return static_cast<Key>((key >> begin_bit) & mask); };
  for (int s = 0; s < num_segments; ++s) {
    auto const begin = begins[s], end = ends[s];
    if (end <= begin) continue;
    if (begin < 0 || end > num_items) __trap();  // a segment that is not among the items
    for (auto i = begin; i < end; ++i) {
      sorted[i] = keys[i];
      keys[i] = static_cast<Key>(0xCBCBCBCB);
    }
    std::stable_sort(sorted + begin, sorted + end, [&](Key a, Key b) { return bits(a) > bits(b); });
  }
}

}  // namespace simt::detail

// NOLINTNEXTLINE: CUB's names
template <class KeyT, class BeginOffsetIteratorT, class EndOffsetIteratorT>
cudaError_t cub::DeviceSegmentedRadixSort::SortKeysDescending(void* d_temp_storage, std::size_t& temp_storage_bytes,
                                                              DoubleBuffer<KeyT>& d_keys, int num_items,
                                                              int num_segments, BeginOffsetIteratorT d_begin_offsets,
                                                              EndOffsetIteratorT d_end_offsets, int begin_bit,
                                                              int end_bit, cudaStream_t stream) {
  static_assert(std::is_unsigned_v<KeyT>, "the stand-in sorts unsigned integers");
  auto const needed = static_cast<std::size_t>(num_segments) * 4 + 13;
  if (d_temp_storage == nullptr) {
    temp_storage_bytes = needed;
    return cudaSuccess;
  }
  if (temp_storage_bytes < needed || begin_bit < 0 || end_bit <= begin_bit || end_bit > int{sizeof(KeyT)} * 8)
    return cudaErrorInvalidValue;
  if (num_items == 0 || num_segments == 0) return cudaSuccess;
  cudaLaunchConfig_t config{};
  config.gridDim = config.blockDim = 1;
  config.stream = stream;
  auto* const temp = static_cast<std::byte*>(d_temp_storage);
  cudaError_t const code =
      cudaLaunchKernelEx(&config, simt::detail::sort_segments<KeyT, BeginOffsetIteratorT, EndOffsetIteratorT>, temp,
                         needed, d_keys.Current(), d_keys.Alternate(), num_items, num_segments, d_begin_offsets,
                         d_end_offsets, begin_bit, end_bit);
  if (code == cudaSuccess) d_keys.selector ^= 1;
  return code;
}
