// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/int_formats.hpp>

#ifdef FOLIO_EXPECT_OK
using Second = folio::Demote<folio::Int4Rotated>;
#else
// expected-error: two quantizers are given
using Second = folio::Demote<folio::Int8PerToken, folio::Int4Rotated>;
#endif
static_assert(Second::demotes);
