// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <folio/batch.hpp>
#include <folio/kv_cache.hpp>
#include <folio/quantizer/f32.hpp>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"

using folio::BatchItem;
using folio::BatchPadding;
using folio::BatchTables;
using folio::Sequence;
using folio::test::below;
using folio::test::block_ids;
using folio::test::contains;

namespace {

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 8};
constexpr folio::ModelConfig windowed{.layers = 3,
                                      .kv_heads = 1,
                                      .head_dim = 8,
                                      .groups = {folio::full_attention(), folio::sliding_window(6, 2)},
                                      .pattern = folio::repeat_groups({0, 1, 1})};

using Cache = folio::KvCache<folio::Model<tiny>, folio::BlockSize<4>, folio::F32>;
using WindowCache = folio::KvCache<folio::Model<windowed>, folio::BlockSizes<4, 2>, folio::F32>;

template <class T>
std::vector<T> copy_of(std::span<T const> values) {
  return {values.begin(), values.end()};
}

/// Row i of the table of a group.
std::vector<std::int32_t> row(BatchTables const& tables, std::int32_t i, int group = 0) {
  auto const width = static_cast<std::size_t>(tables.table_width(group));
  return copy_of(tables.block_table(group).subspan(static_cast<std::size_t>(i) * width, width));
}

/// Everything in the tables.
std::vector<std::int64_t> contents(BatchTables const& tables, int num_groups) {
  std::vector<std::int64_t> all{tables.num_sequences(), tables.num_query_tokens()};
  auto const add = [&](auto values) { all.insert(all.end(), values.begin(), values.end()); };
  add(tables.end_positions());
  add(tables.query_starts());
  for (int g = 0; g < num_groups; ++g) {
    all.push_back(tables.table_width(g));
    add(tables.lengths(g));
    add(tables.block_table(g));
    add(tables.slots(g));
  }
  return all;
}

/// The tables as their definitions say, without padding, from the sequences alone.
void check_tables(BatchTables const& tables, std::vector<BatchItem> const& items, Cache const& cache) {
  std::int32_t const block_size = cache.shape().block_size;
  std::vector<std::int32_t> lengths, starts{0};
  std::vector<std::int64_t> slots;
  for (std::size_t i = 0; i < items.size(); ++i) {
    Sequence const& s = *items[i].sequence;
    std::int32_t const queries = items[i].num_query_tokens < 0 ? s.num_new_tokens() : items[i].num_query_tokens;
    lengths.push_back(s.num_tokens());
    starts.push_back(starts.back() + queries);
    auto const blocks = block_ids(s);
    for (std::int32_t t = s.num_tokens() - queries; t < s.num_tokens(); ++t)
      slots.push_back(std::int64_t{blocks[static_cast<std::size_t>(t / block_size)]} * block_size + t % block_size);
    auto expected = blocks;
    expected.resize(static_cast<std::size_t>(tables.table_width()), 0);
    REQUIRE(row(tables, static_cast<std::int32_t>(i)) == expected);
  }
  REQUIRE(copy_of(tables.lengths()) == lengths);
  REQUIRE(copy_of(tables.query_starts()) == starts);
  REQUIRE(copy_of(tables.slots()) == slots);
  REQUIRE(tables.num_query_tokens() == starts.back());
}

}  // namespace

TEST_CASE("tables hold each sequence's blocks, length, query tokens and slots, in the order given") {
  Cache cache({.num_blocks = {32}});
  Sequence a = cache.create(6), b = cache.create(1), c = cache.create(9);
  a.extend(3);
  auto const batch = cache.batch({&c, &a, &b});
  CHECK(batch.num_sequences() == 3);
  CHECK(copy_of(batch.lengths()) == std::vector<std::int32_t>{9, 9, 1});
  CHECK(copy_of(batch.query_starts()) == std::vector<std::int32_t>{0, 9, 12, 13});
  CHECK(batch.table_width() == 3);
  CHECK(row(batch, 0) == block_ids(c));
  CHECK(row(batch, 1) == block_ids(a));
  CHECK(row(batch, 2) == std::vector<std::int32_t>{block_ids(b)[0], 0, 0});
  CHECK(batch.slots()[9] == std::int64_t{block_ids(a)[1]} * 4 + 2);
  CHECK(batch.slots()[12] == std::int64_t{block_ids(b)[0]} * 4);
}

