// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/precision/rotation_matrices.hpp>

#ifdef FOLIO_EXPECT_OK
constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 16};
#else
// expected-error: the values of a latent layer are the beginning of its keys, which a matrix mixes
constexpr folio::ModelConfig model{.layers = 2, .groups = {folio::latent(16, 8)}};
#endif

void make(folio::RotationMatrices matrices) {
  folio::KvCache<folio::Model<model>, folio::F16, folio::RotationMatrices> cache({}, std::move(matrices));
}
