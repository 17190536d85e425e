// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/quantizer/int_formats.hpp>

constexpr folio::ModelConfig hybrid{.layers = 2,
                                    .kv_heads = 2,
                                    .head_dim = 32,
                                    .groups = {folio::full_attention(), folio::full_attention()},
                                    .pattern = folio::repeat_groups({0, 1})};

#ifdef FOLIO_EXPECT_OK
using Cache = folio::KvCache<folio::Model<hybrid>, folio::Formats<folio::F16, folio::Int4Rotated>>;
#else
// expected-error: need one format, or one for each layer group
using Cache = folio::KvCache<folio::Model<hybrid>, folio::Keys<folio::F16, folio::F16, folio::Int4Rotated>>;
#endif
static_assert(sizeof(Cache::View) > 0);