TEST_CASE("the number of query tokens can be given, none included") {
  Cache cache({.num_blocks = {32}});
  Sequence const a = cache.create(6), b = cache.create(5), fork = a.fork();
  auto const batch = cache.batch({{&a, 2}, {&b, 0}, {&fork, 6}});
  CHECK(copy_of(batch.query_starts()) == std::vector<std::int32_t>{0, 2, 2, 8});
  CHECK(batch.view().sequence(0, 0).num_query_tokens() == 2);
  CHECK(batch.view().sequence(0, 0).first_query() == 4);
  CHECK(batch.view().sequence(1, 0).first_query() == 5);
}

TEST_CASE("a batch of random sequences is what its definition says, filled again and again") {
  Cache cache({.num_blocks = {200}});
  std::mt19937 random(31);
  std::vector<Sequence> sequences;
  for (int i = 0; i < 12; ++i) sequences.push_back(cache.create(below(random, 30)));
  auto batch = cache.batch(std::span<BatchItem const>{});
  for (int step = 0; step < 200; ++step) {
    std::vector<BatchItem> items;
    for (std::int32_t n = below(random, 9); n > 0; --n) {
      Sequence& s = sequences[static_cast<std::size_t>(below(random, 12))];
      if (below(random, 3) == 0) s.truncate(below(random, s.num_tokens() + 1));
      if (below(random, 2) == 0) (void)s.try_extend(below(random, 5));
    }
    std::shuffle(sequences.begin(), sequences.end(), random);
    for (std::int32_t n = below(random, 9); n > 0; --n) {
      Sequence const& s = sequences[static_cast<std::size_t>(n)];
      items.emplace_back(&s, below(random, 2) == 0 ? BatchItem::last_extension : below(random, s.num_tokens() + 1));
    }
    cache.batch(items, batch);
    check_tables(batch, items, cache);
  }
}

TEST_CASE("a batch of nothing has no rows") {
  Cache cache({.num_blocks = {4}});
  auto const batch = cache.batch(std::span<BatchItem const>{});
  CHECK(batch.num_sequences() == 0);
  CHECK(batch.num_query_tokens() == 0);
  CHECK(copy_of(batch.query_starts()) == std::vector<std::int32_t>{0});
  CHECK(batch.view().num_sequences() == 0);
}

TEST_CASE("a sequence without tokens has a row of null blocks") {
  Cache cache({.num_blocks = {4}});
  Sequence const empty = cache.create(), one = cache.create(5);
  auto const batch = cache.batch({&empty, &one});
  CHECK(row(batch, 0) == std::vector<std::int32_t>{0, 0});
  CHECK(batch.lengths()[0] == 0);
  CHECK(batch.query_starts()[1] == 0);
}

TEST_CASE("each group has tables of its own") {
  WindowCache cache({.num_blocks = {32, 32}});
  Sequence s = cache.create();
  for (int i = 0; i < 15; ++i) s.extend(1);
  auto const batch = cache.batch({&s});
  CHECK(row(batch, 0, 0) == block_ids(s, 0));
  CHECK(batch.table_width(0) == 4);
  CHECK(block_ids(s, 1) == std::vector<std::int32_t>{1, 0, 0, 0, 5, 2, 3, 4});
  CHECK(row(batch, 0, 1) == std::vector<std::int32_t>{1, 5, 2, 3, 4});  // without what left the window
  CHECK(batch.slots(0)[0] == std::int64_t{block_ids(s, 0)[3]} * 4 + 2);
  CHECK(batch.slots(1)[0] == std::int64_t{block_ids(s, 1)[7]} * 2);
}

