// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/ops/compact.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <optional>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "locked/threads.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::SharedCache;
using Locked = LockedCache<SharedCache>;
using Handle = Locked::SequenceType;

namespace {

/// A mutex that counts, and knows when it is held.
struct CountingMutex {
  void lock() {
    if (held) FAIL("locked twice");
    held = true;
    ++count;
  }
  void unlock() { held = false; }
  static inline bool held = false;
  static inline int count = 0;
};

}  // namespace

TEST_CASE("a locked cache does what the cache does, and every call takes the lock once") {
  using Counted = LockedCache<SharedCache, CountingMutex>;
  Counted cache(CacheConfig{.num_blocks = {8}});
  std::vector<std::int32_t> const tokens{1, 2, 3, 4, 5, 6, 7, 8, 9};
  int expected = CountingMutex::count;
  auto const once = [&] { return CountingMutex::count == ++expected && !CountingMutex::held; };
  auto a = cache.create();
  CHECK(once());
  a.extend(9);
  CHECK(once());
  CHECK_FALSE(a.try_extend(100));
  CHECK(once());
  CHECK(cache.insert(a, tokens) == 8);
  CHECK(once());
  auto b = a.fork();
  CHECK(once());
  b.truncate(8);
  CHECK(once());
  CHECK(b.num_tokens() == 8);
  CHECK(b.num_new_tokens() == 8);
  auto thinned = b.fork();
  CHECK(once());
  thinned.extend(12);
  CHECK(once());
  thinned.cut(4, 8);
  CHECK(once());
  CHECK(thinned.num_stored_tokens() == 12);
  CHECK(thinned.num_exact_tokens() == 4);
  CHECK(thinned.num_shared_blocks(0, 12) == 1);
  CHECK(once());
  thinned.own(0, 4);
  CHECK(once());
  CHECK(thinned.num_shared_blocks(0, 12) == 0);
  CHECK(once());
  CHECK(thinned.try_own(0, 12));
  CHECK(once());
  CHECK_THROWS_WITH(thinned.own(0, 13), contains("stores 12"));
  CHECK(once());
  thinned.keep({.num_tokens = 7, .num_first = 4, .num_last = 3});
  CHECK(once());
  CHECK(thinned.num_tokens() == 20);
  CHECK(thinned.num_stored_tokens() == 7);
  CHECK_THROWS_WITH(thinned.num_shared_blocks(0, 8), contains("stores 7"));
  CHECK(once());
  CHECK_THROWS_WITH(thinned.cut(0, 4, 1), contains("group 1"));
  CHECK(once());
  CHECK_THROWS_WITH(thinned.keep({}, -1), contains("group -1"));
  CHECK(once());
  CHECK_THROWS_WITH(thinned.num_stored_tokens(1), contains("group 1"));
  thinned.release();
  CHECK(once());
  Counted::Item const items[] = {{&a}, {&b, 1}};
  auto tables = cache.batch(items);
  CHECK(once());
  CHECK(tables.num_query_tokens() == 10);
  cache.batch(std::span(items).first(1), tables);
  CHECK(once());
  CHECK(tables.num_sequences() == 1);
  a.release();
  CHECK(once());
  a.release();  // nothing more
  CHECK_FALSE(a);
  b = std::move(a);  // releases b
  CHECK(once());
  CHECK(cache.num_cached_tokens(tokens) == 8);
  CHECK(once());
  {
    auto c = cache.create(Prefix(tokens), 3);
    CHECK(once());
    CHECK(c.num_cached_tokens() == 8);
  }
  CHECK(once());
  CHECK(cache.stats().num_sequences == 0);
  CHECK(once());
  CHECK(cache.with([](SharedCache& inner) { return inner.prefixes().evict_unit(); }));
  CHECK(once());
  CHECK_THROWS_AS(cache.create(33), OutOfBlocks);
  CHECK(once());
  CHECK_THROWS_WITH(b.extend(1), contains("this Sequence is empty"));
  CHECK_THROWS_WITH(b.cut(0, 4), contains("this Sequence is empty"));
  CHECK_THROWS_WITH(b.keep({}), contains("this Sequence is empty"));
  CHECK_THROWS_WITH(b.own(0, 0), contains("this Sequence is empty"));
  CHECK_THROWS_WITH(b.num_shared_blocks(0, 0), contains("this Sequence is empty"));
  CHECK_THROWS_WITH(b.fork(), contains("this Sequence is empty"));
  CHECK(CountingMutex::count == expected);
  CHECK_FALSE(CountingMutex::held);
}

