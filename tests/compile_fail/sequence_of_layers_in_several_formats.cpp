// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig hybrid{.layers = 2,
                                    .kv_heads = 2,
                                    .head_dim = 32,
                                    .groups = {folio::full_attention(), folio::full_attention()},
                                    .pattern = folio::repeat_groups({0, 1})};
using View = folio::KvCache<folio::Model<hybrid>, folio::Formats<folio::F16, folio::Int4Rotated>>::View;

auto sequence(View const& view) {
#ifdef FOLIO_EXPECT_OK
  return view.sequence_in<1>(0, 0);
#else
  // expected-error: this cache has a format for each group of layers
  return view.sequence(0, 1);
#endif
}
