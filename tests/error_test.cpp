// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/error.hpp>
#include <stdexcept>
#include <type_traits>

#include "support/catch.hpp"

using folio::test::contains;

TEST_CASE("every error of the library is a folio::Error and a std::runtime_error") {
  STATIC_REQUIRE(std::is_base_of_v<std::runtime_error, folio::Error>);
  STATIC_REQUIRE(std::is_base_of_v<folio::Error, folio::OutOfBlocks>);
  STATIC_REQUIRE(std::is_base_of_v<folio::Error, folio::OutOfMemory>);
}

TEST_CASE("OutOfBlocks carries the group, what was asked and what was free, and says them") {
  folio::OutOfBlocks const error(3, 5'000'000'000, 7);
  CHECK(error.group() == 3);
  CHECK(error.asked() == 5'000'000'000);
  CHECK(error.free() == 7);
  std::string const what = error.what();
  CHECK_THAT(what, contains("folio: out of blocks in layer group 3: asked for 5000000000, free are 7"));
  CHECK_THAT(what, contains("folio: out of blocks in layer group 3: asked for 5000000000, free are 7"));
  CHECK_THAT(what, contains("free are 7"));
}

TEST_CASE("OutOfMemory carries the bytes, and says which allocator and why") {
  folio::OutOfMemory const error("host", 6'000'000'000, "the wind was wrong");
  CHECK(error.asked_bytes() == 6'000'000'000);
  std::string const what = error.what();
  CHECK_THAT(what, contains("the host allocator"));
  CHECK_THAT(what, contains("folio: the host allocator could not get 6000000000 bytes: the wind was wrong"));
  CHECK_THAT(what, contains("the wind was wrong"));
}

TEST_CASE("errors can be copied after the thing that failed is gone") {
  auto const make = [] { return folio::OutOfMemory("host", 1, std::string("a reason") + " on the stack"); };
  folio::OutOfMemory const copy = make();
  CHECK_THAT(std::string(copy.what()), contains("a reason on the stack"));
}
