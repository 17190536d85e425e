// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/ops/demote.hpp>
#include <folio/ops/requantize.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::ModelConfig;
using folio::Sequence;
using folio::test::contains;
using folio::test::random_floats;

namespace {

/// Layers 0, 1 and 2 are of each kind of group.
constexpr ModelConfig model{.layers = 3,
                            .kv_heads = 2,
                            .head_dim = 40,
                            .value_head_dim = 24,
                            .groups = {folio::full_attention(), folio::sliding_window(64, 2), folio::latent(32, 8)},
                            .pattern = folio::repeat_groups({0, 1, 2})};

template <class... Policies>
using CacheOf = folio::KvCache<folio::Model<model>, Policies...>;

/// Random rows of n tokens of a layer.
struct Rows {
  std::vector<float> keys, values;
  bool latent;
  explicit Rows(folio::GroupShape const& shape, std::int32_t n = 0, std::uint32_t seed = 0)
      : keys(random_floats(std::int64_t{n} * shape.kv_heads * shape.key_dim, seed, 5)),
        values(random_floats(std::int64_t{n} * shape.kv_heads * shape.value_dim, seed + 50, 5)),
        latent(shape.values_in_keys()) {}
  [[nodiscard]] float const* values_or_null() const { return latent ? nullptr : values.data(); }
};

template <class View>
folio::GroupShape const& shape_of(View const& view, std::int32_t layer) {
  return view.group(view.place(layer).group).shape;
}

/// A cache with all its blocks dirty, and its bytes.
template <class Cache>
struct Dirty {
  Cache cache{{.num_blocks = std::vector<std::int64_t>(3, 24)}};
  Dirty() { folio::test::poison(cache); }
  [[nodiscard]] std::vector<std::byte> bytes() const {
    std::vector<std::byte> all;
    for (int g = 0; g < Cache::num_groups; ++g)
      all.insert(all.end(), cache.pool(g), cache.pool(g) + (cache.num_blocks(g) + 1) * cache.block_bytes(g));
    return all;
  }
};

/// A cache with a sequence of 17 tokens, filled in every layer, after another sequence.
template <class Cache>
struct Source : Dirty<Cache> {
  Sequence other = this->cache.create(3), sequence = this->cache.create(17);
  folio::Batch<typename Cache::View> batch = this->cache.batch({{&other, 0}, &sequence});

  Source() {
    for (std::int32_t layer = 0; layer < model.layers; ++layer) {
      Rows const rows(shape_of(batch.view(), layer), 17, static_cast<std::uint32_t>(layer));
      folio::ops::append(batch.view(), layer, rows.keys.data(), rows.values_or_null());
    }
  }
  /// Tokens [first, first + n) as they are stored.
  [[nodiscard]] Rows decoded(std::int32_t layer, std::int32_t first, std::int32_t n) const {
    Rows rows(shape_of(batch.view(), layer), n);
    folio::ops::gather(batch.view(), layer, {1, first, n}, rows.keys.data(), rows.values.data());
    return rows;
  }
};

/// Tokens [first, first + n) of a cache are demoted to tokens from `to` on, and must be what append makes of them.
template <class FromCache, class ToCache>
void check_range(std::int32_t first, std::int32_t n, std::int32_t to, folio::ThreadPool* threads = nullptr) {
  CAPTURE(first, n, to);
  Source<FromCache> const source;
  Dirty<ToCache> found, expected;
  Sequence const all = found.cache.create(20);
  Sequence part = expected.cache.create(to + n);
  auto const found_batch = found.cache.batch({&all});
  auto const expected_batch = expected.cache.batch({{&part, n}});
  for (std::int32_t layer = 0; layer < model.layers; ++layer) {
    folio::ops::requantize(source.batch.view(), layer, {1, first, n}, found_batch.view(), {0, to, n}, threads);
    Rows const rows = source.decoded(layer, first, n);
    folio::ops::append(expected_batch.view(), layer, rows.keys.data(), rows.values_or_null());
  }
  REQUIRE(found.bytes() == expected.bytes());
}

template <class FromCache, class ToCache>
void check_ranges() {
  check_range<FromCache, ToCache>(0, 17, 0);
  check_range<FromCache, ToCache>(0, 17, 3);
  check_range<FromCache, ToCache>(5, 9, 2);
  check_range<FromCache, ToCache>(16, 1, 19);
  check_range<FromCache, ToCache>(4, 4, 8);
  check_range<FromCache, ToCache>(17, 0, 20);
}

using folio::BlockSize;
using folio::BlockSizes;
using Plain = CacheOf<BlockSizes<4, 2, 3>, folio::F32>;

}  // namespace

