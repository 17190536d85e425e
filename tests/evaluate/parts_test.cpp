// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What evaluate computes from logits, reads and writes.

#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "command_line.hpp"
#include "facts.hpp"
#include "json.hpp"
#include "quality.hpp"
#include "recall.hpp"
#include "support/catch.hpp"
#include "tables.hpp"

using evaluate::Tokens;
using folio::test::contains;

// The program's formats are compiled in its own sources; here a name is enough.
std::span<evaluate::Format const> evaluate::all_formats() {
  static constexpr Format formats[] = {{"f32", "f32", "f32", nullptr, nullptr},
                                       {"k8v4", "int8", "int4", nullptr, nullptr}};
  return formats;
}

namespace {

bool near(double a, double b) { return std::abs(a - b) <= 1e-6 * (1 + std::abs(b)); }

evaluate::Prediction predict(double surprise, double kl, bool same) { return {surprise, kl, same}; }

evaluate::FormatReport format_report(std::string_view name, double bits_per_element, double over) {
  evaluate::FormatReport format;
  format.name = format.keys = format.values = name;
  format.bits_per_element = bits_per_element;
  format.quality.bits = 1.5 + over;
  format.quality.over_reference = over;
  format.quality.contexts = {{1, 64, 1.75 + over}};
  return format;
}

evaluate::Report small_report() {
  evaluate::Report report;
  report.model = "model";
  report.text = "a \"text\"";
  report.unit = "byte";
  report.num_windows = 1;
  report.formats = {format_report("f32", 32, 0), format_report("int4", 4.5, 0.0075), format_report("f16", 16, -1e-9)};
  return report;
}

}  // namespace

TEST_CASE("A prediction's surprise and divergence are in bits", "[evaluate]") {
  // Shares 1/2, 1/4, 1/4 against 1/4, 1/2, 1/4: the divergence is 1/2 * 1 - 1/4 * 1 = 1/4.
  std::vector<float> const p = {std::log(2.0F), 0, 0}, q = {3, 3 + std::log(2.0F), 3};
  auto const prediction = evaluate::compare(p, q, 1);
  CHECK(near(prediction.surprise, 1));
  CHECK(near(prediction.kl, 0.25));
  CHECK_FALSE(prediction.same_top);
  auto const same = evaluate::compare(p, p, 0);
  CHECK(near(same.surprise, 1));
  CHECK(same.kl == 0);
  CHECK(same.same_top);
}

TEST_CASE("Large logits do not overflow", "[evaluate]") {
  std::vector<float> const p = {1000, 0}, q = {0, 1000};
  auto const prediction = evaluate::compare(p, q, 0);
  CHECK(near(prediction.surprise, 1000 / std::log(2.0)));
  CHECK(near(prediction.kl, 1000 / std::log(2.0)));
}

TEST_CASE("Predictions come to means, errors and quantiles", "[evaluate]") {
  evaluate::Predictions reference(2), other(2);
  for (std::size_t w = 0; w < 2; ++w)
    for (int t = 0; t < 1000; ++t) {
      reference[w].push_back(predict(t < 400 ? 2 : 1, 0, true));
      double const over = w == 0 ? 0.25 : 0.75;
      other[w].push_back(predict((t < 400 ? 2 : 1) + over, t == 0 ? 10 : 1, t % 4 != 0));
    }
  auto const q = evaluate::summarize(reference, other, {400, 1000}, 2);  // a token is two bytes
  CHECK(q.num_predictions == 2000);
  CHECK(near(q.bits, (1.4 + 0.5) / 2));
  CHECK(near(q.over_reference, 0.25));
  CHECK(near(q.standard_error, 0.125));  // window means 0.125 and 0.375: their deviation over sqrt(2)
  CHECK(near(q.kl_mean, 1.009));
  CHECK(q.kl_high == 1);  // 1998 of 2000 are 1: 99.9 percent
  CHECK(q.kl_max == 10);
  CHECK(near(q.top_agreement, 0.75));
  REQUIRE(q.contexts.size() == 2);
  CHECK(q.contexts[0].first == 1);
  CHECK(near(q.contexts[0].bits, 1.25));
  CHECK(q.contexts[1].first == 401);
  CHECK(q.contexts[1].last == 1000);
  CHECK(near(q.contexts[1].bits, 0.75));
}

