// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Attention of queries that are anywhere in their sequences, or stored elsewhere: each gives the bits that it gives as
// the last token of a sequence which ends at its limit.
#include <cmath>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/naive_attention.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::AttentionParams;
using folio::BatchItem;
using folio::GroupShape;
using folio::HostExecution;
using folio::ModelConfig;
using folio::Sequence;
using folio::test::below;
using folio::test::contains;
using folio::test::random_floats;

namespace {

using Numbers = std::vector<std::int32_t>;

/// Full attention, a window with sinks that divides no tile, and latents; block sizes are of the caches.
constexpr ModelConfig hybrid{.layers = 3,
                             .kv_heads = 2,
                             .head_dim = 32,
                             .groups = {folio::full_attention(), folio::sliding_window(37, 5), folio::latent(32, 16)},
                             .pattern = folio::repeat_groups({0, 1, 2})};
template <class... Policies>
using Cache = folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<16, 4, 8>, Policies...>;

struct Result {
  std::vector<float> out, lse;
  friend bool operator==(Result const& a, Result const& b) {  // bit by bit
    return a.out.size() == b.out.size() && a.lse.size() == b.lse.size() &&
           std::memcmp(a.out.data(), b.out.data(), a.out.size() * sizeof(float)) == 0 &&
           std::memcmp(a.lse.data(), b.lse.data(), a.lse.size() * sizeof(float)) == 0;
  }
  void add(Result const& next) {
    out.insert(out.end(), next.out.begin(), next.out.end());
    lse.insert(lse.end(), next.lse.begin(), next.lse.end());
  }
};

/// A sequence of `length` tokens, of which a window gave none back, with rows drawn from `seed` in every layer.
template <class C>
Sequence filled(C& cache, std::int32_t length, std::uint32_t seed) {
  Sequence s = cache.create(length);
  auto const batch = cache.batch({&s});
  for (std::int32_t layer = 0; layer < C::model.layers; ++layer) {
    GroupShape const& shape = cache.shape(batch.view().place(layer).group);
    auto const keys = random_floats(std::int64_t{length} * shape.kv_heads * shape.key_dim, ++seed, 2.0F);
    auto const values = random_floats(std::int64_t{length} * shape.kv_heads * shape.value_dim, ++seed, 2.0F);
    folio::ops::append(batch.view(), layer, keys.data(), shape.values_in_keys() ? nullptr : values.data());
  }
  return s;
}

/// One row of queries for each of `numbers`: the same for the same number.
std::vector<float> queries_of(Numbers const& numbers, std::int32_t row) {
  std::vector<float> q;
  for (std::int32_t const number : numbers) {
    auto const one = random_floats(row, 5000 + static_cast<std::uint32_t>(number), 2.0F);
    q.insert(q.end(), one.begin(), one.end());
  }
  return q;
}

template <class View>
Result attend(View const& view, std::int32_t layer, std::vector<float> const& q, std::int32_t heads,
              AttentionParams const& params = {}, HostExecution const& execution = {}) {
  GroupShape const shape = view.group(view.place(layer).group).shape;
  auto const rows = static_cast<std::size_t>(view.num_query_tokens()) * static_cast<std::size_t>(heads);
  Result result{std::vector<float>(rows * static_cast<std::size_t>(shape.value_dim), NAN),
                std::vector<float>(rows, NAN)};
  folio::ops::attend(view, layer, folio::AttentionIo{q.data(), heads, result.out.data(), result.lse.data()}, params,
                     execution);
  return result;
}

/// The query that was drawn for `number`, as the last token of what a fork of `s` stores up to `end` positions.
template <class C>
Result attend_truncated(C& cache, Sequence const& s, std::int32_t end, std::int32_t number, std::int32_t layer,
                        std::int32_t heads, AttentionParams const& params) {
  Sequence part = s.fork();
  part.truncate(end);
  GroupShape const& shape = cache.shape(C::model.pattern.place(layer).group);
  return attend(cache.batch({{&part, 1}}).view(), layer, queries_of({number}, heads * shape.key_dim), heads, params);
}

/// Every query of positions `at` of `s`, and as one that is stored elsewhere, is the query of a sequence that ends
/// there. `others` are in the batch, too.
template <class C>
void check_scattered(C& cache, Sequence const& s, Numbers const& at, AttentionParams const& params = {},
                     std::vector<BatchItem> const& others = {}) {
  folio::ThreadPool threads(3);
  Numbers limits;
  for (std::int32_t const position : at) limits.push_back(position + 1);
  for (std::int32_t layer = 0; layer < C::model.layers; ++layer)
    for (std::int32_t const heads : {2, 8}) {
      CAPTURE(C::KeyQuantizer::name, layer, heads, at);
      GroupShape const& shape = cache.shape(C::model.pattern.place(layer).group);
      Result wanted;
      for (std::int32_t const position : at)
        wanted.add(attend_truncated(cache, s, position + 1, position, layer, heads, params));
      for (BatchItem const& item : {BatchItem(&s, at), BatchItem::seeing(&s, limits)}) {
        std::vector<BatchItem> items = others;
        items.push_back(item);
        auto const batch = cache.batch(items);
        auto const begin = static_cast<std::size_t>(batch.view().query_start(static_cast<std::int32_t>(others.size())));
        std::vector<float> q = queries_of(Numbers(begin, 1), heads * shape.key_dim);
        auto const own = queries_of(at, heads * shape.key_dim);
        q.insert(q.end(), own.begin(), own.end());
        Result const all = attend(batch.view(), layer, q, heads, params, {.threads = &threads});
        auto const row = static_cast<std::ptrdiff_t>(begin) * heads;
        Result const found{{all.out.begin() + row * shape.value_dim, all.out.end()},
                           {all.lse.begin() + row, all.lse.end()}};
        CHECK(found == wanted);
      }
    }
}

template <class... Policies>
void every_group() {
  Cache<Policies...> cache({.num_blocks = {60, 240, 120}});
  folio::test::poison(cache);
  Sequence const s = filled(cache, 300, 7), t = filled(cache, 90, 900);
  std::vector<BatchItem> const others{{&t, 3}};
  check_scattered(cache, s, {0});
  check_scattered(cache, s, {0, 3, 4, 5, 37, 63, 64, 128, 200, 299}, {}, others);
  Numbers every_third;  // more than a work of 32 query tokens has
  for (std::int32_t t3 = 1; t3 < 300; t3 += 7) every_third.push_back(t3);
  check_scattered(cache, s, every_third, {}, others);
}

/// What attention says of limits without causality in a layer with a window.
auto const after_the_window = contains("without causality a query sees what comes after its window");

/// For attention over a step: the formula in double, which knows limits.
template <class C>
void check_formula(C& cache, std::vector<BatchItem> const& items, AttentionParams const& params) {
  auto const batch = cache.batch(items);
  for (std::int32_t layer = 0; layer < C::model.layers; ++layer) {
    CAPTURE(layer);
    GroupShape const& shape = cache.shape(C::model.pattern.place(layer).group);
    auto const q = random_floats(std::int64_t{batch.num_query_tokens()} * 4 * shape.key_dim, 3, 2.0F);
    if (!params.causal && shape.window != 0) {
      CHECK_THROWS_WITH(attend(batch.view(), layer, q, 4, params), after_the_window);
      continue;
    }
    Result const found = attend(batch.view(), layer, q, 4, params);
    auto const wanted = folio::test::naive_attention(batch.view(), layer, q.data(), 4, params);
    CHECK(folio::test::difference(wanted, found.out, found.lse) == "");
  }
}

}  // namespace

