// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/detail/mixed_rules.hpp>
#include <folio/quantizer/channel_tile.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 32};
#ifdef FOLIO_EXPECT_OK
using Format = folio::Demote<folio::Int4Rotated>;
#else
// expected-error: whose tokens are encoded in tiles, which the device does not
using Format = folio::Demote<folio::Keys<folio::ChannelTile<2, 16>>, folio::Values<folio::Int4Rotated>>;
#endif

void demote() { folio::ops::detail::check_rows_alone<folio::KvCache<folio::Model<tiny>, folio::F16, Format>::View>(); }