TEST_CASE("an item of a locked cache has positions or limits as one of a plain cache") {
  Locked cache(CacheConfig{.num_blocks = {20}});
  auto const a = cache.create(9), b = cache.create(6), c = cache.create(7);
  std::vector<std::int32_t> const positions{1, 4}, limits{2, 7};
  Locked::Item const items[] = {{&a, positions}, {&b, 2}, Locked::Item::seeing(&c, limits)};
  auto tables = cache.batch(items);
  auto const seen = [&] { return std::vector<std::int32_t>(tables.limits().begin(), tables.limits().end()); };
  CHECK(seen() == std::vector<std::int32_t>{2, 5, 5, 6, 2, 7});
  CHECK((tables.slots()[1] >= 0 && tables.slots()[4] == to_int(no_slot)));
  cache.batch(std::span(items).last(1), tables);
  CHECK(seen() == limits);
}

TEST_CASE("many sequences demote under one lock, and what is refused is counted") {
  using Demoting = KvCache<Model<folio::test::locked_model>, BlockSize<4>, F32, Demote<F16>>;
  LockedCache<Demoting, CountingMutex> cache(
      CacheConfig{.num_blocks = {40}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {7}}});
  using LockedHandle = decltype(cache)::SequenceType;
  auto a = cache.create(16), b = cache.create(16), c = cache.create(16);
  LockedHandle empty;
  LockedHandle* const all[] = {&a, &b, &c};
  LockedHandle* const with_empty[] = {&a, &empty};
  LockedHandle* const with_null[] = {&a, nullptr};
  std::int32_t const accepted[] = {16, 9, 16};
  CHECK_THROWS_WITH(cache.demote_all(with_empty), contains("demote_all was given an empty Sequence"));
  CHECK_THROWS_WITH(cache.demote_all(with_null), contains("demote_all was given an empty Sequence"));
  CHECK_THROWS_WITH(cache.demote_all(all, std::span(accepted, 1)), contains("for each of 3 sequences"));
  int const expected = CountingMutex::count + 1;
  DemotionCounts const done = cache.demote_all(all, accepted);
  CHECK((CountingMutex::count == expected && !CountingMutex::held));
  CHECK((done.num_tokens == 16 + 8 && done.num_refused == 1));  // c needs four blocks, and one is left
  CHECK((a.num_demoted_tokens() == 16 && b.num_demoted_tokens() == 8 && c.num_demoted_tokens() == 0));
}

TEST_CASE("a sequence demotes under the lock, and owns what it shares before it is compacted") {
  using Demoting = KvCache<Model<folio::test::locked_model>, BlockSize<4>, F32, Demote<F16>>;
  LockedCache<Demoting, CountingMutex> cache(
      CacheConfig{.num_blocks = {20}, .demotion = {.sinks = 4, .recent_window = 12, .num_blocks = {20}}});
  int expected = CountingMutex::count;
  auto const once = [&] { return CountingMutex::count == ++expected && !CountingMutex::held; };
  auto sequence = cache.create(40);
  CHECK(once());
  auto const fork = sequence.fork();
  CHECK(once());
  CHECK(cache.num_due(sequence) == 24);
  CHECK(once());
  CHECK(cache.demote(sequence) == 24);
  CHECK(once());
  CHECK(sequence.num_stored_tokens() == 16);
  sequence.own(4, 16);
  CHECK(once());
  CHECK(sequence.num_shared_blocks(4, 16) == 0);
  CHECK(once());
  std::vector<std::int32_t> const kept{0, 1, 2, 3, 9, 15};
  std::int32_t const count = 6;
  LockedCache<Demoting, CountingMutex>::Item const items[] = {{&sequence, 0}};
  auto const batch = cache.batch(items);
  CHECK(once());
  cache.with([&](Demoting&) { ops::compact(batch, 0, {.tokens = kept.data(), .counts = &count, .k = count}); });
  CHECK(once());
  sequence.keep({.num_tokens = count, .num_first = 4, .num_last = 1});
  CHECK(once());
  CHECK((sequence.num_tokens() == 40 && sequence.num_stored_tokens() == 6 && sequence.num_demoted_tokens() == 24));
  CHECK((fork.num_stored_tokens() == 40 && fork.num_demoted_tokens() == 0));
}

