// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/folio.hpp>
#include <folio/ops/scores.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/naive_attention.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::BatchItem;
using folio::GroupShape;
using folio::ModelConfig;
using folio::Sequence;
using folio::ops::ScoreOptions;
using folio::test::contains;
using folio::test::random_floats;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// A layer that sees everything, and one with a window and sinks.
constexpr ModelConfig hybrid{.layers = 2,
                             .kv_heads = 2,
                             .head_dim = 40,
                             .groups = {folio::full_attention(), folio::sliding_window(9, 3)},
                             .pattern = folio::repeat_groups({0, 1})};
constexpr ModelConfig latent_model{.layers = 1, .kv_heads = 1, .groups = {folio::latent(32, 8)}};
constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 8};

/// n more tokens of each sequence, written in all layers.
template <class Cache>
void append_tokens(Cache& cache, std::vector<Sequence*> const& sequences, std::vector<std::int32_t> const& n) {
  static std::uint32_t seed = 1;
  std::vector<BatchItem> items;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    sequences[i]->extend(n[i]);
    items.emplace_back(sequences[i]);
  }
  auto const batch = cache.batch(items);
  for (std::int32_t layer = 0; layer < Cache::model.layers; ++layer) {
    GroupShape const& shape = cache.shape(batch.view().place(layer).group);
    std::int64_t const rows = std::int64_t{batch.num_query_tokens()} * shape.kv_heads;
    auto const keys = random_floats(rows * shape.key_dim, ++seed, 2.0F);
    auto const values = random_floats(rows * shape.value_dim, ++seed, 2.0F);
    folio::ops::append(batch.view(), layer, keys.data(), shape.values_in_keys() ? nullptr : values.data());
  }
}

/// The queries of a step in one layer, and what attention says of them.
struct Queries {
  std::vector<float> q, lse;
};
template <class View>
Queries attend(View const& view, std::int32_t layer, std::int32_t heads, folio::AttentionParams const& params = {}) {
  GroupShape const shape = view.group(view.place(layer).group).shape;
  auto const rows = std::int64_t{view.num_query_tokens()} * heads;
  Queries queries{random_floats(rows * shape.key_dim, 77, 2.0F), std::vector<float>(static_cast<std::size_t>(rows))};
  std::vector<float> out(static_cast<std::size_t>(rows * shape.value_dim));
  folio::ops::attend(view, layer, folio::AttentionIo{queries.q.data(), heads, out.data(), queries.lse.data()}, params);
  return queries;
}

/// The formula, in double precision: what is added to scores [num_sequences][kv_heads][max_tokens].
template <class View>
std::vector<double> naive_scores(View const& view, std::int32_t layer, Queries const& queries, std::int32_t heads,
                                 std::int32_t max_tokens) {
  GroupShape const shape = view.group(view.place(layer).group).shape;
  std::vector<double> scores(static_cast<std::size_t>(view.num_sequences() * shape.kv_heads * max_tokens));
  std::vector<float> key(static_cast<std::size_t>(shape.kv_heads * shape.key_dim));
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
    std::int32_t const n = view.query_start(i + 1) - view.query_start(i);
    folio::GroupTable const& table = view.group(view.place(layer).group);
    std::int32_t const length = table.lengths[i];
    for (std::int32_t t = 0; t < length; ++t)
      for (std::int32_t query = 0; query < n; ++query) {
        bool const has_limits = table.limits != nullptr;
        std::int32_t const number = has_limits ? table.limits[view.query_start(i) + query] - 1 : length - n + query;
        if (!shape.visible(number, t)) continue;
        folio::ops::gather(view, layer, {i, t, 1}, key.data(), nullptr);
        for (std::int32_t h = 0; h < heads; ++h) {
          auto const row = static_cast<std::size_t>((view.query_start(i) + query) * heads + h);
          std::int32_t const kv_head = h / (heads / shape.kv_heads);
          double dot = 0;
          for (std::int32_t d = 0; d < shape.key_dim; ++d)
            dot += double{queries.q[row * static_cast<std::size_t>(shape.key_dim) + static_cast<std::size_t>(d)]} *
                   double{key[static_cast<std::size_t>(kv_head * shape.key_dim + d)]};
          scores[static_cast<std::size_t>((i * shape.kv_heads + kv_head) * max_tokens + t)] +=
              std::exp(dot / std::sqrt(double(shape.key_dim)) - double{queries.lse[row]});
        }
      }
  }
  return scores;
}

