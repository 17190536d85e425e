// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// The stand-in for the CUDA runtime: streams and events. That what is right works in any order, and that each mistake
// of a kind which a GPU forgives most of the time is seen.
#include "simt/stream_machine.hpp"

namespace {

__global__ void bad_kernel(int* out) { out[size + threadIdx.x] = 1; }

cudaError_t break_it(int* out, cudaStream_t stream) {
  cudaLaunchConfig_t config{};
  config.gridDim = 1;
  config.blockDim = 32;
  config.stream = stream;
  return cudaLaunchKernelEx(&config, bad_kernel, out);
}

}  // namespace

TEST_CASE("A stream runs what it is given in order, and not before somebody waits") {
  Machine m(0);
  REQUIRE(upload(m.device, m.pinned, m.a) == cudaSuccess);
  REQUIRE(add(m.device, m.device, 5, m.a) == cudaSuccess);
  REQUIRE(download(m.pinned2, m.device, m.a) == cudaSuccess);
  REQUIRE(m.pinned2[1] == 0);
  REQUIRE(cudaStreamSynchronize(m.a) == cudaSuccess);
  REQUIRE(m.holds(m.pinned2, 5));
  REQUIRE(simt::num_host_waits() == 1);
  REQUIRE(simt::num_copies_to_device() == 1);
  REQUIRE(simt::num_copies_to_host() == 1);
  REQUIRE(simt::num_launches() == 1);
  REQUIRE(simt::num_pageable_copies() == 0);
}

TEST_CASE("Events order streams, and nothing else does") {
  auto const program = [](Machine& m, bool waits) {
    upload(m.device, m.pinned, m.a);
    add(m.device, m.device, 5, m.a);
    cudaEventRecord(m.event, m.a);
    if (waits) cudaStreamWaitEvent(m.b, m.event);
    add(m.device, m.device2, 1, m.b);
    download(m.pinned2, m.device2, m.b);
    cudaStreamSynchronize(m.b);
    return m.holds(m.pinned2, 6);
  };
  REQUIRE(num_right([&](Machine& m) { return program(m, true); }) == 20);
  int const lucky = num_right([&](Machine& m) { return program(m, false); });
  REQUIRE(lucky > 0);  // on a GPU it would seem to work, too
  REQUIRE(lucky < 20);
}

TEST_CASE("A stream waits for the point at which an event was recorded, not for a later one") {
  REQUIRE(num_right([](Machine& m) {
            upload(m.device, m.pinned, m.a);
            cudaEventRecord(m.event, m.a);
            cudaStreamWaitEvent(m.b, m.event);
            cudaEventRecord(m.event, m.b);  // recorded again: the wait above is for the first
            cudaStreamWaitEvent(m.a, m.event);
            download(m.pinned2, m.device, m.b);
            return cudaDeviceSynchronize() == cudaSuccess && m.holds(m.pinned2, 0);
          }) == 20);
}

TEST_CASE("The legacy stream is ordered with the blocking ones, and with no other") {
  auto const program = [](Machine& m, unsigned flags) {
    cudaStream_t other = nullptr;
    cudaStreamCreateWithFlags(&other, flags);
    upload(m.device, m.pinned, other);
    add(m.device, m.device, 1, nullptr);
    add(m.device, m.device, 1, other);
    download(m.pinned2, m.device, cudaStreamLegacy);
    cudaStreamSynchronize(nullptr);
    bool const right = m.holds(m.pinned2, 2);
    cudaStreamDestroy(other);
    return right;
  };
  REQUIRE(num_right([&](Machine& m) { return program(m, cudaStreamDefault); }) == 20);
  REQUIRE(num_right([&](Machine& m) { return program(m, cudaStreamNonBlocking); }) < 20);
}

TEST_CASE("Pinned memory that is filled again before its copy ran, or read before its copy came, is seen") {
  auto const program = [](Machine& m, bool waits) {
    upload(m.device, m.pinned, m.a);
    cudaEventRecord(m.event, m.a);
    if (waits) cudaEventSynchronize(m.event);
    for (int i = 0; i < size; ++i) m.pinned[i] = 100 + i;
    upload(m.device2, m.pinned, m.a);
    download(m.pinned2, m.device, m.a);
    cudaStreamSynchronize(m.a);
    return m.holds(m.pinned2, 0);
  };
  REQUIRE(num_right([&](Machine& m) { return program(m, true); }) == 20);
  REQUIRE(num_right([&](Machine& m) { return program(m, false); }) < 20);
  REQUIRE(num_right([](Machine& m) {
            add(m.device, m.device, 1, m.a);
            download(m.pinned2, m.device, m.a);
            return m.pinned2[0] == 1;
          }) < 20);
}

TEST_CASE("Memory that is freed on one stream while another uses it is seen") {
  auto const program = [](Machine& m, bool waits, bool by_kernel) {
    int* memory = nullptr;
    cudaMallocAsync(&memory, num_bytes, m.a);
    upload(memory, m.pinned, m.a);
    cudaEventRecord(m.event, m.a);
    cudaStreamWaitEvent(m.b, m.event);
    by_kernel ? add(memory, m.device, 0, m.b) : download(m.pinned2, memory, m.b);
    cudaEventRecord(m.event, m.b);
    if (waits) cudaStreamWaitEvent(m.a, m.event);
    cudaFreeAsync(memory, m.a);
    try {
      cudaDeviceSynchronize();
    } catch (simt::Error const& error) {
      REQUIRE(error.fault() == simt::Fault::out_of_bounds);
      return false;
    }
    return true;
  };
  bool const by_kernel = GENERATE(false, true);
  REQUIRE(num_right([&](Machine& m) { return program(m, true, by_kernel); }) == 20);
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  REQUIRE(num_right([&](Machine& m) { return program(m, false, by_kernel); }) < 20);
}

