// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What is shown of a run: the text as it comes, the table, the JSON.

#include <algorithm>
#include <cstdint>
#include <sstream>
#include <string>

#include "display.hpp"
#include "json.hpp"
#include "report.hpp"
#include "support/catch.hpp"
#include "text/tokenizer.hpp"

using folio::test::contains;

TEST_CASE("A report is one JSON object", "[serve]") {
  serve::Report report;
  report.model = "a \"b\"";
  report.quantizer = "f32";
  report.run.device = "cuda: a \"GPU\"";
  report.run.generated_tokens = 10;
  report.seconds = 4;
  serve::Json json = serve::JsonReader::read(serve::to_json(report), "the report");
  CHECK(*json.find("model")->get<std::string>() == report.model);
  CHECK(*json.find("device")->get<std::string>() == report.run.device);
  CHECK(*json.find("own_tokens")->get<std::string>() == "stored");
  CHECK(*json.find("tokens_per_second")->get<double>() == 2.5);
  CHECK(json.find("checked")->is_null());
  for (char const* name :
       {"model", "quantizer", "device", "requests", "prompt_tokens", "generated_tokens", "tokens_per_second",
        "kv_bytes_per_token", "kv_bytes_peak", "kv_bytes_contiguous", "waste", "preemptions", "forks", "checked"})
    CHECK(json.find(name) != nullptr);
  report.check = serve::CheckResult{};
  report.run.own_tokens = serve::OwnTokens::exact;
  json = serve::JsonReader::read(serve::to_json(report), "the report");
  CHECK(*json.find("checked")->get<bool>());
  CHECK(*json.find("own_tokens")->get<std::string>() == "exact");
}

TEST_CASE("A report has every completion, as text that is UTF-8", "[serve]") {
  serve::Report report;
  report.run.completions = {{{72, 105, 0xE5, 0xAD}, {34}}, {{}}};
  auto const completions = [&] {
    serve::Json const json = serve::JsonReader::read(serve::to_json(report), "the report");
    return json.find("completions")->text(1000);
  };
  serve::ByteTokenizer const bytes;
  report.tokenizer = &bytes;
  CHECK(completions() ==
        "[{\"request\": 1, \"sample\": 1, \"text\": \"Hi\uFFFD\uFFFD\", \"tokens\": [72, 105, 229, 173]}, "
        "{\"request\": 1, \"sample\": 2, \"text\": \"\\\"\", \"tokens\": [34]}, "
        "{\"request\": 2, \"sample\": 1, \"text\": \"\", \"tokens\": []}]");
  serve::IdTokenizer const ids(300);
  report.tokenizer = &ids;
  report.run.completions = {{{7}}};
  CHECK(completions() == "[{\"request\": 1, \"sample\": 1, \"text\": null, \"tokens\": [7]}]");
}

TEST_CASE("A first completion of ids is one line, text is wrapped", "[serve]") {
  serve::IdTokenizer const ids(300);
  serve::ByteTokenizer const bytes;
  auto const shown = [](serve::Tokenizer const& tokenizer, std::int32_t token) {
    std::ostringstream text, progress;
    serve::Display display(tokenizer, {1, 2}, text, progress, false);
    for (std::int32_t i = 0; i < 100; ++i) display.on_token({0, 0, i}, i % 2 == 0 ? token : 32);
    serve::Progress done;
    done.finished = 1;
    display.on_step(done);
    return text.str();
  };
  std::string const line = shown(ids, 7);
  CHECK(line.starts_with("7 32 7 32 "));
  CHECK(std::count(line.begin(), line.end(), '\n') == 1);
  std::string const lines = shown(bytes, 'x');
  CHECK(std::count(lines.begin(), lines.end(), '\n') == 2);
}

TEST_CASE("A table says of which tokens the bytes are, and how own tokens were read", "[serve]") {
  serve::Report report;
  report.quantizer = "f16+int4";
  report.run.bytes_per_token = 2048;
  CHECK_THAT(serve::to_table(report), contains("f16+int4, 2048 bytes per token\n"));
  CHECK_THAT(serve::to_table(report), contains("own tokens              as they are stored\n"));
  report.run.own_tokens = serve::OwnTokens::exact;
  CHECK_THAT(serve::to_table(report), contains("own tokens              exact, as they were computed\n"));
  report.run.demoted_tokens = 16;
  CHECK_THAT(serve::to_table(report), contains("f16+int4, 2048 bytes per token until it is demoted, as 16 were\n"));
}
