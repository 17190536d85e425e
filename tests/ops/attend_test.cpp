// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/isa.hpp"
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
using folio::test::contains;
using folio::test::random_floats;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

template <std::int32_t KeyDim, std::int32_t ValueDim = KeyDim>
constexpr ModelConfig model_of{.layers = 2, .head_dim = KeyDim, .value_head_dim = ValueDim};  // kv_heads at run time

template <std::int32_t Sinks>
constexpr ModelConfig window_of{.layers = 2, .head_dim = 16, .groups = {folio::sliding_window(folio::dynamic, Sinks)}};

template <std::int32_t Rank, std::int32_t RopeDims>
constexpr ModelConfig latent_of{.layers = 2, .kv_heads = 1, .groups = {folio::latent(Rank, RopeDims)}};

/// Keys and values of a token are made from its number; so a prompt can be written in any pieces.
template <class Cache>
void append_tokens(Cache& cache, std::vector<Sequence*> const& sequences, std::int32_t n, std::uint32_t first_number) {
  std::vector<BatchItem> items;
  for (Sequence* const s : sequences) {
    s->extend(n);
    items.emplace_back(s);
  }
  auto const batch = cache.batch(items);
  for (std::int32_t layer = 0; layer < cache.shape().layers; ++layer) {
    GroupShape const& shape = cache.shape();
    std::vector<float> keys, values;
    for (std::size_t i = 0; i < sequences.size(); ++i)
      for (std::int32_t t = 0; t < n; ++t) {
        auto const seed = static_cast<std::uint32_t>(sequences[i]->num_tokens() - n + t) * 64 + first_number * 65'536 +
                          static_cast<std::uint32_t>(layer * 2 + static_cast<std::int32_t>(i) * 4);
        auto const key = random_floats(std::int64_t{shape.kv_heads} * shape.key_dim, seed, 2.0F);
        auto const value = random_floats(std::int64_t{shape.kv_heads} * shape.value_dim, seed + 1, 2.0F);
        keys.insert(keys.end(), key.begin(), key.end());
        values.insert(values.end(), value.begin(), value.end());
      }
    folio::ops::append(batch.view(), layer, keys.data(), values.data());
  }
}

struct Result {
  std::vector<float> out, lse;
  friend bool operator==(Result const& a, Result const& b) {  // bit by bit
    return a.out.size() == b.out.size() && a.lse.size() == b.lse.size() &&
           std::memcmp(a.out.data(), b.out.data(), a.out.size() * sizeof(float)) == 0 &&
           std::memcmp(a.lse.data(), b.lse.data(), a.lse.size() * sizeof(float)) == 0;
  }
};

/// Queries by position, so that a token's query is the same in whatever step it comes.
template <class View>
std::vector<float> queries_for(View const& view, GroupShape const& shape, std::int32_t num_query_heads) {
  std::vector<float> q;
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
    auto const sequence = view.template sequence_in<0>(i, 0);
    for (std::int32_t p = sequence.first_query(); p < sequence.num_tokens(); ++p) {
      auto const row =
          random_floats(std::int64_t{num_query_heads} * shape.key_dim, 1'000'000 + static_cast<std::uint32_t>(p), 2.0F);
      q.insert(q.end(), row.begin(), row.end());
    }
  }
  return q;
}

template <class View>
Result attend(View const& view, std::int32_t layer, std::vector<float> const& q, std::int32_t num_query_heads,
              AttentionParams const& params = {}, HostExecution const& execution = {}) {
  GroupShape const shape = view.group(view.place(layer).group).shape;
  auto const rows = static_cast<std::size_t>(view.num_query_tokens()) * static_cast<std::size_t>(num_query_heads);
  Result result{std::vector<float>(rows * static_cast<std::size_t>(shape.value_dim), not_a_number),
                std::vector<float>(rows, not_a_number)};
  folio::ops::attend(view, layer, folio::AttentionIo{q.data(), num_query_heads, result.out.data(), result.lse.data()},
                     params, execution);
  return result;
}

/// Attends in both layers and compares with the formula. `query_tokens`: -1 for those of the last append.
template <class Cache>
void check_against_formula(Cache& cache, std::vector<BatchItem> const& items, std::int32_t num_query_heads,
                           AttentionParams const& params = {}) {
  auto const batch = cache.batch(items);
  auto const view = batch.view();
  for (std::int32_t layer = 0; layer < cache.shape().layers; ++layer) {
    CAPTURE(layer, num_query_heads);
    auto const q = queries_for(view, cache.shape(), num_query_heads);
    Result const found = attend(view, layer, q, num_query_heads, params);
    auto const expected = folio::test::naive_attention(view, layer, q.data(), num_query_heads, params);
    CHECK(folio::test::difference(expected, found.out, found.lse) == "");
  }
}

