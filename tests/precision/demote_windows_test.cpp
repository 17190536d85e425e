// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Caches of hybrid models that demote: layers with a window are as in a plain cache, the others as encoded once.

#include <folio/precision/rotated_ops.hpp>
#include <folio/pressure_ladder.hpp>
#include <folio/quantizer/channel_tile.hpp>

#include "precision/demotion_programs.hpp"
#include "precision/hybrid_models.hpp"

using namespace folio;
using namespace folio::test;

namespace {

constexpr ModelConfig open_model{
    .head_dim = 16, .groups = {full_attention(), sliding_window(dynamic)}, .pattern = repeat_groups({1, 1, 0})};
using OpenCache = CacheOf<open_model, F16, Demote<Int4Rotated>>;

/// Of a model of 7 layers, of which the third and the sixth see everything.
CacheConfig open_config() {
  return {.num_blocks = {8, 8}, .layers = 7, .kv_heads = 2, .window = 5, .demotion = {.num_blocks = {8}}};
}

}  // namespace

TEST_CASE("random programs: layers with a window are as in a plain cache, the others as encoded once") {
  SECTION("int8, more sinks in the model than in the cache") { run_demotion_programs<Int8Hybrid>(60, 40, 3, 12, 60); }
  SECTION("a window smaller than a block, and first in the model") {
    run_demotion_programs<CacheOf<window_first, F16, BlockSize<8>, Demote<Int4Rotated, BlockSize<4>>>>(60, 40, 0, 12,
                                                                                                       60);
  }
  SECTION("latent layers and windows") {
    run_demotion_programs<CacheOf<latent_and_window, F16, BlockSize<4>, Demote<Fp8E4M3>>, false>(60, 40, 4, 20, 60);
  }
  SECTION("four groups, two of which demote, with layouts that differ") {
    run_demotion_programs<CacheOf<four_groups, Keys<F32>, Values<F16>, BlockSizes<3, 4, 6, 2>,
                                  Demote<Int8PerToken, BlockSizes<1, 8, 1, 4>, LayoutNhd>>>(60, 40, 4, 12, 60);
  }
  SECTION("tiles") {
    run_demotion_programs<
        CacheOf<full_first, F16, BlockSizes<4, 6>, Demote<Keys<ChannelTile<2, 8>>, Values<Int4Rotated>>>>(60, 40, 3, 12,
                                                                                                          60);
  }
}

TEST_CASE("a recent window below the window, down to nothing, takes nothing from the window") {
  DemotingModelSequences<Int8Hybrid> stories(small_hybrid(0, 0));
  DemotingModelSequence story = stories.create(24);
  stories.write({&story}, 24);
  stories.demote(story, 24);
  REQUIRE(story.sequence.num_demoted_tokens() == 24);
  for (std::int32_t const n : {1, 2, 5, 1, 9}) {
    REQUIRE(stories.take(story, n));
    stories.write({&story}, n);
    REQUIRE_NOTHROW(stories.check_attention({&story}, n, 2));
    stories.demote(story, 100);
    stories.check(story);
  }
}

TEST_CASE("drafts are taken back from windows as from the others") {
  DemotingModelSequences<Int8Hybrid> stories(small_hybrid(4, 0));
  DemotingModelSequence story = stories.create(20);
  stories.write({&story}, 20);
  for (int round = 0; round < 10; ++round) {
    std::int32_t const accepted = static_cast<std::int32_t>(story.tokens.size()) + round % 4;
    REQUIRE(stories.take(story, 4));
    stories.write({&story}, 4);
    REQUIRE_NOTHROW(stories.check_attention({&story}, 4, 1));
    stories.demote(story, accepted);
    stories.truncate(story, accepted);
    REQUIRE(story.sequence.num_tokens() == accepted);
    stories.check(story);
  }
  CHECK(story.sequence.num_demoted_tokens() == 24);
}

