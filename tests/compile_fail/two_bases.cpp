// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/precision/rotation_matrices.hpp>

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};

#ifdef FOLIO_EXPECT_OK
using Cache = folio::KvCache<folio::Model<tiny>, folio::RotationMatrices>;
#else
// expected-error: two bases are given
using Cache = folio::KvCache<folio::Model<tiny>, folio::ModelBasis, folio::RotationMatrices>;
#endif
static_assert(sizeof(Cache) > 0);
