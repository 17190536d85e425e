// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/batch.hpp>
#include <folio/detail/batch_item.hpp>
#include <folio/kv_cache.hpp>
#include <folio/quantizer/f32.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"

using folio::BatchItem;
using folio::BatchTables;
using folio::Sequence;
using folio::test::below;
using folio::test::contains;

namespace {

using Numbers = std::vector<std::int32_t>;

/// Full attention, and a window of 6 after 2 sinks, which are a block.
constexpr folio::ModelConfig windowed{.layers = 2,
                                      .kv_heads = 1,
                                      .head_dim = 8,
                                      .groups = {folio::full_attention(), folio::sliding_window(6, 2)},
                                      .pattern = folio::repeat_groups({0, 1})};
using Cache = folio::KvCache<folio::Model<windowed>, folio::BlockSizes<4, 2>, folio::F32>;
using PlainCache = folio::KvCache<folio::Model<folio::ModelConfig{.layers = 1, .kv_heads = 1, .head_dim = 8}>,
                                  folio::BlockSize<4>, folio::F32>;

template <class T>
std::vector<T> copy_of(std::span<T const> values) {
  return {values.begin(), values.end()};
}

/// The slot of a stored token.
std::int64_t slot(Sequence const& s, int group, std::int32_t block_size, std::int32_t token) {
  return std::int64_t{to_int(s.blocks(group)[static_cast<std::size_t>(token / block_size)])} * block_size +
         token % block_size;
}

}  // namespace

TEST_CASE("queries at positions have the slots of those tokens, and limits one after them, in every group") {
  Cache cache({.num_blocks = {16, 16}});
  Sequence const s = cache.create(13), t = cache.create(5);
  Numbers const at{1, 6, 7, 12};
  auto const batch = cache.batch({{&t, 2}, {&s, at}});
  CHECK(batch.num_query_tokens() == 6);
  CHECK(copy_of(batch.query_starts()) == Numbers{0, 2, 6});
  for (int g = 0; g < 2; ++g) {
    CAPTURE(g);
    std::int32_t const size = cache.shape(g).block_size;
    CHECK(copy_of(batch.limits(g)) == Numbers{4, 5, 2, 7, 8, 13});  // those of last tokens are causal
    std::vector<std::int64_t> wanted{slot(t, g, size, 3), slot(t, g, size, 4)};
    for (std::int32_t const position : at) wanted.push_back(slot(s, g, size, position));
    CHECK(copy_of(batch.slots(g)) == wanted);
    CHECK(batch.view().group(g).limits == batch.limits(g).data());
  }
  auto const view = batch.view().sequence(1, 1);
  CHECK(view.num_tokens() == 13);
  CHECK(view.first_query() == 1);
  for (std::int32_t q = 0; q < 4; ++q) CHECK(view.limit(q) == at[static_cast<std::size_t>(q)] + 1);
  for (std::int32_t token = 0; token < 13; ++token)  // with a window, too: its first query sees all
    CHECK(view.block_id(token) == s.blocks(1)[static_cast<std::size_t>(token / 2)]);
}

TEST_CASE("of a group with a window a row begins with the window of the first query, wherever that is") {
  Cache cache({.num_blocks = {16, 16}});
  Sequence const s = cache.create(21);
  for (std::int32_t first = 0; first < 21; ++first) {
    Numbers const at = first < 20 ? Numbers{first, 20} : Numbers{20};
    auto const batch = cache.batch({{&s, at}});
    auto const view = batch.view().sequence(0, 1);
    std::int32_t const hidden = std::max(0, (first - 5) / 2 - 1);
    REQUIRE(batch.table_width(1) == 11 - hidden);
    for (std::int32_t token = 0; token < 21; ++token) {
      folio::BlockId const held = s.blocks(1)[static_cast<std::size_t>(token / 2)];
      bool const is_hidden = token / 2 >= 1 && token / 2 < 1 + hidden;
      REQUIRE(view.block_id(token) == (is_hidden ? folio::null_block : held));
    }
  }
}

