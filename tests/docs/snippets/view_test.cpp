// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What docs/write_a_kernel.md says of views, rows and raw addresses, on the host.
#include <folio/folio.hpp>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

namespace {

constexpr folio::ModelConfig model{.layers = 3, .kv_heads = 2, .head_dim = 64};
using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<16>, folio::Int8PerToken>;
static_assert(std::is_trivially_copyable_v<Cache::View>);

}  // namespace

TEST_CASE("a row is found by block and slot, or by token, or by its address") {
  Cache cache(folio::CacheConfig{.num_blocks = {8}});
  folio::Sequence const sequence = cache.create(40);
  auto const batch = cache.batch({&sequence});
  auto const view = batch.view();
  std::vector<float> keys(40 * 2 * 64), values(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = static_cast<float>(i % 37), values[i] = -keys[i];
  folio::ops::append(view, 1, keys.data(), values.data());

  // [rows]
  auto const tokens = view.sequence(0, 1);             // sequence 0 of the batch, layer 1
  auto const row = tokens.value(1, 20);                // head 1, token 20: one look-up in the block table
  folio::Vec<8> const eight = row.load<8>(16);         // elements 16 to 23
  auto const params = row.params();                    // read once ...
  folio::Vec<8> const next = row.load<8>(24, params);  // ... for several loads
  // [/rows]
  for (int i = 0; i < 8; ++i) {
    std::size_t const element = (20 * 2 + 1) * 64 + 16 + static_cast<std::size_t>(i);
    REQUIRE(eight[i] == Approx(values[element]).margin(0.2));
    REQUIRE(next[i] == Approx(values[element + 8]).margin(0.2));
  }

  // [addresses]
  auto const layer = tokens.layer();
  auto const map = layer.map();  // byte offsets inside a block
  folio::BlockId const id = tokens.block_id(20);
  std::byte const* const block = layer.base() + folio::to_int(id) * map.block_bytes();
  std::byte const* const codes = block + map.plane_offset(folio::Plane::value, folio::RowPart::code);
  std::byte const* const scales = block + map.plane_offset(folio::Plane::value, folio::RowPart::param);
  // LayoutHnd: [head][slot][byte], so these are the strides of a head and of a slot.
  folio::PlaneExtent const extent = map.extent(folio::Plane::value, folio::RowPart::code);
  std::int64_t const head_stride = std::int64_t{extent.slots} * extent.row_bytes, slot_stride = extent.row_bytes;
  // [/addresses]
  // [head_tile]
  folio::HeadTile const head_tile = layer.head_tile(folio::Plane::value, id, 1);  // the codes of head 1, all slots
  bool const one_copy_will_do = head_tile.contiguous;                             // else row by row
  // [/head_tile]
  REQUIRE(one_copy_will_do);
  REQUIRE(head_tile.begin == codes + 1 * head_stride);
  REQUIRE(head_tile.bytes == head_stride);
  REQUIRE(codes + 1 * head_stride + 20 % 16 * slot_stride == row.codes());
  REQUIRE(scales + (1 * 16 + 20 % 16) * 4 == row.param_bytes());
}

TEST_CASE("blocks of a sequence come in order, the last one partly filled") {
  Cache cache(folio::CacheConfig{.num_blocks = {8}});
  folio::Sequence const sequence = cache.create(40);
  auto const batch = cache.batch({&sequence});
  auto const tokens = batch.view().sequence(0, 0);
  std::vector<int> sizes;
  for (auto const block : tokens.blocks()) {
    REQUIRE(block.first_token() == 16 * static_cast<int>(sizes.size()));
    sizes.push_back(block.size());
  }
  REQUIRE(sizes == std::vector{16, 16, 8});
}

TEST_CASE("a window shows only its blocks, and says which tokens a query sees") {
  constexpr folio::ModelConfig windowed{
      .layers = 1, .kv_heads = 1, .head_dim = 64, .groups = {folio::sliding_window(20, 4)}};
  folio::KvCache<folio::Model<windowed>> cache(folio::CacheConfig{.num_blocks = {8}});
  folio::Sequence sequence = cache.create(100);
  sequence.extend(1);
  auto const batch = cache.batch({&sequence});
  auto const tokens = batch.view().sequence(0, 0);
  std::vector<int> seen;
  // [window]
  int const query = tokens.first_query();  // 100: the query token's own number
  for (auto const block : tokens.blocks()) {
    for (int slot = 0; slot < block.size(); ++slot) {
      int const token = block.first_token() + slot;
      if (!tokens.shape().visible(query, token)) continue;
      seen.push_back(token);
    }
  }
  // [/window]
  REQUIRE(seen.size() == 24);  // 4 sinks and a window of 20
  REQUIRE(seen[3] == 3);
  REQUIRE(seen[4] == 81);
}

TEST_CASE("each query token of a step sees as many tokens as its limit says") {
  constexpr folio::ModelConfig plain{.layers = 1, .kv_heads = 1, .head_dim = 64};
  folio::KvCache<folio::Model<plain>> cache(folio::CacheConfig{.num_blocks = {8}});
  folio::Sequence const sequence = cache.create(100);
  std::vector<std::int32_t> const at{30, 70};
  auto const last = cache.batch({{&sequence, 2}}), anywhere = cache.batch({{&sequence, at}});
  auto const count = [](auto const& batch) {
    auto const tokens = batch.view().sequence(0, 0);
    int seen[2] = {};
    // [limit]
    for (int j = 0; j < tokens.num_query_tokens(); ++j) {
      int const query = tokens.limit(j) - 1;  // the query token's own number
      for (int token = 0; token < tokens.limit(j); ++token)
        if (tokens.shape().visible(query, token)) ++seen[j];
    }
    // [/limit]
    return std::vector(seen, seen + 2);
  };
  REQUIRE(count(last) == std::vector{99, 100});
  REQUIRE(count(anywhere) == std::vector{31, 71});
}
