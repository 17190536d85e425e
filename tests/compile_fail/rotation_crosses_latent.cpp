// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/int_formats.hpp>

// The largest power of two that divides 72 + 56 is 128: the rotation of a key does not end where the value ends.
constexpr folio::ModelConfig latent{.layers = 2, .kv_heads = 1, .groups = {folio::latent(72, 56)}};

#ifdef FOLIO_EXPECT_OK
using Cache = folio::KvCache<folio::Model<latent>, folio::Keys<folio::F16>, folio::Values<folio::Int4Rotated>>;
#else
// expected-error: in blocks that cross their border
using Cache = folio::KvCache<folio::Model<latent>, folio::Int4Rotated>;
#endif
static_assert(sizeof(Cache) > 0);
