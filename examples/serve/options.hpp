// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The command line: one table of options, from which both the parser and --help are made.

#include <charconv>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <locale>
#include <optional>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bad_input.hpp"
#include "engine.hpp"
#include "sampler.hpp"

namespace serve {

/// What the user asked for.
struct Options {
  std::string model, prompts;         ///< where the files are; the caller fills in the defaults
  std::optional<std::string> prompt;  ///< the only one, in place of a file of them
  std::optional<std::string> system;  ///< with chat: the system message
  std::string quantizer = "f32";
  std::string demote = "off";  ///< the format of older tokens
  std::optional<std::int32_t> sinks, recent_window;
  OwnTokens own_tokens = OwnTokens::exact;
  Device device = Device::automatic;
  std::string output;             ///< file for the completions; empty: none
  std::int32_t max_tokens = 128;  ///< generated per sample
  std::int32_t samples = 1;       ///< per prompt
  bool prefix = true;             ///< requests take what others computed of their opening
  std::int32_t tenants = 1;       ///< that requests belong to, in turn
  std::int32_t batch_tokens = 256;
  std::int64_t memory_bytes = 0;  ///< for the KV cache; 0: as much as all requests need at once, at most 1 GiB
  std::int32_t threads = 0;       ///< 0: one per hardware thread
  Sampling sampling;
  std::vector<std::string> stop;  ///< texts, or token ids, that end a sample
  bool ignore_eos = false;
  bool chat = false, json = false, check = false, help = false;
};

namespace option_values {

/// A name or a text, which would be none if it were empty.
inline std::string not_empty(std::string_view name, std::string_view text) {
  if (text.empty()) throw BadOption(std::string(name) + " needs a value that is not empty.");
  return std::string(text);
}

template <class T>
T integer(std::string_view name, std::string_view text, T smallest, T largest) {
  T value{};
  char const* const end = text.data() + text.size();
  auto const result = std::from_chars(text.data(), end, value);
  if (result.ec != std::errc{} || result.ptr != end || value < smallest || value > largest)
    throw BadOption(std::string(name) + " " + std::string(text) + " is not possible: it takes an integer from " +
                    std::to_string(smallest) + " to " + std::to_string(largest) + ".");
  return value;
}

inline double real(std::string_view name, std::string_view text, double smallest, double largest) {
  std::istringstream in{std::string(text)};
  in.imbue(std::locale::classic());
  double value = 0;
  if (!(in >> std::noskipws >> value) || in.peek() != std::istringstream::traits_type::eof() ||
      !(value >= smallest && value <= largest)) {
    std::ostringstream range;
    range << smallest << " to " << largest;
    throw BadOption(std::string(name) + " " + std::string(text) + " is not possible: it takes a number from " +
                    range.str() + ".");
  }
  return value;
}

/// "64M" and the like: an integer and K, M or G for powers of 1024.
inline std::int64_t bytes(std::string_view name, std::string_view text) {
  std::int64_t value = 0;
  char const* const end = text.data() + text.size();
  auto const result = std::from_chars(text.data(), end, value);
  std::string_view const suffix(result.ptr, static_cast<std::size_t>(end - result.ptr));
  int const shift = suffix == "K" ? 10 : suffix == "M" ? 20 : suffix == "G" ? 30 : 0;
  bool const known = suffix.empty() || shift != 0;
  if (result.ec != std::errc{} || !known || value < 1 || value > std::numeric_limits<std::int64_t>::max() >> shift)
    throw BadOption(std::string(name) + " " + std::string(text) +
                    " is not possible: it takes a number of bytes from 1, such as 1048576, 1024K, 64M or 2G.");
  return value << shift;
}

inline bool on_or_off(std::string_view name, std::string_view text) {
  if (text == "on" || text == "off") return text == "on";
  throw BadOption(std::string(name) + " " + std::string(text) + " is not possible: it is on or off.");
}

/// One of `words`, which have ", " between them.
inline std::string word(std::string_view name, std::string_view text, std::string_view words) {
  std::string const one = ", " + std::string(text) + ", ", all = ", " + std::string(words) + ", ";
  if (text.find(',') == std::string_view::npos && all.find(one) != std::string::npos) return std::string(text);
  throw BadOption(std::string(name) + " " + std::string(text) + " is not possible: it is one of " + std::string(words) +
                  ".");
}

inline Device device(std::string_view name, std::string_view text) {
  if (text == "auto") return Device::automatic;
  if (text == "host") return Device::host;
  if (text == "cuda") return Device::cuda;
  throw BadOption(std::string(name) + " " + std::string(text) + " is not possible: it is auto, host or cuda.");
}

inline OwnTokens own_tokens(std::string_view name, std::string_view text) {
  return word(name, text, "exact, stored") == "exact" ? OwnTokens::exact : OwnTokens::stored;
}

/// What --help says of an option: its name and what it calls its value, and from `column` on its help, in lines of at
/// most `width` characters. It begins on a line of its own where the name is too long.
inline std::string explain(std::string_view name, std::string_view value, std::string_view help, std::size_t column,
                           std::size_t width) {
  std::string out, line = "  " + std::string(name) + (value.empty() ? "" : " ") + std::string(value);
  auto const next_line = [&] {
    out += line + "\n";
    line.clear();
  };
  if (line.size() + 2 > column) next_line();
  std::istringstream words{std::string(help)};
  for (std::string word; words >> word;) {
    if (line.size() > column && line.size() + 1 + word.size() > width) next_line();
    line.resize(std::max(column, line.size() + 1), ' ');
    line += word;
  }
  return out + line + "\n";
}

}  // namespace option_values

/// One option: its name, what --help calls its value (empty: a switch), its help, and what it does with the value.
struct Option {
  std::string_view name, value, help;
  std::function<void(Options&, std::string_view)> set;
};

[[nodiscard]] inline std::span<Option const> all_options() {
  namespace v = option_values;
  constexpr std::int32_t many = 1'000'000'000;
  static Option const table[] = {
      {"--model", "DIR",
       "model directory: config.json and model.safetensors, or its shards and their index; default: the bundled "
       "tiny-llama",
       [](Options& o, std::string_view s) { o.model = v::not_empty("--model", s); }},
      {"--prompts", "FILE",
       "prompts, separated by lines with only ---; for a model without a tokenizer that serve can read, each line is a "
       "list of token ids; - is standard input; default: the 16 bundled prompts",
       [](Options& o, std::string_view s) { o.prompts = v::not_empty("--prompts", s); }},
      {"--prompt", "TEXT", "one prompt, in place of --prompts",
       [](Options& o, std::string_view s) { o.prompt = std::string(s); }},
      {"--chat", "",
       "each prompt is what a user says, in the model's chat format: ChatML or Llama 3's, by its chat template, else "
       "by its added tokens",
       [](Options& o, std::string_view) { o.chat = true; }},
      {"--system", "TEXT", "with --chat: the system message (default: that of the chat template, if it has one)",
       [](Options& o, std::string_view s) { o.system = std::string(s); }},
      {"--max-tokens", "N", "tokens to generate for each sample (default 128)",
       [](Options& o, std::string_view s) { o.max_tokens = v::integer("--max-tokens", s, 1, many); }},
      {"--stop", "TEXT",
       "end a sample after this text, which stays in it, or after the special token that is spelled so, such as "
       "<|im_end|>; may be given several times; for a model whose prompts are token ids, ids; the model's own stop "
       "tokens (eos_token_id) end it as well",
       [](Options& o, std::string_view s) { o.stop.push_back(v::not_empty("--stop", s)); }},
      {"--ignore-eos", "", "the model's own stop tokens do not end a sample",
       [](Options& o, std::string_view) { o.ignore_eos = true; }},
      {"--samples", "N", "samples for each prompt; they share the prompt's blocks by fork (default 1)",
       [](Options& o, std::string_view s) { o.samples = v::integer("--samples", s, 1, 65536); }},
      {"--quantizer", "NAME",
       "how the cache stores keys and values: " FOLIO_SERVE_FORMATS
       "; default f32; k8v4: int8 keys, int4 values; int6 and int4 are rotated",
       [](Options& o, std::string_view s) { o.quantizer = v::word("--quantizer", s, FOLIO_SERVE_FORMATS); }},
      {"--demote", "NAME",
       "what tokens become that are neither among the first nor among the newest, in layers without a window: "
       "off (default), or " FOLIO_SERVE_DEMOTED_FORMATS
       ", which go with --quantizer f16, a cache on the host, and the head dims 32, 64 and 128",
       [](Options& o, std::string_view s) { o.demote = v::word("--demote", s, "off, " FOLIO_SERVE_DEMOTED_FORMATS); }},
      {"--sinks", "N", "with --demote: the first tokens, which stay as they are (default 16)",
       [](Options& o, std::string_view s) { o.sinks = v::integer("--sinks", s, 0, 1 << 20); }},
      {"--recent", "N", "with --demote: the newest tokens, which stay as they are (default 64)",
       [](Options& o, std::string_view s) { o.recent_window = v::integer("--recent", s, 0, 1 << 20); }},
      {"--own-tokens", "exact|stored",
       "what attention reads of a step's own tokens, a chunk of a prompt or the token that was drawn last: exact "
       "(default): their keys and values as they were computed, and older ones as the cache stores them; stored: all "
       "as "
       "it stores them",
       [](Options& o, std::string_view s) { o.own_tokens = v::own_tokens("--own-tokens", s); }},
      {"--device", "NAME",
       "where the cache is and attention is computed: host, cuda (an NVIDIA GPU), or auto (default): cuda where this "
       "serve was built with it and there is a GPU, else host; the rest of the model is computed by the host",
       [](Options& o, std::string_view s) { o.device = v::device("--device", s); }},
      {"--memory", "BYTES",
       "memory for the KV cache, with suffix K, M or G; when it runs out, the youngest requests are preempted and "
       "recomputed "
       "later; default: what all requests need at once, at most 1G",
       [](Options& o, std::string_view s) { o.memory_bytes = v::bytes("--memory", s); }},
      {"--prefix", "on|off",
       "on (default): a request begins with what the cache has of its prompt because another one with the same opening "
       "computed it, and leaves what it computes; when memory is short, what nobody holds is evicted, the least "
       "recently used first",
       [](Options& o, std::string_view s) { o.prefix = v::on_or_off("--prefix", s); }},
      {"--tenants", "N",
       "requests belong to N tenants in turn, who share the memory fairly: what one keeps for later prompts beyond its "
       "part is evicted first (default 1)",
       [](Options& o, std::string_view s) { o.tenants = v::integer("--tenants", s, 1, 1024); }},
      {"--batch-tokens", "N", "most tokens in one step; longer prompts are computed in chunks (default 256)",
       [](Options& o, std::string_view s) { o.batch_tokens = v::integer("--batch-tokens", s, 1, 1 << 20); }},
      {"--threads", "N", "threads (default: one for each hardware thread)",
       [](Options& o, std::string_view s) { o.threads = v::integer("--threads", s, 1, 1024); }},
      {"--seed", "N",
       "seed of the random choices (default 1); on the host the same seed gives the same text, whatever the threads, "
       "and with f32 or --own-tokens stored, and no --demote, whatever the memory, batch, prefixes and tenants",
       [](Options& o, std::string_view s) {
         o.sampling.seed = v::integer("--seed", s, std::uint64_t{0}, std::numeric_limits<std::uint64_t>::max());
       }},
      {"--temperature", "X", "0 takes the likeliest token; higher is more random (default 0.7)",
       [](Options& o, std::string_view s) { o.sampling.temperature = v::real("--temperature", s, 0, 100); }},
      {"--top-k", "N", "choose among the N likeliest tokens; 0: among all (default 20)",
       [](Options& o, std::string_view s) { o.sampling.top_k = v::integer("--top-k", s, 0, many); }},
      {"--top-p", "X", "of those, among the fewest whose probabilities sum to X (default 1)",
       [](Options& o, std::string_view s) { o.sampling.top_p = v::real("--top-p", s, 0, 1); }},
      {"--output", "FILE", "write every completion there, separated by lines with only ---",
       [](Options& o, std::string_view s) { o.output = v::not_empty("--output", s); }},
      {"--json", "", "print one JSON object instead of the text and the table; progress goes to standard error",
       [](Options& o, std::string_view) { o.json = true; }},
      {"--check", "",
       "run each request again, alone on a plain contiguous f32 cache, and compare the tokens; a difference with the "
       "f32 quantizer is an error; with others once more on one of the same formats",
       [](Options& o, std::string_view) { o.check = true; }},
      {"--help", "", "print this", [](Options& o, std::string_view) { o.help = true; }},
  };
  return table;
}

[[nodiscard]] inline std::string help_text() {
  std::string out =
      "serve: continuous batching over a paged KV cache.\n"
      "\n"
      "Runs a Llama-family model (Llama, Mistral, Qwen2, Qwen3; F32, F16 or BF16 weights) on many prompts at once.\n"
      "\n";
  for (Option const& option : all_options())
    out += option_values::explain(option.name, option.value, option.help, 22, 100);
  return out;
}

/// Throws BadOption for prompts that do not go together.
inline void check_prompts(Options const& options) {
  if (options.prompt && !options.prompts.empty())
    throw BadOption("--prompt is not possible with --prompts: it is the only prompt.");
  if (options.system && !options.chat) throw BadOption("--system is not possible without --chat.");
}

/// Throws BadOption for options that do not go together.
inline void check_demotion(Options const& options) {
  auto const refuse = [](std::string const& what, std::string const& why) {
    throw BadOption(what + " is not possible " + why + ".");
  };
  std::string const demote = "--demote " + options.demote;
  if (options.demote == "off") {
    if (options.sinks) refuse("--sinks", "without --demote: all tokens stay as they are");
    if (options.recent_window) refuse("--recent", "without --demote: all tokens stay as they are");
  } else {
    if (options.quantizer != "f16") refuse(demote, "with --quantizer " + options.quantizer + ": it takes f16");
    if (options.device == Device::cuda) refuse(demote, "with --device cuda: such a cache is on the host");
  }
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
    if (!option) throw BadOption("There is no option " + std::string(name) + "; serve --help lists them.");
    bool const has_value = equals != std::string_view::npos;
    if (option->value.empty() && has_value) throw BadOption(std::string(name) + " takes no value.");
    if (!option->value.empty() && !has_value && i + 1 == arguments.size())
      throw BadOption(std::string(name) + " needs a value: " + std::string(name) + " " + std::string(option->value) +
                      ".");
    if (option->value.empty()) {
      option->set(options, {});
    } else {
      option->set(options, has_value ? argument.substr(equals + 1) : std::string_view(arguments[++i]));
    }
  }
  check_prompts(options);
  check_demotion(options);
  return options;
}

}  // namespace serve
