// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/eviction/lru.hpp>
#include <folio/locked.hpp>
#include <folio/precision/demote.hpp>
#include <folio/reservation.hpp>
#include <folio/thread_pool.hpp>
#include <limits>

#include "precision/demotion_programs.hpp"
#include "precision/hybrid_models.hpp"

using namespace folio;
using folio::test::block_ids;
using folio::test::contains;
using folio::test::DemotingModelSequence;
using folio::test::DemotingModelSequences;
using folio::test::run_demotion_programs;

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
constexpr ModelConfig full_and_window{.layers = 2,
                                      .kv_heads = 1,
                                      .head_dim = 8,
                                      .groups = {full_attention(), sliding_window(8)},
                                      .pattern = repeat_groups({0, 1})};

template <ModelConfig const& Config, class... Policies>
using CacheOf = KvCache<Model<Config>, Policies...>;

using Int8Cache = CacheOf<plain<16>, F32, BlockSize<4>, Demote<Int8PerToken, BlockSize<8>>>;
using TwoGroups = CacheOf<hybrid, F32, BlockSizes<4, 2>, Demote<Int8PerToken, BlockSizes<8, 4>>>;

CacheConfig small(std::int32_t sinks, std::int32_t recent_window, std::int64_t num_demoted_blocks = 50) {
  return {.num_blocks = {50},
          .demotion = {.sinks = sinks, .recent_window = recent_window, .num_blocks = {num_demoted_blocks}}};
}

template <class Cache>
std::vector<std::int64_t> snapshot(Cache const& cache) {
  return test::snapshot(cache.state()->store);
}

std::vector<BlockId> const& demoted_blocks(Sequence const& s, int list = 1) { return s.state().lists[list].blocks; }

}  // namespace

TEST_CASE("random programs: what both lists hold is what one encoding gives, and attention is the formula's") {
  SECTION("int8") { run_demotion_programs<Int8Cache>(60, 40, 3, 12, 60); }
  SECTION("int8 without sinks") { run_demotion_programs<Int8Cache>(60, 40, 0, 12, 60); }
  SECTION("f16 and int4, larger blocks of the cache's own") {
    run_demotion_programs<CacheOf<plain<32>, F16, BlockSize<8>, LayoutInterleaved, Demote<Int4Rotated, BlockSize<4>>>,
                          false>(60, 40, 9, 12, 60);
  }
  SECTION("k8v2, layouts that differ") {
    run_demotion_programs<CacheOf<plain<32>, Keys<F16>, Values<BF16>, BlockSize<4>,
                                  Demote<Keys<Int8PerToken>, Values<Int2Rotated>, BlockSize<6>, LayoutNhd>>,
                          false>(60, 40, 4, 20, 60);
  }
  SECTION("a latent layer") {
    run_demotion_programs<CacheOf<latent_model, F16, BlockSize<4>, Demote<Fp8E4M3>>>(60, 40, 4, 20, 60);
  }
  SECTION("two groups of layers with block sizes of their own") { run_demotion_programs<TwoGroups>(60, 40, 4, 20, 60); }
}

