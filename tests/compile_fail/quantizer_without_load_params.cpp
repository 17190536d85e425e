// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/quantizer/quantizer.hpp>

struct Mine {
  static constexpr char const* name = "mine";
  static constexpr int bits = 8;
  static constexpr folio::Basis basis = folio::Basis::model;
  static constexpr folio::RowFormat row_format{folio::Elements::decoded};
  struct Params {};
  static constexpr std::int32_t param_bytes(std::int32_t) { return 0; }
  static void encode(float const*, std::int32_t, std::byte*, std::byte*) {}
#ifdef FOLIO_EXPECT_OK
  static Params load_params(std::byte const*, std::int32_t) { return {}; }
#endif
  template <int N>
  static void decode(std::byte const*, Params const&, float*) {}
};
// expected-error: load_params
static_assert(folio::QuantizerPolicy<Mine>);
