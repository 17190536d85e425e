// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What was measured: a table for people, one JSON object for programs.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats.hpp"
#include "json.hpp"
#include "quality.hpp"
#include "recall.hpp"
#include "report.hpp"
#include "sensitivity.hpp"

namespace evaluate {

/// One row of the table.
struct FormatReport {
  std::string_view name, keys, values;
  double bits_per_element = 0;
  Quality quality;
  std::optional<Agreement> generations;
  std::optional<std::int64_t> recalled;
};

struct Report {
  std::string model, text, unit;     ///< names without folders; unit: "byte" or "token"
  std::string own_tokens = "exact";  ///< or "stored"; not of the sensitivity: there they are stored
  std::int32_t step_tokens = 0;      ///< that were asked for; 0: each store's own
  std::int64_t text_tokens = 0;
  double units_per_token = 1;
  std::int32_t num_windows = 0, window_tokens = 0;
  std::int32_t num_generations = 0, prompt_tokens = 0, generated_tokens = 0;
  std::int64_t num_facts = 0;
  std::vector<FormatReport> formats;  ///< the reference, which is f32, first
  std::vector<Recall> recall;
  std::int32_t sensitivity_windows = 0;
  std::vector<Sensitivity> sensitivity;
  std::vector<Plan> plans;
  int num_cpus = 1;

