// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Blocks that are due to be copied, and how they get to another tier. The device makes them in
// detail/due_moves_cuda_test.cpp.
#include <algorithm>
#include <folio/allocator/functions.hpp>
#include <folio/eviction/lru.hpp>
#include <folio/folio.hpp>
#include <memory>
#include <new>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/moves_program.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::for_every_failure;
using folio::test::HostHeap;

namespace {

constexpr ModelConfig hybrid{.layers = 2,
                             .kv_heads = 1,
                             .head_dim = 8,
                             .groups = {full_attention(), sliding_window(8)},
                             .pattern = repeat_groups({0, 1})};
/// Of memory that the device could read, too: copies wait for a batch.
using SharedMemory = FunctionAllocator<Accessibility::both>;
template <class... Policies>
using CacheOf = KvCache<Model<hybrid>, BlockSizes<4, 2>, F32, Policies...>;
using SharedCache = CacheOf<SharedMemory>;

SharedMemory shared_memory() {
  return {[](std::size_t bytes, std::size_t alignment) { return std::aligned_alloc(alignment, bytes); },
          [](void* memory, std::size_t) { std::free(memory); }};
}

template <class AnyCache>
std::byte* address(AnyCache const& cache, int l, BlockId b) {
  return cache.pool(l) + to_int(b) * cache.block_bytes(l);
}
template <class AnyCache>
void fill(AnyCache const& cache, int l, BlockId b, int number) {
  std::memset(address(cache, l, b), number, static_cast<std::size_t>(cache.block_bytes(l)));
}

/// Places of a lower tier, of one block each.
struct Places {
  Places(std::int64_t bytes, std::size_t n) : size(static_cast<std::size_t>(bytes)), memory(n * size) {}
  std::byte* operator[](std::size_t i) { return memory.data() + i * size; }
  [[nodiscard]] int number(std::size_t i) const {
    auto const first = memory.begin() + static_cast<std::ptrdiff_t>(i * size);
    bool const same =
        std::all_of(first, first + static_cast<std::ptrdiff_t>(size), [&](std::byte b) { return b == *first; });
    return same ? static_cast<int>(*first) : -1;
  }
  std::size_t size;
  std::vector<std::byte> memory;  // from operator new: aligned to 16 bytes
};

template <class C>
struct HostDriver {
  using Cache = C;
  std::byte* memory(std::int64_t bytes) {
    all.push_back(std::make_unique<std::byte[]>(static_cast<std::size_t>(bytes)));
    return all.back().get();
  }
  void upload(std::vector<BatchItem> const& items) { static_cast<void>(cache.batch(items)); }
  void flush() { static_cast<void>(cache.batch({})); }
  static void fill(std::byte* to, std::int64_t bytes, int value) {
    std::memset(to, value, static_cast<std::size_t>(bytes));
  }
  static std::vector<std::byte> read(std::byte const* from, std::int64_t bytes) { return {from, from + bytes}; }
  static void wait() {}

  Cache& cache;
  std::vector<std::unique_ptr<std::byte[]>> all;
};

}  // namespace

TEST_CASE("where the device cannot read the blocks a move out is made at once") {
  CacheOf<> cache({.num_blocks = {8, 16}});
  Sequence const s = cache.create(3);
  Places places(cache.block_bytes(), 1);
  fill(cache, 0, s.blocks()[0], 7);
  std::int64_t const tick = cache.moves().move_out(0, s.blocks()[0], places[0]);
  CHECK(places.number(0) == 7);
  CHECK(cache.moves().passed() >= tick);
  CHECK(cache.moves().due().empty());
}

