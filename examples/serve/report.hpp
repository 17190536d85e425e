// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The end of a run: a table for people, or one JSON object for programs.

#include <cstddef>
#include <cstdint>
#include <iomanip>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "check.hpp"
#include "engine.hpp"
#include "json.hpp"
#include "text/tokenizer.hpp"
#include "utf8.hpp"

namespace serve {

/// Everything that a report tells.
struct Report {
  std::string model, quantizer;
  std::int64_t requests = 0, samples = 0;
  double seconds = 0;  ///< of the run; loading and checking not included
  RunResult run;
  Tokenizer const* tokenizer = nullptr;     ///< that spells the completions; without it they have no text
  std::optional<CheckResult> check;         ///< against a contiguous cache of f32
  std::optional<CheckResult> format_check;  ///< of the same formats, where they are others

  [[nodiscard]] double tokens_per_second() const {
    return seconds > 0 ? static_cast<double>(run.generated_tokens) / seconds : 0.0;
  }
};

/// A list of objects.
[[nodiscard]] inline std::string to_json(std::vector<TenantResult> const& tenants) {
  std::string out;
  for (TenantResult const& one : tenants)
    out += (out.empty() ? "" : ", ") + std::string("{\"requests\": ") + std::to_string(one.requests) +
           ", \"prompt_tokens\": " + std::to_string(one.prompt_tokens) +
           ", \"generated_tokens\": " + std::to_string(one.generated_tokens) +
           ", \"cached_tokens\": " + std::to_string(one.cached_tokens) +
           ", \"hit_rate\": " + json_number(one.hit_rate()) +
           ", \"kv_bytes_share\": " + std::to_string(one.bytes_share) +
           ", \"kv_bytes_peak\": " + std::to_string(one.bytes_peak) +
           ", \"kv_bytes_kept\": " + std::to_string(one.bytes_kept) + "}";
  return "[" + out + "]";
}

/// A list of objects: requests and samples count from 1, as in messages. Of token ids and of no tokenizer the text is
/// null; bytes that are not UTF-8, such as half a character at the end, are U+FFFD.
[[nodiscard]] inline std::string completions_to_json(std::vector<std::vector<Tokens>> const& completions,
                                                     Tokenizer const* tokenizer) {
  std::string out;
  for (std::size_t request = 0; request < completions.size(); ++request)
    for (std::size_t sample = 0; sample < completions[request].size(); ++sample) {
      Tokens const& tokens = completions[request][sample];
      bool const is_text = tokenizer && !tokenizer->prompt_per_line();
      out += (out.empty() ? "" : ", ") + std::string("{\"request\": ") + std::to_string(request + 1) +
             ", \"sample\": " + std::to_string(sample + 1) +
             ", \"text\": " + (is_text ? json_quote(replace_invalid_utf8(tokenizer->decode(tokens))) : "null") +
             ", \"tokens\": [";
      for (std::size_t i = 0; i < tokens.size(); ++i) out += (i ? ", " : "") + std::to_string(tokens[i]);
      out += "]}";
    }
  return "[" + out + "]";
}

/// One JSON object on one line.
[[nodiscard]] inline std::string to_json(Report const& report) {
  RunResult const& run = report.run;
  std::string out = "{";
  auto const add = [&out](std::string_view name, std::string const& value) {
    out += (out.size() > 1 ? ", " : "") + json_quote(name) + ": " + value;
  };
  add("model", json_quote(report.model));
  add("quantizer", json_quote(report.quantizer));
  add("device", json_quote(run.device));
  add("own_tokens", json_quote(run.own_tokens == OwnTokens::exact ? "exact" : "stored"));
  add("requests", std::to_string(report.requests));
  add("samples", std::to_string(report.samples));
  add("prompt_tokens", std::to_string(run.prompt_tokens));
  add("generated_tokens", std::to_string(run.generated_tokens));
  add("computed_tokens", std::to_string(run.computed_tokens));
  add("cached_tokens", std::to_string(run.cached_tokens));
  add("hit_rate", json_number(run.hit_rate()));
  add("evictions", std::to_string(run.evictions));
  add("steps", std::to_string(run.steps));
  add("seconds", json_number(report.seconds));
  add("tokens_per_second", json_number(report.tokens_per_second()));
  add("kv_bytes_per_token", json_number(run.bytes_per_token));
  add("kv_bits_per_element", json_number(run.bits_per_element));
  add("demoted_tokens", std::to_string(run.demoted_tokens));
  add("kv_bytes_total", std::to_string(run.memory_bytes));
  add("kv_bytes_peak", std::to_string(run.bytes_peak));
  add("kv_bytes_ahead", std::to_string(run.bytes_ahead));
  add("kv_bytes_contiguous", std::to_string(run.bytes_contiguous));
  add("peak_sequences", std::to_string(run.peak_sequences));
  add("tenants", to_json(run.tenants));
  add("waste", json_number(run.waste));
  add("waste_beyond_last_blocks", json_number(run.waste_beyond_last_blocks));
  add("preemptions", std::to_string(run.preemptions));
  add("forks", std::to_string(run.forks));
  add("block_copies", std::to_string(run.block_copies));
  add("checked", report.check ? (report.check->identical ? "true" : "false") : "null");
  add("rounding_ties", report.check ? std::to_string(report.check->ties) : "null");
  add("agreement", report.check ? json_number(report.check->agreement) : "null");
  add("format_agreement", report.format_check ? json_number(report.format_check->agreement) : "null");
  add("completions", completions_to_json(run.completions, report.tokenizer));
  return out + "}";
}

/// A number with one or two digits after the point.
[[nodiscard]] inline std::string spell_number(double number, int digits) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << std::fixed << std::setprecision(digits) << number;
  return out.str();
}

