// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a config.json says, for folio::with_model: from there to the type of a cache.

#include <cstdint>
#include <folio/folio.hpp>
#include <folio/with_model.hpp>

#include "../model/llama_config.hpp"

namespace serve {

/// One type serves models whose layers see everything, have a window, or do either, in any order.
using LayerKinds = folio::GroupKinds<folio::full_and_sliding>;

[[nodiscard]] inline folio::ModelShape shape_of(LlamaConfig const& model) {
  folio::ModelShape shape{.head_dim = model.head_dim, .kv_heads = model.kv_heads};
  for (std::int32_t layer = 0; layer < model.layers; ++layer)
    shape.layers.push_back(model.has_window(layer) ? folio::sliding_window(model.window) : folio::full_attention());
  return shape;
}

}  // namespace serve
