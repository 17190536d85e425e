// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What a cache that keeps prefixes promises besides finding them: retention, its clock, tenants, and one place for each
// block.
#include <folio/eviction/priority_ttl.hpp>
#include <folio/folio.hpp>

#include "prefix/prefix_programs.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::accounts_close;
using folio::test::contains;
using folio::test::count_from;
using folio::test::EvictingPrefixCache;
using folio::test::first_of;
using folio::test::FullPrefixCache;
using folio::test::HybridPrefixCache;
using folio::test::PrefixModelSequence;
using folio::test::run;
using folio::test::serve;
using folio::test::Symbols;
using folio::test::operator+;

using Cache = FullPrefixCache<F32>;
using TtlCache = EvictingPrefixCache<PriorityTtlEviction>;

TEST_CASE("what a sequence and its forks insert has the sequence's retention, until that expires") {
  TtlCache cache({.num_blocks = {40}});
  Symbols const stem = count_from(1, 8), tail = count_from(50, 4), other = count_from(100, 8);
  {
    auto parent = run(cache, stem);
    parent.sequence().set_retention({.priority = 90, .expires = 50});
    auto child = parent.fork();
    child.extend(tail);
    CHECK(child.insert() == 12);
    CHECK(child.sequence().state().prefix.retention.priority == 90);
  }
  serve(cache, other);
  CHECK(cache.create().state().prefix.retention.priority ==
        Retention::default_priority);  // also of an entry used before
  CHECK(cache.create().state().prefix.retention.expires == Retention().expires);
  for (int i = 0; i < 2; ++i) REQUIRE(cache.prefixes().evict_unit());
  CHECK(cache.num_cached_tokens(other + Symbols{0}) == 0);  // used later, and of a lower priority
  CHECK(cache.num_cached_tokens(stem + tail + Symbols{0}) == 12);

  serve(cache, other);
  cache.prefixes().set_time(50);  // from here on they are equal, and what was used first goes
  for (int i = 0; i < 3; ++i) REQUIRE(cache.prefixes().evict_unit());
  CHECK(cache.num_cached_tokens(stem + tail + Symbols{0}) == 0);
  CHECK(cache.num_cached_tokens(other + Symbols{0}) == 8);
}

TEST_CASE("what a sequence inserts without retention goes before what has a higher priority, and after a lower one") {
  TtlCache cache({.num_blocks = {40}});
  for (std::int32_t const priority : {60, 10}) {
    auto story = run(cache, count_from(priority * 10, 4));
    story.sequence().set_retention({.priority = priority});
    story.insert();
  }
  serve(cache, count_from(1, 4));
  auto const cached = [&](std::int32_t first) { return cache.num_cached_tokens(count_from(first, 5)); };
  REQUIRE(cache.prefixes().evict_unit());
  CHECK((cached(600) == 4 && cached(100) == 0 && cached(1) == 4));
  REQUIRE(cache.prefixes().evict_unit());
  CHECK((cached(600) == 4 && cached(1) == 0));
}

TEST_CASE("a retention that is none is refused, and what a sequence or an index is read by changes nothing") {
  TtlCache cache({.num_blocks = {40}});
  Sequence sequence = cache.create();
  sequence.set_retention({.priority = 70});
  for (std::int32_t const priority : {-1, 101})
    CHECK_THROWS_WITH(sequence.set_retention({.priority = priority}),
                      contains("a priority of " + std::to_string(priority) + " is not known"));
  CHECK(sequence.state().prefix.retention.priority == 70);
  CHECK_THROWS_WITH(Sequence().set_retention({}), contains("this Sequence is empty"));
  STATIC_REQUIRE(std::is_same_v<decltype(sequence.state()), SequenceState const&>);
  STATIC_REQUIRE(std::is_const_v<std::remove_reference_t<decltype(std::as_const(cache).prefixes())>>);
}