double largest_difference(std::vector<float> const& found, std::vector<double> const& expected) {
  double worst = found.size() == expected.size() ? 0 : 1e30;
  for (std::size_t i = 0; i < std::min(found.size(), expected.size()); ++i)
    worst = std::max(worst, std::fabs(double{found[i]} - expected[i]) / std::max(1.0, expected[i]));
  return std::isnan(worst) ? 1e30 : worst;
}

template <class... Policies>
void check_formula() {
  folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<8, 4>, Policies...> cache({.num_blocks = {40, 40}});
  folio::test::poison(cache);
  Sequence a = cache.create(), b = cache.create(), c = cache.create(), d = cache.create();
  append_tokens(cache, {&a, &b, &c}, {8, 9, 64});
  c.cut(8, 32, 0);
  append_tokens(cache, {&a, &b, &c, &d}, {1, 7, 2, 1});  // lengths 9, 16, 66, 1, and 34 of 66 in the full layer
  Sequence const e = cache.create();
  auto const batch = cache.batch({&a, {&b, 0}, &c, &d, &e});
  constexpr std::int32_t max_tokens = 68;
  for (std::int32_t layer = 0; layer < 2; ++layer)
    for (std::int32_t const heads : {2, 8}) {
      CAPTURE(layer, heads);
      Queries const queries = attend(batch.view(), layer, heads);
      std::vector<float> scores(5 * 2 * max_tokens), sums(5 * max_tokens);
      folio::ops::accumulate_scores(batch.view(), layer, queries.q.data(), heads, queries.lse.data(), scores.data(),
                                    {.max_tokens = max_tokens});
      auto const expected = naive_scores(batch.view(), layer, queries, heads, max_tokens);
      CHECK(largest_difference(scores, expected) < 2e-5);

      folio::ops::accumulate_scores(batch.view(), layer, queries.q.data(), heads, queries.lse.data(), sums.data(),
                                    {.max_tokens = max_tokens, .per_head = false});
      std::vector<double> of_heads(sums.size());
      for (std::size_t i = 0; i < of_heads.size(); ++i) {
        std::size_t const at = i / max_tokens * 2 * max_tokens + i % max_tokens;
        of_heads[i] = expected[at] + expected[at + max_tokens];
      }
      CHECK(largest_difference(sums, of_heads) < 2e-5);

      // Each query's weights sum to one: 1 query and heads / 2 query heads for each kv head of `a`; 2 queries for `c`.
      auto const sum_of = [&](std::size_t row) {
        double sum = 0;
        for (std::size_t t = 0; t < max_tokens; ++t) sum += double{scores[row * max_tokens + t]};
        return sum;
      };
      for (std::size_t head = 0; head < 2; ++head) {
        CHECK(sum_of(head) == Approx(heads / 2).epsilon(5e-5));
        CHECK(sum_of(2 + head) == 0);
        CHECK(sum_of(4 + head) == Approx(heads).epsilon(5e-5));
        CHECK(sum_of(6 + head) == Approx(heads / 2).epsilon(5e-5));
      }
    }
}

template <class Quantizer>
void every_layout() {
  check_formula<Quantizer, folio::LayoutHnd>();
  check_formula<Quantizer, folio::LayoutNhd>();
  check_formula<Quantizer, folio::LayoutInterleaved>();
}

}  // namespace

