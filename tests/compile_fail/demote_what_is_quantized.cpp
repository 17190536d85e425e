// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/int_formats.hpp>

#ifdef FOLIO_EXPECT_OK
using Own = folio::BF16;
#else
// expected-error: what is demoted was exact: the cache's own format has 16 bits or more
using Own = folio::Int8PerToken;
#endif
constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 32};

void make() { folio::KvCache<folio::Model<tiny>, Own, folio::Demote<folio::Int4Rotated>> cache({}); }
