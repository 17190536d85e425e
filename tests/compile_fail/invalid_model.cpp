// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>

#ifdef FOLIO_EXPECT_OK
constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 104};
#else
constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 100};
#endif
// expected-error: the ModelConfig is not valid
static_assert(sizeof(folio::KvCache<folio::Model<model>>) > 0);
