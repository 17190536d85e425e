// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/layout/layout.hpp>

#include "conformance/layout_suite.hpp"
#include "support/catch.hpp"
#include "support/strangers.hpp"

using folio::Plane;
using folio::PlaneExtent;

namespace {

struct Nameless {
  static constexpr std::int32_t run_bytes(Plane) { return 16; }
  static constexpr bool whole_heads(Plane) { return true; }
  static constexpr std::int64_t code_offset(Plane, PlaneExtent, std::int32_t, std::int32_t, std::int32_t) { return 0; }
  static constexpr std::int64_t param_offset(Plane, PlaneExtent, std::int32_t, std::int32_t) { return 0; }
};

struct With32BitOffsets {
  static constexpr char const* name = "small";
  static constexpr std::int32_t run_bytes(Plane) { return 16; }
  static constexpr bool whole_heads(Plane) { return true; }
  static constexpr std::int32_t code_offset(Plane, PlaneExtent, std::int32_t, std::int32_t, std::int32_t) { return 0; }
  static constexpr std::int64_t param_offset(Plane, PlaneExtent, std::int32_t, std::int32_t) { return 0; }
};

struct SilentOnHeads {
  static constexpr char const* name = "silent";
  static constexpr std::int32_t run_bytes(Plane) { return 16; }
  static constexpr std::int64_t code_offset(Plane, PlaneExtent, std::int32_t, std::int32_t, std::int32_t) { return 0; }
  static constexpr std::int64_t param_offset(Plane, PlaneExtent, std::int32_t, std::int32_t) { return 0; }
};

struct WithState : folio::test::SwizzledLayout {
  int state;
};

}  // namespace

TEST_CASE("strangers' layouts run the suite") {
  folio::test::layout_suite<folio::test::SwizzledLayout>();
  folio::test::layout_suite<folio::test::ShreddedLayout>();
}

TEST_CASE("what is not quite a layout is none") {
  STATIC_REQUIRE_FALSE(folio::LayoutPolicy<Nameless>);
  STATIC_REQUIRE_FALSE(folio::LayoutPolicy<With32BitOffsets>);
  STATIC_REQUIRE_FALSE(folio::LayoutPolicy<SilentOnHeads>);
  STATIC_REQUIRE_FALSE(folio::LayoutPolicy<WithState>);
  STATIC_REQUIRE_FALSE(folio::LayoutPolicy<int>);
}

TEST_CASE("a tile's bytes are counted in 64 bits") {
  STATIC_REQUIRE(PlaneExtent{256, 1 << 20, 1024}.bytes() == std::int64_t{1} << 38);
}
