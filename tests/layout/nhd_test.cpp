// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/layout/nhd.hpp>

#include "conformance/layout_suite.hpp"
#include "support/catch.hpp"

TEST_CASE("LayoutNhd is a layout") { folio::test::layout_suite<folio::LayoutNhd>(); }

TEST_CASE("LayoutNhd keeps rows whole, and all heads of a token together") {
  using folio::Plane;
  constexpr folio::PlaneExtent extent{4, 16, 256};
  STATIC_REQUIRE(folio::LayoutNhd::run_bytes(Plane::key) == folio::whole_row);
  STATIC_REQUIRE(folio::LayoutNhd::run_bytes(Plane::value) == folio::whole_row);
  STATIC_REQUIRE(folio::LayoutNhd::code_offset(Plane::key, extent, 1, 0, 0) == 256);
  STATIC_REQUIRE(folio::LayoutNhd::code_offset(Plane::value, extent, 0, 1, 0) == 4 * 256);
  STATIC_REQUIRE(folio::LayoutNhd::code_offset(Plane::key, extent, 2, 3, 5) == (3 * 4 + 2) * 256 + 5);
}
