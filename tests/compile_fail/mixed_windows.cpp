// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/mixed/mixed_cache.hpp>
#include <folio/quantizer/int_formats.hpp>

#ifdef FOLIO_EXPECT_OK
constexpr folio::LayerGroup group = folio::full_attention();
#else
// expected-error: a layer with a window gives old tokens back and needs no second precision
constexpr folio::LayerGroup group = folio::sliding_window(64);
#endif
constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16, .groups = {group}};

void make() {
  using Model = folio::Model<tiny>;
  folio::MixedCache<folio::KvCache<Model>, folio::KvCache<Model, folio::Int4Rotated>> cache({});
}
