// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/layout/hnd.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/ops/attend.hpp>
#include <folio/quantizer/f16.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
#ifdef FOLIO_EXPECT_OK
using Layout = folio::LayoutHnd;
#else
// expected-error: attend has no fast kernels for this view
using Layout = folio::LayoutInterleaved;
#endif

void read(folio::KvCache<folio::Model<tiny>, folio::F16, Layout>::View const& view, float const* q, float* out) {
  folio::ops::attend_fast(view, 0, q, 4, out);
}
