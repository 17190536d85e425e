// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The operations over both formats of a cache that demotes, on the device: append, attend and gather against the
// host's, on streams that run late and in any order.
#include "precision/mixed_device_steps.hpp"
//
#include <limits>

namespace {

using namespace folio;
using folio::test::below;
using folio::test::contains;
using folio::test::CudaStream;

template <class T, class... Policies>
using HybridTwins = folio::test::MixedTwins<T, Model<folio::test::mixed_hybrid>, Policies...>;
template <class T, class... Policies>
using FullTwins = folio::test::MixedTwins<T, Model<folio::test::mixed_full>, Policies...>;
using SmallTwins = FullTwins<Half, F16, BlockSize<8>, Demote<Int4Rotated, BlockSize<16>, LayoutNhd>>;
constexpr CacheConfig small{.num_blocks = {}, .demotion = {.sinks = 8, .recent_window = 10}};

CacheConfig config_of(CacheConfig config, std::vector<std::int64_t> first, std::vector<std::int64_t> second) {
  config.num_blocks = std::move(first);
  config.demotion.num_blocks = std::move(second);
  return config;
}

/// Sink logits for every query head, and a tree mask for every query token.
struct ScoreOperands {
  simt::Buffer<float> sinks{4, "sink logits"};
  simt::Buffer<std::uint64_t> tree{64, "tree mask"};
  ScoreOperands() {
    for (std::size_t i = 0; i < 4; ++i) sinks[i] = static_cast<float>(i) - 1.0F;
    std::uint64_t x = 0x9E3779B97F4A7C15U;
    for (std::size_t i = 0; i < 64; ++i) tree[i] = (x = x * 6364136223846793005U + 1442695040888963407U) >> 7;
  }
};

/// Steps of decoding and of prompts, in two batches of one cache on two streams, with demotions between them.
template <class Twins>
void run_steps(CacheConfig const& config, std::uint32_t seed, int num_rounds) {
  simt::streams(seed);
  ScoreOperands const operands;
  Twins twins(config, seed + 1);
  CudaStream const streams[2];
  DeviceBatch decode(twins.device(), {.num_sequences = 3, .num_query_tokens = 7, .num_tokens = 120});
  DeviceBatch prefill(twins.device(), {.num_sequences = 2, .num_query_tokens = 33, .num_tokens = 120});
  std::mt19937& random = twins.random();
  std::int64_t moved = 0;
  for (int i = 0; i < 3; ++i) twins.create(0);
  for (int round = 0; round < num_rounds; ++round) {
    bool const is_prompt = round % 3 == 0;
    AttentionParams params{.logit_soft_cap = below(random, 3) == 0 ? 5.0F : 0.0F};
    if (below(random, 2) == 0) params.sink_logits = operands.sinks.data();
    if (below(random, 3) == 0) params.tree_mask = operands.tree.data();
    std::vector<std::size_t> which;
    std::vector<std::int32_t> queries;
    for (std::size_t i = 0; i < (is_prompt ? 2 : 3); ++i) {
      std::int32_t const n = is_prompt ? 7 + below(random, 10) : below(random, 3);
      if (!twins.extend(i, n)) continue;
      which.push_back(i);
      queries.push_back(n);
    }
    twins.step(is_prompt ? prefill : decode, which, queries, streams[below(random, 2)], params);
    if (is_prompt || below(random, 2) == 0)
      moved += twins.demote(decode, {0, 1, 2}, streams[below(random, 2)], below(random, 3));
  }
  twins.settle();
  CHECK(moved > 0);
}

}  // namespace

TEST_CASE("random steps: the host's bytes and its attention, in every kind of layer group") {
  auto const seed = GENERATE(range(0U, 4U));
  run_steps<HybridTwins<float, F32, BlockSizes<4, 2, 3>, Demote<Int8PerToken, BlockSizes<1, 4, 6>>>>(
      {.num_blocks = {60, 60, 60}, .demotion = {.sinks = 3, .recent_window = 5, .num_blocks = {90, 90}}}, seed, 9);
}
TEST_CASE("random steps: the host's bytes and its attention, in a rotated format") {
  auto const seed = GENERATE(range(0U, 3U));
  run_steps<SmallTwins>(config_of(small, {40}, {30}), seed, 9);
}

