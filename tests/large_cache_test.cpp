// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A pool of more than 2^32 bytes and elements. The memory is sparse: only what is written takes pages.
#include <cstdint>
#include <cstring>
#include <folio/folio.hpp>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"
#include "support/naive_attention.hpp"
#include "support/random.hpp"

using namespace folio::literals;
using folio::BlockId;
using folio::Sequence;
using folio::test::random_floats;

namespace {

constexpr folio::ModelConfig model{.layers = 32, .kv_heads = 8, .head_dim = 128};
using Cache = folio::KvCache<folio::Model<model>, folio::Int8PerToken>;

/// Writes n tokens of a sequence's end in the first and the last layer.
void write(Cache& cache, Sequence const& s, std::int32_t n, std::uint32_t seed) {
  auto const batch = cache.batch({{&s, n}});
  for (std::int32_t const layer : {0, 31}) {
    auto const keys = random_floats(n * 8 * 128, seed + static_cast<std::uint32_t>(layer));
    auto const values = random_floats(n * 8 * 128, seed + static_cast<std::uint32_t>(layer) + 1000);
    folio::ops::append(batch.view(), layer, keys.data(), values.data());
  }
}

/// Whether the last n tokens of a sequence are what write(..., seed) wrote, up to what int8 loses.
bool holds(Cache& cache, Sequence const& s, std::int32_t n, std::uint32_t seed) {
  auto const batch = cache.batch({{&s, n}});
  bool same = true;
  for (std::int32_t const layer : {0, 31}) {
    auto const keys = random_floats(n * 8 * 128, seed + static_cast<std::uint32_t>(layer));
    auto const values = random_floats(n * 8 * 128, seed + static_cast<std::uint32_t>(layer) + 1000);
    std::vector<float> found_keys(keys.size()), found_values(values.size());
    folio::ops::gather(batch.view(), layer, {0, s.num_tokens() - n, n}, found_keys.data(), found_values.data());
    for (std::size_t i = 0; i < keys.size(); ++i)
      same = same && std::abs(keys[i] - found_keys[i]) < 0.005F && std::abs(values[i] - found_values[i]) < 0.005F;
  }
  return same;
}

}  // namespace

TEST_CASE("blocks beyond 2^32 bytes and elements are their own, and no low block's") {
  Cache cache({.memory_bytes = 6_GiB});
  auto const num_blocks = static_cast<std::int32_t>(cache.num_blocks());
  std::int64_t const elements = cache.num_blocks() * 16 * 2 * 32 * 8 * 128;
  REQUIRE(elements > std::int64_t{1} << 32);
  REQUIRE(cache.num_blocks() * cache.block_bytes() > 5_GiB);

  Sequence low = cache.create(32);                              // blocks 1 and 2
  Sequence const filler = cache.create((num_blocks - 4) * 16);  // nothing of it is written
  Sequence high = cache.create(20);                             // the last two
  REQUIRE(high.blocks()[1] == BlockId{num_blocks});
  write(cache, low, 32, 1);
  write(cache, high, 20, 2);
  CHECK(holds(cache, low, 32, 1));
  CHECK(holds(cache, high, 20, 2));

  auto const batch = cache.batch({&high});
  auto const view = batch.view();
  typename Cache::template Map<0> const map{cache.shape()};
  auto const sequence = view.sequence(0, 31);
  CHECK(sequence.value(7, 19).codes(127) - cache.pool() ==
        map.offset(num_blocks, 31, folio::Plane::value, folio::RowPart::code, 7, 3, 127));
  CHECK(sequence.value(7, 19).codes(127) - cache.pool() > std::int64_t{1} << 32);
  CHECK(batch.slots()[19] == std::int64_t{num_blocks} * 16 + 3);

  // Attention and copy on write find these blocks, too.
  auto const q = random_floats(20 * 8 * 128, 3);
  std::vector<float> out(q.size(), -7.0F), lse(20 * 8, -7.0F);
  folio::ops::attend(view, 31, folio::AttentionIo{q.data(), 8, out.data(), lse.data()});
  CHECK(folio::test::difference(folio::test::naive_attention(view, 31, q.data(), 8), out, lse) == "");
  low.release();
  Sequence child = high.fork();
  child.extend(1);
  CHECK(child.blocks()[1] == BlockId{1});  // copied from the last block to the first
  high.release();
  child.truncate(20);
  CHECK(holds(cache, child, 20, 2));
}

