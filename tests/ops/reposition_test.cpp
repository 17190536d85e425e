// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/folio.hpp>
#include <folio/ops/reposition.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::ModelConfig;
using folio::Sequence;
using folio::ops::RopePairs;
using folio::ops::RopeTurn;
using folio::test::contains;
using folio::test::random_floats;

namespace {

/// Layers 0, 1 and 2 are of each kind of group.
constexpr ModelConfig model{.layers = 3,
                            .kv_heads = 2,
                            .head_dim = 24,
                            .value_head_dim = 16,
                            .groups = {folio::full_attention(), folio::sliding_window(32, 2), folio::latent(16, 8)},
                            .pattern = folio::repeat_groups({0, 1, 2})};

template <class Q, class L = folio::LayoutHnd>
using CacheOf = folio::KvCache<folio::Model<model>, folio::BlockSizes<4, 2, 3>, Q, L>;

std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }

/// The dims of a layer's key that turn: where they begin, and how many there are.
struct Rotary {
  std::int32_t begin, dims;
};
Rotary rotary(folio::GroupShape const& shape) {
  return shape.values_in_keys() ? Rotary{shape.value_dim, shape.key_dim - shape.value_dim} : Rotary{0, shape.key_dim};
}

/// The indices of pair `p` among `dims` rotary dims.
std::pair<std::size_t, std::size_t> pair_of(std::size_t p, std::size_t dims, RopePairs pairs) {
  return pairs == RopePairs::half_split ? std::pair(p, p + dims / 2) : std::pair(2 * p, 2 * p + 1);
}

/// RoPE as papers write it: turns the key at `key` by `position` times the pairs' frequencies, in double.
void rope(float* key, std::vector<float> const& frequencies, double position, RopePairs pairs) {
  for (std::size_t p = 0; p < frequencies.size(); ++p) {
    auto const [x, y] = pair_of(p, 2 * frequencies.size(), pairs);
    double const angle = position * static_cast<double>(frequencies[p]);
    double const a = static_cast<double>(key[x]), b = static_cast<double>(key[y]);
    key[x] = static_cast<float>(a * std::cos(angle) - b * std::sin(angle));
    key[y] = static_cast<float>(a * std::sin(angle) + b * std::cos(angle));
  }
}

/// The keys and values of a sequence in one layer, as floats.
struct Rows {
  std::vector<float> keys, values;
  bool operator==(Rows const&) const = default;
};

template <class View>
Rows rows_of(View const& view, std::int32_t i, std::int32_t layer) {
  folio::GroupShape const& shape = view.group(view.place(layer).group).shape;
  std::int32_t length = 0;
  folio::ops::with_group(view, layer, [&](auto group, std::int32_t index) {
    length = view.template sequence_in<group()>(i, index).num_tokens();
  });
  Rows rows{std::vector<float>(size(length * shape.kv_heads * shape.key_dim)),
            std::vector<float>(size(length * shape.kv_heads * shape.value_dim))};
  folio::ops::gather(view, layer, {i, 0, length}, rows.keys.data(), rows.values.data());
  return rows;
}

/// Two sequences of 11 and 7 tokens with random keys in every layer.
template <class Cache>
struct Filled {
  Cache cache{{.num_blocks = {16, 16, 16}}};
  Sequence a = cache.create(11), b = cache.create(7);
  folio::Batch<typename Cache::View> batch = cache.batch({&a, &b});

  Filled() {
    for (std::int32_t layer = 0; layer < model.layers; ++layer) {
      auto const seed = static_cast<std::uint32_t>(layer);
      auto const keys = random_floats(18 * 2 * 24, seed, 4), values = random_floats(18 * 2 * 16, seed + 9, 4);
      folio::ops::append(batch.view(), layer, keys.data(), layer == 2 ? nullptr : values.data());
    }
  }
};