TEST_CASE("a block is moved out, given back, given out again and copied to before one batch, in this order") {
  SharedCache cache({.num_blocks = {3, 16}}, shared_memory());
  BlockMoves& moves = cache.moves();
  moves.reserve_out(2);
  Sequence a = cache.create(4), b = cache.create(3);
  Places places(cache.block_bytes(), 2);
  static_cast<void>(cache.batch({&a, &b}));
  BlockId const first = a.blocks()[0], second = b.blocks()[0];
  fill(cache, 0, first, 10);
  fill(cache, 0, second, 20);

  CHECK(moves.move_out(0, first, places[0]) == 1);
  Sequence filler = cache.create(4);  // the third block, so that the next is the first again
  a.release();
  Sequence c = b.fork();
  c.extend(1);  // copies `second` to `first`
  REQUIRE(c.blocks()[0] == first);
  CHECK(moves.move_out(0, c.blocks()[0], places[1]) == 1);
  CHECK(moves.issued() == 0);
  CHECK(moves.due().size() == 4);  // and the copy in the group with a window

  static_cast<void>(cache.batch({&b, &c}));
  CHECK(places.number(0) == 10);
  CHECK(places.number(1) == 20);
  CHECK(std::to_integer<int>(*address(cache, 0, first)) == 20);
  CHECK(moves.due().empty());
  CHECK(moves.issued() == 1);
  CHECK(moves.passed() == 1);
}

TEST_CASE("the clock goes on where something is moved out, and not for copies on write alone") {
  SharedCache cache({.num_blocks = {8, 16}}, shared_memory());
  BlockMoves& moves = cache.moves();
  moves.reserve_out(1);
  Places places(cache.block_bytes(), 1);
  Sequence s = cache.create(3), fork = s.fork();
  fork.extend(1);
  static_cast<void>(cache.batch({&s}));
  static_cast<void>(cache.batch({&s}));
  CHECK(moves.issued() == 0);
  for (std::int64_t tick = 1; tick < 4; ++tick) {
    CHECK(moves.move_out(0, s.blocks()[0], places[0]) == tick);
    CHECK(moves.passed() == tick - 1);
    static_cast<void>(cache.batch({&s}));
    CHECK(moves.passed() == tick);
  }
}

TEST_CASE("as many moves out are due at a time as room was asked for, and those that are taken back make room") {
  SharedCache cache({.num_blocks = {8, 16}}, shared_memory());
  BlockMoves& moves = cache.moves();
  Sequence s = cache.create(12);
  Places places(cache.block_bytes(), 3);
  static_cast<void>(cache.batch({&s}));
  for (std::size_t i = 0; i < 3; ++i) fill(cache, 0, s.blocks()[i], 10 + static_cast<int>(i));
  auto const out = [&](std::size_t i) { return moves.move_out(0, s.blocks()[i], places[i]); };
  CHECK(out(0) == BlockMoves::no_room);
  CHECK(moves.due().empty());
  moves.reserve_out(1);
  moves.reserve_out(1);
  CHECK(out(0) == 1);
  CHECK(out(1) == 1);
  CHECK(out(2) == BlockMoves::no_room);
  moves.cancel_out(places[0], cache.block_bytes());  // and not what begins where that ends
  CHECK(moves.due().size() == 1);
  CHECK(out(2) == 1);
  CHECK(out(0) == BlockMoves::no_room);
  static_cast<void>(cache.batch({&s}));
  CHECK(places.number(0) == 0);
  CHECK(places.number(1) == 11);
  CHECK(places.number(2) == 12);
  moves.cancel_out(places[0], 3 * cache.block_bytes());  // too late, and no harm
  CHECK(out(1) == 2);
  CHECK(out(0) == 2);
  CHECK(out(2) == BlockMoves::no_room);
  Sequence t = cache.create(3), fork = t.fork();
  fork.extend(1);
  moves.cancel_out(nullptr, 1);  // no copy on write
  CHECK(moves.due().size() == 4);
}

TEST_CASE("an extension takes the memory for its copies ahead, and notes none when it fails") {
  SharedCache cache({.num_blocks = {8, 16}}, shared_memory());
  Sequence s = cache.create(3), fork = s.fork();
  auto const failures = for_every_failure([&] { fork.extend(1); },
                                          [&](auto) {
                                            CHECK(cache.moves().due().empty());
                                            CHECK(fork.num_tokens() == 3);
                                          });
  CHECK(failures > 0);
  CHECK(cache.moves().due().size() == 2);  // of both groups
}

