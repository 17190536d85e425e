// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What AttentionParams and AttentionIo say: soft-cap, ALiBi, tree masks, strides and element types, on every set of
// instructions of this machine, against attention in double precision.
#include <cmath>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/ops/demote.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/model_sequence.hpp"
#include "support/naive_attention.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::machine_sets;
using folio::test::random_floats;
using folio::test::UseIsa;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr ModelConfig full{.layers = 1, .kv_heads = 2, .head_dim = 32};
constexpr ModelConfig windows{.layers = 1, .kv_heads = 2, .head_dim = 32, .groups = {sliding_window(40, 3)}};
constexpr std::int32_t heads = 6;

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// Sequences of these lengths, of which the last tokens are a step's queries.
template <class Q, ModelConfig const& model, class Layout = LayoutHnd>
struct Step {
  static constexpr std::int32_t block_size = is_tile_format<Q> ? 64 : 16;
  using Cache = KvCache<Model<model>, BlockSize<block_size>, Q, Layout>;
  struct Item {
    std::int32_t length, queries;
  };

  Cache cache{{.num_blocks = {60}}};
  std::vector<Sequence> sequences;
  decltype(std::declval<Cache&>().batch(std::vector<BatchItem>{})) batch = cache.batch(std::vector<BatchItem>{});
  std::vector<float> q;

  explicit Step(std::vector<Item> const& items) {
    folio::test::poison(cache);
    std::vector<BatchItem> all;
    for (Item const& item : items) sequences.push_back(cache.create(item.length));
    for (std::size_t i = 0; i < items.size(); ++i) {
      auto const number = static_cast<std::uint32_t>(i);
      std::int64_t const floats = std::int64_t{items[i].length} * 2 * 32;
      auto const keys = random_floats(floats, 2 * number, 2.0F), values = random_floats(floats, 2 * number + 1, 2.0F);
      write(sequences[i], keys, values);
      all.emplace_back(&sequences[i], items[i].queries);
    }
    cache.batch(all, batch);
    q = random_floats(std::int64_t{batch.view().num_query_tokens()} * heads * 32, 77, 2.0F);
  }

  void write(Sequence const& sequence, std::vector<float> const& keys, std::vector<float> const& values) {
    auto const written = cache.batch({{&sequence, sequence.num_tokens()}});
    if constexpr (is_tile_format<Q>) {
      KvCache<Model<model>, BlockSize<block_size>, F32> from({.num_blocks = {60}});
      Sequence const source = from.create(sequence.num_tokens());
      auto const source_batch = from.batch({{&source, sequence.num_tokens()}});
      ops::append(source_batch.view(), 0, keys.data(), values.data());
      ops::demote(source_batch.view(), 0, {0, 0, sequence.num_tokens()}, written.view(), {0, 0, sequence.num_tokens()});
    } else {
      ops::append(written.view(), 0, keys.data(), values.data());
    }
  }

  struct Result {
    std::vector<float> out, lse;
  };
  [[nodiscard]] Result attend(AttentionParams const& params, HostExecution const& execution = {}) const {
    auto const rows = size(batch.view().num_query_tokens()) * heads;
    Result result{std::vector<float>(rows * 32, not_a_number), std::vector<float>(rows, not_a_number)};
    ops::attend(batch.view(), 0, AttentionIo{q.data(), heads, result.out.data(), result.lse.data()}, params, execution);
    return result;
  }

  /// Against the formula, on every set of instructions, and the same bits by several threads.
  void check(AttentionParams const& params) const {
    auto const expected = folio::test::naive_attention(batch.view(), 0, q.data(), heads, params);
    for (attention::Isa const isa : machine_sets()) {
      UseIsa const use(isa);
      CAPTURE(Q::name, Layout::name, attention::name_of(isa));
      Result const found = attend(params);
      CHECK(folio::test::difference(expected, found.out, found.lse) == "");
      ThreadPool threads(3);
      Result const shared = attend(params, {.threads = &threads});
      CHECK(std::memcmp(shared.out.data(), found.out.data(), found.out.size() * sizeof(float)) == 0);
      CHECK(std::memcmp(shared.lse.data(), found.lse.data(), found.lse.size() * sizeof(float)) == 0);
    }
  }
};

float const logits[heads] = {-1.0F, 0.5F, 3.0F, -8.0F, 1.0F, 0.0F};
float const slopes[heads] = {0.5F, 0.25F, 0.125F, 0.0625F, 0.0F, -0.01F};

/// Two chains and a fork of draft tokens after the root: token i sees its ancestors and itself.
std::vector<std::uint64_t> tree_of(std::vector<std::int32_t> const& parents) {
  std::vector<std::uint64_t> words;
  for (std::size_t i = 0; i < parents.size(); ++i)
    words.push_back((parents[i] < 0 ? 0 : words[size(parents[i])]) | std::uint64_t{1} << i);
  return words;
}