template <class Quantizer, class Layout, std::int32_t KeyDim, std::int32_t ValueDim = KeyDim>
void check_dims(std::int32_t kv_heads, std::int32_t num_query_heads) {
  CAPTURE(Quantizer::name, Layout::name, KeyDim, ValueDim, kv_heads);
  folio::KvCache<folio::Model<model_of<KeyDim, ValueDim>>, folio::BlockSize<4>, Quantizer, Layout> cache(
      {.num_blocks = {32}, .kv_heads = kv_heads});
  folio::test::poison(cache);
  Sequence a = cache.create(), b = cache.create();
  append_tokens(cache, {&a}, 7, 1);
  append_tokens(cache, {&b}, 12, 2);
  append_tokens(cache, {&a, &b}, 3, 3);
  check_against_formula(cache, {&a, &b}, num_query_heads);
}

/// Positions [0, end) but those of `gap`.
std::vector<std::int32_t> positions_outside(std::pair<std::int32_t, std::int32_t> gap, std::int32_t end) {
  std::vector<std::int32_t> positions;
  for (std::int32_t t = 0; t < end; ++t)
    if (t < gap.first || t >= gap.second) positions.push_back(t);
  return positions;
}

/// Attention of the last three tokens of a sequence to which nothing was ever written but what `story` wrote at these
/// positions, in a cache of its own.
template <class Cache>
Result attend_to_those_alone(folio::test::ModelSequence<Cache> const& story, std::vector<std::int32_t> const& positions,
                             std::int32_t layer, std::vector<float> const& q) {
  Cache cache({.num_blocks = {64, 64, 64}});
  folio::test::poison(cache);
  Sequence s = cache.create();
  auto const end = static_cast<std::int32_t>(positions.size());
  for (std::int32_t const n : {end - 3, 3}) {
    s.extend(n);
    auto const batch = cache.batch({&s});
    GroupShape const& shape = cache.shape(batch.view().place(layer).group);
    std::vector<float> rows[2];
    for (std::int32_t t = s.num_tokens() - n; t < s.num_tokens(); ++t)
      for (int plane = 0; plane < 2; ++plane) {
        std::int32_t const position = positions[static_cast<std::size_t>(t)];
        auto const row = story.rows(shape, plane, layer, position, position + 1);
        rows[plane].insert(rows[plane].end(), row.begin(), row.end());
      }
    folio::ops::append(batch.view(), layer, rows[0].data(), rows[1].data());
  }
  return attend(cache.batch({&s}).view(), layer, q, 4, {.scale = 0.2F});
}

using GqaCache = folio::KvCache<folio::Model<model_of<32>>, folio::BlockSize<4>, folio::F32>;

GqaCache gqa_cache() {
  GqaCache cache({.num_blocks = {200}, .kv_heads = 2});
  folio::test::poison(cache);
  return cache;
}

}  // namespace

TEST_CASE("attention is what the formula says for every ratio of query heads to kv heads") {
  for (auto const& [kv_heads, num_query_heads] : {std::pair{1, 1}, {1, 8}, {4, 4}, {4, 8}, {2, 14}, {8, 8}, {3, 9}})
    check_dims<folio::F32, folio::LayoutHnd, 32>(kv_heads, num_query_heads);
}

TEST_CASE("attention is what the formula says for every head dim") {
  check_dims<folio::F16, folio::LayoutHnd, 8>(1, 2);
  check_dims<folio::F16, folio::LayoutHnd, 32>(2, 2);
  check_dims<folio::F16, folio::LayoutHnd, 40>(2, 2);
  check_dims<folio::F16, folio::LayoutHnd, 64>(2, 4);
  check_dims<folio::F16, folio::LayoutHnd, 96>(1, 4);
  check_dims<folio::F16, folio::LayoutHnd, 128>(2, 2);
  check_dims<folio::F16, folio::LayoutHnd, 160>(1, 1);
  check_dims<folio::F16, folio::LayoutHnd, 192>(1, 1);
  check_dims<folio::F16, folio::LayoutHnd, 224>(1, 2);
  check_dims<folio::F16, folio::LayoutHnd, 256>(1, 2);
  check_dims<folio::F16, folio::LayoutHnd, 192, 128>(2, 4);
  check_dims<folio::F16, folio::LayoutHnd, 64, 96>(1, 2);
}

