// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Blocks that move on the device and between its memory and the host's: the same as one memcpy after another.
#include "simt/runner.hpp"
//
#include <algorithm>
#include <cstring>
#include <folio/ops/swap.cuh>
#include <random>
#include <vector>

#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using folio::BlockCopy;
using folio::BlockId;
using folio::check_cuda;
using folio::ops::next_independent_run;
using folio::test::below;

BlockCopy copy(std::int32_t from, std::int32_t to) { return {BlockId{from}, BlockId{to}}; }

std::vector<BlockCopy> random_copies(std::mt19937& random, std::int32_t n, std::int32_t num_blocks) {
  std::vector<BlockCopy> copies;
  for (std::int32_t i = 0; i < n; ++i) copies.push_back(copy(below(random, num_blocks), below(random, num_blocks)));
  return copies;
}

/// What `copies` make of pools whose blocks are numbers, one after another.
void copy_in_order(std::vector<int> const& from, std::vector<int>& to, std::span<BlockCopy const> copies) {
  for (BlockCopy const& c : copies)
    to[static_cast<std::size_t>(to_int(c.to))] = from[static_cast<std::size_t>(to_int(c.from))];
}

enum class Memory { device, pinned };

/// A pool of blocks in memory of the stand-in for CUDA, each filled with bytes that tell its number.
class Pool {
 public:
  Pool(Memory memory, std::int32_t num_blocks, std::int64_t block_bytes, int first_number)
      : memory_(memory), block_bytes_(block_bytes), bytes_(static_cast<std::size_t>(num_blocks * block_bytes)) {
    if (memory == Memory::device)
      check_cuda(cudaMalloc(&data_, bytes_), "cudaMalloc");
    else
      check_cuda(cudaMallocHost(&data_, bytes_), "cudaMallocHost");
    std::vector<std::byte> all(bytes_);
    for (std::size_t i = 0; i < bytes_; ++i)
      all[i] = static_cast<std::byte>(first_number + static_cast<int>(i) / static_cast<int>(block_bytes));
    check_cuda(cudaMemcpy(data_, all.data(), bytes_, cudaMemcpyDefault), "filling a pool");
  }
  Pool(Pool const&) = delete;
  Pool& operator=(Pool const&) = delete;
  ~Pool() { memory_ == Memory::device ? cudaFree(data_) : cudaFreeHost(data_); }

  [[nodiscard]] std::byte* data() const { return data_; }
  /// What each block is filled with; -1 where it is mixed. Waits for the device.
  [[nodiscard]] std::vector<int> numbers() const {
    check_cuda(cudaDeviceSynchronize(), "waiting");
    std::vector<std::byte> all(bytes_);
    check_cuda(cudaMemcpy(all.data(), data_, bytes_, cudaMemcpyDefault), "reading a pool");
    std::vector<int> numbers;
    for (auto i = all.begin(); i != all.end(); i += block_bytes_)
      numbers.push_back(std::all_of(i, i + block_bytes_, [&](std::byte b) { return b == *i; }) ? int(*i) : -1);
    return numbers;
  }

 private:
  Memory memory_;
  std::int64_t block_bytes_;
  std::size_t bytes_;
  std::byte* data_ = nullptr;
};

struct Stream {
  Stream() { check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate"); }
  Stream(Stream const&) = delete;
  Stream& operator=(Stream const&) = delete;
  ~Stream() { cudaStreamDestroy(stream); }
  cudaStream_t stream = nullptr;
};

constexpr std::int64_t small = 64 * 3, large = folio::ops::copy_engine_bytes;

}  // namespace

TEST_CASE("copies that touch each other's blocks are not in one run") {
  auto const run = [](std::vector<BlockCopy> const& copies, bool one_pool = true) {
    return next_independent_run(copies, one_pool);
  };
  CHECK(run({}) == 0);
  CHECK(run({copy(1, 2)}) == 1);
  CHECK(run({copy(1, 2), copy(1, 3), copy(4, 5)}) == 3);  // two readers
  CHECK(run({copy(1, 2), copy(3, 1)}) == 1);              // writes what was read
  CHECK(run({copy(1, 2), copy(2, 3)}) == 1);              // reads what was written
  CHECK(run({copy(1, 2), copy(3, 2)}) == 1);              // writes what was written
  CHECK(run({copy(1, 1), copy(2, 3), copy(3, 1)}) == 2);
  CHECK(run({copy(1, 1), copy(1, 2)}) == 1);
  CHECK(run({copy(1, 2), copy(3, 1), copy(2, 3)}, false) == 3);  // blocks of different pools
  CHECK(run({copy(1, 2), copy(3, 2)}, false) == 1);
}

