// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <folio/kv_cache.hpp>
#include <folio/reservation.hpp>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::below;
using folio::test::contains;

namespace {

constexpr ModelConfig full{.layers = 1, .kv_heads = 1, .head_dim = 8};
constexpr ModelConfig hybrid{.layers = 2,
                             .kv_heads = 1,
                             .head_dim = 8,
                             .groups = {full_attention(), sliding_window(9, 3)},
                             .pattern = repeat_groups({0, 1})};
using Cache = KvCache<Model<full>, BlockSize<4>, LruEviction>;
using Hybrid = KvCache<Model<hybrid>, BlockSizes<4, 3>, LruEviction>;

std::vector<std::int32_t> tokens_of(std::int32_t first, std::int32_t n) {
  std::vector<std::int32_t> tokens;
  for (std::int32_t i = 0; i < n; ++i) tokens.push_back(first + i);
  return tokens;
}

}  // namespace

TEST_CASE("a forecast is mean plus 1.5 sigma of what ended") {
  GrowthForecast forecast;
  CHECK(forecast.further() == 0);
  forecast.ended(10);
  CHECK(forecast.further() == 10);  // one says nothing of how they differ
  CHECK(forecast.further(4) == 6);
  CHECK(forecast.further(40) == 0);
  std::mt19937 random(1);
  std::vector<double> all{10};
  for (int i = 0; i < 5000; ++i) {
    std::int32_t const length = 1'000'000 + below(random, 300);  // where sums of squares would cancel
    forecast.ended(length);
    all.push_back(length);
  }
  double mean = 0, squares = 0;
  for (double const x : all) mean += x / static_cast<double>(all.size());
  for (double const x : all) squares += (x - mean) * (x - mean);
  double const sigma = std::sqrt(squares / static_cast<double>(all.size() - 1));
  CHECK(forecast.count() == 5001);
  CHECK(forecast.mean() == Approx(mean));
  CHECK(forecast.sigma() == Approx(sigma));
  CHECK(forecast.further(1000) == static_cast<std::int32_t>(std::ceil(mean + 1.5 * sigma)) - 1000);
  CHECK(GrowthForecast(3).further() == 0);
}

TEST_CASE("a forecast refuses what is no number of sigmas or tokens, and stays as it was") {
  for (double const sigmas : {std::nan(""), std::numeric_limits<double>::infinity(), 1e308, -1e308, 101.0})
    CHECK_THROWS_WITH(GrowthForecast(sigmas), contains("-100 to 100 standard deviations"));
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  GrowthForecast far(100), near(-100);
  for (std::int32_t const length : {0, most, 5, most}) {
    far.ended(length);
    near.ended(length);
  }
  CHECK(far.further() == most);
  CHECK(near.further() == 0);
  CHECK_THROWS_WITH(far.ended(-1), contains("at least 0 tokens, not -1"));
  CHECK_THROWS_WITH(far.further(-1), contains("at least 0 tokens, not -1"));
  CHECK(far.count() == 4);
  CHECK(far.mean() == Approx((2.0 * most + 5) / 4));
}

TEST_CASE("blocks are held ahead: others run out, the sequence does not, and what is unused is free again") {
  Cache cache(CacheConfig{.num_blocks = {10}});
  auto sequence = cache.create(5);  // 2 blocks
  auto other = cache.create();
  Reservation ahead;
  REQUIRE(ahead.try_reserve(sequence, 13));  // 18 tokens: 5 blocks
  CHECK(ahead.num_blocks() == 3);
  CHECK(cache.num_free_blocks() == 5);
  Stats const stats = cache.stats();
  CHECK(stats.live == 5);
  CHECK(stats.reserved == 3);
  CHECK(stats.groups[0].reserved == 3);
  CHECK(stats.slots_empty == 3 + 12);
  CHECK(sequence.blocks().size() == 2);
  CHECK_THAT(to_json(stats), contains("\"reserved\":3"));
  CHECK_FALSE(other.try_extend(21));
  REQUIRE(other.try_extend(20));
  for (int i = 0; i < 13; ++i) REQUIRE(ahead.try_extend(sequence, 1));
  CHECK(ahead.num_blocks() == 0);
  CHECK(sequence.num_tokens() == 18);
  CHECK(ahead.try_extend(sequence, 2));
  CHECK_FALSE(ahead.try_extend(sequence, 1));
  CHECK(sequence.num_tokens() == 20);
  other.release();
  REQUIRE(ahead.try_reserve(sequence, 20));
  CHECK(cache.num_free_blocks() == 0);
  REQUIRE(ahead.try_reserve(sequence, 4));  // it needs less than was thought
  CHECK(cache.num_free_blocks() == 4);
  ahead.release();
  CHECK(cache.num_free_blocks() == 5);
  CHECK(cache.stats().reserved == 0);
}