TEST_CASE("attention is what the formula says over what each format stored") {
  check_dims<folio::BF16, folio::LayoutNhd, 64>(2, 4);
  check_dims<folio::Fp8E4M3, folio::LayoutInterleaved, 64>(2, 4);
  check_dims<folio::Int8PerToken, folio::LayoutInterleaved, 96>(2, 4);
  check_dims<folio::Int4Rotated, folio::LayoutHnd, 128>(2, 4);
  check_dims<folio::Int4Rotated, folio::LayoutInterleaved, 96, 64>(1, 4);
  check_dims<folio::test::GroupedInt8, folio::test::SwizzledLayout, 72>(2, 4);
  check_dims<folio::test::GroupedInt8, folio::test::ShreddedLayout, 64>(1, 4);
}

TEST_CASE("keys and values of two formats, one of them rotated") {
  using namespace folio;
  KvCache<Model<model_of<64>>, BlockSize<4>, Keys<Int8PerToken>, Values<Int4Rotated>> values_turn(
      {.num_blocks = {16}, .kv_heads = 2});
  KvCache<Model<model_of<64>>, BlockSize<4>, Keys<Int4Rotated>, Values<Fp8E4M3>> keys_turn(
      {.num_blocks = {16}, .kv_heads = 2});
  Sequence a = values_turn.create(), b = keys_turn.create();
  append_tokens(values_turn, {&a}, 11, 1);
  append_tokens(keys_turn, {&b}, 11, 1);
  check_against_formula(values_turn, {&a}, 4);
  check_against_formula(keys_turn, {&b}, 4);
}

TEMPLATE_TEST_CASE("latent attention: values are the beginning of the keys, for every query head", "", folio::F32,
                   folio::Int8PerToken, folio::Int4Rotated) {
  folio::KvCache<folio::Model<latent_of<512, 64>>, folio::BlockSize<4>, TestType> cache({.num_blocks = {16}});
  folio::KvCache<folio::Model<latent_of<64, 32>>, folio::BlockSize<4>, TestType> small({.num_blocks = {16}});
  folio::test::poison(cache);
  folio::test::poison(small);
  Sequence a = cache.create(), b = small.create();
  append_tokens(cache, {&a}, 9, 1);
  append_tokens(small, {&b}, 13, 1);
  append_tokens(small, {&b}, 2, 2);
  AttentionParams const params{.scale = 0.07F};
  check_against_formula(cache, {&a}, 16, params);
  check_against_formula(small, {&b}, 5, params);
}

TEST_CASE("every length and every fill of the last block, one query token") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  for (std::int32_t length = 0; length <= 17; ++length) {
    CAPTURE(length);
    check_against_formula(cache, {{&s, length > 0 ? 1 : 0}}, 4);
    check_against_formula(cache, {{&s, length}}, 4);
    append_tokens(cache, {&s}, 1, 1);
  }
}

namespace {

/// What a query's bits are, and how close to the formula, in a context that grows token by token from nothing.
template <class Cache>
void check_growing(Cache cache, std::int32_t num_query_heads, AttentionParams const& params = {}) {
  folio::test::poison(cache);
  constexpr std::int32_t length = 3 * folio::attention::few_tokens;
  Sequence s = cache.create();
  Result one_by_one;
  for (std::int32_t tokens = 1; tokens <= length; ++tokens) {
    CAPTURE(tokens, params.token_end);
    append_tokens(cache, {&s}, 1, 1);
    auto const batch = cache.batch({{&s, 1}});
    auto const q = queries_for(batch.view(), cache.shape(), num_query_heads);
    Result const found = attend(batch.view(), 1, q, num_query_heads, params);
    auto expected = folio::test::naive_attention(batch.view(), 1, q.data(), num_query_heads, params);
    bool const sees_few = std::min(tokens, params.token_end) <= folio::attention::few_tokens;
    // As good as floats; where integers are multiplied, what they lose of a query may be more than of a small score.
    expected.unit = sees_few ? folio::test::NaiveAttention{}.unit : 4 * expected.unit;
    CHECK(folio::test::difference(expected, found.out, found.lse) == "");
    one_by_one.out.insert(one_by_one.out.end(), found.out.begin(), found.out.end());
    one_by_one.lse.insert(one_by_one.lse.end(), found.lse.begin(), found.lse.end());
  }
  if (!params.causal || cache.shape().window != 0) return;
  auto const batch = cache.batch({{&s, length}});
  auto const q = queries_for(batch.view(), cache.shape(), num_query_heads);
  folio::ThreadPool threads(2);
  CHECK(attend(batch.view(), 1, q, num_query_heads, params) == one_by_one);
  CHECK(attend(batch.view(), 1, q, num_query_heads, params, {.threads = &threads}) == one_by_one);
}

using Int8Asymmetric = folio::IntQuantizer<8, folio::Levels::asymmetric, 0, folio::Basis::model>;
using Int4Randomized = folio::IntQuantizer<4, folio::Levels::asymmetric, 0, folio::Basis::randomized_hadamard>;

}  // namespace

