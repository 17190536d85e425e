// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using Rotated = folio::KvCache<folio::Model<tiny>, folio::Keys<folio::Int4Rotated>>::View;

float first_element(Rotated const& view) {
  auto const sequence = view.sequence(0, 0);
#ifdef FOLIO_EXPECT_OK
  return sequence.key(0, 0).load_in<Rotated::KeyQuantizer::basis, 8>(0)[0] + sequence.value(0, 0).load<8>(0)[0];
#else
  // expected-error: this format stores rows rotated: turn the query to its basis once
  float const key = sequence.key(0, 0).load<8>(0)[0] + sequence.key(0, 0)[0];
  // expected-error: rows of this format are in another basis
  return key + sequence.key(0, 0).load_in<folio::Basis::randomized_hadamard, 8>(0)[0];
#endif
}
