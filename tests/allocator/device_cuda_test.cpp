// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The allocators of memory that kernels read: the suite of all allocators, and what each does beside that.
#include "support/cuda_support.hpp"
//
#include <folio/allocator/device.cuh>
#include <folio/allocator/functions.hpp>
#include <folio/allocator/managed.cuh>
#include <folio/allocator/pinned.cuh>
#include <folio/allocator/virtual.cuh>

#include "conformance/allocator_suite.hpp"
#include "support/fault_injection.hpp"

namespace {

using namespace folio;
using folio::test::add;
using folio::test::allocator_suite;
using folio::test::contains;
using folio::test::CudaStream;
using folio::test::DeviceAccess;
using folio::test::error_of;
using folio::test::first_byte;
using folio::test::leaks;

constexpr std::int64_t mib = std::int64_t{1} << 20;

/// Bytes that the host touches by itself.
struct PinnedAccess : folio::test::HostAccess {
  static constexpr std::int64_t largest_alignment = 256;
};

/// As an engine's own arena would be plugged in.
FunctionAllocator<Accessibility::device> from_cuda_malloc() {
  return {[](std::size_t bytes, std::size_t) -> void* {
            void* pointer = nullptr;
            return cudaMalloc(&pointer, bytes) == cudaSuccess ? pointer
                                                              : (static_cast<void>(cudaGetLastError()), nullptr);
          },
          [](void* pointer, std::size_t) { cudaFree(pointer); }};
}

}  // namespace

TEST_CASE("every device allocator runs the suite") {
  simt::streams(GENERATE(0, 1));
  auto const before = leaks();
  SECTION("device") {
    allocator_suite<DeviceAccess>([] { return DeviceAllocator(); });
  }
  SECTION("device, on a stream of its own") {
    CudaStream const stream;
    allocator_suite<DeviceAccess>([&] { return DeviceAllocator(stream); });
  }
  SECTION("pinned") {
    allocator_suite<DeviceAccess>([] { return PinnedAllocator(); });
  }
  SECTION("managed") {
    allocator_suite<DeviceAccess>([] { return ManagedAllocator(); });
  }
  SECTION("managed, on the host") {
    allocator_suite<DeviceAccess>([] { return ManagedAllocator(ManagedAllocator::host); });
  }
  SECTION("virtual") {
    allocator_suite<DeviceAccess>([] { return VirtualAllocator(8 * mib, 0, mib); });
  }
  SECTION("two functions") { allocator_suite<DeviceAccess>(from_cuda_malloc); }
  REQUIRE(leaks() == before);
}

TEST_CASE("memory that the host reads, it reads by itself") {
  auto const before = leaks();
  allocator_suite<PinnedAccess>([] { return PinnedAllocator(); });
  STATIC_REQUIRE((host_can_read<PinnedAllocator> && device_can_read<PinnedAllocator>));
  STATIC_REQUIRE((host_can_read<ManagedAllocator> && device_can_read<ManagedAllocator>));
  STATIC_REQUIRE((!host_can_read<DeviceAllocator> && device_can_read<DeviceAllocator>));
  STATIC_REQUIRE((!host_can_read<VirtualAllocator> && device_can_read<VirtualAllocator>));
  REQUIRE(leaks() == before);
}

TEST_CASE("a function that gives memory at odd places is found out, and gets it back") {
  std::byte memory[256];
  auto* const aligned = memory + (64 - reinterpret_cast<std::uintptr_t>(memory) % 64) % 64;
  std::size_t returned = 0;
  FunctionAllocator<Accessibility::both> allocator([&](std::size_t, std::size_t) { return aligned + 16; },
                                                   [&](void*, std::size_t bytes) { returned += bytes; });
  CHECK(allocator.allocate(100, 16) == aligned + 16);
  CHECK_THAT(error_of<OutOfMemory>([&] { static_cast<void>(allocator.allocate(100, 64)); }),
             contains("not aligned to 64 bytes"));
  CHECK(returned == 100);
}

TEST_CASE("kernels of any stream write memory as soon as it is given") {
  simt::streams(GENERATE(0, 1, 2, 3));
  CudaStream const own, other;
  auto const before = leaks();
  auto const check = [&](auto allocator) {
    std::byte* const memory = allocator.allocate(1000, 64);
    DeviceAccess::fill(memory, 3, 1000);
    add(memory, 1000, 4, other);
    other.wait();
    CHECK(first_byte(memory) == std::byte{7});
    add(memory, 1000, 1, own);
    if constexpr (std::is_same_v<decltype(allocator), DeviceAllocator>)
      allocator.deallocate(memory, 1000);  // in the order of `own`: what runs there still has the memory
    own.wait();
    if constexpr (!std::is_same_v<decltype(allocator), DeviceAllocator>) allocator.deallocate(memory, 1000);
  };
  check(DeviceAllocator(own));
  check(PinnedAllocator());
  check(ManagedAllocator());
  check(VirtualAllocator(mib, 0, mib));
  REQUIRE(leaks() == before);
}

TEST_CASE("a device that does not exist", "[stand_in]") {
  auto const before = leaks();
  CHECK_THAT(error_of<CudaError>([] { DeviceAllocator(nullptr, 7); }), contains("cudaErrorInvalidDevice"));
  CHECK_THAT(error_of<CudaError>([] { static_cast<void>(ManagedAllocator(7).allocate(64, 64)); }),
             contains("cudaErrorInvalidDevice"));
  CHECK_THROWS_AS(VirtualAllocator(mib, 7), Error);
  REQUIRE(cudaPeekAtLastError() == cudaSuccess);
  REQUIRE(leaks() == before);
}

