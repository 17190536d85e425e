// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/precision/rotation_matrices.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 32};
using Cache = folio::KvCache<folio::Model<tiny>, folio::F16, folio::RotationMatrices>;

/// As an operation does that knows no matrices.
void launch(Cache::StepView const& view) {
#ifdef FOLIO_EXPECT_OK
  folio::ops::with_group(view.stored, 0, [](auto, std::int32_t) {});
#else
  // expected-error: this view is of a cache with RotationMatrices
  folio::ops::with_group(view, 0, [](auto, std::int32_t) {});
#endif
}
