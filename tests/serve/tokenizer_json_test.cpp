// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// tokenizer.json against the ids of the package that writes it, which fixtures/make_tokenizers.py made.

#include "text/tokenizer_json.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "json.hpp"
#include "mapped_file.hpp"
#include "scratch_folder.hpp"
#include "support/catch.hpp"
#include "text/chat.hpp"
#include "text/make_tokenizer.hpp"
#include "text/stop.hpp"

using folio::test::contains;
using serve::BadInput;
using serve::Json;
using serve::TokenizerJson;
using serve::UnsupportedTokenizer;
using Ids = std::vector<std::int32_t>;

namespace {

std::string fixture(std::string const& name) { return serve::read_text(FOLIO_SERVE_FIXTURES "/" + name, 64 << 20); }

std::vector<std::string> strings(Json const& list) {
  std::vector<std::string> all;
  for (Json const& one : *list.get<Json::Array>()) all.push_back(*one.get<std::string>());
  return all;
}

/// Two digits of base 64 for each id.
Ids ids_of(std::string_view digits) {
  constexpr std::string_view values = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-";
  Ids ids;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    ids.push_back(static_cast<std::int32_t>(64 * values.find(digits[i]) + values.find(digits[i + 1])));
  return ids;
}

/// A tokenizer of a, b, c, ab and abc, with something in place of something else.
std::string small(std::string const& from = "", std::string const& to = "") {
  std::string text = R"({"added_tokens": [{"id": 7, "content": "<s>", "special": true}, {"id": 8, "content": "<x>"}],
    "normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
    "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
      {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]}}},
    "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "dropout": null, "ignore_merges": false,
      "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "\u0120": 5, "\u00c3": 6}, "merges": ["a b", "ab c"]}})";
  if (std::size_t const at = from.empty() ? std::string::npos : text.find(from); at != std::string::npos)
    return text.replace(at, from.size(), to);
  REQUIRE(from.empty());
  return text;
}

TokenizerJson read(std::string const& text) { return TokenizerJson(text, "it", 10); }

}  // namespace

TEST_CASE("Texts get the ids of the tokenizers package, and come back", "[serve]") {
  std::vector<std::string> const lines = strings(serve::JsonReader::read(fixture("lines.json"), "lines.json"));
  REQUIRE(lines.size() == 1000);
  Json const all = serve::JsonReader::read(fixture("ids.json"), "ids.json");
  for (std::string const name : {"gpt2", "smollm2", "llama3", "qwen2"}) {
    std::string const file = "tokenizer_" + name + ".json";
    TokenizerJson const tokenizer(fixture(file), file, 1006);
    std::vector<std::string> const expected = strings(*all.find(name));
    REQUIRE(expected.size() == lines.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      INFO(name << ", text " << i << ": " << serve::json_quote(lines[i]));
      Ids const ids = tokenizer.encode(lines[i]);
      REQUIRE(ids == ids_of(expected[i]));
      // Special tokens are no text, and others take the white space beside them.
      if (lines[i].find('<') != std::string::npos) continue;
      std::string const text = tokenizer.decode(ids);
      REQUIRE((name == "qwen2" ? serve::normal_form_c(text) == serve::normal_form_c(lines[i]) : text == lines[i]));
    }
  }
}