TEST_CASE("every length around a unit is demoted as far as units go, and attention goes on after it") {
  constexpr std::int32_t unit = 8;
  for (std::int32_t const sinks : {0, 4})
    for (std::int32_t const length : {0, 1, unit - 1, unit, unit + 1, 2 * unit, 2 * unit + 3, 2 * unit + 4}) {
      CAPTURE(sinks, length);
      DemotingModelSequences<Int8Cache> stories(small(sinks, 0));
      REQUIRE(stories.cache.demotion_unit() == unit);
      DemotingModelSequence story{stories.cache.create(length)};
      stories.write({&story}, length);
      stories.demote(story, length);
      CHECK(story.sequence.num_demoted_tokens() == std::max(0, length - sinks) / unit * unit);
      stories.check(story);
      for (std::int32_t const n : {1, 3, 9}) {  // decoding, a few tokens at once, more than a unit
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
  Int8Cache cache(small(4, 5));
  Sequence s = cache.create(30);
  CHECK(cache.num_due(s) == 16);  // 30 - 5 - 4 = 21
  CHECK(cache.num_due(s, 12) == 8);
  CHECK(cache.num_due(s, 11) == 0);
  CHECK(cache.demote(s, 19) == 8);
  CHECK((s.num_tokens() == 30 && s.num_demoted_tokens() == 8 && s.num_stored_tokens() == 22));
  CHECK(cache.demote(s) == 8);
  CHECK(cache.demote(s) == 0);
  cache.set_recent_window(0);
  CHECK(cache.num_due(s) == 8);
  cache.set_recent_window(1 << 30);
  CHECK(cache.demote(s) == 0);
  CHECK(s.num_demoted_tokens() == 16);
  CHECK(cache.stats().counters.demoted_tokens == 16);
  CHECK(cache.stats().counters.demotions == 2);
}

TEST_CASE("what is demoted gives its blocks back, and says what it saves") {
  Int8Cache cache(small(0, 0));
  Sequence s = cache.create(32);
  CHECK(cache.num_free_blocks() == 42);
  cache.demote(s);
  CHECK(cache.num_free_blocks() == 50);
  CHECK(cache.num_free_blocks(1) == 46);
  CHECK(cache.stats().bytes_saved == 8 * cache.block_bytes() - 4 * cache.block_bytes(1));
  Sequence f = s.fork();
  CHECK(cache.stats().bytes_saved == 8 * cache.block_bytes() - 4 * cache.block_bytes(1));
  CHECK(to_json(cache.stats()).find("\"bytes_saved\":" + std::to_string(cache.stats().bytes_saved)) !=
        std::string::npos);
}

TEST_CASE("statistics tell a group's second list from its first one") {
  test::Int8Hybrid cache(test::small_hybrid(0, 0));
  Sequence s = cache.create(20);
  cache.demote(s);
  Stats const stats = cache.stats();
  REQUIRE(stats.groups.size() == 3);
  CHECK((stats.groups[0].group == 0 && !stats.groups[0].demoted && stats.groups[0].stored == 4));
  CHECK((stats.groups[1].group == 1 && !stats.groups[1].demoted));
  CHECK((stats.groups[2].group == 0 && stats.groups[2].demoted && stats.groups[2].stored == 16));
  CHECK(stats.groups[2].total == 50);
  CHECK(stats.total == 160);
  CHECK(stats.bytes_total == 50 * cache.block_bytes(0) + 60 * cache.block_bytes(1) + 50 * cache.block_bytes(2));
  CHECK(stats.num_tokens == 20);
  CHECK(cache.second_list(0) == 2);
  CHECK_THROWS_WITH(cache.second_list(1), contains("layer group 1 demotes nothing: it has a window"));
  CHECK_THROWS_AS(cache.second_list(2), Error);
  CHECK(cache.memory_bytes() == stats.bytes_total + cache.block_bytes(0) + cache.block_bytes(1) + cache.block_bytes(2));
}

TEST_CASE("a demotion that finds no blocks changes nothing, and goes on when there are some") {
  Int8Cache cache(small(0, 0, 3));
  Sequence a = cache.create(24), b = cache.create(24);
  CHECK(cache.demote(a) == 24);
  auto const before = snapshot(cache);
  REQUIRE_THROWS_WITH(cache.demote(b), contains("folio: out of blocks in second list 1: asked for 3, free are 0"));
  CHECK(snapshot(cache) == before);
  CHECK(cache.stats().counters.out_of_blocks == 1);
  CHECK(cache.stats().counters.demotions == 1);
  a.release();
  CHECK(cache.demote(b) == 24);
}

TEST_CASE("OutOfBlocks says which of the lists is short: the group's own or its second one") {
  test::Int8Hybrid cache({.num_blocks = {10, 12}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {2}}});
  Sequence s = cache.create(16);
  auto const short_of = [](auto const& operation) {
    try {
      operation();
    } catch (OutOfBlocks const& full) {
      return full.group();
    }
    return -1;
  };
  CHECK(short_of([&] { s.extend(25); }) == 0);
  Sequence t = cache.create();
  CHECK(short_of([&] { t.extend(10); }) == 1);
  CHECK(short_of([&] { cache.demote(s); }) == -1);
  t.extend(8);
  CHECK(short_of([&] { cache.demote(t); }) == cache.second_list(0));
  CHECK(t.num_demoted_tokens() == 0);
}

TEST_CASE("every group that demotes needs blocks: where one has too few, none is taken") {
  for (int const scarce : {0, 1}) {
    std::vector<std::int64_t> blocks{4, 8};
    --blocks[static_cast<std::size_t>(scarce)];
    TwoGroups cache({.num_blocks = {20, 40}, .demotion = {.sinks = 4, .recent_window = 0, .num_blocks = blocks}});
    Sequence s = cache.create(37);
    auto const before = snapshot(cache);
    try {
      cache.demote(s);
      FAIL("there were blocks");
    } catch (OutOfBlocks const& full) {
      CHECK(full.group() == 2 + scarce);
    }
    CHECK(snapshot(cache) == before);
    s.truncate(35);
    CHECK(cache.demote(s) == 24);
  }
}

TEST_CASE("a fork shares what is demoted, and each demotes the rest by itself") {
  Int8Cache cache(small(4, 0));
  Sequence s = cache.create(23);
  cache.demote(s);
  Sequence f = s.fork();
  CHECK(f.num_demoted_tokens() == 16);
  CHECK(cache.num_live_blocks(1) == 2);
  CHECK(cache.stats().groups[1].shared == 2);
  f.extend(20);
  s.extend(5);
  CHECK(cache.demote(f) == 16);
  CHECK(cache.demote(s) == 8);
  CHECK(cache.num_live_blocks(1) == 2 + 2 + 1);
  s.truncate(12);
  CHECK(s.num_demoted_tokens() == 8);
  CHECK(f.num_demoted_tokens() == 32);
  CHECK(cache.num_live_blocks(1) == 4);
  s.release();
  f.release();
  CHECK(cache.num_live_blocks() + cache.num_live_blocks(1) == 0);
}

TEST_CASE("a truncation ends among the sinks, between units, or anywhere after them") {
  for (std::int32_t length = 0; length <= 30; ++length) {
    CAPTURE(length);
    DemotingModelSequences<Int8Cache> stories(small(4, 0));
    DemotingModelSequence story = stories.create(30);
    stories.write({&story}, 30);
    stories.demote(story, 22);  // 4 sinks, 16 demoted, 10 recent
    REQUIRE(story.sequence.num_demoted_tokens() == 16);
    stories.truncate(story, length);
    bool const possible = length <= 4 || length == 12 || length >= 20;
    REQUIRE(story.sequence.num_tokens() == (possible ? length : 30));
    stories.check(story);
    stories.check_accounting({&story});
    REQUIRE(stories.take(story, 11));
    stories.write({&story}, 11);
    REQUIRE_NOTHROW(stories.check_attention({&story}, 11, 2));
    stories.demote(story, 100);
    stories.check(story);
  }
  Int8Cache cache(small(4, 0));
  Sequence s = cache.create(30);
  cache.demote(s, 22);
  CHECK_THROWS_WITH(
      s.truncate(19),
      contains("from token 4 on 16 are demoted, in units of 8; demote accepted tokens only; truncate to 12 or to 20"));
  CHECK_THROWS_WITH(s.truncate(5), contains("truncate to 4 or to 12"));
}

TEST_CASE("cut and keep take tokens out of what is not demoted, after the sinks") {
  Int8Cache cache(small(4, 8));
  Sequence s = cache.create(44);
  CHECK(cache.demote(s, 20) == 16);  // tokens 4 to 20
  CHECK(s.num_stored_tokens() == 28);
  CHECK_THROWS_WITH(s.cut(0, 4), contains("the first 4 tokens of layer group 0 are sinks, which stay"));
  CHECK_NOTHROW(s.cut(0, 0));  // none of them
  CHECK_THROWS_WITH(s.keep({.num_tokens = 6, .num_first = 3}), contains("are sinks, which stay"));
  CHECK_THROWS_WITH(s.keep({.num_tokens = 2}), contains("are sinks, which stay"));
  s.cut(8, 4);  // tokens 24 to 28
  CHECK(s.num_stored_tokens() == 24);
  CHECK(s.num_exact_tokens() == 24);
  CHECK_THROWS_WITH(s.truncate(25), contains("truncate to 24 or to 28"));
  CHECK_THROWS_WITH(s.truncate(13), contains("truncate to 12 or to 20"));
  CHECK(cache.num_due(s) == 8);  // 44 - 8 = 36: of tokens 20 to 24 and 28 to 36 there are 12
  CHECK(cache.demote(s) == 8);   // tokens 20 to 24 and 28 to 32
  CHECK(s.num_demoted_tokens() == 24);
  CHECK(s.num_stored_tokens() == 16);
  // Which of the demoted ones are before the gap is known, and that it ends after the last of them.
  CHECK_THROWS_WITH(s.truncate(31), contains("truncate to 20 or to 32"));
  s.truncate(32);
  CHECK((s.num_demoted_tokens() == 24 && s.num_stored_tokens() == 4));
  s.truncate(20);
  CHECK((s.num_demoted_tokens() == 16 && s.num_stored_tokens() == 4 && s.num_exact_tokens() == 20));
  s.extend(24);
  s.keep({.num_tokens = 9, .num_first = 4, .num_last = 5});
  CHECK(s.num_exact_tokens() == 20);
  CHECK(cache.num_due(s) == 0);  // 44 - 8 = 36 is in the gap, before which all is demoted
  cache.set_recent_window(0);
  CHECK(cache.num_due(s) == 0);
  s.extend(8);
  CHECK(cache.demote(s) == 8);
  CHECK_THROWS_WITH(s.truncate(46), contains("truncate to 20 or to 47"));
}

TEST_CASE("a truncation that is refused names lengths that every group takes") {
  TwoGroups cache({.num_blocks = {40, 80}, .demotion = {.sinks = 4, .recent_window = 0, .num_blocks = {9, 18}}});
  Sequence s = cache.create(60);
  cache.demote(s, 20);  // tokens 4 to 20
  s.cut(10, 10, 1);     // of group 1 tokens 26 to 36
  cache.demote(s, 46);  // of group 0 to 36 and of group 1 to 46
  CHECK(s.num_demoted_tokens() == 32);
  std::vector<bool> possible;
  for (std::int32_t n = 0; n <= 60; ++n) {
    Sequence f = s.fork();
    try {
      f.truncate(n);
      possible.push_back(true);
    } catch (Error const& error) {
      possible.push_back(false);
    }
  }
  for (std::int32_t n = 0; n <= 60; ++n) {
    if (possible[static_cast<std::size_t>(n)]) continue;
    std::int32_t below = n, above = n;
    while (!possible[static_cast<std::size_t>(below)]) --below;
    while (!possible[static_cast<std::size_t>(above)]) ++above;
    CHECK_THROWS_WITH(s.truncate(n),
                      contains("truncate to " + std::to_string(below) + " or to " + std::to_string(above)));
  }
  CHECK(std::count(possible.begin(), possible.end(), false) > 20);
}

TEST_CASE("threads give the same bytes and the same attention") {
  ThreadPool threads(3);
  DemotingModelSequences<Int8Cache> stories(small(4, 3));
  DemotingModelSequence story{stories.cache.create(70)};
  stories.write({&story}, 70);
  DemotingModelSequence twin{story.sequence.fork(), story.tokens};
  CHECK(stories.cache.demote(twin.sequence, 70, &threads) == 56);
  stories.demote(story, 70);
  twin.tokens = story.tokens;
  twin.demoted = story.demoted;
  stories.check(twin);
  for (DemotingModelSequence* const s : {&story, &twin}) {
    REQUIRE(stories.take(*s, 2));
    stories.write({s}, 2);
  }
  stories.check_attention({&story, &twin}, 2, 2, &threads);
}

TEST_CASE("what a cache that demotes refuses, it says, and changes nothing") {
  Int8Cache cache(small(4, 0)), other(small(4, 0));
  Sequence s = cache.create(21), foreign = other.create(30), empty;
  cache.demote(s);
  REQUIRE(s.num_demoted_tokens() == 16);
  auto const before = snapshot(cache);
  CHECK_THROWS_WITH(
      cache.batch({{&s, 2}}),
      contains("the first query token of sequence 0 is demoted in layer group 0, which has 1 newer tokens"));
  CHECK_THROWS_WITH(cache.batch({{&empty, 0}}), contains("empty Sequence"));
  CHECK_THROWS_WITH(cache.batch({{&foreign, 0}}), contains("of the batch belongs to another cache"));
  CHECK_THROWS_WITH(cache.demote(foreign), contains("folio: demote needs a sequence of this cache"));
  CHECK_THROWS_AS(cache.demote(empty), Error);
  CHECK_THROWS_WITH(s.truncate(22), contains("cannot truncate a sequence of 21 tokens to 22"));
  CHECK_THROWS_WITH(s.truncate(-1), contains("cannot truncate a sequence of 21 tokens to -1"));
  CHECK_THROWS_WITH(
      s.extend(0x7fffffff),
      contains("folio: cannot append 2147483647 tokens to a sequence of 21; a sequence has at most 2147483647"));
  CHECK_THROWS_WITH(cache.set_recent_window(-1), contains("the recent window has 0 to 1073741824 tokens, not -1"));
  CHECK(snapshot(cache) == before);
  CHECK(cache.recent_window() == 0);
}

TEST_CASE("a config that does not fit the model is refused, and says what does") {
  CHECK_THROWS_WITH(Int8Cache(small(-1, 0)), contains("CacheConfig::demotion.sinks has 0 to 1073741824 tokens"));
  CHECK_THROWS_WITH(Int8Cache(small(0, -1)), contains("CacheConfig::demotion.recent_window has 0 to 1073741824"));
  CHECK_THROWS_WITH(Int8Cache({.num_blocks = {50}}),
                    contains("CacheConfig::demotion.num_blocks has 0 entries; the model has 1 layer groups that "
                             "demote, which need one each"));
  CHECK_THROWS_WITH(test::Int8Hybrid({.num_blocks = {50, 50}, .demotion = {.num_blocks = {50, 50}}}),
                    contains("has 2 entries; the model has 1 layer groups that demote"));
  CHECK_THROWS_WITH(Int8Cache({.memory_bytes = 1 << 20, .demotion = {.num_blocks = {50}}}),
                    contains("CacheConfig::demotion.num_blocks has 1 entries"));
  using LargeUnits = CacheOf<plain<16>, F16, BlockSize<32768>, Demote<Int8PerToken, BlockSize<32769>>>;
  CHECK_THROWS_WITH(LargeUnits(small(0, 0)), contains("there is none of at most 2^30 tokens"));
  using WindowLast =
      CacheOf<full_and_window, F16, BlockSizes<16, 65537>, Demote<F16, BlockSizes<32769, 1>>, LruEviction>;
  CHECK_THROWS_WITH(WindowLast::sizes({.num_blocks = {4, 4}, .demotion = {.num_blocks = {4}}}),
                    contains("there is none of at most 2^30 tokens"));
  Int8Cache const by_default({.num_blocks = {4}, .demotion = {.num_blocks = {4}}});
  CHECK((by_default.sinks() == 16 && by_default.recent_window() == 64));
  CHECK(Int8Cache(small(5, 0)).sinks() == 8);  // whole blocks
  using ThreeTokens = CacheOf<plain<16>, F16, BlockSize<3>, Demote<Int8PerToken>>;
  CHECK_THROWS_WITH(ThreeTokens(small(1 << 30, 0)),
                    contains("demotion.sinks, in whole blocks, has 0 to 1073741824 tokens, not 1073741826"));
  CHECK(TwoGroups({.num_blocks = {1, 1}, .demotion = {.sinks = 5, .num_blocks = {1, 1}}}).sinks() == 8);
}

TEST_CASE("a budget of bytes is split between both lists, for sequences of the length that is expected") {
  constexpr std::int64_t budget = 4 << 20;
  auto const num_that_fit = [&](std::int32_t expected, std::int32_t num_tokens) {
    Int8Cache cache(
        {.memory_bytes = budget, .tokens_per_sequence = expected, .demotion = {.sinks = 4, .recent_window = 16}});
    CHECK(cache.memory_bytes() <= budget);
    CHECK(cache.memory_bytes() > budget - 2 * (cache.block_bytes() + cache.block_bytes(1)));
    std::vector<Sequence> sequences;
    for (;;) {
      Sequence s = cache.create();
      try {
        for (std::int32_t t = 0; t < num_tokens; ++t) {
          s.extend(1);
          cache.demote(s);
        }
      } catch (OutOfBlocks const&) {
        return static_cast<std::int64_t>(sequences.size());
      }
      sequences.push_back(std::move(s));
    }
  };
  std::int64_t const for_short = num_that_fit(40, 40), for_long = num_that_fit(1000, 1000);
  Int8Cache const any(small(4, 16));
  CHECK(for_short >= budget / any.bytes_per_sequence(40) - 1);
  CHECK(for_long >= budget / any.bytes_per_sequence(1000) - 1);
  CHECK(num_that_fit(1000, 40) < for_short);
  CHECK(num_that_fit(40, 1000) < for_long);
}

TEST_CASE("what a sequence takes is bounded by its recent tokens in one list, and by its length in the other") {
  Int8Cache cache(small(4, 10));
  Sequence s = cache.create();
  for (std::int32_t t = 0; t < 100; ++t) {
    s.extend(1);
    std::int64_t const now =
        cache.num_live_blocks() * cache.block_bytes() + cache.num_live_blocks(1) * cache.block_bytes(1);
    CAPTURE(t);
    REQUIRE(now <= cache.bytes_per_sequence(t + 1));
    REQUIRE(cache.num_live_blocks() <= (4 + 10 + 8) / 4 + 1);
    cache.demote(s);
  }
  CHECK(cache.bytes_per_sequence(100) == 7 * cache.block_bytes() + 13 * cache.block_bytes(1));
}

namespace {

/// An allocator that makes its memory larger in place.
struct Roomy {
  static constexpr char const* name = "roomy";
  static constexpr Accessibility accessibility = Accessibility::host;
  std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    return memory.allocate(std::max(bytes, std::int64_t{1} << 20), alignment);
  }
  void deallocate(std::byte* pointer, std::int64_t bytes) noexcept {
    memory.deallocate(pointer, std::max(bytes, std::int64_t{1} << 20));
  }
  void resize(std::byte*, std::int64_t, std::int64_t) {}
  HostAllocator memory;
};

}  // namespace

