// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/device_view.hpp>
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 32};
using View = folio::KvCache<folio::Model<tiny>, folio::F16, folio::Demote<folio::Int4Rotated>>::View;

void append(View const& view, float const* rows) {
#ifdef FOLIO_EXPECT_OK
  folio::ops::append(view, 0, rows, rows);
#else
  // expected-error: is_mixed_view
  folio::ops::append(folio::DeviceView<View>(view), 0, rows, rows);
#endif
}
