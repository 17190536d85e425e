// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Caches that demote to a format of whole tiles.

#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/two_sided_tile.hpp>

#include "precision/demotion_programs.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::DemotingModelSequence;
using folio::test::DemotingModelSequences;
using folio::test::run_demotion_programs;

namespace {

constexpr ModelConfig plain{.layers = 2, .kv_heads = 2, .head_dim = 24, .value_head_dim = 40};
constexpr ModelConfig latent_model{.layers = 2, .kv_heads = 1, .groups = {latent(16, 8)}};

template <class... Policies>
using Plain = KvCache<Model<plain>, Policies...>;
using Kivi = Plain<F32, BlockSize<4>, Demote<Keys<ChannelTile<2, 8>>, Values<Int4Rotated>>>;
template <class Layout = LayoutHnd>
using TwoSided = Plain<F16, BlockSize<4>, Demote<Keys<TwoSidedKeys<2, 16>>, Values<TwoSidedValues<4, 16>>, Layout>>;
template <class Cache>
using MapOfDemoted = typename Cache::Demotion::Map;

CacheConfig config_of(std::int64_t num_blocks, std::int64_t num_demoted_blocks, std::int32_t sinks = 0) {
  return {.num_blocks = {num_blocks},
          .demotion = {.sinks = sinks, .recent_window = 0, .num_blocks = {num_demoted_blocks}}};
}

BlockId first_demoted_block(Sequence const& s) { return s.state().lists[1].blocks[0]; }

/// The bytes of all layers of the first demoted block, without what pads it.
template <class Cache>
std::vector<std::byte> demoted_bytes(Cache const& cache, Sequence const& s) {
  auto const map = MapOfDemoted<Cache>{cache.shape(1)};
  std::byte const* const begin = cache.pool(1) + to_int(first_demoted_block(s)) * cache.block_bytes(1);
  return {begin, begin + map.shape.layers * map.layer_bytes()};
}

template <class Cache>
void fill_demoted_blocks(Cache const& cache, int garbage) {
  std::memset(cache.pool(1) + cache.block_bytes(1), garbage, static_cast<std::size_t>(4 * cache.block_bytes(1)));
}

}  // namespace

TEST_CASE("random programs over tiles") {
  SECTION("KIVI: keys per channel, values by rows") { run_demotion_programs<Kivi>(60, 40, 3, 12, 60); }
  SECTION("two-sided") { run_demotion_programs<TwoSided<>>(80, 60, 0, 10, 50); }
  SECTION("two-sided, token by token") { run_demotion_programs<TwoSided<LayoutNhd>, false>(80, 60, 5, 10, 50); }
  SECTION("two-sided, keys in runs") {
    run_demotion_programs<
        Plain<F16, BlockSize<8>, Demote<Keys<Int2TwoSidedKeys<16>>, Values<Int8PerToken>, BasicLayoutInterleaved<4>>>,
        false>(80, 60, 0, 10, 50);
  }
  SECTION("3 bits in a latent layer") {
    run_demotion_programs<KvCache<Model<latent_model>, F16, BlockSize<4>, Demote<ChannelTile<3, 8>>>>(60, 40, 4, 12,
                                                                                                      60);
  }
}

TEST_CASE("every length around a tile, with steps of one and more tokens after it") {
  for (std::int32_t const length : {0, 1, 7, 8, 9, 15, 16, 17}) {
    CAPTURE(length);
    DemotingModelSequences<Kivi> stories(config_of(50, 50));
    DemotingModelSequence story{stories.cache.create(length)};
    stories.write({&story}, length);
    stories.demote(story, length);
    CHECK(story.sequence.num_demoted_tokens() == length / 8 * 8);
    for (std::int32_t const n : {1, 3, 9}) {
      REQUIRE(stories.take(story, n));
      stories.write({&story}, n);
      REQUIRE_NOTHROW(stories.check_attention({&story}, n, 2));
      stories.check(story);
    }
  }
}

