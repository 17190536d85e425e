// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/int_formats.hpp>

#ifdef FOLIO_EXPECT_OK
using Second = folio::Demote<folio::Int4Rotated, folio::BlockSize<32>>;
#else
// expected-error: which format are tokens demoted to
using Second = folio::Demote<folio::BlockSize<32>>;
#endif
constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 32};

void make() { folio::KvCache<folio::Model<tiny>, Second> cache({}); }
