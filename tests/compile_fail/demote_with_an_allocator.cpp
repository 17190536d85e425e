// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/allocator/host.hpp>
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 32};

void make() {
#ifdef FOLIO_EXPECT_OK
  folio::KvCache<folio::Model<tiny>, folio::Demote<folio::Int4Rotated>, folio::HostAllocator> cache({});
#else
  // expected-error: what else a cache has is given to KvCache
  folio::KvCache<folio::Model<tiny>, folio::Demote<folio::Int4Rotated, folio::HostAllocator>> cache({});
#endif
}