TEST_CASE("A chat has the ids of its whole text, and special tokens that a user spells are text", "[serve]") {
  serve::test::ScratchFolder const folder;
  std::vector<std::string> lines = strings(serve::JsonReader::read(fixture("lines.json"), "lines.json"));
  Json const all = serve::JsonReader::read(fixture("ids.json"), "ids.json");
  for (std::string const name : {"gpt2", "smollm2", "llama3", "qwen2"}) {
    std::string const file = "tokenizer_" + name + ".json";
    auto const make = [&] { return std::make_unique<TokenizerJson>(fixture(file), file, 1006); };
    std::unique_ptr<TokenizerJson> const tokenizer = make();
    serve::ChatTokenizer const chat(make(), folder.path(), std::nullopt);
    std::int32_t const begin = *tokenizer->added_token("<|im_start|>"), end = *tokenizer->added_token("<|im_end|>");
    std::vector<std::string> const expected = strings(*all.find(name + "_as_text"));
    std::size_t num_special = 0;
    for (std::string const& line : lines) {
      INFO(name << ": " << serve::json_quote(line));
      Ids const ids = chat.encode(line);
      bool const is_special =
          line.find("<|im_start|>") != std::string::npos || line.find("<|im_end|>") != std::string::npos;
      if (!is_special) {
        std::string const text = "<|im_start|>user\n" + line + "<|im_end|>\n<|im_start|>assistant\n";
        REQUIRE(ids == tokenizer->encode_plain(text));
        continue;
      }
      REQUIRE(num_special < expected.size());
      REQUIRE(tokenizer->encode_as_text(line, {}) == ids_of(expected[num_special++]));
      REQUIRE(std::count(ids.begin(), ids.end(), begin) == 2);
      REQUIRE(std::count(ids.begin(), ids.end(), end) == 1);
    }
    CHECK(num_special == expected.size());
    CHECK(num_special > 50);
  }
}

TEST_CASE("Tokens of a chat that are not special are text in what a user says, too", "[serve]") {
  serve::test::ScratchFolder const folder;
  for (std::string const normalized : {"false", "true"}) {
    auto const chat = [&](std::string const& more) {
      std::string const fields = ", \"normalized\": " + normalized + more + "}";
      std::string text =
          small(R"("special": true}, {"id": 8, "content": "<x>"}],
    "normalizer": null)",
                "\"normalized\": false}, {\"id\": 8, \"content\": \"<|im_start|>\"" + fields +
                    ", {\"id\": 9, \"content\": \"<|im_end|>\"" + fields + R"(], "normalizer": {"type": "NFC"})");
      text.replace(text.find("\\u00c3"), 6, "\\u010a");  // a token of the end of a line
      return serve::ChatTokenizer(std::make_unique<TokenizerJson>(text, "it", 10), folder.path(), std::nullopt);
    };
    // The letters of start and assistant that are tokens are a.
    CHECK(chat("").encode("ab<|im_end|>c<|im_start|>b<s>") == Ids{8, 6, 3, 2, 0, 1, 7, 9, 6, 8, 0, 0, 6});
    for (std::string const strip : {"lstrip", "rstrip"})
      CHECK_THROWS_WITH(chat(", \"" + strip + "\": true"),
                        contains("--chat is not possible: <|im_start|> takes the white space beside it "));
  }
}

TEST_CASE("Each expression cuts a text as it says", "[serve]") {
  namespace patterns = serve::split_patterns;
  auto const cut = [](serve::FirstPiece first, std::string_view text) {
    std::vector<std::string> pieces;
    for (std::size_t bytes = 0; !text.empty(); text.remove_prefix(bytes)) {
      bytes = first(text);
      REQUIRE(bytes > 0);
      pieces.emplace_back(text.substr(0, bytes));
    }
    return pieces;
  };
  using Pieces = std::vector<std::string>;
  auto const gpt2 = patterns::find(patterns::gpt2), llama3 = patterns::find(patterns::llama3),
             qwen2 = patterns::find(patterns::qwen2);
  REQUIRE((gpt2 && llama3 && qwen2));
  CHECK(patterns::find("\\s+") == nullptr);
  CHECK(cut(gpt2, "I'llx'Sa") == Pieces{"I", "'ll", "x", "'", "Sa"});
  CHECK(cut(llama3, "I'llx'Sa'\u017fb") == Pieces{"I", "'ll", "x", "'S", "a", "'\u017f", "b"});
  CHECK(cut(gpt2, "12345 x1 \u0663\u0664") == Pieces{"12345", " x", "1", " \u0663\u0664"});
  CHECK(cut(llama3, "12345 x1 \u0663\u0664") == Pieces{"123", "45", " x", "1", " ", "\u0663\u0664"});
  CHECK(cut(qwen2, "123 x") == Pieces{"1", "2", "3", " x"});
  CHECK(cut(gpt2, "!x ?!\r\n\n-") == Pieces{"!", "x", " ?!", "\r\n", "\n", "-"});
  CHECK(cut(llama3, "!x ?!\r\n\n-") == Pieces{"!x", " ?!\r\n\n", "-"});
  CHECK(cut(gpt2, " \n \n  y \t") == Pieces{" \n \n ", " y", " \t"});
  CHECK(cut(llama3, " \n \n  y \t") == Pieces{" \n \n", " ", " y", " \t"});
  CHECK(cut(patterns::first_of_digits<1>, "ab12") == Pieces{"ab", "1", "2"});
  CHECK(cut(patterns::first_of_digits<patterns::any_number>, "12ab") == Pieces{"12", "ab"});
}

