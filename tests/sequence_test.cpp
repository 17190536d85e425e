// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/sequence.hpp>
#include <limits>
#include <numeric>
#include <optional>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"

using folio::BlockId;
using folio::GroupShape;
using folio::null_block;
using folio::OutOfBlocks;
using folio::Sequence;
using folio::SequenceStore;
using folio::test::below;
using folio::test::block_ids;
using folio::test::contains;
using folio::test::ModelSequence;
using folio::test::snapshot;

namespace {

constexpr std::int32_t most_tokens = std::numeric_limits<std::int32_t>::max();

/// The shape of a group as far as block lists go; a window of 0 is none.
GroupShape group(std::int32_t block_size, std::int32_t window = 0, std::int32_t sinks = 0) {
  GroupShape shape;
  shape.block_size = block_size;
  shape.window = window;
  shape.sinks = sinks;
  return shape;
}

/// A store without memory that notes which blocks it is asked to copy.
class Ledger : private folio::BlockCopier {
 public:
  struct Copy {
    int group;
    BlockId from, to;
    friend bool operator==(Copy const&, Copy const&) = default;
  };

  Ledger(std::vector<GroupShape> shapes, std::vector<std::int64_t> const& num_blocks)
      : store(std::move(shapes), num_blocks, *this) {}
  Ledger(Ledger const&) = delete;
  Ledger& operator=(Ledger const&) = delete;

  [[nodiscard]] Sequence create(std::int32_t num_tokens = 0) {
    Sequence sequence(nullptr, store, store.create());
    sequence.extend(num_tokens);
    return sequence;
  }
  [[nodiscard]] std::int32_t num_free(int g = 0) const { return store.pool(g).num_free(); }

  std::vector<Copy> copies;
  SequenceStore store;

 private:
  void prepare(std::int64_t) override {}
  void copy(int g, BlockId from, BlockId to) noexcept override { copies.push_back({g, from, to}); }
};

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 8};
using Cache = folio::KvCache<folio::Model<tiny>, folio::BlockSize<4>, folio::F32>;

/// A cache whose unwritten slots are NaN.
Cache small_cache(std::int64_t num_blocks) {
  Cache cache({.num_blocks = {num_blocks}});
  folio::test::poison(cache);
  return cache;
}

/// Whether each block of a windowed group is held exactly if it has a sink or something that a query at `first` sees.
bool holds_what_is_seen(Sequence const& s, GroupShape const& shape, std::int32_t first) {
  std::span<BlockId const> const blocks = s.blocks();
  if (static_cast<std::int32_t>(blocks.size()) != folio::blocks_for(s.num_tokens(), shape.block_size)) return false;
  for (std::int32_t b = 0; b < static_cast<std::int32_t>(blocks.size()); ++b) {
    bool needed = false;
    for (std::int32_t t = b * shape.block_size; t < (b + 1) * shape.block_size; ++t)
      needed = needed || t < shape.sinks || t >= shape.window_begin(first);
    if ((blocks[static_cast<std::size_t>(b)] != null_block) != needed) return false;
  }
  return true;
}

std::int32_t num_held(Sequence const& s, int g = 0) {
  std::int32_t held = 0;
  for (BlockId const block : s.blocks(g)) held += block != null_block ? 1 : 0;
  return held;
}

}  // namespace

// Appending

TEST_CASE("a sequence has as many blocks as its tokens fill, however they came") {
  for (std::int32_t const n : {0, 1, 3, 4, 5, 7, 8, 9, 16}) {
    CAPTURE(n);
    Cache cache = small_cache(16);
    ModelSequence at_once(cache), one_by_one(cache);
    at_once.extend(n);
    for (std::int32_t i = 0; i < n; ++i) one_by_one.extend(1);
    CHECK(at_once->num_tokens() == n);
    CHECK(at_once->blocks().size() == static_cast<std::size_t>((n + 3) / 4));
    CHECK(one_by_one->blocks().size() == at_once->blocks().size());
    CHECK(at_once.difference() == "");
    CHECK(one_by_one.difference() == "");
    CHECK(cache.num_free_blocks() == 16 - 2 * ((n + 3) / 4));
  }
}

TEST_CASE("two sequences that grow by turns keep their tokens apart") {
  Cache cache = small_cache(16);
  ModelSequence a(cache), b(cache);
  for (int i = 0; i < 10; ++i) {
    a.extend(1 + i % 3);
    b.extend(1 + (i + 1) % 2);
  }
  CHECK(a.difference() == "");
  CHECK(b.difference() == "");
}

TEST_CASE("the new tokens are those of the last append that are still there") {
  Ledger ledger({group(4)}, {16});
  Sequence s = ledger.create();
  CHECK(s.num_new_tokens() == 0);
  s.extend(5);
  CHECK(s.num_new_tokens() == 5);
  s.extend(3);
  CHECK(s.num_new_tokens() == 3);
  CHECK(s.fork().num_new_tokens() == 3);
  s.truncate(7);
  CHECK(s.num_new_tokens() == 2);
  s.truncate(2);
  CHECK(s.num_new_tokens() == 0);
  s.extend(4);
  s.extend(0);
  CHECK(s.num_new_tokens() == 0);
  CHECK(s.num_tokens() == 6);
}

