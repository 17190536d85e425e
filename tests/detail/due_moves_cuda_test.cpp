// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Block moves that the device makes while streams run late: in their order, without a wait, and none said to have ended
// too early.
#include "support/device_steps.hpp"
//
#include <folio/allocator/pinned.cuh>
#include <folio/allocator/virtual.cuh>
#include <memory>

#include "support/moves_program.hpp"

namespace {

using namespace folio;
using folio::test::CudaStream;
using folio::test::error_of;
using folio::test::Steps;
using folio::test::StepsCache;

/// Blocks of 64 KiB in one group, which go out by the copy engines, and of 32 KiB in the other.
constexpr ModelConfig wide_model{.layers = 2,
                                 .kv_heads = 8,
                                 .head_dim = 256,
                                 .groups = {full_attention(), sliding_window(8)},
                                 .pattern = repeat_groups({0, 1})};
using WideCache = KvCache<Model<wide_model>, BlockSizes<4, 2>, F32, DeviceAllocator>;
static_assert(ops::copy_engine_bytes == 65536);

/// Places of a lower tier, in pinned memory.
class Places {
 public:
  explicit Places(std::int64_t bytes, std::int64_t n = 1) : bytes_(bytes), n_(n) {
    memory_ = pinned_.allocate(n * bytes, 64);
    std::memset(memory_, 0, static_cast<std::size_t>(n * bytes));
  }
  Places(Places const&) = delete;
  Places& operator=(Places const&) = delete;
  ~Places() {
    cudaDeviceSynchronize();
    pinned_.deallocate(memory_, n_ * bytes_);
  }
  std::byte* operator[](std::int64_t i) { return memory_ + i * bytes_; }
  [[nodiscard]] int first(std::int64_t i) const { return std::to_integer<int>(memory_[i * bytes_]); }

 private:
  PinnedAllocator pinned_;
  std::int64_t bytes_, n_;
  std::byte* memory_;
};

template <class AnyCache>
void fill(AnyCache const& cache, int l, BlockId b, int number, cudaStream_t stream) {
  auto const bytes = static_cast<std::size_t>(cache.block_bytes(l));
  check_cuda(cudaMemsetAsync(cache.pool(l) + to_int(b) * cache.block_bytes(l), number, bytes, stream), "a fill");
}

/// Steps by two batches in turn, on two streams.
template <class C>
class DeviceDriver {
 public:
  using Cache = C;
  explicit DeviceDriver(Cache& c, std::uint32_t seed) : cache(c), random_(seed) {}

  std::byte* memory(std::int64_t bytes) {
    places_.push_back(std::make_unique<Places>(bytes));
    return (*places_.back())[0];
  }
  void upload(std::vector<BatchItem> const& items) {
    next_step();
    batches_[folio::test::below(random_, 2)].upload(items, *stream_);
  }
  void flush() {
    bool const is_due = !cache.moves().due().empty();
    cudaStream_t const before = *stream_;
    next_step();
    batches_[0].flush(*stream_);
    if (!is_due) stream_ = before == *streams_ ? streams_ : streams_ + 1;  // nothing was ordered
  }
  void fill(std::byte* to, std::int64_t bytes, int value) {
    check_cuda(cudaMemsetAsync(to, value, static_cast<std::size_t>(bytes), *stream_), "a fill");
  }
  /// What is there now: nothing is waited for.
  std::vector<std::byte> read(std::byte const* from, std::int64_t bytes) const {
    std::vector<std::byte> all(static_cast<std::size_t>(bytes));
    cudaPointerAttributes attributes{};
    check_cuda(cudaPointerGetAttributes(&attributes, from), "asking for memory");
    if (attributes.type == cudaMemoryTypeHost)
      std::memcpy(all.data(), from, all.size());
    else
      folio::test::DeviceAccess::read(from, all);
    return all;
  }
  static void wait() { folio::test::wait_for_device(); }

  Cache& cache;

 private:
  void next_step() { stream_ = streams_ + folio::test::below(random_, 2); }

