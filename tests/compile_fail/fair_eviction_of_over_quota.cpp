// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/eviction/fair.hpp>
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine : folio::LruEviction {
#ifndef FOLIO_EXPECT_OK
  static constexpr folio::PrefixEvents hears = folio::PrefixEvents::over_quota;
  folio::EvictionEntry* over_quota(double) noexcept { return nullptr; }
#endif
};
// expected-error: the policy within each tenant hears over_quota, and would never be asked
static_assert(folio::KvCache<folio::Model<tiny>, folio::FairEviction<Mine>>::has_prefixes);
