// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/layout/interleaved.hpp>

#include "conformance/layout_suite.hpp"
#include "support/catch.hpp"

using folio::BasicLayoutInterleaved;
using folio::LayoutInterleaved;
using folio::Plane;

TEST_CASE("LayoutInterleaved is a layout, with every length of run") {
  folio::test::layout_suite<LayoutInterleaved>();
  folio::test::layout_suite<BasicLayoutInterleaved<8>>();
  folio::test::layout_suite<BasicLayoutInterleaved<4>>();
}

TEST_CASE("LayoutInterleaved lays the same run of all slots side by side, in keys") {
  constexpr folio::PlaneExtent extent{4, 32, 256};
  STATIC_REQUIRE(LayoutInterleaved::run_bytes(Plane::key) == 16);
  STATIC_REQUIRE(LayoutInterleaved::code_offset(Plane::key, extent, 0, 1, 0) == 16);
  STATIC_REQUIRE(LayoutInterleaved::code_offset(Plane::key, extent, 0, 0, 16) == 32 * 16);
  STATIC_REQUIRE(LayoutInterleaved::code_offset(Plane::key, extent, 1, 2, 35) == 32 * 256 + 2 * 32 * 16 + 2 * 16 + 3);
}

TEST_CASE("LayoutInterleaved keeps values and parameters whole") {
  constexpr folio::PlaneExtent extent{4, 32, 256};
  STATIC_REQUIRE(LayoutInterleaved::run_bytes(Plane::value) == folio::whole_row);
  STATIC_REQUIRE(LayoutInterleaved::code_offset(Plane::value, extent, 1, 2, 35) == (32 + 2) * 256 + 35);
  STATIC_REQUIRE(LayoutInterleaved::param_offset(Plane::key, extent, 1, 2) == (32 + 2) * 256);
}