TEST_CASE("each group has the length of what it stores, and slots after that") {
  WindowCache cache({.num_blocks = {32, 32}});
  Sequence s = cache.create(22), whole = cache.create(3);
  s.cut(4, 8);
  s.extend(2);
  auto const batch = cache.batch({&s, &whole});
  CHECK(copy_of(batch.lengths(0)) == std::vector<std::int32_t>{16, 3});
  CHECK(copy_of(batch.lengths(1)) == std::vector<std::int32_t>{24, 3});
  CHECK(copy_of(batch.end_positions()) == std::vector<std::int32_t>{24, 3});
  CHECK(row(batch, 0, 0) == block_ids(s, 0));
  CHECK(batch.slots(0)[0] == std::int64_t{block_ids(s, 0)[3]} * 4 + 2);
  CHECK(batch.slots(1)[0] == std::int64_t{block_ids(s, 1)[11]} * 2);
  auto const view = batch.view();
  CHECK(view.sequence_in<0>(0, 0).num_tokens() == 16);
  CHECK(view.sequence_in<1>(0, 0).num_tokens() == 24);
  CHECK(view.end_position(0) == 24);
  CHECK(view.sequence_in<0>(0, 0).first_query() == 14);
  s.cut(0, 4);
  CHECK(batch.is_stale());
  Cache plain({.num_blocks = {8}});
  Sequence t = plain.create(24);
  t.cut(4, 8);
  REQUIRE_NOTHROW(plain.batch({{&t, 12}}));
  REQUIRE_THROWS_WITH(plain.batch({{&t, 13}}), contains("the first query token of sequence 0 is 11 of 24, before the "
                                                        "end of the gap in layer group 0 at 12"));
}

TEST_CASE("a view whose groups have no lengths has those of the sequences") {
  WindowCache cache({.num_blocks = {8, 8}});
  Sequence const s = cache.create(6);
  auto const batch = cache.batch({{&s, 2}});
  folio::GroupTable full = batch.view().group(0), window = batch.view().group(1);
  std::int32_t const end = 5, in_full = 4;  // other numbers than the batch's
  full.lengths = &in_full;
  window.lengths = nullptr;
  WindowCache::View const view({full, window}, &end, batch.query_starts().data(), 1, 2);
  CHECK(view.end_position(0) == 5);
  CHECK(view.sequence_in<1>(0, 0).num_tokens() == 5);
  CHECK(view.sequence_in<1>(0, 0).first_query() == 3);
  CHECK(view.sequence_in<0>(0, 0).num_tokens() == 4);
  CHECK(view.sequence_in<0>(0, 0).first_query() == 2);
}

TEST_CASE("padding rows are empty: length 0, no query tokens, null blocks, slots of -1") {
  WindowCache cache({.num_blocks = {32, 32}});
  Sequence const s = cache.create(5);
  BatchItem const items[] = {&s};
  auto const batch = cache.batch(items, {.num_sequences = 4, .num_query_tokens = 9});
  CHECK(batch.num_sequences() == 4);
  CHECK(batch.num_query_tokens() == 9);
  CHECK(copy_of(batch.lengths()) == std::vector<std::int32_t>{5, 0, 0, 0});
  CHECK(copy_of(batch.query_starts()) == std::vector<std::int32_t>{0, 5, 5, 5, 5});
  for (int g = 0; g < 2; ++g) {
    for (std::int32_t i = 1; i < 4; ++i)
      CHECK(row(batch, i, g) == std::vector<std::int32_t>(static_cast<std::size_t>(batch.table_width(g)), 0));
    for (std::size_t t = 5; t < 9; ++t) CHECK(batch.slots(g)[t] == -1);
  }
  CHECK(batch.view().num_query_tokens() == 9);
  CHECK(batch.view().sequence(3, 0).num_tokens() == 0);
}