TEST_CASE("a second list has no memory for layers with a window, whose blocks do not count for units") {
  Int8Hybrid cache(small_hybrid(0, 0));
  PlainOf<Int8Hybrid> plain({.num_blocks = {50, 60}});
  CHECK(cache.demotion_unit() == 8);
  using FourGroups = CacheOf<four_groups, F32, BlockSizes<3, 4, 6, 2>, Demote<Int8PerToken, BlockSizes<1, 8, 1, 4>>>;
  CHECK(FourGroups({.num_blocks = {1, 1, 1, 1}, .demotion = {.num_blocks = {1, 1}}}).demotion_unit() == 8);
  CHECK(cache.memory_bytes() == plain.memory_bytes() + 51 * cache.block_bytes(2));
  CHECK((cache.shape(2).layers == 2 && cache.shape(2).block_size == 8 && cache.shape(2).window == 0));
  CHECK((cache.shape(0).window == 0 && cache.shape(1).window == 7));
  for (int const list : {-1, 3}) CHECK_THROWS_AS(cache.shape(list), Error);
  Sequence s = cache.create(32);
  CHECK(cache.num_free_blocks(1) == 44);
  s.extend(1);  // which gives back what the window has passed
  cache.demote(s);
  CHECK(s.num_demoted_tokens() == 32);
  CHECK(cache.stats().bytes_saved == 8 * cache.block_bytes() - 4 * cache.block_bytes(2));
  CHECK(cache.stats().groups[1].live == 7);  // 3 of the sinks, 4 from token 26 on
}

TEST_CASE("a list that has too few blocks is named: a group as in the model, or what it demotes") {
  using Cache = CacheOf<window_first, F16, Demote<Int8PerToken>>;
  auto const append = [](std::int64_t full, std::int64_t demoted, std::int64_t windows) {
    Cache cache({.num_blocks = {windows, full}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {demoted}}});
    Sequence s = cache.create();
    CHECK_NOTHROW(s.extend(1));
    try {
      s.extend(63);
      cache.demote(s);
    } catch (OutOfBlocks const& out) {
      CHECK(out.free() == std::min({full, demoted, windows}) - (demoted < 4 ? 0 : 1));
      return out.group();
    }
    return -1;
  };
  CHECK(append(4, 4, 4) == -1);
  CHECK(append(3, 4, 4) == 1);
  CHECK(append(4, 3, 4) == 2);
  CHECK(append(4, 4, 3) == 0);
}

TEST_CASE("the ladder looks at the groups that demoting helps") {
  Int8Hybrid cache({.num_blocks = {20, 20}, .demotion = {.sinks = 0, .recent_window = 40, .num_blocks = {20}}});
  Sequence s = cache.create(40);
  auto const demote = [&] { return std::int64_t{cache.demote(s)}; };
  PressureLadder ladder({demotion_rung(cache, 0.5, 4, demote), demotion_rung(cache, 0.2, 0, demote)});
  CHECK(cache.num_free_blocks(1) == 0);
  CHECK(ladder.relieve(free_share(cache)) == 0);  // half of the blocks of the full layers are free
  CHECK(ladder.num_on() == 0);
  s.extend(1);
  CHECK(ladder.relieve(free_share(cache)) == 1);
  CHECK(s.num_demoted_tokens() == 32);
  CHECK(cache.recent_window() == 4);  // less than the window, which has what it had
  CHECK(s.num_stored_tokens(1) == 41);
}

TEST_CASE("what a hybrid model's cache that demotes refuses, it says, and changes nothing") {
  Int8Hybrid cache(small_hybrid(4, 0));
  Sequence s = cache.create(30);
  s.extend(1);
  cache.demote(s);
  auto const before = snapshot(cache.state()->store);
  CHECK_THROWS_WITH(s.truncate(28), contains("layer group 1, with a window of 7, gave back the tokens before 24"));
  CHECK_THROWS_WITH(s.extend(-1), contains("cannot append -1 tokens"));
  CHECK_THROWS_WITH(s.extend(0x7fffffff), contains("cannot append 2147483647 tokens to a sequence of 31"));
  CHECK_THROWS_WITH(s.cut(2, 2, 1), contains("layer group 1 has a window of 7"));
  CHECK_THROWS_AS(cache.batch({{&s, 32}}), Error);
  CHECK_THROWS_WITH(cache.batch({{&s, 4}}), contains("is demoted in layer group 0, which has 3 newer tokens"));
  CHECK_THROWS_WITH(cache.batch({{&s, 3}}), contains("layer group 1 gave back when they left its window"));
  auto const batch = cache.batch({{&s, 1}});
  std::vector<float> q(64), out(64);
  for (std::int32_t const layer : {-1, 3, 1000})
    CHECK_THROWS_WITH(ops::attend(batch.view(), layer, AttentionIo{q.data(), 2, out.data()}),
                      contains("no layer " + std::to_string(layer)));
  CHECK_THROWS_WITH(ops::append(batch.view(), 3, q.data(), q.data()), contains("folio: the model has no layer 3"));
  CHECK_THROWS_WITH(ops::attend(batch.view(), 1, AttentionIo{q.data(), 3, out.data()}), contains("3 query heads"));
  CHECK_THROWS_WITH(ops::attend(batch.view(), 1, AttentionIo{q.data(), 2, out.data()}, {.token_begin = 1}),
                    contains("no range of tokens"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 1, {0, 10, 1}, q.data(), nullptr), contains("given back when it left"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 1, {0, 30, 2}, q.data(), nullptr), contains("31 tokens, so not the 2"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 1, {1, 30, 1}, q.data(), nullptr), contains("no sequence 1"));
  CHECK(out == std::vector<float>(64));
  CHECK(before == snapshot(cache.state()->store));
}