/// 7 draft tokens after the tokens of one sequence, then 20 after those of another, which cross a tile's edge.
std::vector<std::uint64_t> two_trees() {
  std::vector<std::uint64_t> words = tree_of({-1, 0, 0, 1, 1, 2, 5});
  std::vector<std::int32_t> parents{-1};
  for (std::int32_t i = 1; i < 20; ++i) parents.push_back(i % 3 == 0 ? i / 2 : i - 1);
  for (std::uint64_t const word : tree_of(parents)) words.push_back(word);
  return words;
}

template <class Q, ModelConfig const& model, class Layout = LayoutHnd>
void check_formats() {
  using Tested = Step<Q, model, Layout>;
  constexpr std::int32_t whole = Tested::block_size;  // a format of tiles has whole ones only
  std::vector<typename Tested::Item> const items = is_tile_format<Q>
                                                       ? std::vector<typename Tested::Item>{{whole, 7}, {2 * whole, 20}}
                                                       : std::vector<typename Tested::Item>{{17, 7}, {75, 20}};
  Tested const step(items);
  auto const trees = two_trees();
  step.check({.logit_soft_cap = 2.5F});
  step.check({.logit_soft_cap = 0.2F, .sink_logits = logits});
  step.check({.logit_soft_cap = 300.0F});
  step.check({.alibi_slopes = slopes});
  step.check({.causal = false, .logit_soft_cap = 5.0F, .alibi_slopes = slopes});
  step.check({.tree_mask = trees.data()});
  step.check({.causal = false, .token_begin = 3, .token_end = 70, .tree_mask = trees.data()});
  step.check({.scale = 0.3F,
              .logit_soft_cap = 5.0F,
              .token_end = 74,
              .sink_logits = logits,
              .alibi_slopes = slopes,
              .tree_mask = trees.data()});
}

}  // namespace

using AsymmetricBits8 = IntQuantizer<8, Levels::asymmetric, 0, Basis::model>;
using ChannelTile4 = ChannelTile<4, 64>;

TEMPLATE_TEST_CASE("soft-cap, ALiBi and tree masks are what the formula says", "", F32, F16, BF16, Fp8E4M3,
                   Int8PerToken, AsymmetricBits8, Int4Rotated, Int3Rotated, ChannelTile4, folio::test::GroupedInt8) {
  check_formats<TestType, full>();
  check_formats<TestType, windows>();
}

TEST_CASE("soft-cap, ALiBi and tree masks over rows that the layout cuts") {
  check_formats<F16, windows, LayoutInterleaved>();
}

TEST_CASE("tanh of every size, its sign and its NaN are kept") {
  constexpr RowFormat format{Elements::f32, RowParams::none};
  for (attention::Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    CAPTURE(attention::name_of(isa));
    auto const kernels = attention::row_kernels<format>(false);
    double worst = 0;
    for (int part = 0; part < 512; ++part) {
      std::vector<float> x(attention::tile_tokens);
      for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = std::ldexp(1.0F + static_cast<float>(i) / 64, part / 16 - 24) * (part % 2 == 0 ? 1.0F : -1.0F);
      auto scores = x;
      kernels.shape_scores(attention::TokenTile{}, {1.0F, 0.0F, 0}, scores.data());
      for (std::size_t i = 0; i < x.size(); ++i) {
        double const right = std::tanh(double{x[i]});
        worst = std::max(worst, std::fabs(scores[i] - right) / std::ldexp(1.0, std::ilogb(right) - 23));
      }
    }
    CHECK(worst < 4);
    std::vector<float> scores(attention::tile_tokens);
    scores[0] = not_a_number;
    scores[1] = std::numeric_limits<float>::infinity();
    scores[2] = -std::numeric_limits<float>::infinity();
    kernels.shape_scores(attention::TokenTile{}, {3.0F, 0.5F, -10}, scores.data());
    CHECK(std::isnan(scores[0]));
    CHECK(scores[1] == 3.0F - 4.5F);
    CHECK(scores[2] == -3.0F - 4.0F);
    CHECK(scores[9] == -0.5F);
    CHECK(scores[11] == 0.5F);
  }
}

TEMPLATE_TEST_CASE("a NaN in draft tokens that a query must not see changes no bit of it", "", F32, F16, Int8PerToken,
                   folio::test::GroupedInt8) {
  constexpr bool is_integers = std::is_same_v<TestType, Int8PerToken> ||  // which has none
                               std::is_same_v<TestType, folio::test::GroupedInt8>;
  Step<TestType, full> step({{70, 7}});
  auto const tree = tree_of({-1, 0, 0, 1, 1, 2, 5});
  for (float const cap : {0.0F, 3.0F})
    for (attention::Isa const isa : machine_sets()) {
      UseIsa const use(isa);
      AttentionParams const params{.logit_soft_cap = cap, .alibi_slopes = slopes, .tree_mask = tree.data()};
      std::int64_t const floats = std::int64_t{70} * 2 * 32;
      auto keys = random_floats(floats, 0, 2.0F), values = random_floats(floats, 1, 2.0F);
      step.write(step.sequences[0], keys, values);
      auto const clean = step.attend(params);
      for (std::size_t d = 0; d < 64; ++d) keys[(63 + 3) * 64 + d] = values[(63 + 3) * 64 + d] = not_a_number;
      step.write(step.sequences[0], keys, values);
      auto const found = step.attend(params);
      for (std::size_t query = 0; query < 7; ++query) {
        bool const sees = (tree[query] >> 3 & 1U) != 0;
        CAPTURE(TestType::name, attention::name_of(isa), cap, query);
        CHECK((std::memcmp(&found.out[query * heads * 32], &clean.out[query * heads * 32],
                           heads * 32 * sizeof(float)) == 0) == !sees);
        if (!is_integers) CHECK(std::isnan(found.lse[query * heads]) == sees);
      }
    }
}

