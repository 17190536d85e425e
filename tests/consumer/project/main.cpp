// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A stranger's program: the smallest that uses the library and would notice if it were not all there.
#include <folio/folio.hpp>

int main() {
  constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};
  folio::KvCache<folio::Model<model>> cache{folio::CacheConfig{.num_blocks = {8}}};
  auto sequence = cache.create();
  sequence.extend(20);
#if defined(FOLIO_NUMA)
  static_assert(folio::NumaAllocator::interleaved < 0);
#endif
  return sequence.num_tokens() == 20 && cache.stats().num_sequences == 1 ? 0 : 1;
}
