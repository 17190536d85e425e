// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// DeviceBatch: a step's tables come to the device whole, in time, in order, and at the same place.
#include "device/steps.hpp"
//
#include <memory>

#include "device/fault_injection.hpp"

namespace {

using namespace folio;
using folio::test::contains;
using folio_test::CudaStream;
using folio_test::error_of;
using folio_test::leaks;
using folio_test::numbers_of;
using folio_test::Steps;
using folio_test::tokens_in;
using Cache = folio_test::StepsCache<>;

std::vector<std::int64_t> expected(Steps& steps) { return numbers_of(steps.batch().tables(), 2); }

/// A cache, two sequences of it, and streams.
struct Fixture {
  Cache cache{{.num_blocks = {40, 80}}};
  Sequence a = cache.create(5), b = cache.create(9);
  Steps steps{cache};
  CudaStream first, second;
};

constexpr int some_seeds = 8;

}  // namespace

TEST_CASE("a step is one copy to the device, and the host does not wait for it", "[stand_in]") {
  simt::streams(GENERATE(0, 1, 2));
  Fixture f;
  for (int step = 0; step < 10; ++step) {
    f.a.append(1);
    f.b.append(2);
    std::int64_t const copies = simt::num_copies_to_device(), waits = simt::num_host_waits(),
                       launches = simt::num_launches();
    f.steps.batch().upload({&f.a, &f.b}, f.first);
    CHECK(simt::num_copies_to_device() == copies + 1);
    CHECK(simt::num_host_waits() == waits);
    CHECK(simt::num_launches() == launches);
    f.first.wait();  // as the user does, for the step's tokens
  }
  CHECK(simt::num_pageable_copies() == 0);
}

TEST_CASE("the host waits where the copy of the step before the last has not run", "[stand_in]") {
  simt::streams(0);  // nothing runs by itself
  Fixture f;
  std::int64_t const waits = simt::num_host_waits();
  f.steps.batch().upload({&f.a}, f.first);
  f.steps.batch().upload({&f.a}, f.first);
  CHECK(simt::num_host_waits() == waits);
  f.steps.batch().upload({&f.a}, f.first);
  CHECK(simt::num_host_waits() == waits + 1);
  f.first.wait();
}

TEST_CASE("addresses and sizes in the view stay the same") {
  Fixture f;
  auto const before = f.steps.batch().view();
  f.steps.batch().upload({}, f.first);
  f.a.append(15);
  f.steps.batch().upload({&f.a, {&f.b, 3}}, f.first);
  auto const after = f.steps.batch().view();
  CHECK(after.num_sequences() == 4);
  CHECK(after.num_query_tokens() == 24);
  CHECK(after.num_sequences() == before.num_sequences());
  CHECK(after.num_query_tokens() == before.num_query_tokens());
  for (int g = 0; g < 2; ++g) {
    CHECK(after.group(g).blocks == before.group(g).blocks);
    CHECK(after.group(g).slots == before.group(g).slots);
    CHECK(after.group(g).width == before.group(g).width);
    CHECK(after.group(g).pool == f.cache.pool(g));
  }
  CHECK(before.group(0).width == 16);
  CHECK(before.group(1).width == 32);
  f.first.wait();
}

TEST_CASE("of a larger step nothing is left in the padding of a smaller one") {
  simt::streams(GENERATE(range(0, some_seeds)));
  Fixture f;
  Sequence const c = f.cache.create(7), d = f.cache.create(3);
  f.steps.batch().upload({&f.a, &f.b, &c, &d}, f.first);  // all rows, and all 24 slots
  auto const& large = f.steps.record(f.first);
  auto const large_tables = expected(f.steps);
  f.steps.batch().upload({{&d, 1}}, f.first);
  auto const& small = f.steps.record(f.first);
  f.steps.batch().upload({}, f.first);
  auto const& empty = f.steps.record(f.first);
  f.first.wait();
  CHECK(large.to_vector() == large_tables);

  std::vector<std::int64_t> tables{3, 0, 0, 0, 0, 1, 1, 1, 1};  // lengths and query starts
  std::vector<std::int64_t> none(9, 0);
  for (int g = 0; g < 2; ++g) {
    std::vector<std::int64_t> blocks(4 * (g == 0 ? 16 : 32)), slots(24, -1);
    none.insert(none.end(), blocks.begin(), blocks.end());
    none.insert(none.end(), slots.begin(), slots.end());
    std::span<BlockId const> const held = d.blocks(g);
    for (std::size_t i = 0; i < held.size(); ++i) blocks[i] = to_int(held[i]);
    slots[0] = g == 0 ? to_int(held[0]) * 4 + 2 : to_int(held[1]) * 2;
    tables.insert(tables.end(), blocks.begin(), blocks.end());
    tables.insert(tables.end(), slots.begin(), slots.end());
  }
  CHECK(small.to_vector() == tables);
  CHECK(empty.to_vector() == none);
}

