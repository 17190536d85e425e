// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/ops/attend.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/int_formats.hpp>
#ifdef FOLIO_EXPECT_OK
#include <folio/precision/mixed_ops.hpp>
#else
// expected-error: HostReadableView
#endif

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 32};
using Cache = folio::KvCache<folio::Model<tiny>, folio::F16, folio::Demote<folio::Int4Rotated>>;

void read(Cache::View const& view, float const* q, float* out) {
  folio::ops::attend(view, 0, folio::AttentionIo{q, 4, out});
}
