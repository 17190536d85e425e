// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The command line: one table of options, from which both the parser and --help are made.

#include <cstdint>
#include <functional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "formats.hpp"
#include "options.hpp"
#include "recall.hpp"

namespace evaluate {

/// What the user asked for. Empty and 0: see the table.
struct Options {
  std::string model, text, facts, json, recall_log;
  std::vector<std::string> formats, sensitivity_formats;
  std::vector<std::int32_t> contexts, recall;
  std::vector<Prefill> recall_prefills = {Prefill::exact, Prefill::stored};
  std::int32_t recall_prompts = 24;
  std::int32_t windows = 16, generations = 8, generated_tokens = 256;
  std::int32_t sensitivity_windows = 2;
  std::int32_t threads = 0;
  serve::OwnTokens own_tokens = serve::OwnTokens::exact;
  std::int32_t step_tokens = 0;
  bool sensitivity = false, help = false;
};

/// The parts between commas. Throws BadOption for an empty one.
[[nodiscard]] inline std::vector<std::string> split_list(std::string_view name, std::string_view text) {
  std::vector<std::string> parts;
  std::istringstream in{std::string(text) + ","};
  for (std::string part; std::getline(in, part, ',');) {
    if (part.empty())
      throw serve::BadOption(std::string(name) + " " + std::string(text) + " has an empty part between its commas.");
    parts.push_back(part);
  }
  return parts;
}

/// An ascending list of numbers.
[[nodiscard]] inline std::vector<std::int32_t> contexts_of(std::string_view name, std::string_view text) {
  std::vector<std::int32_t> contexts;
  for (std::string const& part : split_list(name, text)) {
    contexts.push_back(serve::option_values::integer(name, part, 1, 1 << 24));
    if (contexts.size() > 1 && contexts.back() <= contexts[contexts.size() - 2])
      throw serve::BadOption(std::string(name) + " " + std::string(text) + " should ascend.");
  }
  return contexts;
}

[[nodiscard]] inline std::vector<Prefill> prefills_of(std::string_view name, std::string_view text) {
  std::string const word = serve::option_values::word(name, text, "exact, stored, both");
  if (word == "both") return {Prefill::exact, Prefill::stored};
  return {word == "exact" ? Prefill::exact : Prefill::stored};
}

struct Option {
  std::string_view name, value, help;
  std::function<void(Options&, std::string_view)> set;
};

[[nodiscard]] inline std::span<Option const> all_options() {
  namespace v = serve::option_values;
  static Option const table[] = {
      {"--model", "DIR", "model directory: config.json and model.safetensors; default: the bundled tiny-llama",
       [](Options& o, std::string_view s) { o.model = v::not_empty("--model", s); }},
      {"--text", "FILE",
       "text to predict, best one that the model never saw; for a model without a tokenizer that evaluate can read, a "
       "list of token ids; default: the bundled model's held-out text",
       [](Options& o, std::string_view s) { o.text = v::not_empty("--text", s); }},
      {"--formats", "A,B,...", "formats to compare with f32 (default: all of them)",
       [](Options& o, std::string_view s) { o.formats = split_list("--formats", s); }},
      {"--contexts", "N,N,...",
       "ends of the stretches of context that are told apart, ascending; windows of the text are as long as the last "
       "(default: 64 and its doubles up to 4096 or the model's context)",
       [](Options& o, std::string_view s) { o.contexts = contexts_of("--contexts", s); }},
      {"--own-tokens", "exact|stored",
       "what attention reads of a step's own tokens: exact (default): their keys and values as they were computed, and "
       "older ones as the format stores them; stored: all as it stores them",
       [](Options& o, std::string_view s) { o.own_tokens = v::own_tokens("--own-tokens", s); }},
      {"--step-tokens", "N",
       "tokens of a text that one step reads: with exact own tokens the part of a prompt that meets itself exactly; a "
       "prompt that fits is computed exactly and then stored (default 128, and 16 where older tokens are demoted)",
       [](Options& o, std::string_view s) { o.step_tokens = v::integer("--step-tokens", s, 1, 1 << 20); }},
      {"--windows", "N", "at most so many windows, spread evenly over the text; 0: none (default 16)",
       [](Options& o, std::string_view s) { o.windows = v::integer("--windows", s, 0, 1 << 20); }},
      {"--generations", "N", "greedy generations to compare; 0: none (default 8)",
       [](Options& o, std::string_view s) { o.generations = v::integer("--generations", s, 0, 4096); }},
      {"--generated-tokens", "N",
       "tokens of each generation, after the first quarter of a window; fewer where the context ends (default 256)",
       [](Options& o, std::string_view s) { o.generated_tokens = v::integer("--generated-tokens", s, 1, 1 << 20); }},
      {"--facts", "FILE",
       "cases between lines with only ---: a text that states a fact and asks for it again, and as its last line the "
       "answer",
       [](Options& o, std::string_view s) { o.facts = v::not_empty("--facts", s); }},
      {"--recall", "N,N,...",
       "recall of a stated number: prompts of so many tokens, a stretch of the text in which a sentence states a "
       "number, "
       "and the question; a step's own tokens are read as they are stored",
       [](Options& o, std::string_view s) { o.recall = contexts_of("--recall", s); }},
      {"--recall-prompts", "N", "prompts of each length that f32 answers, of at most four times as many (default 24)",
       [](Options& o, std::string_view s) { o.recall_prompts = v::integer("--recall-prompts", s, 1, 4096); }},
      {"--recall-prefill", "exact|stored|both",
       "exact: the text before the question is computed with f32 and then stored; stored: every token of it reads "
       "those "
       "before it through the format (default both)",
       [](Options& o, std::string_view s) { o.recall_prefills = prefills_of("--recall-prefill", s); }},
      {"--recall-log", "FILE",
       "write each answer there at once, and take those that are there already: a run that was ended goes on",
       [](Options& o, std::string_view s) { o.recall_log = v::not_empty("--recall-log", s); }},
      {"--sensitivity", "",
       "score every layer: keys or values of one layer alone in each of the formats that stores both alike, a step's "
       "own "
       "tokens too, whatever --own-tokens says",
       [](Options& o, std::string_view) { o.sensitivity = true; }},
      {"--sensitivity-formats", "A,B,...", "the formats to score (default: those that are compared)",
       [](Options& o, std::string_view s) { o.sensitivity_formats = split_list("--sensitivity-formats", s); }},
      {"--sensitivity-windows", "N", "windows that the scores are measured over (default 2)",
       [](Options& o, std::string_view s) {
         o.sensitivity_windows = v::integer("--sensitivity-windows", s, 1, 1 << 20);
       }},
      {"--json", "FILE", "write everything there as one JSON object, which bench/plots/draw.py draws",
       [](Options& o, std::string_view s) { o.json = v::not_empty("--json", s); }},
      {"--threads", "N", "threads, which change no number (default: one for each hardware thread)",
       [](Options& o, std::string_view s) { o.threads = v::integer("--threads", s, 1, 1024); }},
      {"--help", "", "print this", [](Options& o, std::string_view) { o.help = true; }},
  };
  return table;
}

[[nodiscard]] inline std::string help_text() {
  std::string out =
      "evaluate: what the formats of a KV cache do to a model's predictions.\n"
      "\n"
      "Reads a text with a Llama-family model (Llama, Mistral, Qwen2, Qwen3), once over an f32 cache and once over\n"
      "each other, and compares: bits per byte, divergence, likeliest tokens, free generations, recall of facts and of "
      "stated\n"
      "numbers.\n"
      "\n";
  for (Option const& option : all_options())
    out += serve::option_values::explain(option.name, option.value, option.help, 32, 110);
  out += "\nFormats (keys; values):\n";
  for (Format const& format : all_formats()) {
    std::string name(format.name);
    name.resize(std::max<std::size_t>(26, name.size() + 1), ' ');
    out += "  " + name + std::string(format.keys) +
           (format.keys == format.values ? "" : "; " + std::string(format.values)) + "\n";
  }
  return out;
}

/// Reads a command line (without the program's name): `--name value` or `--name=value`. Throws BadOption.
[[nodiscard]] inline Options parse_options(std::span<char const* const> arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    std::string_view const argument = arguments[i];
    std::size_t const equals = argument.find('=');
    std::string_view const name = argument.substr(0, equals);
    Option const* option = nullptr;
    for (Option const& candidate : all_options())
      if (candidate.name == name) option = &candidate;
    if (!option) throw serve::BadOption("There is no option " + std::string(name) + "; evaluate --help lists them.");
    bool const has_value = equals != std::string_view::npos;
    if (option->value.empty() && has_value) throw serve::BadOption(std::string(name) + " takes no value.");
    if (!option->value.empty() && !has_value && i + 1 == arguments.size())
      throw serve::BadOption(std::string(name) + " needs a value: " + std::string(name) + " " +
                             std::string(option->value) + ".");
    if (option->value.empty())
      option->set(options, {});
    else
      option->set(options, has_value ? argument.substr(equals + 1) : std::string_view(arguments[++i]));
  }
  return options;
}

}  // namespace evaluate
