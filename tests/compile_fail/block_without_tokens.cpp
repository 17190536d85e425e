// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/block.hpp>

#ifdef FOLIO_EXPECT_OK
using Blocks = folio::BlockSizes<16, 1>;
#else
// expected-error: a block holds at least one token
using Blocks = folio::BlockSizes<16, 0>;
#endif
static_assert(sizeof(Blocks) > 0);
