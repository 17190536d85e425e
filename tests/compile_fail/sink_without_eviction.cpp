// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/observe/prefix_events.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

#ifdef FOLIO_EXPECT_OK
using Cache = folio::KvCache<folio::Model<tiny>, folio::PrefixRecorder, folio::LruEviction>;
#else
// expected-error: an event sink is given and no eviction policy
using Cache = folio::KvCache<folio::Model<tiny>, folio::PrefixRecorder>;
#endif
static_assert(sizeof(Cache) > 0);
