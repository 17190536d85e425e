// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Catch2, version 2 or 3. Tests include this header, and write what both versions understand: TEST_CASE, SECTION,
// TEMPLATE_TEST_CASE, GENERATE, REQUIRE*, Approx, and folio::test::contains where a message is matched.

#if __has_include(<catch2/catch_test_macros.hpp>)
#include <catch2/catch_approx.hpp>
#include <catch2/catch_template_test_macros.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
using Catch::Approx;  // version 2 has it here
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace folio::test {

/// For REQUIRE_THROWS_WITH: the message holds `text`.
[[nodiscard]] inline auto contains(std::string const& text) {
#if __has_include(<catch2/catch_test_macros.hpp>)
  return Catch::Matchers::ContainsSubstring(text);
#else
  return Catch::Matchers::Contains(text);
#endif
}

}  // namespace folio::test