TEST_CASE("Windows are spread over the text and do not overlap", "[evaluate]") {
  Tokens text(100);
  for (std::size_t i = 0; i < text.size(); ++i) text[i] = static_cast<std::int32_t>(i);
  for (std::int32_t const wanted : {1, 2, 3, 50}) {
    auto const windows = evaluate::cut_windows(text, 19, wanted);
    CHECK(windows.size() == static_cast<std::size_t>(std::min(wanted, 5)));
    CHECK(windows.front().front() == 0);
    if (windows.size() > 1) CHECK(windows.back().back() == 99);
    for (std::size_t w = 0; w < windows.size(); ++w) {
      CHECK(windows[w].size() == 20);
      if (w > 0) CHECK(windows[w].front() > windows[w - 1].back());
    }
  }
  CHECK(evaluate::cut_windows(text, 100, 1).empty());
}

TEST_CASE("Generations agree up to where they differ", "[evaluate]") {
  std::vector<Tokens> const reference = {{1, 2, 3, 4}, {5, 6, 7, 8}}, other = {{1, 2, 0, 4}, {5, 6, 7, 8}};
  auto const agreement = evaluate::compare_generations(reference, other);
  CHECK(near(agreement.common_prefix, 3));
  CHECK(near(agreement.equal, 7.0 / 8));
}

TEST_CASE("Facts have a prompt and an answer", "[evaluate]") {
  auto const path = std::filesystem::temp_directory_path() /
                    ("folio_evaluate_facts_" + std::to_string(std::random_device{}()) + ".txt");
  auto const read = [&](std::string const& text, std::int32_t context) {
    std::ofstream(path, std::ios::binary) << text;
    return evaluate::read_facts(path, serve::ByteTokenizer(), context);
  };
  auto const facts = read("[a=1]\n[a=\n1]\n---\nb\nc\n", 100);
  REQUIRE(facts.size() == 2);
  serve::ByteTokenizer const bytes;
  CHECK(bytes.decode(facts[0].prompt) == "[a=1]\n[a=");
  CHECK(bytes.decode(facts[0].answer) == "1]");
  CHECK(bytes.decode(facts[1].prompt) == "b");
  CHECK(bytes.decode(facts[1].answer) == "c");
  std::ofstream(path, std::ios::binary) << "5 6\n7\n---\n1\n2 3\n";
  auto const ids = evaluate::read_facts(path, serve::IdTokenizer(10), 100);
  REQUIRE(ids.size() == 2);
  CHECK((ids[0].prompt == Tokens{5, 6} && ids[0].answer == Tokens{7}));
  CHECK((ids[1].prompt == Tokens{1} && ids[1].answer == Tokens{2, 3}));
  std::ofstream(path, std::ios::binary) << "5 6\n7\n---\n1\n2 x\n";
  CHECK_THROWS_WITH(evaluate::read_facts(path, serve::IdTokenizer(10), 100),
                    contains("Case 2 of " + path.string() + " has \"x\" where a token id from 0 to 9 should be"));
  CHECK_THROWS_WITH(read("one line", 100), contains("Case 1 of"));
  CHECK_THROWS_WITH(read("a\nb\n---\nlong prompt\nb", 5),
                    contains("has 12 tokens, more than the model's context of 5"));
  std::filesystem::remove(path);
}

namespace {

/// 400 lines of 40 bytes.
std::string lines() {
  std::string text;
  for (int i = 1000; i < 1400; ++i) text += "This is the line with the number " + std::to_string(i) + ".\n ";
  return text;
}

std::filesystem::path scratch_file(std::string const& name) {
  return std::filesystem::temp_directory_path() /
         ("folio_evaluate_" + name + "_" + std::to_string(std::random_device{}()) + ".txt");
}

}  // namespace