/// Turns tokens [first, first + n) and compares with the same in double. `element_error`: of a rounded element.
template <class Cache>
void check_range(RopePairs pairs, std::int32_t rope_dims, std::int32_t first, std::int32_t n, double element_error) {
  Filled<Cache> filled;
  auto const view = filled.batch.view();
  for (std::int32_t layer = 0; layer < model.layers; ++layer) {
    folio::GroupShape const& shape = view.group(view.place(layer).group).shape;
    Rotary const part = rotary(shape);
    std::int32_t const dims = shape.values_in_keys() ? part.dims : rope_dims;
    auto const frequencies = folio::ops::rope_inverse_frequencies(100, dims);
    Rows const before = rows_of(view, 0, layer), other = rows_of(view, 1, layer);
    folio::ops::reposition(view, layer, {0, first, n}, folio::ops::rope_table(frequencies, 1234), pairs);
    Rows const after = rows_of(view, 0, layer);
    CHECK(after.values == before.values);
    CHECK(rows_of(view, 1, layer) == other);
    Rows expected = before;
    for (std::size_t row = size(first * shape.kv_heads); row < size((first + n) * shape.kv_heads); ++row)
      rope(expected.keys.data() + row * size(shape.key_dim) + part.begin, frequencies, 1234, pairs);
    for (std::size_t k = 0; k < before.keys.size(); ++k) {
      // In these tests no pair is longer than 4 * sqrt(2).
      double const exact = static_cast<double>(expected.keys[k]), found = static_cast<double>(after.keys[k]);
      bool const turned = expected.keys[k] != before.keys[k];
      if (turned ? std::fabs(found - exact) > element_error * std::fabs(exact) + 5.7 * 0x1p-22 : found != exact)
        FAIL("layer " << layer << ", key element " << k << ": " << found << ", not " << exact);
    }
  }
}

template <class Cache>
void check_ranges(double element_error) {
  for (RopePairs const pairs : {RopePairs::half_split, RopePairs::interleaved})
    for (std::int32_t const rope_dims : {24, 16, 10, 2}) {
      check_range<Cache>(pairs, rope_dims, 0, 11, element_error);
      check_range<Cache>(pairs, rope_dims, 3, 6, element_error);
    }
  for (std::int32_t first = 0; first <= 11; ++first) {
    check_range<Cache>(RopePairs::half_split, 24, first, 0, element_error);
    check_range<Cache>(RopePairs::half_split, 24, first, (11 - first) / 2, element_error);
  }
}

}  // namespace

TEST_CASE("rotated keys are turned and rounded once: f32") { check_ranges<CacheOf<folio::F32>>(0); }
TEST_CASE("rotated keys are turned and rounded once: f16") { check_ranges<CacheOf<folio::F16>>(0x1p-11); }
TEST_CASE("rotated keys are turned and rounded once: bf16") { check_ranges<CacheOf<folio::BF16>>(0x1p-8); }
TEST_CASE("rotated keys are turned and rounded once: nhd") {
  check_ranges<CacheOf<folio::F16, folio::LayoutNhd>>(0x1p-11);
}
TEST_CASE("rotated keys are turned and rounded once: interleaved") {
  check_ranges<CacheOf<folio::F16, folio::LayoutInterleaved>>(0x1p-11);
}
TEST_CASE("rotated keys are turned and rounded once: strangers") {
  // Float24 cuts the last bits off.
  check_ranges<CacheOf<folio::test::Float24>>(0x1p-15);
  check_ranges<CacheOf<folio::BF16, folio::test::ShreddedLayout>>(0x1p-8);
}

