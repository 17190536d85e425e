// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The operations over both formats; their numbers are in demote_test.cpp's random programs, too.
#include <folio/precision/mixed_ops.hpp>
#include <optional>

#include "precision/demoting_model_sequence.hpp"
#include "precision/hybrid_models.hpp"
#include "support/catch.hpp"
#include "support/failing_new.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::DemotingModelSequence;
using folio::test::DemotingModelSequences;
using folio::test::Int8Hybrid;
using folio::test::small_hybrid;

namespace {

constexpr ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 16};
using Int8Cache = KvCache<Model<model>, F32, BlockSize<4>, Demote<Int8PerToken, BlockSize<8>>>;

CacheConfig small(std::int32_t sinks) {
  return {.num_blocks = {50}, .demotion = {.sinks = sinks, .recent_window = 0, .num_blocks = {50}}};
}

}  // namespace

TEST_CASE("a batch that is filled again knows whether this step has demoted tokens, for else attention costs less") {
  Int8Cache cache(small(0));
  Sequence demoted = cache.create(17), plain = cache.create(3);
  cache.demote(demoted);
  std::vector<BatchItem> const both{{&plain}, {&demoted, 1}}, one{{&plain}};
  auto batch = cache.batch(both);
  CHECK(batch.view().any_demoted());
  CHECK((batch.view().num_demoted(0) == 0 && batch.view().num_demoted(1) == 16));
  cache.batch(one, batch);
  CHECK_FALSE(batch.view().any_demoted());
}

TEST_CASE("what operations over both formats refuse, they say, and write nothing") {
  Int8Cache cache(small(4));
  Sequence s = cache.create(21);
  cache.demote(s);
  auto const batch = cache.batch({{&s, 1}});
  std::vector<float> q(64), out(64);
  auto const slopes = std::vector<float>(3, 1.0F);
  auto const refused = [&](std::int32_t layer, std::int32_t heads, AttentionParams const& params,
                           char const* sentence) {
    CHECK_THROWS_WITH(ops::attend(batch.view(), layer, AttentionIo{q.data(), heads, out.data()}, params),
                      contains(sentence));
  };
  refused(0, 2, {.token_begin = 1}, "no range of tokens");
  refused(0, 2, {.token_end = 5}, "no range of tokens");
  refused(0, 2, {.alibi_slopes = slopes.data()}, "attend over two formats has no ALiBi");
  refused(2, 2, {}, "folio: the model has no layer 2");
  refused(-1, 2, {}, "folio: the model has no layer -1");
  refused(0, 3, {}, "3 query heads");
  CHECK_THROWS_WITH(ops::gather(batch.view(), 0, {0, 20, 2}, q.data(), nullptr), contains("21 tokens, so not the 2"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 0, {1, 0, 1}, q.data(), nullptr), contains("no sequence 1"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 2, {0, 0, 1}, q.data(), nullptr),
                    contains("folio: the model has no layer 2"));
  CHECK_THROWS_WITH(ops::append(batch.view(), 2, q.data(), q.data()), contains("folio: the model has no layer 2"));
  CHECK_THROWS_WITH(ops::plan_attention(batch.view(), 2, {.token_end = 5}), contains("no range of tokens"));
  CHECK_THROWS_WITH(ops::plan_attention(batch.view(), 2, {.alibi_slopes = slopes.data()}), contains("no ALiBi"));
  CHECK_THROWS_WITH(ops::plan_attention(batch.view(), 3), contains("3 query heads"));
  auto const plan = ops::plan_attention(batch.view(), 2);
  CHECK_THROWS_WITH(ops::attend(plan, 2, AttentionIo{q.data(), 2, out.data()}),
                    contains("folio: the model has no layer 2"));
  CHECK_THROWS_WITH(ops::attend(plan, -1, AttentionIo{q.data(), 2, out.data()}),
                    contains("folio: the model has no layer -1"));
  CHECK_THROWS_AS(ops::attend(plan, 0, AttentionIo{q.data(), 4, out.data()}), Error);
  CHECK_THROWS_WITH(ops::attend(plan, 0, AttentionIo{q.data(), 2, out.data()}, {.token_begin = 2}),
                    contains("no range of tokens"));
  CHECK(out == std::vector<float>(64));
}

TEST_CASE("one limit is for layers that demote and those with a window: what is stored below it, all demoted ones") {
  DemotingModelSequences<Int8Hybrid> stories(small_hybrid(4, 3));
  auto& cache = stories.cache;
  DemotingModelSequence story = stories.create();
  REQUIRE(stories.take(story, 40));
  stories.write({&story}, 40);
  stories.demote(story, 40);
  Sequence const& s = story.sequence;
  REQUIRE(s.num_demoted_tokens() == 32);  // 36 with the sinks
  for (std::int32_t limit = 0; limit <= 40; ++limit) {
    CAPTURE(limit);
    std::vector<std::int32_t> const limits{limit}, own{limit - 1};
    if (limit < 36) {
      CHECK_THROWS_WITH(cache.batch({BatchItem::seeing(&s, limits)}),
                        contains("layer group 0 has demoted tokens up to 36, which every query sees"));
      continue;
    }
    auto const batch = cache.batch({BatchItem::seeing(&s, limits)});
    CHECK(batch.limits(0)[0] == limit - 32);
    CHECK(batch.limits(1)[0] == limit);
    if (limit == 36) continue;
    auto const at = cache.batch({{&s, own}});
    std::vector<float> const q(2 * 16, 0.5F);
    for (std::int32_t layer = 0; layer < 3; ++layer) {
      std::vector<float> out(q.size()), wanted(q.size());
      ops::attend(batch.view(), layer, AttentionIo{q.data(), 2, out.data()});
      ops::attend(at.view(), layer, AttentionIo{q.data(), 2, wanted.data()});
      CHECK(out == wanted);
    }
  }
}

