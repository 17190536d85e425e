// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <folio/allocator/allocator.hpp>
#include <folio/error.hpp>

namespace folio {

/// Host memory: ordinary aligned memory from the C library.
///
/// Host only, thread-safe, works everywhere. Large requests are uncommitted: the operating system gives a page when it
/// is first touched, so a large cache costs what it uses. Throws OutOfMemory with the bytes asked for.
/// The default. Choose HugePageAllocator for caches of gigabytes, NumaAllocator on machines with several sockets.
struct HostAllocator {
  static constexpr char const* name = "host";
  static constexpr Accessibility accessibility = Accessibility::host;

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    auto const size = (static_cast<std::size_t>(bytes) + static_cast<std::size_t>(alignment) - 1) /
                      static_cast<std::size_t>(alignment) * static_cast<std::size_t>(alignment);
    void* const pointer = bytes > 0 ? std::aligned_alloc(static_cast<std::size_t>(alignment), size) : nullptr;
    if (pointer == nullptr) throw OutOfMemory(name, bytes, "the machine has not that much free memory");
    return static_cast<std::byte*>(pointer);
  }

  void deallocate(std::byte* pointer, std::int64_t) noexcept { std::free(pointer); }
};
static_assert(AllocatorPolicy<HostAllocator>);

}  // namespace folio
