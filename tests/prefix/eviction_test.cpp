// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What a cache that keeps prefixes evicts, what it keeps, and how long it lives.
#include <folio/folio.hpp>
#include <memory>
#include <vector>

#include "prefix/prefix_programs.hpp"
#include "support/catch.hpp"
#include "support/model_sequence.hpp"

using namespace folio;
using folio::test::accounts_close;
using folio::test::contains;
using folio::test::count_from;
using folio::test::first_of;
using folio::test::FullPrefixCache;
using folio::test::PrefixModelSequence;
using folio::test::run;
using folio::test::serve;
using folio::test::SharedHostMemory;
using folio::test::Symbols;
using folio::test::operator+;

using Cache = FullPrefixCache<F32>;

TEST_CASE("prefixes are evicted when there is no other room, the oldest and deepest first") {
  Cache cache({.num_blocks = {6}});
  serve(cache, count_from(1, 8));
  auto const big = run(cache, count_from(100, 16));  // four blocks are free
  CHECK(cache.stats().prefixes.evicted_units == 0);
  auto const other = run(cache, count_from(200, 4));
  CHECK(cache.stats().prefixes.evicted_units == 1);
  CHECK(cache.num_cached_tokens(count_from(1, 8)) == 4);
  auto const last = run(cache, count_from(300, 4));
  CHECK(cache.num_cached_tokens(count_from(1, 8)) == 0);
  CHECK(cache.prefixes().num_nodes() == 0);
  CHECK_FALSE(cache.create().try_extend(1));
  CHECK_THROWS_AS(cache.create(1), OutOfBlocks);
  CHECK(big.difference() == "");
  CHECK(accounts_close(cache));
}

TEST_CASE("blocks that a sequence found are not evicted while it lives") {
  Cache cache({.num_blocks = {4}});
  serve(cache, count_from(1, 8));
  PrefixModelSequence<Cache> holder(cache, count_from(1, 9));
  serve(cache, count_from(50, 8));
  CHECK_FALSE(cache.create().try_extend(9));
  CHECK(holder.difference() == "");
  CHECK(cache.num_cached_tokens(count_from(1, 9)) == 8);
  holder.sequence().release();
  CHECK(cache.create().try_extend(9));
}

TEST_CASE("a lease whose prefix was split off above it moves there when nothing is left below") {
  Cache cache({.num_blocks = {20}});
  Symbols const stem = count_from(1, 14);
  {
    auto one = run(cache, stem + count_from(100, 2)), other = run(cache, stem + count_from(200, 2));
    one.insert();
    other.insert();
  }
  PrefixModelSequence<Cache> holder(
      cache, first_of(stem, 6) + count_from(900, 1));  // six tokens of the node that ends with 14
  CHECK(holder.size() == 6);
  serve(cache, first_of(stem, 13) + count_from(300, 3));           // which is split after the 13th
  cache.prefixes().evict_all();                                    // so that the 14th token is in no block any more
  CHECK(cache.num_cached_tokens(stem + count_from(100, 2)) == 8);  // the whole blocks of six tokens
  CHECK(holder.difference() == "");
  CHECK(accounts_close(cache));
  holder.sequence().release();
  cache.prefixes().evict_all();
  CHECK(cache.prefixes().num_nodes() == 0);
  CHECK(cache.num_free_blocks() == 20);
}

TEST_CASE("what a sequence lets go can be evicted, and stays its own") {
  Cache cache({.num_blocks = {6}});
  auto first = run(cache, count_from(1, 8));
  first.insert();
  cache.release_lease(first.sequence());
  cache.prefixes().evict_all();
  CHECK(cache.num_cached_tokens(count_from(1, 9)) == 0);
  CHECK(first.difference() == "");
  CHECK(accounts_close(cache));
  Cache other({.num_blocks = {6}});
  CHECK_THROWS_WITH(other.release_lease(first.sequence()),
                    contains("folio: release_lease needs a sequence of this cache"));
}

TEST_CASE("the prefix that a running sequence inserted stays while it lives") {
  Cache cache({.num_blocks = {4}});
  auto first = run(cache, count_from(1, 8));
  first.insert();
  serve(cache, count_from(50, 8));
  serve(cache, count_from(60, 8));
  CHECK(cache.num_cached_tokens(count_from(1, 9)) == 8);
  CHECK(cache.num_cached_tokens(count_from(60, 9)) == 8);
  CHECK(cache.num_cached_tokens(count_from(50, 9)) == 0);
}