TEST_CASE("what is demoted has no slots and no limits: nothing is appended to it") {
  Int8Cache cache(small(0));
  Sequence s = cache.create(16);
  cache.demote(s);
  s.extend(4);
  std::vector<std::int32_t> const at{17};
  for (BatchItem const& item : {BatchItem(&s), BatchItem(&s, at)}) {
    auto const batch = cache.batch({item});
    auto const view = batch.view();
    CHECK(view.demoted.group(0).slots == nullptr);
    CHECK(view.demoted.group(0).limits == nullptr);
    std::vector<float> const rows(4 * 2 * 16, 7);
    CHECK_THROWS_WITH(ops::append(view.demoted, 0, rows.data(), rows.data()), contains("no slots for new tokens"));
    CHECK_NOTHROW(ops::append(view.recent, 0, rows.data(), rows.data()));
    std::string const sentence = "the model has no layer group 1; it has 1, counted from 0";
    CHECK_THROWS_WITH(batch.limits(1), contains(sentence));
    CHECK_THROWS_WITH(batch.slots(1), contains(sentence));
    CHECK_NOTHROW(batch.lengths(1));
  }
}

TEST_CASE("padded batches attend in both formats") {
  DemotingModelSequences<Int8Cache> stories(small(0));
  DemotingModelSequence story{stories.cache.create(20)};
  stories.write({&story}, 20);
  stories.demote(story, 20);
  REQUIRE(stories.take(story, 1));
  stories.write({&story}, 1);
  BatchItem const items[] = {{&story.sequence, 1}};
  auto const plain_batch = stories.cache.batch(items);
  auto const padded = stories.cache.batch(items, {.num_sequences = 3, .num_query_tokens = 4, .num_tokens = 64});
  auto const q = test::random_floats(4 * 4 * 16, 1);
  std::vector<float> expected(4 * 4 * 16, 7.0F), out(4 * 4 * 16, 7.0F), planned(4 * 4 * 16, 7.0F);
  ops::attend(plain_batch.view(), 1, AttentionIo{q.data(), 4, expected.data()});
  ops::attend(padded.view(), 1, AttentionIo{q.data(), 4, out.data()});
  ops::attend(ops::plan_attention(padded.view(), 4), 1, AttentionIo{q.data(), 4, planned.data()});
  CHECK(out == expected);
  CHECK(planned == expected);
  CHECK(expected[0] != 7.0F);
  std::vector<Half> halves(4 * 4 * 16, Half{7}), planned_halves(halves);  // which results are stored to afterwards
  ops::attend(padded.view(), 1, AttentionIo{q.data(), 4, halves.data()});
  ops::attend(ops::plan_attention(padded.view(), 4), 1, AttentionIo{q.data(), 4, planned_halves.data()});
  for (std::size_t i = 0; i < halves.size(); ++i) {
    std::uint16_t const wanted = i < 4 * 16 ? f32_to_f16(expected[i]) : std::uint16_t{7};
    REQUIRE((halves[i].bits == wanted && planned_halves[i].bits == wanted));
  }
}

TEMPLATE_TEST_CASE("a step that is planned gives the same bits, with and without demoted tokens", "", Int8Cache,
                   Int8Hybrid) {
  CacheConfig config = small(4);
  if (TestType::num_groups == 2) config.num_blocks.push_back(60);
  DemotingModelSequences<TestType> stories(config);
  DemotingModelSequence a = stories.create(40), b = stories.create(9);
  stories.write({&a}, 40);
  stories.write({&b}, 9);
  AttentionWorkspace workspace;
  for (bool const demoted : {false, true}) {
    if (demoted) stories.demote(a, 36);
    REQUIRE((a.sequence.num_demoted_tokens() > 0) == demoted);
    auto const batch = stories.cache.batch({{&a.sequence, 2}, {&b.sequence, 3}});
    std::int32_t const heads = 4;
    auto const q = test::random_floats(5 * heads * 16, 3);
    auto const logits = test::random_floats(heads, 4);
    AttentionParams const params{.sink_logits = logits.data()};
    auto const plan = ops::plan_attention(batch.view(), heads, params, {.workspace = &workspace});
    CHECK(plan.demoted.has_value() == demoted);
    CHECK((plan.num_query_heads() == heads && plan.params().sink_logits == logits.data()));
    for (std::int32_t layer = 0; layer < stories.num_layers(); ++layer) {
      std::vector<float> out(5 * heads * 16), planned(out), lse(5 * heads), planned_lse(lse);
      std::vector<Half> halves(out.size());
      ops::attend(batch.view(), layer, AttentionIo{q.data(), heads, out.data(), lse.data()}, params);
      ops::attend(plan, layer, AttentionIo{q.data(), heads, planned.data(), planned_lse.data()});
      ops::attend(plan, layer, AttentionIo{q.data(), heads, halves.data()});
      CHECK(planned == out);
      CHECK(planned_lse == lse);
      for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(halves[i].bits == f32_to_f16(out[i]));
    }
  }
}

