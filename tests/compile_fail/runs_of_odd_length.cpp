// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/layout/interleaved.hpp>

#ifdef FOLIO_EXPECT_OK
static_assert(folio::BasicLayoutInterleaved<8>::run_bytes(folio::Plane::key) == 8);
#else
// expected-error: RunBytes must be 4, 8 or 16
static_assert(folio::BasicLayoutInterleaved<6>::run_bytes(folio::Plane::key) == 6);
#endif
