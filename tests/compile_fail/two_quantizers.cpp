// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/f32.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

#ifdef FOLIO_EXPECT_OK
using Cache = folio::KvCache<folio::Model<tiny>, folio::F32>;
#else
// expected-error: two quantizers are given
using Cache = folio::KvCache<folio::F16, folio::Model<tiny>, folio::F32>;
#endif
static_assert(sizeof(Cache) > 0);