TEMPLATE_TEST_CASE("a demoted block is a function of its tokens alone, whatever was in it before", "", LayoutHnd,
                   LayoutNhd, BasicLayoutInterleaved<4>) {
  std::vector<std::vector<std::byte>> blocks;
  for (int const garbage : {0xFF, 0x00, 0x5A}) {
    TwoSided<TestType> cache(config_of(20, 4));
    fill_demoted_blocks(cache, garbage);
    Sequence s = cache.create(garbage == 0 ? 16 : 19);
    auto const batch = cache.batch({{&s}});
    for (std::int32_t layer = 0; layer < 2; ++layer) {
      auto const keys = test::random_floats(19 * 2 * 24, 5), values = test::random_floats(19 * 2 * 40, 6);
      ops::append(batch.view(), layer, keys.data(), values.data());
    }
    CHECK(cache.demote(s) == 16);
    blocks.push_back(demoted_bytes(cache, s));
  }
  CHECK(blocks[0] == blocks[1]);
  CHECK(blocks[0] == blocks[2]);
}

TEMPLATE_TEST_CASE("the bytes after a demoted row's codes are zero", "", LayoutHnd, LayoutNhd,
                   BasicLayoutInterleaved<4>) {
  TwoSided<TestType> cache(config_of(20, 4));
  fill_demoted_blocks(cache, 0xFF);
  Sequence s = cache.create(16);
  auto const batch = cache.batch({{&s}});
  auto const floats = test::random_floats(16 * 2 * 40, 5);
  for (std::int32_t layer = 0; layer < 2; ++layer) ops::append(batch.view(), layer, floats.data(), floats.data());
  REQUIRE(cache.demote(s) == 16);
  using Second = typename TwoSided<TestType>::Demotion::Set;
  MapOfDemoted<TwoSided<TestType>> const map{cache.shape(1)};
  std::int32_t num_padding = 0;
  for (Plane const plane : {Plane::key, Plane::value}) {
    std::int32_t const used = plane == Plane::key ? code_bytes<typename Second::KeyQuantizer>(24)
                                                  : code_bytes<typename Second::ValueQuantizer>(40);
    for (std::int32_t byte = used; byte < map.extent(plane, RowPart::code).row_bytes; ++byte)
      for (std::int32_t row = 0; row < 2 * 2 * 16; ++row, ++num_padding)
        REQUIRE(cache.pool(1)[map.offset(to_int(first_demoted_block(s)), row / 32, plane, RowPart::code, row / 16 % 2,
                                         row % 16, byte)] == std::byte{0});
  }
  CHECK(num_padding > 0);
}

TEST_CASE("values that are demoted in tiles beside keys that are not are demoted whole") {
  Plain<F16, BlockSize<4>> hot({.num_blocks = {20}});
  Plain<Keys<Int8PerToken>, Values<ChannelTile<2, 8>>, BlockSize<8>> compressed({.num_blocks = {4}});
  Sequence from = hot.create(20), to = compressed.create(20);
  auto const source = hot.batch({{&from, 0}});
  auto const target = compressed.batch({{&to, 0}});
  std::vector<std::byte> const before(compressed.pool(), compressed.pool() + compressed.memory_bytes());
  auto const demote = [&](std::int32_t n, std::int32_t to_token) {
    ops::demote(source.view(), 0, {0, 0, n}, target.view(), {0, to_token, n});
  };
  CHECK_THROWS_WITH(demote(7, 0),
                    contains("folio: int2_channel_t8 is demoted in whole tiles of 8 tokens, not 7 from 0 on"));
  CHECK_THROWS_WITH(demote(8, 4),
                    contains("folio: int2_channel_t8 is demoted in whole tiles of 8 tokens, not 8 from 4 on"));
  CHECK(std::vector<std::byte>(compressed.pool(), compressed.pool() + compressed.memory_bytes()) == before);
  CHECK_NOTHROW(demote(16, 0));
}