TEST_CASE("Merges go by rank, from the left, and templates begin a prompt", "[serve]") {
  TokenizerJson const tokenizer = read(small());
  CHECK(tokenizer.encode("abcab<x>b") == Ids{7, 4, 3, 8, 1});
  CHECK(tokenizer.encode_plain("ab<s>c") == Ids{3, 7, 2});
  CHECK(tokenizer.beginning() == Ids{7});
  CHECK(tokenizer.encode_as_text("ab<s>c<x>a", {}) == Ids{3, 2, 8, 0});
  CHECK(tokenizer.encode_as_text("ab<s>c<x>a", Ids{8}) == Ids{3, 2, 0});
  TokenizerJson const nested =
      read(small("\"<s>\", \"special\": true}, {", "\"<s><x>\", \"special\": true}, {\"normalized\": false, "));
  CHECK(nested.encode_as_text("<s><x>a<x>", {}) == Ids{0, 8});  // nothing is looked for in it
  TokenizerJson const ends = read(small("\"type_id\": 0}}]", R"("type_id": 0}}, {"SpecialToken": {"id": "<s>"}}])"));
  CHECK(ends.encode("ab") == Ids{7, 3, 7});
  CHECK(ends.encode_plain("ab") == Ids{3});
  CHECK(ends.beginning() == Ids{7});
  CHECK(tokenizer.encode("") == Ids{7});
  CHECK(tokenizer.encode_plain("abdab") == Ids{3, 3});  // d is not in the vocab, as the package has it
  CHECK(tokenizer.decode(Ids{7, 4, 5, 8, 9, -1, 6}) == "abc <x>\xC3");
  CHECK(tokenizer.added_token("<s>") == 7);
  CHECK(tokenizer.added_token("<x>") == 8);
  CHECK_FALSE(tokenizer.added_token("<s"));
  CHECK_FALSE(tokenizer.added_token("ab"));
  TokenizerJson const normal = read(small("{\"id\": 8, \"content\": \"<x>\"}],\n    \"normalizer\": null",
                                          R"({"id": 8, "content": "e\u0301"}], "normalizer": {"type": "NFC"})"));
  for (char const* const text : {"e\u0301", "\u00e9"}) CHECK(normal.added_token(text) == 8);
  for (char const* const text : {"\xFF", "e\u0301\xFF", "\xC3"}) CHECK_FALSE(normal.added_token(text));
  CHECK_THROWS_WITH(tokenizer.encode("ab\xC3"), "is not UTF-8: no character begins at its byte 2.");
  CHECK(read(small("\"a b\", \"ab c\"", "\"#version: 0.2\", [\"a\", \"b\"], [\"ab\", \"c\"]")).encode_plain("abc") ==
        Ids{4});
  CHECK(read(small("\"id\": 8, \"content\": \"<x>\"", "\"id\": 6, \"content\": \"\\u00c3\"")).decode(Ids{6, 0}) ==
        "\xC3"
        "a");
  CHECK(read(small("\"ignore_merges\": false", "\"ignore_merges\": true")).encode_plain("abc") == Ids{4});
}