TEST_CASE("a recent window and a unit of 2^30 tokens are counted") {
  using OneBlock = CacheOf<plain<16>, F16, BlockSize<(1 << 30)>, Demote<Int8PerToken>>;
  CacheConfig const config{.memory_bytes = std::int64_t{1} << 45,
                           .tokens_per_sequence = 1000,
                           .demotion = {.sinks = 0, .recent_window = 1 << 30}};
  CHECK(OneBlock::sizes(config).held[0].window == 0x7fffffff);
  CHECK(OneBlock::sizes(config).num_blocks[0] > 0);
  Int8Cache cache(small(4, 0));
  Sequence const s = cache.create(30);
  CHECK(cache.num_due(s, -5) == 0);
  CHECK(cache.num_due(s, std::numeric_limits<std::int32_t>::min()) == 0);
}

TEST_CASE("a second list is made larger and smaller like a first one") {
  CacheOf<plain<16>, F32, BlockSize<4>, Demote<Int8PerToken, BlockSize<8>>, Roomy> cache(small(0, 0, 2));
  Sequence s = cache.create(24);
  CHECK_THROWS_AS(cache.demote(s), OutOfBlocks);
  cache.resize(3, cache.second_list());
  CHECK(cache.demote(s) == 24);
  CHECK_THROWS_AS(cache.resize(2, cache.second_list()), Error);
  CHECK(cache.num_blocks(1) == 3);
  s.truncate(8);
  cache.resize(1, 1);
  CHECK((cache.num_blocks(1) == 1 && cache.num_blocks(0) == 50));
  CHECK_THROWS_AS(cache.resize(1, 2), Error);
}

