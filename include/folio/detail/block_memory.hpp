// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory of a cache's blocks: one allocation for each list. Host only.

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace folio {

/// Pool memory: the pools' bytes, from an allocator that it owns; given back when it goes. Neither copied nor moved.
template <class Allocator>
struct BlockMemory {
  /// Allocates bytes[l] bytes for each list l, aligned to `alignment`; of 0 bytes nothing. Throws what the allocator
  /// throws, and keeps nothing then.
  BlockMemory(Allocator a, std::vector<std::int64_t> const& bytes, std::int64_t alignment) : allocator(std::move(a)) {
    begins.reserve(bytes.size());  // so that nothing can fail between an allocation and its entry
    pool_bytes.reserve(bytes.size());
    try {
      for (std::int64_t const n : bytes) {
        begins.push_back(n > 0 ? allocator.allocate(n, alignment) : nullptr);
        pool_bytes.push_back(n);
      }
    } catch (...) {
      free_all();
      throw;
    }
  }
  BlockMemory(BlockMemory const&) = delete;
  BlockMemory& operator=(BlockMemory const&) = delete;
  ~BlockMemory() { free_all(); }

  void free_all() noexcept {
    for (std::size_t l = 0; l < begins.size(); ++l)
      if (begins[l] != nullptr) allocator.deallocate(begins[l], pool_bytes[l]);
  }

  Allocator allocator;
  std::vector<std::byte*> begins;        // by list
  std::vector<std::int64_t> pool_bytes;  // by list
};

}  // namespace folio