TEST_CASE("padding smaller than the step changes nothing") {
  Cache cache({.num_blocks = {32}});
  Sequence const a = cache.create(5), b = cache.create(2);
  BatchItem const items[] = {&a, &b};
  auto const plain = cache.batch(items);
  auto const padded = cache.batch(items, {.num_sequences = 1, .num_query_tokens = 3, .row_blocks = 1});
  CHECK(contents(plain, 1) == contents(padded, 1));
}

TEST_CASE("no trace of a larger step is left when a batch is filled with a smaller one") {
  WindowCache cache({.num_blocks = {64, 64}});
  std::vector<Sequence> sequences;
  std::vector<BatchItem> all;
  for (std::int32_t i = 0; i < 5; ++i) sequences.push_back(cache.create(7 + 2 * i));
  for (Sequence const& s : sequences) all.emplace_back(&s);
  BatchPadding const padding{.num_sequences = 5, .num_query_tokens = 60, .row_blocks = 8};
  auto used = cache.batch(all, padding);
  for (std::size_t n = 5; n-- > 0;) {
    std::span<BatchItem const> const fewer(all.data(), n);
    cache.batch(fewer, used, padding);
    CHECK(contents(used, 2) == contents(cache.batch(fewer, padding), 2));
  }
}

TEST_CASE("rows are a multiple of row_blocks wide") {
  Cache cache({.num_blocks = {32}});
  Sequence const s = cache.create(9);  // 3 blocks
  BatchItem const items[] = {&s};
  for (auto const& [row_blocks, width] : {std::pair{0, 3}, {1, 3}, {2, 4}, {3, 3}, {4, 4}, {16, 16}, {-3, 3}}) {
    auto const batch = cache.batch(items, {.row_blocks = row_blocks});
    CHECK(batch.table_width() == width);
    CHECK(batch.block_table().size() == static_cast<std::size_t>(width));
    CHECK(row(batch, 0)[2] == block_ids(s)[2]);
  }
}

TEST_CASE("an error names what is wrong and leaves the batch as it was") {
  Cache cache({.num_blocks = {32}}), other_cache({.num_blocks = {32}});
  Sequence const a = cache.create(5), other = other_cache.create(5);
  Sequence released = cache.create(1);
  released.release();
  auto batch = cache.batch({&a});
  auto const before = contents(batch, 1);
  auto const refused = [&](BatchItem item, char const* message) {
    INFO(message);
    BatchItem const items[] = {&a, item};
    REQUIRE_THROWS_AS(cache.batch(items, batch), folio::Error);
    REQUIRE_THROWS_WITH(cache.batch(items, batch), contains(message));
    REQUIRE(contents(batch, 1) == before);
  };
  refused(nullptr, "a batch item is an empty Sequence");
  refused(&released, "a batch item is an empty Sequence");
  refused(&other, "belongs to another cache");
  refused({&a, 6}, "has 5 tokens, so it cannot have 6 query tokens");
  refused({&a, -2}, "has 5 tokens, so it cannot have -2 query tokens");
  refused(&a, "sequence 0 is in the batch twice; give it once");
  refused({&a, 0}, "sequence 0 is in the batch twice");
  cache.batch({&a}, batch);  // alone it is met once, as often as it is given
  CHECK(contents(batch, 1) == before);
}

