// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

using Cache = folio::KvCache<folio::Model<tiny>, folio::LruEviction>;
#ifdef FOLIO_EXPECT_OK
Cache make() { return Cache({.num_blocks = {4}}, folio::LruEviction()); }
#else
Cache make() { return Cache({.num_blocks = {4}}, folio::LruEviction(), folio::LruEviction()); }
#endif
// expected-error: two objects of one policy are given to the constructor; keep one