TEST_CASE("A text stops a sample in each normal form, where the tokenizer has one", "[serve]") {
  TokenizerJson const normalizing(fixture("tokenizer_qwen2.json"), "it", 1006);
  TokenizerJson const other(fixture("tokenizer_gpt2.json"), "it", 1006);
  auto const encode = [](TokenizerJson const& tokenizer, std::vector<std::string> const& parts) {
    Ids ids;
    for (std::string const& part : parts) {
      Ids const more = tokenizer.encode_plain(part);
      ids.insert(ids.end(), more.begin(), more.end());
    }
    return ids;
  };
  std::string const composed = "caf\u00e9", decomposed = "cafe\u0301";
  std::vector<std::string> const in_parts = {"un cafe", "\u0301"};  // as no text is encoded, but a model may draw it
  for (std::string const& text : {composed, decomposed}) {
    auto const stop = serve::stop_at({"END", text}, normalizing);
    Ids ids = encode(normalizing, {"un ", composed});
    REQUIRE(normalizing.decode(ids) == "un " + composed);
    CHECK(stop(ids));
    ids.pop_back();
    CHECK_FALSE(stop(ids));
    ids = encode(normalizing, in_parts);
    REQUIRE(normalizing.decode(ids) == "un " + decomposed);
    CHECK(stop(ids));
    ids.pop_back();  // half a character
    CHECK_FALSE(stop(ids));
    ids.push_back(encode(normalizing, {"!"}).front());
    CHECK_FALSE(stop(ids));
    CHECK(stop(encode(normalizing, {composed + "\u4e2d"})));
    CHECK(serve::stop_at({text}, other)(encode(other, {text})));
  }
  CHECK_FALSE(serve::stop_at({decomposed}, other)(encode(other, {composed})));
  CHECK_FALSE(serve::stop_at({composed}, other)(encode(other, in_parts)));
}

