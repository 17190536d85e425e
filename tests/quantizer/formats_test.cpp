// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A format for each layer group: every layer has the bytes, the rows and the attention of a cache of its format alone.
#include <cstring>
#include <folio/folio.hpp>
#include <folio/ops/compact.hpp>
#include <folio/ops/scores.hpp>
#include <folio/precision/bit_allocation.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <folio/tensor_map_shape.hpp>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace folio;
using namespace folio::test;

constexpr ModelConfig alike{.layers = 5,
                            .kv_heads = 2,
                            .head_dim = 32,
                            .groups = {full_attention(), full_attention(), full_attention()},
                            .pattern = dynamic_pattern};
constexpr ModelConfig plain{.layers = 5, .kv_heads = 2, .head_dim = 32};
constexpr std::int32_t num_query_heads = 4, num_tokens = 37;
std::vector<std::int32_t> const groups{1, 0, 2, 0, 1};

struct Rows {
  std::vector<float> keys, values, out, lse, scores;
  friend bool operator==(Rows const&, Rows const&) = default;
};

/// What a cache makes of 37 tokens in a layer, the last 5 of them queries; of other positions, where it demotes.
template <class Cache>
Rows rows_of(Cache& cache, std::int32_t layer) {
  Sequence sequence = cache.create(num_tokens);
  auto const rows = std::size_t{num_tokens} * 2 * 32;
  auto const keys = random_floats(rows, 10U + static_cast<unsigned>(layer)),
             values = random_floats(rows, 20U + static_cast<unsigned>(layer)),
             q = random_floats(std::size_t{5} * num_query_heads * 32, 3);
  auto const step = cache.batch({{&sequence, num_tokens}});
  ops::append(step.view(), layer, keys.data(), values.data());
  if constexpr (Cache::has_demotion) cache.demote(sequence);
  auto const batch = cache.batch({{&sequence, 5}});
  Rows found{std::vector<float>(rows), std::vector<float>(rows), std::vector<float>(q.size()),
             std::vector<float>(std::size_t{5} * num_query_heads), std::vector<float>(2 * num_tokens)};
  ops::gather(batch.view(), layer, {0, 0, num_tokens}, found.keys.data(), found.values.data());
  ops::attend(batch.view(), layer, AttentionIo{q.data(), num_query_heads, found.out.data(), found.lse.data()});
  std::vector<float> planned(found.out.size());
  ops::attend(ops::plan_attention(batch.view(), num_query_heads), layer,
              AttentionIo{q.data(), num_query_heads, planned.data()});
  CHECK(planned == found.out);
  if constexpr (!Cache::has_demotion)
    ops::accumulate_scores(batch.view(), layer, q.data(), num_query_heads, found.lse.data(), found.scores.data(),
                           {.max_tokens = num_tokens});
  return found;
}
template <class... Policies>
Rows rows_alone(std::int32_t layer) {
  KvCache<Model<plain>, Policies...> cache({.num_blocks = {20}});
  return rows_of(cache, layer);
}

}  // namespace