TEST_CASE("gauges of a cache: blocks are free, live or cached") {
  TtlCache cache({.num_blocks = {40}});
  serve(cache, count_from(0, 12));
  Sequence const sequence = cache.create(Prefix(count_from(0, 6)));
  CHECK(cache.num_free_blocks() == 37);
  CHECK(cache.num_live_blocks() == 2);
  CHECK(cache.num_cached_blocks() == 1);
  CHECK_THROWS_WITH(cache.num_live_blocks(1), contains("no layer group 1"));
  CHECK_THROWS_WITH(cache.num_cached_blocks(-1), contains("no layer group -1"));
}

TEST_CASE("the clock of a tree does not go back") {
  TtlCache cache({.num_blocks = {40}});
  auto& tree = cache.prefixes();
  tree.set_time(10);
  tree.set_time(4);
  CHECK(tree.time() == 10);
  {
    auto story = run(cache, count_from(1, 4));
    story.sequence().set_retention({.priority = 90, .expires = 8});
    story.insert();
  }
  tree.set_time(7);  // else its priority would still hold
  serve(cache, count_from(100, 4));
  REQUIRE(tree.evict_unit());
  CHECK(cache.num_cached_tokens(count_from(1, 5)) == 0);
  tree.set_time(13);
  REQUIRE(tree.evict_unit());
  CHECK(tree.counters().evicted_age == 3.0);  // not used from 10 to 13
}

TEST_CASE("a sequence that is made where another was brings nothing of its tenant, nor of what it found") {
  Cache cache({.num_blocks = {10}});
  serve(cache, count_from(1, 8), 0, 5);
  CHECK(serve(cache, count_from(1, 8), 0, 5) == 7);
  Sequence sequence = cache.create();
  CHECK(sequence.state().prefix.tenant == 0);
  CHECK(sequence.num_cached_tokens() == 0);
  sequence.extend(4);
  CHECK(cache.insert(sequence, count_from(100, 4)) == 4);
  auto const gauges = cache.prefix_gauges();
  REQUIRE(gauges.tenants.size() == 2);
  CHECK((gauges.tenants[0].tenant == 0 && gauges.tenants[0].units == 1 && gauges.tenants[0].live_blocks == 1));
  CHECK((gauges.tenants[1].tenant == 5 && gauges.tenants[1].units == 2 && gauges.tenants[1].live_blocks == 0));
}

TEST_CASE("a block is in the tree once: blocks that one prefix has are not inserted under another") {
  Cache cache({.num_blocks = {10}});
  auto story = run(cache, count_from(1, 8));
  CHECK(story.insert() == 8);
  auto const before = cache.stats();
  Symbols const others = count_from(100, 8);
  CHECK(cache.insert(story.sequence(), others) == 0);
  CHECK(cache.insert(story.sequence(), {others, 3}) == 0);
  CHECK(cache.num_cached_tokens(others + Symbols{0}) == 0);
  CHECK(cache.stats().prefixes.stored_units == before.prefixes.stored_units);

  story.extend(count_from(9, 4));  // a block that no prefix has, after two that one has
  CHECK(cache.insert(story.sequence(), count_from(100, 12)) == 0);
  story.sequence().release();
  cache.prefixes().clear();
  CHECK(cache.num_free_blocks() == 10);
  CHECK(cache.prefixes().num_nodes() == 0);
  CHECK(accounts_close(cache));
}

TEST_CASE("what a prefix lacks before its window is not taken from another prefix") {
  HybridPrefixCache<F32> cache({.num_blocks = {40, 60, 30}});
  Symbols const tokens = count_from(1, 36);
  {
    PrefixModelSequence<HybridPrefixCache<F32>> story(cache, tokens);
    for (std::int32_t const token : tokens) story.extend({token});  // so that its window gives blocks back
    CHECK(story.insert() == 36);
  }
  {
    PrefixModelSequence<HybridPrefixCache<F32>> story(cache, {tokens, 1});
    story.extend(tokens);  // at once: it has every block
    CHECK(story.insert() == 36);
    auto const stored = cache.stats().prefixes.stored_units;
    CHECK(cache.insert(story.sequence(), tokens) == 36);  // and the first scope's prefix has them not
    CHECK(cache.stats().prefixes.stored_units == stored);
  }
  CHECK(cache.num_cached_tokens({first_of(tokens, 21), 1}) == 20);
  CHECK(cache.num_cached_tokens(first_of(tokens, 21)) < 20);
  CHECK(accounts_close(cache));
  cache.prefixes().clear();
  for (int g = 0; g < 3; ++g) CHECK(cache.num_free_blocks(g) == cache.num_blocks(g));
}

