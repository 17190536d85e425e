// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Demotion on a stream, against KvCache::demote on the host: same books, same bytes.
#include "precision/mixed_device_steps.hpp"
//
#include <folio/ops/compact.cuh>

#include "support/fault_injection.hpp"

namespace {

using namespace folio;
using folio::test::below;
using folio::test::contains;
using folio::test::CudaStream;
using folio::test::error_of;

template <class... Policies>
using HybridTwins = folio::test::MixedTwins<float, Model<folio::test::mixed_hybrid>, Policies...>;
template <class... Policies>
using FullTwins = folio::test::MixedTwins<float, Model<folio::test::mixed_full>, Policies...>;
constexpr int some_seeds = 6;

/// New rows on both sides, without attention, whose kernels need not be compiled here.
template <class Twins>
void write(Twins& twins, DeviceBatch<typename Twins::View>& batch, std::vector<std::size_t> const& which,
           std::vector<std::int32_t> const& queries, cudaStream_t stream) {
  auto const host = twins.host().batch(twins.items(which, queries, &Twins::Sequences::host));
  batch.upload(twins.items(which, queries, &Twins::Sequences::device), stream);
  for (std::int32_t layer = 0; layer < Twins::num_layers(); ++layer)
    twins.append(host.view(), batch.view(), layer, stream);
}

/// Some sequences grow, fork, are truncated, cut and demoted, in first pools so small that blocks change hands at once.
template <class Twins>
void demote_at_random(CacheConfig const& config, std::uint32_t seed) {
  simt::streams(seed);
  Twins twins(config, seed + 1);
  CudaStream const streams[2];
  DeviceBatch batch(twins.device(), {.num_sequences = 4, .num_query_tokens = 40, .num_tokens = 200});
  std::mt19937& random = twins.random();
  std::int64_t moved = 0;
  for (int i = 0; i < 2; ++i) twins.create(0);
  for (int round = 0; round < 24; ++round) {
    cudaStream_t const stream = streams[below(random, 2)];
    std::vector<std::size_t> which;
    std::vector<std::int32_t> queries;
    std::erase_if(twins.sequences(), [](auto const& s) { return s.host.num_tokens() > 90; });
    if (twins.sequences().size() < 2) twins.create(0);
    for (std::size_t i = 0; i < twins.sequences().size(); ++i) {
      std::int32_t const n = 1 + below(random, 9);
      if (!twins.extend(i, n)) continue;
      which.push_back(i);
      queries.push_back(n);
    }
    write(twins, batch, which, queries, stream);
    if (below(random, 3) > 0) {
      std::vector<std::size_t> all(twins.sequences().size());
      for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
      moved += twins.demote(batch, all, streams[below(random, 2)], below(random, 4));
    }
    if (below(random, 6) == 0 && twins.sequences().size() < 4) twins.fork(0);
    auto const i = static_cast<std::size_t>(below(random, static_cast<std::int32_t>(twins.sequences().size())));
    if (below(random, 3) == 0) {  // where units allow it
      std::int32_t const back = below(random, 8);
      twins.change(i, [back](Sequence& s) { s.truncate(s.num_tokens() - back); });
    }
    if (below(random, 6) == 0) {  // a block after the sinks, where there is one
      int const group = below(random, Twins::Host::num_groups);
      std::int32_t const size = twins.host().shape(group).block_size, sinks = twins.host().sinks();
      twins.change(i, [&](Sequence& s) { s.cut(sinks, size, group); });
    }
    if (below(random, 5) == 0 && twins.sequences().size() > 2) twins.sequences().erase(twins.sequences().begin());
  }
  twins.settle();
  CHECK(moved > 0);
}

}  // namespace