TEST_CASE("blocks that are held ahead are those of first lists; a demotion frees some for others") {
  test::Int8Hybrid cache({.num_blocks = {10, 60}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {4}}});
  Sequence s = cache.create(20), other = cache.create(4);
  Reservation ahead;
  CHECK_FALSE(ahead.try_reserve(s, 20));
  CHECK(ahead.try_reserve(s, 16));
  CHECK(ahead.num_blocks(0) == 4);
  CHECK(cache.stats().reserved == ahead.num_blocks(0) + ahead.num_blocks(1));
  CHECK(cache.stats().groups[2].reserved == 0);
  CHECK_FALSE(other.try_extend(4));
  CHECK(cache.demote(s) == 16);
  CHECK(other.try_extend(4));
  CHECK(ahead.try_extend(s, 16));
  CHECK(ahead.num_blocks(0) == 0);
  CHECK(cache.demote(s) == 16);
  CHECK_THROWS_AS(ahead.num_blocks(2), Error);
}

namespace {

template <class Cache>
concept Demotes = requires(Cache& cache, decltype(cache.create())& sequence) {
  cache.demote(sequence);
};

}  // namespace

TEST_CASE("the error gauge is what a token in 64 of each layer has lost, whatever is demoted at once") {
  using Cache = CacheOf<plain<128>, F32, Demote<Keys<Int4Rotated>, Values<Int8PerToken>>>;
  std::int32_t const num_tokens = 256, row = 2 * 128;
  for (bool const with_nan : {false, true}) {
    Cache cache({.num_blocks = {20}, .demotion = {.sinks = 16, .recent_window = 0, .num_blocks = {20}}});
    CHECK(cache.demotion_error().of_keys() == 0);
    std::vector<float> keys, values;
    auto const numbers = test::random_floats(4 * num_tokens * row, 5);
    for (std::int32_t i = 0; i < 2 * num_tokens * row; ++i) {
      keys.push_back(numbers[static_cast<std::size_t>(2 * i)]);
      values.push_back(3 * numbers[static_cast<std::size_t>(2 * i + 1)]);
    }
    // Layer 0 samples demoted tokens 0, 64, 128 and 192, layer 1 those 29 further.
    if (with_nan) values[static_cast<std::size_t>((num_tokens + 16 + 93) * row + 7)] = std::nanf("");
    Sequence s = cache.create();
    for (std::int32_t done = 0; done < num_tokens; done += 32) {
      s.extend(32);
      auto const batch = cache.batch({&s});
      for (std::int32_t layer = 0; layer < 2; ++layer) {
        std::int64_t const at = (std::int64_t{layer} * num_tokens + done) * row;
        ops::append(batch.view(), layer, keys.data() + at, values.data() + at);
      }
      if (done != 64) cache.demote(s);
    }
    REQUIRE(s.num_demoted_tokens() == 240);
    auto const batch = cache.batch({{&s, 0}});
    double lost[2] = {}, all[2] = {};
    for (std::int32_t layer = 0; layer < 2; ++layer)
      for (std::int32_t t = 29 * layer; t < 240; t += 64) {
        std::vector<float> now[2];
        for (auto& floats : now) floats.resize(std::size_t{256});
        ops::gather(batch.view().demoted, layer, Tokens{0, t, 1}, now[0].data(), now[1].data());
        if (with_nan && layer == 1 && t == 93) continue;
        for (int plane : {0, 1}) {
          for (std::int32_t i = 0; i < row; ++i) {
            std::int32_t const at = (layer * num_tokens + 16 + t) * row + i;
            double const x = (plane == 0 ? keys : values)[static_cast<std::size_t>(at)];
            lost[plane] += std::pow(double{now[plane][static_cast<std::size_t>(i)]} - x, 2);
            all[plane] += x * x;
          }
        }
      }
    DemotionError const& error = cache.demotion_error();
    CHECK(error.num_tokens == (with_nan ? 7 : 8));
    CHECK(error.of_keys() == Approx(lost[0] / all[0]));
    CHECK(error.of_values() == Approx(lost[1] / all[1]));
    CHECK((error.of_keys() > 0.002 && error.of_keys() < 0.02));
    CHECK((error.of_values() > 1e-6 && error.of_values() < 1e-4));
  }
}

