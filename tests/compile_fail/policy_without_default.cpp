// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

struct Mine : folio::LruEviction {
  explicit Mine(int) {}
};
using Cache = folio::KvCache<folio::Model<tiny>, Mine>;
#ifdef FOLIO_EXPECT_OK
Cache make() { return Cache({.num_blocks = {4}}, Mine(1)); }
#else
Cache make() { return Cache({.num_blocks = {4}}); }
#endif
// expected-error: a policy of this cache has no default constructor: give an object of it to the cache's constructor