TEST_CASE("a reservation or an append that cannot be leaves everything as it was") {
  Cache cache(CacheConfig{.num_blocks = {10}});
  auto sequence = cache.create(5), other = cache.create(16);
  Reservation ahead;
  REQUIRE(ahead.try_reserve(sequence, 3));
  CHECK(ahead.num_blocks() == 0);  // the last block has room
  REQUIRE(ahead.try_reserve(sequence, 8));
  CHECK(ahead.num_blocks() == 2);
  Cache another(CacheConfig{.num_blocks = {10}});
  auto stranger = another.create();
  CHECK_THROWS_WITH(ahead.try_reserve(stranger, 1), contains("another cache"));
  CHECK_FALSE(ahead.try_reserve(sequence, 24));
  CHECK(ahead.num_blocks() == 2);
  CHECK_FALSE(ahead.try_extend(sequence, 24));
  CHECK(ahead.num_blocks() == 2);
  CHECK(cache.num_free_blocks() == 2);
  CHECK(sequence.num_tokens() == 5);
  CHECK(ahead.try_extend(sequence, 19));  // 2 held, 2 free
  CHECK(cache.num_free_blocks() == 0);
  CHECK_THROWS_WITH(ahead.try_reserve(sequence, -1), contains("cannot append -1"));
  CHECK_THROWS_WITH(ahead.try_extend(sequence, -1), contains("cannot append -1"));
  Sequence empty;
  CHECK_THROWS_WITH(ahead.try_reserve(empty, 1), contains("this Sequence is empty"));
  CHECK(ahead.num_blocks() == 0);
  CHECK(ahead.try_reserve(stranger, 1));
}

TEST_CASE("a reservation that holds nothing serves any cache, whatever it was asked before") {
  Cache one(CacheConfig{.num_blocks = {10}});
  Hybrid other(CacheConfig{.num_blocks = {10, 10}});
  auto a = one.create(5), b = one.create(3);
  auto c = other.create(5);
  Reservation ahead;
  CHECK_FALSE(ahead.try_reserve(a, 1000));  // refused
  REQUIRE(ahead.try_extend(c, 1));
  CHECK(one.num_free_blocks() == 7);
  REQUIRE(ahead.try_reserve(a, 3));  // nothing is needed
  REQUIRE(ahead.try_reserve(c, 20));
  CHECK(ahead.num_blocks(1) > 0);
  CHECK_THROWS_WITH(ahead.try_extend(b, 1), contains("another cache"));
  for (int i = 0; i < 20; ++i) REQUIRE(ahead.try_extend(c, 1));
  CHECK(ahead.num_blocks(0) + ahead.num_blocks(1) == 0);
  REQUIRE(ahead.try_reserve(b, 4));  // all was used
  CHECK(one.stats().reserved == 1);
  CHECK(other.stats().reserved == 0);
  REQUIRE(ahead.try_reserve(b, 0));  // all was given back
  auto gone = std::make_optional<Cache>(CacheConfig{.num_blocks = {10}});
  auto d = gone->create(4);
  REQUIRE(ahead.try_reserve(d, 8));
  CHECK(ahead.num_blocks() == 2);
}

