// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using View = folio::KvCache<folio::Model<tiny>>::View;

int count_blocks(View const& view) {
  int blocks = 0;
#ifdef FOLIO_EXPECT_OK
  auto const sequence = view.sequence(0, 0);
  for ([[maybe_unused]] auto const block : sequence.blocks()) ++blocks;
#else
  // expected-error: deleted
  for ([[maybe_unused]] auto const block : view.sequence(0, 0).blocks()) ++blocks;
#endif
  return blocks;
}