[[nodiscard]] inline std::string spell_bytes(double bytes) {
  char const* const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  for (; bytes >= 10240 && unit < 4; ++unit) bytes /= 1024;
  return spell_number(bytes, unit == 0 ? 0 : 1) + " " + units[unit];
}

/// The table.
[[nodiscard]] inline std::string to_table(Report const& report) {
  RunResult const& run = report.run;
  auto const count = [](std::int64_t n) { return std::to_string(n); };
  auto const percent = [](double share) { return spell_number(100 * share, 2) + " %"; };
  std::vector<std::pair<std::string, std::string>> rows = {
      {"model", report.model},
      {"quantizer",
       report.quantizer + ", " + spell_bytes(run.bytes_per_token) + " per token" +
           (run.demoted_tokens > 0 ? " until it is demoted, as " + count(run.demoted_tokens) + " were" : "")},
      {"bits per element", spell_number(run.bits_per_element, 2) + " at the peak"},
      {"device", run.device},
      {"own tokens", run.own_tokens == OwnTokens::exact ? "exact, as they were computed" : "as they are stored"},
      {"requests",
       count(report.requests) + (report.samples > 1 ? ", " + count(report.samples) + " samples of each" : "")},
      {"prompt tokens", count(run.prompt_tokens)},
      {"generated tokens", count(run.generated_tokens) + " in " + spell_number(report.seconds, 2) + " s"},
      {"tokens per second",
       spell_number(report.tokens_per_second(), 1) + " generated, " +
           spell_number(report.seconds > 0 ? static_cast<double>(run.computed_tokens) / report.seconds : 0, 1) +
           " computed"},
      {"found in the cache", count(run.cached_tokens) + " tokens, " + percent(run.hit_rate()) +
                                 " of those looked up; " + count(run.evictions) + " blocks evicted"},
      {"KV memory, peak", spell_bytes(static_cast<double>(run.bytes_peak)) + " of " +
                              spell_bytes(static_cast<double>(run.memory_bytes)) + "; at most " +
                              spell_bytes(static_cast<double>(run.bytes_ahead)) + " held ahead besides"},
      {"KV memory, contiguous", spell_bytes(static_cast<double>(run.bytes_contiguous)) + " (" +
                                    count(run.peak_sequences) + " sequences at once, each with the whole context)"},
      {"waste at the peak",
       percent(run.waste) + " of the slots held; " + percent(run.waste_beyond_last_blocks) + " outside of last blocks"},
      {"forks", count(run.forks) + ", " + count(run.block_copies) + " blocks copied on write"},
      {"preemptions", count(run.preemptions)},
  };
  for (std::size_t i = 0; run.tenants.size() > 1 && i < run.tenants.size(); ++i) {
    TenantResult const& one = run.tenants[i];
    auto const bytes = [](std::int64_t n) { return spell_bytes(static_cast<double>(n)); };
    rows.emplace_back("tenant " + count(static_cast<std::int64_t>(i)),
                      count(one.requests) + " requests, " + percent(one.hit_rate()) + " found; part " +
                          bytes(one.bytes_share) + ", peak " + bytes(one.bytes_peak) + ", kept " +
                          bytes(one.bytes_kept));
  }
  if (report.check && report.check->identical)
    rows.emplace_back("check", "every token is the same as alone on a contiguous f32 cache");
  if (report.check && !report.check->identical)
    rows.emplace_back("check", percent(report.check->agreement) +
                                   " of the tokens come before a first difference to a contiguous f32 cache");
  if (report.format_check)
    rows.emplace_back(
        "check, same formats",
        report.format_check->identical
            ? "every token is the same as alone on a contiguous cache of the same formats"
            : percent(report.format_check->agreement) +
                  " of the tokens come before a first difference to a contiguous cache of the same formats");
  if (report.check && report.check->ties > 0) rows.emplace_back("rounding ties", count(report.check->ties));
  std::string out;
  for (auto const& [name, value] : rows) out += name + std::string(24 - name.size(), ' ') + value + "\n";
  return out;
}

}  // namespace serve
