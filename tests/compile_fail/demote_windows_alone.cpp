// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/int_formats.hpp>

#ifdef FOLIO_EXPECT_OK
constexpr folio::LayerGroup second = folio::full_attention();
#else
// expected-error: all layers of this model have a window, which bounds their memory
constexpr folio::LayerGroup second = folio::sliding_window(8, 4);
#endif
constexpr folio::ModelConfig tiny{.layers = 2,
                                  .kv_heads = 2,
                                  .head_dim = 16,
                                  .groups = {folio::sliding_window(64), second},
                                  .pattern = folio::repeat_groups({0, 1})};

void make() { folio::KvCache<folio::Model<tiny>, folio::Demote<folio::Int4Rotated>> cache({}); }
