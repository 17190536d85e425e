// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/config.hpp>
#include <string>

#include "support/catch.hpp"

#define FOLIO_TEST_TEXT(...) #__VA_ARGS__
#define FOLIO_TEST_TEXT_OF(macro) FOLIO_TEST_TEXT(macro)

TEST_CASE("a host compiler sees ordinary functions") {
  REQUIRE(std::string(FOLIO_TEST_TEXT_OF(FOLIO_HOST_DEVICE)).empty());
}
