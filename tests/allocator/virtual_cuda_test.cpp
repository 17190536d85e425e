// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// VirtualAllocator, and caches that grow and shrink in its memory.
#include "support/cuda_support.hpp"
//
#include <folio/allocator/virtual.cuh>
#include <folio/kv_cache.hpp>
#include <folio/quantizer/f32.hpp>

namespace {

using namespace folio;
using folio::test::add;
using folio::test::contains;
using folio::test::CudaStream;
using folio::test::DeviceAccess;
using folio::test::error_of;
using folio::test::first_byte;
using folio::test::leaks;

constexpr std::int64_t mib = std::int64_t{1} << 20;

/// Blocks of 64 KiB, as large as the stand-in's pages.
constexpr ModelConfig model{.layers = 4, .kv_heads = 4, .head_dim = 64};
using VirtualCache = KvCache<Model<model>, BlockSize<16>, F32, VirtualAllocator>;

void fill_block(VirtualCache const& cache, BlockId block, int value) {
  DeviceAccess::fill(cache.pool() + to_int(block) * cache.block_bytes(), value, cache.block_bytes());
}
bool holds(VirtualCache const& cache, BlockId block, int value) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(cache.block_bytes()));
  DeviceAccess::read(cache.pool() + to_int(block) * cache.block_bytes(), bytes);
  return std::count(bytes.begin(), bytes.end(), static_cast<std::byte>(value)) == cache.block_bytes();
}

}  // namespace

TEST_CASE("virtual memory grows and shrinks in its place") {
  VirtualAllocator allocator(1, 0, 1);
  std::int64_t const chunk = allocator.chunk_bytes();
  allocator = VirtualAllocator(8 * chunk, 0, 1);
  std::byte* const memory = allocator.allocate(chunk + 1, 64);  // two chunks
  DeviceAccess::fill(memory, 5, 2 * chunk);
  allocator.resize(memory, chunk + 1, 5 * chunk);
  DeviceAccess::fill(memory + 2 * chunk, 6, 3 * chunk);
  CudaStream const stream;
  add(memory, 5 * chunk, 1, stream);
  stream.wait();
  CHECK(first_byte(memory) == std::byte{6});
  CHECK(first_byte(memory + 2 * chunk - 1) == std::byte{6});
  CHECK(first_byte(memory + 5 * chunk - 1) == std::byte{7});
  allocator.resize(memory, 5 * chunk, chunk - 1);
  CHECK(first_byte(memory + chunk - 1) == std::byte{6});
  allocator.resize(memory, chunk - 1, 8 * chunk);  // all that is reserved
  DeviceAccess::fill(memory + chunk, 9, 7 * chunk);
  CHECK(first_byte(memory) == std::byte{6});

  CHECK_THAT(error_of<OutOfMemory>([&] { allocator.resize(memory, 8 * chunk, 8 * chunk + 1); }),
             contains("more than the " + std::to_string(8 * chunk) + " bytes that were reserved"));
  CHECK(first_byte(memory + 8 * chunk - 1) == std::byte{9});
  std::byte* const larger = allocator.allocate(9 * chunk, 64);  // an allocation may be larger than the reservation
  DeviceAccess::fill(larger, 1, 9 * chunk);
  allocator.deallocate(larger, 9 * chunk);
  allocator.deallocate(memory, 8 * chunk);
}

TEST_CASE("what is reserved and not mapped is no memory for kernels", "[stand_in]") {
  VirtualAllocator allocator(1 << 20, 0, 65536);
  std::byte* const memory = allocator.allocate(65536, 64);
  DeviceAccess::fill(memory, 1, 65536);
  CudaStream const stream;
  auto const touch = [&](std::int64_t offset) {
    add(memory + offset, 1, 1, stream);
    stream.wait();
  };
  touch(65535);
  if (!simt::checks_memory()) return allocator.deallocate(memory, 65536);  // a sanitizer would end the program
  CHECK_THROWS_AS(touch(65536), simt::Error);
  allocator.resize(memory, 65536, 2 * 65536);
  touch(65536);
  allocator.resize(memory, 2 * 65536, 65536);
  CHECK_THROWS_AS(touch(65536), simt::Error);
  touch(0);
  add(memory, 1, 1, stream);
  allocator.deallocate(memory, 65536);  // too early: is not ordered by streams
  CHECK_THROWS_AS(stream.wait(), simt::Error);
}

