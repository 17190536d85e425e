// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>

constexpr folio::ModelConfig open{.kv_heads = 1,
                                  .head_dim = 16,
                                  .groups = {folio::full_attention(), folio::sliding_window(8)},
                                  .pattern = folio::dynamic_pattern};
using Cache = folio::KvCache<folio::Model<open>>;

auto view(Cache const& cache, folio::GroupTable const (&tables)[2], std::int32_t const* numbers) {
#ifdef FOLIO_EXPECT_OK
  return Cache::View(tables, numbers, numbers, 1, 1, cache.pattern());
#else
  // expected-error: the model leaves its pattern dynamic: give the view the one of KvCache::pattern
  return Cache::View(tables, numbers, numbers, 1, 1);
#endif
}
