// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/ops/requantize.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
template <class Format>
using View = typename folio::KvCache<folio::Model<tiny>, Format>::View;

#ifdef FOLIO_EXPECT_OK
using From = View<folio::F16>;
#else
// expected-error: would be quantized a second time, and the errors add up
using From = View<folio::Int8PerToken>;
#endif

void demote(From const& from, View<folio::Int4Rotated> const& to) {
  folio::ops::requantize(from, 0, {0, 0, 8}, to, {0, 0, 8});
}