TEST_CASE("runs in any order come to what one copy after another does") {
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::int32_t const num_blocks = 2 + below(random, 60);
    bool const one_pool = below(random, 2) == 0;
    auto const copies = random_copies(random, below(random, 50), num_blocks);
    std::vector<int> from(static_cast<std::size_t>(num_blocks)), expected(from.size());
    for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<int>(i);
    if (one_pool) expected = from;
    std::vector<int> found = expected;
    for (BlockCopy const& c : copies) copy_in_order(one_pool ? expected : from, expected, {&c, 1});
    std::size_t num_runs = 0;
    for (std::span<BlockCopy const> left(copies); !left.empty(); ++num_runs) {
      std::size_t const n = next_independent_run(left, one_pool);
      REQUIRE(n >= 1);
      std::vector<BlockCopy> shuffled(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(n));
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      for (BlockCopy const& c : shuffled) copy_in_order(one_pool ? found : from, found, {&c, 1});
      left = left.subspan(n);
      if (!left.empty()) {  // and no run is shorter than it must be
        auto const named = [&](BlockCopy const& c) {
          return c.to == left[0].to || (one_pool && (c.from == left[0].to || c.to == left[0].from));
        };
        REQUIRE(std::any_of(shuffled.begin(), shuffled.end(), named));
      }
    }
    REQUIRE(found == expected);
  }
}

TEST_CASE("block sets hold ids of any pattern") {
  std::vector<BlockCopy> copies;
  for (std::int32_t i = 0; i < 5000; ++i) copies.push_back(copy(i * 65536, i * 65536 + 1));
  copies.push_back(copy(7, 4999 * 65536));
  CHECK(next_independent_run(copies) == 5000);
}

TEST_CASE("blocks are copied on the device in the list's order, by as many launches as that needs", "[stand_in]") {
  Stream const s;
  Pool const pool(Memory::device, 200, small, 0);
  std::mt19937 random(2);
  simt::streams(11);
  std::vector<int> expected = pool.numbers();
  for (std::int32_t const n : {0, 1, 3, 10, 300}) {
    auto const copies = random_copies(random, n, 200);
    for (BlockCopy const& c : copies) copy_in_order(expected, expected, {&c, 1});
    folio::ops::copy_blocks(pool.data(), pool.data(), small, copies, s.stream);
    REQUIRE(pool.numbers() == expected);
  }
  Pool const other(Memory::device, 500, small, 0);
  std::vector<BlockCopy> spread;
  for (std::int32_t i = 0; i < 500; ++i) spread.push_back(copy(i % 200, i));
  std::vector<int> copied(500);
  copy_in_order(expected, copied, spread);
  auto const before = simt::num_launches();
  folio::ops::copy_blocks(pool.data(), other.data(), small, spread, s.stream);
  CHECK(simt::num_launches() - before == 3);
  CHECK(other.numbers() == copied);
  for (std::int64_t const bytes : {std::int64_t{0}, std::int64_t{-64}, std::int64_t{24}})
    REQUIRE_THROWS_WITH(folio::ops::copy_blocks(pool.data(), other.data(), bytes, spread, s.stream),
                        folio::test::contains("a positive multiple of 16 bytes, not " + std::to_string(bytes)));
}

TEST_CASE("blocks go out and come in again, by the kernel and by the copy engines") {
  auto const block_bytes = GENERATE(+small, +large, large + 64);
  auto const seed = GENERATE(0U, 1U, 2U);
  CAPTURE(block_bytes, seed);
  {
    Stream const s;
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
      folio::ops::swap_out(device.data(), host.data(), block_bytes, out, s.stream);
      folio::ops::swap_in(device.data(), host.data(), block_bytes, in, s.stream);
    }
    folio::ops::swap_in(device.data(), host.data(), block_bytes, {}, s.stream);
    CHECK(simt::num_host_waits() == waits);
    REQUIRE(host.numbers() == on_host);
    REQUIRE(device.numbers() == on_device);
  }
  CHECK(simt::leaks().empty());
}

