// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Memory without checks of our own: the heap, so that the address sanitizer, where it is on, sees what lies beyond a
// buffer.
#include <algorithm>
#include <new>
#include <utility>

#include "asan.hpp"
#include "block.hpp"
#include "memory.hpp"

#if defined(SIMT_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace simt {
namespace {

constexpr std::align_val_t alignment{256};
constexpr int fresh = 0xff;

}  // namespace

std::byte* allocate(std::size_t bytes, std::string name, std::size_t) {
  std::byte* const memory = detail::reserve_memory(bytes, std::move(name));
  std::fill_n(memory, bytes, std::byte{fresh});
  return memory;
}

void deallocate(std::byte* memory) noexcept {
  if (memory != nullptr) ::operator delete(memory, alignment);
}

#if defined(SIMT_ASAN)
void forbid(void const* memory, std::size_t bytes) { __asan_poison_memory_region(memory, bytes); }
void allow(void const* memory, std::size_t bytes) { __asan_unpoison_memory_region(memory, bytes); }
#else
void forbid(void const*, std::size_t) {}
void allow(void const*, std::size_t) {}
#endif

bool checks_memory() noexcept { return false; }
std::uint64_t num_checked_accesses() noexcept { return 0; }

namespace detail {

std::byte* reserve_memory(std::size_t bytes, std::string) {
  return static_cast<std::byte*>(::operator new(bytes, alignment));
}
void keep_from_host(std::byte const*) {}
std::byte* allocate_shared(std::size_t bytes) { return allocate(bytes, "shared memory", 1); }
void memory_launch_begins() {}
void memory_block_begins(std::uint64_t) { std::fill_n(runner.shared, runner.plan->shared_bytes, std::byte{fresh}); }
void memory_block_ends() {}
void memory_barrier() {}
void memory_warp_barrier(int, std::uint32_t) {}
void memory_atomic(void const*, std::size_t, bool) {}
void memory_fence(Scope) {}

}  // namespace detail
}  // namespace simt