TEST_CASE("virtual memory that the GPU has not got changes nothing", "[stand_in]") {
  auto const before = leaks();
  VirtualAllocator allocator(1 << 20, 0, 65536);
  std::byte* const memory = allocator.allocate(65536, 64);
  DeviceAccess::fill(memory, 1, 65536);
  for (char const* const call : {"cuMemCreate", "cuMemMap", "cuMemSetAccess"}) {
    simt::fail_next(call, CUDA_ERROR_OUT_OF_MEMORY, 2);  // when two chunks are there already
    CHECK_THROWS_AS(allocator.resize(memory, 65536, 4 * 65536), OutOfMemory);
    CHECK(!simt::forget_failure());
    CHECK(first_byte(memory + 65535) == std::byte{1});
    CHECK(cudaMemset(memory + 65536, 1, 1) != cudaSuccess);
    static_cast<void>(cudaGetLastError());
  }
  allocator.resize(memory, 65536, 4 * 65536);
  DeviceAccess::fill(memory, 2, 4 * 65536);
  allocator.deallocate(memory, 4 * 65536);
  REQUIRE(leaks() == before);
}

TEST_CASE("a driver without virtual memory", "[stand_in]") {
  simt::fail_next("cudaGetDriverEntryPointByVersion", cudaErrorSymbolNotFound, 3);
  CHECK_THAT(error_of<CudaError>([] { VirtualAllocator allocator(mib); }), contains("cuMemCreate"));
  auto const look_up = [] { detail::VirtualMemoryDriver::look_up<void (*)()>("cuNoSuchFunction"); };
  CHECK_THAT(error_of<Error>(look_up), contains("the CUDA driver has no cuNoSuchFunction; use DeviceAllocator"));
}

TEST_CASE("a live cache grows and shrinks without moving a block") {
  VirtualCache cache({.num_blocks = {3}}, VirtualAllocator(1 << 30, 0, 1));
  REQUIRE(cache.block_bytes() >= 65536);
  std::byte* const pool = cache.pool();
  Sequence first = cache.create(3 * 16);
  for (BlockId const block : first.blocks()) fill_block(cache, block, to_int(block));
  REQUIRE_FALSE(first.try_extend(1));

  cache.resize(200);
  CHECK(cache.num_blocks() == 200);
  CHECK(cache.pool() == pool);
  CHECK(cache.memory_bytes() == 201 * cache.block_bytes());
  Sequence second = cache.create(197 * 16);
  for (BlockId const block : second.blocks()) fill_block(cache, block, to_int(block) % 100 + 100);
  for (BlockId const block : first.blocks()) CHECK(holds(cache, block, to_int(block)));
  CHECK(holds(cache, BlockId{200}, 100));

  CHECK_THAT(error_of<Error>([&] { cache.resize(199); }), contains("block 200 is in use"));
  CHECK(cache.num_blocks() == 200);
  CHECK(holds(cache, BlockId{200}, 100));
  second.truncate(16);  // block 4 is left
  CHECK_THAT(error_of<Error>([&] { cache.resize(3); }), contains("keep at least 4"));
  cache.resize(4);
  CHECK(cache.pool() == pool);
  CHECK(cache.num_blocks() == 4);
  CHECK(cache.num_free_blocks() == 0);
  CHECK(holds(cache, BlockId{4}, 104));
  for (BlockId const block : first.blocks()) CHECK(holds(cache, block, to_int(block)));

  Stats const stats = cache.stats();
  CHECK(stats.live == 4);
  CHECK(stats.peak_live == 200);
  cache.resize(5);
  second.extend(1);
  fill_block(cache, BlockId{5}, 55);
  CHECK(holds(cache, BlockId{5}, 55));
}

TEST_CASE("a cache that cannot grow stays as it is") {
  VirtualCache cache({.num_blocks = {3}}, VirtualAllocator(1, 0, 1));
  Sequence sequence = cache.create(2 * 16);
  fill_block(cache, BlockId{1}, 1);
  auto const memory = cache.memory_bytes();
  CHECK_THROWS_AS(cache.resize(100000), OutOfMemory);  // beyond the reservation
  CHECK(cache.num_blocks() == 3);
  CHECK(cache.num_free_blocks() == 1);
  CHECK(cache.memory_bytes() == memory);
  CHECK_THROWS_AS(cache.resize(0), Error);
  CHECK(holds(cache, BlockId{1}, 1));
  sequence.extend(16);
  fill_block(cache, BlockId{3}, 3);
  CHECK(holds(cache, BlockId{3}, 3));
}

TEST_CASE("a cache for which the GPU has not enough to grow stays as it is", "[stand_in]") {
  auto const before = leaks();
  {
    VirtualCache cache({.num_blocks = {3}}, VirtualAllocator(1 << 30, 0, 1));
    simt::fail_next("cuMemCreate", CUDA_ERROR_OUT_OF_MEMORY, 20);
    CHECK_THROWS_AS(cache.resize(100), OutOfMemory);
    CHECK(!simt::forget_failure());
    CHECK(cache.num_blocks() == 3);
    CHECK(cache.stats().total == 3);
    cache.resize(100);
    Sequence const sequence = cache.create(100 * 16);
    fill_block(cache, BlockId{100}, 1);
    CHECK(holds(cache, BlockId{100}, 1));
  }
  REQUIRE(leaks() == before);
}