TEST_CASE("random demotions: the host's bytes, in every kind of layer group") {
  auto const seed = GENERATE(range(0U, 8U));
  CacheConfig const config{.num_blocks = {40, 24, 30},
                           .demotion = {.sinks = 3, .recent_window = 9, .num_blocks = {400, 100}}};
  demote_at_random<HybridTwins<F32, BlockSizes<2, 4, 3>, Demote<Int8PerToken, BlockSizes<1, 6, 4>>>>(config, seed);
}
TEST_CASE("random demotions: the host's bytes, in formats, layouts and block sizes that differ") {
  auto const seed = GENERATE(range(0U, 4U));
  CacheConfig const config{.num_blocks = {14}, .demotion = {.sinks = 5, .recent_window = 4, .num_blocks = {100}}};
  demote_at_random<FullTwins<F16, BlockSize<8>, Demote<Int4Rotated, BlockSize<16>, LayoutNhd>>>(config, seed);
  demote_at_random<
      FullTwins<BF16, LayoutInterleaved, BlockSize<6>, Demote<Keys<Int8PerToken>, Values<Int2Rotated>, BlockSize<4>>>>(
      config, seed);
}

TEST_CASE("more sequences than one launch takes, of which some have nothing due") {
  constexpr ModelConfig tiny{.layers = 3, .kv_heads = 1, .head_dim = 16};
  folio::test::MixedTwins<float, Model<tiny>, F32, BlockSize<4>, Demote<Fp8E4M3>> twins(
      {.num_blocks = {600}, .demotion = {.sinks = 0, .recent_window = 2, .num_blocks = {600}}});
  simt::streams(3);
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 150, .num_query_tokens = 1200, .num_tokens = 32});
  std::vector<std::size_t> all;
  std::vector<std::int32_t> queries;
  for (std::size_t i = 0; i < 150; ++i) {
    all.push_back(i);
    queries.push_back(static_cast<std::int32_t>(i % 15));
    twins.create(queries.back());
  }
  write(twins, batch, all, queries, stream);
  std::int64_t const launches = simt::num_launches();
  CHECK(twins.demote(batch, all, stream) == 40 * 4 + 40 * 8 + 10 * 12);  // of lengths 6 to 9, 10 to 13, and 14
  CHECK(simt::num_launches() == launches + 1 + 2);                       // the upload, and 90 of them in two launches
  twins.settle();
}

TEST_CASE("where nothing is due, nothing is uploaded or launched") {
  FullTwins<F16, BlockSize<4>, Demote<Int4Rotated>> twins(
      {.num_blocks = {20}, .demotion = {.sinks = 4, .recent_window = 8, .num_blocks = {20}}});
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 2, .num_query_tokens = 32, .num_tokens = 32});
  auto& s = twins.create(15);
  write(twins, batch, {0}, {15}, stream);
  std::int64_t const launches = simt::num_launches();
  CHECK(ops::demote(twins.device(), {&s.device}, batch, stream) == 0);
  CHECK(ops::demote(twins.device(), {}, batch, stream) == 0);
  CHECK(simt::num_launches() == launches);
  CHECK_FALSE(batch.is_stale());
  twins.extend(0, 1);
  write(twins, batch, {0}, {1}, stream);
  CHECK(ops::demote(twins.device(), {{&s.device, 7}}, batch, stream) == 0);  // the eighth is not accepted
  CHECK(ops::demote(twins.device(), {{&s.device, 8}}, batch, stream) == 4);
  CHECK(batch.is_stale());
#ifndef NDEBUG
  CHECK_THROWS_WITH(batch.view(), contains("this batch is stale"));
#endif
}

TEST_CASE("blocks of what was demoted are written by their next owner after they were read") {
  // Two blocks in the first list, so that the second sequence gets those of the first one while nothing has run yet.
  auto const seed = GENERATE(range(0, 2 * some_seeds));
  bool const other_stream = GENERATE(false, true);
  simt::streams(static_cast<std::uint64_t>(seed));
  FullTwins<F32, BlockSize<4>, Demote<Int8PerToken>> twins(
      {.num_blocks = {2}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {4}}});
  CudaStream const first, second;
  DeviceBatch batch(twins.device(), {.num_sequences = 2, .num_query_tokens = 8, .num_tokens = 16});
  twins.create(8);
  write(twins, batch, {0}, {8}, first);
  CHECK(twins.demote(batch, {0}, first) == 8);
  twins.create(8);
  write(twins, batch, {0, 1}, {0, 8}, other_stream ? second : first);
  CHECK(twins.demote(batch, {0, 1}, first) == 8);
  twins.settle();
}

