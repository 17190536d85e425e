// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/ops/append.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
#ifdef FOLIO_EXPECT_OK
using Format = folio::Int4Rotated;
#else
// expected-error: this format encodes whole tiles of tokens: append to a cache in a float format
using Format = folio::ChannelTile<4, 16>;
#endif

void write(folio::KvCache<folio::Model<tiny>, Format>::View const& view, float const* rows) {
  folio::ops::append(view, 0, rows, rows);
}
