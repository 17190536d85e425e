// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/int_formats.hpp>

#ifdef FOLIO_EXPECT_OK
using Policy = folio::Demote<folio::Int4Rotated>;
#else
// expected-error: all layer groups demote to one format
using Policy = folio::Demote<folio::Formats<folio::Int8PerToken, folio::Int4Rotated>>;
#endif
static_assert(Policy::demotes && sizeof(Policy) > 0);