TEST_CASE("queries anywhere give the bits of sequences that end there: f32") { every_group<folio::F32>(); }
TEST_CASE("queries anywhere give the bits of sequences that end there: f16") {
  every_group<folio::F16, folio::LayoutNhd>();
}
TEST_CASE("queries anywhere give the bits of sequences that end there: bf16") { every_group<folio::BF16>(); }
TEST_CASE("queries anywhere give the bits of sequences that end there: fp8") {
  every_group<folio::Fp8E4M3, folio::LayoutInterleaved>();
}
TEST_CASE("queries anywhere give the bits of sequences that end there: int8") { every_group<folio::Int8PerToken>(); }
TEST_CASE("queries anywhere give the bits of sequences that end there: int4") { every_group<folio::Int4Rotated>(); }
TEST_CASE("queries anywhere give the bits of sequences that end there: int2") { every_group<folio::Int2Rotated>(); }
TEST_CASE("queries anywhere give the bits of sequences that end there: rows that are decoded first") {
  every_group<folio::test::GroupedInt8, folio::test::ShreddedLayout>();
}

TEST_CASE("long contexts, whose parts threads share, end at the limit of the last query") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 32};
  folio::KvCache<folio::Model<model>, folio::BlockSize<16>, folio::Int8PerToken> cache({.num_blocks = {300}});
  Sequence const s = filled(cache, 4000, 3);
  check_scattered(cache, s, {20, 1023, 1024, 2500});
  check_scattered(cache, s, {3999});
}