TEST_CASE("a layer with a window costs one attend, the others two and a merge, whatever the lengths") {
  HybridTwins<float, F32, BlockSizes<4, 2, 3>, Demote<Int8PerToken, BlockSizes<1, 4, 6>>> twins(
      {.num_blocks = {60, 60, 60}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {90, 90}}});
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 1, .num_query_tokens = 4, .num_tokens = 24});
  simt::Buffer<float> const q(4 * 4 * 32), out(4 * 4 * 32);
  for (std::size_t i = 0; i < q.size(); ++i) q[i] = 0;
  auto const launches_of = [&](std::int32_t layer) {
    DeviceExecution execution{.stream = stream, .num_parts = 1};
    auto plan = ops::plan_attention(batch.view(), 4, {.scale = 1}, execution);
    simt::Buffer<std::byte> const workspace(static_cast<std::size_t>(plan.workspace_bytes()), "parts");
    plan.set_workspace(workspace.span());
    std::int64_t const before = simt::num_launches();
    ops::attend(plan, layer, AttentionIo{static_cast<float const*>(q.data()), 4, out.data()});
    stream.wait();
    return simt::num_launches() - before;
  };
  twins.create(13);
  for (bool const demoted : {false, true}) {
    if (demoted) REQUIRE(twins.demote(batch, {0}, stream) == 12);
    batch.upload({{&twins.sequences()[0].device, 1}}, stream);
    CHECK(launches_of(1) == 1);
    CHECK((launches_of(0) == 3 && launches_of(2) == 3 && launches_of(3) == 3));
  }
}

TEST_CASE("a graph that was captured before anything was demoted replays after it") {
  simt::streams(GENERATE(0U, 1U, 2U));
  SmallTwins twins(config_of(small, {40}, {30}));
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 2, .num_query_tokens = 4, .num_tokens = 80});
  constexpr std::size_t row = 4 * 64;
  simt::Buffer<Half> const q(4 * row), out(4 * row);
  std::mt19937 random(7);
  for (std::size_t i = 0; i < q.size(); ++i) ops::store_element(static_cast<float>(below(random, 100)) * 0.02F, q[i]);
  auto plan = ops::plan_attention(batch.view(), 4, {}, {.stream = stream, .num_parts = 2});
  simt::Buffer<std::byte> const workspace(static_cast<std::size_t>(plan.workspace_bytes()), "parts");
  plan.set_workspace(workspace.span());
  AttentionIo const io{static_cast<Half const*>(q.data()), 4, out.data()};
  ops::attend(plan, 1, io);  // so that its kernels are loaded
  stream.wait();
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t replay = nullptr;
  check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "capturing");
  ops::attend(plan, 1, io);
  check_cuda(cudaStreamEndCapture(stream, &graph), "capturing");
  check_cuda(cudaGraphInstantiate(&replay, graph, 0), "making a graph");

  twins.create(0);
  twins.create(0);
  std::int64_t moved = 0;
  for (int step = 0; step < 5; ++step) {
    std::vector<std::int32_t> const queries{step == 0 ? 4 : 3, step == 0 ? 0 : 1};
    for (int i = 0; i < 6; ++i) {  // so that there is something to demote
      REQUIRE((twins.extend(0, queries[0]) && twins.extend(1, queries[1])));
      auto const host = twins.host().batch(twins.items({0, 1}, queries, &SmallTwins::Sequences::host));
      batch.upload(twins.items({0, 1}, queries, &SmallTwins::Sequences::device), stream);
      for (std::int32_t layer = 0; layer < 2; ++layer) twins.append(host.view(), batch.view(), layer, stream);
    }
    check_cuda(cudaGraphLaunch(replay, stream), "a graph");
    auto const host = twins.host().batch(twins.items({0, 1}, queries, &SmallTwins::Sequences::host));
    std::vector<Half> wanted(4 * row);
    ops::attend(host.view(), 1, AttentionIo{static_cast<Half const*>(q.data()), 4, wanted.data()});
    stream.wait();
    float worst = 0;
    for (std::size_t i = 0; i < 4 * row; ++i)
      worst = std::max(worst, std::fabs(ops::load_element(out[i]) - ops::load_element(wanted[i])));
    REQUIRE(worst <= 2e-3F);  // an ulp of Half from 1 to 2
    moved += twins.demote(batch, {0, 1}, stream);
  }
  CHECK(moved >= 48);
  twins.settle();
  cudaGraphExecDestroy(replay);
  cudaGraphDestroy(graph);
}