TEST_CASE("a key that was turned to a position and is rotated is at the position further on") {
  constexpr std::int32_t tokens = 9, dims = 24;
  using Cache = folio::KvCache<folio::Model<ModelConfig{.layers = 1, .kv_heads = 1, .head_dim = 24}>,
                               folio::BlockSize<4>, folio::F32>;
  auto const pairs = GENERATE(RopePairs::half_split, RopePairs::interleaved);
  auto const delta = GENERATE(1, -5, 100, 100'000);
  CAPTURE(static_cast<int>(pairs), delta);
  Cache cache({.num_blocks = {4}});
  Sequence const sequence = cache.create(tokens);
  auto const batch = cache.batch({&sequence});
  auto const frequencies = folio::ops::rope_inverse_frequencies(10000, dims);
  std::vector<float> keys = random_floats(tokens * dims, 1, 3), expected = keys;
  for (std::int32_t t = 0; t < tokens; ++t) {
    rope(keys.data() + t * dims, frequencies, t + 7, pairs);
    rope(expected.data() + t * dims, frequencies, t + 7 + delta, pairs);
  }
  folio::ops::append(batch.view(), 0, keys.data(), keys.data());
  folio::ops::reposition(batch.view(), 0, {0, 0, tokens}, folio::ops::rope_table(frequencies, delta), pairs);
  Rows const found = rows_of(batch.view(), 0, 0);
  for (std::size_t k = 0; k < keys.size(); ++k) CHECK(found.keys[k] == Approx(expected[k]).margin(2e-6));
  CHECK(found.values == keys);
}

TEMPLATE_TEST_CASE("two rotations are one by both, and one back undoes them, but for rounding", "", folio::F32,
                   folio::F16, folio::BF16) {
  Filled<CacheOf<TestType>> twice, once;
  // Rounded twice against once, a pair of up to 4 * sqrt(2).
  double const margin = 3 * 5.7 *
                        (TestType::bits == 32                   ? 0x1p-22
                         : std::string(TestType::name) == "f16" ? 0x1p-11
                                                                : 0x1p-8);
  for (std::int32_t layer = 0; layer < model.layers; ++layer) {
    auto const view = twice.batch.view();
    auto const frequencies = folio::ops::rope_inverse_frequencies(10000, layer == 2 ? 8 : 24);
    auto const turn = [&](auto& filled, std::int64_t delta) {
      folio::ops::reposition(filled.batch.view(), layer, {0, 0, 11}, folio::ops::rope_table(frequencies, delta));
    };
    Rows const before = rows_of(view, 0, layer);
    turn(twice, 300);
    turn(twice, -77);
    turn(once, 223);
    auto const compare = [&](Rows const& found, Rows const& expected) {
      for (std::size_t k = 0; k < found.keys.size(); ++k)
        if (std::fabs(static_cast<double>(found.keys[k]) - static_cast<double>(expected.keys[k])) > margin)
          FAIL("layer " << layer << ", element " << k << ": " << found.keys[k] << ", not " << expected.keys[k]);
    };
    compare(rows_of(view, 0, layer), rows_of(once.batch.view(), 0, layer));
    turn(once, -223);
    compare(rows_of(once.batch.view(), 0, layer), before);
    turn(once, 0);
    compare(rows_of(once.batch.view(), 0, layer), before);
  }
}

TEST_CASE("a turn by no positions changes no bit") {
  Filled<CacheOf<folio::BF16>> filled;
  auto const frequencies = folio::ops::rope_inverse_frequencies(10000, 24);
  Rows const before = rows_of(filled.batch.view(), 0, 0);
  folio::ops::reposition(filled.batch.view(), 0, {0, 0, 11}, folio::ops::rope_table(frequencies, 0));
  CHECK(rows_of(filled.batch.view(), 0, 0) == before);
}

TEST_CASE("frequencies are powers of the base, and turns are exact at any distance") {
  auto const frequencies = folio::ops::rope_inverse_frequencies(10000, 8);
  REQUIRE(frequencies.size() == 4);
  CHECK(frequencies[0] == 1.0F);
  CHECK(frequencies[1] == Approx(0.1));
  CHECK(frequencies[3] == Approx(0.001));
  for (std::int64_t const delta : {0LL, 1LL, -1LL, 131072LL, 10'000'019LL, -2'000'000'011LL}) {
    auto const table = folio::ops::rope_table(frequencies, delta);
    REQUIRE(table.size() == 4);
    for (std::size_t p = 0; p < 4; ++p) {
      long double const angle = static_cast<long double>(delta) * static_cast<long double>(frequencies[p]);
      CHECK(std::fabs(table[p].cosine - static_cast<float>(std::cos(angle))) < 1e-6F);
      CHECK(std::fabs(table[p].sine - static_cast<float>(std::sin(angle))) < 1e-6F);
    }
  }
  for (auto const& [base, dims] : {std::pair(0.0, 8), std::pair(-1.0, 8), std::pair(10000.0, 0), std::pair(10000.0, 7)})
    REQUIRE_THROWS_WITH(folio::ops::rope_inverse_frequencies(base, dims),
                        contains("a positive base and an even number"));
}

TEST_CASE("threads rotate to the same") {
  Filled<CacheOf<folio::F16>> alone, together;
  folio::ThreadPool threads(3);
  auto const table = folio::ops::rope_table(folio::ops::rope_inverse_frequencies(10000, 24), 5);
  folio::ops::reposition(alone.batch.view(), 0, {0, 1, 9}, table);
  folio::ops::reposition(together.batch.view(), 0, {0, 1, 9}, table, RopePairs::half_split, &threads);
  CHECK(rows_of(alone.batch.view(), 0, 0) == rows_of(together.batch.view(), 0, 0));
}

TEST_CASE("a block that two sequences share is turned for both") {
  Filled<CacheOf<folio::F32>> filled;
  Sequence const child = filled.a.fork();
  auto const batch = filled.cache.batch({&filled.a, &child});
  auto const table = folio::ops::rope_table(folio::ops::rope_inverse_frequencies(10000, 24), 5);
  Rows const before = rows_of(batch.view(), 0, 0);
  folio::ops::reposition(batch.view(), 0, {1, 0, 4}, table);
  CHECK(rows_of(batch.view(), 0, 0) == rows_of(batch.view(), 1, 0));
  CHECK_FALSE(rows_of(batch.view(), 0, 0) == before);
}

TEST_CASE("what cannot be rotated is refused, and nothing changes") {
  Filled<CacheOf<folio::F16>> filled;
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  std::vector<Rows> before;
  for (std::int32_t layer = 0; layer < model.layers; ++layer) before.push_back(rows_of(filled.batch.view(), 0, layer));
  auto const ask = [&](std::int32_t i, std::int32_t layer, std::int32_t first, std::int32_t n, std::size_t turns) {
    std::vector<RopeTurn> const table(turns, RopeTurn{0.0F, 1.0F});
    folio::ops::reposition(filled.batch.view(), layer, {i, first, n}, table);
  };
  REQUIRE_THROWS_AS(ask(2, 0, 0, 1, 12), folio::Error);
  REQUIRE_THROWS_WITH(ask(2, 0, 0, 1, 12), contains("the batch has 2 sequences, so no sequence 2"));
  REQUIRE_THROWS_WITH(ask(-1, 0, 0, 1, 12), contains("no sequence -1"));
  REQUIRE_THROWS_WITH(ask(0, 3, 0, 1, 12), contains("folio: the model has no layer 3"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, 12, 12), contains("stores 11 tokens, so not the 12 from 0 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, -1, 2, 12), contains("stores 11 tokens, so not the 2 from -1 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 1, -1, 12), contains("stores 11 tokens, so not the -1 from 1 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 1, most, 12),
                      contains("folio: in this layer the sequence stores 11 tokens, so not the 2147483647 from 1 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, 11, 0),
                      contains("have 24 dims that can turn, so the table has up to 12 turns, not 0"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, 11, 13), contains("up to 12 turns, not 13"));
  REQUIRE_THROWS_WITH(ask(0, 2, 0, 11, 12), contains("have 8 dims that can turn, so the table has 4 turns, not 12"));
  REQUIRE_THROWS_WITH(ask(0, 2, 0, 11, 2), contains("4 turns, not 2"));
  for (std::int32_t layer = 0; layer < model.layers; ++layer)
    CHECK(rows_of(filled.batch.view(), 0, layer) == before[size(layer)]);
}

TEST_CASE("tokens that a window gave back are refused by number, the others turn") {
  constexpr ModelConfig windowed{.layers = 1, .kv_heads = 1, .head_dim = 8, .groups = {folio::sliding_window(5, 1)}};
  folio::KvCache<folio::Model<windowed>, folio::BlockSize<2>, folio::F32> cache({.num_blocks = {16}});
  folio::test::ModelSequence story(cache);
  for (int i = 0; i < 14; ++i) story.extend(1);
  auto const batch = cache.batch({&story.sequence()});
  auto const table = folio::ops::rope_table(folio::ops::rope_inverse_frequencies(10000, 8), -3);
  REQUIRE_THROWS_WITH(folio::ops::reposition(batch.view(), 0, {0, 0, 14}, table),
                      contains("token 2 was given back when it left the layer's window"));
  CHECK(story.difference().empty());
  std::vector<float> before(6 * 8), after(6 * 8);
  folio::ops::gather(batch.view(), 0, {0, 8, 6}, before.data(), nullptr);
  folio::ops::reposition(batch.view(), 0, {0, 8, 6}, table);
  folio::ops::gather(batch.view(), 0, {0, 8, 6}, after.data(), nullptr);
  for (std::size_t row = 0; row < 6; ++row)
    rope(before.data() + row * 8, folio::ops::rope_inverse_frequencies(10000, 8), -3, RopePairs::half_split);
  for (std::size_t k = 0; k < after.size(); ++k) CHECK(after[k] == Approx(before[k]).margin(1e-6));
}

TEST_CASE("plain floats are told from what must not be rounded again") {
  STATIC_REQUIRE(folio::ops::is_plain_float<folio::F32>);
  STATIC_REQUIRE(folio::ops::is_plain_float<folio::F16>);
  STATIC_REQUIRE(folio::ops::is_plain_float<folio::BF16>);
  STATIC_REQUIRE(folio::ops::is_plain_float<folio::test::Float24>);
  STATIC_REQUIRE_FALSE(folio::ops::is_plain_float<folio::Fp8E4M3>);
  STATIC_REQUIRE_FALSE(folio::ops::is_plain_float<folio::Int8PerToken>);
  STATIC_REQUIRE_FALSE(folio::ops::is_plain_float<folio::Int4Rotated>);
  STATIC_REQUIRE_FALSE(folio::ops::is_plain_float<folio::test::GroupedInt8>);
}
