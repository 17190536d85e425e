// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>

#ifdef FOLIO_EXPECT_OK
constexpr folio::ModelConfig open{.layers = folio::dynamic, .kv_heads = folio::dynamic, .head_dim = 64};
#else
// expected-error: cannot be dynamic, because kernels are compiled for them: give numbers, and let folio::with_model
constexpr folio::ModelConfig open{.layers = folio::dynamic, .kv_heads = folio::dynamic, .head_dim = folio::dynamic};
#endif

folio::KvCache<folio::Model<open>> cache({.num_blocks = {1}, .layers = 1, .kv_heads = 1});