TEST_CASE("a step that is too large is refused, and the last one stays") {
  Fixture f;
  Sequence const c = f.cache.create(3), d = f.cache.create(3), e = f.cache.create(1);
  Sequence long_one = f.cache.create(64);
  f.steps.batch().upload({&f.a, &c}, f.first);
  f.first.wait();
  auto const tables = expected(f.steps);
  auto const refused = [&](std::vector<BatchItem> const& items) {
    std::string const what = error_of<Error>([&] { f.steps.batch().upload(items, f.first); });
    CHECK(expected(f.steps) == tables);
    auto const& seen = f.steps.record(f.first);
    f.first.wait();
    CHECK(seen.to_vector() == tables);
    return what;
  };
  CHECK_THAT(refused({&f.a, &f.b, &c, &d, &e}),
             contains("at most 4 sequences, 24 query tokens and 64 tokens; this step has 5 sequences, 21 query"));
  CHECK_THAT(refused({&f.a, {&long_one, 20}}), contains("this step has 2 sequences, 25 query tokens and 64 tokens"));
  long_one.append(1);
  CHECK_THAT(refused({&long_one}), contains("this step has 1 sequences, 1 query tokens and 65 tokens"));

  Cache other({.num_blocks = {9, 9}});
  Sequence const stranger = other.create(1);
  CHECK_THAT(refused({&stranger}), contains("belongs to another cache"));
  CHECK_THAT(refused({BatchItem(nullptr)}), contains("an empty Sequence"));
  CHECK_THAT(refused({{&c, 4}}), contains("cannot have 4 query tokens"));
}

TEST_CASE("steps need sequences, query tokens and tokens") {
  Cache const cache({.num_blocks = {1, 1}});
  CHECK_THROWS_WITH(DeviceBatch(cache, {0, 1, 1}), contains("not 0 sequences, 1 query tokens and 1 tokens"));
  CHECK_THROWS_AS(DeviceBatch(cache, {1, 0, 1}), Error);
  CHECK_THROWS_AS(DeviceBatch(cache, {1, 1, -1}), Error);
}

TEST_CASE("kernels between uploads that nobody waits for see their own step's tables") {
  simt::streams(GENERATE(range(0, 3 * some_seeds)));
  int const change_stream_every = GENERATE(0, 1, 2);
  Fixture f;
  std::deque<std::vector<std::int64_t>> wanted;
  std::deque<simt::Buffer<std::int64_t> const*> seen;
  for (int step = 0; step < 7; ++step) {
    bool const is_first = change_stream_every == 0 || step / change_stream_every % 2 == 0;
    cudaStream_t const stream = is_first ? f.first : f.second;
    f.a.append(step % 3);
    f.b.append(1);
    if (step % 2 == 0)
      f.steps.batch().upload({&f.a, &f.b}, stream);
    else
      f.steps.batch().upload({&f.b}, stream);
    wanted.push_back(expected(f.steps));
    seen.push_back(&f.steps.record(stream));
  }
  folio_test::wait_for_device();
  for (std::size_t step = 0; step < seen.size(); ++step) {
    INFO("step " << step);
    CHECK(seen[step]->to_vector() == wanted[step]);
  }
}

TEST_CASE("an upload that came before the last step's kernels would be seen", "[stand_in]") {
  int num_seen = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    simt::streams(seed);
    Fixture f;
    f.steps.batch().upload({&f.a}, f.first);
    f.first.wait();
    auto const tables = expected(f.steps);
    auto const& seen = f.steps.record(f.first);
    // The copy that an upload on another stream makes, without its wait.
    PinnedAllocator pinned;
    auto const bytes = static_cast<std::int64_t>(f.steps.batch().tables().bytes().size());
    std::byte* const staging = pinned.allocate(bytes, 64);
    std::memset(staging, 0, static_cast<std::size_t>(bytes));
    auto* const on_device = const_cast<std::int64_t*>(f.steps.batch().view().group(0).slots);  // the first array
    check_cuda(cudaMemcpyAsync(on_device, staging, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, f.second),
               "a copy");
    folio_test::wait_for_device();
    pinned.deallocate(staging, bytes);
    if (seen.to_vector() != tables) ++num_seen;
  }
  CHECK(num_seen >= 3);
  CHECK(num_seen <= 17);
}

TEST_CASE("two batches of a cache keep the order of their uploads") {
  simt::streams(GENERATE(range(0, 2 * some_seeds)));
  Fixture f;
  Steps others(f.cache);
  f.steps.write({&f.a}, 100, f.first);
  others.write({&f.a}, 200, f.second);  // the same tokens again
  auto const& seen = others.read(0, 5, f.second);
  f.steps.batch().upload({{&f.a, 1}}, f.first);
  f.steps.write_again(300, f.first);
  others.batch().upload({&f.a}, f.second);
  auto const& last = others.read(0, 5, f.second);
  folio_test::wait_for_device();
  CHECK(tokens_in(seen) == std::vector<int>{200, 201, 202, 203, 204});
  CHECK(tokens_in(last) == std::vector<int>{200, 201, 202, 203, 300});
}