TEST_CASE("tables that no memory could hold are refused in a sentence, and those before stay") {
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  WindowCache cache({.num_blocks = {32, 32}});
  Sequence const a = cache.create(5);
  BatchItem const items[] = {&a};
  auto batch = cache.batch({&a});
  auto const before = contents(batch, 2);
  auto const refused = [&](BatchPadding const& padding, char const* message) {
    INFO(message);
    CHECK_THROWS_WITH(cache.batch(items, batch, padding), contains(message));
    CHECK(contents(batch, 2) == before);
  };
  refused({.num_sequences = most, .num_tokens = most},
          "tables of a step of 2147483647 sequences and 5 query tokens would take more than 2^62 bytes");
  folio::NoCopies copies;
  folio::SequenceStore single({folio::group_shape({.layers = 1, .kv_heads = 1}, 0, 1)}, std::vector<std::int64_t>{4},
                              copies);
  CHECK_THROWS_WITH(BatchTables(1, 1).fill(single, {}, {.num_tokens = most, .row_blocks = most - 1}),
                    contains("a row of a block table has at most 2147483647 blocks, not 4294967292"));
  // Groups are numbered alike everywhere.
  for (int const group : {-1, 2, most}) {
    std::string const sentence = "the model has no layer group " + std::to_string(group) + "; it has 2, counted from 0";
    CHECK_THROWS_WITH(batch.block_table(group), contains(sentence));
    CHECK_THROWS_WITH(batch.table_width(group), contains(sentence));
    CHECK_THROWS_WITH(batch.slots(group), contains(sentence));
  }
}

TEST_CASE("more query tokens than 32 bits count are refused") {
  constexpr folio::ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 8};
  folio::NoCopies copies;
  folio::SequenceStore store({folio::group_shape(model, 0, 1 << 30)}, std::vector<std::int64_t>{4}, copies);
  Sequence s(nullptr, store, store.create()), other(nullptr, store, store.create());
  s.extend(1 << 30);
  other.extend(1 << 30);
  BatchItem const items[] = {&s, &other};
  REQUIRE_THROWS_WITH(BatchTables(1, 1).fill(store, items),
                      contains("at most 2147483647 query tokens, not 2147483648"));
}

TEST_CASE("query tokens that see what a window gave back are refused, and so is writing where it was") {
  for (std::int32_t const length : {7, 8, 9, 10, 15, 16, 23}) {
    WindowCache cache({.num_blocks = {32, 32}});
    Sequence s = cache.create();
    for (std::int32_t i = 0; i < length; ++i) s.extend(1);
    folio::GroupShape const shape = cache.shape(1);
    for (std::int32_t queries = 0; queries <= length; ++queries) {
      CAPTURE(length, queries);
      bool all_there = true;
      for (std::int32_t q = length - queries; q < length; ++q)
        for (std::int32_t t = 0; t <= q; ++t)
          all_there =
              all_there && (!shape.visible(q, t) || s.blocks(1)[static_cast<std::size_t>(t / 2)] != folio::null_block);
      BatchItem const items[] = {{&s, queries}};
      if (all_there)
        REQUIRE_NOTHROW(cache.batch(items));
      else
        REQUIRE_THROWS_WITH(cache.batch(items), contains("layer group 1 gave back when they left its window"));
    }
  }
}

TEST_CASE("no slot of a batch is in the null block") {
  std::mt19937 random(37);
  WindowCache cache({.num_blocks = {64, 64}});
  Sequence s = cache.create();
  for (int step = 0; step < 40; ++step) {
    s.extend(1 + below(random, 4));
    if (s.num_tokens() > 100) s.truncate(0);
    for (std::int32_t queries = 0; queries <= s.num_tokens(); ++queries) {
      BatchItem const items[] = {{&s, queries}};
      try {
        auto const batch = cache.batch(items);
        for (int g = 0; g < 2; ++g)
          for (std::int64_t const slot : batch.slots(g)) REQUIRE(slot >= cache.shape(g).block_size);
      } catch (folio::Error const&) {
        REQUIRE(queries > s.num_new_tokens());  // the tokens of the last append are always there
      }
    }
  }
}