TEMPLATE_TEST_CASE(
    "a context that grows from one token is what the formula says, decoded or not, and a prompt has its bits", "",
    folio::F16, folio::Fp8E4M3, folio::Int8PerToken, Int8Asymmetric, folio::Int6Rotated, folio::Int4PerToken,
    folio::Int4Rotated, Int4Randomized, folio::Int3Rotated, folio::Int2Rotated) {
  using namespace folio;
  for (attention::Isa const isa : folio::test::machine_sets()) {
    folio::test::UseIsa const use(isa);
    CAPTURE(TestType::name, attention::name_of(isa));
    using Cache = KvCache<Model<model_of<64>>, BlockSize<4>, TestType>;
    check_growing(Cache({.num_blocks = {16}, .kv_heads = 2}), 6);
    check_growing(Cache({.num_blocks = {16}, .kv_heads = 2}), 2, {.token_begin = 1, .token_end = 3});
    check_growing(Cache({.num_blocks = {16}, .kv_heads = 2}), 2, {.causal = false, .logit_soft_cap = 4.0F});
    check_growing(KvCache<Model<model_of<72>>, BlockSize<4>, TestType>({.num_blocks = {16}, .kv_heads = 1}), 4);
    check_growing(KvCache<Model<latent_of<64, 32>>, BlockSize<4>, TestType>({.num_blocks = {16}}), 5, {.scale = 0.1F});
    check_growing(
        KvCache<Model<window_of<1>>, BlockSize<4>, TestType>({.num_blocks = {16}, .kv_heads = 2, .window = 2}), 4);
    check_growing(KvCache<Model<model_of<64>>, BlockSize<4>, Keys<TestType>, Values<Int4Rotated>>(
                      {.num_blocks = {16}, .kv_heads = 2}),
                  4);
    check_growing(
        KvCache<Model<model_of<64>>, BlockSize<4>, Keys<F16>, Values<TestType>>({.num_blocks = {16}, .kv_heads = 2}),
        4);
  }
}

TEST_CASE("a batch may hold empty sequences, sequences without queries, and padding, whose rows are not written") {
  GqaCache cache = gqa_cache();
  Sequence empty = cache.create(), quiet = cache.create(), busy = cache.create(), last = cache.create();
  append_tokens(cache, {&quiet}, 5, 1);
  append_tokens(cache, {&busy}, 6, 2);
  check_against_formula(cache, {&empty, {&quiet, 0}, &busy, &last}, 4);
  BatchItem const items[] = {&empty, {&busy, 2}};
  auto const batch = cache.batch(items, {.num_sequences = 4, .num_query_tokens = 5});
  std::vector<float> const q = random_floats(5 * 4 * 32, 9);
  Result const result = attend(batch.view(), 0, q, 4);
  for (std::size_t row = 0; row < 5 * 4; ++row) {
    CHECK(std::isnan(result.lse[row]) == (row >= 2 * 4));
    CHECK(std::isnan(result.out[row * 32]) == (row >= 2 * 4));
  }
}

TEST_CASE("nothing after a sequence's end is read: other bytes there give the same bits") {
  std::vector<Result> results;
  for (int const garbage : {0x00, 0xFF, 0x7F}) {
    GqaCache cache({.num_blocks = {200}, .kv_heads = 2});
    std::memset(cache.pool(), garbage, static_cast<std::size_t>(cache.memory_bytes()));  // the null block, too
    Sequence a = cache.create(), b = cache.create();
    append_tokens(cache, {&a}, 5, 1);
    append_tokens(cache, {&b}, 18, 2);
    auto const batch = cache.batch({&a, &b});
    results.push_back(attend(batch.view(), 1, queries_for(batch.view(), cache.shape(), 4), 4));
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == results[2]);
}

