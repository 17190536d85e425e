// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine {
  static constexpr folio::PrefixEvents hears = folio::PrefixEvents::looked_up;
#ifdef FOLIO_EXPECT_OK
  void looked_up(folio::PrefixLookup const&) noexcept {}
#else
  void lookedup(folio::PrefixLookup const&) noexcept {}
#endif
};
// expected-error: this sink of events is none: `hears` must name each event of which it has the member
static_assert(folio::KvCache<folio::Model<tiny>, folio::LruEviction, Mine>::has_prefixes);