TEST_CASE("the view shows the tables") {
  Cache cache({.num_blocks = {32}});
  Sequence const a = cache.create(6), b = cache.create(3);
  auto const batch = cache.batch({&a, {&b, 1}});
  auto const view = batch.view();
  CHECK(view.num_sequences() == 2);
  CHECK(view.num_query_tokens() == 7);
  CHECK(view.query_start(1) == 6);
  CHECK(view.group(0).pool == cache.pool());
  CHECK(view.group(0).blocks == batch.block_table().data());
  CHECK(view.group(0).slots == batch.slots().data());
  CHECK(view.group(0).width == batch.table_width());
  CHECK(view.group(0).shape == cache.shape());
  CHECK(view.sequence(1, 1).num_tokens() == 3);
}

TEST_CASE("a batch can be moved and copied") {
  Cache cache({.num_blocks = {32}});
  Sequence const a = cache.create(6);
  auto batch = cache.batch({&a});
  auto const copy = batch;
  auto const moved = std::move(batch);
  CHECK(contents(copy, 1) == contents(moved, 1));
  CHECK(copy.view().group(0).blocks != moved.view().group(0).blocks);
}

TEST_CASE("rows have room for the tokens that the padding says, in every group") {
  WindowCache cache(folio::CacheConfig{.num_blocks = {8, 8}});
  Sequence const s = cache.create(5);
  auto const batch = cache.batch({&s}, BatchPadding{.num_tokens = 21});
  CHECK(batch.table_width(0) == 6);
  CHECK(batch.table_width(1) == 7);  // a block of sinks, and 10 tokens that begin anywhere in a block
  CHECK(cache.batch({&s}, BatchPadding{.num_tokens = 21, .row_blocks = 4}).table_width(0) == 8);
}

TEST_CASE("of a group with a window a row holds the sinks' blocks and those that the step's queries see") {
  WindowCache cache(folio::CacheConfig{.num_blocks = {80, 80}});
  Sequence s = cache.create();
  for (int step = 0; step < 40; ++step) {
    s.extend(1 + step % 5);
    for (std::int32_t queries = 0; queries <= s.num_new_tokens(); ++queries) {
      CAPTURE(step, queries);
      auto const batch = cache.batch({{&s, queries}}, BatchPadding{.num_query_tokens = 5, .num_tokens = 200});
      auto const view = batch.view().sequence_in<1>(0, 0);
      REQUIRE(batch.table_width(1) == 7);
      std::int32_t const first = std::max(0, s.num_tokens() - queries - 5) / 2;  // the window's first block
      for (std::int32_t token = 0; token < s.num_tokens(); ++token) {
        bool const seen = token / 2 == 0 || token / 2 >= first;
        REQUIRE(to_int(view.block_id(token)) == (seen ? block_ids(s, 1)[static_cast<std::size_t>(token / 2)] : 0));
      }
      std::vector<std::int32_t> walked, wanted{block_ids(s, 1)[0]};
      for (auto const block : view.blocks()) walked.push_back(to_int(block.id()));
      for (std::int32_t b = std::max(first, 1); b * 2 < s.num_tokens(); ++b)
        wanted.push_back(block_ids(s, 1)[static_cast<std::size_t>(b)]);
      REQUIRE(walked == wanted);
    }
  }
}

