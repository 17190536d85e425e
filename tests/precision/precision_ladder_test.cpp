// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/precision_ladder.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <span>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"

using namespace folio;
using folio::test::block_ids;
using folio::test::contains;

namespace {

constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 16};
using Cache = KvCache<Model<tiny>, F16, BlockSize<4>, Demote<Int4Rotated, BlockSize<8>>>;

/// The format of a user, whose encoder gives up.
struct Failing : Int8PerToken {
  static inline std::atomic<int> rows_left = 0;
  static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    if (--rows_left < 0) throw std::runtime_error("no more rows");
    Int8PerToken::encode(row, dim, codes, params);
  }
};

CacheConfig config_of(std::int64_t num_blocks, std::int64_t num_demoted_blocks) {
  return {.num_blocks = {num_blocks},
          .demotion = {.sinks = 0, .recent_window = 40, .num_blocks = {num_demoted_blocks}}};
}
Cache cache_of(std::int64_t num_blocks, std::int64_t num_demoted_blocks) {
  return Cache(config_of(num_blocks, num_demoted_blocks));
}

}  // namespace

TEST_CASE("a ladder goes down with the free blocks, and up again with some distance") {
  Cache cache = cache_of(100, 100);
  PrecisionLadder ladder(40, {{0.5, 16}, {0.2, 8}, {0.1, 0}}, 0.1);
  auto const at = [&](std::int32_t live_blocks) {
    Sequence const held = cache.create(live_blocks * 4);
    ladder.update(cache);
    CHECK(cache.recent_window() == ladder.recent_window());
    return ladder.stats().step;
  };
  CHECK(at(0) == 0);
  CHECK(ladder.recent_window() == 40);
  CHECK(at(50) == 0);  // half is not less than half
  CHECK(at(51) == 1);
  CHECK(ladder.recent_window() == 16);
  CHECK(at(45) == 1);
  CHECK(at(41) == 1);
  CHECK(at(40) == 0);
  CHECK(at(95) == 3);  // at once
  CHECK(ladder.recent_window() == 0);
  CHECK(at(81) == 3);
  CHECK(at(79) == 2);
  CHECK(at(0) == 0);
  CHECK(ladder.stats().num_steps_down == 4);
  CHECK(ladder.stats().num_steps_up == 4);
}

TEST_CASE("pressure demotes more, until an append fits") {
  Cache cache = cache_of(20, 20);
  PrecisionLadder ladder(40, {{0.5, 16}, {0.25, 8}});
  Sequence a = cache.create(32), b = cache.create(40);
  Sequence* const sequences[] = {&a, &b};
  CHECK_FALSE(b.try_extend(20));
  CHECK(ladder.relieve_until([&] { return b.try_extend(20); }, cache, sequences));
  CHECK(ladder.stats().step == 2);  // two blocks of twenty were free
  CHECK(b.num_tokens() == 60);
  CHECK(a.num_demoted_tokens() == 24);
  CHECK(b.num_demoted_tokens() == 32);
  CHECK(ladder.stats().num_demoted_tokens == 56);
  CHECK(cache.stats().counters.demoted_tokens == 56);
  CHECK(cache.stats().bytes_saved == 14 * cache.block_bytes() - 7 * cache.block_bytes(1));
  CHECK_FALSE(ladder.relieve_until([&] { return b.try_extend(1000); }, cache, sequences));
  CHECK(b.num_tokens() == 60);
}

TEST_CASE("the layer group that has the least free blocks decides") {
  constexpr static ModelConfig two{.layers = 2,
                                   .kv_heads = 1,
                                   .head_dim = 16,
                                   .groups = {full_attention(), latent(16, 8)},
                                   .pattern = repeat_groups({0, 1})};
  using TwoGroups = KvCache<Model<two>, F16, BlockSizes<4, 4>, Demote<Int8PerToken>>;
  for (int const scarce : {0, 1}) {
    std::vector<std::int64_t> blocks{20, 20};
    blocks[static_cast<std::size_t>(scarce)] = 10;
    TwoGroups cache({.num_blocks = blocks, .demotion = {.recent_window = 40, .num_blocks = {20, 20}}});
    Sequence a = cache.create(28);  // 3 of 10 blocks are free, and 13 of 20
    PrecisionLadder ladder(40, {{0.4, 8}});
    CHECK(PrecisionLadder::free_share(cache) == 0.3);
    ladder.update(cache);
    CHECK(ladder.stats().step == 1);
  }
}

TEST_CASE("prefixes that can be evicted are no pressure") {
  using Keeping = KvCache<Model<tiny>, F16, BlockSize<4>, Demote<Int4Rotated, BlockSize<8>>, LruEviction>;
  Keeping cache(config_of(20, 20));
  std::vector<std::int32_t> const prompt(64, 7);
  Sequence first = cache.create(64);
  cache.insert(first, {prompt});
  PrecisionLadder ladder(40, {{0.5, 16}});
  CHECK(PrecisionLadder::free_share(cache) == 0.2);  // a sequence has them
  first.release();
  CHECK(cache.num_free_blocks() == 4);
  CHECK(PrecisionLadder::free_share(cache) == 1);
  ladder.update(cache);
  CHECK(ladder.stats().step == 0);
}

TEST_CASE("a layer group without layers has no share") {
  static constexpr ModelConfig open{
      .layers = 2,
      .kv_heads = 1,
      .head_dim = 16,
      .groups = {full_attention(), LayerGroup{.kind = AttentionKind::full, .head_dim = 8}},
      .pattern = dynamic_pattern};
  KvCache<Model<open>, F16, BlockSize<4>, Demote<Int8PerToken>> cache(
      {.num_blocks = {20, 20}, .layer_groups = {0, 0}, .demotion = {.recent_window = 40, .num_blocks = {20, 20}}});
  CHECK(cache.num_blocks(1) == 0);
  CHECK(PrecisionLadder::free_share(cache) == 1);
  Sequence const a = cache.create(40);
  CHECK(PrecisionLadder::free_share(cache) == 0.5);
}

