// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/layout/interleaved.hpp>
#include <folio/layout/nhd.hpp>
#include <folio/quantizer/f32.hpp>

// Codes of 24 bits: the sixth of a row lies across the border of two runs of 16 bytes.
struct Float24 : folio::F32 {
  static constexpr char const* name = "float24";
  static constexpr int bits = 24;
};

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
#ifdef FOLIO_EXPECT_OK
using View = folio::KvCache<folio::Model<tiny>, Float24, folio::LayoutNhd>::View;
#else
// expected-error: folio: .*runs
using View = folio::KvCache<folio::Model<tiny>, Float24, folio::LayoutInterleaved>::View;
#endif

auto load(View const& view) { return view.sequence(0, 0).key(0, 0).load<8>(0); }