TEST_CASE("a sequence that begins with a prefix gives back what leaves its window as every other gives back") {
  HybridPrefixCache<F32> cache({.num_blocks = {40, 60, 30}});
  Symbols const tokens = count_from(1, 60);
  {
    PrefixModelSequence<HybridPrefixCache<F32>> story(cache, tokens);
    story.extend(first_of(tokens, 36));
    CHECK(story.insert() == 36);
  }
  auto const count = [](Sequence const& sequence) {
    auto const blocks = sequence.blocks(1);
    return std::count_if(blocks.begin(), blocks.end(), [](BlockId block) { return block != null_block; });
  };
  PrefixModelSequence<HybridPrefixCache<F32>> found(cache, first_of(tokens, 37)), plain(cache, {tokens, 7});
  REQUIRE(found.size() == 36);
  CHECK_THROWS_WITH(found.sequence().truncate(20), contains("with a window of 7, gave back the tokens before 30"));
  plain.extend(first_of(tokens, 36));
  for (std::int32_t t = 36; t < 60; ++t) {
    found.extend({tokens[static_cast<std::size_t>(t)]});
    plain.extend({tokens[static_cast<std::size_t>(t)]});
    CHECK(count(found.sequence()) <= count(plain.sequence()));  // which keeps a unit more than the window
    if (t >= 48) CHECK(count(found.sequence()) == count(plain.sequence()));
    CHECK(found.difference() == "");
  }
  found.sequence().release();
  plain.sequence().release();
  cache.prefixes().clear();
  CHECK(cache.num_free_blocks(1) == cache.num_blocks(1));
}

TEST_CASE("in groups with a window, blocks that no prompt can take any more are given back") {
  HybridPrefixCache<F32> cache({.num_blocks = {40, 60, 30}});
  Symbols const tokens = count_from(1, 36);
  {
    PrefixModelSequence<HybridPrefixCache<F32>> story(cache, tokens);
    for (std::int32_t t = 0; t < 26; ++t) story.extend({tokens[static_cast<std::size_t>(t)]});
    story.finish(tokens);  // the first of these sees token 20, and a unit before is kept: from token 8 on
    CHECK(story.insert() == 36);
  }
  auto const& pool = cache.state()->store.pool(1);
  CHECK(pool.num_cached() == 2 + 14);  // two blocks of 2 tokens for 3 sinks, and tokens 8 to 35
  REQUIRE(cache.prefixes().evict_unit());
  CHECK(pool.num_cached() == 2 + 8);
  CHECK(cache.num_cached_tokens(first_of(tokens, 25)) == 24);
  REQUIRE(cache.prefixes().evict_unit());
  // The prefix ends with token 11, after which a prompt would see token 6: nothing after the sinks is of use.
  CHECK(pool.num_cached() == 2);
  CHECK(cache.num_cached_tokens(first_of(tokens, 25)) == 4);
  CHECK(accounts_close(cache));
}

TEST_CASE("a fork keeps what its parent found or inserted, also when that has gone") {
  Cache cache({.num_blocks = {20}});
  auto parent = run(cache, count_from(1, 9));
  parent.insert();
  auto child = parent.fork(), grandchild = child.fork();
  parent.sequence().release();
  child.sequence().release();
  cache.prefixes().evict_all();
  CHECK(cache.num_cached_tokens(count_from(1, 9)) == 8);
  grandchild.sequence().release();
  cache.prefixes().clear();
  CHECK(cache.num_cached_tokens(count_from(1, 9)) == 0);
}