TEST_CASE("a cache under a lock demotes") {
  LockedCache<Int8Cache> cache(small(4, 5));
  auto s = cache.create(30);
  CHECK(cache.num_due(s) == 16);
  CHECK(cache.demote(s, 19) == 8);
  CHECK(cache.num_due(s, 27) == 8);
  ThreadPool threads(2);
  CHECK(cache.demote(s, folio::all_tokens, &threads) == 8);
  CHECK(s.num_demoted_tokens() == 16);
  CHECK(s.num_stored_tokens() == 14);
  auto f = s.fork();
  f.truncate(12);
  CHECK(f.num_demoted_tokens() == 8);
  s.cut(4, 4);
  CHECK(s.num_exact_tokens() == 20);
  LockedCache<Int8Cache>::Item const items[] = {{&s, 1}, {&f, 0}};
  CHECK(cache.batch(items).view().num_demoted(1) == 8);
  CHECK(cache.stats().counters.demotions == 2);
  STATIC_REQUIRE(Demotes<LockedCache<Int8Cache>>);
  STATIC_REQUIRE_FALSE(Demotes<LockedCache<test::PlainOf<Int8Cache>>>);
}

TEST_CASE("the parts of a demotion: blocks and lengths before the rows are moved, and all as before if they are not") {
  Int8Cache cache(small(4, 0));
  Sequence s = cache.create(30);
  cache.demote(s, 12);
  auto const before = snapshot(cache);
  CHECK(cache.begin_demotion(s) == 16);
  CHECK(demoted_blocks(s).size() == 3);
  CHECK((s.num_demoted_tokens() == 8 && s.num_stored_tokens() == 22));
  CHECK(cache.batch({{&s, 0}}).view().num_demoted(0) == 24);
  cache.cancel_demotion(s);
  CHECK(cache.num_free_blocks(1) == 49);
  CHECK((demoted_blocks(s).size() == 1 && s.state().lists[1].num_tokens == 8));
  CHECK(cache.begin_demotion(s) == 16);
  cache.end_demotion(s, 16);
  CHECK((s.num_demoted_tokens() == 24 && s.num_stored_tokens() == 6 && cache.num_free_blocks() == 48));
  CHECK(cache.begin_demotion(s) == 0);
}

