// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine : folio::LruEviction {
  static constexpr bool wants_keys = false;
#ifdef FOLIO_EXPECT_OK
  static constexpr folio::PrefixEvents hears = folio::PrefixEvents::removed;
#endif
  void removed(folio::EvictionEntry const&, folio::PrefixKey const&) noexcept {}
};
// expected-error: `hears` must name each event of which it has the member, and no other
static_assert(folio::KvCache<folio::Model<tiny>, Mine>::has_prefixes);
