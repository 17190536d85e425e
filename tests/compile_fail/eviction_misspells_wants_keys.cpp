// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine : folio::LruEviction {
  static constexpr folio::PrefixEvents hears = folio::PrefixEvents::stored;
#ifdef FOLIO_EXPECT_OK
  static constexpr bool wants_keys = true;
#else
  static constexpr bool want_keys = true;
#endif
  void stored(folio::EvictionEntry&, std::span<folio::PrefixKey const>) noexcept {}
};
// expected-error: says in `wants_keys` whether it wants keys
static_assert(folio::KvCache<folio::Model<tiny>, Mine>::has_prefixes);