TEMPLATE_TEST_CASE("what is demoted from f32 is what append would have written", "", folio::F32, folio::F16,
                   folio::BF16, folio::Fp8E4M3, folio::Int8PerToken, folio::Int4Rotated, folio::Int2Rotated,
                   folio::test::GroupedInt8) {
  check_ranges<Plain, CacheOf<BlockSize<5>, TestType>>();
}
TEST_CASE("what is demoted to other layouts is what append would have written") {
  check_ranges<
      Plain, CacheOf<folio::LayoutInterleaved, folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>>();
  check_ranges<CacheOf<BlockSize<7>, folio::F16, folio::LayoutInterleaved>,
               CacheOf<folio::LayoutNhd, BlockSize<2>, folio::Int8PerToken>>();
  check_ranges<CacheOf<folio::BF16, folio::LayoutNhd>,
               CacheOf<folio::test::SwizzledLayout, BlockSizes<8, 4, 1>, folio::Fp8E4M3>>();
}
TEST_CASE("threads demote to the same bytes") {
  folio::ThreadPool threads(3);
  check_range<Plain, CacheOf<folio::Int4Rotated>>(1, 16, 2, &threads);
}

TEST_CASE("tokens are demoted from one sequence of a cache to another") {
  Source<CacheOf<BlockSize<4>, folio::F16>> source;
  Sequence const target = source.cache.create(17);
  auto const batch = source.cache.batch({&target, &source.sequence});
  auto const view = batch.view();
  for (std::int32_t layer = 0; layer < model.layers; ++layer) {
    folio::ops::requantize(view, layer, {1, 0, 17}, view, {0, 0, 17});
    Rows found(shape_of(view, layer), 17);
    folio::ops::gather(view, layer, {0, 0, 17}, found.keys.data(), found.values.data());
    Rows const expected = source.decoded(layer, 0, 17);
    CHECK(found.keys == expected.keys);
    CHECK(found.values == expected.values);
  }
}

TEST_CASE("what cannot be demoted is refused, and nothing changes") {
  Source<Plain> const source;
  Dirty<CacheOf<folio::Int8PerToken>> target;
  Sequence const sequence = target.cache.create(5);
  auto const batch = target.cache.batch({&sequence});
  auto const before = target.bytes();
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  auto const ask = [&](std::int32_t i, std::int32_t layer, std::int32_t first, std::int32_t n, std::int32_t j,
                       std::int32_t to) {
    folio::ops::requantize(source.batch.view(), layer, {i, first, n}, batch.view(), {j, to, n});
  };
  REQUIRE_THROWS_AS(ask(2, 0, 0, 1, 0, 0), folio::Error);
  REQUIRE_THROWS_WITH(ask(2, 0, 0, 1, 0, 0), contains("the batch has 2 sequences, so no sequence 2"));
  REQUIRE_THROWS_WITH(ask(1, 0, 0, 1, 1, 0), contains("the batch has 1 sequences, so no sequence 1"));
  REQUIRE_THROWS_WITH(ask(1, 3, 0, 1, 0, 0), contains("folio: the model has no layer 3"));
  REQUIRE_THROWS_WITH(ask(1, -1, 0, 1, 0, 0), contains("folio: the model has no layer -1"));
  REQUIRE_THROWS_WITH(ask(1, 0, 0, 18, 0, 0), contains("stores 17 tokens, so not the 18 from 0 on"));
  REQUIRE_THROWS_WITH(ask(1, 0, 0, 6, 0, 0), contains("stores 5 tokens, so not the 6 from 0 on"));
  REQUIRE_THROWS_WITH(ask(1, 0, 0, 1, 0, 5), contains("stores 5 tokens, so not the 1 from 5 on"));
  REQUIRE_THROWS_WITH(ask(1, 0, -1, 1, 0, 0), contains("stores 17 tokens, so not the 1 from -1 on"));
  REQUIRE_THROWS_WITH(ask(1, 0, 0, 1, 0, -1), contains("stores 5 tokens, so not the 1 from -1 on"));
  REQUIRE_THROWS_WITH(ask(1, 0, 0, -1, 0, 0), contains("stores 17 tokens, so not the -1 from 0 on"));
  REQUIRE_THROWS_WITH(ask(1, 0, 1, most, 0, 0),
                      contains("folio: in this layer the sequence stores 17 tokens, so not the 2147483647 from 1 on"));
  REQUIRE_THROWS_WITH(folio::ops::requantize(source.batch.view(), 0, {1, 0, 3}, batch.view(), {0, 0, 2}),
                      contains("folio: 3 tokens do not fill the places of 2"));
  CHECK(target.bytes() == before);
}

