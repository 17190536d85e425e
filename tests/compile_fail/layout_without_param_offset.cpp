// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/layout/layout.hpp>

struct Mine {
  static constexpr char const* name = "mine";
  static constexpr std::int32_t run_bytes(folio::Plane) { return folio::whole_row; }
  static constexpr bool whole_heads(folio::Plane) { return true; }
  static constexpr std::int64_t code_offset(folio::Plane, folio::PlaneExtent, std::int32_t, std::int32_t,
                                            std::int32_t) {
    return 0;
  }
#ifdef FOLIO_EXPECT_OK
  static constexpr std::int64_t param_offset(folio::Plane, folio::PlaneExtent, std::int32_t, std::int32_t) { return 0; }
#endif
};
// expected-error: param_offset
static_assert(folio::LayoutPolicy<Mine>);