  [[nodiscard]] double percent_over(FormatReport const& format) const {
    return 100 * format.quality.over_reference / formats.front().quality.bits;
  }
};

/// What the facts say, as a sentence; empty when there were none.
[[nodiscard]] inline std::string facts_verdict(Report const& report) {
  if (report.num_facts == 0) return {};
  std::int64_t const recalled = *report.formats.front().recalled;
  std::string const found = "With an f32 cache the model recalls " + std::to_string(recalled) + " of " +
                            std::to_string(report.num_facts) + " facts";
  if (2 * recalled < report.num_facts)
    return found + ": it cannot do this test, which therefore says nothing about the formats.";
  return found + ".";
}

/// Members of a JSON object on one line.
class JsonObject {
 public:
  JsonObject& add(std::string_view name, std::string const& json) {
    text_ += (text_.empty() ? "" : ", ") + serve::json_quote(name) + ": " + json;
    return *this;
  }
  JsonObject& add(std::string_view name, double number) { return add(name, serve::json_number(number)); }
  JsonObject& quote(std::string_view name, std::string_view text) { return add(name, serve::json_quote(text)); }
  [[nodiscard]] std::string text() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

/// One element a line.
[[nodiscard]] inline std::string json_lines(std::vector<std::string> const& elements) {
  std::string out;
  for (std::string const& element : elements) out += (out.empty() ? "\n    " : ",\n    ") + element;
  return "[" + out + "\n  ]";
}

[[nodiscard]] inline std::string to_json(Report const& report, FormatReport const& format) {
  Quality const& quality = format.quality;
  JsonObject object;
  object.quote("name", format.name).quote("keys", format.keys).quote("values", format.values);
  if (report.num_windows > 0) {
    object.add("bits_per_element", format.bits_per_element).add("bits_per_" + report.unit, quality.bits);
    object.add("over_f32", quality.over_reference).add("over_f32_standard_error", quality.standard_error);
    object.add("over_f32_percent", report.percent_over(format));
    object.add("kl_mean", quality.kl_mean).add("kl_999", quality.kl_high).add("kl_max", quality.kl_max);
    object.add("top1_agreement", quality.top_agreement);
  }
  if (format.generations)
    object.add("common_prefix", format.generations->common_prefix).add("equal_tokens", format.generations->equal);
  if (format.recalled) object.add("facts_recalled", std::to_string(*format.recalled));
  std::string contexts;
  for (ContextBits const& c : quality.contexts)
    contexts += (contexts.empty() ? "" : ", ") + JsonObject()
                                                     .add("first", std::to_string(c.first))
                                                     .add("last", std::to_string(c.last))
                                                     .add("bits_per_" + report.unit, c.bits)
                                                     .text();
  return object.add("contexts", "[" + contexts + "]").text();
}

/// One JSON object. Divergences are in bits for each token.
[[nodiscard]] inline std::string to_json(Report const& report) {
  std::vector<std::string> formats, recall, scores, plans;
  for (FormatReport const& format : report.formats) formats.push_back(to_json(report, format));
  for (Recall const& r : report.recall)
    recall.push_back(JsonObject()
                         .add("tokens", std::to_string(r.num_tokens))
                         .quote("prefill", to_string(r.prefill))
                         .quote("format", r.format->name)
                         .add("bits_per_element", r.bits_per_element)
                         .add("tried", std::to_string(r.num_tried))
                         .add("prompts", std::to_string(r.num_prompts))
                         .add("recalled", std::to_string(r.num_recalled))
                         .add("answer_bits", r.answer_bits)
                         .text());
  for (Sensitivity const& s : report.sensitivity)
    scores.push_back(JsonObject()
                         .add("layer", std::to_string(s.layer))
                         .quote("plane", s.keys ? "keys" : "values")
                         .quote("format", s.format->name)
                         .add("bits_per_element", s.bits_per_element)
                         .add("error", s.loss.error)
                         .add("importance", s.importance())
                         .add("kl_mean", s.loss.kl)
                         .text());
  for (Plan const& plan : report.plans) {
    std::string formats_of_planes;
    for (Format const* const format : plan.formats)
      formats_of_planes += (formats_of_planes.empty() ? "" : ", ") + serve::json_quote(format->name);
    plans.push_back(JsonObject()
                        .add("uniform", plan.uniform ? "true" : "false")
                        .add("bits_per_element", plan.bits_per_element)
                        .add("kl_predicted", plan.predicted_kl)
                        .add("kl_mean", plan.loss.kl)
                        .add("formats", "[" + formats_of_planes + "]")
                        .text());
  }
  std::string out = "{\n";
  auto const add = [&out](std::string_view name, std::string const& value) {
    out += (out.size() > 2 ? ",\n  " : "  ") + serve::json_quote(name) + ": " + value;
  };
  add("context", JsonObject().add("num_cpus", std::to_string(report.num_cpus)).text());
  add("model", serve::json_quote(report.model));
  add("text", serve::json_quote(report.text));
  add("own_tokens", serve::json_quote(report.own_tokens));
  if (report.step_tokens > 0) add("step_tokens", std::to_string(report.step_tokens));
  add("text_tokens", std::to_string(report.text_tokens));
  if (report.unit == "byte") add("bytes_per_token", serve::json_number(report.units_per_token));
  add("windows", std::to_string(report.num_windows));
  add("window_tokens", std::to_string(report.window_tokens));
  add("predictions", std::to_string(report.formats.front().quality.num_predictions));
  add("generations", JsonObject()
                         .add("number", std::to_string(report.num_generations))
                         .add("prompt_tokens", std::to_string(report.prompt_tokens))
                         .add("generated_tokens", std::to_string(report.generated_tokens))
                         .text());
  add("facts", std::to_string(report.num_facts));
  if (report.num_facts > 0) add("facts_verdict", serve::json_quote(facts_verdict(report)));
  add("formats", json_lines(formats));
  if (!recall.empty()) {
    add("recall_own_tokens", serve::json_quote("stored"));
    add("recall", json_lines(recall));
  }
  if (!scores.empty()) {
    add("sensitivity_windows", std::to_string(report.sensitivity_windows));
    add("sensitivity_own_tokens", serve::json_quote("stored"));
    add("sensitivity", json_lines(scores));
    add("plans", json_lines(plans));
  }
  return out + "\n}\n";
}

/// Columns as wide as they need, the first one to the left, all others to the right.
[[nodiscard]] inline std::string align(std::vector<std::vector<std::string>> const& rows) {
  std::vector<std::size_t> widths;
  for (auto const& row : rows)
    for (std::size_t c = 0; c < row.size(); ++c) {
      if (c == widths.size()) widths.push_back(0);
      widths[c] = std::max(widths[c], row[c].size());
    }
  std::string out;
  for (auto const& row : rows) {
    for (std::size_t c = 0; c < row.size(); ++c) {
      std::string const space(widths[c] - row[c].size(), ' ');
      out += c == 0 ? row[c] + (row.size() > 1 ? space : "") : "  " + space + row[c];
    }
    out += "\n";
  }
  return out;
}

/// A small number with two digits that count.
[[nodiscard]] inline std::string spell_small(double number) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.precision(2);
  out << number;
  return out.str();
}

[[nodiscard]] inline std::string quality_table(Report const& report) {
  using serve::spell_number;
  std::string const each = "bits/" + report.unit;
  std::vector<std::vector<std::string>> rows = {{"format"}};
  if (report.num_windows > 0)
    rows[0].insert(rows[0].end(),
                   {"bits/element", each, "over f32", "+-", "KL mean", "KL 99.9%", "KL max", "same top"});
  if (report.num_generations > 0) rows[0].insert(rows[0].end(), {"same prefix", "same tokens"});
  if (report.num_facts > 0) rows[0].push_back("facts");
  for (FormatReport const& format : report.formats) {
    std::vector<std::string> row = {std::string(format.name)};
    if (report.num_windows > 0) {
      Quality const& q = format.quality;
      double const scale = 100 / report.formats.front().quality.bits;
      row.insert(row.end(), {spell_number(format.bits_per_element, 2), spell_number(q.bits, 4),
                             spell_number(scale * q.over_reference, 3) + " %",
                             spell_number(scale * q.standard_error, 3), spell_small(q.kl_mean), spell_small(q.kl_high),
                             spell_small(q.kl_max), spell_number(100 * q.top_agreement, 2) + " %"});
    }
    if (format.generations) {
      row.push_back(spell_number(format.generations->common_prefix, 1));
      row.push_back(spell_number(100 * format.generations->equal, 1) + " %");
    }
    if (format.recalled) row.push_back(std::to_string(*format.recalled));
    rows.push_back(std::move(row));
  }
  return align(rows);
}

/// For each format a column for each length and way: the numbers that it recalls, and the bits of an answer.
[[nodiscard]] inline std::string recall_table(Report const& report) {
  std::vector<std::vector<std::string>> rows = {{"format"}};
  for (FormatReport const& format : report.formats) rows.push_back({std::string(format.name)});
  for (std::size_t r = 0; r < report.recall.size(); ++r) {
    Recall const& recall = report.recall[r];
    std::size_t const row = r % report.formats.size();
    if (row == 0)
      rows[0].push_back(std::to_string(recall.num_tokens) + " " + std::string(to_string(recall.prefill)) + ", of " +
                        std::to_string(recall.num_prompts));
    rows[row + 1].push_back(std::to_string(recall.num_recalled) + "  " + serve::spell_number(recall.answer_bits, 2));
  }
  return align(rows);
}

/// Bits against how far a prediction can look back: the reference's, and what each format takes more.
[[nodiscard]] inline std::string context_table(Report const& report) {
  std::vector<std::vector<std::string>> rows = {{"context"}};
  for (ContextBits const& c : report.formats.front().quality.contexts)
    rows[0].push_back(std::to_string(c.first) + "-" + std::to_string(c.last));
  for (FormatReport const& format : report.formats) {
    std::vector<std::string> row = {std::string(format.name)};
    for (std::size_t c = 0; c < format.quality.contexts.size(); ++c) {
      double const own = format.quality.contexts[c].bits, best = report.formats.front().quality.contexts[c].bits;
      std::string const percent = serve::spell_number(100 * (own / best - 1), 3) + " %";
      row.push_back(&format == &report.formats.front() ? serve::spell_number(own, 4)
                                                       : (own < best ? percent : "+" + percent));
    }
    rows.push_back(std::move(row));
  }
  return align(rows);
}

[[nodiscard]] inline std::string sensitivity_table(Report const& report) {
  std::vector<std::vector<std::string>> rows = {
      {"layer", "plane", "format", "bits/element", "error", "importance", "KL"}};
  for (Sensitivity const& s : report.sensitivity)
    rows.push_back({std::to_string(s.layer), s.keys ? "keys" : "values", std::string(s.format->name),
                    serve::spell_number(s.bits_per_element, 2), spell_small(s.loss.error), spell_small(s.importance()),
                    spell_small(s.loss.kl)});
  return align(rows);
}

/// "int8/int4 int4/int4": keys and values of each layer.
[[nodiscard]] inline std::string plan_table(Report const& report) {
  std::vector<std::vector<std::string>> rows = {{"bits/element", "KL predicted", "KL", "keys/values of each layer"}};
  for (Plan const& plan : report.plans) {
    std::string formats = "all " + std::string(plan.formats.front()->name);
    if (!plan.uniform) formats.clear();
    for (std::size_t i = 0; i < plan.formats.size() && !plan.uniform; i += 2) {
      if (i > 0) formats += ' ';
      formats += plan.formats[i]->name;
      formats += '/';
      formats += plan.formats[i + 1]->name;
    }
    rows.push_back({serve::spell_number(plan.bits_per_element, 2), spell_small(plan.predicted_kl),
                    spell_small(plan.loss.kl), formats});
  }
  return align(rows);
}

/// All that there is to say.
[[nodiscard]] inline std::string to_table(Report const& report) {
  std::string out = report.model + " on " + report.text;
  if (report.num_windows > 0)
    out += ": " + std::to_string(report.num_windows) + " windows of " + std::to_string(report.window_tokens) +
           " tokens, " + std::to_string(report.formats.front().quality.num_predictions) + " predictions, own tokens " +
           report.own_tokens + ". KL is the divergence from f32, in bits for each token";
  out += ".\n";
  if (report.num_windows > 0 || report.num_generations > 0 || report.num_facts > 0) out += "\n" + quality_table(report);
  if (report.num_generations > 0)
    out += "\nsame prefix, same tokens: of " + std::to_string(report.num_generations) + " greedy generations of " +
           std::to_string(report.generated_tokens) + " tokens after " + std::to_string(report.prompt_tokens) +
           " tokens of the text.\n";
  if (report.num_facts > 0) out += "\n" + facts_verdict(report) + "\n";
  if (!report.recall.empty())
    out +=
        "\nRecall of a stated number, by the prompt's tokens and by how the text before the question was read, of the "
        "prompts that f32 answers: right answers, and the mean bits of an answer:\n\n" +
        recall_table(report);
  if (report.num_windows > 0)
    out += "\nBits per " + report.unit +
           " by the tokens that a prediction looks back at; what each format takes over f32:\n\n" +
           context_table(report);
  if (!report.sensitivity.empty())
    out +=
        "\nOne plane of one layer in a format, all others in f32, over " + std::to_string(report.sensitivity_windows) +
        " windows, own tokens stored; error: squared, as a share of the rows' squares; importance: KL / "
        "error:\n\n" +
        sensitivity_table(report) +
        "\nWhat loses least by these scores within a number of bits, and the divergence that was measured then:\n\n" +
        plan_table(report);
  return out;
}

}  // namespace evaluate
