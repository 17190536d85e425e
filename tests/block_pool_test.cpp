// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <folio/block_pool.hpp>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using folio::BlockId;
using folio::BlockPool;
using folio::test::below;
using folio::test::contains;

namespace {

/// Everything that can be asked of a pool.
std::vector<std::int64_t> state_of(BlockPool const& pool) {
  std::vector<std::int64_t> all{pool.num_blocks(), pool.num_free(),  pool.num_live(),      pool.num_cached(),
                                pool.num_shared(), pool.peak_live(), pool.num_allocated(), pool.num_freed()};
  for (std::int32_t id = 1; id <= pool.num_blocks(); ++id) all.push_back(pool.ref_count(BlockId{id}));
  return all;
}

std::vector<BlockId> take(BlockPool& pool, std::size_t n) {
  std::vector<BlockId> blocks(n);
  REQUIRE(pool.allocate(blocks));
  return blocks;
}

}  // namespace

TEST_CASE("a new pool is all free") {
  BlockPool const pool(5);
  CHECK(pool.num_blocks() == 5);
  CHECK(pool.num_free() == 5);
  CHECK(pool.num_live() == 0);
  CHECK(pool.num_shared() == 0);
  CHECK(pool.peak_live() == 0);
  CHECK(pool.num_allocated() == 0);
  CHECK(pool.num_freed() == 0);
}

TEST_CASE("a pool has 1 to 2147483646 blocks") {
  for (std::int64_t const n :
       {std::int64_t{0}, std::int64_t{-1}, std::int64_t{2'147'483'647}, std::int64_t{5'000'000'000},
        std::numeric_limits<std::int64_t>::min(), std::numeric_limits<std::int64_t>::max()}) {
    REQUIRE_THROWS_AS(BlockPool(n), folio::Error);
    REQUIRE_THROWS_WITH(BlockPool(n), contains("1 to 2147483646 blocks, not " + std::to_string(n)));
  }
}

TEST_CASE("every block is handed out once, and never the null block") {
  BlockPool pool(100);
  std::set<std::int32_t> ids;
  while (auto const block = pool.allocate()) {
    ids.insert(folio::to_int(*block));
    REQUIRE(pool.ref_count(*block) == 1);
  }
  CHECK(ids.size() == 100);
  CHECK(*ids.begin() == 1);
  CHECK(*ids.rbegin() == 100);
  CHECK(pool.num_free() == 0);
  CHECK(pool.peak_live() == 100);
}

TEST_CASE("an empty pool gives nothing and is not changed by that") {
  BlockPool pool(2);
  take(pool, 2);
  auto const before = state_of(pool);
  CHECK_FALSE(pool.allocate().has_value());
  CHECK(state_of(pool) == before);
}

TEST_CASE("several blocks are taken all together or not at all") {
  BlockPool pool(4);
  take(pool, 2);
  auto const before = state_of(pool);
  std::vector<BlockId> three(3, BlockId{77});
  CHECK_FALSE(pool.allocate(three));
  CHECK(three == std::vector<BlockId>(3, BlockId{77}));
  CHECK(state_of(pool) == before);
  CHECK(pool.allocate(std::span(three).first(2)));
  CHECK(pool.num_free() == 0);
}

TEST_CASE("no blocks can always be had") {
  BlockPool pool(1);
  take(pool, 1);
  CHECK(pool.allocate(std::span<BlockId>{}));
}

TEST_CASE("fresh blocks come in the order of their ids, and the one released last comes back first") {
  BlockPool pool(6);
  auto const blocks = take(pool, 4);
  CHECK(blocks == std::vector<BlockId>{BlockId{1}, BlockId{2}, BlockId{3}, BlockId{4}});
  pool.release(blocks[1]);
  pool.release(blocks[3]);
  CHECK(take(pool, 3) == std::vector<BlockId>{BlockId{4}, BlockId{2}, BlockId{5}});
}

TEST_CASE("one by one or together, the same blocks are handed out") {
  BlockPool together(8), single(8);
  auto const blocks = take(together, 5);
  for (BlockId const block : blocks) CHECK(single.allocate() == block);
}

TEST_CASE("a block is free when its last holder releases it") {
  BlockPool pool(3);
  BlockId const block = *pool.allocate();
  pool.retain(block);
  pool.retain(block);
  CHECK(pool.ref_count(block) == 3);
  CHECK_FALSE(pool.release(block));
  CHECK_FALSE(pool.release(block));
  CHECK(pool.num_live() == 1);
  CHECK(pool.release(block));
  CHECK(pool.ref_count(block) == 0);
  CHECK(pool.num_live() == 0);
}

