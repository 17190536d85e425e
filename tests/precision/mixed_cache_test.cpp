// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "precision/mixed_programs.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::MixedModelSequence;
using folio::test::MixedModelSequences;
using folio::test::run_mixed_programs;

namespace {

template <std::int32_t Dim>
constexpr ModelConfig plain{.layers = 2, .kv_heads = 2, .head_dim = Dim};
constexpr ModelConfig latent_model{.layers = 2, .kv_heads = 1, .groups = {latent(16, 8)}};
constexpr ModelConfig hybrid{
    .layers = 3,
    .kv_heads = 2,
    .head_dim = 16,
    .groups = {full_attention(), LayerGroup{.kind = AttentionKind::full, .kv_heads = 1, .head_dim = 24}},
    .pattern = repeat_groups({0, 1})};

template <ModelConfig const& Config, class... Policies>
using CacheOf = KvCache<Model<Config>, Policies...>;

using Int8Cache =
    MixedPrecisionCache<CacheOf<plain<16>, F32, BlockSize<4>>, CacheOf<plain<16>, Int8PerToken, BlockSize<8>>>;

Int8Cache small_cache(std::int32_t sinks, std::int32_t recent_window) {
  return Int8Cache({.hot = {.num_blocks = {50}},
                    .compressed = {.num_blocks = {50}},
                    .sinks = sinks,
                    .recent_window = recent_window});
}

}  // namespace

TEST_CASE("random programs: what both caches hold is what one encoding gives, and attention is the formula's") {
  SECTION("int8") { run_mixed_programs<Int8Cache>(60, 40, 3, 12, 60); }
  SECTION("int8 without sinks") { run_mixed_programs<Int8Cache>(60, 40, 0, 12, 60); }
  SECTION("f16 and int4, larger hot blocks") {
    run_mixed_programs<MixedPrecisionCache<CacheOf<plain<32>, F16, BlockSize<8>, LayoutInterleaved>,
                                           CacheOf<plain<32>, Int4Rotated, BlockSize<4>>>,
                       false>(60, 40, 9, 12, 60);
  }
  SECTION("k8v2, layouts that differ") {
    run_mixed_programs<
        MixedPrecisionCache<CacheOf<plain<32>, Keys<F16>, Values<BF16>, BlockSize<4>>,
                            CacheOf<plain<32>, Keys<Int8PerToken>, Values<Int2Rotated>, BlockSize<6>, LayoutNhd>>,
        false>(60, 40, 4, 20, 60);
  }
  SECTION("a latent layer") {
    run_mixed_programs<
        MixedPrecisionCache<CacheOf<latent_model, F16, BlockSize<4>>, CacheOf<latent_model, Fp8E4M3, BlockSize<4>>>>(
        60, 40, 4, 20, 60);
  }
  SECTION("two groups of layers with block sizes of their own") {
    run_mixed_programs<
        MixedPrecisionCache<CacheOf<hybrid, F32, BlockSizes<4, 2>>, CacheOf<hybrid, Int8PerToken, BlockSizes<8, 4>>>>(
        60, 40, 4, 20, 60);
  }
}

TEST_CASE("every length around a tile is demoted as far as tiles go, and attention goes on after it") {
  constexpr std::int32_t tile = Int8Cache::demotion_granularity;
  static_assert(tile == 8);
  for (std::int32_t const sinks : {0, 4})
    for (std::int32_t const length : {0, 1, tile - 1, tile, tile + 1, 2 * tile, 2 * tile + 3, 2 * tile + 4}) {
      CAPTURE(sinks, length);
      MixedModelSequences<Int8Cache> stories(
          {.hot = {.num_blocks = {50}}, .compressed = {.num_blocks = {50}}, .sinks = sinks});
      MixedModelSequence story{stories.cache.create(length)};
      stories.write({&story}, length);
      stories.demote(story, length);
      CHECK(story.sequence.num_demoted() == std::max(0, length - sinks) / tile * tile);
      stories.check(story);
      for (std::int32_t const n : {1, 3, 9}) {  // decoding, a few tokens at once, more than a tile
        REQUIRE(stories.take(story, n));
        stories.write({&story}, n);
        REQUIRE_NOTHROW(stories.check_attention({&story}, n, 2));
        stories.demote(story, length);  // what was not accepted stays
        stories.check(story);
      }
      stories.check_accounting({&story});
    }
}