namespace {

constexpr std::int32_t large_block = 65'536, longest = 2'147'483'642;  // 2^31 - 6 tokens

template <bool in_window>
constexpr folio::ModelConfig small_model{
    .layers = 1,
    .kv_heads = 1,
    .head_dim = 8,
    .groups = {in_window ? folio::sliding_window(100, 3) : folio::full_attention()}};

/// The last tokens of a sequence of almost 2^31 are, for attention, those of one that ends in the same two blocks.
template <bool in_window>
void check_longest(folio::AttentionParams params) {
  using Small = folio::KvCache<folio::Model<small_model<in_window>>, folio::BlockSize<large_block>, folio::F16>;
  Small cache({.num_blocks = {2}});
  std::memset(cache.pool(), 0, static_cast<std::size_t>(cache.memory_bytes()));
  Sequence const s = cache.create(2 * large_block - 6);
  auto const rows = random_floats(300 * 8, 1);
  auto const newest = cache.batch({{&s, 300}}), batch = cache.batch({{&s, 2}});
  folio::ops::append(newest.view(), 0, rows.data(), rows.data());
  auto const view = batch.view();
  using View = std::remove_const_t<decltype(view)>;

  // With a window a row holds the sinks' block and those that the queries see: here the last one.
  std::vector<std::int32_t> blocks(in_window ? 2 : 32'768, folio::to_int(s.blocks()[0]));
  blocks.back() = folio::to_int(s.blocks()[1]);
  folio::GroupTable table = view.group(0);
  table.blocks = blocks.data();
  table.width = static_cast<std::int32_t>(blocks.size());
  std::int32_t const starts[] = {0, 2}, length = longest;
  table.lengths = &length;
  View const long_view({table}, &length, starts, 1, 2);

  auto const q = random_floats(2 * 8, 2);
  std::vector<float> out(2 * 8), expected(2 * 8);
  folio::ops::attend(view, 0, folio::AttentionIo{q.data(), 1, expected.data()}, params);
  if (params.token_begin != 0) params.token_begin += longest - s.num_tokens();
  folio::ops::attend(long_view, 0, folio::AttentionIo{q.data(), 1, out.data()}, params);
  CHECK(out == expected);

  std::vector<float> keys(20 * 8), expected_keys(20 * 8);
  folio::ops::gather(view, 0, {0, s.num_tokens() - 20, 20}, expected_keys.data(), nullptr);
  folio::ops::gather(long_view, 0, {0, longest - 20, 20}, keys.data(), nullptr);
  CHECK(keys == expected_keys);
  std::int32_t num_blocks = 0;  // a walk over the blocks ends
  auto const sequence = long_view.sequence(0, 0);
  for (auto const block : sequence.blocks()) num_blocks += block.size() > 0 ? 1 : 0;
  CHECK(num_blocks == (in_window ? 2 : 32'768));
}

}  // namespace

TEST_CASE("a sequence of 2^31 - 6 tokens is attended to and gathered from, with a window or from a token on") {
  check_longest<true>({});
  check_longest<true>({.causal = false});
  check_longest<false>({.token_begin = 2 * large_block - 250});
}

TEST_CASE("a row of a block table that begins beyond 2^32 entries is that row") {
  Cache cache({.num_blocks = {8}});
  Sequence sequence = cache.create(20);
  auto const batch = cache.batch({&sequence});
  constexpr std::int32_t row = 8, width = (1 << 29) + 8;
  std::int32_t const blocks[2] = {5, 7}, lengths[row + 1] = {0, 0, 0, 0, 0, 0, 0, 0, 20}, query_starts[row + 2] = {};
  folio::GroupTable tables[1];
  tables[0].pool = cache.pool();
  tables[0].shape = cache.shape();
  // Only this row is there: 16 GiB of table before it are not.
  tables[0].blocks = reinterpret_cast<std::int32_t const*>(reinterpret_cast<std::uintptr_t>(blocks) -
                                                           sizeof(std::int32_t) * std::uint64_t{row} * width);
  tables[0].width = width;
  std::remove_cv_t<decltype(batch.view())> const view(tables, lengths, query_starts, row + 1, 0);
  CHECK(view.sequence(row, 0).block_id(0) == BlockId{5});
  CHECK(view.sequence(row, 0).block_id(16) == BlockId{7});
}