TEST_CASE("shared counts the blocks with more than one holder, each once") {
  BlockPool pool(3);
  auto const blocks = take(pool, 2);
  pool.retain(blocks[0]);
  CHECK(pool.num_shared() == 1);
  pool.retain(blocks[0]);
  CHECK(pool.num_shared() == 1);
  pool.retain(blocks[1]);
  CHECK(pool.num_shared() == 2);
  pool.release(blocks[0]);
  CHECK(pool.num_shared() == 2);
  pool.release(blocks[0]);
  CHECK(pool.num_shared() == 1);
}

TEST_CASE("the peak stays when blocks go") {
  BlockPool pool(10);
  for (BlockId const block : take(pool, 7)) pool.release(block);
  take(pool, 3);
  CHECK(pool.peak_live() == 7);
  CHECK(pool.num_allocated() == 10);
  CHECK(pool.num_freed() == 7);
}

TEST_CASE("releasing twice is refused and changes nothing") {
  BlockPool pool(3);
  BlockId const block = *pool.allocate();
  pool.release(block);
  auto const before = state_of(pool);
  REQUIRE_THROWS_AS(pool.release(block), folio::Error);
  REQUIRE_THROWS_WITH(pool.release(block), contains("cannot release block 1, which is free"));
  CHECK(state_of(pool) == before);
}

TEST_CASE("a block that is only cached has no holder who could release or share it") {
  BlockPool pool(3);
  BlockId const block = *pool.allocate();
  pool.cache_live(block);
  pool.release(block);
  auto const before = state_of(pool);
  REQUIRE_THROWS_WITH(pool.release(block), contains("cannot release block 1"));
  REQUIRE_THROWS_WITH(pool.retain(block), contains("cannot retain block 1"));
  CHECK(state_of(pool) == before);
  CHECK(pool.num_cached() == 1);
}

TEST_CASE("retaining a free block is refused and changes nothing") {
  BlockPool pool(3);
  auto const before = state_of(pool);
  REQUIRE_THROWS_AS(pool.retain(BlockId{2}), folio::Error);
  REQUIRE_THROWS_WITH(pool.retain(BlockId{2}), contains("cannot retain block 2, which is free"));
  CHECK(state_of(pool) == before);
}

TEST_CASE("ids that are not of the pool are refused by every call and change nothing") {
  BlockPool pool(3);
  take(pool, 3);
  auto const before = state_of(pool);
  for (std::int32_t const id :
       {0, -1, 4, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max()}) {
    std::string const sentence = "block " + std::to_string(id) + " is not of this pool, whose blocks are 1 to 3";
    REQUIRE_THROWS_WITH(pool.retain(BlockId{id}), contains(sentence));
    REQUIRE_THROWS_WITH(pool.release(BlockId{id}), contains(sentence));
    REQUIRE_THROWS_WITH((void)pool.ref_count(BlockId{id}), contains(sentence));
  }
  CHECK(state_of(pool) == before);
}

TEST_CASE("a long random run agrees with a list of reference counts, and free + live is all, after every step") {
  constexpr std::int32_t num_blocks = 37;
  BlockPool pool(num_blocks);
  std::map<std::int32_t, std::uint32_t> naive;  // the live blocks
  std::int64_t allocated = 0, peak = 0;
  std::mt19937 random(7);
  auto const any_live = [&] {
    return std::next(naive.begin(), below(random, static_cast<std::int32_t>(naive.size())));
  };
  for (int step = 0; step < 100'000; ++step) {
    int const what = below(random, 10);
    if (what < 3) {
      std::vector<BlockId> blocks(static_cast<std::size_t>(below(random, 6)));
      bool const fits =
          static_cast<std::int64_t>(blocks.size()) <= num_blocks - static_cast<std::int64_t>(naive.size());
      if (pool.allocate(blocks) != fits) FAIL("allocate of " << blocks.size() << " in step " << step);
      if (!fits) continue;
      for (BlockId const block : blocks)
        if (!naive.emplace(folio::to_int(block), 1).second) FAIL("a live block was handed out in step " << step);
      allocated += static_cast<std::int64_t>(blocks.size());
    } else if (!naive.empty() && what < 5) {
      auto const at = any_live();
      pool.retain(BlockId{at->first});
      ++at->second;
    } else if (!naive.empty()) {
      auto const at = any_live();
      bool const last = --at->second == 0;
      if (pool.release(BlockId{at->first}) != last) FAIL("release in step " << step);
      if (last) naive.erase(at);
    }
    auto const live = static_cast<std::int64_t>(naive.size());
    peak = std::max(peak, live);
    std::int64_t const shared = std::count_if(naive.begin(), naive.end(), [](auto const& b) { return b.second > 1; });
    bool same = pool.num_live() == live && pool.num_free() + pool.num_live() == num_blocks &&
                pool.num_shared() == shared && pool.peak_live() == peak && pool.num_allocated() == allocated &&
                pool.num_freed() == allocated - live;
    for (std::int32_t id = 1; same && id <= num_blocks; ++id)
      same = pool.ref_count(BlockId{id}) == (naive.count(id) != 0 ? naive[id] : 0);
    if (!same) FAIL("the pool differs from the list after step " << step);
  }
}

