// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine : folio::LruEviction {
  static constexpr folio::PrefixEvents hears = folio::PrefixEvents::hit;
#ifdef FOLIO_EXPECT_OK
  void hit(folio::EvictionEntry const&, std::int32_t, double) noexcept {}
#else
  void hit(folio::EvictionEntry const&, std::int32_t, double) {}
#endif
};
// expected-error: all that it has but reserve and prepare must be noexcept
static_assert(folio::KvCache<folio::Model<tiny>, Mine>::has_prefixes);