TEST_CASE("Memory is there when its stream has come to it") {
  REQUIRE(num_right([](Machine& m) {
            int* memory = nullptr;
            cudaMallocAsync(&memory, num_bytes, m.a);
            upload(memory, m.pinned, m.b);  // waits for nothing
            bool right = true;
            try {
              cudaStreamSynchronize(m.b);
            } catch (simt::Error const&) {
              right = false;
            }
            cudaFreeAsync(memory, m.a);
            return right;
          }) < 20);
}

TEST_CASE("A host may ask instead of waiting") {
  Machine m(GENERATE(0U, 1U, 2U));
  REQUIRE(cudaEventQuery(m.event) == cudaSuccess);  // never recorded
  upload(m.device, m.pinned, m.a);
  for (int i = 0; i < 20; ++i) add(m.device, m.device, 1, m.a);
  cudaEventRecord(m.event, m.a);
  download(m.pinned2, m.device, m.a);
  int num_asked = 0;
  while (cudaEventQuery(m.event) == cudaErrorNotReady) ++num_asked;
  REQUIRE(num_asked > 0);
  while (cudaStreamQuery(m.a) == cudaErrorNotReady) {
  }
  REQUIRE(m.holds(m.pinned2, 20));
  REQUIRE(simt::num_host_waits() == 0);
  REQUIRE(cudaGetLastError() == cudaErrorNotReady);
  REQUIRE(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("Timed events count what ran between them") {
  Machine m(0);
  cudaEvent_t start = nullptr, end = nullptr;
  cudaEventCreate(&start);
  cudaEventCreate(&end);
  float time = -1;
  REQUIRE(cudaEventElapsedTime(&time, start, end) == cudaErrorInvalidResourceHandle);
  cudaEventRecord(start, m.a);
  add(m.device, m.device, 1, m.a);
  cudaEventRecord(end, m.a);
  REQUIRE(cudaEventElapsedTime(&time, start, end) == cudaErrorNotReady);
  REQUIRE(cudaEventSynchronize(end) == cudaSuccess);
  REQUIRE(cudaEventElapsedTime(&time, start, end) == cudaSuccess);
  REQUIRE(time == Approx(0.002F));
  REQUIRE(cudaEventElapsedTime(&time, start, m.event) == cudaErrorInvalidResourceHandle);
  cudaEventDestroy(start);
  cudaEventDestroy(end);
}

TEST_CASE("Launches that no GPU can do are refused when they are made") {
  Machine m(0);
  cudaLaunchConfig_t config{};
  config.gridDim = config.blockDim = 1;
  auto const launch = [&] { return cudaLaunchKernelEx(&config, add_kernel, m.device, m.device, 1); };
  REQUIRE(launch() == cudaSuccess);
  config.blockDim = dim3(64, 32);
  REQUIRE(launch() == cudaErrorInvalidConfiguration);
  REQUIRE(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
  config.blockDim = 32;
  config.gridDim = 0;
  REQUIRE(launch() == cudaErrorInvalidConfiguration);
  config.gridDim = dim3(1, 65536);
  REQUIRE(launch() == cudaErrorInvalidConfiguration);
  config.gridDim = 1;
  config.dynamicSmemBytes = 100 * 1024;
  REQUIRE(launch() == cudaErrorInvalidValue);
  REQUIRE(cudaFuncSetAttribute(add_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 * 1024) == cudaSuccess);
  REQUIRE(launch() == cudaSuccess);
  REQUIRE(cudaFuncSetAttribute(add_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20) ==
          cudaErrorInvalidValue);
  config.stream = reinterpret_cast<cudaStream_t>(&config);
  REQUIRE(launch() == cudaErrorInvalidResourceHandle);
  REQUIRE(simt::num_launches() == 2);
  cudaGetLastError();
}

TEST_CASE("What is wrong with a kernel is thrown by the call that waits, once, and the program goes on") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  Machine m(GENERATE(0U, 1U, 2U, 3U));
  REQUIRE(break_it(m.device, m.a) == cudaSuccess);
  REQUIRE(add(m.device, m.device, 1, m.a) == cudaSuccess);  // never runs
  REQUIRE_THROWS_WITH(cudaStreamSynchronize(m.a), folio::test::contains("device memory"));
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  REQUIRE(download(m.pinned2, m.device, m.a) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(m.a) == cudaSuccess);
  REQUIRE(m.pinned2[0] == 0);
}

TEST_CASE("Host functions run in the stream's order and may not call CUDA") {
  Machine m(GENERATE(0U, 1U));
  static cudaError_t code;
  static int seen;
  auto const look = [](void* memory) {
    code = cudaDeviceSynchronize();
    seen = *static_cast<int*>(memory);
  };
  add(m.device, m.device, 7, m.a);
  download(m.pinned2, m.device, m.a);
  REQUIRE(cudaLaunchHostFunc(m.a, look, m.pinned2) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(m.a) == cudaSuccess);
  REQUIRE(seen == 7);
  REQUIRE(code == cudaErrorNotPermitted);
  cudaGetLastError();
}
