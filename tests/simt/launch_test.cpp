// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "simt/runner.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace {

using simt::Fault;
using simt::Launch;

/// What `how` fails with; "" if it does not.
template <class Body>
std::string failure(Launch const& how, Body const& body) {
  try {
    simt::launch(how, body);
  } catch (simt::Error const& error) {
    return error.what();
  }
  return "";
}

/// The number of the calling thread in its grid, and of all threads.
unsigned thread_in_grid() {
  unsigned const block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  unsigned const thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  return block * blockDim.x * blockDim.y * blockDim.z + thread;
}

__global__ void number_threads(unsigned* out) { out[thread_in_grid()] = thread_in_grid(); }

__global__ void add_to_parameter(int value, int* out) {
  value += threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = value;
}

/// How the threads took turns.
__global__ void take_numbers(int* next, int* out) { out[thread_in_grid()] = atomicAdd(next, 1); }

}  // namespace

TEST_CASE("Each thread of a three-dimensional grid runs once") {
  simt::Buffer<unsigned> const out(2 * 3 * 2 * 4 * 3 * 5, "out");
  simt::launch({.grid = dim3(2, 3, 2), .block = dim3(4, 3, 5), .name = "number_threads"}, number_threads, out.data());
  std::vector<unsigned> expected(out.size());
  std::iota(expected.begin(), expected.end(), 0U);
  REQUIRE(out.to_vector() == expected);
}

TEST_CASE("Each thread has its own copy of a parameter") {
  simt::Buffer<int> const out(3, "out");
  simt::launch({.block = 3}, add_to_parameter, 10, out.data());
  REQUIRE(out.to_vector() == std::vector<int>{10, 11, 12});
}

TEST_CASE("A seed decides the order of blocks and threads, and no seed keeps it") {
  auto const order = [](std::uint64_t seed) {
    simt::Buffer<int> const next(std::vector<int>{0}, "next"), out(4 * 50, "out");
    simt::launch({.grid = 4, .block = 50, .seed = seed}, take_numbers, next.data(), out.data());
    return out.to_vector();
  };
  REQUIRE(order(7) == order(7));
  REQUIRE(order(7) != order(8));
  auto const first_block = order(7);
  REQUIRE_FALSE(std::is_sorted(first_block.begin(), first_block.begin() + 50));
  REQUIRE(order(0)[0] == 0);
  REQUIRE(order(0)[150] >= 150);
}

TEST_CASE("A launch that no GPU could do is refused") {
  auto const nothing = [] {};
  using folio::test::contains;
  REQUIRE_THAT(failure({.grid = 0, .name = "k"}, nothing),
               contains("kernel 'k': the grid (0,1,1) is not from (1,1,1)"));
  REQUIRE_THAT(failure({.grid = dim3(1, 65536)}, nothing), contains("the grid (1,65536,1)"));
  REQUIRE_THAT(failure({.block = 1025}, nothing),
               contains("the block (1025,1,1) is not from (1,1,1) to (1024,1024,64)"));
  REQUIRE_THAT(failure({.block = dim3(32, 33)}, nothing), contains("with at most 1024 threads"));
  REQUIRE_THAT(failure({.shared_bytes = 300000}, nothing),
               contains("300000 bytes of shared memory; a block has at most"));
  REQUIRE_THAT(failure({.shared_bytes = 8}, [] { simt::shared_memory<int[3]>()[0] = 1; }),
               contains("needs 12 bytes of shared memory, but the launch gave it 8 (Launch::shared_bytes)"));
  REQUIRE_THAT(failure({}, [&] { simt::launch({}, nothing); }), contains("is launched while another kernel runs"));
}

TEST_CASE("Words of a kernel outside of a kernel are refused") {
  REQUIRE_THROWS_WITH(__syncthreads(), folio::test::contains("__syncthreads is for kernels"));
  REQUIRE_THROWS_WITH(__ballot_sync(1, 1), folio::test::contains("__ballot_sync is for kernels"));
  REQUIRE_THROWS_WITH(simt::shared_memory<int>(), folio::test::contains("simt::shared_memory is for kernels"));
}

