// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/f32.hpp>

// One scale for each 32 elements.
struct Grouped : folio::F32 {
  static constexpr char const* name = "grouped";
  static constexpr std::int32_t params_dim = 32;
};

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using View = folio::KvCache<folio::Model<tiny>, Grouped>::View;

float first_element(View const& view) {
  auto const sequence = view.sequence(0, 0);
  auto const row = sequence.key(0, 0);
#ifdef FOLIO_EXPECT_OK
  return row.load<32>(0, row.params())[0];
#else
  // expected-error: several parameters in N elements
  return row.load<64>(0, row.params())[0];
#endif
}
