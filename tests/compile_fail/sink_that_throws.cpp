// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine {
  static constexpr folio::PrefixEvents hears = folio::PrefixEvents::removed;
#ifdef FOLIO_EXPECT_OK
  void removed(folio::PrefixRemoved const&) noexcept {}
#else
  void removed(folio::PrefixRemoved const&) {}
#endif
};
// expected-error: looked_up, inserted, time_set, all noexcept
static_assert(folio::KvCache<folio::Model<tiny>, folio::LruEviction, Mine>::has_prefixes);