TEST_CASE("an append that does not fit throws with the facts, counts, and changes nothing") {
  Ledger ledger({group(4)}, {3});
  Sequence s = ledger.create(6);
  auto const before = snapshot(ledger.store);
  try {
    s.extend(7);
    FAIL("the append fitted");
  } catch (OutOfBlocks const& error) {
    CHECK(error.group() == 0);
    CHECK(error.asked() == 2);
    CHECK(error.free() == 1);
  }
  CHECK(snapshot(ledger.store) == before);
  CHECK_FALSE(s.try_extend(7));
  CHECK(snapshot(ledger.store) == before);
  CHECK(ledger.store.counters().out_of_blocks == 2);
  CHECK(s.try_extend(6));
  CHECK(ledger.num_free() == 0);
  CHECK_FALSE(s.try_extend(1));
}

TEST_CASE("a partly filled block of one's own takes tokens when no block is free") {
  Ledger ledger({group(4)}, {1});
  Sequence s = ledger.create(1);
  CHECK(s.try_extend(3));
  CHECK_FALSE(s.try_extend(1));
}

TEST_CASE("when one group is short, no group changes") {
  for (int const short_group : {0, 1, 2}) {
    std::vector<std::int64_t> num_blocks{100, 100, 100};
    num_blocks[static_cast<std::size_t>(short_group)] = 3;
    Ledger ledger({group(4), group(3), group(2, 2)}, num_blocks);
    Sequence s = ledger.create(2);
    auto const before = snapshot(ledger.store);
    try {
      s.extend(20);
      FAIL("the append fitted");
    } catch (OutOfBlocks const& error) {
      CHECK(error.group() == short_group);
      CHECK(error.asked() > error.free());
      CHECK(error.free() == ledger.num_free(short_group));
    }
    CHECK(snapshot(ledger.store) == before);
    CHECK(s.try_extend(2));
  }
}

TEST_CASE("a negative number of tokens is refused and nothing changes") {
  Ledger ledger({group(4)}, {4});
  Sequence s = ledger.create(3);
  auto const before = snapshot(ledger.store);
  REQUIRE_THROWS_AS(s.extend(-1), folio::Error);
  REQUIRE_THROWS_WITH(s.extend(-1), contains("cannot append -1 tokens"));
  REQUIRE_THROWS_WITH((void)s.try_extend(std::numeric_limits<std::int32_t>::min()), contains("cannot append"));
  CHECK(snapshot(ledger.store) == before);
}

TEST_CASE("a sequence has at most 2147483647 tokens") {
  Ledger ledger({group(1 << 30)}, {2});
  Sequence s = ledger.create(1);
  auto const before = snapshot(ledger.store);
  REQUIRE_THROWS_WITH(
      s.extend(most_tokens),
      contains("cannot append 2147483647 tokens to a sequence of 1; a sequence has at most 2147483647"));
  CHECK(snapshot(ledger.store) == before);
  s.extend(most_tokens - 1);
  CHECK(s.num_tokens() == most_tokens);
  CHECK(s.blocks().size() == 2);
  REQUIRE_THROWS_WITH(
      s.extend(1), contains("cannot append 1 tokens to a sequence of 2147483647; a sequence has at most 2147483647"));
  s.extend(0);
  s.truncate(1);
  CHECK(s.blocks().size() == 1);
}

TEST_CASE("asking what an impossible append would take is refused as the append is") {
  Ledger ledger({group(4)}, {4});
  Sequence const s = ledger.create(3);
  REQUIRE_THROWS_AS((void)s.num_blocks_to_extend(most_tokens), folio::Error);
  REQUIRE_THROWS_AS((void)s.num_blocks_to_extend(-1), folio::Error);
}

TEST_CASE("num_blocks_to_extend foretells what an append takes from the free blocks") {
  std::mt19937 random(11);
  Ledger ledger({group(4), group(3, 5, 2), group(1, 1)}, {200, 200, 200});
  std::vector<Sequence> sequences;
  sequences.push_back(ledger.create());
  for (int step = 0; step < 2000; ++step) {
    Sequence& s = sequences[static_cast<std::size_t>(below(random, static_cast<std::int32_t>(sequences.size())))];
    std::int32_t const n = below(random, 9);
    std::int64_t foretold[3], before[3];
    for (int g = 0; g < 3; ++g) {
      foretold[g] = s.num_blocks_to_extend(n, g);
      before[g] = ledger.num_free(g);
    }
    if (!s.try_extend(n)) {
      CHECK((foretold[0] > before[0] || foretold[1] > before[1] || foretold[2] > before[2]));
      s.truncate(0);
      continue;
    }
    for (int g = 0; g < 3; ++g) REQUIRE(before[g] - ledger.num_free(g) == foretold[g]);
    if (step % 7 == 0 && sequences.size() < 5)
      sequences.push_back(s.fork());
    else if (step % 11 == 0 && sequences.size() > 1)
      sequences.pop_back();
  }
}

// Forking

TEST_CASE("a fork shares every block and copies none") {
  Ledger ledger({group(4)}, {8});
  Sequence const parent = ledger.create(10);
  Sequence const child = parent.fork();
  CHECK(block_ids(child) == block_ids(parent));
  CHECK(child.num_tokens() == 10);
  CHECK(child.id() != parent.id());
  CHECK(ledger.num_free() == 5);
  CHECK(ledger.store.pool(0).num_shared() == 3);
  CHECK(ledger.copies.empty());
}

TEST_CASE("a fork of an empty sequence is an empty sequence") {
  Ledger ledger({group(4)}, {8});
  Sequence const parent = ledger.create();
  Sequence child = parent.fork();
  CHECK(child.num_tokens() == 0);
  child.extend(3);
  CHECK(parent.num_tokens() == 0);
  CHECK(parent.blocks().empty());
}

