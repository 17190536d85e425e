// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// DeviceBatch: a step's tables come to the device whole, in time, in order, and at the same place.
#include "support/device_steps.hpp"
//
#include <memory>

#include "support/fault_injection.hpp"

namespace {

using namespace folio;
using folio::test::contains;
using folio::test::CudaStream;
using folio::test::error_of;
using folio::test::leaks;
using folio::test::numbers_of;
using folio::test::Steps;
using folio::test::tokens_in;
using Cache = folio::test::StepsCache<>;

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

TEST_CASE("a step is one kernel and no copy, and the host does not wait for it", "[stand_in]") {
  simt::streams(GENERATE(0, 1, 2));
  Fixture f;
  for (int step = 0; step < 10; ++step) {
    f.a.extend(1);
    f.b.extend(2);
    std::int64_t const copies = simt::num_copies_to_device(), waits = simt::num_host_waits(),
                       launches = simt::num_launches();
    f.steps.batch().upload({&f.a, &f.b}, f.first);
    CHECK(simt::num_copies_to_device() == copies);
    CHECK(simt::num_host_waits() == waits);
    CHECK(simt::num_launches() == launches + 1);
    f.first.wait();  // as the user does, for the step's tokens
  }
  CHECK(simt::num_pageable_copies() == 0);
}

TEST_CASE("the host waits where the kernel of the step before the last has not run", "[stand_in]") {
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

TEST_CASE("a step is stale when one of its sequences has given a block back since the upload, and its view says so") {
  Fixture f;
  CHECK_FALSE(f.steps.batch().is_stale());  // nothing was uploaded
  f.steps.batch().upload({&f.a, &f.b}, f.first);
  f.a.extend(1);  // more slots take nothing away
  CHECK_FALSE(f.steps.batch().is_stale());
  static_cast<void>(f.steps.batch().view());
  f.b.truncate(1);
  CHECK(f.steps.batch().is_stale());
#ifdef NDEBUG
  static_cast<void>(f.steps.batch().view());
#else
  CHECK_THROWS_WITH(f.steps.batch().view(), contains("this batch is stale: one of its sequences gave back"));
#endif
  f.steps.batch().upload({&f.a, &f.b}, f.first);
  CHECK_FALSE(f.steps.batch().is_stale());
  static_cast<void>(f.steps.batch().view());
}

TEST_CASE("addresses and sizes in the view stay the same") {
  Fixture f;
  auto const before = f.steps.batch().view();
  f.steps.batch().upload({}, f.first);
  f.a.extend(15);
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
  CHECK(before.group(1).width == 16);  // of 31 tokens: the window before the first of 24 queries, and these
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

  std::vector<std::int64_t> tables{3, 0, 0, 0, 0, 1, 1, 1, 1};  // end positions and query starts
  std::vector<std::int64_t> none(9, 0);
  for (int g = 0; g < 2; ++g) {
    std::vector<std::int64_t> lengths(4), blocks(std::size_t{4} * 16), slots(24, -1);
    none.insert(none.end(), lengths.begin(), lengths.end());
    none.insert(none.end(), blocks.begin(), blocks.end());
    none.insert(none.end(), slots.begin(), slots.end());
    std::span<BlockId const> const held = d.blocks(g);
    for (std::size_t i = 0; i < held.size(); ++i) blocks[i] = to_int(held[i]);
    slots[0] = g == 0 ? to_int(held[0]) * 4 + 2 : to_int(held[1]) * 2;
    lengths[0] = 3;
    tables.insert(tables.end(), lengths.begin(), lengths.end());
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
  long_one.extend(1);
  CHECK_THAT(refused({&long_one}), contains("this step has 1 sequences, 1 query tokens and 65 tokens"));

  Cache other({.num_blocks = {9, 9}});
  Sequence const stranger = other.create(1);
  CHECK_THAT(refused({&stranger}), contains("belongs to another cache"));
  CHECK_THAT(refused({BatchItem(nullptr)}), contains("an empty Sequence"));
  CHECK_THAT(refused({{&c, 4}}), contains("cannot have 4 query tokens"));
}

TEST_CASE("steps need sequences, query tokens and tokens") {
  Cache cache({.num_blocks = {1, 1}});
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
    f.a.extend(step % 3);
    f.b.extend(1);
    if (step % 2 == 0)
      f.steps.batch().upload({&f.a, &f.b}, stream);
    else
      f.steps.batch().upload({&f.b}, stream);
    wanted.push_back(expected(f.steps));
    seen.push_back(&f.steps.record(stream));
  }
  folio::test::wait_for_device();
  for (std::size_t step = 0; step < seen.size(); ++step) {
    INFO("step " << step);
    CHECK(seen[step]->to_vector() == wanted[step]);
  }
}

TEST_CASE("what a cut leaves of one group comes to the device, and the other group and the positions stay") {
  simt::streams(GENERATE(range(0, some_seeds)));
  Fixture f;
  std::deque<std::vector<std::int64_t>> wanted;
  std::deque<simt::Buffer<std::int64_t> const*> seen;
  auto const record = [&](std::vector<std::int32_t> const& ends, std::vector<std::int32_t> const& in_full,
                          std::vector<std::int32_t> const& in_window) {
    auto const starts_with = [](std::span<std::int32_t const> table, std::vector<std::int32_t> const& numbers) {
      return std::equal(numbers.begin(), numbers.end(), table.begin());
    };
    BatchTables const& tables = f.steps.batch().tables();
    CHECK(starts_with(tables.end_positions(), ends));
    CHECK(starts_with(tables.lengths(0), in_full));
    CHECK(starts_with(tables.lengths(1), in_window));
    wanted.push_back(expected(f.steps));
    seen.push_back(&f.steps.record(f.first));
  };
  f.steps.write({&f.a, &f.b}, 10, f.first);  // a holds 10 to 14, and b 15 to 23
  record({5, 9}, {5, 9}, {5, 9});
  f.b.cut(4, 4, 0);
  f.b.extend(1);
  f.steps.write({{&f.a, 0}, &f.b}, 50, f.first);
  record({5, 10}, {5, 6}, {5, 10});
  auto const& after_one = f.steps.read(1, 6, f.first);
  f.b.cut(0, 4, 0);  // the only change between two uploads
  f.steps.batch().upload({{&f.a, 0}, {&f.b, 1}}, f.first);
  record({5, 10}, {5, 2}, {5, 10});
  auto const& after_two = f.steps.read(1, 2, f.first);
  folio::test::wait_for_device();
  for (std::size_t step = 0; step < seen.size(); ++step) {
    INFO("step " << step);
    CHECK(seen[step]->to_vector() == wanted[step]);
  }
  CHECK(tokens_in(after_one) == std::vector<int>{15, 16, 17, 18, 23, 50});
  CHECK(tokens_in(after_two) == std::vector<int>{23, 50});
}

TEST_CASE("an upload that came before the last step's kernels would be seen", "[stand_in]") {
  bool was_seen[2] = {};
  for (std::uint64_t seed = 1; seed <= 100 && !(was_seen[0] && was_seen[1]); ++seed) {
    simt::streams(seed);
    Fixture f;
    f.steps.batch().upload({&f.a}, f.first);
    f.first.wait();
    auto const tables = expected(f.steps);
    auto const& seen = f.steps.record(f.first);
    // What an upload on another stream does, without its wait.
    PinnedAllocator pinned;
    auto const bytes = static_cast<std::int64_t>(f.steps.batch().tables().bytes().size());
    std::byte* const staging = pinned.allocate(bytes, 64);
    std::memset(staging, 0, static_cast<std::size_t>(bytes));
    auto* const on_device = const_cast<std::int32_t*>(f.steps.batch().view().group(0).blocks);  // the first array
    check_cuda(cudaMemcpyAsync(on_device, staging, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, f.second),
               "a copy");
    folio::test::wait_for_device();
    pinned.deallocate(staging, bytes);
    was_seen[seen.to_vector() != tables ? 1 : 0] = true;
  }
  CHECK(was_seen[0]);
  CHECK(was_seen[1]);
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
  folio::test::wait_for_device();
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
    f.a.extend(1);
    f.steps.write({{&f.a, 2}, {&f.b, 9}}, 100 * step, stream);
    check_cuda(cudaGraphLaunch(replay, stream), "a graph");
    folio::test::wait_for_device();
    CHECK(tables.to_vector() == expected(f.steps));
    CHECK(tokens_in(tokens).front() == 100 * step + 2);
    CHECK(tokens_in(tokens).back() == 100 * step + 10);
  }
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
}

TEST_CASE("an upload moves what the step changes, however large the tables are") {
  // Two shapes of engines: full attention, and a hybrid with windows of 1,024 tokens.
  constexpr ModelConfig full{.layers = 1, .kv_heads = 1, .head_dim = 16};
  constexpr ModelConfig hybrid{.layers = 2,
                               .kv_heads = 1,
                               .head_dim = 16,
                               .groups = {full_attention(), sliding_window(1024)},
                               .pattern = repeat_groups({0, 1})};
  CudaStream const stream;
  auto const check = [&](auto& cache, std::int32_t num_sequences, std::int64_t for_a_token) {
    DeviceBatch batch(cache, {num_sequences, num_sequences, 131072});
    std::vector<Sequence> sequences;
    for (std::int32_t const length : {20, 33, 40, 47}) sequences.push_back(cache.create(length));
    auto const upload = [&](std::int32_t queries) {
      std::vector<BatchItem> items;
      for (Sequence const& s : sequences) items.emplace_back(&s, queries);
      batch.upload(items, stream);
      return batch.upload_bytes();
    };
    CHECK(upload(20) < 160 * for_a_token + 8 * num_sequences);  // slots and blocks, and a word for each query start
    CHECK(upload(0) < 160 * for_a_token + 8 * num_sequences);   // the same slots become padding
    CHECK(upload(0) == 0);
    for (Sequence& s : sequences) s.extend(1);
    CHECK(upload(1) < 8 * for_a_token + 8 * num_sequences);
    for (Sequence& s : sequences) s.extend(1);  // the last one begins a block with it
    CHECK(upload(1) < 8 * for_a_token);
    sequences.resize(1);
    CHECK(upload(1) < 8 * for_a_token + 8 * num_sequences);
    stream.wait();
    return batch.view();
  };
  KvCache<Model<full>, F32, DeviceAllocator> cache({.num_blocks = {32}});
  KvCache<Model<hybrid>, F32, DeviceAllocator> windows({.num_blocks = {32, 32}});
  CHECK(check(cache, 256, 20).group(0).width == 8192);
  auto const view = check(windows, 512, 40);
  CHECK(view.group(0).width == 8192);
  CHECK(view.group(1).width == 97);  // 512 query tokens, and 1,023 before the first of them
}

TEST_CASE("a step of any size comes to the device, whatever was there before") {
  simt::streams(GENERATE(range(0, 4)));
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 8};
  using LargeCache = KvCache<Model<model>, BlockSize<1>, F32, DeviceAllocator>;
  using View = LargeCache::View;
  LargeCache cache({.num_blocks = {32000}});
  DeviceBatch<View> batch(cache, {4, 3000, 9000});
  CudaStream const stream;
  Sequence filler[3];
  for (int step = 0; step < 6; ++step) {
    // Long rows at one time, and every second or third block of them another at the next: many runs, and long ones.
    std::vector<Sequence> rows;
    for (int i = 0; i < 2 + step % 2; ++i) rows.push_back(cache.create());
    for (int token = 0; token < 5000; ++token)
      for (std::size_t i = 0; i < rows.size(); ++i)
        if ((token + static_cast<int>(i)) % (step + 1) != 0 || step == 0) rows[i].extend(1);
    std::vector<BatchItem> items;
    for (Sequence const& row : rows) items.emplace_back(&row, std::min(row.num_tokens(), 900 + 10 * step));
    batch.upload(items, stream);
    std::vector<std::int64_t> const wanted = numbers_of(batch.tables(), 1);
    simt::Buffer<std::int64_t> const seen(wanted.size(), "tables");
    ops::launch(folio::test::record_tables_kernel<View>, 1, 1, 0, stream, static_cast<View const&>(batch.view()),
                seen.data());
    stream.wait();
    CHECK(seen.to_vector() == wanted);
    filler[step % 3] = std::move(rows[0]);  // the next rows have other blocks
  }
}

