// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kernels/with_group.hpp>
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 32};
using Cache = folio::KvCache<folio::Model<tiny>, folio::F16, folio::Demote<folio::Int4Rotated>>;

/// As the launcher of a kernel does that is for one format.
void launch(Cache::View const& view) {
#ifdef FOLIO_EXPECT_OK
  folio::ops::with_group(view.recent, 0, [](auto, std::int32_t) {});
#else
  // expected-error: this view is of a cache that demotes, and so of two formats
  folio::ops::with_group(view, 0, [](auto, std::int32_t) {});
#endif
}