TEST_CASE("tokens of both lists are gathered by their numbers, from whichever list has each") {
  HybridTwins<float, F32, BlockSizes<4, 2, 3>, Demote<Int8PerToken, BlockSizes<1, 4, 6>>> twins(
      {.num_blocks = {60, 60, 60}, .demotion = {.sinks = 6, .recent_window = 2, .num_blocks = {90, 90}}});
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 3, .num_query_tokens = 60, .num_tokens = 48});
  for (std::int32_t const n : {25, 3, 23}) twins.create(n);
  twins.step(batch, {0, 1, 2}, {25, 3, 23}, stream);
  REQUIRE(twins.demote(batch, {0, 1, 2}, stream) == 24);
  auto const host = twins.host().batch(twins.items({0, 1, 2}, {1, 1, 1}, &decltype(twins)::Sequences::host));
  batch.upload(twins.items({0, 1, 2}, {1, 1, 1}, &decltype(twins)::Sequences::device), stream);
  for (std::int32_t layer = 0; layer < 4; ++layer) {
    bool const has_window = layer == 1;  // its older tokens were given back
    std::vector<Tokens> ranges{{0, has_window ? 20 : 0, has_window ? 5 : 25}, {1, 0, 3}, {2, 17, 6}};
    for (std::int32_t i = 0; !has_window && i < 80; ++i) ranges.push_back({i % 2 * 2, i % 20, 1 + i % 3});
    GroupShape const shape = host.view().recent.group(host.view().recent.place(layer).group).shape;
    std::size_t rows = 0;
    for (Tokens const& range : ranges) rows += static_cast<std::size_t>(range.count * shape.kv_heads);
    std::vector<float> keys(rows * static_cast<std::size_t>(shape.key_dim));
    std::vector<float> values(rows * static_cast<std::size_t>(shape.value_dim));
    std::size_t row = 0;
    for (Tokens const& range : ranges) {
      ops::gather(host.view(), layer, range, keys.data() + row * static_cast<std::size_t>(shape.key_dim),
                  values.data() + row * static_cast<std::size_t>(shape.value_dim));
      row += static_cast<std::size_t>(range.count * shape.kv_heads);
    }
    simt::Buffer<float> const device_keys(keys.size(), "keys"), device_values(values.size(), "values");
    ops::gather(batch.view(), layer, ranges, device_keys.data(), device_values.data(), stream);
    stream.wait();
    CHECK(device_keys.to_vector() == keys);
    CHECK(device_values.to_vector() == values);
    ops::gather(batch.view(), layer, ranges[2], device_keys.data(), nullptr, stream);  // one range, keys alone
    stream.wait();
    std::size_t const n = static_cast<std::size_t>(6 * shape.kv_heads * shape.key_dim);
    std::size_t const first = static_cast<std::size_t>((ranges[0].count + 3) * shape.kv_heads * shape.key_dim);
    CHECK(std::equal(keys.data() + first, keys.data() + first + n, device_keys.data()));
  }
  twins.settle();
}