TEST_CASE("queries anywhere in forks and around a gap") {
  Cache<folio::F32> cache({.num_blocks = {80, 240, 120}});
  folio::test::poison(cache);
  Sequence s = filled(cache, 100, 11), fork = s.fork();
  fork.truncate(50);
  check_scattered(cache, fork, {3, 30, 49}, {}, {{&s, 2}});
  s.cut(32, 32, 0);
  s.cut(16, 40, 2);
  check_scattered(cache, s, {0, 15, 64, 80, 99}, {}, {{&fork, 2}});
}

TEST_CASE("limits may be 0 or the same, and none needs an own token") {
  Cache<folio::F32> cache({.num_blocks = {20, 40, 20}});
  Sequence const s = filled(cache, 70, 5), empty = cache.create();
  Numbers const limits{0, 0, 1, 40, 40, 70, 70}, nothing{0, 0};
  check_formula(cache, {BatchItem::seeing(&s, limits), BatchItem::seeing(&empty, nothing)}, {});
  auto const batch = cache.batch({BatchItem::seeing(&s, limits)});
  std::vector<float> const q(7 * 2 * 48, 0.25F);
  for (std::int32_t layer = 0; layer < 3; ++layer) {
    Result const found = attend(batch.view(), layer, q, 2);
    CHECK(found.lse[0] == -INFINITY);
    CHECK(found.lse[3] == -INFINITY);
    CHECK(found.out[0] == 0);
    CHECK(found.lse[6] == found.lse[8]);
    CHECK(found.lse[6] != found.lse[10]);
  }
}

TEST_CASE("windows, sinks, ranges and what modifies scores count from the limit; without causality it ends nothing") {
  Cache<folio::F32> cache({.num_blocks = {40, 120, 60}});
  folio::test::poison(cache);
  Sequence const s = filled(cache, 150, 21), t = filled(cache, 20, 41);
  Numbers const at{2, 9, 70, 71, 120}, limits{0, 15, 15};
  std::vector<BatchItem> const items{{&s, at}, BatchItem::seeing(&t, limits)};
  std::vector<float> const slopes{0.5F, 0.25F, 0.125F, 0.0625F}, sinks{1, -2, 0.5F, 3};
  check_formula(cache, items, {.alibi_slopes = slopes.data()});
  check_formula(cache, items, {.logit_soft_cap = 5, .sink_logits = sinks.data(), .alibi_slopes = slopes.data()});
  check_formula(cache, items, {.token_begin = 6, .token_end = 71});
  check_formula(cache, items, {.causal = false});
  check_formula(cache, items, {.causal = false, .token_begin = 3, .alibi_slopes = slopes.data()});
}

TEST_CASE("a query in the sinks and one after the window: what was given back between them is not read") {
  Cache<folio::F16> cache({.num_blocks = {40, 60, 60}});
  folio::test::poison(cache);
  Sequence s = filled(cache, 120, 31);
  for (int i = 0; i < 20; ++i) {
    s.extend(1);
    auto const batch = cache.batch({&s});
    auto const rows = random_floats(2 * 48, 600 + static_cast<std::uint32_t>(i), 2.0F);
    for (std::int32_t layer = 0; layer < 3; ++layer)
      folio::ops::append(batch.view(), layer, rows.data(), layer == 2 ? nullptr : rows.data());
  }
  REQUIRE(s.blocks(1)[10] == folio::null_block);
  Numbers const at{1, 4, 7, 138, 139};
  check_formula(cache, {{&s, at}}, {});
}

TEST_CASE("without causality nothing that a window gave back is read: there queries are last tokens") {
  constexpr ModelConfig windows{.layers = 1, .kv_heads = 1, .head_dim = 64, .groups = {folio::sliding_window(32, 16)}};
  folio::KvCache<folio::Model<windows>, folio::BlockSize<16>, folio::F32> cache({.num_blocks = {20}});
  std::vector<float> const ones(64, 1.0F), q(2 * 64, 0.1F);
  Sequence s = cache.create();
  for (int i = 0; i < 200; ++i) {
    s.extend(1);
    folio::ops::append(cache.batch({&s}).view(), 0, ones.data(), ones.data());
  }
  Numbers const first{0}, limits{0, 5};
  AttentionParams const params{.causal = false};
  for (BatchItem const& item : {BatchItem(&s, first), BatchItem::seeing(&s, limits)}) {
    auto const batch = cache.batch({item});
    CHECK_THROWS_WITH(attend(batch.view(), 0, q, 1, params), after_the_window);
    CHECK_THROWS_WITH(folio::ops::plan_attention(batch.view(), 1, params), after_the_window);
    CHECK_NOTHROW(attend(batch.view(), 0, q, 1));
  }
  CHECK(attend(cache.batch({{&s, 1}}).view(), 0, q, 1, params).out == ones);
}