  std::mt19937 random_;
  CudaStream streams_[2];
  CudaStream const* stream_ = streams_;
  DeviceBatch<typename Cache::View> batches_[2]{{cache, {4, 4, 200}}, {cache, {4, 4, 200}}};
  std::vector<std::unique_ptr<Places>> places_;
};

}  // namespace

TEMPLATE_TEST_CASE("what is moved out is what was there when it was noted, in random programs on late streams", "",
                   StepsCache<>, WideCache) {
  int num_checked = 0, num_copies = 0, num_reused = 0;
  bool const is_wide = std::is_same_v<TestType, WideCache>;
  for (std::uint32_t seed = 0; seed < (is_wide ? 4U : 40U); ++seed) {
    CAPTURE(seed);
    simt::streams(seed);
    TestType cache({.num_blocks = {9, 14}});
    DeviceDriver<TestType> driver(cache, seed + 100);
    folio::test::MovesProgram program(driver, seed, 30);
    program.run(is_wide ? 60 : 150);
    num_checked += program.num_checked();
    num_copies += program.num_copies();
    num_reused += program.num_reused();
  }
  CHECK(num_checked > (is_wide ? 30 : 500));
  CHECK(num_copies > (is_wide ? 10 : 200));
  CHECK((is_wide || num_reused > 20));
}

TEST_CASE("a block that was moved out has a new owner's bytes in the next step, and the old ones are outside") {
  simt::streams(GENERATE(range(0, 16)));
  StepsCache<> cache({.num_blocks = {1, 40}});
  Steps steps(cache);
  Places places(cache.block_bytes());
  cache.moves().reserve_out(1);
  CudaStream const first, second;
  Sequence a = cache.create(1);
  steps.batch().upload({&a}, first);
  fill(cache, 0, a.blocks()[0], 10, first);
  CHECK(cache.moves().move_out(0, a.blocks()[0], places[0]) == 1);
  a.release();
  Sequence b = cache.create(1);
  steps.batch().upload({&b}, second);
  fill(cache, 0, b.blocks()[0], 20, second);
  folio::test::wait_for_device();
  CHECK(places.first(0) == 10);
  CHECK(cache.moves().passed() == 1);
}

TEST_CASE("a flush makes what is due without a step, in the order of uploads, and the last step stays") {
  simt::streams(GENERATE(range(0, 16)));
  StepsCache<> cache({.num_blocks = {4, 40}});
  Steps steps(cache);
  Places places(cache.block_bytes(), 2);
  cache.moves().reserve_out(2);
  CudaStream const first, second;
  Sequence a = cache.create(1), b = cache.create(1);
  steps.batch().upload({&a, &b}, first);
  fill(cache, 0, a.blocks()[0], 10, first);
  steps.batch().flush(second);  // nothing is due
  fill(cache, 0, b.blocks()[0], 11, first);
  static_cast<void>(cache.moves().move_out(0, a.blocks()[0], places[0]));
  static_cast<void>(cache.moves().move_out(0, b.blocks()[0], places[1]));
  steps.batch().flush(second);
  CHECK(cache.moves().issued() == 1);
  CHECK_FALSE(steps.batch().is_stale());
  CHECK(steps.batch().tables().num_sequences() == 4);
  fill(cache, 0, a.blocks()[0], 20, second);
  steps.batch().upload({&b}, first);
  fill(cache, 0, b.blocks()[0], 21, first);
  folio::test::wait_for_device();
  CHECK(places.first(0) == 10);
  CHECK(places.first(1) == 11);
  CHECK(cache.moves().passed() == 1);
}

TEST_CASE("where nothing is due, a flush does nothing, and an upload no more than it did", "[stand_in]") {
  simt::streams(0);
  StepsCache<> cache({.num_blocks = {4, 40}});
  Steps steps(cache);
  CudaStream const stream, other;
  Sequence a = cache.create(1);
  steps.batch().upload({&a}, stream);
  auto const launches = simt::num_launches();
  simt::fail_next("cudaEventRecord", cudaErrorUnknown);
  simt::fail_next("cudaStreamWaitEvent", cudaErrorUnknown);
  steps.batch().flush(other);
  CHECK(simt::forget_failure());
  CHECK(simt::num_launches() == launches);
  simt::fail_next("cudaEventRecord", cudaErrorUnknown, 1);  // one, for the pinned memory
  steps.batch().upload({&a}, stream);
  CHECK(simt::forget_failure());
  CHECK(simt::num_launches() == launches);  // the same step again
  Sequence b = a.fork();
  b.extend(1);
  simt::fail_next("cudaEventRecord", cudaErrorUnknown, 1);  // copies on write have no tick
  steps.batch().upload({&b}, stream);
  CHECK(simt::forget_failure());
  CHECK(simt::num_launches() == launches + 2);  // the tables, and the copies of both groups
  CHECK(cache.moves().issued() == 0);
  folio::test::wait_for_device();
}