TEST_CASE("what a reservation cannot be asked is refused in a sentence, and more than there can be is no") {
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  Cache cache(CacheConfig{.num_blocks = {10}});
  auto sequence = cache.create(5);
  Reservation ahead;
  CHECK_FALSE(ahead.try_reserve(sequence, most - 5, most));  // at once, without memory for so many ids
  CHECK_THROWS_WITH(ahead.try_reserve(sequence, most - 4), contains("at most 2147483647"));
  for (std::int32_t const step : {0, -1, -most})
    CHECK_THROWS_WITH(ahead.try_reserve(sequence, 1, step), contains("at least 1 token at a time, not"));
  CHECK_THROWS_WITH(ahead.num_blocks(1), contains("the model has no layer group 1; it has 1, counted from 0"));
  CHECK_THROWS_WITH(ahead.num_blocks(-1), contains("no layer group -1"));
  CHECK_THROWS_WITH(Reservation().num_blocks(max_groups), contains("no layer group 4"));
  CHECK(cache.stats().reserved == 0);
}

TEST_CASE("a reservation moves, keeps the memory alive, and ends by itself") {
  auto cache = std::make_optional<Cache>(CacheConfig{.num_blocks = {10}});
  auto sequence = cache->create(4);
  {
    Reservation first, second;
    REQUIRE(first.try_reserve(sequence, 8));
    second = std::move(first);
    CHECK(second.num_blocks() == 2);
    CHECK(first.num_blocks() == 0);  // NOLINT(bugprone-use-after-move): it is empty then
    REQUIRE(first.try_reserve(sequence, 4));
    CHECK(cache->num_free_blocks() == 6);
    Reservation third(std::move(second));
    first = std::move(third);
    CHECK(cache->num_free_blocks() == 7);
  }
  CHECK(cache->num_free_blocks() == 9);
  Reservation last;
  REQUIRE(last.try_reserve(sequence, 8));
  sequence.release();
  cache.reset();
  CHECK(last.num_blocks() == 2);
}

TEST_CASE("a reservation evicts what is only kept, and no more than it needs") {
  Cache cache(CacheConfig{.num_blocks = {10}});
  auto const prompt = tokens_of(1, 33);
  {
    auto left = cache.create(33);
    cache.insert(left, prompt);
  }
  CHECK(cache.num_cached_tokens(prompt) == 32);
  auto sequence = cache.create();
  Reservation ahead;
  REQUIRE(ahead.try_reserve(sequence, 16));
  CHECK(cache.num_cached_tokens(prompt) == 24);
  CHECK_FALSE(ahead.try_reserve(sequence, 44));
}

TEST_CASE("a reservation needs no block more than an append: the cache spares the copy of a prompt that it has whole") {
  Cache cache(CacheConfig{.num_blocks = {4}});
  auto const prompt = tokens_of(1, 16);
  {
    auto left = cache.create(16);
    cache.insert(left, prompt);
  }
  auto sequence = cache.create(prompt);
  REQUIRE(sequence.num_tokens() == 15);
  CHECK(sequence.num_blocks_to_extend(1) == 1);  // as things are, for a copy of the last block
  CHECK(sequence.fewest_blocks_to_extend(1) == 0);
  REQUIRE(sequence.can_extend(1));
  Reservation ahead;
  REQUIRE(ahead.try_reserve(sequence, 1));
  CHECK(ahead.num_blocks() == 0);
  CHECK(cache.num_free_blocks() == 0);
  CHECK(ahead.try_extend(sequence, 1));
  CHECK(cache.stats().counters.copies == 0);
  CHECK(cache.prefixes().counters().hit_tokens == 15);
}