TEST_CASE("whoever first appends into a shared partly filled block copies it, and nobody else does") {
  bool const child_first = GENERATE(true, false);
  for (std::int32_t const length : {1, 2, 3, 5, 7, 9, 11}) {
    CAPTURE(child_first, length);
    Cache cache = small_cache(16);
    ModelSequence parent(cache);
    parent.extend(length);
    ModelSequence child = parent.fork();
    auto const shared = block_ids(parent.sequence());
    ModelSequence<Cache>& first = child_first ? child : parent;
    ModelSequence<Cache>& second = child_first ? parent : child;
    first.extend(1);
    CHECK(cache.stats().counters.copies == 1);
    CHECK(block_ids(first.sequence()).at(shared.size() - 1) != shared.back());
    second.extend(2);
    CHECK(cache.stats().counters.copies == 1);
    CHECK(block_ids(second.sequence()).at(shared.size() - 1) == shared.back());
    CHECK(parent.difference() == "");
    CHECK(child.difference() == "");
  }
}

TEST_CASE("at a block's edge an append after a fork copies nothing") {
  Cache cache = small_cache(16);
  ModelSequence parent(cache);
  parent.extend(8);
  ModelSequence child = parent.fork();
  child.extend(1);
  parent.extend(5);
  CHECK(cache.stats().counters.copies == 0);
  CHECK(parent.difference() == "");
  CHECK(child.difference() == "");
}

TEST_CASE("three holders of a partly filled block make two copies") {
  Cache cache = small_cache(16);
  ModelSequence a(cache);
  a.extend(6);
  ModelSequence b = a.fork(), c = b.fork();
  b.extend(1);
  c.extend(3);
  a.extend(1);
  CHECK(cache.stats().counters.copies == 2);
  CHECK(a.difference() == "");
  CHECK(b.difference() == "");
  CHECK(c.difference() == "");
  CHECK(cache.stats().shared == 1);
}

TEST_CASE("copy on write needs a free block, and its lack changes nothing") {
  Ledger ledger({group(4)}, {2});
  Sequence parent = ledger.create(6);
  Sequence child = parent.fork();
  auto const before = snapshot(ledger.store);
  try {
    child.extend(1);
    FAIL("the append fitted");
  } catch (OutOfBlocks const& error) {
    CHECK(error.asked() == 1);
    CHECK(error.free() == 0);
  }
  CHECK(snapshot(ledger.store) == before);
  CHECK(ledger.copies.empty());
  child.release();
  CHECK(parent.try_extend(2));
}

TEST_CASE("one group may copy where another is at an edge") {
  Ledger ledger({group(4), group(3), group(2)}, {8, 8, 8});
  Sequence parent = ledger.create(6);
  std::int32_t const last = block_ids(parent, 0).back();
  Sequence const child = parent.fork();
  parent.extend(1);
  REQUIRE(ledger.copies.size() == 1);
  CHECK(ledger.copies[0] == Ledger::Copy{0, BlockId{last}, BlockId{block_ids(parent, 0).back()}});
}

TEST_CASE("the first to append has copied before the source can be written by others") {
  Cache cache = small_cache(16);
  ModelSequence parent(cache);
  parent.extend(6);
  ModelSequence child = parent.fork();
  child.extend(2);
  for (int i = 0; i < 5; ++i) parent.extend(1);
  child.extend(3);
  CHECK(parent.difference() == "");
  CHECK(child.difference() == "");
}

// Truncating

TEST_CASE("truncating gives back the blocks after the new end") {
  for (std::int32_t const n : {0, 1, 3, 4, 5, 8, 9}) {
    CAPTURE(n);
    Cache cache = small_cache(8);
    ModelSequence story(cache);
    story.extend(9).truncate(n);
    CHECK(story->blocks().size() == static_cast<std::size_t>((n + 3) / 4));
    CHECK(cache.num_free_blocks() == 8 - (n + 3) / 4);
    CHECK(story.difference() == "");
    story.extend(6);
    CHECK(story.difference() == "");
  }
}

TEST_CASE("truncating to a length that is not there is refused and changes nothing") {
  Ledger ledger({group(4), group(3, 4)}, {8, 8});
  Sequence s = ledger.create(9);
  auto const before = snapshot(ledger.store);
  for (std::int32_t const n : {10, -1, most_tokens, std::numeric_limits<std::int32_t>::min()}) {
    REQUIRE_THROWS_AS(s.truncate(n), folio::Error);
    REQUIRE_THROWS_WITH(s.truncate(n), contains("cannot truncate a sequence of 9 tokens to " + std::to_string(n)));
  }
  CHECK(snapshot(ledger.store) == before);
}

TEST_CASE("a child that goes back below the fork and appends leaves its parent's tokens alone") {
  for (std::int32_t const back : {0, 1, 4, 5, 6, 8, 9}) {
    CAPTURE(back);
    Cache cache = small_cache(16);
    ModelSequence parent(cache);
    parent.extend(10);
    ModelSequence child = parent.fork();
    child.truncate(back).extend(7);
    CHECK(parent.difference() == "");
    CHECK(child.difference() == "");
    CHECK(cache.stats().counters.copies == (back % 4 != 0 ? 1 : 0));
  }
}

TEST_CASE("a parent that goes back into a shared block and appends leaves its child's tokens alone") {
  Cache cache = small_cache(16);
  ModelSequence parent(cache);
  parent.extend(10);
  ModelSequence child = parent.fork();
  child.extend(4);
  parent.truncate(5).extend(1);
  CHECK(parent.difference() == "");
  CHECK(child.difference() == "");
}