TEST_CASE("tokens that are not accepted, or among the newest, are not demoted") {
  Int8Cache cache = small_cache(4, 5);
  MixedPrecisionSequence s = cache.create(30);
  CHECK(cache.num_due(s) == 16);  // 30 - 5 - 4 = 21
  CHECK(cache.num_due(s, 12) == 8);
  CHECK(cache.num_due(s, 11) == 0);
  CHECK(cache.demote(s, 19) == 8);
  CHECK((s.num_tokens() == 30 && s.num_demoted() == 8 && s.first_newest() == 12));
  CHECK(cache.demote(s) == 8);
  CHECK(cache.demote(s) == 0);
  cache.set_recent_window(0);
  CHECK(cache.num_due(s) == 8);
  cache.set_recent_window(1000);
  CHECK(cache.demote(s) == 0);
  CHECK(s.num_demoted() == 16);
  CHECK(cache.stats().num_demoted_tokens == 16);
  CHECK(cache.stats().num_demotions == 2);
}

TEST_CASE("what is demoted gives its hot blocks back, and says what it saves") {
  Int8Cache cache = small_cache(0, 0);
  MixedPrecisionSequence s = cache.create(32);
  CHECK(cache.hot().num_free_blocks() == 42);
  cache.demote(s);
  CHECK(cache.hot().num_free_blocks() == 50);
  CHECK(cache.compressed().num_free_blocks() == 46);
  CHECK(cache.stats().bytes_saved == 8 * cache.hot().block_bytes() - 4 * cache.compressed().block_bytes());
  MixedPrecisionSequence f = s.fork();
  CHECK(cache.stats().bytes_saved == 8 * cache.hot().block_bytes() - 4 * cache.compressed().block_bytes());
}

TEST_CASE("a demotion that finds no compressed blocks changes nothing, and goes on when there are some") {
  Int8Cache cache({.hot = {.num_blocks = {50}}, .compressed = {.num_blocks = {3}}});
  MixedPrecisionSequence a = cache.create(24), b = cache.create(24);
  CHECK(cache.demote(a) == 24);
  auto const hot = test::snapshot(cache.hot().state()->store),
             compressed = test::snapshot(cache.compressed().state()->store);
  REQUIRE_THROWS_AS(cache.demote(b), OutOfBlocks);
  CHECK(test::snapshot(cache.hot().state()->store) == hot);
  CHECK(test::snapshot(cache.compressed().state()->store) == compressed);
  a.release();
  CHECK(cache.demote(b) == 24);
}

TEST_CASE("threads give the same bytes and the same attention") {
  ThreadPool threads(3);
  MixedModelSequences<Int8Cache> stories(
      {.hot = {.num_blocks = {50}}, .compressed = {.num_blocks = {50}}, .sinks = 4, .recent_window = 3});
  MixedModelSequence story{stories.cache.create(70)};
  stories.write({&story}, 70);
  MixedModelSequence twin{story.sequence.fork(), story.tokens};
  CHECK(stories.cache.demote(twin.sequence, 70, &threads) == 56);
  stories.demote(story, 70);
  twin.tokens = story.tokens;
  twin.demoted = story.demoted;
  stories.check(twin);
  for (MixedModelSequence* const s : {&story, &twin}) {
    REQUIRE(stories.take(*s, 2));
    stories.write({s}, 2);
  }
  stories.check_attention({&story, &twin}, 2, 2, &threads);
}

TEST_CASE(
    "a batch that is filled again knows whether this step has demoted tokens, for attention over one cache costs "
    "less") {
  Int8Cache cache = small_cache(0, 0);
  MixedPrecisionSequence demoted = cache.create(17), plain = cache.create(3);
  cache.demote(demoted);
  std::vector<MixedPrecisionItem> const both{{&plain}, {&demoted, 1}}, one{{&plain}};
  auto batch = cache.batch(both);
  CHECK(batch.view().any_demoted);
  cache.batch(one, batch);
  CHECK_FALSE(batch.view().any_demoted);
}