TEST_CASE("a step is not uploaded, and blocks are not held, on a stream that is captured") {
  simt::streams(GENERATE(0, 1, 2));
  Fixture f;
  f.steps.write({&f.a}, 10, f.first);
  auto const tables = expected(f.steps);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  check_cuda(cudaStreamBeginCapture(f.first, cudaStreamCaptureModeThreadLocal), "capturing");
  auto const& tokens = f.steps.read(0, 5, f.first);
  CHECK_THAT(error_of<Error>([&] { f.steps.batch().upload({&f.b}, f.first); }),
             contains("the stream is being captured into a graph: a step is uploaded before"));
  BlockHold hold;
  CHECK_THAT(error_of<Error>([&] { hold.hold(f.a, f.first); }), contains("blocks are held for work that was launched"));
  check_cuda(cudaStreamEndCapture(f.first, &graph), "capturing");  // which the refusals have not spoiled
  CHECK(hold.release_done() == 0);
  CHECK(expected(f.steps) == tables);
  check_cuda(cudaGraphInstantiate(&replay, graph, 0), "making a graph");
  f.steps.batch().upload({{&f.a, 0}}, f.first);
  check_cuda(cudaGraphLaunch(replay, f.first), "a graph");
  f.first.wait();
  CHECK(tokens_in(tokens) == std::vector<int>{10, 11, 12, 13, 14});
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
}