TEST_CASE("scores are sums of attention weights: f32") { every_layout<folio::F32>(); }
TEST_CASE("scores are sums of attention weights: f16") { every_layout<folio::F16>(); }
TEST_CASE("scores are sums of attention weights: bf16") { every_layout<folio::BF16>(); }
TEST_CASE("scores are sums of attention weights: fp8") { every_layout<folio::Fp8E4M3>(); }
TEST_CASE("scores are sums of attention weights: int8") { every_layout<folio::Int8PerToken>(); }
TEST_CASE("scores are sums of attention weights: int4") { every_layout<folio::Int4Rotated>(); }
TEST_CASE("scores are sums of attention weights: a format with several scales in a row") {
  check_formula<folio::test::GroupedInt8, folio::test::ShreddedLayout>();
}

TEST_CASE("scores of a latent layer are for its one head") {
  folio::KvCache<folio::Model<latent_model>, folio::BlockSize<8>, folio::BF16> cache({.num_blocks = {10}});
  Sequence a = cache.create();
  append_tokens(cache, {&a}, {17});
  auto const batch = cache.batch({{&a, 3}});
  Queries const queries = attend(batch.view(), 0, 6);
  std::vector<float> scores(17);
  folio::ops::accumulate_scores(batch.view(), 0, queries.q.data(), 6, queries.lse.data(), scores.data(),
                                {.max_tokens = 17});
  CHECK(largest_difference(scores, naive_scores(batch.view(), 0, queries, 6, 17)) < 2e-5);
}

TEST_CASE("scores of queries anywhere in their sequences, or elsewhere") {
  folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<8, 4>, folio::F16> cache({.num_blocks = {60, 80}});
  folio::test::poison(cache);
  Sequence a = cache.create(), b = cache.create(), c = cache.create();
  append_tokens(cache, {&a, &b, &c}, {70, 21, 64});
  c.cut(8, 32, 0);
  std::vector<std::int32_t> const at{0, 2, 3, 9, 31, 32, 33, 64, 69}, limits{0, 0, 4, 21, 21}, around{1, 7, 40, 63};
  auto const batch = cache.batch({{&a, at}, BatchItem::seeing(&b, limits), {&c, around}});
  for (std::int32_t layer = 0; layer < 2; ++layer) {
    CAPTURE(layer);
    Queries const queries = attend(batch.view(), layer, 6);
    std::vector<float> scores(3 * 2 * 72);
    folio::ops::accumulate_scores(batch.view(), layer, queries.q.data(), 6, queries.lse.data(), scores.data(),
                                  {.max_tokens = 72});
    CHECK(largest_difference(scores, naive_scores(batch.view(), layer, queries, 6, 72)) < 2e-5);
    // A query of the middle gives nothing to what comes after it, and one that sees nothing gives nothing at all.
    float sum = 0;
    for (std::size_t t = 0; t < 72; ++t) sum += scores[static_cast<std::size_t>(2 * 72) + t];
    CHECK(std::fabs(sum - 3 * 3) < 1e-3F);  // 3 of the 5 queries of `b`, in 3 heads of a kv head
  }
}

TEST_CASE("even attention over four tokens gives the sums that one can count by hand") {
  folio::KvCache<folio::Model<tiny>, folio::BlockSize<4>, folio::F32> cache({.num_blocks = {4}});
  std::vector<float> const zeros(4 * 8);
  std::vector<float> scores(4), lse(4);
  auto const step = [&](folio::Batch<decltype(cache)::View> const& batch, float decay) {
    std::vector<float> out(4 * 8);
    folio::ops::append(batch.view(), 0, zeros.data(), zeros.data());
    folio::ops::attend(batch.view(), 0, folio::AttentionIo{zeros.data(), 1, out.data(), lse.data()});
    folio::ops::accumulate_scores(batch.view(), 0, zeros.data(), 1, lse.data(), scores.data(),
                                  {.max_tokens = 4, .decay = decay});
  };
  Sequence a = cache.create(4);
  SECTION("a prompt") {
    step(cache.batch({&a}), 1);
    CHECK(largest_difference(scores, {25.0 / 12, 13.0 / 12, 7.0 / 12, 1.0 / 4}) < 1e-6);
  }
  SECTION("token by token, each step's scores halved at the next") {
    a.truncate(0);
    for (int i = 0; i < 4; ++i) {
      a.extend(1);
      step(cache.batch({&a}), 0.5F);
    }
    CHECK(largest_difference(scores, {2.0 / 3, 13.0 / 24, 5.0 / 12, 1.0 / 4}) < 1e-6);
  }
}