TEST_CASE("truncating shared blocks frees none") {
  Ledger ledger({group(4)}, {8});
  Sequence parent = ledger.create(16);
  Sequence const child = parent.fork();
  parent.truncate(1);
  CHECK(ledger.num_free() == 4);
  CHECK(ledger.store.pool(0).num_shared() == 1);
  CHECK(child.blocks().size() == 4);
}

TEST_CASE("speculation: fork, write ahead, drop what was not accepted") {
  Cache cache = small_cache(16);
  ModelSequence story(cache);
  story.extend(5);
  for (std::int32_t accepted = 0; accepted < 4; ++accepted) {
    std::int32_t const length = story->num_tokens();
    ModelSequence draft = story.fork();
    draft.extend(4).truncate(length + accepted);
    CHECK(draft.difference() == "");
    story = std::move(draft);
  }
  CHECK(story->num_tokens() == 5 + 0 + 1 + 2 + 3);
  CHECK(story.difference() == "");
  CHECK(cache.num_free_blocks() == 16 - 3);
}

// Releasing

TEST_CASE("releasing frees what nobody else holds") {
  Ledger ledger({group(4)}, {8});
  Sequence parent = ledger.create(10);
  Sequence child = parent.fork();
  child.extend(3);
  CHECK(ledger.num_free() == 8 - 3 - 2);
  parent.release();
  CHECK(ledger.num_free() == 8 - 4);
  child.release();
  CHECK(ledger.num_free() == 8);
}

TEST_CASE("a sequence's blocks go with its handle") {
  Ledger ledger({group(4)}, {8});
  { Sequence const s = ledger.create(10); }
  CHECK(ledger.num_free() == 8);
  CHECK(ledger.store.counters().released == 1);
}

TEST_CASE("ids of released sequences are used again, those of live ones are not") {
  Ledger ledger({group(4)}, {8});
  Sequence a = ledger.create(), b = ledger.create();
  auto const id = a.id();
  CHECK(id != b.id());
  a.release();
  Sequence const c = ledger.create();
  CHECK(c.id() == id);
  CHECK(c.num_tokens() == 0);
  CHECK(c.num_new_tokens() == 0);
}

TEST_CASE("an id that is used again brings nothing of the sequence that had it") {
  Ledger ledger({group(2, 3, 1)}, {32});
  Sequence a = ledger.create();
  for (int i = 0; i < 20; ++i) a.extend(1);
  a.release();
  Sequence b = ledger.create();
  b.extend(10);
  CHECK(num_held(b) == 5);
  b.truncate(3);
  CHECK(num_held(b) == 2);
}

// Handles

TEST_CASE("a handle that was moved from or released is empty, and says so") {
  Ledger ledger({group(4)}, {8});
  Sequence s = ledger.create(3);
  Sequence const moved = std::move(s);
  Sequence released = ledger.create(1);
  released.release();
  Sequence never;
  for (Sequence* const empty : {&s, &released, &never}) {
    CHECK_FALSE(*empty);
    CHECK(empty->store() == nullptr);
    empty->release();  // nothing happens
    REQUIRE_THROWS_WITH(empty->extend(1), contains("this Sequence is empty"));
    REQUIRE_THROWS_WITH((void)empty->try_extend(1), contains("this Sequence is empty"));
    REQUIRE_THROWS_WITH(empty->truncate(0), contains("this Sequence is empty"));
    REQUIRE_THROWS_WITH((void)empty->fork(), contains("this Sequence is empty"));
    REQUIRE_THROWS_WITH((void)empty->id(), contains("this Sequence is empty"));
    REQUIRE_THROWS_WITH((void)empty->num_tokens(), contains("this Sequence is empty"));
    REQUIRE_THROWS_WITH((void)empty->num_new_tokens(), contains("this Sequence is empty"));
    REQUIRE_THROWS_WITH((void)empty->blocks(), contains("this Sequence is empty"));
    REQUIRE_THROWS_WITH((void)empty->num_blocks_to_extend(1), contains("this Sequence is empty"));
  }
  CHECK(moved);
  CHECK(moved.num_tokens() == 3);
  CHECK(ledger.num_free() == 7);
}

TEST_CASE("assigning to a handle releases what it had") {
  Ledger ledger({group(4)}, {8});
  Sequence a = ledger.create(4), b = ledger.create(8);
  a = std::move(b);
  CHECK(ledger.num_free() == 6);
  CHECK(a.num_tokens() == 8);
  a = Sequence();
  CHECK(ledger.num_free() == 8);
}

TEST_CASE("a handle that is assigned to itself keeps its sequence") {
  Ledger ledger({group(4)}, {8});
  Sequence a = ledger.create(4);
  Sequence& same = a;
  a = std::move(same);
  CHECK(a.num_tokens() == 4);
  CHECK(ledger.num_free() == 7);
}

TEST_CASE("handles can live in a vector that grows and shrinks") {
  Ledger ledger({group(4)}, {100});
  std::vector<Sequence> all;
  for (std::int32_t i = 0; i < 20; ++i) all.push_back(ledger.create(i));
  all.erase(all.begin() + 3, all.begin() + 10);
  std::int32_t blocks = 0;
  for (Sequence const& s : all) blocks += (s.num_tokens() + 3) / 4;
  CHECK(ledger.num_free() == 100 - blocks);
}