TEST_CASE("a demotion that fails changes no sequence, and what was begun is taken back") {
  using Twins = FullTwins<F32, BlockSize<4>, Demote<Int8PerToken>>;
  Twins twins({.num_blocks = {40}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {5}}});
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 3, .num_query_tokens = 64, .num_tokens = 20});
  twins.create(12);
  twins.create(8);
  twins.create(4);
  write(twins, batch, {0, 1, 2}, {12, 8, 4}, stream);
  auto& device = twins.device();
  Sequence &a = twins.sequences()[0].device, &b = twins.sequences()[1].device, &c = twins.sequences()[2].device;
  auto const unchanged = [&] {
    twins.settle();  // the host's twin, which nobody touched, has as many free blocks
    return a.num_demoted_tokens() + b.num_demoted_tokens() + c.num_demoted_tokens() == 0 && device.num_due(a) == 12;
  };
  SECTION("too few blocks for all of them") {
    try {
      static_cast<void>(ops::demote(device, {&a, &b, &c}, batch, stream));
      FAIL("nothing was thrown");
    } catch (OutOfBlocks const& error) {
      CHECK((error.group() == 1 && error.asked() == 6 && error.free() == 5));
    }
    CHECK(unchanged());
    CHECK(device.stats().counters.out_of_blocks == 1);
    CHECK_FALSE(batch.is_stale());
    CHECK(ops::demote(device, {&a, &b}, batch, stream) == 20);
  }
  SECTION("a step that the batch has no room for") {
    DeviceBatch small(device, {.num_sequences = 1, .num_query_tokens = 1, .num_tokens = 20});
    DeviceBatch short_rows(device, {.num_sequences = 2, .num_query_tokens = 1, .num_tokens = 11});
    CHECK_THROWS_WITH(ops::demote(device, {&b, &c}, small, stream), contains("this step has 2 sequences"));
    CHECK_THROWS_WITH(ops::demote(device, {&a}, short_rows, stream), contains("and 12 tokens"));
    CHECK(unchanged());
    CHECK_FALSE(batch.is_stale());
    CHECK(ops::demote(device, {&b}, short_rows, stream) == 8);
    b.extend(4);
    auto const before = b.state().generation;
    CHECK_THROWS_WITH(ops::demote(device, {&b}, short_rows, stream), contains("and 12 tokens"));  // demoted ones
    CHECK((b.num_demoted_tokens() == 8 && device.num_free_blocks(1) == 3 && b.state().generation == before));
  }
  SECTION("a sequence twice, an empty one, another cache's") {
    CHECK_THROWS_WITH(ops::demote(device, {&b, &c, &b}, batch, stream), contains("is in the batch twice"));
    CHECK_THROWS_WITH(ops::demote(device, {&a, &a}, batch, stream),
                      contains("is in the batch twice"));  // 6 blocks of 5
    CHECK_THROWS_WITH(ops::demote(device, {&b, nullptr}, batch, stream), contains("has no Sequence"));
    Sequence empty;
    CHECK_THROWS_AS(ops::demote(device, {&b, &empty}, batch, stream), Error);
    Twins other({.num_blocks = {4}, .demotion = {.num_blocks = {4}}});
    CHECK_THROWS_WITH(ops::demote(device, {&b, &other.create(1).device}, batch, stream),
                      contains("needs a sequence of this cache"));
    CHECK(unchanged());
    CHECK_FALSE(batch.is_stale());
  }
  SECTION("a stream that is captured") {
    stream.wait();
    cudaGraph_t graph = nullptr;
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
    CHECK_THROWS_WITH(ops::demote(device, {&a}, batch, stream), contains("the stream is being captured"));
    check_cuda(cudaStreamEndCapture(stream, &graph), "capturing");
    cudaGraphDestroy(graph);
    CHECK(unchanged());
  }
}