TEST_CASE("what cannot be moved out is an error with its words, and nothing is noted") {
  SharedCache cache({.num_blocks = {8, 16}}, shared_memory());
  BlockMoves& moves = cache.moves();
  moves.reserve_out(4);
  Places places(cache.block_bytes(), 2);
  for (auto const& [list, block] : {std::pair(-1, 1), {2, 1}, {0, 0}, {0, 9}, {0, -1}, {1, 17}})
    CHECK_THROWS_WITH(moves.move_out(list, BlockId{block}, places[0]),
                      contains("folio: there is no block " + std::to_string(block) + " in list " +
                               std::to_string(list) + " to be moved out"));
  for (std::byte* const memory : {static_cast<std::byte*>(nullptr), places[0] + 8})
    CHECK_THROWS_WITH(moves.move_out(0, BlockId{1}, memory), contains("begins at a multiple of 16 bytes"));
  for (std::int64_t const n : {std::int64_t{-1}, std::int64_t{1} << 31, std::numeric_limits<std::int64_t>::max()})
    CHECK_THROWS_WITH(moves.reserve_out(n), contains("room for " + std::to_string(n) + " moves of blocks"));
  CHECK(moves.due().empty());
  CHECK(moves.move_out(1, BlockId{16}, places[0]) == 1);
}

TEST_CASE("where there is room, noting a move takes no host memory, whatever copies come in between") {
  SharedCache cache({.num_blocks = {60, 120}}, shared_memory());
  BlockMoves& moves = cache.moves();
  constexpr std::size_t num_places = 40;
  Places places(cache.block_bytes(), num_places);
  auto const failures =
      for_every_failure([&] { moves.reserve_out(num_places); },
                        [&](auto) { CHECK(moves.move_out(0, BlockId{1}, places[0]) == BlockMoves::no_room); });
  CHECK(failures == 1);
  std::vector<Sequence> all;
  all.push_back(cache.create(3));
  for (std::size_t i = 1; i < 20; ++i) all.push_back(all.front().fork());
  for (std::size_t i = 1; i < 20; ++i) {
    std::size_t const due = moves.due().size();
    for_every_failure([&] { all[i].extend(1); },
                      [&](auto) {
                        CHECK(moves.due().size() == due);
                        CHECK(all[i].num_tokens() == 3);
                      });
    REQUIRE(moves.due().size() == due + 2);  // of both groups
    auto const before = HostHeap::of_this_thread().num_allocations;
    bool noted = true;
    for (std::size_t k = 2 * i - 2; k < 2 * i; ++k) noted = noted && moves.move_out(0, BlockId{1}, places[k]) == 1;
    auto const taken = HostHeap::of_this_thread().num_allocations - before;
    CHECK(noted);
    CHECK(taken == 0);
  }
}

namespace {

/// Moves out whatever there is room for, as soon as anything is evicted.
struct GreedySink {
  static constexpr PrefixEvents hears = PrefixEvents::removed;
  void removed(PrefixRemoved const&) noexcept {
    if (*num_moves == 0) *num_allocations = HostHeap::of_this_thread().num_allocations;
    while (moves != nullptr && *moves != nullptr && (*moves)->move_out(0, BlockId{1}, memory) != BlockMoves::no_room)
      ++*num_moves;
  }
  std::shared_ptr<BlockMoves*> moves;
  std::byte* memory = nullptr;
  std::shared_ptr<int> num_moves = std::make_shared<int>(0);
  std::shared_ptr<std::int64_t> num_allocations = std::make_shared<std::int64_t>(0);  // when it was told first
};

}  // namespace

TEST_CASE("an extension that evicts, hears its sink fill all the room, and then copies, needs no more memory") {
  Places places(4096, 1);
  GreedySink const sink{std::make_shared<BlockMoves*>(nullptr), places[0]};
  CacheOf<SharedMemory, LruEviction, GreedySink> cache({.num_blocks = {6, 12}}, shared_memory(), sink);
  *sink.moves = &cache.moves();
  std::vector<std::int32_t> tokens(16);
  Sequence s = cache.create(16);
  static_cast<void>(cache.batch({&s}));
  REQUIRE(cache.insert(s, Prefix(tokens)) == 16);
  s.release();
  Sequence a = cache.create(5), b = a.fork();
  cache.moves().reserve_out(30);
  b.extend(1);  // copies a block of each group, for which a prefix must go
  std::int64_t const num_allocations = HostHeap::of_this_thread().num_allocations;
  REQUIRE(*sink.num_moves == 30);
  CHECK(num_allocations == *sink.num_allocations);
  REQUIRE(cache.moves().due().size() >= 32);
  CHECK_FALSE(cache.moves().due().back().is_out());
  static_cast<void>(cache.batch({&b}));
  CHECK(cache.moves().passed() == 1);
}

