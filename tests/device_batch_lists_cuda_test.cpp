// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// DeviceBatch over a cache that demotes: the tables of both lists of a group come to the device, at the same places.
#include "support/cuda_support.hpp"
//
#include <algorithm>
#include <cstdint>
#include <deque>
#include <folio/allocator/device.cuh>
#include <folio/device_batch.cuh>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <vector>

namespace {

using namespace folio;
using folio::test::contains;
using folio::test::CudaStream;

/// A window, and then two groups that demote: lists 0 to 2, and their second lists, 3 and 4.
constexpr ModelConfig model{.layers = 3,
                            .kv_heads = 1,
                            .head_dim = 16,
                            .groups = {sliding_window(6), full_attention(), latent(16, 8)},
                            .pattern = repeat_groups({0, 1, 2})};
using Cache = KvCache<Model<model>, F32, BlockSizes<2, 4, 3>, DeviceAllocator, Demote<Fp8E4M3, BlockSizes<1, 2, 6>>>;
using View = Cache::View;
constexpr std::size_t num_lists = 5;

/// Kernel. Writes a step's tables one after another: end positions, query starts, and of each list lengths, block table
/// and, where it has them, slots.
template <class Mixed>
__global__ void record_lists_kernel(Mixed view, std::int64_t* out) {
  if (blockIdx.x + threadIdx.x != 0) return;
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) *out++ = view.end_position(i);
  for (std::int32_t i = 0; i <= view.num_sequences(); ++i) *out++ = view.query_start(i);
  auto const write = [&](GroupTable const& table, bool has_slots) {
    for (std::int32_t i = 0; i < view.num_sequences(); ++i) *out++ = table.lengths[i];
    for (std::int64_t k = 0; k < std::int64_t{view.num_sequences()} * table.width; ++k) *out++ = table.blocks[k];
    for (std::int64_t k = 0; has_slots && k < view.num_query_tokens(); ++k) *out++ = table.slots[k];
  };
  for (int g = 0; g < Mixed::num_groups; ++g) write(view.recent.group(g), true);
  for (int g = 1; g < Mixed::num_groups; ++g) write(view.demoted.group(g), false);
}

/// The same of the host's tables.
std::vector<std::int64_t> numbers_of(BatchTables const& tables) {
  std::vector<std::int64_t> all;
  auto const add = [&](auto const& numbers) { all.insert(all.end(), numbers.begin(), numbers.end()); };
  add(tables.end_positions());
  add(tables.query_starts());
  for (int l = 0; l < int{num_lists}; ++l) {
    add(tables.lengths(l));
    add(tables.block_table(l));
    if (l < 3) add(tables.slots(l));
  }
  return all;
}

struct Fixture {
  Cache cache{{.num_blocks = {40, 40, 40}, .demotion = {.sinks = 0, .recent_window = 3, .num_blocks = {60, 60}}}};
  DeviceBatch<View> batch{cache, {.num_sequences = 3, .num_query_tokens = 40, .num_tokens = 48}};
  Sequence a = cache.create(26), b = cache.create(15);
  CudaStream first, second;
  std::deque<simt::Buffer<std::int64_t>> records;

  /// The books of a demotion: no key or value is looked at here.
  void demote(Sequence& s) { cache.end_demotion(s, cache.begin_demotion(s)); }

  /// The tables as a kernel sees them, when it has run.
  simt::Buffer<std::int64_t> const& record(cudaStream_t stream) {
    records.emplace_back(numbers_of(batch.tables()).size(), "recorded tables");
    ops::launch(record_lists_kernel<View>, 1, 1, 0, stream, batch.view(), records.back().data());
    return records.back();
  }
};

}  // namespace

TEST_CASE("tables of both lists come to the device in time, and nothing is left in the padding of a smaller step") {
  simt::streams(GENERATE(range(0U, 8U)));
  Fixture f;
  std::deque<std::vector<std::int64_t>> wanted;
  std::deque<simt::Buffer<std::int64_t> const*> seen;
  auto const step = [&](std::vector<BatchItem> const& items, cudaStream_t stream) {
    f.batch.upload(items, stream);
    wanted.push_back(numbers_of(f.batch.tables()));
    seen.push_back(&f.record(stream));
  };
  step({&f.a, {&f.b, 3}}, f.first);
  f.demote(f.a);  // 12, in units of 12
  REQUIRE(f.a.num_demoted_tokens() == 12);
  step({{&f.a, 2}, {&f.b, 3}}, f.second);
  CHECK((f.batch.tables().lengths(0)[0] == 26 && f.batch.tables().lengths(1)[0] == 14));
  CHECK((f.batch.tables().lengths(3)[0] == 12 && f.batch.tables().lengths(3)[1] == 0));
  for (int l = 0; l < int{num_lists}; ++l) {  // the tables are those of the lists
    INFO("list " << l);
    std::vector<BlockId> const& blocks = f.a.state().lists[l].blocks;
    std::span<std::int32_t const> const table = f.batch.tables().block_table(l);
    std::size_t const hidden = l == 0 ? blocks.size() - 4 : 0;  // of the window: what the first of 2 queries sees
    for (std::size_t k = hidden; k < blocks.size(); ++k) CHECK(table[k - hidden] == to_int(blocks[k]));
    CHECK(table[blocks.size() - hidden] == 0);
  }
  f.a.extend(13);
  f.demote(f.a);
  f.demote(f.b);
  REQUIRE((f.a.num_demoted_tokens() == 36 && f.b.num_demoted_tokens() == 12));
  step({{&f.a, 1}, {&f.b, 1}}, f.first);
  step({{&f.b, 1}}, f.first);
  step({}, f.second);
  step({{&f.b, 0}, {&f.a, 0}}, f.second);
  folio::test::wait_for_device();
  for (std::size_t i = 0; i < seen.size(); ++i) {
    INFO("step " << i);
    CHECK(seen[i]->to_vector() == wanted[i]);
  }
}

