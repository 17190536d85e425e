// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Mixed caches whose compressed format encodes whole tiles.

#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/two_sided_tile.hpp>

#include "precision/mixed_programs.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::MixedModelSequence;
using folio::test::MixedModelSequences;
using folio::test::run_mixed_programs;

namespace {

constexpr ModelConfig plain{.layers = 2, .kv_heads = 2, .head_dim = 24, .value_head_dim = 40};
constexpr ModelConfig latent_model{.layers = 2, .kv_heads = 1, .groups = {latent(16, 8)}};

template <class... Policies>
using Plain = KvCache<Model<plain>, Policies...>;
using Kivi =
    MixedPrecisionCache<Plain<F32, BlockSize<4>>, Plain<Keys<ChannelTile<2, 8>>, Values<Int4Rotated>, BlockSize<8>>>;
template <class Layout = LayoutHnd>
using TwoSided =
    MixedPrecisionCache<Plain<F16, BlockSize<4>>,
                        Plain<Keys<TwoSidedKeys<2, 16>>, Values<TwoSidedValues<4, 16>>, BlockSize<16>, Layout>>;

/// The bytes of all layers of a block, without what pads it.
template <class Cache>
std::vector<std::byte> block_bytes(Cache const& cache, BlockId id) {
  auto const map = typename Cache::Map{cache.shape()};
  std::byte const* const begin = cache.pool() + to_int(id) * cache.block_bytes();
  return {begin, begin + map.shape.layers * map.layer_bytes()};
}

}  // namespace

TEST_CASE("random programs over tiles") {
  SECTION("KIVI: keys per channel, values by rows") { run_mixed_programs<Kivi>(60, 40, 3, 12, 60); }
  SECTION("two-sided") { run_mixed_programs<TwoSided<>>(80, 60, 0, 10, 50); }
  SECTION("two-sided, token by token") { run_mixed_programs<TwoSided<LayoutNhd>, false>(80, 60, 5, 10, 50); }
  SECTION("two-sided, keys in runs") {
    using Compressed =
        Plain<Keys<Int2TwoSidedKeys<16>>, Values<Int8PerToken>, BlockSize<16>, BasicLayoutInterleaved<4>>;
    run_mixed_programs<MixedPrecisionCache<Plain<F16, BlockSize<8>>, Compressed>, false>(80, 60, 0, 10, 50);
  }
  SECTION("3 bits in a latent layer") {
    run_mixed_programs<MixedPrecisionCache<KvCache<Model<latent_model>, F16, BlockSize<4>>,
                                           KvCache<Model<latent_model>, ChannelTile<3, 8>, BlockSize<8>>>>(60, 40, 4,
                                                                                                           12, 60);
  }
}

TEST_CASE("every length around a tile, with steps of one and more tokens after it") {
  for (std::int32_t const length : {0, 1, 7, 8, 9, 15, 16, 17}) {
    CAPTURE(length);
    MixedModelSequences<Kivi> stories({.hot = {.num_blocks = {50}}, .compressed = {.num_blocks = {50}}});
    MixedModelSequence story{stories.cache.create(length)};
    stories.write({&story}, length);
    stories.demote(story, length);
    CHECK(story.sequence.num_demoted() == length / 8 * 8);
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
    TwoSided<TestType> cache({.hot = {.num_blocks = {20}}, .compressed = {.num_blocks = {4}}});
    std::memset(cache.compressed().pool() + cache.compressed().block_bytes(), garbage,
                static_cast<std::size_t>(4 * cache.compressed().block_bytes()));
    MixedPrecisionSequence s = cache.create(garbage == 0 ? 16 : 19);
    auto const batch = cache.batch({{&s}});
    for (std::int32_t layer = 0; layer < 2; ++layer) {
      auto const keys = test::random_floats(19 * 2 * 24, 5), values = test::random_floats(19 * 2 * 40, 6);
      ops::append(batch.view(), layer, keys.data(), values.data());
    }
    CHECK(cache.demote(s) == 16);
    blocks.push_back(block_bytes(cache.compressed(), s.compressed().blocks()[0]));
  }
  CHECK(blocks[0] == blocks[1]);
  CHECK(blocks[0] == blocks[2]);
}

