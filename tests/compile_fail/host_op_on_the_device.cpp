// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/device_view.hpp>
#include <folio/kv_cache.hpp>
#include <folio/ops/append.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using View = folio::KvCache<folio::Model<tiny>>::View;

void append(View const& view, float const* rows) {
#ifdef FOLIO_EXPECT_OK
  folio::ops::append(view, 0, rows, rows);
#else
  // expected-error: HostReadableView
  folio::ops::append(folio::DeviceView<View>(view), 0, rows, rows);
#endif
}
