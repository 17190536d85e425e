// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Blocks on the device while streams run late: copies on write, reuse, blocks that are held, pools that change size.
#include "support/device_steps.hpp"
//
#include <sys/mman.h>

#include <folio/allocator/functions.hpp>
#include <folio/allocator/managed.cuh>
#include <folio/allocator/pinned.cuh>
#include <folio/allocator/virtual.cuh>
#include <folio/ops/append.hpp>

namespace {

using namespace folio;
using folio::test::contains;
using folio::test::CudaStream;
using folio::test::error_of;
using folio::test::Steps;
using folio::test::StepsCache;
using folio::test::tokens_in;
using Cache = StepsCache<>;
using Numbers = std::vector<int>;

constexpr int num_seeds = 16;

/// `count` numbers from `first` on.
Numbers from(int first, int count) {
  Numbers all;
  for (int i = 0; i < count; ++i) all.push_back(first + i);
  return all;
}
Numbers operator+(Numbers a, Numbers const& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

constexpr ModelConfig large_model{.layers = 32, .kv_heads = 8, .head_dim = 128};

/// More memory than the stand-in's device has: then addresses, of which only what is written takes memory.
FunctionAllocator<Accessibility::both> sparse_memory() {
  auto const is_cuda = std::make_shared<bool>(false);
  return {[is_cuda](std::size_t bytes, std::size_t) -> void* {
            void* memory = nullptr;
            *is_cuda = cudaMallocManaged(&memory, bytes, cudaMemAttachGlobal) == cudaSuccess;
            if (*is_cuda) return memory;
            static_cast<void>(cudaGetLastError());
            constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
            memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
            return memory == MAP_FAILED ? nullptr : memory;
          },
          [is_cuda](void* memory, std::size_t bytes) {
            *is_cuda ? static_cast<void>(cudaFree(memory)) : static_cast<void>(munmap(memory, bytes));
          }};
}

/// Copies block `block` of group 0 to pinned memory, and tells what its first key says.
class BlockReader {
 public:
  explicit BlockReader(Cache const& cache) : cache_(&cache), memory_(pinned_.allocate(cache.block_bytes(), 64)) {}
  BlockReader(BlockReader const&) = delete;
  BlockReader& operator=(BlockReader const&) = delete;
  ~BlockReader() { pinned_.deallocate(memory_, cache_->block_bytes()); }

  void read(BlockId block, cudaStream_t stream) const {
    check_cuda(cudaMemcpyAsync(memory_, cache_->pool() + to_int(block) * cache_->block_bytes(),
                               static_cast<std::size_t>(cache_->block_bytes()), cudaMemcpyDeviceToHost, stream),
               "reading a block");
  }
  [[nodiscard]] float first() const { return *reinterpret_cast<float const*>(memory_); }

 private:
  Cache const* cache_;
  mutable PinnedAllocator pinned_;
  std::byte* memory_;
};

}  // namespace

TEST_CASE("a child's first append leaves the parent's tokens, and takes them along") {
  simt::streams(GENERATE(range(0, num_seeds)));
  Cache cache({.num_blocks = {20, 40}});
  Steps steps(cache);
  CudaStream const first, second;
  Sequence parent = cache.create(5);
  steps.write({&parent}, 10, first);
  Sequence child = parent.fork();
  child.extend(1);   // copies the last block
  parent.extend(3);  // alone in it by now
  steps.write({&parent, &child}, 20, second);
  auto const& parents = steps.read(0, 8, second);
  auto const& childs = steps.read(1, 6, second);
  child.extend(2);
  steps.write({&child}, 30, first);
  auto const& later = steps.read(0, 8, first);
  folio::test::wait_for_device();
  CHECK(cache.stats().counters.copies == 2);  // one in each group
  CHECK(tokens_in(parents) == from(10, 5) + from(20, 3));
  CHECK(tokens_in(childs) == from(10, 5) + Numbers{23});
  CHECK(tokens_in(later) == from(10, 5) + Numbers{23, 30, 31});
}

TEST_CASE("forks of forks before an upload are copied in their order") {
  simt::streams(GENERATE(range(0, num_seeds)));
  Cache cache({.num_blocks = {20, 40}});
  Steps steps(cache, {5, 24, 64});
  CudaStream const first, second;
  Sequence a = cache.create(5);
  steps.write({&a}, 10, first);
  std::vector<Sequence> all;
  for (int i = 0; i < 4; ++i) {  // each copies the block that the one before has just been given
    Sequence next = (i == 0 ? a : all.back()).fork();
    next.extend(1);
    all.push_back(std::move(next));
  }
  steps.write({&all[0], &all[1], &all[2], &all[3]}, 20, second);
  std::vector<simt::Buffer<float> const*> seen;
  for (std::int32_t i = 0; i < 4; ++i) seen.push_back(&steps.read(i, 6 + i, second));
  folio::test::wait_for_device();
  // Of the tokens before its own, each has the slots as they were when it was forked: written by nobody yet.
  for (int i = 0; i < 4; ++i) {
    Numbers const tokens = tokens_in(*seen[static_cast<std::size_t>(i)]);
    CHECK(Numbers(tokens.begin(), tokens.begin() + 5) == from(10, 5));
    CHECK(tokens.back() == 20 + i);
  }
}

TEST_CASE("a parent that goes before the upload leaves its block to others, and its tokens to the child") {
  simt::streams(GENERATE(range(0, num_seeds)));
  Cache cache({.num_blocks = {20, 40}});
  Steps steps(cache);
  CudaStream const first, second;
  Sequence parent = cache.create(3);
  BlockId const block = parent.blocks()[0];
  steps.write({&parent}, 10, first);
  Sequence child = parent.fork();
  child.extend(1);
  parent.release();
  Sequence const stranger = cache.create(3);
  REQUIRE(stranger.blocks()[0] == block);
  // And a child that goes as well, whose copy is made in vain into a block that somebody else has by now.
  Sequence other_child = child.fork();
  child.extend(1);  // full blocks by now: the copy below is of the next one
  Sequence third = child.fork();
  third.extend(1);
  BlockId const copied = third.blocks()[1];
  third.release();
  Sequence const heir = cache.create(4);
  REQUIRE(heir.blocks()[0] == copied);
  steps.write({&stranger, {&child, 2}, &heir, {&other_child, 0}}, 20, second);
  auto const& strangers = steps.read(0, 3, second);
  auto const& childs = steps.read(1, 5, second);
  auto const& heirs = steps.read(2, 4, second);
  auto const& others = steps.read(3, 4, second);
  folio::test::wait_for_device();
  CHECK(tokens_in(strangers) == from(20, 3));
  CHECK(tokens_in(childs) == from(10, 3) + from(23, 2));
  CHECK(tokens_in(heirs) == from(25, 4));
  CHECK(tokens_in(others) == from(10, 3) + Numbers{23});  // shared with the child
}

TEST_CASE("a block that was given back is written after the last kernel that reads it") {
  simt::streams(GENERATE(range(0, 2 * num_seeds)));
  Cache cache({.num_blocks = {2, 20}});
  Steps steps(cache);
  CudaStream const streams[2];
  std::vector<simt::Buffer<float> const*> seen;
  for (int round = 0; round < 6; ++round) {
    Sequence const sequence = cache.create(8);  // all blocks, every time
    steps.write({&sequence}, 10 * round, streams[round % 2]);
    seen.push_back(&steps.read(0, 8, streams[round % 2]));
  }
  folio::test::wait_for_device();
  for (int round = 0; round < 6; ++round)
    CHECK(tokens_in(*seen[static_cast<std::size_t>(round)]) == from(10 * round, 8));
}

TEMPLATE_TEST_CASE("what padding points to is finite from the first step on", "", DeviceAllocator, PinnedAllocator,
                   ManagedAllocator) {
  simt::streams(GENERATE(0, 1, 2));
  StepsCache<TestType> cache({.num_blocks = {3, 3}}, TestType());
  Steps steps(cache);
  CudaStream const stream;
  steps.batch().upload({}, stream);
  auto const& group_0 = steps.read(3, 64, stream);
  simt::Buffer<float> const keys(8 * Steps::row, "keys"), values(8 * Steps::row, "values");
  ops::gather(steps.batch().view(), 1, {0, 0, 8}, keys.data(), values.data(), stream);
  stream.wait();
  CHECK(tokens_in(group_0) == Numbers(64, 0));
  CHECK(tokens_in(keys) == Numbers(8, 0));
  CHECK(tokens_in(values) == Numbers(8, 0));
}

TEST_CASE("blocks that are held are nobody else's until the device has passed the point") {
  int const seed = GENERATE(range(0, num_seeds));
  simt::streams(static_cast<std::uint64_t>(seed));
  Cache cache({.num_blocks = {3, 20}});
  Steps steps(cache);
  CudaStream const compute, copies;
  BlockHold hold;
  BlockReader const reader(cache);
  Sequence sequence = cache.create(8);
  steps.write({&sequence}, 10, compute);
  CudaEvent written;
  written.record(compute);
  written.make_wait(copies);
  reader.read(sequence.blocks()[1], copies);
  hold.hold(sequence, copies);
  sequence.release();
  CHECK(cache.num_free_blocks() == 1);
  CHECK(cache.stats().live == 2 + 4);

  Sequence next = cache.create(4);
  steps.write({&next}, 50, compute);
  bool appended = false;
  for (int tries = 0; !appended && tries < 10000; ++tries) {
    if (seed == 0) copies.wait();
    if (hold.release_done() == 0) CHECK(reader.first() == 14);  // not before the copy is done
    appended = next.try_extend(4);
  }
  REQUIRE(appended);
  CHECK(hold.release_done() == 0);
  CHECK(cache.num_free_blocks() == 1);
  steps.write({&next}, 60, compute);
  auto const& seen = steps.read(0, 8, compute);
  folio::test::wait_for_device();
  CHECK(tokens_in(seen) == from(50, 4) + from(60, 4));
  CHECK(reader.first() == 14);
}

TEST_CASE("holds end in their order, and a sequence that is held goes on", "[stand_in]") {
  simt::streams(0);  // nothing runs by itself but one operation for each question
  Cache cache({.num_blocks = {10, 20}});
  Steps steps(cache);
  CudaStream const compute, slow, fast;
  Sequence sequence = cache.create(5);
  steps.write({&sequence}, 10, compute);
  compute.wait();
  BlockReader const reader(cache);
  BlockHold hold;
  for (int i = 0; i < 50; ++i) reader.read(sequence.blocks()[0], slow);
  hold.hold(sequence, slow);
  hold.hold(sequence, fast);
  CHECK(hold.release_done() == 2);
  sequence.extend(2);  // beside what is held: the last block is copied
  CHECK(cache.stats().counters.copies == 2);
  steps.write({&sequence}, 20, compute);
  auto const& seen = steps.read(0, 7, compute);
  slow.wait();
  CHECK(hold.release_done() == 0);
  CHECK(cache.stats().num_sequences == 1);
  folio::test::wait_for_device();
  CHECK(tokens_in(seen) == from(10, 5) + from(20, 2));
}

TEST_CASE("holds that go wait for what is read") {
  simt::streams(GENERATE(range(0, num_seeds)));
  Cache cache({.num_blocks = {2, 20}});
  Steps steps(cache);
  CudaStream const compute, copies;
  BlockReader const reader(cache), other_reader(cache);
  auto const read_and_hold = [&](BlockReader const& by, int number) {
    Sequence const sequence = cache.create(4);
    steps.write({&sequence}, number, compute);
    CudaEvent written;
    written.record(compute);
    written.make_wait(copies);
    by.read(sequence.blocks()[0], copies);
    BlockHold hold;
    hold.hold(sequence, copies);
    return hold;
  };
  BlockHold hold = read_and_hold(reader, 10);
  SECTION("their destructor") { BlockHold const gone = std::move(hold); }
  SECTION("what is assigned over") { hold = BlockHold(); }
  CHECK(reader.first() == 10);
  CHECK(cache.num_free_blocks() == 2);
  hold = read_and_hold(other_reader, 20);
  CHECK(cache.num_free_blocks() == 1);
}

TEST_CASE("a pool does not shrink below blocks that are still to be copied") {
  StepsCache<VirtualAllocator> cache({.num_blocks = {8, 20}}, VirtualAllocator(1 << 26, 0, 1));
  Steps steps(cache);
  CudaStream const stream;
  Sequence const low = cache.create(6);  // blocks 1 and 2
  steps.write({&low}, 10, stream);
  Sequence filler = cache.create(12), high = low.fork();
  high.extend(1);  // block 6 is to be a copy of block 2
  REQUIRE(high.blocks()[1] == BlockId{6});
  high.release();
  stream.wait();
  CHECK_THAT(error_of<Error>([&] { cache.resize(5); }), contains("block 6 is still to be copied"));
  CHECK(cache.num_blocks() == 8);
  steps.batch().upload({&low}, stream);
  stream.wait();
  cache.resize(5);
  CHECK(cache.num_blocks() == 5);
  steps.batch().upload({&low}, stream);
  auto const& seen = steps.read(0, 6, stream);
  stream.wait();
  CHECK(tokens_in(seen) == from(10, 6));
}

TEST_CASE("of managed memory the host makes the copies that no upload has made") {
  StepsCache<ManagedAllocator> cache({.num_blocks = {8, 20}});
  Steps steps(cache);
  CudaStream const stream;
  Sequence parent = cache.create(6);
  steps.write({&parent}, 10, stream);
  stream.wait();
  Sequence child = parent.fork();
  child.extend(1);
  auto const batch = cache.batch({&child});
  std::vector<float> keys(Steps::row, 30), found(7 * Steps::row);
  ops::append(batch.view(), 0, keys.data(), keys.data());
  steps.batch().upload({{&child, 0}}, stream);  // does not copy again
  auto const& seen = steps.read(0, 7, stream);
  stream.wait();
  CHECK(tokens_in(seen) == from(10, 6) + Numbers{30});
}

TEST_CASE("kernels address blocks beyond 2^32 bytes") {
  using Large = KvCache<Model<large_model>, F32, FunctionAllocator<Accessibility::both>>;
  Large cache({.memory_bytes = std::int64_t{5} << 30}, sparse_memory());
  auto const num_blocks = static_cast<std::int32_t>(cache.num_blocks());
  REQUIRE(num_blocks * cache.block_bytes() > std::int64_t{9} << 29);
  Sequence const low = cache.create(16);
  Sequence const filler = cache.create(16 * (num_blocks - 4));
  Sequence const high = cache.create(20);  // all but one of the last three blocks
  static_cast<void>(cache.batch({}));      // the host clears the null block: CUDA cannot fill what it does not know
  CudaStream const stream;
  DeviceBatch batch(cache, {2, 40, num_blocks * 16});
  constexpr std::size_t row = 8 * 128;
  simt::Buffer<float> const rows(40 * row, "rows"), found(40 * row, "found");
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<float>(i / row);
  batch.upload({{&low, 16}, {&high, 20}}, stream);
  ops::append(batch.view(), 31, rows.data(), rows.data(), stream);
  Sequence child = high.fork();
  child.extend(1);
  REQUIRE(child.blocks()[1] == BlockId{num_blocks});
  batch.upload({{&low, 0}, {&child, 1}}, stream);  // copies the last but one block over the last
  ops::append(batch.view(), 31, rows.data(), rows.data(), stream);
  ops::gather(batch.view(), 31, {0, 0, 16}, found.data(), nullptr, stream);
  ops::gather(batch.view(), 31, {1, 0, 21}, found.data() + 16 * row, nullptr, stream);
  stream.wait();
  for (std::size_t token = 0; token < 37; ++token) {
    INFO("token " << token);
    CHECK(found[token * row] == (token == 36 ? 0 : static_cast<float>(token)));
    CHECK(found[token * row + row - 1] == found[token * row]);
  }
}
