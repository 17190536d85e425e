// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Pools whose blocks are numbers, for tests of what moves blocks on the device.

#include "support/cuda_support.hpp"
//
#include <algorithm>
#include <folio/block.hpp>
#include <random>
#include <span>
#include <vector>

#include "support/random.hpp"

namespace folio::test {

inline BlockCopy copy(std::int32_t from, std::int32_t to) { return {BlockId{from}, BlockId{to}}; }

inline std::vector<BlockCopy> random_copies(std::mt19937& random, std::int32_t n, std::int32_t num_blocks) {
  std::vector<BlockCopy> copies;
  for (std::int32_t i = 0; i < n; ++i) copies.push_back(copy(below(random, num_blocks), below(random, num_blocks)));
  return copies;
}

/// What `copies` make of pools whose blocks are numbers, one after another.
inline void copy_in_order(std::vector<int> const& from, std::vector<int>& to, std::span<BlockCopy const> copies) {
  for (BlockCopy const& c : copies)
    to[static_cast<std::size_t>(to_int(c.to))] = from[static_cast<std::size_t>(to_int(c.from))];
}

enum class Memory { device, pinned };

/// A pool of blocks in memory of the stand-in for CUDA, each filled with bytes that tell its number.
class Pool {
 public:
  Pool(Memory memory, std::int32_t num_blocks, std::int64_t block_bytes, int first_number)
      : memory_(memory), block_bytes_(block_bytes), bytes_(static_cast<std::size_t>(num_blocks * block_bytes)) {
    if (memory == Memory::device)
      check_cuda(cudaMalloc(&data_, bytes_), "cudaMalloc");
    else
      check_cuda(cudaMallocHost(&data_, bytes_), "cudaMallocHost");
    std::vector<std::byte> all(bytes_);
    for (std::size_t i = 0; i < bytes_; ++i)
      all[i] = static_cast<std::byte>(first_number + static_cast<int>(i) / static_cast<int>(block_bytes));
    check_cuda(cudaMemcpy(data_, all.data(), bytes_, cudaMemcpyDefault), "filling a pool");
  }
  Pool(Pool const&) = delete;
  Pool& operator=(Pool const&) = delete;
  ~Pool() { memory_ == Memory::device ? cudaFree(data_) : cudaFreeHost(data_); }

  [[nodiscard]] std::byte* data() const { return data_; }
  /// What each block is filled with; -1 where it is mixed. Waits for the device.
  [[nodiscard]] std::vector<int> numbers() const {
    check_cuda(cudaDeviceSynchronize(), "waiting");
    std::vector<std::byte> all(bytes_);
    check_cuda(cudaMemcpy(all.data(), data_, bytes_, cudaMemcpyDefault), "reading a pool");
    std::vector<int> numbers;
    for (auto i = all.begin(); i != all.end(); i += block_bytes_)
      numbers.push_back(std::all_of(i, i + block_bytes_, [&](std::byte b) { return b == *i; }) ? int(*i) : -1);
    return numbers;
  }

 private:
  Memory memory_;
  std::int64_t block_bytes_;
  std::size_t bytes_;
  std::byte* data_ = nullptr;
};

}  // namespace folio::test