TEST_CASE("whatever call of CUDA fails, no sequence is changed, and the next demotion comes to the host's bytes",
          "[stand_in]") {
  using Twins = FullTwins<F32, BlockSize<4>, Demote<Int8PerToken>>;
  simt::streams(2);
  std::int64_t num_cancelled = 0;
  for (std::int64_t call = 0;; ++call) {
    INFO("call " << call << " fails");
    Twins twins({.num_blocks = {40}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {8}}});
    CudaStream const stream;
    DeviceBatch batch(twins.device(), {.num_sequences = 2, .num_query_tokens = 64, .num_tokens = 20});
    twins.create(12);
    twins.create(8);
    write(twins, batch, {0, 1}, {12, 8}, stream);
    Sequence &a = twins.sequences()[0].device, &b = twins.sequences()[1].device;
    simt::fail_next("", cudaErrorUnknown, call);
    bool threw = false;
    try {
      static_cast<void>(ops::demote(twins.device(), {&a, &b}, batch, stream));
    } catch (Error const&) {
      threw = true;
    }
    bool const is_over = simt::forget_failure();
    static_cast<void>(cudaGetLastError());
    REQUIRE(threw == !is_over);
    if (is_over) break;
    REQUIRE(a.num_demoted_tokens() + b.num_demoted_tokens() == 0);
    REQUIRE(twins.device().num_free_blocks(1) == 8);
    if (batch.is_stale()) {  // so that the next blocks are the same
      for (auto& s : twins.sequences()) static_cast<void>(twins.host().begin_demotion(s.host));
      for (auto& s : twins.sequences()) twins.host().cancel_demotion(s.host);
      ++num_cancelled;
    }
    REQUIRE(twins.demote(batch, {0, 1}, stream) == 20);
    twins.settle();
  }
  CHECK(num_cancelled >= 3);  // the upload's kernel, its event, and the demotion's kernel
}

TEST_CASE("a group that demotes and has no layers is no launch") {
  static constexpr ModelConfig model{
      .layers = 2,
      .kv_heads = 1,
      .head_dim = 16,
      .groups = {full_attention(), LayerGroup{.kind = AttentionKind::full, .head_dim = 8}},
      .pattern = dynamic_pattern};
  simt::streams(1);
  folio::test::MixedTwins<float, Model<model>, F32, BlockSize<4>, Demote<Int8PerToken>> twins(
      {.num_blocks = {10, 10},
       .layer_groups = {0, 0},
       .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {10, 10}}});
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 1, .num_query_tokens = 12, .num_tokens = 16});
  twins.create(11);
  twins.step(batch, {0}, {11}, stream);
  std::int64_t const launches = simt::num_launches();
  CHECK(twins.demote(batch, {0}, stream) == 8);
  CHECK(simt::num_launches() == launches + 2);
  twins.extend(0, 1);
  twins.step(batch, {0}, {1}, stream);
  twins.settle();
}

TEST_CASE("where tokens are compacted, the sinks are among the first ones of a list, or it is refused") {
  using Twins = FullTwins<F32, BlockSize<4>, Demote<Int8PerToken>>;
  Twins twins({.num_blocks = {20}, .demotion = {.sinks = 4, .recent_window = 4, .num_blocks = {20}}});
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 1, .num_query_tokens = 16, .num_tokens = 16});
  twins.create(12);
  write(twins, batch, {0}, {12}, stream);
  std::vector<std::int32_t> const kept{0, 1, 2, 3, 5, 9}, counts{6};
  simt::Buffer<std::int32_t> const tokens(kept, "kept tokens"), lengths(counts, "counts");
  auto const compact = [&](std::int32_t num_first) {
    ops::compact(batch, 0, {.tokens = tokens.data(), .counts = lengths.data(), .k = 6, .num_first = num_first}, stream);
  };
  CHECK_THROWS_WITH(compact(3), contains("from token 3 on, but the first 4 tokens of layer group 0 are sinks"));
  compact(4);
  ops::compact(twins.host().batch({{&twins.sequences()[0].host, 0}}), 0, {kept.data(), counts.data(), 6});
  twins.settle();
}
