// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/f32.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

#ifdef FOLIO_EXPECT_OK
using Cache = folio::KvCache<folio::Model<tiny>, folio::Keys<folio::F16>, folio::Values<folio::F16>>;
#else
// expected-error: a quantizer is given beside Keys<> and Values<>
using Cache = folio::KvCache<folio::Model<tiny>, folio::F32, folio::Keys<folio::F16>, folio::Values<folio::F16>>;
#endif
static_assert(sizeof(Cache) > 0);
