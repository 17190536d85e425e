// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/allocator/functions.hpp>
#include <folio/kv_cache.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
#ifdef FOLIO_EXPECT_OK
using Allocator = folio::FunctionAllocator<folio::Accessibility::both>;
#else
// expected-error: in memory that the host cannot read: make a DeviceBatch
using Allocator = folio::FunctionAllocator<folio::Accessibility::device>;
#endif

auto tables(folio::KvCache<folio::Model<tiny>, Allocator>& cache, folio::Sequence const& s) {
  return cache.batch({&s});
}