TEST_CASE("A long run without spaces is encoded in time", "[serve]") {
  TokenizerJson const tokenizer(fixture("tokenizer_gpt2.json"), "it", 1006);
  std::string const run(200'000, 'a');
  CHECK(tokenizer.decode(tokenizer.encode(run)) == run);
}

TEST_CASE("A tokenizer.json that contradicts itself is refused with a sentence", "[serve]") {
  for (auto const& [from, to, why] : std::vector<std::array<std::string, 3>>{
           {"\"model\"", "\"models\"", "it: model is missing"},
           {"\"vocab\"", "\"vocabs\"", "it: model: vocab is missing; it should be an object"},
           {"\"merges\": [\"a b\"", "\"merges\": [7", "merge 1 is 7; it should be two tokens"},
           {"\"ab c\"", "\"ab  c\"", "merge 2 is \"ab  c\""},
           {"\"ab c\"", "[\"ab\", \"c\", \"c\"]", "merge 2 is"},
           {"\"ab c\"", "\"b a\"", "merge 2 is \"b a\"; it should be two tokens of the vocab whose"},
           {"\"a\": 0", "\"a\": 10", "the id of the token \"a\" is 10; it should be an integer from 0 to 9."},
           {"\"a\": 0", "\"a\": -1", "the id of the token \"a\" is -1"},
           {"\"a\": 0", "\"a\": 1e30", "the id of the token \"a\" is 1e+30"},
           {"\"a\": 0", "\"a\": \"0\"", "the id of the token \"a\" is \"0\""},
           {"\"b\": 1", "\"b\": 0", "it has two tokens of the id 0, \"a\" and \"b\"."},
           {"\"id\": 8", "\"id\": 7", "it has two tokens of the id 7, \"<s>\" and \"<x>\"."},
           {"\"id\": 8", "\"id\": 4", "it has two tokens of the id 4, \"abc\" and \"<x>\"."},
           {"\"id\": 8", "\"id\": 99", "added_tokens: id is 99; it should be an integer from 0 to 9"},
           {"\"<x>\"", "\"<s>\"", "added_tokens has \"<s>\" twice."},
           {"{\"id\": 8, \"content\": \"<x>\"}],\n    \"normalizer\": null",
            R"({"id": 8, "content": "\u00e9"}, {"id": 9, "content": "e\u0301"}], "normalizer": {"type": "NFC"})",
            "it: added_tokens has \"\u00e9\" twice."},  // after the normalizer
           {"\"<x>\"", "3", "added_tokens: content is 3; it should be a string"},
           {"\"ids\": [7]", "\"ids\": [70]", "its ids should be integers from 0 to 9"},
           {"\"id\": \"<s>\", \"type_id\": 0", "\"id\": \"<t>\"", "it should be one Sequence and tokens"},
           {"{\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}", "{}", "it should be one Sequence and tokens"},
           {"\"add_prefix_space\": false", "\"add_prefix_space\": 0", "it should be true or false"},
           {"\"normalizer\": null", "\"normalizer\": [3]", "it: normalizer is [3]; it should be an object."},
           {"{\"type\": \"ByteLevel\", \"add_prefix_space\": false}", "3",
            "it: pre_tokenizer is 3; it should be an object."},
           {"\"merges\"", "\"merges\": [], \"merges\"", "appears twice"}}) {
    INFO(from << " -> " << to);
    CHECK_THROWS_WITH(read(small(from, to)), contains(why));
  }
  std::string const whole = small();
  for (std::size_t bytes = 0; bytes < whole.size(); bytes += 7) CHECK_THROWS_AS(read(whole.substr(0, bytes)), BadInput);
  CHECK_THROWS_AS(read(std::string(100'000, '[')), BadInput);
  CHECK_THROWS_WITH(read("[]"), contains("it is []; it should be an object."));
}

TEST_CASE("A tokenizer.json of another kind is refused by name", "[serve]") {
  std::string const bytes = R"({"type": "ByteLevel", "add_prefix_space": false})";
  for (auto const& [from, to, why] : std::vector<std::array<std::string, 3>>{
           {"\"BPE\"", "\"Unigram\"", "it: model is of the type \"Unigram\"; serve knows BPE"},
           {"\"dropout\": null", "\"dropout\": 0.1", "has dropout, which"},
           {"\"dropout\": null", "\"unk_token\": \"a\"", "has unk_token or byte_fallback, and a vocab without"},
           {"\"normalizer\": null", R"("normalizer": {"type": "NFKC"})",
            "normalizer has the type \"NFKC\"; serve knows NFC"},
           {"\"decoder\": {\"type\": \"ByteLevel\"}", R"("decoder": {"type": "Metaspace"})", "the type \"Metaspace\""},
           {"\"TemplateProcessing\"", "\"BertProcessing\"", "the type \"BertProcessing\""},
           {"\"id\": 8", "\"id\": 8, \"single_word\": true", "single_word"},
           {bytes, "null", "it has no pre_tokenizer ByteLevel"},
           {bytes, R"({"type": "Whitespace"})", "pre_tokenizer is of the type \"Whitespace\"; serve knows"},
           {bytes, R"({"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]})",
            "has a step \"Digits\" after ByteLevel"},
           {bytes, R"({"type": "Split", "behavior": "Removed", "pattern": {"Regex": " "}})", "\"Removed\""},
           {bytes, R"({"type": "Split", "behavior": "Isolated", "pattern": {"Regex": "\\d+"}})",
            "splits by \"\\\\d+\"; serve knows the expressions of GPT-2, Llama 3 and Qwen2"}}) {
    INFO(from << " -> " << to);
    CHECK_THROWS_AS(read(small(from, to)), UnsupportedTokenizer);
    CHECK_THROWS_WITH(read(small(from, to)), contains(why));
  }
}

TEST_CASE("A model directory's tokenizer is the one that is there, or a message says what was seen", "[serve]") {
  serve::test::ScratchFolder const folder;
  serve::LlamaConfig config;
  config.vocab = 10;
  auto const make = [&] { return serve::make_tokenizer(folder.path(), config); };
  CHECK_THROWS_WITH(make()->encode("text"),
                    contains("has no tokenizer.json, and no tokenizer.model for a serve built"));
  folder.write("vocab.json", "{}");
  CHECK_THROWS_WITH(make()->encode("text"), contains("vocab.json is there without tokenizer.json, which serve reads"));
  folder.write("tokenizer.json", small());
  CHECK(make()->encode("abc") == Ids{7, 4});
  CHECK_FALSE(make()->prompt_per_line());
  folder.write("tokenizer.json", small("\"BPE\"", "\"WordPiece\""));
  CHECK(make()->prompt_per_line());
  CHECK_THROWS_WITH(make()->encode("text"),
                    contains("where a token id from 0 to 9 should be: ") &&
                        contains("tokenizer.json: model is of the type \"WordPiece\"; serve knows BPE, so prompts are "
                                 "token ids, one prompt a line."));
  folder.write("tokenizer.json", "{");
  CHECK_THROWS_WITH(make(), contains("tokenizer.json is not valid JSON"));
}
