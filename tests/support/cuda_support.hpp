// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What tests of device memory share. All of it is CUDA, so that they run on a GPU as in the stand-in for its runtime.
// Tests that steer the stand-in, or ask what it counted, have the tag [stand_in]: a run on a GPU leaves them out.

#include "simt/runner.hpp"
//
#include <cstddef>
#include <folio/cuda_runtime.cuh>
#include <folio/kernels/launch.cuh>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "simt/streams.hpp"
#include "support/catch.hpp"

namespace folio::test {

/// A stream that is ordered with no other one, the default stream included.
class CudaStream {
 public:
  CudaStream() { folio::check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream"); }
  CudaStream(CudaStream const&) = delete;
  CudaStream& operator=(CudaStream const&) = delete;
  ~CudaStream() { cudaStreamDestroy(stream_); }

  operator cudaStream_t() const { return stream_; }  // NOLINT(google-explicit-constructor): stands for a cudaStream_t
  void wait() const { folio::check_cuda(cudaStreamSynchronize(stream_), "waiting for a stream"); }

 private:
  cudaStream_t stream_ = nullptr;
};

inline void wait_for_device() { folio::check_cuda(cudaDeviceSynchronize(), "waiting for the device"); }

/// For folio::test::allocator_suite: bytes that only the device touches.
struct DeviceAccess {
  static constexpr std::int64_t largest_alignment = 256;

  static void fill(std::byte* memory, int value, std::int64_t bytes) {
    folio::check_cuda(cudaMemset(memory, value, static_cast<std::size_t>(bytes)), "a fill");
    wait_for_device();
  }
  static void read(std::byte const* memory, std::span<std::byte> to) {
    folio::check_cuda(cudaMemcpy(to.data(), memory, to.size(), cudaMemcpyDefault), "a copy to the host");
  }
};

/// Kernel. Adds `n` to each of `size` bytes of memory: for tests that see whether the device can touch it.
template <class Byte = unsigned char>
__global__ void add_kernel(Byte* memory, std::int64_t size, int n) {
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < size;
       i += std::int64_t{gridDim.x} * blockDim.x)
    memory[i] = static_cast<Byte>(memory[i] + n);
}

/// Adds n to each of `size` bytes on the device.
inline void add(std::byte* memory, std::int64_t size, int n, cudaStream_t stream) {
  folio::ops::launch(add_kernel<>, 2, 64, 0, stream, reinterpret_cast<unsigned char*>(memory), size, n);
}

inline std::byte first_byte(std::byte const* memory) {
  std::byte byte{};
  DeviceAccess::read(memory, {&byte, 1});
  return byte;
}

/// What the error of `f` says; fails the test when there is none.
template <class ErrorType, class F>
std::string error_of(F const& f) {
  try {
    f();
  } catch (ErrorType const& error) {
    return error.what();
  }
  FAIL("nothing was thrown");
  return {};
}

/// What the stand-in says was never freed, once the device has done all its work. Nothing on a GPU.
inline std::vector<std::string> leaks() {
  wait_for_device();
  return simt::leaks();
}

}  // namespace folio::test
