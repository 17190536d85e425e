// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A step planned once: the same bits as layer by layer, and nothing from the heap once a step as large was there. A
// program of its own, because it replaces operator new.
#include <atomic>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/precision/rotated_ops.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/thread_pool.hpp>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::HostHeap;
using folio::test::random_floats;

namespace {

constexpr ModelConfig hybrid{.layers = 5,
                             .kv_heads = 2,
                             .head_dim = 32,
                             .groups = {full_attention(), sliding_window(40, 3), latent(64, 32)},
                             .pattern = repeat_groups({0, 1, 2})};
constexpr std::int32_t heads = 4;

/// Allocations of all threads: those of one thread would miss a pool's.
std::int64_t num_live() { return HostHeap::num_live(); }

/// Steps of several sequences: prompts, decoding, drafts.
template <class... Policies>
struct Engine {
  using Cache = KvCache<Model<hybrid>, BlockSizes<16, 16, 16>, Policies...>;
  Cache cache{{.num_blocks = {400, 400, 400}}};
  std::vector<Sequence> sequences;
  Batch<typename Cache::View> batch = cache.batch(std::vector<BatchItem>{});
  std::vector<BatchItem> items;
  std::vector<float> rows = random_floats(64 * heads * 96, 1, 2.0F);
  std::vector<float> out = std::vector<float>(64 * heads * 64), lse = std::vector<float>(64 * heads);

  explicit Engine(std::vector<std::int32_t> const& lengths) {
    for (std::int32_t const length : lengths) sequences.push_back(cache.create(length));
    for (Sequence& sequence : sequences) items.emplace_back(&sequence, sequence.num_tokens());
    cache.batch(items, batch);
    auto const all = random_floats(std::int64_t{batch.view().num_query_tokens()} * 2 * 96, 2, 2.0F);
    for (std::int32_t layer = 0; layer < 5; ++layer)
      ops::append(batch.view(), layer, all.data(), layer % 3 == 2 ? nullptr : all.data());
  }
  /// One more token for each sequence, or several.
  void step(std::vector<std::int32_t> const& queries) {
    items.clear();
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      sequences[i].extend(queries[i]);
      items.emplace_back(&sequences[i], queries[i]);
    }
    cache.batch(items, batch);
  }
  [[nodiscard]] AttentionIo<float> io() { return {rows.data(), heads, out.data(), lse.data()}; }
  /// What appends and attends in all layers, by a plan.
  void run(AttentionParams const& params, HostExecution const& execution) {
    AttentionPlan const plan = ops::plan_attention(batch.view(), heads, params, execution);
    for (std::int32_t layer = 0; layer < 5; ++layer) {
      ops::append(batch.view(), layer, rows.data(), layer % 3 == 2 ? nullptr : rows.data(), execution.threads);
      ops::attend(plan, layer, io());
    }
  }
};

float const logits[heads] = {-1.0F, 0.5F, 3.0F, -8.0F};
float const slopes[heads] = {0.5F, 0.25F, 0.125F, 0.0625F};
std::vector<std::uint64_t> const tree(64, 0x5555555555555555U);

}  // namespace

TEMPLATE_TEST_CASE("a planned step gives the same bits in every layer", "", F32, F16, Int8PerToken, Int4Rotated,
                   folio::test::GroupedInt8) {
  Engine<TestType> engine({70, 1, 33, 2100});
  engine.step({1, 3, 20, 1});
  engine.run({}, {});  // appends
  ThreadPool pool(3);
  AttentionWorkspace workspace;
  for (AttentionParams const& params :
       {AttentionParams{}, AttentionParams{.causal = false, .token_begin = 2, .token_end = 2000},
        AttentionParams{.logit_soft_cap = 3.0F, .sink_logits = logits, .alibi_slopes = slopes},
        AttentionParams{.tree_mask = tree.data()}})
    for (ThreadPool* const threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
      HostExecution const execution{threads, &workspace};
      AttentionPlan const plan = ops::plan_attention(engine.batch.view(), heads, params, execution);
      for (std::int32_t layer = 0; layer < 5; ++layer) {
        AttentionIo<float> io = engine.io();
        io.q += 64 * layer;  // each layer has its own queries
        ops::attend(engine.batch.view(), layer, io, params);
        auto const out = engine.out, lse = engine.lse;
        std::fill(engine.out.begin(), engine.out.end(), -1.0F);
        ops::attend(plan, layer, io);
        std::size_t const values = std::size_t{25} * heads * (layer % 3 == 2 ? 64 : 32);
        CHECK(std::memcmp(out.data(), engine.out.data(), values * sizeof(float)) == 0);
        CHECK(std::memcmp(lse.data(), engine.lse.data(), std::size_t{25} * heads * sizeof(float)) == 0);
      }
    }
}

