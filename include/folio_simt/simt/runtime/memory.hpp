// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the runner tells the memory. There are two memories to link: the heap (heap.cpp), which ignores all of this and
// leaves the checks to the address sanitizer, and the shadow memory (arena.cpp, shadow.cpp, instrumentation.cpp).

#include <cstddef>
#include <cstdint>
#include <string>

#include "simt/detail.hpp"

namespace simt::detail {

/// Like allocate, but the bytes are not touched, so that a large range costs nothing.
std::byte* reserve_memory(std::size_t bytes, std::string name);
/// From now on instrumented code of the host that touches an allocation ends the program, as a GPU's memory would, but
/// while `host_touches_device_memory`. The shadow memory alone does this.
void keep_from_host(std::byte const* memory);
inline bool volatile host_touches_device_memory = false;  // volatile: memset and its like read it

/// The dynamic shared memory of a launch. Its bytes are 0xff when a block begins.
std::byte* allocate_shared(std::size_t bytes);

void memory_launch_begins();
/// The block whose number in the grid is `block`.
void memory_block_begins(std::uint64_t block);
/// Fails when the launch was not instrumented although its accesses should be checked.
void memory_block_ends();

/// All threads of the block have met: what they did before comes before what they do next.
void memory_barrier();
/// The same for the `lanes` of a warp.
void memory_warp_barrier(int warp, std::uint32_t lanes);
/// The calling thread is about to access memory atomically; `changes`: not only to read it.
void memory_atomic(void const* address, std::size_t bytes, bool changes);
void memory_fence(Scope scope);

}  // namespace simt::detail
