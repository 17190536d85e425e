// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

void enlarge(folio::KvCache<folio::Model<tiny>>& cache) {
#ifdef FOLIO_EXPECT_OK
  static_cast<void>(cache);
#else
  // expected-error: cannot resize its memory in place; use VirtualAllocator
  cache.resize(100);
#endif
}