TEST_CASE("a step further is taken where the first is not enough") {
  Cache cache = cache_of(20, 20);
  PrecisionLadder ladder(40, {{0.6, 16}, {0.2, 8}, {0.1, 0}});
  Sequence a = cache.create(48);  // 8 free
  Sequence* const sequences[] = {&a};
  CHECK(ladder.relieve(cache, sequences) == 32);
  CHECK(ladder.stats().step == 1);
  CHECK(ladder.relieve_until([&] { return cache.num_free_blocks() >= 18; }, cache, sequences));
  CHECK(ladder.stats().step == 2);
  CHECK(a.num_demoted_tokens() == 40);
}

TEST_CASE("what is not accepted stays, and demoted blocks that are missing are counted") {
  Cache cache = cache_of(20, 1);
  PrecisionLadder ladder(40, {{1.0, 0}});
  Sequence a = cache.create(24), b = cache.create(24);
  Sequence* const sequences[] = {&a, &b};
  std::int32_t const accepted[] = {24, 8};
  CHECK(ladder.relieve(cache, sequences, accepted) == 8);  // of a nothing: it needs three blocks
  CHECK(a.num_demoted_tokens() == 0);
  CHECK(b.num_demoted_tokens() == 8);
  CHECK(ladder.stats().num_refused == 1);
  CHECK_THROWS_WITH(ladder.relieve(cache, sequences, std::span(accepted, 1)), contains("for each of 2 sequences"));
}

TEST_CASE("a ladder that refuses what it is given changes nothing") {
  Cache cache = cache_of(20, 20);
  PrecisionLadder ladder(40, {{1.0, 0}});
  Sequence a = cache.create(24), empty;
  std::int32_t const accepted[] = {24};
  auto const refused = [&](Sequence* other, std::span<std::int32_t const> numbers, char const* sentence) {
    Sequence* const sequences[] = {&a, other};
    CHECK_THROWS_WITH(ladder.relieve(cache, sequences, numbers), contains(sentence));
    CHECK_THROWS_WITH(ladder.relieve_until([] { return false; }, cache, sequences, numbers), contains(sentence));
    CHECK(a.num_demoted_tokens() == 0);
    CHECK(ladder.stats().step == 0);
    CHECK(cache.recent_window() == 40);
  };
  refused(&empty, {}, "a ladder was given an empty Sequence");
  refused(nullptr, {}, "a ladder was given an empty Sequence");
  refused(&a, accepted, "for each of 2 sequences");
  PrecisionLadder far(std::numeric_limits<std::int32_t>::max(), {{1.0, std::numeric_limits<std::int32_t>::max() - 1}});
  CHECK_THROWS_WITH(far.update(cache), contains("the recent window has 0 to 1073741824 tokens"));
  CHECK(far.stats().step == 0);
  CHECK(cache.recent_window() == 40);
}

TEST_CASE("a demotion that throws leaves that sequence as it was, and those before it are counted") {
  using FailingCache = KvCache<Model<tiny>, F16, BlockSize<4>, Demote<Failing, BlockSize<8>>>;
  ThreadPool pool(3);
  for (ThreadPool* const threads : {static_cast<ThreadPool*>(nullptr), &pool}) {
    FailingCache cache(config_of(40, 40));
    PrecisionLadder ladder(40, {{1.0, 0}});
    Sequence a = cache.create(24), b = cache.create(24), c = cache.create(24);
    Sequence* const sequences[] = {&a, &b, &c};
    auto const state = [&](Sequence const& s) {
      return std::tuple(block_ids(s), s.state().lists[1].blocks, s.num_tokens(), s.num_new_tokens(),
                        s.num_demoted_tokens());
    };
    auto const before_b = state(b), before_c = state(c);
    Failing::rows_left = 2 * 24 + 30;  // keys and values of the first, and some of the second
    CHECK_THROWS_WITH(ladder.relieve(cache, sequences, {}, threads), "no more rows");
    CHECK(a.num_demoted_tokens() == 24);
    CHECK(state(b) == before_b);
    CHECK(state(c) == before_c);
    CHECK(cache.num_free_blocks(1) == 37);
    CHECK(ladder.stats().num_demoted_tokens == 24);
    CHECK(cache.stats().counters.demoted_tokens == 24);
    CHECK(cache.stats().counters.demotions == 1);
    Failing::rows_left = 1000;
    CHECK(ladder.relieve(cache, sequences, {}, threads) == 48);
    CHECK(ladder.stats().num_demoted_tokens == 72);
  }
}

TEST_CASE("steps that make no ladder are refused") {
  CHECK_NOTHROW(PrecisionLadder(0, {}));
  CHECK_NOTHROW(PrecisionLadder(1, {{1.0, 0}}, 0));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, 40}}), contains("step 0 of a ladder"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, 16}, {0.5, 8}}), contains("step 1 of a ladder"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, 16}, {0.4, 16}}), contains("step 1 of a ladder"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{1.1, 16}}),
                    contains("step 0 of a ladder has free_below 1.100000 and recent window 16"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.0, 16}}),
                    contains("step 0 of a ladder has free_below 0.000000 and recent window 16"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, -1}}),
                    contains("step 0 of a ladder has free_below 0.500000 and recent window -1"));
  CHECK_THROWS_WITH(PrecisionLadder(-1, {}), contains("at least 0 tokens"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, 16}}, -0.1), contains("hysteresis from 0 to 1"));
}
