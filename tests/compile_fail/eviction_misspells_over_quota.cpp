// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine : folio::LruEviction {
  static constexpr folio::PrefixEvents hears = folio::PrefixEvents::over_quota;
#ifdef FOLIO_EXPECT_OK
  folio::EvictionEntry* over_quota(double) noexcept { return nullptr; }
#else
  folio::EvictionEntry* over_qouta(double) noexcept { return nullptr; }
#endif
};
// expected-error: `hears` must name each event of which it has the member, and no other: .*prepare, over_quota
static_assert(folio::KvCache<folio::Model<tiny>, Mine>::has_prefixes);
