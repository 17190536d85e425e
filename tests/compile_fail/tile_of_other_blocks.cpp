// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/channel_tile.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
#ifdef FOLIO_EXPECT_OK
using Blocks = folio::BlockSize<64>;
#else
// expected-error: a tile format's tile is one block
using Blocks = folio::BlockSize<16>;
#endif

folio::KvCache<folio::Model<tiny>, folio::Int4PerChannel<64>, Blocks> cache({.num_blocks = {4}});
auto const view = cache.batch({}).view();