TEST_CASE("a graph that was captured with the view replays with each upload") {
  simt::streams(GENERATE(range(0, some_seeds)));
  Fixture f;
  f.steps.batch().upload({&f.a}, f.first);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  check_cuda(cudaStreamBeginCapture(f.first, cudaStreamCaptureModeGlobal), "capturing");
  auto const& tables = f.steps.record(f.first);
  auto const& tokens = f.steps.read(1, 9, f.first);
  check_cuda(cudaStreamEndCapture(f.first, &graph), "capturing");
  check_cuda(cudaGraphInstantiate(&replay, graph, 0), "making a graph");
  for (int step = 0; step < 4; ++step) {
    cudaStream_t const stream = step % 2 == 0 ? f.first : f.second;
    f.a.append(1);
    f.steps.write({{&f.a, 2}, {&f.b, 9}}, 100 * step, stream);
    check_cuda(cudaGraphLaunch(replay, stream), "a graph");
    folio_test::wait_for_device();
    CHECK(tables.to_vector() == expected(f.steps));
    CHECK(tokens_in(tokens).front() == 100 * step + 2);
    CHECK(tokens_in(tokens).back() == 100 * step + 10);
  }
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
}

TEST_CASE("a batch and its sequences may outlive the cache") {
  simt::streams(GENERATE(range(0, some_seeds)));
  CudaStream const stream;
  auto const before = leaks();
  {
    auto cache = std::make_unique<Cache>(CacheConfig{.num_blocks = {20, 40}});
    Sequence a = cache->create(5);
    Steps steps(*cache);
    cache.reset();
    steps.write({&a}, 10, stream);
    a.append(2);
    steps.write({&a}, 20, stream);
    auto const& seen = steps.read(0, 7, stream);
    stream.wait();
    CHECK(tokens_in(seen) == std::vector<int>{10, 11, 12, 13, 14, 20, 21});
  }
  CHECK(leaks() == before);
}

TEST_CASE("a batch that goes while its step runs lets the step end") {
  simt::streams(GENERATE(range(0, 2 * some_seeds)));
  Fixture f;
  simt::Buffer<float> const rows(5 * Steps::row, "read rows");
  {
    Steps shortlived(f.cache);
    shortlived.write({&f.a}, 10, f.first);
    f.steps.batch() = std::move(shortlived.batch());
    ops::gather(f.steps.batch().view(), 0, 0, 0, 5, rows.data(), nullptr, f.first);
    f.steps.batch() = DeviceBatch(f.cache, {1, 1, 1});
  }
  folio_test::wait_for_device();
  CHECK(tokens_in(rows) == std::vector<int>{10, 11, 12, 13, 14});
}

TEST_CASE("a batch that cannot be made, or a step that fails at any call, leaves nothing behind", "[stand_in]") {
  simt::streams(0);
  CudaStream const first, second;
  auto const calls = folio_test::fail_at_every_call([&] {
    Cache cache({.num_blocks = {20, 40}});
    Sequence const a = cache.create(5);
    Sequence b = a.fork();
    b.append(1);
    DeviceBatch batch(cache, {2, 8, 64});
    batch.upload({&a, &b}, first);
    BlockHold hold;
    hold.hold(a, first);
    batch.upload({&b}, second);
  });
  CHECK(calls > 20);
}

TEST_CASE("a step that failed at any call can be uploaded again", "[stand_in]") {
  for (std::int64_t n = 0, failed = 1; failed != 0; ++n) {
    simt::streams(static_cast<std::uint64_t>(n));
    Fixture f;
    f.steps.write({&f.a}, 10, f.first);
    Sequence child = f.a.fork();
    child.append(1);
    f.a.append(1);
    simt::fail_next("", cudaErrorUnknown, n);
    failed = 0;
    try {
      f.steps.batch().upload({&f.a, &child}, f.second);
    } catch (CudaError const&) {
      failed = 1;
    }
    REQUIRE(simt::forget_failure() == (failed == 0));
    f.steps.write({&f.a, &child}, 20, f.second);
    auto const& parents = f.steps.read(0, 6, f.second);
    auto const& childs = f.steps.read(1, 6, f.second);
    folio_test::wait_for_device();
    CHECK(tokens_in(parents) == std::vector<int>{10, 11, 12, 13, 14, 20});
    CHECK(tokens_in(childs) == std::vector<int>{10, 11, 12, 13, 14, 21});
  }
}
