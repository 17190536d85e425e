// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/sequence.hpp>

folio::Sequence second(folio::Sequence const& first) {
#ifdef FOLIO_EXPECT_OK
  return first.fork();
#else
  // expected-error: deleted
  return first;
#endif
}