TEMPLATE_TEST_CASE("a step takes nothing from the heap once there was one as large", "", F32, F16, Int8PerToken,
                   Int3Rotated, folio::test::GroupedInt8) {
  for (int const num_threads : {1, 3}) {
    CAPTURE(TestType::name, num_threads);
    Engine<TestType> engine({70, 1, 33, 2100});
    std::optional<ThreadPool> pool;
    if (num_threads > 1) pool.emplace(num_threads);
    AttentionWorkspace workspace;
    HostExecution const execution{pool ? &*pool : nullptr, &workspace};
    AttentionParams const params{.logit_soft_cap = 3.0F, .sink_logits = logits, .alibi_slopes = slopes};
    for (int step = 0; step < 4; ++step) {
      engine.step({1, 3, 20, 1});
      std::int64_t const live = num_live(), before = HostHeap::of_this_thread().num_allocations;
      engine.run(params, execution);
      std::int64_t const taken = HostHeap::of_this_thread().num_allocations - before, kept = num_live() - live;
      if (step == 0) continue;
      CHECK(taken == 0);
      CHECK(kept == 0);
    }
  }
}

TEMPLATE_TEST_CASE("a sequence of one token takes nothing from the heap after one of many", "", F16, Int8PerToken,
                   Int6Rotated, Int4Rotated, Int2Rotated) {
  AttentionWorkspace workspace;
  HostExecution const execution{{}, &workspace};
  Engine<TestType> large({70}), small({0});
  large.step({1});
  large.run({}, execution);
  for (int step = 0; step < 6; ++step) {
    small.step({1});
    std::int64_t const before = HostHeap::of_this_thread().num_allocations;
    small.run({}, execution);
    std::int64_t const taken = HostHeap::of_this_thread().num_allocations - before;
    CAPTURE(TestType::name, step);
    CHECK(taken == 0);
  }
}

TEST_CASE("a call that is refused leaves the workspace's plan as it was") {
  static_assert(!std::is_copy_constructible_v<AttentionWorkspace>);  // a copy would share the memory
  AttentionWorkspace workspace;
  HostExecution const execution{{}, &workspace};
  Engine<F16> engine({40});
  engine.step({1});
  engine.run({}, {});
  AttentionPlan const plan = ops::plan_attention(engine.batch.view(), heads, {}, execution);
  AttentionIo<float> bad = engine.io();
  bad.q_stride = 1;
  CHECK_THROWS_AS(ops::attend(engine.batch.view(), 0, bad, {}, execution), Error);
  CHECK_NOTHROW(ops::attend(plan, 0, engine.io()));
}

TEST_CASE("a step of another shape is planned in the same workspace") {
  AttentionWorkspace workspace;
  HostExecution const execution{{}, &workspace};
  Engine<F16> large({300, 40});
  Engine<Int8PerToken> small({5});
  small.step({2});
  large.step({1, 1});
  for (int round = 0; round < 2; ++round) {
    large.run({}, execution);
    auto const of_large = large.out;
    small.run({}, execution);
    auto const of_small = small.out;
    large.run({}, {});
    small.run({}, {});
    CHECK(of_large == large.out);
    CHECK(of_small == small.out);
  }
}

TEST_CASE("few tokens in another basis, of a format with the same kernels, are planned in the same workspace") {
  AttentionWorkspace workspace;
  HostExecution const execution{{}, &workspace};
  Engine<Int4PerToken> straight({2});
  Engine<Keys<Int4Rotated>, Values<Int4PerToken>> keys_turn({2});
  Engine<Keys<Int4PerToken>, Values<Int4Rotated>> values_turn({2});
  auto const check = [&](auto& rotated) {
    rotated.step({1});
    straight.run({}, execution);
    rotated.run({}, execution);
    auto const of_rotated = rotated.out;
    rotated.run({}, {});
    CHECK(of_rotated == rotated.out);
  };
  straight.step({1});
  check(keys_turn);
  check(values_turn);
}

