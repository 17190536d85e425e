// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <folio/allocator/allocator.hpp>
#include <folio/error.hpp>
#include <functional>
#include <string>
#include <utility>

namespace folio {

/// Allocator adaptor over two functions: how an RMM resource, a cuda::mr resource or an engine's own arena becomes an
/// allocator.
///
///   FunctionAllocator<Accessibility::device> from([&](std::size_t bytes, std::size_t) { return rmm.allocate(stream,
///   bytes); },
///                                         [&](void* p, std::size_t bytes) { rmm.deallocate(stream, p, bytes); });
///
/// `allocate(bytes, alignment)` returns memory at a multiple of `alignment`, or null or throws when there is none;
/// `deallocate(pointer, bytes)` must not throw. Each is called once for each layer group of a cache. `R` says who can
/// read the memory. The functions are kept with the cache: what they refer to must outlive it.
template <Accessibility R>
class FunctionAllocator {
 public:
  static constexpr char const* name = "functions";
  static constexpr Accessibility accessibility = R;

  FunctionAllocator(std::function<void*(std::size_t, std::size_t)> allocate,
                    std::function<void(void*, std::size_t)> deallocate)
      : allocate_(std::move(allocate)), deallocate_(std::move(deallocate)) {}

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    void* const pointer =
        bytes > 0 ? allocate_(static_cast<std::size_t>(bytes), static_cast<std::size_t>(alignment)) : nullptr;
    if (pointer == nullptr) throw OutOfMemory(name, bytes, "the function that was given returned no memory");
    if (reinterpret_cast<std::uintptr_t>(pointer) % static_cast<std::uintptr_t>(alignment) != 0) {
      deallocate(static_cast<std::byte*>(pointer), bytes);
      throw OutOfMemory(
          name, bytes,
          "the function that was given returned memory that is not aligned to " + std::to_string(alignment) + " bytes");
    }
    return static_cast<std::byte*>(pointer);
  }

  void deallocate(std::byte* pointer, std::int64_t bytes) noexcept {
    if (pointer != nullptr) deallocate_(pointer, static_cast<std::size_t>(bytes));
  }

 private:
  std::function<void*(std::size_t, std::size_t)> allocate_;
  std::function<void(void*, std::size_t)> deallocate_;
};
static_assert(AllocatorPolicy<FunctionAllocator<Accessibility::host>>);

}  // namespace folio