TEST_CASE("a demotion leaves batches that were made before it stale") {
  Int8Cache cache(small(0, 0));
  Sequence s = cache.create(17);
  auto batch = cache.batch({&s});
  CHECK_FALSE(batch.is_stale());
  cache.demote(s);
  CHECK(batch.is_stale());
  CHECK(s.num_new_tokens() == 1);
  BatchItem const items[] = {&s};
  cache.batch(items, batch);
  CHECK_FALSE(batch.is_stale());
  CHECK(batch.num_query_tokens() == 1);
  CHECK(cache.demote(s) == 0);
  CHECK_FALSE(batch.is_stale());
}

TEST_CASE("a cache that is moved demotes, and its sequences outlive it") {
  Sequence s;
  {
    Int8Cache first(small(0, 0));
    s = first.create(17);
    CHECK(first.demote(s, 8) == 8);
    Int8Cache cache = std::move(first);
    CHECK(cache.demote(s) == 8);
  }
  CHECK(s.num_demoted_tokens() == 16);
  s.truncate(8);
  CHECK(s.num_demoted_tokens() == 8);
}

namespace {

template <class Cache>
concept MakesBatches = requires(Cache& cache, std::span<BatchItem const> items) {
  cache.batch(items);
};
template <class Cache>
concept FillsBatches = requires(Cache& cache, Batch<typename Cache::View>& tables, std::span<BatchItem const> items) {
  cache.batch(items, tables);
};

}  // namespace

TEST_CASE("a cache that is const makes no batches: they do block copies that wait") {
  STATIC_REQUIRE((MakesBatches<Int8Cache> && FillsBatches<Int8Cache>));
  STATIC_REQUIRE_FALSE((MakesBatches<Int8Cache const> || FillsBatches<Int8Cache const>));
}