TEST_CASE("A kernel that gives up is reported, and the next launch works") {
  using folio::test::contains;
  auto const trap = [] {
    if (threadIdx.x == 3) __trap();
    __syncthreads();
  };
  auto const raise = [] { throw std::runtime_error("no such model"); };
  REQUIRE_THAT(failure({.grid = 2, .block = 5, .name = "k"}, trap),
               contains("kernel 'k', block (0,0,0), thread (3,0,0): calls __trap() at launch_test.cpp:"));
  REQUIRE_THAT(failure({.block = 5}, raise), contains("throws an exception, which a GPU does not have: no such model"));
  REQUIRE(failure({.block = 5}, [] { __syncthreads(); }).empty());
}

TEST_CASE("A loop that waits for another block is reported") {
  simt::Buffer<unsigned> const arrived(std::vector<unsigned>{0}, "arrived");
  auto const grid_barrier = [&] {
    atomicAdd(arrived.data(), 1);
    while (atomicAdd(arrived.data(), 0) < gridDim.x) {
    }
  };
  REQUIRE(failure({.grid = 1}, grid_barrier).empty());
  arrived[0] = 0;
  REQUIRE_THAT(failure({.grid = 2}, grid_barrier), folio::test::contains("blocks run one after another here"));
}

TEST_CASE("A mask that does not name the caller is refused") {
  REQUIRE_THAT(failure({.block = 32}, [] { __syncwarp(0xfffffffe); }),
               folio::test::contains("with the mask 0xfffffffe, which does not name its own lane 0"));
}

TEST_CASE("A warp that is not full takes part with the lanes that it has") {
  simt::Buffer<unsigned> const out(40, "out");
  simt::launch({.block = 40}, [&] { out.data()[threadIdx.x] = __ballot_sync(0xffffffff, 1); });
  REQUIRE(out[0] == 0xffffffff);
  REQUIRE(out[39] == 0xff);
  REQUIRE_THAT(failure({.block = 40}, [] { __shfl_down_sync(0xffffffff, 1, 16); }),
               folio::test::contains("reads from lane 16 in __shfl_down_sync"));
}

TEST_CASE("Lanes of two masks meet on their own, and with all others later") {
  simt::Buffer<int> const out(32, "out");
  for (std::uint64_t seed = 0; seed < 5; ++seed) {
    simt::launch({.block = 32, .seed = seed}, [&] {
      int const lane = static_cast<int>(threadIdx.x);
      int value = lane;
      if (lane < 16) value = __shfl_sync(0x0000ffff, value, 3);
      out.data()[lane] = __shfl_xor_sync(0xffffffff, value, 16);
    });
    REQUIRE(out[0] == 16);
    REQUIRE(out[20] == 3);
  }
}

TEST_CASE("Fresh memory is full of 0xff, also shared memory when a block begins") {
  simt::Buffer<int> const out(4, "out");
  REQUIRE(out.to_vector() == std::vector<int>(4, -1));
  if (simt::checks_memory()) FOLIO_SKIP("this runner checks memory, and reading it is an error");
  simt::launch({.grid = 4, .shared_bytes = 4}, [&] {
    out.data()[blockIdx.x] = simt::shared_memory<int>();
    simt::shared_memory<int>() = 5;
  });
  REQUIRE(out.to_vector() == std::vector<int>(4, -1));
}

TEST_CASE("The shadow memory sees the accesses") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  simt::Buffer<unsigned> const out(64, "out");
  auto const before = simt::num_checked_accesses();
  simt::launch({.grid = 2, .block = 32}, number_threads, out.data());
  REQUIRE(simt::num_checked_accesses() - before >= 64);
}