TEST_CASE("addresses and sizes of both lists' tables stay the same, so that a graph replays") {
  Fixture f;
  auto const before = f.batch.view();
  f.batch.upload({&f.a}, f.first);
  f.demote(f.a);
  f.batch.upload({{&f.a, 1}, {&f.b, 3}}, f.first);
  auto const after = f.batch.view();
  auto const same = [](GroupTable const& x, GroupTable const& y) {
    return x.pool == y.pool && x.blocks == y.blocks && x.slots == y.slots && x.width == y.width &&
           x.lengths == y.lengths;
  };
  for (int g = 0; g < 3; ++g) CHECK(same(before.recent.group(g), after.recent.group(g)));
  for (int g = 1; g < 3; ++g) {
    CHECK(same(before.demoted.group(g), after.demoted.group(g)));
    CHECK(after.demoted.group(g).pool == f.cache.pool(f.cache.second_list(g)));
    CHECK(after.demoted.group(g).width == (g == 1 ? 24 : 8));  // of 48 tokens, in blocks of 2 and 6
  }
  CHECK(f.batch.tables().bytes().size() >= 4 * numbers_of(f.batch.tables()).size());  // one buffer
  f.first.wait();
}

TEST_CASE("a step has room for as many tokens as a list of it stores, demoted or not") {
  Fixture f;
  DeviceBatch small(f.cache, {.num_sequences = 1, .num_query_tokens = 1, .num_tokens = 24});
  auto const too_large = [&] { small.upload({{&f.a, 1}}, f.first); };
  CHECK_THROWS_WITH(too_large(), contains("this step has 1 sequences, 1 query tokens and 26 tokens"));
  f.demote(f.a);
  small.upload({{&f.a, 1}}, f.first);  // 12 demoted and 14 others
  f.a.extend(10);
  f.demote(f.a);
  REQUIRE(f.a.num_demoted_tokens() == 24);
  f.a.extend(5);
  small.upload({{&f.a, 1}}, f.first);  // 24 demoted and 17 others
  f.a.extend(7);
  small.upload({{&f.a, 1}}, f.first);
  static_cast<void>(f.cache.begin_demotion(f.a));  // 12 more in the second list
  CHECK_THROWS_WITH(too_large(), contains("and 36 tokens"));
  f.cache.cancel_demotion(f.a);
  small.upload({{&f.a, 1}}, f.first);
  f.first.wait();
}

TEST_CASE("after an upload that failed the next one writes the tables of every list anew", "[stand_in]") {
  for (std::int64_t call = 0, failed = 1; failed != 0; ++call) {
    INFO("call " << call << " fails");
    simt::streams(1);
    Fixture f;
    f.demote(f.a);
    f.batch.upload({{&f.a, 2}, {&f.b, 3}}, f.first);
    f.first.wait();
    f.demote(f.b);
    simt::fail_next("", cudaErrorUnknown, call);
    failed = 0;
    try {
      f.batch.upload({{&f.b, 1}, {&f.a, 1}}, f.first);
    } catch (Error const&) {
      failed = 1;
    }
    REQUIRE(simt::forget_failure() == (failed == 0));
    static_cast<void>(cudaGetLastError());
    f.batch.upload({{&f.b, 1}}, f.first);
    auto const wanted = numbers_of(f.batch.tables());
    auto const& seen = f.record(f.first);
    f.first.wait();
    CHECK(seen.to_vector() == wanted);
  }
}

TEST_CASE("the first upload clears the null block of every list, and a copy on write is made in its own") {
  simt::streams(GENERATE(0U, 1U));
  Fixture f;
  std::vector<std::vector<int>> wanted(num_lists);  // what each block is filled with
  for (int l = 0; l < int{num_lists}; ++l)
    for (int block = 0; block <= f.cache.num_blocks(l); ++block) {
      check_cuda(cudaMemset(f.cache.pool(l) + block * f.cache.block_bytes(l), 100 + block,
                            static_cast<std::size_t>(f.cache.block_bytes(l))),
                 "a fill");
      wanted[static_cast<std::size_t>(l)].push_back(block == 0 ? 0 : 100 + block);
    }
  folio::test::wait_for_device();
  f.demote(f.a);
  Sequence fork = f.a.fork();
  fork.extend(1);  // copies the last block of groups 1 and 2, which are partly filled: 14 tokens in blocks of 4 and 3
  for (int l : {1, 2}) {
    auto& numbers = wanted[static_cast<std::size_t>(l)];
    numbers[static_cast<std::size_t>(to_int(fork.blocks(l).back()))] = 100 + to_int(f.a.blocks(l).back());
  }
  f.batch.upload({{&fork, 1}}, f.first);
  f.first.wait();
  for (int l = 0; l < int{num_lists}; ++l) {
    INFO("list " << l);
    auto const block_bytes = static_cast<std::size_t>(f.cache.block_bytes(l));
    std::vector<std::byte> bytes(wanted[static_cast<std::size_t>(l)].size() * block_bytes);
    check_cuda(cudaMemcpy(bytes.data(), f.cache.pool(l), bytes.size(), cudaMemcpyDefault), "a copy");
    std::vector<int> numbers;
    for (auto at = bytes.begin(); at != bytes.end(); at += static_cast<std::ptrdiff_t>(block_bytes))
      numbers.push_back(std::all_of(at, at + static_cast<std::ptrdiff_t>(block_bytes), [&](auto b) { return b == *at; })
                            ? static_cast<int>(*at)
                            : -1);
    CHECK(numbers == wanted[static_cast<std::size_t>(l)]);
  }
}