TEST_CASE("a copy of the tables to which each step's changes are made is the tables") {
  std::mt19937 random(5);
  WindowCache cache(folio::CacheConfig{.num_blocks = {600, 900}});
  BatchTables tables(2, 2);
  BatchPadding const padding{.num_sequences = 6, .num_query_tokens = 40, .num_tokens = 1000};
  tables.fill(cache.state()->store, {}, padding);
  std::vector<std::int32_t> copy(tables.bytes().size() / 4);
  std::memcpy(copy.data(), tables.bytes().data(), tables.bytes().size());
  std::vector<Sequence> all;
  for (int step = 0; step < 300; ++step) {
    CAPTURE(step);
    if (all.size() < 6 && below(random, 3) == 0) all.push_back(cache.create(below(random, 30)));
    if (!all.empty() && below(random, 8) == 0) all.erase(all.begin() + below(random, static_cast<int>(all.size())));
    std::vector<BatchItem> items;
    for (Sequence& s : all) {
      s.extend(below(random, 7));
      if (below(random, 9) != 0) items.emplace_back(&s, std::min(s.num_new_tokens(), below(random, 7)));
    }
    std::int64_t last = -1, num_changed = 0;
    auto changes = [&](std::byte const* words, std::int64_t first, std::int64_t count) {
      REQUIRE(first > last);  // ascending, and at least a word
      REQUIRE(count > 0);
      last = first + count - 1;
      num_changed += count;
      std::memcpy(copy.data() + first, words + 4 * first, static_cast<std::size_t>(4 * count));
    };
    tables.fill(cache.state()->store, items, padding, changes);
    REQUIRE(std::memcmp(copy.data(), tables.bytes().data(), tables.bytes().size()) == 0);
    REQUIRE(contents(tables, 2) == contents(cache.batch(items, padding), 2));  // as if made anew
    REQUIRE(num_changed < 400);                                                // of 1,818
    tables.fill(cache.state()->store, items, padding, [](auto...) { FAIL("nothing changed"); });
  }
}

TEST_CASE("a step writes only what is new in the rows of sequences that keep their places") {
  Cache cache({.num_blocks = {64}});
  Sequence a = cache.create(10), b = cache.create(7), c = cache.create(5);
  BatchPadding const padding{.num_tokens = 40};
  auto batch = cache.batch({&a, &b}, padding);
  std::size_t const width = 10;
  // The words that a step writes: over blocks that were made -7, and into padding.
  auto const marked = [&](std::vector<BatchItem> const& items) {
    std::span<std::int32_t> const table(const_cast<std::int32_t*>(batch.block_table().data()), 2 * width);
    for (std::int32_t& block : table) block = block == 0 ? 0 : -7;
    std::vector<std::int32_t> const before(table.begin(), table.end());
    cache.batch(items, batch, padding);
    std::vector<std::size_t> written;
    for (std::size_t i = 0; i < table.size(); ++i)
      if (table[i] != before[i]) written.push_back(i);
    cache.batch({&c}, batch, padding);  // all rows anew
    cache.batch(items, batch, padding);
    check_tables(batch, items, cache);
    return written;
  };
  using Words = std::vector<std::size_t>;
  std::vector<BatchItem> const both{&a, &b};
  CHECK(marked(both).empty());
  a.extend(2);
  CHECK(marked(both).empty());
  a.extend(1), b.extend(6);  // a's fourth block, and b's third and fourth
  CHECK(marked(both) == Words{3, width + 2, width + 3});
  b.truncate(5);  // to two blocks: the others become padding
  CHECK(marked(both) == Words{width + 2, width + 3});
  b.extend(5), b.truncate(6);  // as drafts come and go: a block that came, and went
  CHECK(marked(both).empty());
  b.extend(8), b.truncate(11), b.extend(3);  // the last block is another one
  CHECK(marked(both) == Words{width + 2, width + 3});
  {
    Sequence const fork = b.fork();
    b.extend(1);  // copies its last block
    CHECK(marked(both) == Words{width + 3});
  }
  CHECK(marked({&a, &c}) == Words{width, width + 1, width + 2, width + 3});  // and padding where b had more
  b.truncate(3);
  b.extend(9);
  b.truncate(6);
  CHECK(marked(both) == Words{width, width + 1});  // two changes: all of it
}

TEST_CASE("rows stay where more query tokens come, or more sequences into the only group") {
  Cache cache({.num_blocks = {64}});
  Sequence a = cache.create(10), b = cache.create(7), c = cache.create(5);
  auto batch = cache.batch({&a, &b});
  auto const mark = [&] { const_cast<std::int32_t&>(batch.block_table()[4]) = -7; };  // b's second block
  mark();
  cache.batch({{&a, 10}, {&b, 3}}, batch);
  CHECK(batch.block_table()[4] == -7);
  cache.batch({&a, &b, &c}, batch);
  CHECK(batch.block_table()[4] == -7);
  CHECK(row(batch, 2) == std::vector<std::int32_t>{block_ids(c)[0], block_ids(c)[1], 0});
  cache.batch({&a, &b}, batch);
  CHECK(batch.block_table()[4] == -7);
  a.extend(3);  // rows of 4 blocks
  cache.batch({&a, &b}, batch);
  CHECK(contents(batch, 1) == contents(cache.batch({&a, &b}), 1));
}