TEST_CASE("where CUDA takes no batch, blocks that adjoin go together, one copy after another", "[stand_in]") {
  Stream const s;
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
    folio::ops::swap_out(device.data(), host.data(), large, out, s.stream);
    CHECK_FALSE(simt::forget_failure());
    CHECK(simt::num_copies_to_host() == 3);
    CHECK(cudaGetLastError() == cudaSuccess);
    REQUIRE(host.numbers() == expected);
  }
}

TEST_CASE("what CUDA refuses altogether is an error with its words, and nothing is copied", "[stand_in]") {
  Stream const s;
  Pool const device(Memory::device, 4, large, 0), host(Memory::pinned, 4, large, 100);
  std::vector<BlockCopy> const out{copy(1, 2)};
  auto const fail = [&](char const* call, std::int64_t block_bytes, char const* words) {
    simt::fail_next(call, cudaErrorUnknown);
    REQUIRE_THROWS_AS(folio::ops::swap_out(device.data(), host.data(), block_bytes, out, s.stream), folio::CudaError);
    simt::fail_next(call, cudaErrorUnknown);
    REQUIRE_THROWS_WITH(folio::ops::swap_out(device.data(), host.data(), block_bytes, out, s.stream),
                        folio::test::contains(words));
  };
  simt::streams(0);
  fail("cudaStreamIsCapturing", large, "asking whether a stream is captured failed: cudaErrorUnknown");
  fail("cudaLaunchKernelEx", small, "a kernel launch failed: cudaErrorUnknown");
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamBeginCapture(s.stream, cudaStreamCaptureModeThreadLocal), "capturing");
  fail("cudaMemcpyAsync", large, "swapping a block failed: cudaErrorUnknown");
  check_cuda(cudaStreamEndCapture(s.stream, &graph), "capturing");
  cudaGraphDestroy(graph);
  CHECK(host.numbers() == std::vector<int>{100, 101, 102, 103});
}

TEST_CASE("blocks are swapped in a captured graph, each time that it is launched") {
  auto const block_bytes = GENERATE(+small, +large);
  Stream const s;
  Pool const device(Memory::device, 8, block_bytes, 0), host(Memory::pinned, 8, block_bytes, 100);
  std::vector<BlockCopy> const out{copy(1, 2), copy(2, 3)}, in{copy(2, 7), copy(3, 1)};
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  check_cuda(cudaStreamBeginCapture(s.stream, cudaStreamCaptureModeThreadLocal), "capturing");
  folio::ops::swap_out(device.data(), host.data(), block_bytes, out, s.stream);
  folio::ops::swap_in(device.data(), host.data(), block_bytes, in, s.stream);
  check_cuda(cudaStreamEndCapture(s.stream, &graph), "capturing");
  check_cuda(cudaGraphInstantiate(&exec, graph), "a graph");
  std::vector<int> on_device{0, 1, 2, 3, 4, 5, 6, 7}, on_host{100, 101, 102, 103, 104, 105, 106, 107};
  CHECK(host.numbers() == on_host);
  for (int round = 0; round < 3; ++round) {
    copy_in_order(on_device, on_host, out);
    copy_in_order(on_host, on_device, in);
    check_cuda(cudaGraphLaunch(exec, s.stream), "a graph");
  }
  CHECK(host.numbers() == on_host);
  CHECK(device.numbers() == on_device);
  cudaGraphExecDestroy(exec);
  cudaGraphDestroy(graph);
}

TEST_CASE("the legacy default stream and blocks of a wrong size are refused, and nothing is copied") {
  Pool const device(Memory::device, 4, large, 0), host(Memory::pinned, 4, large, 100);
  std::vector<BlockCopy> const one{copy(1, 2)};
  simt::streams(0);
  for (cudaStream_t const stream : {cudaStream_t{}, cudaStreamLegacy})
    for (std::int64_t const bytes : {small, large})
      REQUIRE_THROWS_WITH(folio::ops::swap_out(device.data(), host.data(), bytes, one, stream),
                          folio::test::contains("cannot be swapped on the legacy default stream"));
  for (std::int64_t const bytes : {std::int64_t{-large}, std::int64_t{0}, large + 8})
    REQUIRE_THROWS_WITH(folio::ops::swap_in(device.data(), host.data(), bytes, one, cudaStreamPerThread),
                        folio::test::contains("a positive multiple of 16 bytes"));
  CHECK(simt::num_launches() + simt::num_copies_to_host() + simt::num_copies_to_device() == 0);
  folio::ops::swap_out(device.data(), host.data(), large, one, cudaStreamPerThread);
  CHECK(host.numbers() == std::vector<int>{100, 101, 1, 103});
}