TEST_CASE("without causality every query sees all tokens") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  append_tokens(cache, {&s}, 14, 1);
  check_against_formula(cache, {&s}, 4, {.causal = false});
  check_against_formula(cache, {{&s, 3}}, 4, {.causal = false});
}

TEST_CASE("parts of a long context are merged by their largest scores, whichever comes first") {
  for (float const second : {-6.0F, 0.5F, 1.0F, 5.0F}) {  // in the part after the first 1,024 tokens; 1 in that
    CAPTURE(second);
    constexpr std::int32_t size = 1024 + 40;
    GqaCache cache({.num_blocks = {size / 4}, .kv_heads = 1});
    Sequence sequence = cache.create(size);
    auto const batch = cache.batch({&sequence});
    std::vector<float> keys(std::size_t{size} * 32), values(keys.size());
    for (std::size_t t = 0; t < size; ++t) {
      keys[t * 32] = t < 1024 ? 1.0F : second;
      for (std::size_t d = 0; d < 32; ++d) values[t * 32 + d] = t < 1024 ? 1.0F : -1.0F;
    }
    folio::ops::append(batch.view(), 0, keys.data(), values.data());
    folio::ops::append(batch.view(), 1, keys.data(), values.data());
    auto const last = cache.batch({{&sequence, 1}});
    std::vector<float> q(32);
    q[0] = 1;
    Result const found = attend(last.view(), 0, q, 1, {.scale = 1.0F});
    CHECK(folio::test::difference(folio::test::naive_attention(last.view(), 0, q.data(), 1, {.scale = 1.0F}), found.out,
                                  found.lse) == "");
  }
}

TEST_CASE("the scale can be given") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  append_tokens(cache, {&s}, 9, 1);
  for (float const scale : {0.01F, 1.0F, -0.5F}) check_against_formula(cache, {&s}, 4, {.scale = scale});
}

TEST_CASE("large scores do not overflow") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  append_tokens(cache, {&s}, 9, 1);
  auto const batch = cache.batch({&s});
  auto const q = queries_for(batch.view(), cache.shape(), 4);
  Result const result = attend(batch.view(), 0, q, 4, {.scale = 1e4F});
  for (float const x : result.out) REQUIRE(std::isfinite(x));
  for (float const x : result.lse) REQUIRE(std::isfinite(x));
}

TEST_CASE("a block of scores of -infinity weighs nothing, whether it comes first or later") {
  for (std::int32_t const far : {0, 1}) {
    GqaCache cache = gqa_cache();
    Sequence s = cache.create(8);
    auto const batch = cache.batch({&s});
    std::vector<float> keys(8 * 2 * 32, 0.0F), values(8 * 2 * 32, 2.0F);
    for (std::int32_t token = far * 4; token < far * 4 + 4; ++token)
      for (std::int32_t head = 0; head < 2; ++head) {
        keys[static_cast<std::size_t>(token * 2 + head) * 32] = -3e38F;
        for (std::size_t d = 0; d < 32; ++d) values[static_cast<std::size_t>(token * 2 + head) * 32 + d] = 1e3F;
      }
    folio::ops::append(batch.view(), 0, keys.data(), values.data());
    auto const last = cache.batch({{&s, 1}});
    std::vector<float> const q(2 * 32, 10.0F);
    Result const result = attend(last.view(), 0, q, 2, {.scale = 1.0F});
    for (float const x : result.out) CHECK(x == 2.0F);
    for (float const x : result.lse) CHECK(x == Approx(std::log(4.0)));
  }
}

TEST_CASE("sink logits take part in the softmax without a value") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  append_tokens(cache, {&s}, 11, 1);
  float const logits[] = {-3.0F, 0.0F, 2.5F, 40.0F};
  check_against_formula(cache, {&s}, 4, {.sink_logits = logits});
  float const none[] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  check_against_formula(cache, {&s}, 4, {.sink_logits = none});
  auto const batch = cache.batch({&s});
  auto const q = queries_for(batch.view(), cache.shape(), 4);
  CHECK(attend(batch.view(), 0, q, 4, {.sink_logits = none}) == attend(batch.view(), 0, q, 4));
}