TEST_CASE("an executor with more threads than it says gets what it needs") {
  struct Crowd {  // a thread for each task, all at once
    [[nodiscard]] static int num_threads() { return 2; }
    static void run(std::int64_t n, Executor::Task task) {
      std::atomic<std::int64_t> ready{0};
      std::vector<std::thread> threads;
      for (std::int64_t i = 0; i < n; ++i)
        threads.emplace_back([&ready, n, task, i] {
          for (++ready; ready < n;) std::this_thread::yield();
          task(i);
        });
      for (std::thread& thread : threads) thread.join();
    }
  } crowd;
  Engine<F16> engine({2100, 2100});
  engine.step({1, 1});
  engine.run({}, {});
  auto const expected = engine.out;
  for (int round = 0; round < 10; ++round) {
    engine.run({}, {&crowd});
    CHECK(engine.out == expected);
  }
}

TEST_CASE("a plan that finds no memory leaves the results alone, and the workspace good for the next") {
  Engine<Int8PerToken> engine({70, 2100});
  engine.step({1, 3});
  engine.run({}, {});
  auto const expected = engine.out;
  ThreadPool threads(2);
  auto const failures = folio::test::for_every_failure_anew([] { return std::make_unique<AttentionWorkspace>(); },
                                                            [&](AttentionWorkspace& workspace) {
                                                              engine.run({}, {&threads, &workspace});
                                                            },
                                                            [&](AttentionWorkspace& workspace, std::int64_t) {
                                                              CHECK(engine.out == expected);
                                                              engine.run({}, {&threads, &workspace});
                                                              CHECK(engine.out == expected);
                                                            });
  CHECK(failures > 20);
  CHECK(engine.out == expected);
}

TEST_CASE("layers of a planned step may have their own sinks and scale, and no other mask") {
  Engine<F16> engine({70});
  engine.step({3});
  engine.run({}, {});  // appends
  AttentionPlan const plan = ops::plan_attention(engine.batch.view(), heads, {});
  ops::attend(engine.batch.view(), 0, engine.io(), {.scale = 0.1F, .sink_logits = logits});
  auto const expected = engine.out;
  ops::attend(plan, 0, engine.io());
  CHECK(engine.out != expected);
  ops::attend(plan, 0, engine.io(), {.scale = 0.1F, .sink_logits = logits});
  CHECK(engine.out == expected);
  for (AttentionParams const& other : {AttentionParams{.causal = false}, AttentionParams{.token_begin = 1},
                                       AttentionParams{.token_end = 7}, AttentionParams{.tree_mask = tree.data()}})
    CHECK_THROWS_WITH(ops::attend(plan, 0, engine.io(), other), contains("plan again for another mask"));
  CHECK(engine.out == expected);
}

TEST_CASE("what does not fit a plan is refused") {
  Engine<F16> engine({70});
  engine.step({3});
  auto const view = engine.batch.view();
  CHECK_THROWS_WITH(ops::plan_attention(view, 3), contains("3 query heads cannot share 2 kv heads"));
  CHECK_THROWS_WITH(ops::plan_attention(view, 4, {.logit_soft_cap = -1.0F}), contains("soft-cap"));
  AttentionWorkspace workspace;
  AttentionPlan const plan = ops::plan_attention(view, heads, {}, {{}, &workspace});
  CHECK_THROWS_WITH(ops::attend(plan, 5, engine.io()), contains("folio: the model has no layer 5"));
  CHECK_THROWS_WITH(ops::attend(plan, -1, engine.io()), contains("folio: the model has no layer -1"));
  CHECK_THROWS_WITH(ops::attend(plan, 0, AttentionIo{engine.rows.data(), 2, engine.out.data()}),
                    contains("planned for 4 query heads, not for 2"));
  CHECK_THROWS_WITH(ops::attend(plan, 0, AttentionIo<float>{nullptr, heads, engine.out.data()}), contains("q is null"));
  AttentionPlan const next = ops::plan_attention(view, heads, {}, {{}, &workspace});
  CHECK_THROWS_WITH(ops::attend(plan, 0, engine.io()), contains("another step was planned"));
  CHECK_NOTHROW(ops::attend(next, 0, engine.io()));
}

