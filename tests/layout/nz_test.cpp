// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/layout/nz.hpp>
#include <vector>

#include "conformance/layout_suite.hpp"
#include "support/catch.hpp"

using folio::LayoutNz;
using folio::Plane;

TEST_CASE("LayoutNz is a layout") { folio::test::layout_suite<LayoutNz>(); }

TEST_CASE("LayoutNz lays the same 32 bytes of all slots side by side, in keys and in values") {
  constexpr folio::PlaneExtent extent{4, 16, 256};
  for (Plane const plane : {Plane::key, Plane::value}) {
    CHECK(LayoutNz::code_offset(plane, extent, 0, 1, 0) == 32);
    CHECK(LayoutNz::code_offset(plane, extent, 0, 0, 32) == 16 * 32);
    CHECK(LayoutNz::code_offset(plane, extent, 1, 2, 67) == 16 * 256 + 2 * 16 * 32 + 2 * 32 + 3);
    CHECK(LayoutNz::param_offset(plane, extent, 1, 2) == (16 + 2) * 256);
  }
}

TEST_CASE("LayoutNz has a shorter run at the end of rows of an odd number of 16 bytes") {
  constexpr folio::PlaneExtent extent{2, 16, 80};
  STATIC_REQUIRE(LayoutNz::code_offset(Plane::key, extent, 0, 3, 63) == 32 * 16 + 3 * 32 + 31);
  STATIC_REQUIRE(LayoutNz::code_offset(Plane::key, extent, 0, 3, 64) == 64 * 16 + 3 * 16);
  STATIC_REQUIRE(LayoutNz::code_offset(Plane::key, extent, 1, 0, 79) == 80 * 16 + 64 * 16 + 15);
}

TEST_CASE("a cache in NZ gives back what was appended, and a block has the shape that it says") {
  using Cache = folio::KvCache<folio::Model<folio::ModelConfig{.layers = 1, .kv_heads = 2, .head_dim = 48}>, folio::F16,
                               LayoutNz>;
  Cache cache(folio::CacheConfig{.num_blocks = {4}});
  folio::Sequence const sequence = cache.create(20);
  std::vector<float> keys(20 * 96), values(20 * 96), keys_back(20 * 96), values_back(20 * 96);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    keys[i] = static_cast<float>(i);
    values[i] = -keys[i];
  }
  auto const batch = cache.batch({&sequence});
  folio::ops::append(batch.view(), 0, keys.data(), values.data());
  folio::ops::gather(batch.view(), 0, {0, 0, 20}, keys_back.data(), values_back.data());
  CHECK(keys_back == keys);
  CHECK(values_back == values);
  // [kv_heads * head_dim / 16][block_size][16]
  auto const view = batch.view().sequence_in<0>(0, 0);
  std::byte const* const plane = view.key(0, 0).codes();
  for (std::int32_t d = 0; d < 96; ++d) {
    std::uint16_t element = 0;
    std::memcpy(&element, plane + 2 * ((d / 16 * 16 + 5) * 16 + d % 16), 2);
    REQUIRE(folio::f16_to_f32(element) == static_cast<float>(5 * 96 + d));
  }
}
