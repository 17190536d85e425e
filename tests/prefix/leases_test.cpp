// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What sequences and pins keep from eviction, and what a request may count on: with the numbers of engines in trouble.
#include <algorithm>
#include <folio/eviction/adaptive.hpp>
#include <folio/eviction/fair.hpp>
#include <folio/eviction/lfu.hpp>
#include <folio/eviction/s3fifo.hpp>
#include <folio/folio.hpp>
#include <folio/observe/ideal_hit_rate.hpp>
#include <folio/reservation.hpp>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/prefix_ledger.hpp"

namespace {

using namespace folio;
using namespace folio::test;

inline constexpr ModelConfig small{.layers = 1, .kv_heads = 1, .head_dim = 8};
inline constexpr ModelConfig with_window{.layers = 2,
                                         .kv_heads = 1,
                                         .head_dim = 8,
                                         .groups = {full_attention(), sliding_window(64)},
                                         .pattern = repeat_groups({0, 1})};
using Cache = KvCache<Model<small>, BlockSize<16>, LruEviction>;
using WindowCache = KvCache<Model<with_window>, BlockSize<16>, LruEviction>;

/// A request that comes, is kept and goes.
template <class C>
void serve(C& cache, Symbols const& prompt) {
  Sequence sequence = cache.create(Prefix(prompt));
  sequence.extend(static_cast<std::int32_t>(prompt.size()) - sequence.num_tokens());
  cache.insert(sequence, prompt);
}

Symbols operator+(Symbols first, Symbols const& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

template <class C>
std::int64_t units(C const& cache) {
  return cache.prefix_gauges().all.units;
}

}  // namespace

TEST_CASE("a request that shares a few tokens with a long cached prompt keeps those, and the rest makes room for it") {
  for (std::int32_t const shared : {0, 1, 5, 16, 17, 31, 32, 1599}) {
    CAPTURE(shared);
    Cache cache({.num_blocks = {100}});
    Symbols const longer = count_from(0, 1600);
    serve(cache, longer);
    CHECK(cache.stats().groups[0].cached == 100);
    Symbols const prompt =
        Symbols(longer.begin(), longer.begin() + shared) + count_from(10'000, 800 - std::min(shared, 799));
    Sequence sequence = cache.create(Prefix(prompt));
    REQUIRE(sequence.num_tokens() == shared);
    CHECK(sequence.try_extend(800 - std::min(shared, 799)));
    CHECK(cache.num_obtainable_blocks() == 100 - cache.stats().groups[0].live);
  }
}

TEST_CASE("two requests that wait with a found prefix both proceed where there is room for both") {
  Cache cache({.num_blocks = {100}});
  serve(cache, count_from(0, 1600));
  Symbols const stem = count_from(0, 5);
  Symbols const one = stem + count_from(5000, 395), two = stem + count_from(6000, 395);
  Sequence first = cache.create(Prefix(one)), second = cache.create(Prefix(two));
  CHECK(first.num_tokens() == 5);
  CHECK(second.num_tokens() == 5);
  CHECK(first.try_extend(395));
  CHECK(second.try_extend(395));
}

TEST_CASE("groups of unlike block sizes: a sequence that found a part of a unit goes on as long as there are blocks") {
  constexpr ModelConfig two{.layers = 2,
                            .kv_heads = 1,
                            .head_dim = 8,
                            .groups = {full_attention(), full_attention()},
                            .pattern = repeat_groups({0, 1})};
  KvCache<Model<two>, BlockSizes<16, 64>, LruEviction> cache({.num_blocks = {80, 20}});
  Symbols const longer = count_from(0, 1280);
  serve(cache, longer);
  Sequence sequence = cache.create(Prefix(Symbols(longer.begin(), longer.begin() + 48) + count_from(9000, 1)));
  REQUIRE(sequence.num_tokens() == 48);
  std::int32_t appended = 0;
  while (appended < 1000 && sequence.try_extend(1)) ++appended;
  CHECK(appended == 1000);
}

TEST_CASE("a sequence that inserts into another's longer prefix keeps what it inserted, and no more") {
  Cache cache({.num_blocks = {60}});
  Symbols const longer = count_from(0, 960);
  serve(cache, longer);
  Sequence sequence = cache.create(64);  // computed anew, as if it had not been looked up
  CHECK(cache.insert(sequence, Symbols(longer.begin(), longer.begin() + 64)) == 64);
  std::int32_t appended = 0;
  while (appended < 896 && sequence.try_extend(1)) ++appended;
  CHECK(appended == 896);
}

TEST_CASE("what a truncated sequence had and has no more can go") {
  Cache cache({.num_blocks = {10}});
  Sequence sequence = cache.create(160);
  cache.insert(sequence, count_from(0, 160));
  sequence.truncate(20);
  CHECK(sequence.num_cached_tokens() == 0);
  CHECK(cache.num_obtainable_blocks() == 8);
  CHECK(cache.create().try_extend(128));
  Sequence again = cache.create(Prefix(count_from(0, 40)));
  CHECK(again.num_tokens() == 32);
  again.truncate(3);
  CHECK(again.num_cached_tokens() == 3);
}

TEST_CASE("a prompt that is cached whole needs no block more than the first time") {
  for (std::int64_t const blocks : {1, 4, 8}) {
    CAPTURE(blocks);
    Cache cache({.num_blocks = {blocks}});
    Symbols const prompt = count_from(0, static_cast<std::int32_t>(blocks) * 16);
    for (int turn = 0; turn < 3; ++turn) {
      Sequence sequence = cache.create(Prefix(prompt));
      CHECK(sequence.num_tokens() == (turn == 0 ? 0 : static_cast<std::int32_t>(prompt.size()) - 1));
      REQUIRE(sequence.try_extend(static_cast<std::int32_t>(prompt.size()) - sequence.num_tokens()));
      CHECK(cache.stats().counters.copies == 0);
      cache.insert(sequence, prompt);
    }
    Sequence one = cache.create(Prefix(prompt)), other = cache.create(Prefix(prompt));
    CHECK_FALSE(one.try_extend(1));  // both need the last block: one would have to have a copy
    other.release();
    CHECK(one.try_extend(1));
  }
}

TEST_CASE("whether an append succeeds can be asked, also where it would succeed because the tree gives something up") {
  Cache cache({.num_blocks = {4}});
  Symbols const prompt = count_from(0, 64);
  serve(cache, prompt);
  Sequence again = cache.create(Prefix(prompt));
  CHECK(again.can_extend(1));
  CHECK_FALSE(again.can_extend(2));
  CHECK(cache.num_obtainable_blocks() == 0);
  CHECK(again.try_extend(1));
  CHECK_FALSE(again.can_extend(1));
  CHECK_FALSE(again.try_extend(1));
  WindowCache windows({.num_blocks = {100, 10}});
  Sequence running = windows.create(150);
  windows.insert(running, count_from(0, 144));
  CHECK(running.can_extend(10));
  CHECK(running.try_extend(10));
  CHECK_THROWS_AS(running.can_extend(-1), Error);
}

TEST_CASE("with a window a prompt is found again after its answer, and the insertion keeps no more than its window") {
  WindowCache cache({.num_blocks = {100, 100}});
  Symbols const prompt = count_from(0, 410);
  Sequence sequence = cache.create(Prefix(prompt));
  sequence.extend(410);
  for (int i = 0; i < 8; ++i) sequence.extend(1);
  CHECK(cache.insert(sequence, prompt) == 400);
  CHECK(cache.num_cached_tokens(Prefix(prompt)) == 400);
  sequence.release();
  CHECK(cache.stats().groups[1].cached <= 64 / 16 + 2);  // the window, what its edges cut, and a unit
}

TEST_CASE("with a window and a larger unit a prompt that ends a little earlier is found at the last whole unit") {
  KvCache<Model<with_window>, BlockSizes<32, 16>, LruEviction> cache({.num_blocks = {100, 100}});
  Symbols const prompt = count_from(0, 410);
  Sequence sequence = cache.create(Prefix(prompt));
  for (std::int32_t t = 0; t < 410; t += 32) sequence.extend(std::min(32, 410 - t));
  CHECK(cache.insert(sequence, prompt) == 384);
  for (std::int32_t const earlier : {31, 40, 58}) {
    CAPTURE(earlier);
    Symbols other(prompt.begin(), prompt.begin() + 410 - earlier);
    std::int32_t const found = cache.num_cached_tokens(Prefix(other + count_from(9000, 40)));
    CHECK(found >= 352);
    CHECK(found <= 410 - earlier);
  }
}

TEST_CASE("a window's blocks of a long inserted prompt make room while it runs") {
  WindowCache cache({.num_blocks = {200, 30}});
  Symbols const prompt = count_from(0, 1600);
  Sequence sequence = cache.create(Prefix(prompt));
  for (std::int32_t t = 0; t < 1600; t += 16) {  // inserted chunk by chunk: the tree keeps the blocks of every window
    REQUIRE(sequence.try_extend(16));
    CHECK(cache.insert(sequence, Symbols(prompt.begin(), prompt.begin() + t + 16)) == t + 16);
  }
  CHECK(cache.num_cached_tokens(Prefix(prompt)) == 1599);
}

TEST_CASE("an append that is refused changes nothing, whichever group is short") {
  Cache cache({.num_blocks = {100}});
  serve(cache, count_from(0, 800));
  PrefixPin const pin = cache.prefixes().pin(cache.prefixes().find(0, count_from(0, 800), 800), 800);
  serve(cache, count_from(10'000, 800));
  REQUIRE(cache.stats().groups[0].cached == 100);
  CHECK(cache.num_obtainable_blocks() == 50);
  Sequence sequence = cache.create();
  CHECK_FALSE(sequence.try_extend(60 * 16));
  CHECK(cache.stats().groups[0].cached == 100);
  CHECK(units(cache) == 100);
  Reservation ahead;
  CHECK_FALSE(ahead.try_reserve(sequence, 60 * 16));
  CHECK(cache.stats().groups[0].cached == 100);
  try {
    sequence.extend(60 * 16);
    FAIL("there was no room");
  } catch (OutOfBlocks const& refused) {
    CHECK(refused.asked() == 60);
    CHECK(refused.free() == 0);
    CHECK(refused.evictable() == 50);
  }
  CHECK(cache.stats().groups[0].cached == 100);
  CHECK(sequence.try_extend(50 * 16));
  CHECK(cache.num_obtainable_blocks() == 0);
}

TEST_CASE("an append that the second group refuses evicts nothing in the first") {
  constexpr ModelConfig two{.layers = 2,
                            .kv_heads = 1,
                            .head_dim = 8,
                            .groups = {full_attention(), full_attention()},
                            .pattern = repeat_groups({0, 1})};
  KvCache<Model<two>, BlockSize<16>, LruEviction> cache({.num_blocks = {100, 110}});
  serve(cache, count_from(0, 90 * 16));
  Sequence holder = cache.create(5 * 16);  // of the second group, 15 are left
  Sequence sequence = cache.create();
  CHECK_FALSE(sequence.try_extend(108 * 16));
  Reservation ahead;
  CHECK_FALSE(ahead.try_reserve(sequence, 108 * 16));
  CHECK(cache.stats().groups[0].cached == 90);
  CHECK(cache.stats().groups[1].cached == 90);
}

TEST_CASE("insertion takes blocks away from tables that were made before: they are stale, and say so") {
  Cache cache({.num_blocks = {20}});
  Symbols const prompt = count_from(0, 32);
  Sequence first = cache.create(32), second = cache.create(32);
  cache.insert(first, prompt);
  auto const batch = cache.batch({&second});
  CHECK_FALSE(batch.is_stale());
  CHECK(batch.view().num_sequences() == 1);
  cache.insert(second, prompt);  // takes the first one's blocks
  CHECK(batch.is_stale());
#ifndef NDEBUG
  CHECK_THROWS_WITH(batch.view(), contains("this batch is stale"));
#endif
  auto const again = cache.batch({&second});
  cache.insert(second, prompt);  // nothing to do
  second.extend(1);              // a block more
  CHECK_FALSE(again.is_stale());
  Sequence child = second.fork();
  second.extend(1);  // which copies the last block
  CHECK(again.is_stale());
  auto const last = cache.batch({&child});
  child.release();
  CHECK(last.is_stale());
}

TEST_CASE("tables are filled by the cache that they are of") {
  Cache cache({.num_blocks = {4}}), other({.num_blocks = {4}});
  Sequence const a = cache.create(3), b = other.create(3);
  auto batch = cache.batch({&a});
  CHECK_THROWS_WITH(other.batch({&b}, batch), contains("this batch is of another cache"));
  CHECK(batch.num_sequences() == 1);
}

TEST_CASE("who waits uses nothing: a use counts once, with the first slots") {
  Cache cache({.num_blocks = {20}});
  Symbols const prompt = count_from(0, 161);
  serve(cache, prompt);
  PrefixCounters const before = cache.prefixes().counters();
  CHECK(before.lookups == 1);
  Sequence blocker = cache.create(10 * 16);
  for (int i = 0; i < 100; ++i) {
    CHECK(cache.num_cached_tokens(Prefix(prompt)) == 160);  // the way to look without counting
    Sequence waiting = cache.create(Prefix(prompt));
    CHECK(waiting.num_tokens() == 160);
    CHECK_FALSE(waiting.try_extend(20));
  }
  CHECK(cache.prefixes().counters().lookups == 1);
  CHECK(cache.prefixes().counters().hit_tokens == 0);
  blocker.release();
  Sequence served = cache.create(Prefix(prompt));
  CHECK(served.try_extend(1));
  CHECK(served.try_extend(1));
  CHECK(cache.prefixes().counters().lookups == 2);
  CHECK(cache.prefixes().counters().hit_tokens == 160);
  CHECK(cache.prefixes().counters().missed_tokens == 161 + 1);
}

TEST_CASE("a request that waits and is forked is one use: it counts when either gets slots") {
  Symbols const prompt = count_from(0, 40);
  for (bool const fork_runs_first : {true, false}) {
    Cache cache({.num_blocks = {20}});
    serve(cache, prompt);
    PrefixCounters const& counters = cache.prefixes().counters();
    Sequence parent = cache.create(Prefix(prompt));
    REQUIRE(parent.num_cached_tokens() == 32);
    Sequence child = parent.fork(), other = child.fork();
    CHECK(child.num_cached_tokens() == 32);
    other.extend(0);
    CHECK(counters.lookups == 1);  // serve's
    Sequence& first = fork_runs_first ? child : parent;
    Sequence& second = fork_runs_first ? parent : child;
    first.extend(8);
    CHECK(counters.lookups == 2);
    CHECK(counters.hit_tokens == 32);
    CHECK(counters.missed_tokens == 48);
    second.extend(8);
    other.extend(8);
    CHECK(counters.lookups == 2);
    CHECK(counters.hit_tokens == 32);
    if (fork_runs_first) continue;
    child = parent.fork();  // it has run, and so has its fork
    child.extend(1);
    CHECK(counters.lookups == 2);
    CHECK(child.num_cached_tokens() == 32);
    child.truncate(20);
    CHECK(child.fork().num_cached_tokens() == 20);
  }
  Cache cache({.num_blocks = {20}});
  serve(cache, prompt);
  Sequence child = cache.create(Prefix(prompt)).fork();  // whose parent is gone before it runs
  child.extend(8);
  CHECK(cache.prefixes().counters().lookups == 2);
}

TEST_CASE("no slots are no use") {
  Cache cache({.num_blocks = {20}});
  serve(cache, count_from(0, 40));
  PrefixCounters const& counters = cache.prefixes().counters();
  Sequence sequence = cache.create(Prefix(count_from(0, 40)));
  CHECK(sequence.try_extend(0));
  sequence.extend(0);
  CHECK(counters.lookups == 1);
  CHECK(counters.hit_tokens == 0);
  sequence.extend(8);
  CHECK(counters.lookups == 2);
  CHECK(counters.hit_tokens == 32);
}

TEST_CASE("lfu: a request that gave up waiting does not outlive what was served") {
  KvCache<Model<small>, BlockSize<16>, LfuEviction> cache({.num_blocks = {6}});
  Symbols const served = count_from(0, 33), waited = count_from(1000, 33);
  for (int i = 0; i < 3; ++i) serve(cache, served);
  serve(cache, waited);
  {
    PrefixPin const pin = cache.prefixes().pin(cache.prefixes().find(0, served, 32), 32);
    for (int i = 0; i < 10; ++i) {
      Sequence waiting = cache.create(Prefix(waited));
      CHECK_FALSE(waiting.try_extend(40));
    }
  }
  CHECK(cache.create().try_extend(64));
  CHECK(cache.num_cached_tokens(Prefix(served)) == 32);
  CHECK(cache.num_cached_tokens(Prefix(waited)) == 0);
}

TEST_CASE("lru: a prefix that was in use until now outlives one that was used and left meanwhile") {
  Symbols const longer = count_from(0, 33);
  Cache cache({.num_blocks = {5}});
  serve(cache, longer);
  Sequence works = cache.create(Prefix(longer));
  works.extend(1);
  serve(cache, count_from(1000, 17));
  works.release();
  CHECK(cache.create().try_extend(3 * 16));
  CHECK(cache.num_cached_tokens(Prefix(longer)) == 32);
  CHECK(cache.num_cached_tokens(Prefix(count_from(1000, 17))) == 0);
}

namespace {

/// Says of the first leaf that it was used as often as can be counted, and looks what becomes of that.
struct UsedForever : LruEviction {
  void add(EvictionEntry& entry) noexcept {
    if (num_added++ == 0) entry.hits = std::numeric_limits<std::int32_t>::max();
    hits = entry.hits;
    LruEviction::add(entry);
  }
  std::int32_t num_added = 0;
  static inline std::int32_t hits = 0;
};

}  // namespace

TEST_CASE("uses are counted as far as they can be") {
  KvCache<Model<small>, BlockSize<16>, UsedForever> cache({.num_blocks = {8}});
  for (int i = 0; i < 4; ++i) {
    serve(cache, count_from(0, 33));
    CHECK(UsedForever::hits == std::numeric_limits<std::int32_t>::max());
  }
}

TEMPLATE_TEST_CASE("a sequence that inserts as it goes on is one node, and what it found another", "", LruEviction,
                   S3FifoEviction, AdaptiveEviction, FairEviction<LruEviction>) {
  auto const step = GENERATE(1, 16);  // whether there are insertions that bring nothing new
  KvCache<Model<small>, BlockSize<16>, TestType> cache({.num_blocks = {200}});
  Symbols const prompt = count_from(0, 1000);
  auto const grow = [&](Sequence& sequence, std::int32_t end) {
    while (sequence.num_tokens() < end) {
      sequence.extend(std::min(step, end - sequence.num_tokens()));
      cache.insert(sequence, std::span(prompt).first(static_cast<std::size_t>(sequence.num_tokens())));
    }
  };
  Sequence first = cache.create();
  grow(first, 800);
  CHECK(cache.prefixes().num_nodes() == 2);  // with the root
  Sequence second = cache.create(Prefix(std::span(prompt).first(401)));
  REQUIRE(second.num_tokens() == 400);
  second.extend(1);
  CHECK(cache.prefixes().num_nodes() == 3);  // what both use is apart from what one does
  second.release();
  grow(first, 1000);
  CHECK(cache.prefixes().num_nodes() == 3);
  first.release();
  CHECK(cache.num_cached_tokens(prompt) == 992);
  cache.prefixes().evict_all();
  CHECK(cache.num_free_blocks() == 200);
}

TEST_CASE("lru: a request that gave up waiting did not use what it found, and an insertion does") {
  Cache cache({.num_blocks = {6}});
  Symbols const older = count_from(0, 17), newer = count_from(1000, 17);
  serve(cache, older);
  serve(cache, newer);
  cache.create(Prefix(older)).release();  // it never got slots
  CHECK(cache.create().try_extend(5 * 16));
  CHECK(cache.num_cached_tokens(Prefix(older)) == 0);
  CHECK(cache.num_cached_tokens(Prefix(newer)) == 16);

  Cache other({.num_blocks = {6}});
  serve(other, older);
  Sequence again = other.create(17);
  serve(other, newer);
  other.insert(again, older);  // a use; then nothing is left that the release could use
  again.truncate(0);
  again.release();
  CHECK(other.create().try_extend(5 * 16));
  CHECK(other.num_cached_tokens(Prefix(older)) == 16);
  CHECK(other.num_cached_tokens(Prefix(newer)) == 0);
}

TEST_CASE("a batch is stale when a window gave a block back, a sequence was cut, or tokens were taken out") {
  KvCache<Model<with_window>, BlockSize<16>> cache({.num_blocks = {40, 40}});
  Sequence sequence = cache.create(200);
  auto const before = cache.batch({&sequence});
  sequence.extend(1);
  CHECK(before.is_stale());
  auto const cut = cache.batch({&sequence});
  sequence.truncate(200);
  CHECK_FALSE(cut.is_stale());  // the 201st token was in a block with others
  sequence.truncate(191);
  CHECK(cut.is_stale());
  KvCache<Model<small>, BlockSize<16>> plain({.num_blocks = {40}});
  Sequence long_one = plain.create(100);
  auto const whole = plain.batch({&long_one});
  long_one.cut(16, 32);
  CHECK(whole.is_stale());
}

TEST_CASE("a waiting request that lets go of what it found is counted when it gets slots") {
  KvCache<Model<small>, BlockSize<16>, LruEviction, IdealHitRate> cache({.num_blocks = {8}});
  Symbols const prompt = count_from(0, 33);
  serve(cache, prompt);
  Sequence waiting = cache.create(Prefix(prompt));
  cache.release_lease(waiting);
  CHECK(cache.num_obtainable_blocks() == 6);
  waiting.extend(1);
  CHECK(cache.prefixes().sink().num_units() == 4);
  CHECK(cache.prefixes().counters().lookups == 2);
  CHECK(cache.prefixes().counters().hit_tokens == 32);
}

TEST_CASE("a cleared tree finds nothing, whoever runs or is pinned, and takes nothing from before") {
  Cache cache({.num_blocks = {20}});
  Symbols const prompt = count_from(0, 33);
  serve(cache, prompt);
  Sequence running = cache.create(Prefix(prompt));
  running.extend(1);
  Sequence const child = running.fork();
  PrefixPin pin = cache.prefixes().pin(cache.prefixes().find(0, prompt, 32), 32);
  cache.prefixes().clear();
  CHECK(cache.num_cached_tokens(Prefix(prompt)) == 0);
  CHECK(cache.prefixes().num_nodes() == 0);
  CHECK(cache.insert(running, prompt) == 0);
  Sequence second = child.fork();
  CHECK(cache.insert(second, prompt) == 0);
  CHECK(cache.num_cached_tokens(Prefix(prompt)) == 0);
  serve(cache, prompt);  // with the new weights
  CHECK(cache.num_cached_tokens(Prefix(prompt)) == 32);
  pin.release();  // of before: nothing happens
  CHECK(running.num_tokens() == 33);
  running.release();
  second.release();
  CHECK(cache.num_cached_tokens(Prefix(prompt)) == 32);
  PrefixPin kept = cache.prefixes().pin(cache.prefixes().find(0, prompt, 32), 32);
  CHECK(cache.num_obtainable_blocks() == 18 - 3);  // two that are pinned, three that `child` holds
}

TEST_CASE("a pin may outlive the cache") {
  auto cache = std::make_unique<Cache>(CacheConfig{.num_blocks = {4}});
  serve(*cache, count_from(0, 33));
  PrefixPin pin = cache->prefixes().pin(cache->prefixes().find(0, count_from(0, 33), 32), 32);
  cache.reset();
  CHECK(pin);
  pin.release();
  CHECK_FALSE(pin);
}

TEST_CASE("scheduling ahead: tokens in flight can be taken back in groups with a window") {
  using Plain = KvCache<Model<with_window>, BlockSize<16>>;
  Plain cache({.num_blocks = {100, 100}, .tokens_in_flight = 16});
  Plain strict({.num_blocks = {100, 100}});
  int refused = 0;
  for (std::int32_t size = 100; size < 132; ++size) {
    Sequence sequence = cache.create(size);
    sequence.extend(5);
    sequence.extend(5);
    CHECK_NOTHROW(sequence.truncate(size + 1));
    Sequence other = strict.create(size);
    other.extend(5);
    other.extend(5);
    try {
      other.truncate(size + 1);
    } catch (Error const& error) {
      CHECK_THAT(error.what(), contains("CacheConfig::tokens_in_flight"));
      ++refused;
    }
  }
  CHECK(refused > 0);
  CHECK_THROWS_WITH(Plain({.num_blocks = {9, 9}, .tokens_in_flight = -1}), contains("tokens_in_flight is -1"));
}

TEST_CASE("what a sequence with a window holds at the most is what planning says, tokens in flight included") {
  for (std::int32_t const in_flight : {0, 5, 40}) {
    KvCache<Model<with_window>, BlockSize<16>> cache({.num_blocks = {100, 100}, .tokens_in_flight = in_flight});
    Sequence sequence = cache.create();
    std::int64_t most = 0;
    for (std::int32_t t = 1; t <= 400; ++t) {
      sequence.extend(1);
      most = std::max(most, cache.stats().groups[1].live + 0);
    }
    CHECK(cache.bytes_per_sequence(400) == 25 * cache.block_bytes(0) + most * cache.block_bytes(1));
  }
}

TEST_CASE("what a sequence cut is kept from eviction for nobody, and a prefix is what is before the cut") {
  KvCache<Model<ModelConfig{.layers = 1, .kv_heads = 1, .head_dim = 8}>, BlockSize<4>, F32, LruEviction> cache(
      {.num_blocks = {10}});
  Symbols const prompt = count_from(0, 40);
  Sequence sequence = cache.create(40);
  CHECK(cache.insert(sequence, prompt) == 40);
  CHECK(cache.num_obtainable_blocks() == 0);
  sequence.cut(16, 20);  // blocks 4 to 8: cached for others, and nobody's
  CHECK(sequence.num_exact_tokens() == 16);
  CHECK(cache.num_cached_tokens(prompt) == 39);
  CHECK(cache.num_obtainable_blocks() == 5);
  sequence.extend(20);
  CHECK(cache.num_obtainable_blocks() == 0);
  CHECK(cache.num_cached_tokens(prompt) == 16);
  CHECK(cache.insert(sequence, prompt) == 16);
  Sequence other = cache.create(prompt);
  CHECK(other.num_tokens() == 16);
}

TEST_CASE("a cut lets go of the whole unit in which it is, where a group has small blocks and another a large one") {
  constexpr ModelConfig two{.layers = 2,
                            .kv_heads = 1,
                            .head_dim = 8,
                            .groups = {full_attention(), full_attention()},
                            .pattern = repeat_groups({0, 1})};
  KvCache<Model<two>, BlockSizes<4, 64>, F32, LruEviction> cache({.num_blocks = {20, 4}});
  Symbols const prompt = count_from(0, 64);
  Sequence sequence = cache.create(64);
  CHECK(cache.insert(sequence, prompt) == 64);
  sequence.cut(4, 60, 0);
  CHECK(cache.num_obtainable_blocks(0) == 19);
  CHECK(cache.create().can_extend(76));
  sequence.extend(4);
  CHECK(cache.num_obtainable_blocks(0) == 18);
}

TEST_CASE("what a request found counts as found, though tokens were cut before it got slots") {
  KvCache<Model<ModelConfig{.layers = 1, .kv_heads = 1, .head_dim = 8}>, BlockSize<4>, F32, LruEviction> cache(
      {.num_blocks = {40}});
  Symbols const prompt = count_from(0, 41);
  {
    Sequence first = cache.create(41);
    CHECK(cache.insert(first, prompt) == 40);
  }
  Sequence second = cache.create(prompt);
  REQUIRE(second.num_tokens() == 40);
  second.cut(4, 32);
  second.extend(1);
  CHECK(second.num_cached_tokens() == 40);
  CHECK(cache.prefixes().counters().hit_tokens == 40);
  CHECK(cache.prefixes().counters().missed_tokens == 1);
}