TEST_CASE("a stream that was retired may go while its step runs, and the next step comes after it") {
  simt::streams(GENERATE(range(0, 2 * some_seeds)));
  bool const by_another_batch = GENERATE(false, true);
  Fixture f;
  Steps others(f.cache);
  simt::Buffer<float> const rows(5 * Steps::row, "read rows");
  {
    CudaStream const request;
    f.steps.write({&f.a}, 10, request);
    ops::gather(f.steps.batch().view(), 0, {0, 0, 5}, rows.data(), nullptr, request);
    f.steps.batch().retire(f.second);  // not the last upload's: nothing to do
    f.steps.batch().retire(request);
  }
  Steps& next = by_another_batch ? others : f.steps;
  next.write({&f.a}, 20, f.second);  // the same tokens
  next.batch().upload({{&f.a, 0}}, f.first);
  auto const& seen = next.read(0, 5, f.first);
  folio::test::wait_for_device();
  CHECK(tokens_in(rows) == std::vector<int>{10, 11, 12, 13, 14});
  CHECK(tokens_in(seen) == std::vector<int>{20, 21, 22, 23, 24});
}

TEST_CASE("a stream that took the handle of one that was not retired is another, and waits", "[stand_in]") {
  simt::streams(0);
  int num_same = 0;
  for (int tries = 0; tries < 20 && num_same == 0; ++tries) {
    Fixture f;
    cudaStream_t stream = nullptr, heir = nullptr;
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
    f.steps.batch().upload({&f.a}, stream);
    check_cuda(cudaStreamSynchronize(stream), "waiting");
    check_cuda(cudaStreamDestroy(stream), "destroying a stream");
    check_cuda(cudaStreamCreateWithFlags(&heir, cudaStreamNonBlocking), "making a stream");
    if (heir == stream) {
      ++num_same;
      std::int64_t const waits = simt::num_host_waits();
      f.steps.batch().upload({&f.a}, heir);
      CHECK(simt::num_host_waits() == waits + 1);
      f.steps.batch().upload({&f.a}, heir);
      CHECK(simt::num_host_waits() == waits + 1);
    } else {
      CHECK_THROWS_AS(f.steps.batch().upload({&f.a}, heir), CudaError);
    }
    folio::test::wait_for_device();
    f.steps.batch().retire(heir);
    check_cuda(cudaStreamDestroy(heir), "destroying a stream");
  }
  if (num_same == 0) FOLIO_SKIP("this heap gave no stream the address of one that had gone");
}

