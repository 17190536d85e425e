// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/version.hpp>

#include "support/catch.hpp"

TEST_CASE("releases are ordered by major, then minor, then patch") {
  STATIC_REQUIRE(folio::Version{0, 1, 0} < folio::Version{0, 1, 1});
  STATIC_REQUIRE(folio::Version{0, 9, 9} < folio::Version{1, 0, 0});
  STATIC_REQUIRE(folio::Version{0, 2, 0} > folio::Version{0, 1, 9});
  STATIC_REQUIRE(folio::version == folio::Version{folio::version});
}

TEST_CASE("the version of the headers is the version that CMake read from them") {
  STATIC_REQUIRE(folio::version == folio::Version{FOLIO_CMAKE_VERSION});
}