TEST_CASE("a pinned prefix stays as long as a pin of it") {
  Cache cache({.num_blocks = {4}});
  auto& tree = cache.prefixes();
  Symbols const system = count_from(1, 9);
  serve(cache, system);
  PrefixMatch const match = tree.find(0, system, 9);
  CHECK_THROWS_WITH(static_cast<void>(tree.pin(match, 3)), contains("cannot pin 3 tokens"));
  CHECK_THROWS_WITH(static_cast<void>(tree.pin(match, 9)),
                    contains("folio: cannot pin 9 tokens of a prefix of which 8 are cached, in units of 4"));
  PrefixPin pin = tree.pin(match, 4);  // the first block only
  PrefixPin other = tree.pin(tree.find(0, system, 9), 4);
  cache.prefixes().evict_all();
  CHECK(cache.num_cached_tokens(system) == 4);
  CHECK_FALSE(cache.create().try_extend(16));
  PrefixPin moved = std::move(pin);
  moved.release();
  moved.release();  // again, and the one that was moved from: nothing happens, and the other's pin stays
  CHECK_FALSE(pin);
  CHECK_FALSE(moved);
  pin.release();
  cache.prefixes().evict_all();
  CHECK(cache.num_cached_tokens(system) == 4);
  moved = std::move(other);
  CHECK(moved);
  CHECK_FALSE(cache.create().try_extend(16));
  moved = PrefixPin();
  CHECK(cache.create().try_extend(16));
  CHECK(cache.num_cached_tokens(system) == 0);
}

TEMPLATE_TEST_CASE("a sequence that was preempted begins again with what it had", "", F32, Int8PerToken) {
  FullPrefixCache<TestType> cache({.num_blocks = {8}});
  Symbols const tokens = count_from(1, 14);
  {
    auto story = run(cache, tokens);
    CHECK(story.insert() == 12);
  }
  serve(cache, count_from(100, 12));  // takes the four other blocks, and the free rest of the first sequence's
  auto const resumed = run(cache, tokens);
  CHECK(resumed.sequence().num_cached_tokens() == 12);
  CHECK(resumed.difference() == "");
}

TEST_CASE("evicting all leaves what sequences hold and what is pinned") {
  Cache cache({.num_blocks = {30}});
  serve(cache, count_from(1, 9));
  serve(cache, count_from(100, 9));
  serve(cache, count_from(200, 9));
  auto story = run(cache, count_from(100, 9));
  auto& tree = cache.prefixes();
  PrefixPin pin = tree.pin(tree.find(0, count_from(200, 9), 9), 8);
  tree.evict_all();
  CHECK(cache.num_cached_tokens(count_from(1, 9)) == 0);
  CHECK(cache.num_cached_tokens(count_from(100, 9)) == 8);
  CHECK(cache.num_cached_tokens(count_from(200, 9)) == 8);
  CHECK(story.difference() == "");
  pin.release();
  tree.evict_all();
  CHECK(cache.num_cached_tokens(count_from(200, 9)) == 0);
  CHECK(accounts_close(cache));
}

TEST_CASE("sequences outlive a cache that keeps prefixes, and go on") {
  auto cache = std::make_unique<Cache>(CacheConfig{.num_blocks = {4}});
  serve(*cache, count_from(1, 8));
  Sequence found = cache->create(count_from(1, 9));
  Sequence other = cache->create(4);
  CHECK(found.num_cached_tokens() == 8);
  cache.reset();
  found.extend(4);
  Sequence child = found.fork();
  found.release();
  child.truncate(3);
  child.extend(1);  // may evict
  CHECK(child.num_tokens() == 4);
}

TEST_CASE("a cache with prefixes can be moved") {
  Cache first({.num_blocks = {8}});
  serve(first, count_from(1, 9));
  Cache second(std::move(first));
  auto const story = run(second, count_from(1, 9));
  CHECK(story.sequence().num_cached_tokens() == 8);
  CHECK(story.difference() == "");
}

TEST_CASE("where copies wait for the next step, a partly taken block comes right with it") {
  using Shared = FullPrefixCache<F32, SharedHostMemory>;
  Shared cache({.num_blocks = {4}});
  folio::test::poison(cache);
  serve(cache, count_from(1, 8));
  PrefixModelSequence<Shared> second(cache, count_from(1, 8));
  BlockId const cached = second.sequence().blocks()[1];
  CHECK(second.take_slots(Symbols{8}));
  CHECK(cache.stats().counters.copies == 1);
  // The block that is still to be read is evicted, and another sequence gets it, in the same step.
  PrefixModelSequence<Shared> third(cache, count_from(50, 8));
  CHECK(third.take_slots(count_from(50, 8)));
  CHECK((third.sequence().blocks()[0] == cached || third.sequence().blocks()[1] == cached));
  PrefixModelSequence<Shared> const* const both[] = {&third, &second};
  PrefixModelSequence<Shared>::write(cache, both);
  CHECK(second.difference() == "");
  CHECK(third.difference() == "");
}

TEST_CASE("where evicting a prefix makes a sequence the only holder of its last block, it appends without a copy") {
  Cache cache({.num_blocks = {4}});
  auto& tree = cache.prefixes();
  serve(cache, count_from(90, 4));
  PrefixPin const pin = tree.pin(tree.find(0, count_from(90, 4), 4), 4);  // cached, and cannot go
  auto story = run(cache, count_from(1, 8));
  story.insert();
  auto const other = run(cache, count_from(1, 4) + Symbols{50});  // parts the two blocks
  CHECK(story.insert(4) == 4);                                    // from here on the second one's prefix can go
  story.truncate(6);
  CHECK(cache.num_free_blocks() == 0);
  REQUIRE(story.try_extend(Symbols{70}));
  CHECK(cache.stats().counters.copies == 0);
  CHECK(story.difference() == "");
}