TEST_CASE("without decay a prompt in pieces comes to the scores of the prompt at once") {
  folio::KvCache<folio::Model<hybrid>, folio::BlockSize<4>, folio::Int8PerToken> cache({.num_blocks = {30, 30}});
  Sequence a = cache.create();
  append_tokens(cache, {&a}, {30});
  auto const whole = cache.batch({&a});
  for (std::int32_t layer = 0; layer < 2; ++layer) {
    Queries const queries = attend(whole.view(), layer, 4);
    std::vector<float> scores(2 * 30), pieces(2 * 30);
    folio::ops::accumulate_scores(whole.view(), layer, queries.q.data(), 4, queries.lse.data(), scores.data(),
                                  {.max_tokens = 30});
    for (std::int32_t const end : {1, 13, 24, 30}) {
      Sequence prefix = a.fork();
      prefix.truncate(end);
      std::int32_t const begin = end == 1 ? 0 : end == 13 ? 1 : end == 24 ? 13 : 24;
      auto const batch = cache.batch({{&prefix, end - begin}});
      folio::ops::accumulate_scores(batch.view(), layer, queries.q.data() + begin * 4 * 40, 4,
                                    queries.lse.data() + begin * 4, pieces.data(), {.max_tokens = 30});
    }
    CHECK(largest_difference(pieces, std::vector<double>(scores.begin(), scores.end())) < 1e-5);
  }
}

TEST_CASE("decay is for all tokens; 0 starts anew; before a window nothing is added or read") {
  folio::KvCache<folio::Model<hybrid>, folio::BlockSize<4>, folio::F16> cache({.num_blocks = {30, 30}});
  folio::test::poison(cache);
  Sequence a = cache.create();
  append_tokens(cache, {&a}, {27});
  for (int i = 0; i < 3; ++i) append_tokens(cache, {&a}, {1});  // gives back blocks that left the window
  CHECK(a.blocks(1)[2] == folio::null_block);
  auto const batch = cache.batch({&a});
  Queries const queries = attend(batch.view(), 1, 2);
  auto const fresh = naive_scores(batch.view(), 1, queries, 2, 32);
  auto const run = [&](std::vector<float> scores, float decay) {
    folio::ops::accumulate_scores(batch.view(), 1, queries.q.data(), 2, queries.lse.data(), scores.data(),
                                  {.max_tokens = 32, .decay = decay});
    return scores;
  };
  auto decayed = fresh;
  for (std::size_t i = 0; i < decayed.size(); ++i) decayed[i] += i % 32 < 30 ? 1.5 : 2.0;  // 2 after the end stay
  CHECK(largest_difference(run(std::vector<float>(64, 2.0F), 0.75F), decayed) < 2e-5);
  auto const anew = run(std::vector<float>(64, not_a_number), 0);
  for (std::size_t i = 0; i < anew.size(); ++i)
    if (i % 32 < 30) CHECK(double{anew[i]} == Approx(fresh[i]).margin(2e-5));
  CHECK(anew[10] == 0);
  CHECK(std::isnan(anew[30]));
}

TEST_CASE("what sink logits took is missing, and a query that saw nothing gives nothing") {
  folio::KvCache<folio::Model<tiny>, folio::BlockSize<4>, folio::F32> cache({.num_blocks = {4}});
  Sequence a = cache.create();
  append_tokens(cache, {&a}, {6});
  auto const batch = cache.batch({{&a, 2}});
  std::vector<float> const sinks{0.5F, -1.0F};
  Queries queries = attend(batch.view(), 0, 2, {.sink_logits = sinks.data()});
  queries.lse[1] = -std::numeric_limits<float>::infinity();
  std::vector<float> scores(6);
  folio::ops::accumulate_scores(batch.view(), 0, queries.q.data(), 2, queries.lse.data(), scores.data(),
                                {.max_tokens = 6});
  double sum = 0, expected = 0;
  for (float const s : scores) sum += double{s};
  for (std::size_t row : {0U, 2U, 3U}) expected += 1 - std::exp(double{sinks[row % 2]} - double{queries.lse[row]});
  CHECK(sum == Approx(expected).epsilon(1e-5));
}