TEST_CASE("a query that sees nothing gives zeros and an lse of -infinity, or its sink") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  append_tokens(cache, {&s}, 6, 1);
  auto const batch = cache.batch({{&s, 2}});
  auto const q = queries_for(batch.view(), cache.shape(), 4);
  float const logits[] = {1.5F, -2.0F, 0.0F, 7.0F};
  Result const nothing = attend(batch.view(), 0, q, 4, {.token_begin = 3, .token_end = 3});
  Result const sink = attend(batch.view(), 0, q, 4, {.token_begin = 100, .sink_logits = logits});
  for (float const x : nothing.out) CHECK(x == 0.0F);
  for (float const x : nothing.lse) CHECK(x == -INFINITY);
  for (float const x : sink.out) CHECK(x == 0.0F);
  for (std::size_t i = 0; i < sink.lse.size(); ++i) CHECK(sink.lse[i] == logits[i % 4]);
}

TEMPLATE_TEST_CASE_SIG("windows and sinks are what the formula says, in steps of any size", "",
                       ((std::int32_t Sinks), Sinks), 0, 1, 4, 6) {
  for (std::int32_t const window : {1, 2, 3, 4, 7, 8, 13, 50}) {
    folio::KvCache<folio::Model<window_of<Sinks>>, folio::BlockSize<4>, folio::F32> cache(
        {.num_blocks = {64}, .kv_heads = 1, .window = window});
    folio::test::poison(cache);
    std::memset(cache.pool(), 0xFF, static_cast<std::size_t>(cache.block_bytes()));  // not even the null block is read
    for (std::int32_t const step : {1, 3, 11}) {
      Sequence s = cache.create();
      while (s.num_tokens() < 30) {
        append_tokens(cache, {&s}, step, 1);
        CAPTURE(window, step, s.num_tokens());
        check_against_formula(cache, {&s}, 2);
        check_against_formula(cache, {{&s, 1}}, 2);
        check_against_formula(cache, {&s}, 2, {.causal = false});
      }
    }
  }
}

TEST_CASE("a prompt cut into steps gives the bits of the prompt at once") {
  std::int32_t const length = 75;  // more than two tasks of 32 queries
  auto const play = [&]<class Cache>(Cache cache, std::vector<std::int32_t> const& steps) {
    Sequence s = cache.create();
    Result all[2];
    for (std::int32_t const step : steps) {
      append_tokens(cache, {&s}, step, 1);
      auto const batch = cache.batch({&s});
      for (std::int32_t layer = 0; layer < 2; ++layer) {
        Result const part = attend(batch.view(), layer, queries_for(batch.view(), cache.shape(), 4), 4);
        all[layer].out.insert(all[layer].out.end(), part.out.begin(), part.out.end());
        all[layer].lse.insert(all[layer].lse.end(), part.lse.begin(), part.lse.end());
      }
    }
    REQUIRE(s.num_tokens() == length);
    return std::pair(std::move(all[0]), std::move(all[1]));
  };
  std::vector<std::vector<std::int32_t>> const cuts = {
      std::vector<std::int32_t>(75, 1), {32, 32, 11}, {1, 74}, {74, 1}, {7, 33, 35}, {31, 2, 3, 39}};
  auto const full = [] { return gqa_cache(); };
  auto const rotated = [] {
    return folio::KvCache<folio::Model<model_of<64>>, folio::BlockSize<16>, folio::Int4Rotated>(
        {.num_blocks = {8}, .kv_heads = 2});
  };
  auto const windowed = [] {
    return folio::KvCache<folio::Model<window_of<6>>, folio::BlockSize<4>, folio::F32>(
        {.num_blocks = {64}, .kv_heads = 2, .window = 9});
  };
  auto const whole_full = play(full(), {length});
  auto const whole_rotated = play(rotated(), {length});
  auto const whole_windowed = play(windowed(), {length});
  for (auto const& cut : cuts) {
    CAPTURE(cut);
    CHECK(play(full(), cut) == whole_full);
    CHECK(play(rotated(), cut) == whole_rotated);
    CHECK(play(windowed(), cut) == whole_windowed);
  }
}

