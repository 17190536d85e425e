// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

#ifdef FOLIO_EXPECT_OK
using Cache = folio::KvCache<folio::BlockSize<16>, folio::F16, folio::Model<tiny>>;
#else
// expected-error: which model is cached
using Cache = folio::KvCache<folio::BlockSize<16>, folio::F16>;
#endif
static_assert(sizeof(Cache) > 0);