TEST_CASE("a GPU or a machine that has no more memory") {
  auto const before = leaks();
  auto const full = [](auto allocator, std::int64_t bytes) {
    INFO(decltype(allocator)::name);
    std::byte* const earlier = allocator.allocate(4096, 64);
    try {
      static_cast<void>(allocator.allocate(bytes, 64));
      FAIL("a request of " << bytes << " bytes was served");
    } catch (OutOfMemory const& error) {
      CHECK(error.asked_bytes() >= bytes);
      CHECK_THAT(error.what(), contains(decltype(allocator)::name));
    }
    REQUIRE(cudaPeekAtLastError() == cudaSuccess);  // the next call is not blamed
    std::byte* const after = allocator.allocate(4096, 64);
    DeviceAccess::fill(after, 1, 4096);
    allocator.deallocate(after, 4096);
    allocator.deallocate(earlier, 4096);
  };
  std::int64_t const too_much = std::int64_t{1} << 44;
  full(DeviceAllocator(), too_much);
  full(from_cuda_malloc(), too_much);
  REQUIRE(leaks() == before);
}

TEST_CASE("what CUDA says about memory becomes the right error", "[stand_in]") {
  auto const before = leaks();
  auto const fails = [](char const* call, auto allocator) {
    INFO(decltype(allocator)::name);
    simt::fail_next(call, cudaErrorMemoryAllocation);
    CHECK_THROWS_AS(allocator.allocate(64, 64), OutOfMemory);
    CHECK(!simt::forget_failure());
    simt::fail_next(call, cudaErrorIllegalAddress);
    CHECK_THAT(error_of<CudaError>([&] { static_cast<void>(allocator.allocate(64, 64)); }),
               contains("cudaErrorIllegalAddress"));
    REQUIRE(cudaPeekAtLastError() == cudaSuccess);
  };
  fails("cudaMallocFromPoolAsync", DeviceAllocator());
  fails("cudaHostAlloc", PinnedAllocator());
  fails("cudaMallocManaged", ManagedAllocator());
  REQUIRE(leaks() == before);
}

TEST_CASE("an allocation that fails at any call leaves nothing allocated", "[stand_in]") {
  auto const use = [](auto const& make) {
    return [make] {
      auto allocator = make();
      std::byte* const first = allocator.allocate(3 * 65536, 256);
      std::byte* second = nullptr;
      try {
        second = allocator.allocate(100, 64);
      } catch (...) {
        allocator.deallocate(first, 3 * 65536);
        throw;
      }
      allocator.deallocate(second, 100);
      allocator.deallocate(first, 3 * 65536);
    };
  };
  CHECK(folio::test::fail_at_every_call(use([] { return DeviceAllocator(); })) >= 5);
  CHECK(folio::test::fail_at_every_call(use([] { return PinnedAllocator(); })) >= 2);
  CHECK(folio::test::fail_at_every_call(use([] { return ManagedAllocator(); })) >= 7);
  CHECK(folio::test::fail_at_every_call(use([] { return VirtualAllocator(mib, 0, 65536); })) >= 20);
}

TEST_CASE("managed memory is sent to its place at once", "[stand_in]") {
  CudaStream const stream;
  auto const before = leaks();
  auto const calls = [&](char const* call, auto const& f) {
    simt::fail_next(call, cudaErrorIllegalAddress);
    CHECK_THROWS_AS(f(), CudaError);
    CHECK(!simt::forget_failure());
  };
  for (int const place : {ManagedAllocator::current_device, 0, ManagedAllocator::host}) {
    calls("cudaMemAdvise", [&] { return ManagedAllocator(place, stream).allocate(64, 64); });
    calls("cudaMemPrefetchAsync", [&] { return ManagedAllocator(place, stream).allocate(64, 64); });
    ManagedAllocator allocator(place, stream);
    std::byte* const memory = allocator.allocate(1 << 20, 64);
    calls("cudaMemPrefetchAsync", [&] { allocator.prefetch(memory, 1 << 20, stream); });
    allocator.prefetch(memory, 4096, stream);
    stream.wait();
    allocator.deallocate(memory, 1 << 20);
  }
  REQUIRE(leaks() == before);
}

TEST_CASE("copies between pinned and device memory do not make the host wait", "[stand_in]") {
  simt::streams(1);
  CudaStream const stream;
  PinnedAllocator pinned;
  DeviceAllocator device(stream);
  std::byte *const host = pinned.allocate(64, 64), *const memory = device.allocate(64, 64);
  std::int64_t const waits = simt::num_host_waits();
  check_cuda(cudaMemcpyAsync(memory, host, 64, cudaMemcpyHostToDevice, stream), "a copy");
  check_cuda(cudaMemcpyAsync(host, memory, 64, cudaMemcpyDeviceToHost, stream), "a copy");
  device.deallocate(memory, 64);
  CHECK(simt::num_host_waits() == waits);
  CHECK(simt::num_pageable_copies() == 0);
  stream.wait();
  pinned.deallocate(host, 64);
}

TEST_CASE("an allocator that was moved from can go, and be given to again") {
  auto const before = leaks();
  auto const check = [](auto allocator, auto const& make) {
    std::byte* const memory = allocator.allocate(64, 64);
    auto moved = std::move(allocator);
    moved.deallocate(memory, 64);
    allocator.deallocate(nullptr, 0);  // NOLINT(bugprone-use-after-move): as KvCache's destructor would
    allocator = make();
    allocator.deallocate(allocator.allocate(64, 64), 64);
  };
  check(DeviceAllocator(), [] { return DeviceAllocator(); });
  check(ManagedAllocator(), [] { return ManagedAllocator(); });
  check(VirtualAllocator(mib), [] { return VirtualAllocator(mib); });
  check(from_cuda_malloc(), from_cuda_malloc);
  REQUIRE(leaks() == before);
}
