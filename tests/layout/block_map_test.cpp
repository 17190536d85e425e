// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <folio/layout/block_map.hpp>
#include <folio/layout/hnd.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/layout/nhd.hpp>
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <tuple>
#include <vector>

#include "conformance/layout_suite.hpp"
#include "support/catch.hpp"
#include "support/strangers.hpp"

using folio::BlockMap;
using folio::GroupShape;
using folio::Plane;
using folio::RowPart;

namespace {

GroupShape shape_of(std::int32_t layers, std::int32_t kv_heads, std::int32_t key_dim, std::int32_t value_dim,
                    std::int32_t block_size, folio::AttentionKind kind = folio::AttentionKind::full) {
  return {.kind = kind,
          .layers = layers,
          .kv_heads = kv_heads,
          .key_dim = key_dim,
          .value_dim = value_dim,
          .block_size = block_size};
}

std::vector<GroupShape> small_shapes() {
  return {shape_of(1, 1, 8, 8, 1), shape_of(2, 3, 24, 8, 5), shape_of(3, 2, 32, 64, 4), shape_of(1, 1, 40, 40, 3),
          shape_of(2, 1, 24, 16, 4, folio::AttentionKind::latent)};
}

/// Every byte of every row of `num_blocks` blocks has a place of its own inside its layer's part of its block.
template <class Map>
void check_map(GroupShape const& shape) {
  Map const map{shape};
  constexpr std::int32_t num_blocks = 3;
  REQUIRE(map.block_bytes() % folio::block_alignment == 0);
  REQUIRE(map.block_bytes() >= shape.layers * map.layer_bytes());
  REQUIRE(map.block_bytes() < shape.layers * map.layer_bytes() + folio::block_alignment);
  folio::test::Ticks ticks(num_blocks * map.block_bytes());
  bool one_to_one = true, in_its_layer = true;
  for (std::int32_t block = 0; block < num_blocks; ++block)
    for (std::int32_t layer = 0; layer < shape.layers; ++layer)
      for (Plane const plane : {Plane::key, Plane::value})
        for (RowPart const part : {RowPart::code, RowPart::param}) {
          REQUIRE(map.plane_offset(plane, part) % Map::plane_alignment == 0);
          folio::PlaneExtent const extent = map.extent(plane, part);
          std::int64_t const begin = block * map.block_bytes() + layer * map.layer_bytes();
          for (std::int32_t head = 0; head < extent.heads; ++head)
            for (std::int32_t slot = 0; slot < extent.slots; ++slot)
              for (std::int32_t byte = 0; byte < extent.row_bytes; ++byte) {
                std::int64_t const at = map.offset(block, layer, plane, part, head, slot, byte);
                one_to_one = ticks.tick(at) && one_to_one;
                in_its_layer = in_its_layer && at >= begin && at < begin + map.layer_bytes();
              }
        }
  CHECK(one_to_one);
  CHECK(in_its_layer);
}

using Quantizers = std::tuple<folio::F32, folio::F16, folio::BF16, folio::Fp8E4M3, folio::Int8PerToken,
                              folio::Int4Rotated, folio::test::GroupedInt8, folio::test::Float24>;

template <class KeyQuantizer, class Layout>
void check_with_every_value_quantizer() {
  [&]<std::size_t... V>(std::index_sequence<V...>) {
    for (GroupShape const& shape : small_shapes()) {
      CAPTURE(KeyQuantizer::name, Layout::name, shape.layers, shape.kv_heads, shape.key_dim, shape.value_dim);
      (check_map<BlockMap<KeyQuantizer, std::tuple_element_t<V, Quantizers>, Layout>>(shape), ...);
    }
  }
  (std::make_index_sequence<std::tuple_size_v<Quantizers>>{});
}

}  // namespace

TEMPLATE_TEST_CASE("every byte of a block has one place, for every pair of formats", "", folio::LayoutHnd,
                   folio::LayoutNhd, folio::LayoutInterleaved, folio::BasicLayoutInterleaved<4>,
                   folio::test::SwizzledLayout, folio::test::ShreddedLayout) {
  [&]<std::size_t... K>(std::index_sequence<K...>) {
    (check_with_every_value_quantizer<std::tuple_element_t<K, Quantizers>, TestType>(), ...);
  }
  (std::make_index_sequence<std::tuple_size_v<Quantizers>>{});
}

TEST_CASE("a block's bytes are those of its rows: f16 has no padding at usual sizes") {
  constexpr BlockMap<folio::F16, folio::F16, folio::LayoutHnd> map{
      {.layers = 32, .kv_heads = 8, .key_dim = 128, .value_dim = 128, .block_size = 16}};
  STATIC_REQUIRE(map.block_bytes() == 16 * 131'072);
}

TEST_CASE("scales are apart from codes, four bytes for each row of int8") {
  constexpr BlockMap<folio::Int8PerToken, folio::Int8PerToken, folio::LayoutHnd> map{
      {.layers = 1, .kv_heads = 8, .key_dim = 128, .value_dim = 128, .block_size = 16}};
  STATIC_REQUIRE(map.layer_bytes() == 2 * 8 * 16 * (128 + 4));
  STATIC_REQUIRE(map.plane_offset(Plane::key, RowPart::param) == 8 * 16 * 128);
  STATIC_REQUIRE(map.plane_offset(Plane::value, RowPart::code) == 8 * 16 * 132);
}

TEST_CASE("a latent layer has no bytes for values") {
  constexpr BlockMap<folio::F16, folio::F16, folio::LayoutHnd> map{{.kind = folio::AttentionKind::latent,
                                                                    .layers = 61,
                                                                    .kv_heads = 1,
                                                                    .key_dim = 576,
                                                                    .value_dim = 512,
                                                                    .block_size = 64}};
  STATIC_REQUIRE(map.extent(Plane::value, RowPart::code).bytes() == 0);
  STATIC_REQUIRE(map.extent(Plane::value, RowPart::param).bytes() == 0);
  STATIC_REQUIRE(map.block_bytes() == 64 * 70'272);
}

TEST_CASE("offsets beyond 2^32 and 2^40 bytes are computed in 64 bits") {
  constexpr BlockMap<folio::F32, folio::F32, folio::LayoutNhd> map{
      {.layers = 80, .kv_heads = 8, .key_dim = 128, .value_dim = 128, .block_size = 16}};
  constexpr std::int64_t block_bytes = 80 * 2 * 8 * 128 * 4 * 16;
  constexpr std::int32_t last_block = 0x7ffffffe;
  STATIC_REQUIRE(map.block_bytes() == block_bytes);
  STATIC_REQUIRE(map.offset(last_block, 79, Plane::value, RowPart::code, 7, 15, 511) ==
                 (std::int64_t{last_block} + 1) * block_bytes - 1);
}
