// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/ops/compact.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
#ifdef FOLIO_EXPECT_OK
using Format = folio::Int4Rotated;
#else
// expected-error: tokens of a tile share their parameters and cannot be moved apart
using Format = folio::ChannelTile<4, 16>;
#endif

using View = folio::KvCache<folio::Model<tiny>, Format>::View;

void keep(folio::Batch<View> const& batch, folio::ops::TokenLists const& lists) {
  folio::ops::compact(batch, 0, lists);
}