TEST_CASE("rows of a tile are read as other rows are") {
  TwoSided<> cache(config_of(20, 4));
  Sequence s = cache.create(16);
  auto const batch = cache.batch({{&s}});
  auto const floats = test::random_floats(16 * 2 * 40, 5, 3.0F);
  for (std::int32_t layer = 0; layer < 2; ++layer) ops::append(batch.view(), layer, floats.data(), floats.data());
  cache.demote(s);
  auto const demoted = cache.batch({{&s, 0}});
  auto const sequence = demoted.view().demoted.sequence(0, 1);
  auto const key = sequence.key(1, 13);
  constexpr Basis basis = decltype(key)::basis;
  auto const at_once = key.load_in<basis, 24>(0);
  auto const halves = key.load_in<basis, 8, Half>(16);
  std::vector<float> row(24);
  ops::load_row(key, 24, row.data());
  for (std::int32_t d = 0; d < 24; ++d) {
    CHECK(at_once[d] == row[static_cast<std::size_t>(d)]);
    CHECK(at_once[d] == key.load_in<basis, 8>(d / 8 * 8, key.params(d / 8 * 8))[d % 8]);
    if (d >= 16) CHECK(halves[d - 16].bits == f32_to_f16(at_once[d]));
  }
  CHECK(sequence.key(1, 12).params().factor != key.params().factor);  // each token has its own
  // And their bytes are where the map of a block says: the parameters of a tile once, whatever the slot.
  MapOfDemoted<TwoSided<>> const map{cache.shape(1)};
  std::int32_t const block = to_int(first_demoted_block(s));
  auto const value = sequence.value(1, 13);
  std::byte const* const pool = cache.pool(1);
  CHECK(key.codes(3) == pool + map.offset(block, 1, Plane::key, RowPart::code, 1, 13, 3));
  CHECK(key.param_bytes() == pool + map.offset(block, 1, Plane::key, RowPart::param, 1, 13, 0));
  CHECK(value.codes(3) == pool + map.offset(block, 1, Plane::value, RowPart::code, 1, 13, 3));
  CHECK(value.param_bytes() == pool + map.offset(block, 1, Plane::value, RowPart::param, 1, 13, 0));
  HeadTile const params = sequence.layer().head_tile(Plane::key, BlockId{block}, 1, RowPart::param);
  CHECK(params.begin == key.param_bytes());
  CHECK(params.bytes == TwoSided<>::Demotion::Set::KeyQuantizer::tile_param_bytes(24));
  CHECK(params.contiguous);
}

TEST_CASE("a truncation ends between demoted tiles, not in one") {
  Kivi cache(config_of(20, 4, 4));
  Sequence s = cache.create(30);
  cache.demote(s);
  REQUIRE(s.num_demoted_tokens() == 24);
  CHECK_THROWS_WITH(s.truncate(17), contains("demote accepted tokens only; truncate to 12 or to 20"));
  CHECK(s.num_tokens() == 30);
  s.truncate(20);
  CHECK((s.num_tokens() == 20 && s.num_demoted_tokens() == 16));
  s.truncate(3);
  CHECK((s.num_tokens() == 3 && s.num_demoted_tokens() == 0));
}

TEST_CASE("demote refuses parts of tiles, and what requantize refuses") {
  Plain<F16, BlockSize<4>> hot({.num_blocks = {20}});
  Plain<Keys<ChannelTile<2, 8>>, Values<Int4Rotated>, BlockSize<8>> compressed({.num_blocks = {4}});
  Sequence from = hot.create(20), to = compressed.create(20);
  auto const source = hot.batch({{&from, 0}});
  auto const target = compressed.batch({{&to, 0}});
  auto const demote = [&](std::int32_t i, std::int32_t layer, std::int32_t first, std::int32_t n,
                          std::int32_t to_token) {
    ops::demote(source.view(), layer, {i, first, n}, target.view(), {0, to_token, n});
  };
  CHECK_THROWS_WITH(demote(0, 0, 0, 7, 0),
                    contains("int2_channel_t8 is demoted in whole tiles of 8 tokens, not 7 from 0"));
  CHECK_THROWS_WITH(demote(0, 0, 0, 8, 4), contains("not 8 from 4"));
  CHECK_THROWS_WITH(ops::demote(source.view(), 0, {0, 0, 16}, target.view(), {0, 0, 8}),
                    contains("16 tokens do not fill the places of 8"));
  CHECK_THROWS_WITH(demote(0, 0, 13, 8, 0), contains("the sequence stores 20 tokens"));
  CHECK_THROWS_WITH(demote(0, 0, 0, 8, 16), contains("the sequence stores 20 tokens"));
  CHECK_THROWS_WITH(demote(1, 0, 0, 8, 0), contains("no sequence 1"));
  CHECK_THROWS_WITH(demote(0, 2, 0, 8, 0), contains("folio: the model has no layer 2"));
  CHECK_NOTHROW(demote(0, 1, 3, 16, 0));
  CHECK_NOTHROW(demote(0, 1, 0, 0, 0));
}