TEST_CASE("ticks pass in their order, together where there are more than events, and nothing waits", "[stand_in]") {
  simt::streams(0);  // nothing runs by itself but one operation for each question
  StepsCache<> cache({.num_blocks = {4, 40}});
  Steps steps(cache);
  constexpr std::int64_t num_ticks = 3 * detail::MoveEvents::capacity;
  Places places(cache.block_bytes(), num_ticks);
  BlockMoves& moves = cache.moves();
  moves.reserve_out(1);
  CudaStream const stream;
  Sequence a = cache.create(1);
  steps.batch().upload({&a}, stream);
  stream.wait();
  auto const waits = simt::num_host_waits();
  for (int i = 0; i < 1000; ++i) fill(cache, 0, a.blocks()[0], 0, stream);
  for (std::int64_t tick = 1; tick <= num_ticks; ++tick) {
    fill(cache, 0, a.blocks()[0], static_cast<int>(tick), stream);
    CHECK(moves.move_out(0, a.blocks()[0], places[tick - 1]) == tick);
    steps.batch().flush(stream);
    CHECK(moves.issued() == tick);
    CHECK(moves.passed() == 0);
  }
  CHECK(simt::num_host_waits() == waits);
  stream.wait();
  CHECK(moves.passed() == num_ticks);
  for (std::int64_t tick = 1; tick <= num_ticks; ++tick) CHECK(places.first(tick - 1) == static_cast<int>(tick));
  static_cast<void>(moves.move_out(0, a.blocks()[0], places[0]));
  CHECK(moves.passed() == num_ticks);
  for (int i = 0; i < 10; ++i) fill(cache, 0, a.blocks()[0], 0, stream);
  steps.batch().flush(stream);
  CHECK(moves.passed() == num_ticks);  // the tick that was issued since has not passed
  stream.wait();
  CHECK(moves.passed() == num_ticks + 1);
}

TEST_CASE("ticks that share an event pass with the last of them, and those before them alone", "[stand_in]") {
  simt::streams(0);
  StepsCache<> cache({.num_blocks = {4, 40}});
  Steps steps(cache);
  Places places(cache.block_bytes());
  BlockMoves& moves = cache.moves();
  moves.reserve_out(1);
  CudaStream const stream;
  Sequence a = cache.create(1);
  steps.batch().upload({&a}, stream);
  auto const keep_busy = [&] {
    for (int i = 0; i < 100; ++i) fill(cache, 0, a.blocks()[0], 0, stream);
  };
  CudaEvent third, fifth;
  keep_busy();
  for (std::int64_t tick = 1; tick <= 6; ++tick) {  // the fourth event is that of ticks 4, 5 and 6
    static_cast<void>(moves.move_out(0, a.blocks()[0], places[0]));
    steps.batch().flush(stream);
    if (tick == 3) third.record(stream);
    if (tick == 5) fifth.record(stream);
    if (tick >= 3) keep_busy();
  }
  CHECK(moves.passed() == 0);
  while (!third.done()) continue;  // each question lets one operation run
  CHECK(moves.passed() == 3);
  while (!fifth.done()) continue;
  CHECK(moves.passed() == 3);
  stream.wait();
  CHECK(moves.passed() == 6);
}