TEST_CASE("queries whose tokens are elsewhere have no slots, and the limits that were given") {
  Cache cache({.num_blocks = {16, 16}});
  Sequence const s = cache.create(9), empty = cache.create();
  Numbers const limits{0, 4, 4, 9}, nothing{0, 0};
  auto const batch = cache.batch({BatchItem::seeing(&s, limits), BatchItem::seeing(&empty, nothing)});
  for (int g = 0; g < 2; ++g) {
    CHECK(copy_of(batch.limits(g)) == Numbers{0, 4, 4, 9, 0, 0});
    CHECK(copy_of(batch.slots(g)) == std::vector<std::int64_t>(6, -1));
  }
  CHECK(batch.view().sequence(0, 1).first_query() == -1);
}

TEST_CASE("a batch of last tokens alone has no limits, and not a word more than before") {
  Cache cache({.num_blocks = {16, 16}});
  Sequence const s = cache.create(9);
  Numbers const none, at{8};
  for (BatchItem const& item : {BatchItem(&s, 2), BatchItem(&s, none), BatchItem::seeing(&s, none)}) {
    auto const batch = cache.batch({item});
    CHECK(batch.limits(0).empty());
    CHECK(batch.view().group(1).limits == nullptr);
    std::int64_t words = 1 + 2 + 2;  // the end, the lengths, the query starts
    for (int g = 0; g < 2; ++g) words += batch.table_width(g) + 2 * batch.num_query_tokens();
    CHECK(static_cast<std::int64_t>(batch.bytes().size()) == (words + 1) / 2 * 8);
  }
  auto const padded = cache.batch({{&s, 2}}, {.num_query_tokens = 4, .has_limits = true});
  CHECK(copy_of(padded.limits(1)) == Numbers{8, 9, 0, 0});
  CHECK(cache.batch({{&s, 2}}).view().sequence(0, 1).limit(1) == padded.view().sequence(0, 1).limit(1));
  // Without queries nothing is read of the array, which ends before them.
  auto const quiet = cache.batch({{&s, 0}}, {.has_limits = true});
  CHECK(quiet.view().sequence(0, 1).first_query() == 9);
  CHECK(quiet.view().sequence(0, 1).limit(-1) == 9);
}

TEST_CASE("limits count what a group stores, before and after its gap") {
  PlainCache cache({.num_blocks = {16}});
  Sequence s = cache.create(22);
  s.cut(4, 8);  // positions 4 to 12
  Numbers const at{0, 3, 12, 21};
  auto const batch = cache.batch({{&s, at}});
  CHECK(copy_of(batch.limits()) == Numbers{1, 4, 5, 14});
  CHECK(batch.slots()[2] == slot(s, 0, 4, 4));
  for (std::int32_t const inside : {4, 7, 11}) {
    Numbers const one{inside};
    CHECK_THROWS_WITH(cache.batch({{&s, one}}), contains("query token " + std::to_string(inside) +
                                                         " of sequence 0 is in the gap of layer group 0, which stores "
                                                         "some of tokens 4 to 12 no more"));
  }
  Numbers const below{0, 3, 4, 12, 13, 22};
  auto const elsewhere = cache.batch({BatchItem::seeing(&s, below)});
  CHECK(copy_of(elsewhere.limits()) == Numbers{0, 3, 4, 4, 5, 14});
  for (std::int32_t const inside : {5, 11}) {
    Numbers const one{inside};
    CHECK_THROWS_WITH(cache.batch({BatchItem::seeing(&s, one)}),
                      contains("a query of sequence 0 cannot see just the tokens below position " +
                               std::to_string(inside) + ": layer group 0 stores some of tokens 4 to 12 no more"));
  }
}

