// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0

#include "json.hpp"

#include <string>

#include "support/catch.hpp"

using folio::test::contains;
using serve::BadInput;
using serve::Json;
using serve::JsonReader;

namespace {

Json read(std::string const& text) { return JsonReader::read(text, "it"); }

}  // namespace

TEST_CASE("JSON values are read", "[serve]") {
  Json const json = read(R"( {"a": [1, -2, 2.5, 1e3], "b": {"c": null, "d": true, "e": false}, "f": "x"} )");
  auto const& a = *json.find("a")->get<Json::Array>();
  CHECK(*a[0].get<std::int64_t>() == 1);
  CHECK(*a[1].get<std::int64_t>() == -2);
  CHECK(*a[2].get<double>() == 2.5);
  CHECK(*a[3].get<double>() == 1000);
  CHECK(json.find("b")->find("c")->is_null());
  CHECK(*json.find("b")->find("d")->get<bool>());
  CHECK_FALSE(*json.find("b")->find("e")->get<bool>());
  CHECK(*json.find("f")->get<std::string>() == "x");
  CHECK(json.find("g") == nullptr);
  CHECK(a[0].find("a") == nullptr);
  CHECK(json.text(1000) == R"({"a": [1, -2, 2.5, 1000], "b": {"c": null, "d": true, "e": false}, "f": "x"})");
}

TEST_CASE("JSON integers are exact as far as they fit", "[serve]") {
  CHECK(*read("9223372036854775807").get<std::int64_t>() == INT64_MAX);
  CHECK(*read("-9223372036854775808").get<std::int64_t>() == INT64_MIN);
  CHECK(read("9223372036854775808").get<std::int64_t>() == nullptr);
  CHECK(*read("9223372036854775808").get<double>() == 9223372036854775808.0);
  CHECK(read("1.0").get<std::int64_t>() == nullptr);
}

TEST_CASE("JSON strings may have escapes and UTF-8", "[serve]") {
  CHECK(*read(R"("\"\\\/\b\f\n\r\t")").get<std::string>() == "\"\\/\b\f\n\r\t");
  CHECK(*read(R"("\u0041\u00e9\u20ac\ud83d\ude00")").get<std::string>() == "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  CHECK(*read("\"\xC3\xA9\xF0\x9F\x98\x80\"").get<std::string>() == "\xC3\xA9\xF0\x9F\x98\x80");
  CHECK(read(R"("\u0000")").get<std::string>()->size() == 1);
  std::string const every = "a\"b\\c\n\x01 \xC3\xA9";
  CHECK(*read(serve::json_quote(every)).get<std::string>() == every);
}

TEST_CASE("JSON that is not valid names the byte", "[serve]") {
  CHECK_THROWS_WITH(read("[1, 2"), contains("it is not valid JSON: expected ',' or ']' at byte 5."));
  CHECK_THROWS_WITH(read("{\"a\" 1}"), contains("expected ':' at byte 5"));
  CHECK_THROWS_WITH(read("[1] x"), contains("expected the end of the text at byte 4"));
  CHECK_THROWS_WITH(read(R"({"a": 1, "b": 2, "a": 3})"), contains("\"a\" appears twice"));
  for (char const* text : {"",
                           " ",
                           "{",
                           "[",
                           "\"",
                           "tru",
                           "nul",
                           "+1",
                           "01",
                           "-",
                           "1.",
                           ".5",
                           "1e",
                           "1e+",
                           "[1,]",
                           "{\"a\":1,}",
                           "{a:1}",
                           "{1:1}",
                           "'a'",
                           "\"\\x\"",
                           "\"\\u12\"",
                           "\"\\u12g4\"",
                           "\"\\ud800\"",
                           "\"\\ud800\\u0041\"",
                           "\"\\udc00\"",
                           "\"\n\"",
                           "\"\xC0\x80\"",
                           "\"\xE0\x80\x80\"",
                           "\"\xED\xA0\x80\"",
                           "\"\xF4\x90\x80\x80\"",
                           "\"\xFF\"",
                           "\"\xC3\"",
                           "1e999",
                           "//\n1",
                           "[1 2]",
                           "{\"a\":1 \"b\":2}",
                           "\xEF\xBB\xBF"
                           "1"}) {
    INFO(text);
    CHECK_THROWS_AS(read(text), BadInput);
  }
}

TEST_CASE("JSON nests at most 64 levels deep", "[serve]") {
  CHECK_NOTHROW(read(std::string(64, '[') + "1" + std::string(64, ']')));
  CHECK_THROWS_WITH(read(std::string(65, '[') + "1" + std::string(65, ']')), contains("64 levels"));
  CHECK_THROWS_AS(read(std::string(1000000, '[')), BadInput);
}

TEST_CASE("What a message quotes is UTF-8, whatever it was and wherever it is cut", "[serve]") {
  std::string const tree = "\xE6\x9C\xA8";  // one character of three bytes
  CHECK(serve::json_quote(tree + tree, 6) == "\"" + tree + tree + "\"");
  CHECK(serve::json_quote(tree + tree, 5) == "\"" + tree + "...\"");
  CHECK(serve::json_quote(tree + tree, 2) == "\"...\"");
  CHECK(serve::json_quote("a\xFFz") == "\"a\xEF\xBF\xBDz\"");
  CHECK(read("\"" + tree + tree + "\"").text(6) == "\"" + tree + "...");
}
