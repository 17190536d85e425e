// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>

constexpr folio::ModelConfig hybrid{.layers = 2,
                                    .kv_heads = 1,
                                    .head_dim = 16,
                                    .groups = {folio::full_attention(), folio::latent(16, 8)},
                                    .pattern = folio::repeat_groups({0, 1})};
using View = folio::KvCache<folio::Model<hybrid>>::View;

auto sequence(View const& view) {
#ifdef FOLIO_EXPECT_OK
  return view.sequence_in<1>(0, 0);
#else
  // expected-error: ask for a group of layers by sequence_in
  return view.sequence(0, 1);
#endif
}