TEST_CASE("a query's bits do not depend on the rest of the batch or on threads") {
  GqaCache cache = gqa_cache();
  Sequence a = cache.create(), b = cache.create(), c = cache.create();
  append_tokens(cache, {&a}, 40, 1);
  append_tokens(cache, {&b}, 9, 2);
  append_tokens(cache, {&c}, 21, 3);
  auto const alone = [&](Sequence const& s) {
    auto const batch = cache.batch({&s});
    return attend(batch.view(), 1, queries_for(batch.view(), cache.shape(), 4), 4);
  };
  Result expected;
  for (Sequence const* s : {&c, &a, &b, &a}) {
    Result const part = alone(*s);
    expected.out.insert(expected.out.end(), part.out.begin(), part.out.end());
    expected.lse.insert(expected.lse.end(), part.lse.begin(), part.lse.end());
  }
  Sequence const twin = a.fork();
  auto const batch = cache.batch({&c, &a, &b, &twin});
  auto const q = queries_for(batch.view(), cache.shape(), 4);
  for (int const num_threads : {1, 2, 5}) {
    folio::ThreadPool threads(num_threads);
    CHECK(attend(batch.view(), 1, q, 4, {}, {.threads = &threads}) == expected);
  }
  CHECK(attend(batch.view(), 1, q, 4) == expected);
}

TEST_CASE("where the blocks are does not change a bit") {
  auto const play = [](std::int32_t holes) {
    GqaCache cache = gqa_cache();
    std::vector<Sequence> others;
    for (std::int32_t i = 0; i < holes; ++i) others.push_back(cache.create(1 + 3 * i));
    for (std::size_t i = 0; i < others.size(); i += 2) others[i].release();
    Sequence s = cache.create();
    append_tokens(cache, {&s}, 23, 1);
    auto const batch = cache.batch({&s});
    return attend(batch.view(), 0, queries_for(batch.view(), cache.shape(), 4), 4);
  };
  CHECK(play(0) == play(7));
}

TEST_CASE("parts of the tokens, merged, are the whole") {
  GqaCache cache = gqa_cache();
  Sequence a = cache.create(), b = cache.create();
  append_tokens(cache, {&a}, 19, 1);
  append_tokens(cache, {&b}, 3, 2);
  auto const batch = cache.batch({&a, {&b, 1}});
  auto const view = batch.view();
  auto const q = queries_for(view, cache.shape(), 4);
  auto const expected = folio::test::naive_attention(view, 1, q.data(), 4);
  std::vector<std::vector<std::int32_t>> const cuts = {
      {0, 100}, {0, 4, 100}, {0, 1, 2, 17, 100}, {0, 7, 7, 12, 19, 100}};
  for (auto const& cut : cuts) {
    CAPTURE(cut);
    Result merged = attend(view, 1, q, 4, {.token_begin = cut[0], .token_end = cut[1]});
    for (std::size_t i = 2; i < cut.size(); ++i) {
      Result const part = attend(view, 1, q, 4, {.token_begin = cut[i - 1], .token_end = cut[i]});
      folio::ops::merge_attention(merged.out.data(), merged.lse.data(), part.out.data(), part.lse.data(),
                                  static_cast<std::int64_t>(merged.lse.size()), 32);
    }
    CHECK(folio::test::difference(expected, merged.out, merged.lse) == "");
  }
}

TEST_CASE("parts of a window and its sinks, merged, are the whole") {
  folio::KvCache<folio::Model<window_of<6>>, folio::BlockSize<4>, folio::F32> cache(
      {.num_blocks = {64}, .kv_heads = 2, .window = 9});
  Sequence s = cache.create();
  for (int i = 0; i < 12; ++i) append_tokens(cache, {&s}, 3, 1);
  auto const batch = cache.batch({&s});
  auto const view = batch.view();
  auto const q = queries_for(view, cache.shape(), 2);
  auto const expected = folio::test::naive_attention(view, 0, q.data(), 2);
  for (std::int32_t cut = 0; cut <= s.num_tokens(); ++cut) {
    CAPTURE(cut);
    Result merged = attend(view, 0, q, 2, {.token_end = cut});
    Result const rest = attend(view, 0, q, 2, {.token_begin = cut});
    folio::ops::merge_attention(merged.out.data(), merged.lse.data(), rest.out.data(), rest.lse.data(),
                                static_cast<std::int64_t>(merged.lse.size()), 16);
    REQUIRE(folio::test::difference(expected, merged.out, merged.lse) == "");
  }
}

TEST_CASE("any range of tokens may be asked for") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  append_tokens(cache, {&s}, 10, 1);
  constexpr std::int32_t lowest = std::numeric_limits<std::int32_t>::min();
  constexpr std::int32_t highest = std::numeric_limits<std::int32_t>::max();
  for (auto const& [begin, end] :
       {std::pair{-5, 3}, {lowest, highest}, {lowest, 4}, {6, 2}, {highest, lowest}, {9, 10}})
    check_against_formula(cache, {&s}, 4, {.token_begin = begin, .token_end = end});
}