TEMPLATE_TEST_CASE("the step's own tokens are read as they are given, demoted ones as they are stored", "", Int8Cache,
                   Int8Hybrid) {
  CacheConfig config = small(4);
  if (TestType::num_groups == 2) config.num_blocks.push_back(60);
  DemotingModelSequences<TestType> stories(config);
  DemotingModelSequence a = stories.create(40), b = stories.create(9);
  stories.write({&a}, 40);
  stories.write({&b}, 9);
  stories.demote(a, 36);
  REQUIRE(a.sequence.num_demoted_tokens() > 0);
  auto const batch = stories.cache.batch({{&a.sequence, 2}, {&b.sequence, 3}});
  std::int32_t const heads = 4, row = 2 * 16;
  auto const q = test::random_floats(5 * heads * 16, 3), other = test::random_floats(5 * row, 4);
  std::uint64_t const tree[5] = {1, 3, 1, 3, 5};
  for (AttentionParams const& params : {AttentionParams{}, AttentionParams{.tree_mask = tree}})
    for (std::int32_t layer = 0; layer < stories.num_layers(); ++layer) {
      std::vector<float> keys(5 * row), values(keys), out(5 * heads * 16), own(out), planned(out);
      ops::gather(batch.view(), layer, {0, 38, 2}, keys.data(), values.data());
      ops::gather(batch.view(), layer, {1, 6, 3}, keys.data() + 2 * row, values.data() + 2 * row);
      ops::attend(batch.view(), layer, AttentionIo{q.data(), heads, out.data()}, params);
      ops::append(batch.view(), layer, other.data(), other.data());
      AttentionIo io{q.data(), heads, own.data()};
      io.k = keys.data();
      io.v = values.data();
      ops::attend(batch.view(), layer, io, params);
      io.out = planned.data();
      ops::attend(ops::plan_attention(batch.view(), heads, params), layer, io);
      ops::append(batch.view(), layer, keys.data(), values.data());
      CHECK(planned == own);
      for (std::size_t i = 0; i < out.size(); ++i) REQUIRE(own[i] == Approx(out[i]).margin(1e-5));
    }
}

TEST_CASE("gather takes each token from the list that has it, wherever the range begins and ends") {
  DemotingModelSequences<Int8Cache> stories(small(4));
  DemotingModelSequence story{stories.cache.create(30)};
  stories.write({&story}, 30);
  stories.demote(story, 22);
  REQUIRE(story.sequence.num_demoted_tokens() == 16);
  auto const batch = stories.cache.batch({{&story.sequence, 0}});
  std::vector<float> all_keys(30 * 2 * 16), all_values(all_keys);
  ops::gather(batch.view(), 1, {0, 0, 30}, all_keys.data(), all_values.data());
  for (std::int32_t first = 0; first <= 30; ++first)
    for (std::int32_t n = 0; first + n <= 30; ++n) {
      std::vector<float> keys(static_cast<std::size_t>(n * 2 * 16)), values(keys);
      ops::gather(batch.view(), 1, {0, first, n}, keys.data(), values.data());
      REQUIRE(std::equal(keys.begin(), keys.end(), all_keys.begin() + first * 2 * 16));
      REQUIRE(std::equal(values.begin(), values.end(), all_values.begin() + first * 2 * 16));
      ops::gather(batch.view(), 1, {0, first, n}, nullptr, keys.data());
      REQUIRE(keys == values);
    }
}

TEST_CASE("a step that is planned takes its memory from the workspace: once that has grown, nothing from the heap") {
  DemotingModelSequences<Int8Cache> stories(small(4));
  DemotingModelSequence story = stories.create(40);
  stories.write({&story}, 40);
  stories.demote(story, 36);
  auto const batch = stories.cache.batch({{&story.sequence, 2}});
  auto const q = test::random_floats(2 * 4 * 16, 3);
  std::vector<float> out(2 * 4 * 16);
  AttentionWorkspace workspace;
  for (int round = 0; round < 3; ++round) {
    auto const num_allocations = [] { return test::HostHeap::of_this_thread().num_allocations; };
    auto const before = num_allocations();
    auto const plan = ops::plan_attention(batch.view(), 4, {}, {.workspace = &workspace});
    auto const between = num_allocations();
    ops::attend(plan, 0, AttentionIo{q.data(), 4, out.data()});
    ops::attend(plan, 1, AttentionIo{q.data(), 4, out.data()});
    auto const after = num_allocations();
    CHECK(after == between);
    CHECK((round == 0 || between == before));
  }
}