TEST_CASE("A recall prompt states a number in a stretch of the text and asks for it", "[evaluate]") {
  std::string const text = lines();
  serve::ByteTokenizer const bytes;
  evaluate::RecallPrompts const prompts(bytes, text);
  std::vector<bool> quarters(4);
  std::vector<std::string> numbers;
  for (std::int32_t i = 0; i < 12; ++i) {
    auto const prompt = prompts.make(1000, i);
    std::string const words = bytes.decode(prompt.prompt), answer = bytes.decode(prompt.answer);
    CHECK(prompt.prompt.size() + prompt.answer.size() <= 1000);
    CHECK(prompt.prompt.size() + prompt.answer.size() > 900);  // two pieces of the text
    REQUIRE(answer.size() == 6);
    std::size_t const stated = words.find(answer + ". Remember it.\n");
    REQUIRE(stated != std::string::npos);
    CHECK(words.find(answer, stated + 1) == std::string::npos);
    quarters[stated * 4 / words.size()] = true;
    CHECK_THAT(words.substr(prompt.question), Catch::Matchers::StartsWith("\nWhat is the "));
    CHECK_THAT(words, Catch::Matchers::EndsWith(" is"));
    // Without what was put in, it is a stretch of the text.
    std::size_t const begin = words.find(" in this text. Find it.\n") + 24;
    std::size_t const sentence = words.rfind("The ", stated);
    std::string const rest = words.substr(stated + answer.size() + 15, prompt.question - stated - answer.size() - 15);
    std::string before = words.substr(begin, sentence - begin);
    CHECK((text.find(before + rest) != std::string::npos ||
           text.find(before.erase(before.size() - 1) + rest) != std::string::npos));
    numbers.push_back(answer);
  }
  CHECK(quarters == std::vector<bool>(4, true));
  std::sort(numbers.begin(), numbers.end());
  CHECK(std::unique(numbers.begin(), numbers.end()) == numbers.end());
  auto const first = prompts.make(1000, 3), again = evaluate::RecallPrompts(bytes, text).make(1000, 3);
  CHECK((first.prompt == again.prompt && first.answer == again.answer && first.question == again.question));
  CHECK(bytes.decode(first.answer) == " 74760");  // on any machine
}

TEST_CASE("A recall prompt needs a text that is long enough, and text", "[evaluate]") {
  serve::ByteTokenizer const bytes;
  std::string const text = lines();
  evaluate::RecallPrompts const prompts(bytes, text);
  CHECK_THROWS_WITH(prompts.make(50, 0),
                    contains("--recall 50 is not possible: its question and its number take 135 tokens"));
  CHECK_NOTHROW(prompts.check(160, 0));  // later names of the number are longer
  CHECK_THROWS_WITH(prompts.check(160, 3),
                    contains("--recall 160 is not possible: its question and its number take 211 tokens"));
  CHECK_THROWS_WITH(prompts.make(20000, 0), contains("--recall 20000 is not possible: the text has only 16000 tokens"));
  std::string const one_line(4000, 'x');
  CHECK_THROWS_WITH(evaluate::RecallPrompts(bytes, one_line).make(5000, 0), contains("is not possible"));
  serve::IdTokenizer const ids(10);
  CHECK_THROWS_WITH(evaluate::RecallPrompts(ids, text), contains("--recall needs a tokenizer"));
}

TEST_CASE("A recall prompt has no more tokens than it may, whatever the tokenizer adds", "[evaluate]") {
  struct Beginning final : serve::Tokenizer {
    [[nodiscard]] std::string_view name() const override { return "bytes after three tokens"; }
    [[nodiscard]] Tokens encode(std::string_view text) const override {
      Tokens tokens{256, 257, 258};
      for (std::int32_t const token : bytes.encode(text)) tokens.push_back(token);
      return tokens;
    }
    [[nodiscard]] Tokens encode_plain(std::string_view text) const override { return bytes.encode(text); }
    [[nodiscard]] std::string decode(std::span<std::int32_t const> tokens) const override {
      return bytes.decode(tokens);
    }
    serve::ByteTokenizer bytes;
  } const tokenizer;
  std::string text;  // short lines, so that prompts are full, and long ones, which are cut at a space
  for (int i = 0; i < 4000; ++i) text += i % 60 < 5 ? std::string(160, 'x') + " " : "a\n";
  evaluate::RecallPrompts const prompts(tokenizer, text);
  for (std::int32_t num_tokens = 1000; num_tokens < 1040; ++num_tokens)
    for (std::int32_t i = 0; i < 4; ++i) {
      auto const prompt = prompts.make(num_tokens, i);
      CHECK(prompt.prompt.size() + prompt.answer.size() <= static_cast<std::size_t>(num_tokens));
      CHECK(prompt.prompt.size() + prompt.answer.size() + 163 > static_cast<std::size_t>(num_tokens));  // a long line
      CHECK(prompt.prompt.front() == 256);
    }
}