TEST_CASE("lse may be left out") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  append_tokens(cache, {&s}, 10, 1);
  auto const batch = cache.batch({&s});
  auto const q = queries_for(batch.view(), cache.shape(), 4);
  std::vector<float> out(10 * 4 * 32);
  folio::ops::attend(batch.view(), 0, folio::AttentionIo{q.data(), 4, out.data()});
  CHECK(out == attend(batch.view(), 0, q, 4).out);
}

TEST_CASE("layers of several groups attend each in its own way") {
  constexpr ModelConfig model{.layers = 4,
                              .kv_heads = 2,
                              .head_dim = 16,
                              .value_head_dim = 8,
                              .groups = {folio::full_attention(), folio::sliding_window(5, 2), folio::latent(16, 8)},
                              .pattern = folio::repeat_groups({0, 1, 2, 1})};
  folio::KvCache<folio::Model<model>, folio::BlockSizes<4, 3, 2>, folio::F32> cache({.num_blocks = {64, 64, 64}});
  folio::test::ModelSequence story(cache);
  for (int i = 0; i < 9; ++i) story.extend(1 + i % 3);  // 18 tokens
  for (bool const has_gaps : {false, true}) {
    if (has_gaps) {  // then each of its own length as well
      story->cut(4, 8, 0);
      story->cut(2, 2, 2);
      story.extend(3);
    }
    auto const batch = cache.batch({&story.sequence()});
    auto const view = batch.view();
    for (std::int32_t layer = 0; layer < 4; ++layer) {
      CAPTURE(layer);
      GroupShape const& shape = cache.shape(view.place(layer).group);
      auto const q = random_floats(std::int64_t{view.num_query_tokens()} * 4 * shape.key_dim, 5);
      Result const found = attend(view, layer, q, 4, {.scale = 0.2F});
      CHECK(folio::test::difference(folio::test::naive_attention(view, layer, q.data(), 4, {.scale = 0.2F}), found.out,
                                    found.lse) == "");
      int const group = view.place(layer).group;
      std::pair<std::int32_t, std::int32_t> const gaps[] = {{4, 12}, {}, {2, 4}};
      auto const positions = positions_outside(has_gaps ? gaps[group] : gaps[1], has_gaps ? 21 : 18);
      CHECK(found == attend_to_those_alone(story, positions, layer, q));
    }
  }
}

TEST_CASE("forks attend to what they share and to what is their own") {
  GqaCache cache = gqa_cache();
  Sequence parent = cache.create();
  append_tokens(cache, {&parent}, 10, 1);
  Sequence child = parent.fork();
  append_tokens(cache, {&child}, 3, 2);
  append_tokens(cache, {&parent}, 5, 3);
  check_against_formula(cache, {&parent, &child}, 4);
  child.truncate(6);
  append_tokens(cache, {&child}, 4, 4);
  check_against_formula(cache, {&parent, &child}, 4);
}

TEST_CASE("what does not fit is refused before anything is written") {
  GqaCache cache = gqa_cache();
  Sequence s = cache.create();
  append_tokens(cache, {&s}, 3, 1);
  auto const batch = cache.batch({&s});
  std::vector<float> const q(3 * 4 * 32);
  std::vector<float> out(3 * 4 * 32, 7.0F), lse(3 * 4, 7.0F);
  auto const ask = [&](std::int32_t layer, std::int32_t num_query_heads) {
    folio::ops::attend(batch.view(), layer, folio::AttentionIo{q.data(), num_query_heads, out.data(), lse.data()});
  };
  REQUIRE_THROWS_AS(ask(0, 3), folio::Error);
  REQUIRE_THROWS_WITH(ask(0, 3), contains("3 query heads cannot share 2 kv heads"));
  REQUIRE_THROWS_WITH(ask(0, 0), contains("0 query heads"));
  REQUIRE_THROWS_WITH(ask(0, -2), contains("-2 query heads"));
  REQUIRE_THROWS_WITH(ask(2, 4), contains("folio: the model has no layer 2"));
  REQUIRE_THROWS_WITH(ask(-1, 4), contains("folio: the model has no layer -1"));
  CHECK(out == std::vector<float>(out.size(), 7.0F));
  CHECK(lse == std::vector<float>(lse.size(), 7.0F));
}
