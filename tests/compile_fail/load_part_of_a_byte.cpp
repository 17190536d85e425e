// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using View = folio::KvCache<folio::Model<tiny>, folio::Int4PerToken>::View;

float second_element(View const& view) {
#ifdef FOLIO_EXPECT_OK
  return view.sequence(0, 0).key(0, 0).load<2>(0)[1];
#else
  // expected-error: reads whole bytes
  return view.sequence(0, 0).key(0, 0).load<1>(1)[0];
#endif
}