TEST_CASE("a config says what the model leaves open, for both lists") {
  OpenCache cache(open_config());
  CHECK((cache.shape(0).layers == 2 && cache.shape(1).layers == 5 && cache.shape(2).layers == 2));
  CHECK((cache.shape(1).window == 5 && cache.shape(2).window == 0 && cache.shape(2).kv_heads == 2));
  CHECK(cache.batch({}).view().num_layers() == 7);
  auto const refused = [](auto const& change) {
    CacheConfig config = open_config();
    change(config);
    return OpenCache(config);
  };
  CHECK_THROWS_WITH(refused([](auto& c) { c.layers = 0; }), contains("leaves layers dynamic"));
  CHECK_THROWS_WITH(refused([](auto& c) { c.window = 0; }), contains("leaves window dynamic"));
  CHECK_THROWS_WITH(refused([](auto& c) { c.layers = 2; }),
                    contains("all layers of this model have a window, which bounds their memory"));
  CHECK_THROWS_WITH(refused([](auto& c) {
                      c.demotion.num_blocks = {8, 8};
                    }),
                    contains("CacheConfig::demotion.num_blocks has 2 entries; the model has 1 layer groups that "
                             "demote"));
  CHECK_NOTHROW(refused([](auto& c) {
    c.num_blocks = c.demotion.num_blocks = {};
    c.memory_bytes = 1000000;
  }));
}

TEST_CASE("a list that there is not is called one, with how many there are") {
  Int8Hybrid cache(small_hybrid(4, 0));
  Sequence s = cache.create(5);
  auto const batch = cache.batch({&s});
  auto const is_said = contains("the cache has no list 3; it has 3, counted from 0: those of its 2 layer groups");
  CHECK_THROWS_WITH(cache.num_free_blocks(3), is_said);
  CHECK_THROWS_WITH(cache.shape(3), is_said);
  CHECK_THROWS_WITH(batch.lengths(3), is_said);
  CHECK_THROWS_WITH(batch.slots(2), contains("no layer group 2; it has 2"));
  CHECK_THROWS_WITH(batch.limits(2), contains("no layer group 2; it has 2"));
}

TEST_CASE("matrices go with hybrid models as well") {
  std::vector<LayerMatrices> none(3, LayerMatrices{2, 16, 16, {}, {}});
  CacheOf<full_first, F32, BlockSizes<4, 2>, Demote<Int8PerToken, BlockSizes<8, 16>>, RotationMatrices> turned(
      small_hybrid(4, 0), RotationMatrices(none));
  Int8Hybrid cache(small_hybrid(4, 0));
  Sequence a = cache.create(20), b = turned.create(20);
  auto const batch_a = cache.batch({{&a}});
  auto const batch_b = turned.batch({{&b}});
  auto const rows = random_floats(20 * 2 * 16, 1);
  for (std::int32_t layer = 0; layer < 3; ++layer) {
    std::vector<float> out_a(rows.size()), out_b(rows.size(), 1.0F);
    ops::append(batch_a.view(), layer, rows.data(), rows.data());
    ops::append(batch_b.view(), layer, rows.data(), rows.data());
    ops::attend(batch_a.view(), layer, AttentionIo{rows.data(), 2, out_a.data()});
    ops::attend(batch_b.view(), layer, AttentionIo{rows.data(), 2, out_b.data()});
    CHECK(out_a == out_b);
  }
}
