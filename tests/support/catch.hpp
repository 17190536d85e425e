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

#include <cctype>
#include <string>
#include <utility>

/// The rest of a test case does not run, and says so: a line with "SKIP: " and why, which .ci/run shows at its end.
#define FOLIO_SKIP(why)      \
  do {                       \
    WARN("SKIP: " << (why)); \
    return;                  \
  } while (false)

namespace folio::test {

#if __has_include(<catch2/catch_test_macros.hpp>)
using StringMatcher = Catch::Matchers::MatcherBase<std::string>;
#else
using StringMatcher = Catch::MatcherBase<std::string>;
#endif

/// Whether `text` is in `message` with its words and numbers whole: "layer 2" is not in "layer 21", nor in "layer 2.5".
[[nodiscard]] inline bool has_words(std::string const& message, std::string const& text) {
  auto const in_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  auto const joined = [&](std::size_t i) {  // whether characters i - 1 and i are of one word or number
    if (i == 0 || i >= message.size()) return false;
    bool const decimals = std::isdigit(static_cast<unsigned char>(message[i - 1])) != 0 && message[i] == '.' &&
                          i + 1 < message.size() && std::isdigit(static_cast<unsigned char>(message[i + 1])) != 0;
    return decimals || (in_word(message[i - 1]) && in_word(message[i]));
  };
  for (std::size_t at = message.find(text); at != std::string::npos; at = message.find(text, at + 1))
    if (!joined(at) && !joined(at + text.size())) return true;
  return false;
}

/// For REQUIRE_THROWS_WITH: the message has `text`, as has_words says. Give what tells the message from all others: a
/// whole sentence where a part is in another's.
class Contains : public StringMatcher {
 public:
  explicit Contains(std::string text) : text_(std::move(text)) {}
  bool match(std::string const& message) const override { return has_words(message, text_); }
  std::string describe() const override { return "has the words \"" + text_ + "\""; }

 private:
  std::string text_;
};
[[nodiscard]] inline Contains contains(std::string const& text) { return Contains(text); }

}  // namespace folio::test