TEST_CASE("A log keeps each answer, and leaves out a line that was cut", "[evaluate]") {
  auto const path = scratch_file("log");
  {
    evaluate::RecallLog log(path.string(), "a model");
    log.add("512 0 exact int4", {true, 1.0 / 3});
    log.add("512 1 exact int4", {false, 20});
  }
  std::ofstream(path, std::ios::binary | std::ios::app) << "512 2 exact int4 1 1.2";  // of 1.25
  {
    evaluate::RecallLog log(path.string(), "a model");
    REQUIRE(log.find("512 0 exact int4"));
    CHECK((log.find("512 0 exact int4")->right && log.find("512 0 exact int4")->bits == 1.0 / 3));
    REQUIRE(log.find("512 1 exact int4"));
    CHECK_FALSE(log.find("512 1 exact int4")->right);
    CHECK_FALSE(log.find("512 2 exact int4"));
    log.add("512 2 exact int4", {true, 1.25});
  }
  evaluate::RecallLog const again(path.string(), "a model");
  REQUIRE(again.find("512 2 exact int4"));
  CHECK(again.find("512 2 exact int4")->bits == 1.25);
  CHECK_THROWS_WITH(evaluate::RecallLog(path.string(), "another"), contains("is no log of this run"));
  std::ofstream(path, std::ios::binary | std::ios::app) << "512 3 exact\n";
  CHECK_THROWS_WITH(evaluate::RecallLog(path.string(), "a model"), contains("Line 5 of"));
  CHECK_THROWS_AS(evaluate::RecallLog(path.parent_path().string(), "a model"), serve::BadInput);
  CHECK_THROWS_WITH(evaluate::RecallLog((path / "no" / "folder").string(), "a model"), contains("cannot be written"));
  std::filesystem::remove(path);
}

TEST_CASE("The command line of evaluate", "[evaluate]") {
  auto const parse = [](std::vector<char const*> const& arguments) { return evaluate::parse_options(arguments); };
  auto const options = parse({"--contexts=16,64", "--formats", "int8,k8v4", "--sensitivity", "--windows", "3"});
  CHECK((options.own_tokens == serve::OwnTokens::exact && options.step_tokens == 0));
  auto const stored = parse({"--own-tokens", "stored", "--step-tokens=7"});
  CHECK((stored.own_tokens == serve::OwnTokens::stored && stored.step_tokens == 7));
  CHECK(options.contexts == std::vector<std::int32_t>{16, 64});
  CHECK(options.formats == std::vector<std::string>{"int8", "k8v4"});
  CHECK(options.sensitivity);
  CHECK(options.windows == 3);
  using evaluate::Prefill;
  CHECK((options.recall.empty() && options.recall_prefills == std::vector{Prefill::exact, Prefill::stored}));
  auto const recall = parse({"--recall", "512,3072", "--recall-prefill", "stored", "--recall-prompts", "5"});
  CHECK((recall.recall == std::vector<std::int32_t>{512, 3072} && recall.recall_prompts == 5));
  CHECK(recall.recall_prefills == std::vector{Prefill::stored});
  CHECK_THROWS_WITH(parse({"--recall-prefill", "none"}), contains("it is one of exact, stored, both"));
  CHECK_THROWS_WITH(parse({"--contexts", "64,64"}), contains("should ascend"));
  CHECK_THROWS_WITH(parse({"--contexts", "1,x"}), contains("takes an integer"));
  CHECK_THROWS_WITH(parse({"--sensitivity=1"}), contains("takes no value"));
  CHECK_THROWS_WITH(parse({"--json"}), contains("needs a value: --json FILE"));
  for (std::string const name : {"--model", "--text", "--facts", "--json"})
    CHECK_THROWS_WITH(parse({name.c_str(), ""}), name + " needs a value that is not empty.");
  for (char const* const name : {"--formats", "--contexts", "--sensitivity-formats"})
    CHECK_THROWS_WITH(parse({name, ""}), contains(std::string(name) + " ") && contains("has an empty part"));
  CHECK(evaluate::help_text().find("k8v4                      int8; int4\n") != std::string::npos);
}

