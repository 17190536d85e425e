// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Memory that kernels use until they have run, and pinned memory that is written anew for each step. Host code that
// calls CUDA.

#include <cstddef>
#include <cstdint>
#include <folio/allocator/pinned.cuh>
#include <folio/cuda_runtime.cuh>
#include <folio/error.hpp>
#include <memory>
#include <span>
#include <utility>

namespace folio::detail {

/// Device memory that no stream has a part in, so that it can be freed when all streams are gone. Small pieces share
/// what cudaMalloc takes from the device.
struct StreamlessAllocator {
  static std::byte* allocate(std::int64_t bytes, std::int64_t) {
    void* pointer = nullptr;
    cudaError_t const code = cudaMalloc(&pointer, static_cast<std::size_t>(bytes));
    if (code == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw OutOfMemory("device", bytes, "the GPU has not that much free memory");
    }
    check_cuda(code, "allocating device memory");
    return static_cast<std::byte*>(pointer);
  }
  static void deallocate(std::byte* pointer, std::int64_t) noexcept { cudaFree(pointer); }
};

/// Memory that goes with its owner, when the device has done its work: kernels that still run use it, on streams that
/// may be gone.
template <class Allocator>
class KernelMemory {
 public:
  KernelMemory() = default;
  explicit KernelMemory(std::int64_t bytes, Allocator allocator = {}) : bytes_(bytes) {
    std::byte* const begin = allocator.allocate(bytes, 64);
    memory_ = std::shared_ptr<std::byte>(begin, Free{std::move(allocator), bytes});
  }
  [[nodiscard]] std::byte* begin() const noexcept { return memory_.get(); }
  [[nodiscard]] std::int64_t bytes() const noexcept { return bytes_; }

 private:
  struct Free {
    void operator()(std::byte* pointer) noexcept {
      if (cudaDeviceSynchronize() != cudaSuccess) static_cast<void>(cudaGetLastError());  // the device is lost
      allocator.deallocate(pointer, bytes);
    }
    Allocator allocator;
    std::int64_t bytes;
  };
  std::shared_ptr<std::byte> memory_;
  std::int64_t bytes_ = 0;
};

/// Staging buffer: pinned memory that kernels read, written anew again and again. It is double: `begin` waits only
/// where what was launched for the buffer before the last has not run. Host only, one owner thread. Movable.
class StagedUpload {
 public:
  /// Two buffers of `bytes`. Throws OutOfMemory, CudaError.
  explicit StagedUpload(std::int64_t bytes) {
    for (Buffer& buffer : buffers_) buffer.memory = KernelMemory<PinnedAllocator>(bytes);
  }

  /// The memory to be written next. Throws CudaError.
  [[nodiscard]] std::span<std::byte> begin() const {
    Buffer const& buffer = buffers_[next_];
    if (buffer.used && !buffer.read.done()) buffer.read.wait();
    return {buffer.memory.begin(), static_cast<std::size_t>(buffer.memory.bytes())};
  }
  /// All that reads it has been launched on `stream`. Throws CudaError; the stream has done its work then.
  void end(cudaStream_t stream) {
    Buffer& buffer = buffers_[next_];
    try {
      buffer.read.record(stream);
    } catch (...) {
      cudaStreamSynchronize(stream);  // nothing else tells when the memory may be written again
      throw;
    }
    buffer.used = true;
    next_ = 1 - next_;
  }

 private:
  struct Buffer {
    KernelMemory<PinnedAllocator> memory;
    CudaEvent read;
    bool used = false;
  };
  Buffer buffers_[2];
  int next_ = 0;
};

}  // namespace folio::detail
