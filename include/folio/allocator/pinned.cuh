// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <folio/allocator/allocator.hpp>
#include <folio/cuda_runtime.cuh>

namespace folio {

/// Pinned (page-locked) memory: host memory that stays in place, so that GPUs copy from and to it without help, and
/// kernels may read it over the bus.
///
/// Host and device read it, at the same address. Asynchronous copies need it: it is where swapped blocks go, and what
/// uploads go through. It is taken from what the operating system can page, so take what is needed and no more; taking
/// and giving back are slow and wait for the device. Thread-safe. Throws OutOfMemory.
struct PinnedAllocator {
  static constexpr char const* name = "pinned";
  static constexpr Accessibility accessibility = Accessibility::both;

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    if (bytes <= 0 || alignment > max_alignment)
      throw OutOfMemory(name, bytes, "asked for no bytes or for an alignment over 256");
    void* pointer = nullptr;
    cudaError_t const code = cudaHostAlloc(&pointer, static_cast<std::size_t>(bytes), cudaHostAllocPortable);
    if (code == cudaErrorMemoryAllocation || code == cudaErrorInvalidValue) {
      static_cast<void>(cudaGetLastError());
      throw OutOfMemory(name, bytes, "the machine has not that much memory that it can pin");
    }
    check_cuda(code, "allocating pinned memory");
    return static_cast<std::byte*>(pointer);
  }

  void deallocate(std::byte* pointer, std::int64_t) noexcept {
    if (pointer != nullptr) cudaFreeHost(pointer);
  }

 private:
  static constexpr std::int64_t max_alignment = 256;  // bytes: small allocations share a page
};
static_assert(AllocatorPolicy<PinnedAllocator>);

}  // namespace folio