TEST_CASE("what requests need at the least adds up, and is refused where somebody else needs the copy as well") {
  Cache cache(CacheConfig{.num_blocks = {4}});
  auto const prompt = tokens_of(1, 16);
  {
    auto left = cache.create(16);
    cache.insert(left, prompt);
  }
  auto one = cache.create(prompt), other = cache.create(prompt);
  CHECK(one.fewest_blocks_to_extend(1) == 1);
  CHECK_FALSE(one.can_extend(1));
  Reservation ahead;
  CHECK_FALSE(ahead.try_reserve(one, 1));
  CHECK(cache.num_cached_tokens(prompt) == 15);
  CHECK_THROWS_WITH(one.fewest_blocks_to_extend(-1), contains("cannot append -1"));
  CHECK_THROWS_WITH(one.fewest_blocks_to_extend(1, 1), contains("no layer group 1"));
  other.release();
  CHECK(ahead.try_reserve(one, 1));
}

TEST_CASE("in a group with a window a reservation holds what the window takes at most, less what the sequence has") {
  Hybrid cache({.num_blocks = {40, 40}});
  Sequence sequence = cache.create();
  for (int i = 0; i < 30; ++i) sequence.extend(1);
  auto const blocks = sequence.blocks(1);
  auto const own = std::count_if(blocks.begin(), blocks.end(), [](BlockId block) { return block != null_block; });
  REQUIRE(own ==
          8);  // that of the sinks, and tokens 9 to 29: a cache that keeps prefixes keeps a unit more than a window
  Reservation ahead;
  REQUIRE(ahead.try_reserve(sequence, 90));
  CHECK(ahead.num_blocks(1) == most_blocks_held(cache.shape(1), 120, 1 + cache.state()->store.slack()) - own);
  CHECK(ahead.num_blocks(1) == 1);
}

TEST_CASE("a sequence with a reservation never runs out, windows, forks and kept prefixes or not") {
  int num_reserved = 0, num_refused = 0;
  for (unsigned seed = 1; seed <= 400; ++seed) {
    std::mt19937 random(seed);
    // Either group, or both, is where blocks run out.
    Hybrid cache(CacheConfig{.num_blocks = {seed % 3 == 0 ? 200 : 18, seed % 3 == 1 ? 200 : 12}});
    auto sequence = cache.create(1 + below(random, 20));
    auto const tokens = tokens_of(1, 100);
    std::vector<Sequence> others;
    for (int i = below(random, 4); i > 0; --i) {
      if (below(random, 2) == 0) others.push_back(sequence.fork());
      if (below(random, 2) == 0)
        cache.insert(sequence, std::span(tokens).first(static_cast<std::size_t>(sequence.num_tokens())));
      if (below(random, 2) == 0) static_cast<void>(sequence.try_extend(1 + below(random, 5)));
    }
    std::int32_t const step = 1 + below(random, 6), grows = 1 + below(random, 60);
    Reservation ahead;
    if (!ahead.try_reserve(sequence, grows, step)) {
      ++num_refused;
      continue;
    }
    ++num_reserved;
    std::int64_t const held[] = {ahead.num_blocks(0), ahead.num_blocks(1)};
    std::vector<Sequence> hogs;  // a block of each group for each: a longer one would give back what left its window
    do {
      hogs.push_back(cache.create());
    } while (hogs.back().try_extend(1));
    for (std::int32_t left = grows; left > 0;) {
      std::int32_t const n = std::min(left, 1 + below(random, step));
      if (!ahead.try_extend(sequence, n)) FAIL("seed " << seed << ": " << left << " of " << grows << " are left");
      left -= n;
      Stats const stats = cache.stats();
      for (int g = 0; g < 2; ++g) {
        auto const& group = stats.groups[static_cast<std::size_t>(g)];
        REQUIRE(group.reserved == ahead.num_blocks(g));
        REQUIRE(group.reserved <= held[g]);
        REQUIRE(group.free + group.live + group.cached == group.total);
      }
    }
    if (others.empty()) CHECK(ahead.num_blocks(0) == 0);  // of the group without a window all were needed
  }
  CHECK(num_reserved > 200);
  CHECK(num_refused > 5);
}
