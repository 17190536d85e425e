// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/ops/copy_rows.hpp>
#include <folio/ops/demote.hpp>
#include <folio/ops/view_of.hpp>
#include <folio/precision/demote.hpp>
// Before the operations that it finds: those of mixed_ops.hpp.
#include <folio/precision/rotated_ops.hpp>
//
#include <folio/precision/mixed_ops.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::ops::ListBlocks;
using folio::ops::view_of;
using folio::test::contains;
using folio::test::random_floats;

namespace {

constexpr ModelConfig model{.layers = 2,
                            .kv_heads = 2,
                            .head_dim = 16,
                            .groups = {full_attention(), sliding_window(4)},
                            .pattern = repeat_groups({0, 1})};
using Cache = KvCache<Model<model>, BlockSizes<4, 2>, F32>;
constexpr std::size_t row = 2 * 16;

std::vector<float> numbers(std::int32_t n, std::uint32_t seed) { return random_floats(n * 32, seed); }

template <class View>
std::vector<float> keys_of(View const& view, std::int32_t layer, std::int32_t first, std::int32_t n) {
  std::vector<float> keys(static_cast<std::size_t>(n) * row), values(keys.size());
  ops::gather(view, layer, {0, first, n}, keys.data(), values.data());
  return keys;
}

}  // namespace

TEST_CASE("a view over the blocks of a sequence, after it has given them back, reads what was written") {
  Cache cache({.num_blocks = {8, 16}});
  Sequence s = cache.create(7);
  auto const keys = numbers(7, 1);
  std::vector<BlockId> blocks[2];
  {
    auto const batch = cache.batch({&s});
    for (std::int32_t layer = 0; layer < 2; ++layer) ops::append(batch.view(), layer, keys.data(), keys.data());
    for (int g = 0; g < 2; ++g) blocks[g].assign(s.blocks(g).begin(), s.blocks(g).end());
  }
  s.release();
  auto const all = view_of(cache, {{blocks[0], 7}, {blocks[1], 7}});
  for (std::int32_t layer = 0; layer < 2; ++layer)
    CHECK(keys_of(all.view(), layer, 0, 7) == keys);  // before the window, too
  CHECK(all.view().num_query_tokens() == 7);
  CHECK(all.view().end_position(0) == 7);

  // Two blocks the other way round: the second one is full, as far as this view knows.
  std::vector<BlockId> const turned{blocks[0][1], blocks[0][0]};
  auto const other = view_of(cache, {{turned}, {}});
  CHECK(keys_of(other.view(), 0, 4, 4) == std::vector<float>(keys.begin(), keys.begin() + 4 * row));
  CHECK(other.view().group(1).lengths[0] == 0);
}

TEST_CASE("append and copy_rows write through it") {
  Cache cache({.num_blocks = {8, 16}});
  std::vector<BlockId> const first{BlockId{5}, BlockId{2}}, second{BlockId{9}, null_block, BlockId{3}, BlockId{1}};
  auto const to = view_of(cache, {{first}, {second}});
  auto const keys = numbers(8, 1);
  for (std::int32_t layer = 0; layer < 2; ++layer) ops::append(to.view(), layer, keys.data(), keys.data());
  CHECK(keys_of(to.view(), 0, 0, 8) == keys);
  CHECK(keys_of(to.view(), 1, 4, 4) == std::vector<float>(keys.begin() + 4 * row, keys.end()));
  CHECK(to.view().group(1).slots[2] == to_int(no_slot));  // of the block that is not there
  CHECK(to.view().group(1).slots[1] == 19);

  Sequence s = cache.create(5);
  auto const batch = cache.batch({&s});
  ops::copy_rows(to.view(), 0, {0, 3, 5}, batch.view(), {0, 0, 5});
  CHECK(keys_of(batch.view(), 0, 0, 5) == std::vector<float>(keys.begin() + 3 * row, keys.end()));
}

TEST_CASE("where lists store different numbers of tokens the last queries are those of each") {
  Cache cache({.num_blocks = {8, 16}});
  std::vector<BlockId> const first{BlockId{5}}, second{BlockId{9}, BlockId{3}, BlockId{1}};
  auto const view = view_of(cache, {{first, 3}, {second, 5}});
  CHECK(view.view().num_query_tokens() == 5);
  CHECK(std::vector<std::int64_t>(view.view().group(0).slots, view.view().group(0).slots + 5) ==
        std::vector<std::int64_t>{-1, -1, 20, 21, 22});
  CHECK(std::vector<std::int64_t>(view.view().group(1).slots, view.view().group(1).slots + 5) ==
        std::vector<std::int64_t>{18, 19, 6, 7, 2});
}

TEST_CASE("of a cache that demotes both lists are given") {
  KvCache<Model<ModelConfig{.layers = 1, .kv_heads = 2, .head_dim = 16}>, F32, BlockSize<4>,
          Demote<Int8PerToken, BlockSize<8>>>
      cache({.num_blocks = {8}, .demotion = {.recent_window = 4, .num_blocks = {16}}});
  std::vector<BlockId> const recent{BlockId{3}}, demoted{BlockId{2}, BlockId{7}};
  auto const blocks = view_of(cache, {{recent, 3}, {demoted}});
  CHECK(blocks.view().recent.group(0).lengths[0] == 3);
  CHECK(blocks.view().demoted.group(0).lengths[0] == 16);
  CHECK(blocks.view().demoted.group(0).blocks[1] == 7);
  CHECK(blocks.view().num_query_tokens() == 3);
  CHECK(blocks.view().end_position(0) == 19);
}

TEST_CASE("of a cache with matrices the view rotates, and what it stores does not") {
  std::vector<float> turned(2 * 16 * 16);  // each row becomes its negative
  for (std::size_t i = 0; i < 2 * 16; ++i) turned[i * 16 + i % 16] = -1;
  KvCache<Model<ModelConfig{.layers = 1, .kv_heads = 2, .head_dim = 16}>, F32, BlockSize<4>, RotationMatrices> cache(
      {.num_blocks = {8}}, RotationMatrices({{2, 16, 16, turned, turned}}));
  std::vector<BlockId> const first{BlockId{3}, BlockId{2}};
  auto const blocks = view_of(cache, {{first, 5}});
  auto const keys = numbers(5, 1);
  ops::append(blocks.view(), 0, keys.data(), keys.data());
  CHECK(keys_of(blocks.view(), 0, 0, 5) == keys);
  auto negative = keys;
  for (float& x : negative) x = -x;
  CHECK(keys_of(blocks.view().stored, 0, 0, 5) == negative);
}

TEST_CASE("blocks, tokens and lists that there cannot be are refused") {
  Cache const cache({.num_blocks = {8, 16}});
  std::vector<BlockId> const good{BlockId{1}}, bad{BlockId{9}}, worse{BlockId{-1}};
  auto const refused = [&](std::initializer_list<ListBlocks> lists, char const* words) {
    CHECK_THROWS_WITH(view_of(cache, lists), contains(words));
  };
  refused({{good}}, "this cache has 2 lists of blocks, not 1");
  refused({{bad}, {good}}, "list 0 of this cache has no block 9");
  refused({{good}, {worse}}, "list 1 of this cache has no block -1");
  refused({{good, 5}, {good}}, "5 tokens are not in 1 blocks of 4");
  refused({{good, -1}, {good}}, "-1 tokens are not in 1 blocks of 4");
}