TEST_CASE("how a prompt was cut changes no bit of a capped and biased attention") {
  AttentionParams const params{.logit_soft_cap = 4.0F, .alibi_slopes = slopes};
  Step<Int8PerToken, windows> const whole({{150, 150}}), last({{150, 1}});
  auto const all = whole.attend(params);
  Step<Int8PerToken, windows> one({{150, 1}});
  one.q.assign(whole.q.end() - heads * 32, whole.q.end());
  CHECK(std::memcmp(one.attend(params).out.data(), &all.out[std::size_t{149} * heads * 32],
                    heads * 32 * sizeof(float)) == 0);
}

namespace {

template <class T>
T narrow(float x) {
  T to;
  ops::store_activations(&x, 1, &to);
  return to;
}
template <class T>
float wide(T const& x) {
  float to;
  ops::load_activations(&x, 1, &to);
  return to;
}

/// Queries and results of these types in rows that are further apart than they are long.
template <class T, class Out>
void check_operands() {
  Step<F16, full> step({{17, 3}, {80, 2}});
  std::int64_t const tokens = step.batch.view().num_query_tokens(), q_stride = heads * 32 + 96, out_stride = 401;
  std::vector<T> q(size(tokens * q_stride), narrow<T>(not_a_number));
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t i = 0; i < heads * 32; ++i) {
      q[size(t * q_stride + i)] = narrow<T>(step.q[size(t * heads * 32 + i)]);
      step.q[size(t * heads * 32 + i)] = wide(q[size(t * q_stride + i)]);
    }
  auto const expected = step.attend({});
  std::vector<Out> out(size(tokens * out_stride), narrow<Out>(7.0F));
  std::vector<float> lse(size(tokens * heads));
  ops::attend(step.batch.view(), 0, AttentionIo{q.data(), heads, out.data(), lse.data(), q_stride, out_stride});
  CHECK(lse == expected.lse);
  for (std::int64_t t = 0; t < tokens; ++t)
    for (std::int64_t i = 0; i < out_stride; ++i) {
      float const found = wide(out[size(t * out_stride + i)]);
      float const right = i < heads * 32 ? wide(narrow<Out>(expected.out[size(t * heads * 32 + i)])) : 7.0F;
      if (found != right) FAIL("token " << t << ", element " << i << ": " << found << ", not " << right);
    }
}

}  // namespace

TEST_CASE("queries and results may be of any type, in rows at any distance") {
  check_operands<float, float>();
  check_operands<Half, float>();
  check_operands<float, Half>();
  check_operands<BFloat16, BFloat16>();
  check_operands<Half, BFloat16>();
}

TEST_CASE("parameters and operands that do not fit are refused before anything is written") {
  Step<F32, full> step({{80, 65}, {3, 1}});
  auto const view = step.batch.view();
  std::vector<std::uint64_t> const tree(66, ~std::uint64_t{0});
  std::vector<float> out(step.q.size(), 7.0F);
  auto const ask = [&](AttentionIo<float> const& io, AttentionParams const& params = {}) {
    ops::attend(view, 0, io, params);
  };
  AttentionIo<float> const io{step.q.data(), heads, out.data()};
  CHECK_THROWS_WITH(ask(io, {.tree_mask = tree.data()}), contains("at most 64 query tokens of a sequence, not for 65"));
  for (float const cap : {-1.0F, std::numeric_limits<float>::infinity(), not_a_number})
    CHECK_THROWS_WITH(ask(io, {.logit_soft_cap = cap}), contains("a logit soft-cap is positive and finite"));
  CHECK_THROWS_WITH(ask({nullptr, heads, out.data()}), contains("q is null"));
  CHECK_THROWS_WITH(ask({step.q.data(), heads, nullptr}), contains("out is null"));
  CHECK_THROWS_WITH(ask({step.q.data(), heads, out.data(), nullptr, 191}),
                    contains("the rows of q have 192 elements, so they cannot begin 191 apart"));
  CHECK_THROWS_WITH(ask({step.q.data(), heads, out.data(), nullptr, 0, -192}), contains("the rows of out have 192"));
  CHECK(out == std::vector<float>(out.size(), 7.0F));
}