namespace {

/// A lower tier in small: moves each unit that is evicted out to places of its own.
struct TierSink {
  static constexpr PrefixEvents hears = PrefixEvents::evicting;
  void evicting(PrefixEvicting const& e) noexcept {
    for (std::size_t l = 0; l < e.blocks.size(); ++l)
      for (BlockId const block : e.blocks[l])
        if (block != null_block &&
            (*moves)->move_out(static_cast<int>(l), block, (*places)[*num_moves]) != BlockMoves::no_room)
          (*numbers)[static_cast<std::size_t>((*num_moves)++)] = number_of(e.symbols.front(), static_cast<int>(l));
  }
  static int number_of(std::int32_t symbol, int list) { return 1 + symbol * 2 + list; }

  std::shared_ptr<Places> places = std::make_shared<Places>(4096, 64);
  std::shared_ptr<BlockMoves*> moves = std::make_shared<BlockMoves*>(nullptr);
  std::shared_ptr<std::size_t> num_moves = std::make_shared<std::size_t>(0);
  std::shared_ptr<std::vector<int>> numbers = std::make_shared<std::vector<int>>(64);
};

template <class Cache, class... Memory>
void check_tier(Memory... memory) {
  TierSink const sink;
  Cache cache({.num_blocks = {6, 12}}, memory..., sink);
  *sink.moves = &cache.moves();
  cache.moves().reserve_out(64);
  std::vector<std::int32_t> tokens{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3};
  {
    Sequence s = cache.create(16);
    static_cast<void>(cache.batch({&s}));
    for (int l = 0; l < 2; ++l) {
      auto const per_unit = static_cast<std::size_t>(4 / cache.shape(l).block_size);
      for (std::size_t i = 0; i < s.blocks(l).size(); ++i)
        if (s.blocks(l)[i] != null_block)
          fill(cache, l, s.blocks(l)[i], TierSink::number_of(static_cast<std::int32_t>(i / per_unit), l));
    }
    REQUIRE(cache.insert(s, Prefix(tokens)) == 16);
  }
  Sequence other = cache.create(20);  // takes blocks that a unit had, before any of them was copied
  REQUIRE(*sink.num_moves > 0);
  static_cast<void>(cache.batch({&other}));
  CHECK(cache.moves().passed() == cache.moves().issued());
  CHECK(cache.moves().due().empty());
  for (std::size_t i = 0; i < *sink.num_moves; ++i)
    for (std::int64_t byte = 0; byte < cache.block_bytes(0) && byte < cache.block_bytes(1); ++byte)
      REQUIRE(static_cast<int>((*sink.places)[i][byte]) == (*sink.numbers)[i]);
}

}  // namespace

TEST_CASE("what a sink hears is about to be evicted is moved out whole, whoever gets the blocks next") {
  check_tier<CacheOf<LruEviction, TierSink>>();
  check_tier<CacheOf<SharedMemory, LruEviction, TierSink>>(shared_memory());
}

TEMPLATE_TEST_CASE("what is moved out is what was there when it was noted, in random programs", "", CacheOf<>,
                   SharedCache) {
  int num_checked = 0, num_copies = 0, num_reused = 0;
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    auto cache = [&] {
      if constexpr (std::is_same_v<TestType, SharedCache>)
        return TestType({.num_blocks = {9, 14}}, shared_memory());
      else
        return TestType({.num_blocks = {9, 14}});
    }();
    HostDriver<TestType> driver{cache, {}};
    folio::test::MovesProgram program(driver, seed, 30);
    program.run(150);
    num_checked += program.num_checked();
    num_copies += program.num_copies();
    num_reused += program.num_reused();
  }
  CHECK(num_checked > 1000);
  CHECK(num_copies > 300);
  CHECK((num_reused > 20 || std::is_same_v<TestType, CacheOf<>>));
}
