// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/kv_cache.hpp>
#include <folio/layout/nhd.hpp>
#include <folio/precision/demote.hpp>
#include <folio/quantizer/int_formats.hpp>

#ifdef FOLIO_EXPECT_OK
using Second = folio::Demote<folio::Int4Rotated, folio::LayoutNhd>;
#else
// expected-error: two layouts are given
using Second = folio::Demote<folio::Int4Rotated, folio::LayoutNhd, folio::LayoutHnd>;
#endif
static_assert(Second::demotes);