TEST_CASE("tables take no memory pool of their own", "[stand_in]") {
  Fixture f;
  simt::fail_next("cudaMemPoolCreate", cudaErrorUnknown, 0);
  Steps others(f.cache);
  CHECK(simt::forget_failure());  // nobody asked for one
}

TEST_CASE("memory of a cache whose stream is gone is given back all the same", "[stand_in]") {
  simt::streams(GENERATE(0, 1, 2));
  auto const before = leaks();
  {
    auto const stream = std::make_unique<CudaStream>();
    std::unique_ptr<CudaStream> gone = std::make_unique<CudaStream>();
    Cache cache({.num_blocks = {20, 40}}, DeviceAllocator(*gone));
    Sequence const a = cache.create(5);
    Steps steps(cache);
    steps.write({&a}, 10, *stream);
    stream->wait();
    gone.reset();
  }
  CHECK(leaks() == before);
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
    a.extend(2);
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
    ops::gather(f.steps.batch().view(), 0, {0, 0, 5}, rows.data(), nullptr, f.first);
    f.steps.batch() = DeviceBatch(f.cache, {1, 1, 1});
  }
  folio::test::wait_for_device();
  CHECK(tokens_in(rows) == std::vector<int>{10, 11, 12, 13, 14});
}

TEST_CASE("a batch that cannot be made, or a step that fails at any call, leaves nothing allocated", "[stand_in]") {
  simt::streams(0);
  CudaStream const first, second;
  auto const calls = folio::test::fail_at_every_call([&] {
    Cache cache({.num_blocks = {20, 40}});
    Sequence const a = cache.create(5);
    Sequence b = a.fork();
    b.extend(1);
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
    child.extend(1);
    f.a.extend(1);
    simt::fail_next("", cudaErrorUnknown, n);
    failed = 0;
    try {
      f.steps.batch().upload({&f.a, &child}, f.second);
    } catch (CudaError const&) {
      failed = 1;
    }
    REQUIRE(simt::forget_failure() == (failed == 0));
    if (f.steps.batch().tables().num_sequences() == 2)  // the host's tables are the step's, and the device's are not
      CHECK(f.steps.batch().is_stale() == (failed != 0));
    f.steps.write({&f.a, &child}, 20, f.second);
    auto const& parents = f.steps.read(0, 6, f.second);
    auto const& childs = f.steps.read(1, 6, f.second);
    folio::test::wait_for_device();
    CHECK(tokens_in(parents) == std::vector<int>{10, 11, 12, 13, 14, 20});
    CHECK(tokens_in(childs) == std::vector<int>{10, 11, 12, 13, 14, 21});
  }
}