TEST_CASE("last tokens are queries as far back as the end of a gap, in a group without a window") {
  PlainCache cache({.num_blocks = {16}});
  Sequence s = cache.create(20);
  s.cut(4, 8);  // positions 4 to 12
  CHECK(cache.batch({{&s, 8}}).num_query_tokens() == 8);
  CHECK_THROWS_WITH(cache.batch({{&s, 9}}), contains("is 11 of 20, before the end of the gap in layer group 0 at 12"));
  CHECK_THROWS_WITH(cache.batch({{&s, 21}}), contains("has 20 tokens, so it cannot have 21 query tokens"));
  CHECK_THROWS_WITH(cache.batch({{&s, -2}}), contains("cannot have -2 query tokens"));
  CHECK(cache.batch({{&s, 0}}).num_query_tokens() == 0);
}

TEST_CASE("one limit is for all groups, whatever each of them stores: those with a gap and those with a window") {
  Cache cache({.num_blocks = {16, 16}});
  Sequence s = cache.create(22);
  s.cut(4, 8, 0);
  for (std::int32_t limit = 0; limit <= 22; ++limit) {
    CAPTURE(limit);
    Numbers const limits{limit}, own{limit - 1};
    if (limit > 4 && limit < 12) {
      CHECK_THROWS_WITH(cache.batch({BatchItem::seeing(&s, limits)}), contains("give limits before or after them"));
      continue;
    }
    auto const batch = cache.batch({BatchItem::seeing(&s, limits)});
    CHECK(batch.limits(0)[0] == (limit <= 4 ? limit : limit - 8));
    CHECK(batch.limits(1)[0] == limit);
    if (limit == 0 || limit == 12) continue;  // before the first token, or one that is in the gap
    auto const at = cache.batch({{&s, own}});
    for (int g = 0; g < 2; ++g) CHECK(batch.limits(g)[0] == at.limits(g)[0]);
  }
}

TEST_CASE("positions and limits that are not ascending, or not there, are refused") {
  Cache cache({.num_blocks = {16, 16}});
  Sequence const s = cache.create(9);
  auto const at = [&](Numbers const& positions) { return cache.batch({{&s, positions}}); };
  auto const seeing = [&](Numbers const& limits) { return cache.batch({BatchItem::seeing(&s, limits)}); };
  CHECK_THROWS_WITH(at({3, 3}), contains("the positions of queries of sequence 0 ascend, but 3 comes after 3"));
  CHECK_THROWS_WITH(at({1, 5, 4}), contains("the positions of queries of sequence 0 ascend, but 4 comes after 5"));
  CHECK_THROWS_WITH(at({-1}), contains("sequence 0 has 9 tokens, so none at position -1 can be a query"));
  CHECK_THROWS_WITH(at({8, 9}), contains("sequence 0 has 9 tokens, so none at position 9 can be a query"));
  CHECK_THROWS_WITH(seeing({4, 3}), contains("the limits of queries of sequence 0 ascend, but 3 comes after 4"));
  CHECK_THROWS_WITH(seeing({-1}), contains("sequence 0 has 9 tokens, so -1 cannot be a query's limit"));
  CHECK_THROWS_WITH(seeing({10}), contains("sequence 0 has 9 tokens, so 10 cannot be a query's limit"));
  CHECK_NOTHROW(seeing({9, 9, 9}));
  Numbers const one{0};
  CHECK_THROWS_WITH(cache.batch({{nullptr, one}}), contains("a batch item is an empty Sequence"));
  Cache other({.num_blocks = {16, 16}});
  CHECK_THROWS_WITH(other.batch({{&s, one}}), contains("sequence 0 of the batch belongs to another cache"));
}