TEST_CASE("threads come to the same bits") {
  folio::KvCache<folio::Model<hybrid>, folio::BlockSize<4>, folio::Int4Rotated> cache({.num_blocks = {60, 60}});
  Sequence a = cache.create(), b = cache.create();
  append_tokens(cache, {&a, &b}, {70, 33});
  auto const batch = cache.batch({{&a, 5}, {&b, 3}});
  Queries const queries = attend(batch.view(), 1, 4);
  auto const run = [&](folio::ThreadPool* threads) {
    std::vector<float> scores(2 * 2 * 70);
    folio::ops::accumulate_scores(batch.view(), 1, queries.q.data(), 4, queries.lse.data(), scores.data(),
                                  {.max_tokens = 70}, threads);
    return scores;
  };
  folio::ThreadPool three(3);
  CHECK(run(&three) == run(nullptr));
}

TEST_CASE("rows and heads that do not fit are refused before anything is written") {
  folio::KvCache<folio::Model<hybrid>, folio::BlockSize<4>, folio::F32> cache({.num_blocks = {4, 4}});
  Sequence a = cache.create();
  append_tokens(cache, {&a}, {5});
  auto const batch = cache.batch({&a});
  Queries const queries = attend(batch.view(), 0, 2);
  std::vector<float> scores(2 * 5, 3.0F);
  auto const run = [&](std::int32_t layer, std::int32_t heads, std::int32_t max_tokens) {
    folio::ops::accumulate_scores(batch.view(), layer, queries.q.data(), heads, queries.lse.data(), scores.data(),
                                  {.max_tokens = max_tokens});
  };
  REQUIRE_THROWS_WITH(run(2, 2, 5), contains("folio: the model has no layer 2"));
  REQUIRE_THROWS_WITH(run(0, 3, 5), contains("3 query heads cannot share 2 kv heads"));
  REQUIRE_THROWS_WITH(run(0, 0, 5), contains("0 query heads"));
  REQUIRE_THROWS_WITH(run(0, 2, 0), contains("max_tokens is 0"));
  REQUIRE_THROWS_WITH(run(0, 2, 4), contains("5 tokens does not fit into rows of 4"));
  auto const run_with = [&](float const* q, float const* lse, float* to) {
    folio::ops::accumulate_scores(batch.view(), 0, q, 2, lse, to, {.max_tokens = 5});
  };
  REQUIRE_THROWS_WITH(run_with(nullptr, queries.lse.data(), scores.data()), contains("q is null"));
  REQUIRE_THROWS_WITH(run_with(queries.q.data(), nullptr, scores.data()), contains("lse is null"));
  REQUIRE_THROWS_WITH(run_with(queries.q.data(), queries.lse.data(), nullptr), contains("scores is null"));
  CHECK(scores == std::vector<float>(2 * 5, 3.0F));
  a.cut(0, 4, 0);  // a row for what each layer stores
  auto const thinned = cache.batch({&a});
  auto const add = [&](std::int32_t layer) {
    folio::ops::accumulate_scores(thinned.view(), layer, queries.q.data(), 2, queries.lse.data(), scores.data(),
                                  {.max_tokens = 4});
  };
  REQUIRE_THROWS_WITH(add(1), contains("5 tokens does not fit into rows of 4"));
  REQUIRE_NOTHROW(add(0));
  Sequence const empty = cache.create();
  auto const nobody = cache.batch({&empty});
  CHECK_NOTHROW(folio::ops::accumulate_scores(nobody.view(), 0, nullptr, 2, nullptr, scores.data(), {.max_tokens = 5}));
}
