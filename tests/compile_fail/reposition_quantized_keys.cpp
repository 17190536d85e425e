// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/ops/reposition.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
template <class... Formats>
using View = typename folio::KvCache<folio::Model<tiny>, Formats...>::View;

#ifdef FOLIO_EXPECT_OK
using Keys = folio::Keys<folio::F16>;
#else
// expected-error: store keys before RoPE and turn them when they are read, or keep them in a float format
using Keys = folio::Keys<folio::Int8PerToken>;
#endif

void shift(View<Keys, folio::Values<folio::Int8PerToken>> const& view, std::span<folio::ops::RopeTurn const> table) {
  folio::ops::reposition(view, 0, {0, 0, 8}, table);
}