TEST_CASE("a handle may outlive its cache") {
  std::optional<ModelSequence<Cache>> survivor;
  {
    Cache cache = small_cache(8);
    Sequence s = cache.create(5);
    survivor.emplace(cache, std::move(s));
  }
  Sequence child = survivor->sequence().fork();
  child.extend(3);
  survivor->sequence().truncate(1);
  CHECK(child.num_tokens() == 8);
}

TEST_CASE("counters count what happened") {
  Ledger ledger({group(4)}, {8});
  Sequence a = ledger.create(5);
  Sequence b = a.fork();
  b.extend(1);
  b.truncate(2);
  (void)a.try_extend(1000);
  a.release();
  auto const& counters = ledger.store.counters();
  CHECK(counters.created == 2);
  CHECK(counters.forks == 1);
  CHECK(counters.appends == 2);
  CHECK(counters.copies == 1);
  CHECK(counters.truncates == 1);
  CHECK(counters.out_of_blocks == 1);
  CHECK(counters.released == 1);
}

TEST_CASE("two stores that get the same calls make the same choices") {
  auto const play = [](std::vector<std::vector<std::int64_t>>& states) {
    Ledger ledger({group(4), group(3, 6, 2)}, {24, 24});
    std::vector<Sequence> sequences;
    std::mt19937 random(5);
    for (int step = 0; step < 400; ++step) {
      int const what = below(random, 6);
      if (sequences.empty() || what == 0) sequences.push_back(ledger.create());
      auto const i = static_cast<std::size_t>(below(random, static_cast<std::int32_t>(sequences.size())));
      if (what < 4)
        (void)sequences[i].try_extend(below(random, 7));
      else if (what == 4)
        sequences.push_back(sequences[i].fork());
      else
        sequences.erase(sequences.begin() + static_cast<std::ptrdiff_t>(i));
      states.push_back(snapshot(ledger.store));
    }
  };
  std::vector<std::vector<std::int64_t>> first, second;
  play(first);
  play(second);
  CHECK(first == second);
}

// Windows

TEST_CASE("a sequence that grows token by token holds the sinks' blocks and those that its query sees, and no other") {
  for (std::int32_t const block_size : {1, 2, 3, 4})
    for (std::int32_t const window : {1, 2, 3, 4, 5, 8, 11})
      for (std::int32_t const sinks : {0, 1, 2, 4, 5, 8}) {
        GroupShape const shape = group(block_size, window, sinks);
        Ledger ledger({shape}, {64});
        Sequence s = ledger.create();
        for (std::int32_t length = 1; length < 40; ++length) {
          CAPTURE(block_size, window, sinks, length);
          s.extend(1);
          REQUIRE(holds_what_is_seen(s, shape, length - 1));
          REQUIRE(ledger.num_free() == 64 - num_held(s));
        }
        s.release();
        REQUIRE(ledger.num_free() == 64);
      }
}

TEST_CASE("after a step of several tokens a sequence holds what the first of them sees") {
  for (std::int32_t const step : {2, 3, 5, 9})
    for (std::int32_t const block_size : {1, 3, 4})
      for (std::int32_t const window : {1, 2, 4, 7})
        for (std::int32_t const sinks : {0, 1, 4, 5}) {
          GroupShape const shape = group(block_size, window, sinks);
          Ledger ledger({shape}, {64});
          Sequence s = ledger.create();
          for (std::int32_t length = 0; length < 50; length += step) {
            CAPTURE(step, block_size, window, sinks, length);
            s.extend(step);
            REQUIRE(holds_what_is_seen(s, shape, length));
          }
        }
}