TEST_CASE("The report is JSON and a table", "[evaluate]") {
  auto report = small_report();
  evaluate::Format const* const format = &evaluate::all_formats().back();
  report.sensitivity = {{2, false, format, 4.5, {0.01, 0.02}}};
  report.plans = {{{format, format}, false, 4.5, 0.25, {0.01, 0.125}}};
  std::string const text = evaluate::to_json(report);
  serve::Json const json = serve::JsonReader::read(text, "report");
  REQUIRE(json.find("formats") != nullptr);
  auto const* formats = json.find("formats")->get<serve::Json::Array>();
  REQUIRE(formats != nullptr);
  REQUIRE(formats->size() == 3);
  CHECK(near(*(*formats)[1].find("over_f32_percent")->get<double>(), 0.5));
  CHECK_THAT(text, contains("\"plane\": \"values\""));
  CHECK_THAT(text, contains("\"importance\": 2"));
  CHECK_THAT(text, contains("\"kl_predicted\": 0.25, \"kl_mean\": 0.125, \"formats\": [\"k8v4\", \"k8v4\"]"));
  std::string const table = evaluate::to_table(report);
  CHECK_THAT(table, contains("k8v4/k8v4"));
  CHECK_THAT(text, contains("\"sensitivity_own_tokens\": \"stored\""));  // whatever own_tokens says
  CHECK_THAT(table, contains("windows, own tokens stored; error"));
  CHECK_THAT(table, contains("0.500 %"));
  CHECK_THAT(table, contains("1.7500"));
}

TEST_CASE("Recall is a line of JSON for each format, length and way, and a column of the table", "[evaluate]") {
  auto report = small_report();
  report.num_windows = 0;
  evaluate::Format const int4 = {"int4", "int4", "int4", nullptr, nullptr},
                         f16 = {"f16", "f16", "f16", nullptr, nullptr};
  using enum evaluate::Prefill;
  report.recall = {{512, exact, &evaluate::all_formats().front(), 32, 24, 30, 24, 1.25},
                   {512, exact, &int4, 4.5, 24, 30, 23, 1.5},
                   {512, exact, &f16, 16, 24, 30, 24, 1.25},
                   {512, stored, &evaluate::all_formats().front(), 32, 24, 30, 24, 1.25},
                   {512, stored, &int4, 4.5, 24, 30, 17, 7.75},
                   {512, stored, &f16, 16, 24, 30, 24, 1.25}};
  std::string const text = evaluate::to_json(report);
  static_cast<void>(serve::JsonReader::read(text, "report"));
  CHECK_THAT(text,
             contains("{\"tokens\": 512, \"prefill\": \"stored\", \"format\": \"int4\", \"bits_per_element\": 4.5, "
                      "\"tried\": 30, \"prompts\": 24, \"recalled\": 17, \"answer_bits\": 7.75}"));
  CHECK_FALSE(contains("over_f32").match(text));  // there are no windows
  std::string const table = evaluate::to_table(report);
  CHECK_THAT(table, contains("format  512 exact, of 24  512 stored, of 24\n"));
  CHECK_THAT(table, contains("int4            23  1.50           17  7.75\n"));
  CHECK_FALSE(contains("over f32").match(table));
}

TEST_CASE("Facts that the model cannot recall say nothing about formats", "[evaluate]") {
  auto report = small_report();
  CHECK(evaluate::facts_verdict(report).empty());
  report.num_facts = 4;
  report.formats.front().recalled = 1;
  CHECK_THAT(evaluate::facts_verdict(report), contains("recalls 1 of 4 facts: it cannot do this test"));
  report.formats.front().recalled = 2;
  CHECK(evaluate::facts_verdict(report) == "With an f32 cache the model recalls 2 of 4 facts.");
}