TEST_CASE("rows that come where something else was are padding first") {
  Cache cache({.num_blocks = {64}});
  Sequence const a = cache.create(10);
  Sequence const empty = cache.create();
  auto batch = cache.batch({&a});  // three blocks, and then its length, 10
  cache.batch({&a, &empty}, batch);
  CHECK(row(batch, 1) == std::vector<std::int32_t>{0, 0, 0});
  cache.batch({&a}, batch);
  cache.batch(std::vector<BatchItem>{&a}, batch, {.num_sequences = 3});
  CHECK(row(batch, 1) == std::vector<std::int32_t>{0, 0, 0});
}

TEST_CASE("a sequence that has the handle of one that is gone has a row of its own") {
  Cache cache({.num_blocks = {64}});
  Sequence const other = cache.create(9);
  Sequence s = cache.create(9);
  auto batch = cache.batch({&s});
  for (int way = 0; way < 3; ++way) {
    auto const id = s.id();
    s.release();
    Sequence const first = cache.create(1);  // takes the first block of those that came free
    s = way == 2 ? other.fork() : cache.create(way == 0 ? 9 : 2);
    CAPTURE(way);
    if (s.id() != id) {  // `first` got it
      cache.batch({&first}, batch);
      CHECK(row(batch, 0)[0] == block_ids(first)[0]);
    }
    cache.batch({&s}, batch);
    check_tables(batch, {&s}, cache);
  }
}

TEST_CASE("tables that were moved from can be filled again") {
  Cache cache({.num_blocks = {32}});
  Sequence const a = cache.create(6);
  for (std::vector<BatchItem> const& items : {std::vector<BatchItem>{&a}, std::vector<BatchItem>{}}) {
    BatchTables tables(1, 1);
    tables.fill(cache.state()->store, items);
    BatchTables const moved = std::move(tables);
    tables.fill(cache.state()->store, items);  // NOLINT(bugprone-use-after-move): which is meant
    CHECK(contents(tables, 1) == contents(moved, 1));
  }
}

TEST_CASE("all tables are in one buffer, which a copy of can be viewed anywhere") {
  WindowCache cache(folio::CacheConfig{.num_blocks = {8, 8}});
  Sequence const a = cache.create(5), b = cache.create(3);
  BatchPadding const padding{.num_sequences = 3, .num_query_tokens = 9, .num_tokens = 8};
  auto batch = cache.batch({&a, &b}, padding);
  std::vector<std::int64_t> copy(batch.bytes().size() / 8);
  std::memcpy(copy.data(), batch.bytes().data(), batch.bytes().size());
  auto const size = batch.bytes().size();
  auto const view = batch.view_over<WindowCache::View>(reinterpret_cast<std::byte const*>(copy.data()), *cache.state());
  cache.batch({&b}, batch, padding);    // does not change the copy
  CHECK(batch.bytes().size() == size);  // with these paddings every step is alike
  CHECK(view.num_sequences() == 3);
  CHECK(view.num_query_tokens() == 9);
  auto const first = view.sequence_in<1>(0, 1);
  CHECK(first.num_tokens() == 5);
  CHECK(first.block_id(4) == a.blocks(1)[2]);
  CHECK(view.sequence_in<0>(1, 0).block_id(2) == b.blocks(0)[0]);
  CHECK(view.sequence_in<0>(2, 0).num_tokens() == 0);
  CHECK(view.group(1).slots[8] == -1);
}