TEST_CASE("a window lets a sequence grow without end in a few blocks") {
  Ledger ledger({group(4, 6, 2)}, {4});
  Sequence s = ledger.create();
  for (int i = 0; i < 10'000; ++i) s.extend(1);
  CHECK(s.num_tokens() == 10'000);
  CHECK(num_held(s) <= 4);
}

TEST_CASE("an append of nothing gives nothing back") {
  Ledger ledger({group(1, 1)}, {8});
  Sequence s = ledger.create(5);
  auto const blocks = block_ids(s);
  s.extend(0);
  CHECK(block_ids(s) == blocks);
}

TEST_CASE("a window gives back a sequence's hold of a block, not its fork's") {
  Ledger ledger({group(2, 2)}, {32});
  Sequence parent = ledger.create(8);
  Sequence const child = parent.fork();
  for (int i = 0; i < 11; ++i) parent.extend(1);
  CHECK(num_held(child) == 4);
  CHECK(num_held(parent) == 2);
  CHECK(ledger.num_free() == 32 - 4 - 2);
}

TEST_CASE("a block that a fork still holds is not counted on when an append needs one") {
  Ledger ledger({group(1, 1)}, {2});
  Sequence parent = ledger.create(1);
  CHECK(parent.num_blocks_to_extend(1) == 0);
  Sequence child = parent.fork();
  CHECK(parent.num_blocks_to_extend(1) == 1);
  Sequence other = ledger.create(1);
  auto const before = snapshot(ledger.store);
  CHECK_FALSE(parent.try_extend(1));
  CHECK(snapshot(ledger.store) == before);
  child.release();
  CHECK(parent.try_extend(1));
}

TEST_CASE("a sequence can be truncated to where its window has everything, and nowhere else") {
  std::mt19937 random(17);
  for (std::int32_t const block_size : {1, 2, 3, 4})
    for (std::int32_t const window : {2, 3, 4, 5, 9})
      for (std::int32_t const sinks : {0, 1, 3, 4, 6})
        for (int round = 0; round < 4; ++round) {
          GroupShape const shape = group(block_size, window, sinks);
          Ledger ledger({shape}, {64});
          Sequence s = ledger.create();
          while (s.num_tokens() < 30) s.extend(1 + below(random, round + 1));
          for (std::int32_t n = 0; n <= s.num_tokens(); ++n) {
            CAPTURE(block_size, window, sinks, round, n);
            bool all_there = true;  // what a query at n sees
            for (std::int32_t t = 0; t < n; ++t)
              all_there = all_there &&
                          (!shape.visible(n, t) || s.blocks()[static_cast<std::size_t>(t / block_size)] != null_block);
            Sequence copy = s.fork();
            auto const before = snapshot(ledger.store);
            if (all_there) {
              copy.truncate(n);
              REQUIRE(copy.num_tokens() == n);
              copy.extend(3);
            } else {
              REQUIRE_THROWS_AS(copy.truncate(n), folio::Error);
              REQUIRE_THROWS_WITH(copy.truncate(n), contains("cannot truncate to " + std::to_string(n)));
              REQUIRE(snapshot(ledger.store) == before);
            }
          }
        }
}

TEST_CASE("the tokens of the last append can always be taken back") {
  std::mt19937 random(23);
  for (std::int32_t const block_size : {1, 2, 3, 4})
    for (std::int32_t const window : {1, 2, 3, 4, 5, 9})
      for (std::int32_t const sinks : {0, 1, 4, 6}) {
        GroupShape const shape = group(block_size, window, sinks);
        Ledger ledger({shape}, {256});
        Sequence s = ledger.create();
        for (int step = 0; step < 30; ++step) {
          CAPTURE(block_size, window, sinks, step);
          std::int32_t const length = s.num_tokens();
          s.extend(1 + below(random, 6));
          for (std::int32_t n = s.num_tokens(); n >= length; --n) {
            Sequence draft = s.fork();
            draft.truncate(n);
            draft.extend(2);
          }
          s.truncate(length + below(random, s.num_tokens() - length + 1));
        }
      }
}

TEST_CASE("a refused truncation names the group, its window and the least length") {
  Ledger ledger({group(4), group(4, 5)}, {16, 16});
  Sequence s = ledger.create(16);
  s.extend(4);
  s.extend(1);
  REQUIRE_THROWS_WITH(s.truncate(15), contains("cannot truncate to 15 tokens: layer group 1, with a window of 5, gave "
                                               "back the tokens before 16; truncate to 0 or to at least 20"));
  s.truncate(20);
  CHECK(s.num_tokens() == 20);
}

TEST_CASE("a window group can always be truncated to nothing and begun again") {
  Ledger ledger({group(2, 3, 1)}, {8});
  Sequence s = ledger.create();
  for (int i = 0; i < 20; ++i) s.extend(1);
  s.truncate(0);
  CHECK(ledger.num_free() == 8);
  s.extend(10);
  CHECK(num_held(s) == 5);
}

TEMPLATE_TEST_CASE_SIG("windows keep what is seen, with forks, steps of any size and truncation", "",
                       ((std::int32_t Window, std::int32_t Sinks), Window, Sinks), (1, 0), (2, 0), (3, 4), (4, 0),
                       (8, 1), (8, 5), (6, 8), (7, 3)) {
  static constexpr folio::ModelConfig model{.layers = 3,
                                            .kv_heads = 1,
                                            .head_dim = 8,
                                            .groups = {folio::sliding_window(Window, Sinks), folio::full_attention()},
                                            .pattern = folio::repeat_groups({0, 1, 0})};
  folio::KvCache<folio::Model<model>, folio::BlockSizes<4, 3>, folio::F32> cache({.num_blocks = {64, 64}});
  folio::test::poison(cache);
  std::mt19937 random(29);
  ModelSequence story(cache);
  for (int step = 0; step < 25; ++step) {
    CAPTURE(step);
    std::int32_t const length = story->num_tokens();
    story.extend(1 + below(random, 6));
    REQUIRE(story.difference() == "");
    ModelSequence child = story.fork();
    child.extend(2);
    story.truncate(length + 1);
    story.extend(1);
    REQUIRE(child.difference() == "");
    REQUIRE(story.difference() == "");
  }
  story->release();
  CHECK(cache.num_free_blocks(0) == 64);
  CHECK(cache.num_free_blocks(1) == 64);
}

// Gaps: a list of blocks has its own length

TEST_CASE("a cut takes whole blocks out of one group, and positions go on") {
  Ledger ledger({group(4), group(2)}, {16, 16});
  Sequence s = ledger.create(18);
  std::vector<BlockId> blocks(s.blocks().begin(), s.blocks().end());
  s.cut(4, 8);
  CHECK(s.num_tokens() == 18);
  CHECK(s.num_stored_tokens(0) == 10);
  CHECK(s.num_stored_tokens(1) == 18);
  CHECK(s.num_exact_tokens() == 4);
  CHECK(s.num_new_tokens() == 6);  // those after the gap
  blocks.erase(blocks.begin() + 1, blocks.begin() + 3);
  CHECK(std::vector<BlockId>(s.blocks().begin(), s.blocks().end()) == blocks);
  CHECK(ledger.num_free() == 13);
  s.extend(3);
  CHECK(s.num_tokens() == 21);
  CHECK(s.num_stored_tokens() == 13);
  CHECK(s.blocks().size() == 4);
  CHECK(s.blocks(1).size() == 11);
  s.cut(0, 4);  // a gap is one interval
  CHECK(s.num_exact_tokens() == 0);
  s.cut(0, 0);
  CHECK(s.num_stored_tokens() == 9);
}

TEST_CASE("a sequence with a gap is truncated after it, or before it as a whole") {
  Ledger ledger({group(4), group(2)}, {32, 32});
  Sequence s = ledger.create(30);
  s.cut(8, 8);
  s.cut(12, 4);  // tokens 20 to 24: of those between 8 and 24 nobody tells where they are
  REQUIRE_THROWS_WITH(s.truncate(23), contains("cannot truncate to 23 tokens: of tokens 8 to 24 layer group 0 stores "
                                               "some no more: 18 of 30; truncate to 8 or to 24"));
  REQUIRE_THROWS_AS(s.truncate(9), folio::Error);
  CHECK(s.num_stored_tokens() == 18);
  Sequence child = s.fork();
  s.truncate(24);
  CHECK(s.num_stored_tokens() == 12);
  CHECK(s.num_stored_tokens(1) == 24);
  CHECK(s.num_new_tokens() == 0);
  s.truncate(8);
  CHECK(s.num_stored_tokens() == 8);
  CHECK(s.num_exact_tokens() == 8);
  s.extend(5);
  CHECK(s.num_exact_tokens() == 13);  // the gap is forgotten
  s.truncate(9);
  CHECK(child.num_stored_tokens() == 18);
  REQUIRE_THROWS_AS(child.truncate(23), folio::Error);
  s.release();
  child.release();
  CHECK(ledger.num_free() == 32);
  CHECK(ledger.num_free(1) == 32);
  Sequence next = ledger.create(20);  // in the state of the child, which has a gap
  CHECK(next.num_exact_tokens() == 20);
  CHECK(next.num_stored_tokens() == 20);
}

TEST_CASE("a truncation to where a gap ends keeps it, though nothing is stored after it") {
  Ledger ledger({group(4)}, {8});
  Sequence s = ledger.create(14);
  s.cut(8, 4);
  s.truncate(12);
  CHECK(s.num_stored_tokens() == 8);
  CHECK(s.num_exact_tokens() == 8);
  s.extend(1);
  CHECK(s.num_tokens() == 13);
  CHECK(s.num_stored_tokens() == 9);
  REQUIRE_THROWS_AS(s.truncate(10), folio::Error);
}

TEST_CASE("what is kept after a compaction is known at its ends") {
  Ledger ledger({group(4)}, {16});
  Sequence s = ledger.create(20);
  s.extend(10);
  std::uint64_t const generation = s.state().generation;
  s.keep({.num_tokens = 12, .num_first = 3, .num_last = 4});
  CHECK(s.state().generation != generation);
  CHECK(s.num_tokens() == 30);
  CHECK(s.num_stored_tokens() == 12);
  CHECK(s.blocks().size() == 3);
  CHECK(s.num_exact_tokens() == 3);
  CHECK(s.num_new_tokens() == 4);
  std::uint64_t const kept = s.state().generation;
  s.keep({.num_tokens = 12});  // as it is
  CHECK(s.num_exact_tokens() == 3);
  CHECK(s.state().generation == kept);
  s.keep({.num_tokens = 11, .num_first = 3, .num_last = 3});  // in the same blocks: tables have the wrong length now
  CHECK(s.blocks().size() == 3);
  CHECK(s.state().generation != kept);
  CHECK(s.num_new_tokens() == 3);
  s.truncate(27);
  CHECK(s.num_stored_tokens() == 8);
  REQUIRE_THROWS_AS(s.truncate(25), folio::Error);
  s.truncate(3);
  CHECK(s.num_stored_tokens() == 3);
}

TEST_CASE("cut and keep refuse what there is not, parts of blocks and windows, in a sentence") {
  Ledger ledger({group(4), group(4, 6)}, {16, 16});
  Sequence s = ledger.create(18);
  auto const before = snapshot(ledger.store);
  REQUIRE_THROWS_WITH(s.cut(4, 16), contains("cannot cut 16 tokens from 4 on: layer group 0 stores 18 of the "
                                             "sequence's 18"));
  REQUIRE_THROWS_WITH(s.cut(2, 4), contains("cut takes whole blocks, of 4 tokens in layer group 0"));
  REQUIRE_THROWS_AS(s.cut(4, 2), folio::Error);
  REQUIRE_THROWS_AS(s.cut(-4, 4), folio::Error);
  REQUIRE_THROWS_AS(s.cut(4, -4), folio::Error);
  REQUIRE_THROWS_AS(s.cut(most_tokens - 3, 4), folio::Error);
  REQUIRE_THROWS_WITH(s.cut(4, 4, 1), contains("layer group 1 has a window of 6, which is what it keeps"));
  REQUIRE_THROWS_AS(s.cut(0, 4, 2), folio::Error);
  REQUIRE_THROWS_WITH(s.keep({.num_tokens = 19}), contains("cannot keep 19 tokens"));
  REQUIRE_THROWS_AS(s.keep({.num_tokens = 8, .num_first = 5, .num_last = 4}), folio::Error);
  REQUIRE_THROWS_AS(s.keep({.num_tokens = -1}), folio::Error);
  REQUIRE_THROWS_AS(s.keep({.num_tokens = 8, .num_first = -1, .num_last = 4}), folio::Error);
  REQUIRE_THROWS_AS(s.keep({.num_tokens = 8, .num_first = most_tokens, .num_last = most_tokens}), folio::Error);
  REQUIRE_THROWS_AS(s.keep({.num_tokens = 8}, 1), folio::Error);
  CHECK(snapshot(ledger.store) == before);
}

TEST_CASE("an extension takes blocks for what a group stores, not for positions") {
  Ledger ledger({group(4), group(2)}, {8, 32});
  Sequence s = ledger.create(30);
  CHECK_FALSE(s.can_extend(3));
  s.cut(4, 24);
  CHECK(s.num_blocks_to_extend(3) == 1);
  CHECK(s.num_blocks_to_extend(3, 1) == 2);
  Sequence child = s.fork();
  child.extend(1);  // into the last block, which both have
  CHECK(ledger.copies.size() == 1);
  CHECK(child.num_stored_tokens() == 7);
  CHECK(s.num_stored_tokens() == 6);
}

TEST_CASE("a truncation into the gaps of two groups names lengths that both allow") {
  Ledger ledger({group(4), group(4), group(4)}, {32, 32, 32});
  Sequence s = ledger.create(40);
  s.cut(8, 8, 0);
  s.cut(12, 20, 1);
  REQUIRE_THROWS_WITH(s.truncate(10), contains("truncate to 8 or to 32"));
  REQUIRE_THROWS_WITH(s.truncate(20), contains("truncate to 8 or to 32"));
  s.truncate(32);
  s.truncate(8);
  CHECK(s.num_stored_tokens(1) == 8);
}

TEST_CASE("a compaction of blocks that a fork shares is refused when it is told, and can be asked before") {
  Ledger ledger({group(4)}, {32});
  Sequence s = ledger.create(14);
  Sequence child = s.fork();
  s.extend(6);  // copies the last block
  CHECK(s.num_shared_blocks(0, 20) == 3);
  CHECK(s.num_shared_blocks(12, 20) == 0);
  CHECK(s.num_shared_blocks(11, 12) == 1);
  CHECK(s.num_shared_blocks(20, 20) == 0);
  CHECK(s.num_shared_blocks(6, 6) == 0);  // in the middle of a block that is
  REQUIRE_THROWS_AS(s.num_shared_blocks(0, 21), folio::Error);
  REQUIRE_THROWS_AS(s.num_shared_blocks(3, 2), folio::Error);
  auto const before = snapshot(ledger.store);
  REQUIRE_THROWS_WITH(s.keep({.num_tokens = 14, .num_first = 11, .num_last = 2}),
                      contains("a fork or a prefix index has blocks of the others"));
  CHECK(snapshot(ledger.store) == before);
  s.keep({.num_tokens = 14, .num_first = 12, .num_last = 2});
  s.keep({.num_tokens = 7, .num_first = 7});  // nothing was moved
  CHECK(s.num_stored_tokens() == 7);
}

TEST_CASE("a sequence owns what it is to write: blocks that others have are copied, and no others") {
  Ledger ledger({group(4)}, {8});
  Sequence s = ledger.create(14);
  Sequence child = s.fork();
  s.extend(6);  // copies the last block
  ledger.copies.clear();
  auto const tables = [&] { return std::vector<BlockId>(s.blocks().begin(), s.blocks().end()); };
  auto const before = tables();
  auto const of_child = std::vector<BlockId>(child.blocks().begin(), child.blocks().end());
  std::uint64_t const generation = s.state().generation;
  s.own(13, 20);  // its own already
  s.own(5, 5);
  CHECK(ledger.copies.empty());
  CHECK(s.state().generation == generation);
  s.own(5, 9);
  CHECK(s.state().generation > generation);  // tables that were made before are stale from the second block on
  CHECK(s.state().num_unchanged_since(generation, 0) <= 1);
  auto const after = tables();
  CHECK(ledger.copies == std::vector<Ledger::Copy>{{0, before[1], after[1]}, {0, before[2], after[2]}});
  CHECK(after[0] == before[0]);
  CHECK(after[3] == before[3]);
  CHECK(s.num_shared_blocks(4, 20) == 0);
  CHECK(s.num_shared_blocks(0, 20) == 1);
  CHECK(std::vector<BlockId>(child.blocks().begin(), child.blocks().end()) == of_child);
  CHECK(ledger.store.counters().copies == 3);
  REQUIRE_THROWS_AS(s.own(0, 21), folio::Error);
  REQUIRE_THROWS_AS(s.own(0, 4, 1), folio::Error);
  Sequence third = child.fork();
  CHECK(ledger.num_free() == 0);
  CHECK_FALSE(third.try_own(0, 14));  // 4 blocks are others', none is free
  REQUIRE_THROWS_AS(third.own(0, 14), folio::OutOfBlocks);
  CHECK(tables() == after);
  CHECK(ledger.store.counters().out_of_blocks == 2);
  child.release();
  third.own(0, 0);
  CHECK(third.num_shared_blocks(4, 14) == 0);
}

TEST_CASE("what a window gave back is nobody's to own") {
  Ledger ledger({group(4, 6, 2)}, {32});
  Sequence s = ledger.create();
  for (int step = 0; step < 30; ++step) s.extend(1);
  Sequence const child = s.fork();
  std::int32_t const held = num_held(s);
  CHECK(s.num_shared_blocks(0, 30) == held);
  s.own(0, 30);
  CHECK(s.num_shared_blocks(0, 30) == 0);
  CHECK(num_held(s) == held);
  CHECK(num_held(child) == held);
}