TEST_CASE("a tick that has passed is in memory, whatever the order of streams") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    simt::streams(seed);
    StepsCache<> cache({.num_blocks = {4, 40}});
    Steps steps(cache);
    constexpr std::int64_t num_ticks = 12;
    Places places(cache.block_bytes(), num_ticks);
    BlockMoves& moves = cache.moves();
    moves.reserve_out(1);
    CudaStream const streams[2];
    Sequence a = cache.create(1);
    steps.batch().upload({&a}, streams[0]);
    for (std::int64_t tick = 1; tick <= num_ticks; ++tick) {
      fill(cache, 0, a.blocks()[0], static_cast<int>(tick), streams[(tick - 1) % 2]);
      static_cast<void>(moves.move_out(0, a.blocks()[0], places[tick - 1]));
      steps.batch().flush(streams[tick % 2]);
      std::int64_t const passed = moves.passed();
      for (std::int64_t t = 1; t <= passed; ++t) REQUIRE(places.first(t - 1) == static_cast<int>(t));
    }
    folio::test::wait_for_device();
    REQUIRE(moves.passed() == num_ticks);
  }
}

TEST_CASE("a flush that failed at any call leaves what was not launched due, and the next one makes it", "[stand_in]") {
  int num_failed = 0;
  for (std::int64_t n = 0, failed = 1; failed != 0; ++n) {
    simt::streams(static_cast<std::uint64_t>(n));
    StepsCache<> cache({.num_blocks = {8, 40}});
    Steps steps(cache);
    Places places(cache.block_bytes(), 2);
    BlockMoves& moves = cache.moves();
    moves.reserve_out(2);
    CudaStream const first, second;
    Sequence a = cache.create(4), b = cache.create(3);
    steps.batch().upload({&a, &b}, first);
    BlockId const x = a.blocks()[0], y = b.blocks()[0];
    fill(cache, 0, x, 10, first);
    fill(cache, 0, y, 20, first);
    // Out, over it, and out again: three runs.
    static_cast<void>(moves.move_out(0, x, places[0]));
    Sequence fork = b.fork();
    fork.extend(1);
    BlockId const z = fork.blocks()[0];
    static_cast<void>(moves.move_out(0, z, places[1]));
    simt::fail_next("", cudaErrorUnknown, n);
    failed = 0;
    try {
      steps.batch().flush(second);
    } catch (CudaError const&) {
      failed = 1;
      ++num_failed;
      CHECK(moves.issued() == 0);
      CHECK(moves.passed() == 0);
    }
    REQUIRE(simt::forget_failure() == (failed == 0));
    steps.batch().flush(second);
    CHECK(moves.due().empty());
    CHECK(moves.issued() == 1);
    folio::test::wait_for_device();
    CHECK(moves.passed() == 1);
    CHECK(places.first(0) == 10);
    CHECK(places.first(1) == 20);
  }
  CHECK(num_failed >= 5);
  CHECK(folio::test::leaks().empty());
}

TEST_CASE("moves are not made on a stream that is captured") {
  StepsCache<> cache({.num_blocks = {4, 40}});
  Steps steps(cache);
  CudaStream const stream;
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
  CHECK_THAT(error_of<Error>([&] { steps.batch().flush(stream); }),
             folio::test::contains("moves that are due are made before a graph is launched"));
  check_cuda(cudaStreamEndCapture(stream, &graph), "capturing");
  cudaGraphDestroy(graph);
}

TEST_CASE("a pool does not shrink below blocks that are still to be moved out") {
  StepsCache<VirtualAllocator> cache({.num_blocks = {8, 20}}, VirtualAllocator(1 << 26, 0, 1));
  Steps steps(cache);
  Places places(cache.block_bytes());
  cache.moves().reserve_out(1);
  CudaStream const stream;
  Sequence low = cache.create(4), high = cache.create(20);  // blocks 2 to 6
  steps.batch().upload({&low}, stream);
  REQUIRE(high.blocks()[4] == BlockId{6});
  static_cast<void>(cache.moves().move_out(0, BlockId{6}, places[0]));
  high.release();
  stream.wait();
  CHECK_THAT(error_of<Error>([&] { cache.resize(5); }), folio::test::contains("block 6 is still to be copied"));
  CHECK(cache.num_blocks() == 8);
  cache.resize(19, 1);  // of the other group's pool, which has such a block, too
  steps.batch().flush(stream);
  stream.wait();
  cache.resize(5);
  CHECK(cache.num_blocks() == 5);
}