TEST_CASE("caches of different models are refused, with the sizes of both") {
  constexpr ModelConfig narrow{.layers = 2, .kv_heads = folio::dynamic, .head_dim = 16};
  constexpr ModelConfig wide{.layers = 2, .kv_heads = 2, .head_dim = 32};
  constexpr ModelConfig named{.layers = 2, .kv_heads = 2, .head_dim = 16};
  constexpr ModelConfig latent{.layers = 2, .kv_heads = 1, .groups = {folio::latent(16, 8)}};
  auto const requantize = [](auto&& from, auto&& to) {
    auto const a = from.cache.batch({&from.sequence});
    auto const b = to.cache.batch({&to.sequence});
    folio::ops::requantize(a.view(), 1, {0, 0, 4}, b.view(), {0, 0, 4});
  };
  auto const demote = [](auto&& from, auto&& to) {
    auto const a = from.cache.batch({&from.sequence});
    auto const b = to.cache.batch({&to.sequence});
    folio::ops::demote(a.view(), 1, {0, 0, 4}, b.view(), {0, 0, 4});
  };
  auto const make = []<ModelConfig config>(std::int32_t kv_heads) {
    struct Result {
      folio::KvCache<folio::Model<config>, folio::F32> cache;
      Sequence sequence;
    };
    folio::KvCache<folio::Model<config>, folio::F32> cache({.num_blocks = {4}, .kv_heads = kv_heads});
    Sequence sequence = cache.create(4);
    auto const batch = cache.batch({&sequence});
    std::vector<float> const rows(4 * 4 * 32, 1.0F);
    folio::ops::append(batch.view(), 1, rows.data(), rows.data());
    return Result{std::move(cache), std::move(sequence)};
  };
  auto two = make.operator()<narrow>(2), three = make.operator()<narrow>(3);
  REQUIRE_THROWS_WITH(requantize(two, make.operator()<wide>(0)),
                      contains("layer 1 has 2 kv heads of 16 and 16 dims here and 2 kv heads of 32 and 32 dims there"));
  REQUIRE_THROWS_WITH(requantize(two, three), contains("2 kv heads of 16 and 16 dims here and 3 kv heads"));
  REQUIRE_THROWS_WITH(requantize(make.operator()<latent>(0), make.operator()<wide>(0)),
                      contains("1 latent kv heads of 24 and 16 dims here"));
  REQUIRE_THROWS_WITH(demote(two, three),
                      "folio: tokens are moved between caches of one model, but layer 1 has 2 kv heads of 16 and 16 "
                      "dims here and 3 kv heads of 16 and 16 dims there");
  CHECK_NOTHROW(requantize(two, make.operator()<named>(0)));  // the same, said otherwise
}

TEST_CASE("tokens that a window gave back are refused on both sides") {
  constexpr ModelConfig windowed{.layers = 1, .kv_heads = 1, .head_dim = 8, .groups = {folio::sliding_window(5, 1)}};
  using Cache = folio::KvCache<folio::Model<windowed>, folio::BlockSize<2>, folio::F32>;
  Cache cache({.num_blocks = {16}}), target({.num_blocks = {16}});
  folio::test::ModelSequence story(cache), other(target);
  for (int i = 0; i < 14; ++i) story.extend(1);
  other.extend(14);
  auto const batch = cache.batch({&story.sequence()}), target_batch = target.batch({&other.sequence()});
  REQUIRE_THROWS_WITH(folio::ops::requantize(batch.view(), 0, {0, 0, 14}, target_batch.view(), {0, 0, 14}),
                      contains("token 2 was given back when it left the layer's window"));
  REQUIRE_THROWS_WITH(folio::ops::requantize(target_batch.view(), 0, {0, 0, 14}, batch.view(), {0, 0, 14}),
                      contains("token 2 was given back when it left the layer's window"));
  CHECK(story.difference().empty());
  CHECK(other.difference().empty());
  folio::ops::requantize(batch.view(), 0, {0, 8, 6}, target_batch.view(), {0, 8, 6});
  std::vector<float> from(6 * 8), to(6 * 8);
  folio::ops::gather(batch.view(), 0, {0, 8, 6}, from.data(), nullptr);
  folio::ops::gather(target_batch.view(), 0, {0, 8, 6}, to.data(), nullptr);
  CHECK(from == to);
}