namespace {

template <class Cache>
concept MakesBatches = requires(Cache& cache, std::span<Locked::Item const> items) {
  cache.batch(items);
};
template <class Cache>
concept FillsBatches = requires(Cache& cache, Locked::Tables& tables, std::span<Locked::Item const> items) {
  cache.batch(items, tables);
};

}  // namespace

TEST_CASE("a locked cache that is const gives a cache that is const, and makes no batches") {
  Locked cache(CacheConfig{.num_blocks = {8}});
  auto const is_const = [](auto& inner) { return std::is_const_v<std::remove_reference_t<decltype(inner)>>; };
  CHECK(std::as_const(cache).with(is_const));
  CHECK_FALSE(cache.with(is_const));
  STATIC_REQUIRE((MakesBatches<Locked> && FillsBatches<Locked>));
  STATIC_REQUIRE_FALSE((MakesBatches<Locked const> || FillsBatches<Locked const>));
}

TEST_CASE("a batch of a locked cache refuses what one of a plain cache does") {
  Locked cache(CacheConfig{.num_blocks = {8}}), another(CacheConfig{.num_blocks = {8}});
  auto const a = cache.create(5), stranger = another.create(5);
  Handle const none;
  Locked::Item const good[] = {{&a}};
  auto tables = cache.batch(good);
  auto const refused = [&](Handle const* item, char const* message) {
    Locked::Item const items[] = {{&a}, {item}};
    CHECK_THROWS_WITH(cache.batch(items), contains(message));
    CHECK_THROWS_WITH(cache.batch(items, tables), contains(message));
    CHECK(tables.num_sequences() == 1);
  };
  refused(nullptr, "a batch item is an empty Sequence");
  refused(&none, "a batch item is an empty Sequence");
  refused(&a, "is in the batch twice");
  refused(&stranger, "belongs to another cache");
}

TEST_CASE("a locked sequence is a handle: it moves, goes by itself, and outlives the cache object") {
  static_assert(!std::is_copy_constructible_v<Handle> && std::is_nothrow_move_constructible_v<Handle>);
  auto cache = std::make_optional<Locked>(SharedCache(CacheConfig{.num_blocks = {8}}));
  auto first = cache->create(4), second = cache->create(8);
  CHECK(cache->stats().live == 3);
  first = std::move(second);
  CHECK(cache->stats().live == 2);
  Handle& same = first;
  first = std::move(same);
  CHECK(first.num_tokens() == 8);
  cache.reset();
  first.extend(4);
  auto third = first.fork();
  first.release();
  third.extend(1);
  CHECK(third.num_tokens() == 13);
}

TEST_CASE("threads that share a cache read what they wrote, and leave nothing allocated") {
  auto const outcome = folio::test::serve_by_threads<Locked>(4, 500, 64);
  CHECK(outcome.num_wrong == 0);
  CHECK(outcome.num_served > 500);
  CHECK(outcome.num_cached > 1000);
  CHECK(outcome.stats.prefixes.evicted_units > 100);
  CHECK(outcome.stats.num_sequences == 0);
  CHECK(outcome.stats.live == 0);
  CHECK(outcome.stats.free + outcome.stats.cached == outcome.stats.total);
}