TEMPLATE_TEST_CASE("the bytes after a demoted row's codes are zero", "", LayoutHnd, LayoutNhd,
                   BasicLayoutInterleaved<4>) {
  using Mixed = TwoSided<TestType>;
  Mixed cache({.hot = {.num_blocks = {20}}, .compressed = {.num_blocks = {4}}});
  std::memset(cache.compressed().pool() + cache.compressed().block_bytes(), 0xFF,
              static_cast<std::size_t>(4 * cache.compressed().block_bytes()));
  MixedPrecisionSequence s = cache.create(16);
  auto const batch = cache.batch({{&s}});
  auto const floats = test::random_floats(16 * 2 * 40, 5);
  for (std::int32_t layer = 0; layer < 2; ++layer) ops::append(batch.view(), layer, floats.data(), floats.data());
  REQUIRE(cache.demote(s) == 16);
  using Compressed = typename Mixed::CompressedCache;
  typename Compressed::Map const map{cache.compressed().shape()};
  std::int32_t num_padding = 0;
  for (Plane const plane : {Plane::key, Plane::value}) {
    std::int32_t const used = plane == Plane::key ? code_bytes<typename Compressed::KeyQuantizer>(24)
                                                  : code_bytes<typename Compressed::ValueQuantizer>(40);
    for (std::int32_t byte = used; byte < map.extent(plane, RowPart::code).row_bytes; ++byte)
      for (std::int32_t row = 0; row < 2 * 2 * 16; ++row, ++num_padding)
        REQUIRE(cache.compressed().pool()[map.offset(to_int(s.compressed().blocks()[0]), row / 32, plane, RowPart::code,
                                                     row / 16 % 2, row % 16, byte)] == std::byte{0});
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
  TwoSided<> cache({.hot = {.num_blocks = {20}}, .compressed = {.num_blocks = {4}}});
  MixedPrecisionSequence s = cache.create(16);
  auto const batch = cache.batch({{&s}});
  auto const floats = test::random_floats(16 * 2 * 40, 5, 3.0F);
  for (std::int32_t layer = 0; layer < 2; ++layer) ops::append(batch.view(), layer, floats.data(), floats.data());
  cache.demote(s);
  auto const demoted = cache.batch({{&s, 0}});
  auto const sequence = demoted.view().compressed.sequence(0, 1);
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
  using Compressed = TwoSided<>::CompressedCache;
  Compressed::Map const map{cache.compressed().shape()};
  std::int32_t const block = to_int(s.compressed().blocks()[0]);
  auto const value = sequence.value(1, 13);
  std::byte const* const pool = cache.compressed().pool();
  CHECK(key.codes(3) == pool + map.offset(block, 1, Plane::key, RowPart::code, 1, 13, 3));
  CHECK(key.param_bytes() == pool + map.offset(block, 1, Plane::key, RowPart::param, 1, 13, 0));
  CHECK(value.codes(3) == pool + map.offset(block, 1, Plane::value, RowPart::code, 1, 13, 3));
  CHECK(value.param_bytes() == pool + map.offset(block, 1, Plane::value, RowPart::param, 1, 13, 0));
  HeadTile const params = sequence.layer().head_tile(Plane::key, BlockId{block}, 1, RowPart::param);
  CHECK(params.begin == key.param_bytes());
  CHECK(params.bytes == Compressed::View::KeyQuantizer::tile_param_bytes(24));
  CHECK(params.contiguous);
}

TEST_CASE("a truncation ends between demoted tiles, not in one") {
  Kivi cache({.hot = {.num_blocks = {20}}, .compressed = {.num_blocks = {4}}, .sinks = 4});
  MixedPrecisionSequence s = cache.create(30);
  cache.demote(s);
  REQUIRE(s.num_demoted() == 24);
  CHECK_THROWS_WITH(s.truncate(17), contains("truncate to 12 or 20, or demote accepted tokens only"));
  CHECK(s.num_tokens() == 30);
  s.truncate(20);
  CHECK((s.num_tokens() == 20 && s.num_demoted() == 16));
  s.truncate(3);
  CHECK((s.num_tokens() == 3 && s.num_demoted() == 0));
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
