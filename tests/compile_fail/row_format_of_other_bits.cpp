// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/layout/hnd.hpp>
#include <folio/ops/attend.hpp>
#include <folio/quantizer/int_formats.hpp>

struct Own : folio::Int4PerToken {
  static constexpr char const* name = "own";
#ifdef FOLIO_EXPECT_OK
  static constexpr folio::Elements elements = folio::Elements::u4;
#else
  // expected-error: this quantizer's row_format names elements of other bits
  static constexpr folio::Elements elements = folio::Elements::u6;
#endif
  static constexpr folio::RowFormat row_format{elements, folio::RowParams::scale_and_offset};
};

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using Cache = folio::KvCache<folio::Model<tiny>, Own, folio::LayoutHnd>;

void read(Cache::View const& view, float const* q, float* out) {
  folio::ops::attend(view, 0, folio::AttentionIo{q, 4, out});
}