TEST_CASE("what attention over two formats cannot do is refused before a launch") {
  SmallTwins twins(config_of(small, {40}, {30}));
  CudaStream const stream;
  DeviceBatch batch(twins.device(), {.num_sequences = 1, .num_query_tokens = 4, .num_tokens = 80});
  twins.create(4);
  batch.upload({&twins.sequences()[0].device}, stream);
  auto const view = batch.view();
  simt::Buffer<Half> const q(4 * 256), out(4 * 256);
  simt::Buffer<float> const slopes(4);
  auto const plan = ops::plan_attention(view, 4, {}, {.num_parts = 1});
  CHECK(plan.workspace_bytes() == 2 * 4 * 4 * (64 + 1) * 4);  // parts, query tokens, heads, floats
  CHECK(ops::plan_attention(view, 4, {}, {.num_parts = 3}).workspace_bytes() == 3 * plan.workspace_bytes());
  CHECK(ops::plan_attention(view, 4, {}, {.num_parts = 3, .own_tokens = true}).workspace_bytes() ==
        7 * plan.workspace_bytes() / 2);
  simt::Buffer<std::byte> const workspace(static_cast<std::size_t>(plan.workspace_bytes()) + 16, "parts");
  DeviceExecution const execution{stream, workspace.span(), 1};
  AttentionIo const io{static_cast<Half const*>(q.data()), 4, out.data()};
  std::int64_t const launches = simt::num_launches();
  auto const ask = [&](std::int32_t layer, AttentionIo<Half> const& operands, AttentionParams const& params,
                       DeviceExecution const& how) { ops::attend(view, layer, operands, params, how); };
  CHECK_THROWS_WITH(ask(0, io, {.token_begin = 1}, execution), contains("takes no range of tokens"));
  CHECK_THROWS_WITH(ask(0, io, {.token_end = 9}, execution), contains("takes no range of tokens"));
  CHECK_THROWS_WITH(ask(0, io, {.alibi_slopes = slopes.data()}, execution), contains("has no ALiBi"));
  CHECK_THROWS_WITH(ops::attend(plan, 0, io, {.alibi_slopes = slopes.data()}), contains("has no ALiBi"));
  CHECK_THROWS_WITH(ops::plan_attention(view, 4, {.token_end = 9}), contains("takes no range of tokens"));
  CHECK_THROWS_WITH(ops::plan_attention(view, 3), contains("3 query heads cannot share 2 kv heads"));
  CHECK_THROWS_WITH(ops::attend(plan, 0, AttentionIo{static_cast<Half const*>(q.data()), 2, out.data()}),
                    contains("planned for 4 query heads, not for 2"));
  CHECK_THROWS_WITH(ask(2, io, {}, execution), contains("the model has no layer 2"));
  CHECK_THROWS_WITH(ask(0, {q.data(), 4, nullptr}, {}, execution), contains("out is null"));
  CHECK_THROWS_WITH(ask(0, {q.data(), 4, out.data(), nullptr, 0, 0, q.data()}, {}, execution),
                    contains("takes the keys and the values of the step's own tokens, or neither"));
  CHECK_THROWS_WITH(ask(0, {q.data(), 4, out.data(), nullptr, 0, 0, q.data(), q.data()}, {}, execution),
                    contains("in 3 parts needs a workspace of 12480 bytes, not 8336; ask workspace_bytes of the plan, "
                             "made with own_tokens in its execution"));
  CHECK_THROWS_WITH(ask(0, io, {}, {.stream = stream, .num_parts = 1}),
                    contains("in 2 parts needs a workspace of 8320 bytes, not 0; ask workspace_bytes of the plan"));
  CHECK_THROWS_WITH(ask(0, io, {}, {.stream = stream, .workspace = workspace.span().subspan(4), .num_parts = 1}),
                    contains("the workspace of attention must begin at a multiple of 16 bytes"));
  CHECK_THROWS_WITH(ops::gather(view, 0, {1, 0, 1}, q.data(), nullptr, stream), contains("no sequence 1"));
  CHECK_THROWS_WITH(ops::append(DeviceView(view.demoted), 0, q.data(), q.data(), stream),
                    contains("no slots for new tokens"));
  CHECK(simt::num_launches() == launches);
  ask(0, io, {}, execution);
  CHECK(simt::num_launches() == launches + 3);
  stream.wait();
}
