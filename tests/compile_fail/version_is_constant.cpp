// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/version.hpp>

int main() {
#ifndef FOLIO_EXPECT_OK
  folio::version.major = 1;  // expected-error: read-only|const-qualified
#endif
}