TEST_CASE("a format for each layer group: every layer is as in a cache of its format alone") {
  KvCache<Model<alike>, Formats<F16, Int4Rotated, Int8PerToken>> cache(
      {.num_blocks = {20, 20, 20}, .layer_groups = groups});
  for (std::int32_t layer = 0; layer < 5; ++layer) {
    Rows const expected = layer == 2       ? rows_alone<Int8PerToken>(layer)
                          : layer % 2 == 1 ? rows_alone<F16>(layer)
                                           : rows_alone<Int4Rotated>(layer);
    CAPTURE(layer);
    CHECK(rows_of(cache, layer) == expected);
  }
}
TEST_CASE("formats of keys and of values by layer group") {
  KvCache<Model<alike>, Keys<F32, Int8PerToken, Int8PerToken>, Values<Int4Rotated, F16, Int2Rotated>, LayoutNhd> cache(
      {.num_blocks = {20, 20, 20}, .layer_groups = groups});
  CHECK(cache.block_bytes(0) == 2 * 2 * 16 * (128 + 16 + 4));
  CHECK(cache.block_bytes(1) == 2 * 2 * 16 * (32 + 4 + 64));
  CHECK(cache.block_bytes(2) == 1 * 2 * 16 * (32 + 4 + 16 + 4));  // 8 bytes of codes take 16
  CHECK(rows_of(cache, 0) == rows_alone<Keys<Int8PerToken>, Values<F16>, LayoutNhd>(0));
  CHECK(rows_of(cache, 1) == rows_alone<Keys<F32>, Values<Int4Rotated>, LayoutNhd>(1));
  CHECK(rows_of(cache, 2) == rows_alone<Keys<Int8PerToken>, Values<Int2Rotated>, LayoutNhd>(2));
}
TEST_CASE("one format given as Formats is that format") {
  STATIC_REQUIRE(
      std::is_same_v<KvCache<Model<plain>, Formats<Int8PerToken>>::View, KvCache<Model<plain>, Int8PerToken>::View>);
  STATIC_REQUIRE(std::is_same_v<FormatIn<Formats<F16, F16>, any_group>, F16>);
  STATIC_REQUIRE(std::is_void_v<FormatIn<Formats<F16, F32>, any_group>>);
  // Rows of one type: a layer's group need not be known where they are read.
  KvCache<Model<alike>, Formats<F16, F16, F16>> cache({.num_blocks = {2, 2, 2}, .layer_groups = groups});
  Sequence const sequence = cache.create(1);
  auto const batch = cache.batch({{&sequence, 1}});
  CHECK(batch.view().sequence(0, 4).num_tokens() == 1);
}
TEST_CASE("blocks have the bytes of their group's format") {
  using Cache = KvCache<Model<alike>, Formats<F16, Int4Rotated, Int8PerToken>>;
  Cache const cache({.num_blocks = {3, 3, 3}, .layer_groups = groups});
  // A row of 32 elements: 64 bytes; 16 and a scale of 4; 32 and a scale of 4. 2 layers, 2, and 1.
  CHECK(cache.block_bytes(0) == 2 * 2 * 2 * 16 * 64);
  CHECK(cache.block_bytes(1) == 2 * 2 * 2 * 16 * (16 + 4));
  CHECK(cache.block_bytes(2) == 1 * 2 * 2 * 16 * (32 + 4));
  CHECK(Cache::Map<1>{cache.shape(1)}.block_bytes() == cache.block_bytes(1));
  auto const view_of = [&](int group) {
    auto batch = KvCache<Model<alike>, Formats<F16, Int4Rotated, Int8PerToken>>(
                     {.num_blocks = {3, 3, 3}, .layer_groups = groups})
                     .batch({});
    return tensor_map_shape(batch.view(), group, Plane::key, 3);
  };
  CHECK(view_of(0).extents[0] * view_of(0).element_bytes == 64);
  CHECK(view_of(1).extents[0] * view_of(1).element_bytes == 16);
  CHECK(view_of(2).extents[0] * view_of(2).element_bytes == 32);
}
TEST_CASE("what a layer's format does not allow is an error where other layers' formats do") {
  KvCache<Model<alike>, Formats<F16, Int4Rotated, Int8PerToken>> cache(
      {.num_blocks = {2, 2, 2}, .layer_groups = groups});
  KvCache<Model<alike>, F32> other({.num_blocks = {2, 2, 2}, .layer_groups = groups});
  Sequence from = cache.create(4), to = other.create(4);
  auto const batch = cache.batch({{&from, 4}});
  auto const target = other.batch({{&to, 4}});
  std::vector<float> const keys(4 * 64, 1.0F);
  for (std::int32_t layer = 0; layer < 5; ++layer) ops::append(batch.view(), layer, keys.data(), keys.data());
  CHECK_NOTHROW(ops::requantize(batch.view(), 1, {0, 0, 4}, target.view(), {0, 0, 4}));
  CHECK_THROWS_WITH(ops::requantize(batch.view(), 0, {0, 0, 4}, target.view(), {0, 0, 4}),
                    contains("layer 0 is stored in less than 16 bits and would be quantized a second time"));
  CHECK_THROWS_WITH(ops::demote(batch.view(), 2, {0, 0, 4}, target.view(), {0, 0, 4}),
                    contains("layer 2 is stored in less than 16 bits"));
  auto const table = ops::rope_table(std::vector<float>(16, 0.5F), 1);
  CHECK_NOTHROW(ops::reposition(batch.view(), 3, {0, 0, 4}, table));
  CHECK_THROWS_WITH(ops::reposition(batch.view(), 4, {0, 0, 4}, table), contains("the keys of layer 4 are quantized"));
}
TEST_CASE("tokens are moved between caches of one model that have its layers in other groups") {
  KvCache<Model<alike>, Formats<F16, Int4Rotated, BF16>> cache({.num_blocks = {2, 2, 2}, .layer_groups = groups});
  KvCache<Model<alike>, Formats<F32, Int8PerToken, F32>> other(
      {.num_blocks = {2, 2, 2}, .layer_groups = {0, 1, 1, 2, 0}});
  Sequence const from = cache.create(4), to = other.create(4);
  auto const batch = cache.batch({{&from, 4}});
  auto const target = other.batch({{&to, 4}});
  for (std::int32_t layer = 1; layer < 4; ++layer) {
    auto const rows = random_floats(4 * 64, static_cast<unsigned>(layer));
    ops::append(batch.view(), layer, rows.data(), rows.data());
    std::vector<float> source(rows.size()), found(rows.size()), appended(rows.size());
    ops::gather(batch.view(), layer, {0, 0, 4}, source.data(), nullptr);
    ops::append(target.view(), layer, source.data(), source.data());
    ops::gather(target.view(), layer, {0, 0, 4}, appended.data(), nullptr);
    for (bool const demotes : {false, true}) {
      std::vector<float> const zeros(rows.size());
      ops::append(target.view(), layer, zeros.data(), zeros.data());
      if (demotes)
        ops::demote(batch.view(), layer, {0, 0, 4}, target.view(), {0, 0, 4});
      else
        ops::requantize(batch.view(), layer, {0, 0, 4}, target.view(), {0, 0, 4});
      ops::gather(target.view(), layer, {0, 0, 4}, found.data(), nullptr);
      CAPTURE(layer, demotes);
      CHECK(found == appended);
    }
  }
}
TEST_CASE("of layer groups with formats of their own, those of 16 bits or more demote") {
  using Cache = KvCache<Model<alike>, Formats<F16, Int4Rotated, BF16>, Demote<Int8PerToken>>;
  STATIC_REQUIRE(Cache::num_lists == 5);
  Cache cache({.num_blocks = {9, 9, 9},
               .layer_groups = groups,
               .demotion = {.sinks = 0, .recent_window = 5, .num_blocks = {9, 9}}});
  CHECK(cache.second_list(0) == 3);
  CHECK(cache.second_list(2) == 4);
  CHECK_THROWS_WITH(cache.second_list(1), contains("layer group 1 demotes nothing"));
  CHECK(cache.block_bytes(4) == 1 * 2 * 2 * 16 * (32 + 4));
  for (std::int32_t layer = 0; layer < 5; ++layer) {
    KvCache<Model<plain>, F16, Demote<Int8PerToken>> f16(
        {.num_blocks = {9}, .demotion = {.sinks = 0, .recent_window = 5, .num_blocks = {9}}});
    KvCache<Model<plain>, BF16, Demote<Int8PerToken>> bf16(
        {.num_blocks = {9}, .demotion = {.sinks = 0, .recent_window = 5, .num_blocks = {9}}});
    CAPTURE(layer);
    Rows found = rows_of(cache, layer);
    Rows const expected = layer == 2       ? rows_of(bf16, layer)
                          : layer % 2 == 1 ? rows_of(f16, layer)
                                           : rows_alone<Int4Rotated>(layer);
    if (layer % 4 == 0) found.scores = expected.scores;  // of a cache that demotes there are none
    CHECK(found == expected);
  }
}
TEST_CASE("which layers get more bits is known at run time: the sensitive ones") {
  // [allocation]
  // Layers that attend alike and are stored otherwise are groups of their own.
  static constexpr folio::ModelConfig model{.kv_heads = 8,
                                            .head_dim = 128,
                                            .groups = {folio::full_attention(), folio::full_attention()},
                                            .pattern = folio::dynamic_pattern};
  using Cache = folio::KvCache<folio::Model<model>, folio::Formats<folio::Int8PerToken, folio::Int4Rotated>>;

  std::vector<double> const sensitivities{9, 1, 1, 2, 1, 4};  // by layer: what a unit of its error costs the model
  std::vector<folio::FormatCost> const formats{{.loss = 4e-5, .bytes = 2112}, {.loss = 7e-3, .bytes = 1088}};
  auto const allocation = folio::allocate_bits(sensitivities, formats, 4 * 1088 + 2 * 2112);
  Cache cache({.memory_bytes = 4 << 20, .layer_groups = {allocation.choice.begin(), allocation.choice.end()}});
  // [/allocation]
  CHECK(allocation.choice == std::vector<int>{0, 1, 1, 1, 1, 0});
  CHECK(cache.shape(0).layers == 2);
  CHECK(cache.bytes_per_token() == 2 * 2112 + 4 * 1088);
}
