// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where do a block's bytes come from? The contract of allocators. Host only.

#include <concepts>
#include <cstddef>
#include <cstdint>

namespace folio {

/// Memory accessibility: who can read an allocator's memory. The host's operations need the host, kernels need the
/// device.
enum class Accessibility : std::uint8_t { host = 1, device = 2, both = 3 };

namespace detail {

/// Meant as an allocator, whether it is one or not.
template <class A>
concept gives_memory = requires(A& a, std::int64_t bytes) {
  { a.allocate(bytes, bytes) } -> std::same_as<std::byte*>;
};

}  // namespace detail

/// Allocator of pools: where do a block's bytes come from? Asked once for each layer group when the cache is made,
/// never while it runs.
///
/// `allocate(bytes, alignment)`: at least `bytes` > 0 bytes at a multiple of `alignment` (a power of two), or throws
/// OutOfMemory. The bytes may be uncommitted until they are touched. `deallocate(pointer, bytes)` takes them back.
/// `accessibility`, a static constant, says who can read them.
template <class A>
concept AllocatorPolicy =  //
    std::movable<A> && requires {
  requires std::same_as<decltype(A::name), char const* const>;
  requires std::same_as<decltype(A::accessibility), Accessibility const>;
} && requires(A& a, std::int64_t bytes, std::int64_t alignment) {
  { a.allocate(bytes, alignment) } -> std::same_as<std::byte*>;
} && requires(A& a, std::byte* pointer, std::int64_t bytes) {
  { a.deallocate(pointer, bytes) }
  noexcept->std::same_as<void>;
};

/// Whether the host can read the blocks: what its operations need.
template <class A>
inline constexpr bool host_can_read = A::accessibility != Accessibility::device;
/// Whether the device can read the blocks: what kernels and DeviceBatch need.
template <class A>
inline constexpr bool device_can_read = A::accessibility != Accessibility::host;

/// Resizable allocator: it can make memory which it gave larger or smaller without moving it. `resize` throws
/// OutOfMemory, and changes nothing, when there is not enough.
template <class A>
concept ResizableAllocator =  //
    AllocatorPolicy<A> && requires(A& a, std::byte* pointer, std::int64_t bytes) {
  { a.resize(pointer, bytes, bytes) } -> std::same_as<void>;
};

}  // namespace folio