TEST_CASE("a query that sees what a window gave back is refused; one that sees sinks alone is not") {
  Cache cache({.num_blocks = {16, 16}});
  Sequence s = cache.create();
  for (int i = 0; i < 19; ++i) s.extend(1);
  folio::GroupShape const shape = cache.shape(1);
  for (std::int32_t position = -1; position < 19; ++position) {
    CAPTURE(position);
    bool all_there = true;
    for (std::int32_t t = 0; t <= position; ++t)
      all_there = all_there &&
                  (!shape.visible(position, t) || s.blocks(1)[static_cast<std::size_t>(t / 2)] != folio::null_block);
    Numbers const at{position, 18}, limits{position + 1, 19};
    std::string const sentence = "query token " + std::to_string(position) +
                                 " of sequence 0 sees tokens that layer group 1 gave back when they left its window";
    if (all_there) {
      if (position >= 0 && position < 18) CHECK_NOTHROW(cache.batch({{&s, at}}));
      CHECK_NOTHROW(cache.batch({BatchItem::seeing(&s, limits)}));
    } else {
      CHECK_THROWS_WITH(cache.batch({{&s, at}}), contains(sentence));
      CHECK_THROWS_WITH(cache.batch({BatchItem::seeing(&s, limits)}), contains(sentence));
    }
  }
}

TEST_CASE("of a step with limits nothing is left in the next one, nor the other way round") {
  std::mt19937 random(61);
  Cache cache({.num_blocks = {64, 64}});
  std::vector<Sequence> sequences;
  for (std::int32_t i = 0; i < 4; ++i) sequences.push_back(cache.create(5 + 3 * i));
  folio::BatchPadding const paddings[] = {
      {}, {.num_query_tokens = 24, .has_limits = true}, {.num_sequences = 4, .num_query_tokens = 24, .num_tokens = 40}};
  auto reused = cache.batch({});
  int with = 0, without = 0;
  for (int step = 0; step < 300; ++step) {
    std::vector<Numbers> numbers(4);
    std::vector<BatchItem> items;
    for (std::size_t i = 0; i < static_cast<std::size_t>(1 + below(random, 4)); ++i) {
      std::int32_t const length = sequences[i].num_tokens(), kind = below(random, 4);
      for (std::int32_t t = 0; t < length; ++t)
        if (below(random, 3) == 0) numbers[i].push_back(t);
      items.push_back(kind == 0   ? BatchItem(&sequences[i], numbers[i])
                      : kind == 1 ? BatchItem::seeing(&sequences[i], numbers[i])
                                  : BatchItem(&sequences[i], below(random, 4)));
    }
    folio::BatchPadding const& padding = paddings[below(random, 3)];
    cache.batch(items, reused, padding);
    auto const fresh = cache.batch(items, padding);
    REQUIRE(copy_of(reused.bytes()) == copy_of(fresh.bytes()));
    REQUIRE(reused.limits(1).size() == fresh.limits(1).size());
    (fresh.limits(0).empty() ? without : with) += 1;
  }
  CHECK(std::min(with, without) > 50);
}

TEST_CASE("append writes the tokens at positions anew, and nothing for queries whose tokens are elsewhere") {
  PlainCache cache({.num_blocks = {16}});
  folio::test::ModelSequence s(cache);
  s.extend(11);
  Numbers const at{2, 9}, limits{11};
  auto const view = cache.batch({{&s.sequence(), at}});
  std::vector<float> const rows(2 * 8, 7.5F);
  std::vector<float> before(11 * 8), after(11 * 8);
  folio::ops::gather(view.view(), 0, {0, 0, 11}, before.data(), nullptr);
  folio::ops::append(view.view(), 0, rows.data(), rows.data());
  folio::ops::append(cache.batch({BatchItem::seeing(&s.sequence(), limits)}).view(), 0, before.data(), before.data());
  folio::ops::gather(view.view(), 0, {0, 0, 11}, after.data(), nullptr);
  for (std::size_t i = 0; i < after.size(); ++i) CHECK(after[i] == (i / 8 == 2 || i / 8 == 9 ? 7.5F : before[i]));
}
