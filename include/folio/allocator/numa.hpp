// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Needs libnuma. The CMake target folio::numa finds it, links it and defines FOLIO_NUMA; folio.hpp includes this header
// then.

#include <numa.h>

#include <folio/allocator/allocator.hpp>
#include <folio/error.hpp>
#include <string>

namespace folio {

/// NUMA placement: memory on one NUMA node, or spread page by page over all of them.
///
/// Host only. `NumaAllocator{node}` keeps a cache beside the cores that read it; `NumaAllocator{interleaved}` (the
/// default) spreads the load of threads on every socket. Throws Error for a node that does not exist or a machine
/// without NUMA support in its kernel, OutOfMemory when the node has not enough. Pages are given when first touched.
class NumaAllocator {
 public:
  static constexpr char const* name = "numa";
  static constexpr Accessibility accessibility = Accessibility::host;
  static constexpr int interleaved = -1;

  explicit NumaAllocator(int node = interleaved) : node_(node) {
    if (::numa_available() < 0)
      throw Error("folio: the numa allocator needs a kernel with NUMA support; use HostAllocator");
    if (node != interleaved && (node < 0 || node > ::numa_max_node()))
      throw Error("folio: NUMA node " + std::to_string(node) + " does not exist; nodes are 0 to " +
                  std::to_string(::numa_max_node()));
  }

  [[nodiscard]] int node() const noexcept { return node_; }

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    // libnuma gives whole pages; a larger alignment than a page is not to be had from it.
    if (bytes <= 0 || alignment > ::numa_pagesize())
      throw OutOfMemory(name, bytes, "asked for no bytes or for an alignment larger than a page");
    auto const size = static_cast<std::size_t>(bytes);
    void* const p = node_ == interleaved ? ::numa_alloc_interleaved(size) : ::numa_alloc_onnode(size, node_);
    if (p == nullptr) throw OutOfMemory(name, bytes, "the NUMA node has not that much free memory");
    return static_cast<std::byte*>(p);
  }

  void deallocate(std::byte* pointer, std::int64_t bytes) noexcept {
    if (pointer != nullptr) ::numa_free(pointer, static_cast<std::size_t>(bytes));
  }

 private:
  int node_;
};
static_assert(AllocatorPolicy<NumaAllocator>);

}  // namespace folio