TEST_CASE("without causality a limit of 0 hides nothing") {
  Cache<folio::F32> cache({.num_blocks = {20, 40, 20}});
  Sequence const s = filled(cache, 70, 5);
  Numbers const limits{0, 70};
  auto const batch = cache.batch({BatchItem::seeing(&s, limits)});
  std::vector<float> const q(2 * 2 * 48, 0.25F);
  for (std::int32_t const layer : {0, 2}) {
    Result const found = attend(batch.view(), layer, q, 2, {.causal = false});
    std::size_t const row = found.out.size() / 2;
    CHECK(std::equal(found.out.begin(), found.out.begin() + static_cast<std::ptrdiff_t>(row),
                     found.out.begin() + static_cast<std::ptrdiff_t>(row)));
    CHECK(found.lse[0] == found.lse[2]);
    CHECK(std::isfinite(found.lse[0]));
  }
}

TEST_CASE("a NaN that lies between what queries see is nobody's") {
  Cache<folio::F32> cache({.num_blocks = {20, 40, 20}});
  Sequence const s = filled(cache, 64, 51);
  Numbers const one{20};
  std::vector<float> const rows(2 * 48, NAN);
  auto const spoil = cache.batch({{&s, one}});
  folio::ops::append(spoil.view(), 1, rows.data(), rows.data());
  Numbers const at{19, 57, 63};  // windows of 37: from 0, 21 and 27 on
  auto const batch = cache.batch({{&s, at}});
  Result const found = attend(batch.view(), 1, queries_of(at, 4 * 32), 4);
  for (float const x : found.out) CHECK(std::isfinite(x));
  Numbers const sees{19, 56, 63};
  Result const spoiled = attend(cache.batch({{&s, sees}}).view(), 1, queries_of(sees, 4 * 32), 4);
  for (std::size_t i = 0; i < spoiled.lse.size(); ++i) CHECK(std::isnan(spoiled.lse[i]) == (i / 4 == 1));
}

TEST_CASE("a plan knows the limits of its batch, and nothing of those of the step before") {
  Cache<folio::F16> cache({.num_blocks = {60, 200, 120}});
  Sequence const s = filled(cache, 200, 61), t = filled(cache, 50, 71);
  Numbers const at{7, 100, 150};
  folio::AttentionWorkspace workspace;
  auto const check = [&](std::vector<BatchItem> const& items) {
    auto const batch = cache.batch(items);
    folio::AttentionPlan const plan = folio::ops::plan_attention(batch.view(), 4, {}, {.workspace = &workspace});
    for (std::int32_t layer = 0; layer < 3; ++layer) {
      GroupShape const& shape = cache.shape(layer);
      auto const q = random_floats(std::int64_t{batch.num_query_tokens()} * 4 * shape.key_dim, 3, 2.0F);
      Result const wanted = attend(batch.view(), layer, q, 4);
      Result planned{std::vector<float>(wanted.out.size()), std::vector<float>(wanted.lse.size())};
      folio::ops::attend(plan, layer, folio::AttentionIo{q.data(), 4, planned.out.data(), planned.lse.data()});
      CHECK(planned == wanted);
      auto const expected = folio::test::naive_attention(batch.view(), layer, q.data(), 4);
      CHECK(folio::test::difference(expected, planned.out, planned.lse) == "");
    }
  };
  check({{&s, 3}, {&t, 2}});
  check({{&s, at}, {&t, 2}});
  check({{&s, 3}, {&t, 2}});
  check({BatchItem::seeing(&s, at), {&t, 0}});
}

TEST_CASE("a tree mask does not go with limits") {
  Cache<folio::F32> cache({.num_blocks = {20, 40, 20}});
  Sequence const s = filled(cache, 20, 81);
  Numbers const at{18, 19};
  std::uint64_t const tree[] = {1, 3};
  AttentionParams const params{.tree_mask = tree};
  auto const batch = cache.batch({{&s, at}});
  std::vector<float> const q(2 * 2 * 48);
  std::string const sentence =
      "a tree mask says which of a sequence's last tokens see each other, so it does not go with";
  CHECK_THROWS_WITH(attend(batch.view(), 0, q, 2, params), contains(sentence));
  CHECK_THROWS_WITH(folio::ops::plan_attention(batch.view(), 2, params), contains(sentence));
  CHECK_NOTHROW(attend(cache.batch({{&s, 2}}).view(), 0, q, 2, params));
}