namespace {

constexpr ModelConfig small{.layers = 2, .kv_heads = 2, .head_dim = 32, .value_head_dim = 64};

/// A permutation of the dims with a sign: orthonormal, and no identity.
std::vector<float> permutation(std::int32_t dim) {
  std::vector<float> all;
  for (std::int32_t head = 0; head < small.kv_heads; ++head)
    for (std::int32_t row = 0; row < dim; ++row)
      for (std::int32_t i = 0; i < dim; ++i)
        all.push_back(i == (row + head + 1) % dim ? (row % 3 == 0 ? -1.0F : 1.0F) : 0.0F);
  return all;
}

}  // namespace

TEMPLATE_TEST_CASE("a step of a cache with matrices is planned: the same bits, and nothing from the heap", "", F16,
                   Int8PerToken, Int6Rotated) {
  using Cache = KvCache<Model<small>, BlockSize<16>, TestType, RotationMatrices>;
  Cache cache({.num_blocks = {40}},
              RotationMatrices({{2, 32, 64, permutation(32), permutation(64)}, {2, 32, 64, {}, permutation(64)}}));
  auto first = cache.create(70), second = cache.create(20);
  constexpr std::int32_t query_heads = 8, padded = 6;
  auto const rows = random_floats(90 * 2 * 64, 1), q = random_floats(padded * query_heads * 32, 2, 2.0F);
  std::vector<Half> half_q(q.size());
  ops::store_activations(q.data(), static_cast<std::int32_t>(q.size()), half_q.data());
  {
    auto const all = cache.batch({{&first}, {&second}});
    for (std::int32_t layer = 0; layer < 2; ++layer) ops::append(all.view(), layer, rows.data(), rows.data());
  }
  auto const batch = cache.batch({{&first, 3}, {&second, 1}}, {.num_query_tokens = padded});
  for (int const num_threads : {1, 3}) {
    CAPTURE(num_threads);
    ThreadPool pool(num_threads);
    AttentionWorkspace workspace;
    HostExecution const execution{num_threads > 1 ? &pool : nullptr, &workspace};
    std::vector<float> out(padded * query_heads * 64, 7.0F), expected = out;
    std::vector<Half> half_out(out.size()), half_expected = half_out;
    for (int step = 0; step < 3; ++step)
      for (std::int32_t layer = 0; layer < 2; ++layer) {
        ops::attend(batch.view(), layer, AttentionIo{q.data(), query_heads, expected.data()});
        ops::attend(batch.view(), layer, AttentionIo{half_q.data(), query_heads, half_expected.data()});
        std::int64_t const live = num_live(), before = HostHeap::of_this_thread().num_allocations;
        auto const plan = ops::plan_attention(batch.view(), query_heads, {}, execution);
        std::int64_t const planned = HostHeap::of_this_thread().num_allocations;
        ops::attend(plan, layer, AttentionIo{q.data(), query_heads, out.data()});
        CHECK(HostHeap::of_this_thread().num_allocations == planned);
        ops::attend(plan, layer, AttentionIo{half_q.data(), query_heads, half_out.data()});
        std::int64_t const taken = HostHeap::of_this_thread().num_allocations - before, kept = num_live() - live;
        CHECK(out == expected);
        CHECK(out.back() == 7.0F);  // padding
        CHECK(std::memcmp(half_out.data(), half_expected.data(), out.size() * sizeof(Half)) == 0);
        if (step == 0) continue;
        CHECK(taken == 0);
        CHECK(kept == 0);
      }
    auto const plan = ops::plan_attention(batch.view(), query_heads, {}, execution);
    CHECK_THROWS_WITH(ops::attend(plan, 2, AttentionIo{q.data(), query_heads, out.data()}), contains("no layer 2"));
    CHECK_THROWS_WITH(ops::attend(plan, 0, AttentionIo{q.data(), 4, out.data()}),
                      contains("planned for 8 query heads"));
    CHECK(out == expected);
  }
}
