// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the tests of the stand-in for the CUDA runtime begin with.

#include <cuda_runtime.h>

#include <functional>

#include "simt/streams.hpp"
#include "support/catch.hpp"

namespace {

constexpr int size = 64;
constexpr std::size_t num_bytes = size * sizeof(int);

__global__ void add_kernel(int const* in, int* out, int n) {
  unsigned const i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = in[i] + n;
}

inline cudaError_t add(int const* in, int* out, int n, cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = 2;
  config.blockDim = size / 2;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, add_kernel, in, out, n);
}

/// Two streams, an event, two device arrays of 64 zeros, and two pinned ones, which hold 0, 1, 2, ... and zeros.
struct Machine {
  explicit Machine(std::uint64_t seed) {
    REQUIRE(simt::leaks().empty());
    simt::streams(seed);
    for (auto* stream : {&a, &b}) REQUIRE(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
    for (auto* array : {&device, &device2}) {
      REQUIRE(cudaMalloc(array, num_bytes) == cudaSuccess);
      REQUIRE(cudaMemset(*array, 0, num_bytes) == cudaSuccess);
    }
    for (auto* array : {&pinned, &pinned2}) REQUIRE(cudaMallocHost(array, num_bytes) == cudaSuccess);
    for (int i = 0; i < size; ++i) pinned[i] = i, pinned2[i] = 0;
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    simt::streams(seed);
  }
  Machine(Machine const&) = delete;
  Machine& operator=(Machine const&) = delete;
  ~Machine() {
    cudaDeviceSynchronize();
    for (auto* array : {device, device2}) cudaFree(array);
    for (auto* array : {pinned, pinned2}) cudaFreeHost(array);
    for (auto* stream : {a, b}) cudaStreamDestroy(stream);
    cudaEventDestroy(event);
  }
  [[nodiscard]] bool holds(int const* array, int first) const {
    for (int i = 0; i < size; ++i)
      if (array[i] != first + i) return false;
    return true;
  }

  cudaStream_t a = nullptr, b = nullptr;
  cudaEvent_t event = nullptr;
  int *device = nullptr, *device2 = nullptr, *pinned = nullptr, *pinned2 = nullptr;
};

inline cudaError_t upload(int* to, int const* from, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, num_bytes, cudaMemcpyHostToDevice, stream);
}
inline cudaError_t download(int* to, int const* from, cudaStream_t stream) {
  return cudaMemcpyAsync(to, from, num_bytes, cudaMemcpyDeviceToHost, stream);
}

/// How many of 20 orders give what is right.
inline int num_right(std::function<bool(Machine&)> const& program) {
  int right = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Machine machine(seed);
    if (program(machine)) ++right;
  }
  return right;
}

}  // namespace
