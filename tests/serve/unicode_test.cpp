// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0

#include "text/unicode.hpp"

#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "utf8.hpp"

TEST_CASE("Letters, numbers and spaces are Unicode's", "[serve]") {
  std::vector<int> count(4);
  constexpr int end = 0x34000;  // after it there are none
  for (std::uint32_t code = 0; code < end; ++code) ++count[static_cast<std::size_t>(serve::character_class(code))];
  CHECK(count == std::vector<int>{141028, 1911, 25, end - 141028 - 1911 - 25});
}

TEST_CASE("Normal form C composes what can be", "[serve]") {
  for (auto const& [text, expected] : std::vector<std::pair<std::string, std::string>>{
           {"", ""},
           {"plain", "plain"},
           {"e\u0301", "\u00e9"},
           {"\u212b", "\u00c5"},                     // the sign is the letter
           {"o\u0302\u0323", "\u1ed9"},              // marks in the other order
           {"o\u0302\u0327\u0323", "\u1ed9\u0327"},  // not blocked, but passed over
           {"a\u0315\u0300\u05ae\u0062", "\u00e0\u05ae\u0315b"},
           {"a\u033f\u0301", "a\u033f\u0301"},  // blocked
           {"\u0958", "\u0915\u093c"},          // decomposed, and never composed
           {"\u1100\u1161\u11a8", "\uac01"},    // Hangul
           {"\uac00\u11a8\u11a8", "\uac01\u11a8"},
           {"\u0301e", "\u0301e"},
           {"\xFF", "\xFF"},  // no UTF-8, which stays
           {"e\u0301\xE5\xAD", "\u00e9\xE5\xAD"},
           {"e\xC3\u0301\u212b", "e\xC3\u0301\u00c5"},
           {std::string("e\0\u0301", 4), std::string("e\0\u0301", 4)}}) {
    CHECK(serve::normal_form_c(text) == expected);
  }
}

TEST_CASE("Bytes that are not UTF-8 are found and replaced", "[serve]") {
  CHECK(serve::valid_utf8_bytes("a\u00e9\u5b57\U0001f44d") == 10);
  for (auto const& [text, valid, shown] : std::vector<std::tuple<std::string, std::size_t, std::string>>{
           {"", 0, ""},
           {"ab\xE5\xAD", 2, "ab\uFFFD\uFFFD"},                     // cut off
           {"\xC0\x80x", 0, "\uFFFD\uFFFDx"},                       // overlong
           {"\xED\xA0\x80", 0, "\uFFFD\uFFFD\uFFFD"},               // a surrogate
           {"\xF4\x90\x80\x80", 0, "\uFFFD\uFFFD\uFFFD\uFFFD"}}) {  // after the last
    CHECK(serve::valid_utf8_bytes(text) == valid);
    CHECK(serve::replace_invalid_utf8(text) == shown);
  }
}
