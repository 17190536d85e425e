// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/layout/hnd.hpp>

#include "conformance/layout_suite.hpp"
#include "support/catch.hpp"

TEST_CASE("LayoutHnd is a layout") { folio::test::layout_suite<folio::LayoutHnd>(); }

TEST_CASE("LayoutHnd keeps rows whole, and all slots of a head together") {
  using folio::Plane;
  constexpr folio::PlaneExtent extent{4, 16, 256};
  STATIC_REQUIRE(folio::LayoutHnd::run_bytes(Plane::key) == folio::whole_row);
  STATIC_REQUIRE(folio::LayoutHnd::run_bytes(Plane::value) == folio::whole_row);
  STATIC_REQUIRE(folio::LayoutHnd::code_offset(Plane::key, extent, 0, 1, 0) == 256);
  STATIC_REQUIRE(folio::LayoutHnd::code_offset(Plane::value, extent, 1, 0, 0) == 16 * 256);
  STATIC_REQUIRE(folio::LayoutHnd::code_offset(Plane::key, extent, 2, 3, 5) == (2 * 16 + 3) * 256 + 5);
}
