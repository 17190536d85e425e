// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Prefixes of a cache that demotes, case by case.

#include <folio/eviction/cost_aware.hpp>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <vector>

#include "support/catch.hpp"

using namespace folio;

namespace {

constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 8};
template <std::int32_t First, std::int32_t Second, class Eviction = LruEviction>
using CacheOf = KvCache<Model<tiny>, BlockSize<First>, F32, Demote<F16, BlockSize<Second>>, Eviction>;
using Symbols = std::vector<std::int32_t>;

// Units of 8 that part after 5 tokens.
Symbols const one{0, 1, 2, 3, 4, 5, 6, 7}, other{0, 1, 2, 3, 4, 50, 60, 70};

CacheConfig config_of(std::int64_t num_blocks) {
  return {.num_blocks = {num_blocks}, .demotion = {.sinks = 0, .recent_window = 0, .num_blocks = {40}}};
}
/// A sequence of so many tokens, which are demoted.
template <class Cache>
Sequence demoted(Cache& cache, std::int32_t num_tokens) {
  Sequence s = cache.create(num_tokens);
  CHECK(cache.demote(s) == num_tokens);
  return s;
}

}  // namespace

TEST_CASE("a part of a first block that demoted prefixes share is saved, too") {
  CacheOf<8, 2> cache(config_of(20));
  Sequence a = demoted(cache, 8), b = demoted(cache, 8);
  CHECK(cache.insert(a, {one}) == 8);
  CHECK(cache.insert(b, {other}) == 8);
  CHECK(cache.num_live_blocks(1) == 6);  // 12 tokens, a block and a half
  CHECK(cache.stats().bytes_saved == cache.block_bytes() * 3 / 2 - 6 * cache.block_bytes(1));
}

TEST_CASE("a sequence is inserted again whose demoted blocks are on its own path") {
  CacheOf<8, 2> cache(config_of(20));
  Sequence a = demoted(cache, 8), b = demoted(cache, 8), c = cache.create(8);
  cache.insert(a, {other});
  cache.insert(b, {one});  // takes two blocks of a's
  cache.release_lease(b);
  CHECK(cache.prefixes().evict_unit());
  CHECK(cache.insert(c, {one}) == 8);  // below the same two blocks, in the first list
  CHECK(cache.insert(b, {one}) == 8);  // and demoted again
  c.release();
  CHECK(cache.create({one, 0}).num_tokens() == 0);  // of a demoted unit nobody has a part
  CHECK(cache.num_live_blocks() == 0);
  CHECK(cache.num_cached_blocks() == 0);
}

TEST_CASE("when all prefixes below have demoted a unit, its blocks of the first list come back") {
  CacheOf<2, 8> cache(config_of(8));
  Sequence a = cache.create(8);
  cache.insert(a, {one});
  Sequence b = cache.create({other, 0});
  CHECK(b.num_tokens() == 5);
  b.extend(3);
  cache.insert(b, {other});
  cache.demote(a);
  CHECK(cache.num_free_blocks() == 4);
  SECTION("both are demoted") { cache.demote(b); }
  SECTION("the one that is not is evicted") {
    b.release();
    CHECK(cache.num_free_blocks() == 4);
    cache.prefixes().evict_all();  // a is leased
  }
  CHECK(cache.num_free_blocks() == 8);
  CHECK(cache.prefixes().find(0, one, 8).num_tokens == 8);
}

TEST_CASE("when no prefix below has demoted a unit any more, its demoted blocks come back") {
  CacheOf<8, 2> cache(config_of(8));
  Sequence a = demoted(cache, 8), b = cache.create(8);
  cache.insert(a, {one});
  cache.insert(b, {other});
  CHECK(cache.num_free_blocks(1) == 36);
  a.release();
  cache.prefixes().evict_all();  // b is leased
  CHECK(cache.num_free_blocks(1) == 40);
  CHECK(cache.prefixes().find(0, other, 8).num_tokens == 8);
}

TEST_CASE("a policy is told the bytes that a unit has, demoted or not") {
  CacheOf<4, 4, CostAwareEviction> cache(config_of(20));
  Symbols const first(16, 1), second(16, 2);
  auto const left = [&](Symbols const& symbols) { return cache.prefixes().find(0, symbols, 16).num_tokens; };
  Sequence a = cache.create(16), b = cache.create(16);
  SECTION("demoted before it is inserted") {
    cache.demote(a);
    cache.insert(a, {first});
  }
  SECTION("demoted after it is inserted") {
    cache.insert(a, {first});
    cache.demote(a);
  }
  SECTION("by another one") {
    Sequence earlier = cache.create(16);
    cache.insert(earlier, {first});
    earlier.release();
    cache.demote(a);
    cache.insert(a, {first});
  }
  cache.insert(b, {second});
  a.release();
  b.release();
  for (std::int32_t n = 16; n > 0; n -= 4) {  // which has twice the bytes goes first, though it was used later
    CHECK(left(first) == 16);
    CHECK(left(second) == n);
    cache.prefixes().evict_unit();
  }
  CHECK(left(second) == 0);
}