TEST_CASE("a pool does not shrink over blocks that only a prefix keeps") {
  BlockPool pool(6);
  auto const blocks = take(pool, 6);
  pool.cache_live(blocks[4]);
  for (BlockId const block : blocks) pool.release(block);
  CHECK(pool.num_cached() == 1);
  CHECK(pool.num_free() == 5);
  auto const before = state_of(pool);
  for (std::int64_t const n : {4, 3, 1})
    CHECK_THROWS_WITH(pool.resize(n), contains("block 5 is kept as a prefix; evict what holds the last blocks") &&
                                          contains("keep at least 5"));
  CHECK(state_of(pool) == before);
  pool.resize(5);
  CHECK(pool.is_cached(blocks[4]));
  CHECK(pool.num_free() == 4);
  CHECK(pool.uncache(blocks[4]));
  pool.resize(1);
  CHECK(pool.num_free() == 1);
}

TEST_CASE("the gauges after every step of a long random run in which prefixes keep blocks, by counting") {
  struct Block {
    int holders = 0;
    bool cached = false;
  };
  std::vector<Block> naive(31);  // [0] is the null block's
  BlockPool pool(30);
  std::int64_t allocated = 0, freed = 0, peak = 0;
  int num_used_again = 0, num_refused = 0;
  std::mt19937 random(17);
  for (int step = 0; step < 60'000; ++step) {
    std::int32_t const id = 1 + below(random, static_cast<std::int32_t>(naive.size()) - 1);
    Block& block = naive[static_cast<std::size_t>(id)];
    switch (below(random, 7)) {
      case 0:
      case 1:
        if (auto const taken = pool.allocate()) {
          naive[static_cast<std::size_t>(to_int(*taken))].holders = 1;
          ++allocated;
        }
        break;
      case 2:
        if (block.holders == 0 && !block.cached) break;
        num_used_again += block.holders == 0 ? 1 : 0;
        pool.retain_live(BlockId{id});
        ++block.holders;
        break;
      case 3:
      case 4:
        if (block.holders == 0) break;
        if (pool.release_live(BlockId{id}) != (block.holders == 1 && !block.cached)) FAIL("release in step " << step);
        if (--block.holders == 0 && !block.cached) ++freed;
        break;
      case 5:
        if (block.cached && below(random, 2) == 0) {
          if (pool.uncache(BlockId{id}) != (block.holders == 0)) FAIL("uncache in step " << step);
          block.cached = false;
          freed += block.holders == 0 ? 1 : 0;
        } else if (block.holders > 0 && !block.cached) {
          pool.cache_live(BlockId{id});
          block.cached = true;
        }
        break;
      default: {
        std::int32_t const n = 20 + below(random, 20);
        bool fits = true;
        for (std::size_t i = static_cast<std::size_t>(n) + 1; i < naive.size(); ++i)
          fits = fits && naive[i].holders == 0 && !naive[i].cached;
        if (fits) {
          pool.resize(n);
          naive.resize(static_cast<std::size_t>(n) + 1);
        } else {
          REQUIRE_THROWS_AS(pool.resize(n), folio::Error);
          ++num_refused;
        }
      }
    }
    std::int32_t live = 0, cached = 0, shared = 0;
    bool same = true;
    for (std::size_t i = 1; i < naive.size(); ++i) {
      Block const& b = naive[i];
      BlockId const which{static_cast<std::int32_t>(i)};
      live += b.holders > 0 ? 1 : 0;
      cached += b.holders == 0 && b.cached ? 1 : 0;
      shared += b.holders > 1 ? 1 : 0;
      same =
          same && pool.ref_count(which) == static_cast<std::uint32_t>(b.holders) && pool.is_cached(which) == b.cached;
      if (b.holders > 0) same = same && pool.is_shared(which) == (b.holders > 1 || b.cached);
    }
    peak = std::max(peak, std::int64_t{live});
    same = same && pool.num_live() == live && pool.num_cached() == cached && pool.num_shared() == shared &&
           pool.num_free() == static_cast<std::int32_t>(naive.size()) - 1 - live - cached && pool.peak_live() == peak &&
           pool.num_allocated() == allocated && pool.num_freed() == freed;
    if (!same) FAIL("the pool differs from the list after step " << step);
  }
  CHECK(num_used_again > 100);
  CHECK(num_refused > 1000);
}

