// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Blocks that move between the device's memory and the host's: the same as one memcpy after another.
#include "ops/move_pools.hpp"
//
#include <folio/ops/swap.cuh>

namespace {

using folio::BlockCopy;
using folio::check_cuda;
using folio::test::below;
using folio::test::copy;
using folio::test::copy_in_order;
using folio::test::CudaStream;
using folio::test::Memory;
using folio::test::Pool;

constexpr std::int64_t small = 64 * 3, large = folio::ops::copy_engine_bytes;

}  // namespace

TEST_CASE("blocks go out and come in again, by the kernel and by the copy engines") {
  auto const block_bytes = GENERATE(+small, +large, large + 64);
  auto const seed = GENERATE(0U, 1U, 2U);
  CAPTURE(block_bytes, seed);
  {
    CudaStream const s;
    Pool const device(Memory::device, 40, block_bytes, 0), host(Memory::pinned, 30, block_bytes, 100);
    std::mt19937 random(seed);
    simt::streams(seed);
    std::vector<int> on_device = device.numbers(), on_host = host.numbers();
    auto const waits = simt::num_host_waits();
    for (int round = 0; round < 4; ++round) {
      std::vector<BlockCopy> out, in;
      for (int i = 0; i < 12; ++i) out.push_back(copy(below(random, 40), below(random, 30)));
      for (int i = 0; i < 12; ++i) in.push_back(copy(below(random, 30), below(random, 40)));
      copy_in_order(on_device, on_host, out);
      copy_in_order(on_host, on_device, in);
      folio::ops::swap_out(device.data(), host.data(), block_bytes, out, s);
      folio::ops::swap_in(device.data(), host.data(), block_bytes, in, s);
    }
    folio::ops::swap_in(device.data(), host.data(), block_bytes, {}, s);
    CHECK(simt::num_host_waits() == waits);
    REQUIRE(host.numbers() == on_host);
    REQUIRE(device.numbers() == on_device);
  }
  CHECK(simt::leaks().empty());
}

TEST_CASE("where CUDA takes no batch, blocks that adjoin go together, one copy after another", "[stand_in]") {
  CudaStream const s;
  Pool const device(Memory::device, 40, large, 0), host(Memory::pinned, 30, large, 100);
  std::vector<int> const on_device = device.numbers();
  std::vector<int> expected = host.numbers();
  // Three pieces: blocks 3 to 6, block 9, blocks 20 and 21.
  std::vector<BlockCopy> const out{copy(3, 1), copy(4, 2),  copy(5, 3), copy(6, 4),
                                   copy(9, 5), copy(20, 7), copy(21, 8)};
  copy_in_order(on_device, expected, out);
  for (cudaError_t const code : {cudaErrorNotSupported, cudaErrorInvalidValue}) {
    simt::streams(4);
    simt::fail_next("cudaMemcpyBatchAsync", code);
    folio::ops::swap_out(device.data(), host.data(), large, out, s);
    CHECK_FALSE(simt::forget_failure());
    CHECK(simt::num_copies_to_host() == 3);
    CHECK(cudaGetLastError() == cudaSuccess);
    REQUIRE(host.numbers() == expected);
  }
}

TEST_CASE("what CUDA refuses altogether is an error with its words, and nothing is copied", "[stand_in]") {
  CudaStream const s;
  Pool const device(Memory::device, 4, large, 0), host(Memory::pinned, 4, large, 100);
  std::vector<BlockCopy> const out{copy(1, 2)};
  auto const fail = [&](char const* call, std::int64_t block_bytes, char const* words) {
    simt::fail_next(call, cudaErrorUnknown);
    REQUIRE_THROWS_AS(folio::ops::swap_out(device.data(), host.data(), block_bytes, out, s), folio::CudaError);
    simt::fail_next(call, cudaErrorUnknown);
    REQUIRE_THROWS_WITH(folio::ops::swap_out(device.data(), host.data(), block_bytes, out, s),
                        folio::test::contains(words));
  };
  simt::streams(0);
  fail("cudaStreamIsCapturing", large, "asking whether a stream is captured failed: cudaErrorUnknown");
  fail("cudaLaunchKernelEx", small, "a kernel launch failed: cudaErrorUnknown");
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), "capturing");
  fail("cudaMemcpyAsync", large, "copying a piece failed: cudaErrorUnknown");
  check_cuda(cudaStreamEndCapture(s, &graph), "capturing");
  cudaGraphDestroy(graph);
  CHECK(host.numbers() == std::vector<int>{100, 101, 102, 103});
}

TEST_CASE("blocks are swapped in a captured graph, each time that it is launched") {
  auto const block_bytes = GENERATE(+small, +large);
  CudaStream const s;
  Pool const device(Memory::device, 8, block_bytes, 0), host(Memory::pinned, 8, block_bytes, 100);
  std::vector<BlockCopy> const out{copy(1, 2), copy(2, 3)}, in{copy(2, 7), copy(3, 1)};
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  check_cuda(cudaStreamBeginCapture(s, cudaStreamCaptureModeThreadLocal), "capturing");
  folio::ops::swap_out(device.data(), host.data(), block_bytes, out, s);
  folio::ops::swap_in(device.data(), host.data(), block_bytes, in, s);
  check_cuda(cudaStreamEndCapture(s, &graph), "capturing");
  check_cuda(cudaGraphInstantiate(&exec, graph), "a graph");
  std::vector<int> on_device{0, 1, 2, 3, 4, 5, 6, 7}, on_host{100, 101, 102, 103, 104, 105, 106, 107};
  CHECK(host.numbers() == on_host);
  for (int round = 0; round < 3; ++round) {
    copy_in_order(on_device, on_host, out);
    copy_in_order(on_host, on_device, in);
    check_cuda(cudaGraphLaunch(exec, s), "a graph");
  }
  CHECK(host.numbers() == on_host);
  CHECK(device.numbers() == on_device);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
}

TEST_CASE("blocks are swapped on the legacy default stream, too, and those of a wrong size are refused", "[stand_in]") {
  Pool const device(Memory::device, 8, large, 0), host(Memory::pinned, 8, large, 100);
  std::vector<BlockCopy> const one{copy(1, 2)};
  simt::streams(0);
  for (std::int64_t const bytes : {std::int64_t{-large}, std::int64_t{0}, large + 8})
    REQUIRE_THROWS_WITH(folio::ops::swap_in(device.data(), host.data(), bytes, one, cudaStreamPerThread),
                        folio::test::contains("a positive multiple of 16 bytes"));
  CHECK(simt::num_launches() + simt::num_copies_to_host() + simt::num_copies_to_device() == 0);
  std::vector<int> expected{100, 101, 102, 103, 104, 105, 106, 107};
  std::int32_t to = 1;
  for (cudaStream_t const stream : {cudaStream_t{}, cudaStreamLegacy, cudaStreamPerThread}) {
    std::vector<BlockCopy> const out{copy(to, to)};
    simt::fail_next("cudaMemcpyBatchAsync", cudaErrorNotSupported);
    folio::ops::swap_out(device.data(), host.data(), large, out, stream);
    CHECK(simt::forget_failure() == (stream != cudaStreamPerThread));  // where CUDA takes no batches none is tried
    expected[static_cast<std::size_t>(to)] = to;
    ++to;
  }
  CHECK(host.numbers() == expected);
}
