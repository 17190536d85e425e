// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <folio/allocator/allocator.hpp>
#include <folio/cuda_runtime.cuh>
#include <memory>

namespace folio {

/// Device memory: that of one GPU, from a stream-ordered pool of its own.
///
/// Only the device reads it. Given back in the order of `stream`, without waiting: the bytes of a cache that goes are
/// used again only after the work that was launched on that stream before. What other streams still read must be made
/// to come before by the caller. `stream` should exist as long as the memory does: where CUDA says that it does not,
/// giving back waits for the device instead. Taking memory waits for `stream`, so that any stream may use it then. The
/// pool keeps what was given back for the next cache, until the allocator and all its copies are gone. Throws
/// OutOfMemory when the GPU has not enough, CudaError for a device that does not exist. The choice for a GPU.
/// VirtualAllocator can grow, ManagedAllocator can hold more than the GPU.
class DeviceAllocator {
 public:
  static constexpr char const* name = "device";
  static constexpr Accessibility accessibility = Accessibility::device;

  /// On `device`, or the current one.
  explicit DeviceAllocator(cudaStream_t stream = nullptr, int device = current_device) : stream_(stream) {
    if (device == current_device) check_cuda(cudaGetDevice(&device), "asking for the current device");
    cudaMemPoolProps properties{};
    properties.allocType = cudaMemAllocationTypePinned;
    properties.location.type = cudaMemLocationTypeDevice;
    properties.location.id = device;
    cudaMemPool_t pool = nullptr;
    check_cuda(cudaMemPoolCreate(&pool, &properties), "making a memory pool");
    pool_ = std::shared_ptr<cudaMemPool_t>(new cudaMemPool_t(pool), [](cudaMemPool_t* p) {
      cudaMemPoolDestroy(*p);
      delete p;
    });
    std::uint64_t keep = UINT64_MAX;  // by itself a pool gives back to the system whenever something is waited for
    check_cuda(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &keep), "setting up a memory pool");
  }

  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    if (bytes <= 0 || alignment > max_alignment)
      throw OutOfMemory(name, bytes, "asked for no bytes or for an alignment over 256");
    void* pointer = nullptr;
    cudaError_t const code = cudaMallocFromPoolAsync(&pointer, static_cast<std::size_t>(bytes), *pool_, stream_);
    if (code == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw OutOfMemory(name, bytes, "the GPU has not that much free memory");
    }
    check_cuda(code, "allocating device memory");
    auto* const memory = static_cast<std::byte*>(pointer);
    try {
      check_cuda(cudaStreamSynchronize(stream_), "waiting for device memory");
    } catch (...) {
      deallocate(memory, bytes);
      throw;
    }
    return memory;
  }

  void deallocate(std::byte* pointer, std::int64_t) noexcept {
    if (pointer == nullptr || cudaFreeAsync(pointer, stream_) == cudaSuccess) return;
    static_cast<void>(cudaGetLastError());
    cudaDeviceSynchronize();
    cudaFreeAsync(pointer, nullptr);
  }

 private:
  static constexpr int current_device = -1;
  static constexpr std::int64_t max_alignment = 256;  // bytes: what CUDA gives without being asked

  cudaStream_t stream_;
  std::shared_ptr<cudaMemPool_t> pool_;
};
static_assert(AllocatorPolicy<DeviceAllocator>);

}  // namespace folio
