// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <folio/allocator/allocator.hpp>
#include <folio/cuda_runtime.cuh>

namespace folio {

/// Managed (unified) memory, whose pages move between the host and a GPU, to whoever touches them.
///
/// Host and device read it; on GPUs without concurrent managed access never both at a time. A cache may be larger than
/// the GPU: what does not fit stays on the host and moves when it is touched, a page fault each. `preferred` says where
/// pages lie when nobody pulls: a device, or `host`. The whole of an allocation is sent there at once on `stream`, as
/// far as the machine can, so that the first step does not pay for it. Throws OutOfMemory, CudaError.
/// Choose DeviceAllocator where the cache fits.
class ManagedAllocator {
 public:
  static constexpr char const* name = "managed";
  static constexpr Accessibility accessibility = Accessibility::both;
  static constexpr int host = -1;
  static constexpr int current_device = -2;

  explicit ManagedAllocator(int preferred = current_device, cudaStream_t stream = nullptr)
      : preferred_(preferred), stream_(stream) {
    if (preferred_ == current_device) check_cuda(cudaGetDevice(&preferred_), "asking for the current device");
  }

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    if (bytes <= 0 || alignment > max_alignment)
      throw OutOfMemory(name, bytes, "asked for no bytes or for an alignment over 256");
    void* pointer = nullptr;
    cudaError_t const code = cudaMallocManaged(&pointer, static_cast<std::size_t>(bytes), cudaMemAttachGlobal);
    if (code == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw OutOfMemory(name, bytes, "host and GPU have not that much memory together");
    }
    check_cuda(code, "allocating managed memory");
    try {
      advise(static_cast<std::byte*>(pointer), bytes);
    } catch (...) {
      cudaFree(pointer);
      throw;
    }
    return static_cast<std::byte*>(pointer);
  }

  void deallocate(std::byte* pointer, std::int64_t) noexcept {
    if (pointer != nullptr) cudaFree(pointer);
  }

  /// Sends pages ahead of the work that will touch them: to `preferred`, on `stream`. A hint: nothing fails without it.
  void prefetch(std::byte* pointer, std::int64_t bytes, cudaStream_t stream) const {
    if (!can_be_advised()) return;
#if CUDART_VERSION >= 13000
    check_cuda(cudaMemPrefetchAsync(pointer, static_cast<std::size_t>(bytes), location(), 0, stream), "a prefetch");
#else
    int const to = preferred_ == host ? cudaCpuDeviceId : preferred_;
    check_cuda(cudaMemPrefetchAsync(pointer, static_cast<std::size_t>(bytes), to, stream), "a prefetch");
#endif
  }

 private:
  static constexpr std::int64_t max_alignment = 256;

  /// Whether the system moves pages on demand. Elsewhere (Windows, some virtual machines) advice is an error.
  [[nodiscard]] bool can_be_advised() const {
    int device = preferred_, can = 0;
    if (device == host) check_cuda(cudaGetDevice(&device), "asking for the current device");
    check_cuda(cudaDeviceGetAttribute(&can, cudaDevAttrConcurrentManagedAccess, device), "asking for managed memory");
    return can != 0;
  }

#if CUDART_VERSION >= 13000
  [[nodiscard]] cudaMemLocation location() const {
    cudaMemLocation place{};
    place.type = preferred_ == host ? cudaMemLocationTypeHost : cudaMemLocationTypeDevice;
    place.id = preferred_ == host ? 0 : preferred_;
    return place;
  }
#endif

  void advise(std::byte* pointer, std::int64_t bytes) const {
    if (!can_be_advised()) return;
    auto const size = static_cast<std::size_t>(bytes);
#if CUDART_VERSION >= 13000
    check_cuda(cudaMemAdvise(pointer, size, cudaMemAdviseSetPreferredLocation, location()), "advice on memory");
#else
    int const to = preferred_ == host ? cudaCpuDeviceId : preferred_;
    check_cuda(cudaMemAdvise(pointer, size, cudaMemAdviseSetPreferredLocation, to), "advice on memory");
#endif
    prefetch(pointer, bytes, stream_);
  }

  int preferred_;
  cudaStream_t stream_;
};
static_assert(AllocatorPolicy<ManagedAllocator>);

}  // namespace folio