TEST_CASE("two pools that get the same calls hand out the same blocks") {
  BlockPool a(50), b(50);
  std::mt19937 random(3);
  std::vector<BlockId> live;
  for (int step = 0; step < 5000; ++step) {
    if (live.empty() || below(random, 2) == 0) {
      auto const block = a.allocate();
      REQUIRE(block == b.allocate());
      if (block) live.push_back(*block);
    } else {
      auto const i = static_cast<std::size_t>(below(random, static_cast<std::int32_t>(live.size())));
      a.release(live[i]);
      b.release(live[i]);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(i));
    }
  }
}

TEST_CASE("a pool that grows hands out what it had first, and shrinks again when that is free") {
  BlockPool pool(3);
  auto const held = take(pool, 2);
  pool.resize(6);
  CHECK(pool.num_blocks() == 6);
  CHECK(pool.num_free() == 4);
  CHECK(pool.num_live() == 2);
  CHECK(pool.peak_live() == 2);
  CHECK(take(pool, 4) == std::vector<BlockId>{BlockId{3}, BlockId{4}, BlockId{5}, BlockId{6}});
  CHECK(pool.peak_live() == 6);

  auto const before = state_of(pool);
  REQUIRE_THROWS_WITH(pool.resize(5), contains("folio: cannot make a pool of 6 blocks one of 5: block 6 is in use; "
                                               "release what holds the last blocks, or keep at least 6"));
  REQUIRE_THROWS_WITH(pool.resize(0), contains("1 to 2147483646 blocks, not 0"));
  CHECK(state_of(pool) == before);

  for (std::int32_t id = 4; id <= 6; ++id) pool.release(BlockId{id});
  pool.resize(3);
  CHECK(pool.num_blocks() == 3);
  CHECK(pool.num_free() == 0);
  CHECK(pool.peak_live() == 6);
  CHECK_FALSE(pool.allocate());
  for (BlockId const block : held) pool.release(block);
  pool.release(BlockId{3});
  CHECK(pool.num_free() == 3);
  CHECK(pool.num_freed() == 6);
}

TEST_CASE("free and live are all after every step of random sizes") {
  std::mt19937 random(5);
  BlockPool pool(8);
  std::vector<BlockId> held;
  for (int step = 0; step < 3000; ++step) {
    if (below(random, 3) == 0) {
      std::int32_t const n = 1 + below(random, 40);
      bool const fits = std::all_of(held.begin(), held.end(), [&](BlockId b) { return to_int(b) <= n; });
      if (fits)
        pool.resize(n);
      else
        REQUIRE_THROWS_AS(pool.resize(n), folio::Error);
    } else if (below(random, 2) == 0 && !held.empty()) {
      std::swap(held[static_cast<std::size_t>(below(random, static_cast<std::int32_t>(held.size())))], held.back());
      REQUIRE(pool.release(held.back()));
      held.pop_back();
    } else if (auto const block = pool.allocate()) {
      REQUIRE(to_int(*block) <= pool.num_blocks());
      REQUIRE(std::find(held.begin(), held.end(), *block) == held.end());
      held.push_back(*block);
    } else {
      REQUIRE(pool.num_free() == 0);
    }
    REQUIRE(pool.num_live() == static_cast<std::int32_t>(held.size()));
    REQUIRE(pool.num_free() + pool.num_live() == pool.num_blocks());
  }
}

TEST_CASE("what can be evicted is what is only cached and not protected, whoever takes it and gives it back") {
  BlockPool pool(4);
  BlockId const a = *pool.allocate(), b = *pool.allocate();
  pool.cache_live(a);
  pool.cache_live(b);
  pool.protect(a, true);
  CHECK(pool.num_evictable() == 0);  // both are held
  CHECK_FALSE(pool.has_one_holder_or_evictable(a));
  CHECK(pool.has_one_holder_or_evictable(b));
  pool.release_live(a);
  pool.release_live(b);
  CHECK(pool.num_cached() == 2);
  CHECK(pool.num_evictable() == 1);
  pool.retain_live(a);
  CHECK(pool.num_evictable() == 1);
  pool.release_live(a);
  pool.protect(a, false);
  CHECK(pool.num_evictable() == 2);
  pool.protect(a, true);
  pool.protect(a, true);  // again: counted once
  CHECK(pool.num_evictable() == 1);
  CHECK(pool.uncache(a));  // whatever protected it
  CHECK(pool.num_evictable() == 1);
  CHECK(pool.num_free() == 3);
  BlockId const again = *pool.allocate();
  CHECK(again == a);
  pool.cache_live(again);
  pool.release_live(again);
  CHECK(pool.num_evictable() == 2);
  CHECK(pool.num_free() + pool.num_live() + pool.num_cached() == 4);
}