TEST_CASE("what a mixed cache refuses, it says, and changes nothing") {
  Int8Cache cache = small_cache(4, 0), other = small_cache(4, 0);
  MixedPrecisionSequence s = cache.create(21), foreign = other.create(30), empty;
  cache.demote(s);
  REQUIRE(s.num_demoted() == 16);
  auto const hot = test::snapshot(cache.hot().state()->store),
             compressed = test::snapshot(cache.compressed().state()->store);
  CHECK_THROWS_WITH(cache.batch({{&s, 2}}),
                    contains("2 query tokens of a mixed sequence reach into its demoted tokens"));
  CHECK_THROWS_WITH(cache.batch({{&empty, 0}}), contains("empty MixedPrecisionSequence"));
  CHECK_THROWS_WITH(cache.batch({{&foreign, 0}}), contains("of the batch belongs to another cache"));
  CHECK_THROWS_WITH(cache.demote(foreign), contains("folio: demote needs a sequence of this cache"));
  CHECK_THROWS_AS(cache.demote(empty), Error);
  CHECK_THROWS_WITH(s.truncate(22), contains("cannot truncate a sequence of 21 tokens to 22"));
  CHECK_THROWS_WITH(s.truncate(-1), contains("cannot truncate a sequence of 21 tokens to -1"));
  CHECK_THROWS_WITH(
      s.extend(0x7fffffff),
      contains("folio: cannot append 2147483647 tokens to a sequence of 21; a sequence has at most 2147483647"));
  CHECK_THROWS_WITH(cache.set_recent_window(-1), contains("the recent window has 0 to"));
  CHECK_THROWS_WITH(small_cache(-1, 0), contains("MixedPrecisionConfig::sinks"));
  CHECK_THROWS_WITH(small_cache(0, -1), contains("MixedPrecisionConfig::recent_window"));
  auto const batch = cache.batch({{&s, 1}});
  std::vector<float> q(64), out(64);
  CHECK_THROWS_WITH(ops::attend(batch.view(), 0, AttentionIo{q.data(), 2, out.data()}, {.token_begin = 1}),
                    contains("no range of tokens"));
  CHECK_THROWS_WITH(ops::attend(batch.view(), 2, AttentionIo{q.data(), 2, out.data()}),
                    contains("folio: the model has no layer 2"));
  CHECK_THROWS_WITH(ops::attend(batch.view(), 0, AttentionIo{q.data(), 3, out.data()}), contains("3 query heads"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 0, {0, 20, 2}, q.data(), nullptr), contains("21 tokens, so not the 2"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 0, {1, 0, 1}, q.data(), nullptr), contains("no sequence 1"));
  CHECK(out == std::vector<float>(64));
  CHECK(test::snapshot(cache.hot().state()->store) == hot);
  CHECK(test::snapshot(cache.compressed().state()->store) == compressed);
}

namespace {

template <class Cache>
concept MakesBatches = requires(Cache& cache, std::span<MixedPrecisionItem const> items) {
  cache.batch(items);
};
template <class Cache>
concept FillsBatches = requires(Cache& cache, typename Cache::Batch& tables,
                                std::span<MixedPrecisionItem const> items) {
  cache.batch(items, tables);
};

}  // namespace

TEST_CASE("a mixed cache that is const makes no batches: they do block copies that wait") {
  STATIC_REQUIRE((MakesBatches<Int8Cache> && FillsBatches<Int8Cache>));
  STATIC_REQUIRE_FALSE((MakesBatches<Int8Cache const> || FillsBatches<Int8Cache const>));
}

TEST_CASE("padded batches attend in both caches") {
  MixedModelSequences<Int8Cache> stories({.hot = {.num_blocks = {50}}, .compressed = {.num_blocks = {50}}});
  MixedModelSequence story{stories.cache.create(20)};
  stories.write({&story}, 20);
  stories.demote(story, 20);
  REQUIRE(stories.take(story, 1));
  stories.write({&story}, 1);
  MixedPrecisionItem const items[] = {{&story.sequence, 1}};
  auto const plain_batch = stories.cache.batch(items);
  auto const padded = stories.cache.batch(items, {.num_sequences = 3, .num_query_tokens = 4, .num_tokens = 64});
  auto const q = test::random_floats(4 * 4 * 16, 1);
  std::vector<float> expected(4 * 4 * 16, 7.0F), out(4 * 4 * 16, 7.0F);
  ops::attend(plain_batch.view(), 1, AttentionIo{q.data(), 4, expected.data()});
  ops::attend(padded.view(), 1, AttentionIo{q.data(), 4, out.data()});
  CHECK(out == expected);
  CHECK(expected[0] != 7.0F);
}

TEST_CASE("a sequence erases whole blocks from its middle, and nothing else") {
  KvCache<Model<plain<16>>, BlockSize<4>, F32> cache({.num_blocks = {20}});
  Sequence s = cache.create(21);
  auto const blocks = std::vector<BlockId>(s.blocks().begin(), s.blocks().end());
  auto const before = test::snapshot(cache.state()->store);
  for (auto const& [first, n] : {std::pair{-4, 4}, {20, 4}, {0, 24}, {2, 4}, {4, 6}, {0, -4}, {24, 0}})
    CHECK_THROWS_AS(s.erase(first, n), Error);
  CHECK(test::snapshot(cache.state()->store) == before);
  s.erase(4, 8);
  CHECK(s.num_tokens() == 13);
  CHECK(s.num_new_tokens() == 9);
  CHECK(std::vector<BlockId>(s.blocks().begin(), s.blocks().end()) ==
        std::vector<BlockId>{blocks[0], blocks[3], blocks[4], blocks[5]});
  CHECK(cache.num_free_blocks() == 16);
  Sequence f = s.fork();
  s.erase(0, 4);
  CHECK(cache.num_free_blocks() == 16);  // the fork still holds it
  CHECK(f.num_tokens() == 13);
  KvCache<Model<plain<16>>, BlockSize<4>, F32, LruEviction> with_prefixes({.num_blocks = {20}});
  Sequence p = with_prefixes.create(8);
  CHECK_THROWS_WITH(p.erase(0, 4), contains("keeps prefixes"));
}