TEST_CASE("What a test forbids, no kernel may touch") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  simt::Buffer<int> const pool(100, "pool");
  auto const touches = [&](int i) { return !failure({.name = "k"}, [&] { pool.data()[i] = 1; }).empty(); };
  simt::forbid(pool.data() + 10, 40 * sizeof(int));
  simt::allow(pool.data() + 20, 5 * sizeof(int));
  simt::forbid(pool.data() + 22, sizeof(int));
  for (int i = 0; i < 100; ++i) REQUIRE(touches(i) == ((i >= 10 && i < 20) || (i >= 25 && i < 50) || i == 22));
  REQUIRE_THAT(failure({.name = "k"}, [&] { pool.data()[12] = 1; }),
               folio::test::contains("writes 4 bytes at element 12 of 'pool', which the test forbade"));
  simt::allow(pool.data(), 100 * sizeof(int));
  for (int i = 0; i < 100; ++i) REQUIRE_FALSE(touches(i));
}

TEST_CASE("Pointers into nothing are found") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  using folio::test::contains;
  int* freed = nullptr;
  simt::Buffer<int> const other(10, "other");
  {
    simt::Buffer<int> const buffer(10, "buffer");
    freed = buffer.data();
  }
  REQUIRE_THAT(failure({}, [=] { *freed = 1; }), contains("writes 4 bytes at element 0 of 'buffer', which is gone"));
  REQUIRE_THAT(failure({}, [&] { other.data()[-1] = 1; }), contains("element -1 of 'other', which has 10 elements"));
  REQUIRE_THAT(failure({}, [&] { other.data()[15000] = 1; }), contains("element 15000 of 'other'"));
  int* volatile null = nullptr;
  REQUIRE_THAT(failure({}, [&] { *null = 1; }), contains("writes 4 bytes at the null pointer"));
  REQUIRE_THAT(failure({}, [&] { null[3] = 1; }), contains("at address 12, next to the null pointer"));
}

TEST_CASE("Atomics of one variable are no race, but mixed with plain accesses they are") {
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  simt::Buffer<int> const sum(std::vector<int>{0}, "sum");
  Launch const how{.grid = 3, .block = 64, .name = "k", .seed = 1};
  REQUIRE(failure(how, [&] { atomicAdd(sum.data(), 1); }).empty());
  REQUIRE_THAT(failure(how,
                       [&] {
                         if (atomicAdd(sum.data(), 1) > 5) *sum.data() = 3;
                       }),
               folio::test::contains("of 'sum', which "));
}

TEST_CASE("A kernel may run with a larger stack") {
  simt::Buffer<int> const out(2, "out");
  simt::launch({.block = 2, .stack_bytes = 1 << 20}, [&] {
    int volatile large[100000];
    large[99999] = static_cast<int>(threadIdx.x);
    __syncthreads();
    out.data()[threadIdx.x] = large[99999];
  });
  REQUIRE(out.to_vector() == std::vector<int>{0, 1});
}

TEST_CASE("A thread may wait for another one with volatile reads and fences") {
  auto const seed = GENERATE(std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2});
  simt::Buffer<int> const flag(std::vector<int>{0}, "flag"), value(1, "value"), out(1, "out");
  auto const wait_for_last = [&](bool fence) {
    return failure({.block = 64, .seed = seed}, [&] {
      int volatile* const ready = flag.data();
      if (threadIdx.x == 63) {
        *value.data() = 42;
        if (fence) __threadfence();
        *ready = 1;
      } else if (threadIdx.x == 0) {
        while (*ready == 0) {
        }
        __threadfence();
        *out.data() = *value.data();
      }
    });
  };
  if (!simt::checks_memory()) FOLIO_SKIP("this runner does not check memory");
  REQUIRE(wait_for_last(true).empty());
  REQUIRE(out[0] == 42);
  flag[0] = 0;
  REQUIRE_THAT(wait_for_last(false),
               folio::test::contains("of 'value', which thread (63,0,0) wrote, and nothing orders"));
}
