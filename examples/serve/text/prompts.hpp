// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Prompts: a file, or standard input, is many in one text.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "../bad_input.hpp"
#include "../mapped_file.hpp"
#include "tokenizer.hpp"

namespace serve {

/// The texts between lines that are exactly "---". The newline before such a line, and the one at the end of the file,
/// belong to no prompt.
[[nodiscard]] inline std::vector<std::string> split_prompts(std::string_view text) {
  if (text.ends_with('\n')) text.remove_suffix(1);
  std::vector<std::string> prompts(1);
  bool first_line = true;
  while (true) {
    std::size_t const end = text.find('\n');
    std::string_view const line = text.substr(0, end);
    if (line == "---") {
      prompts.emplace_back();
      first_line = true;
    } else {
      prompts.back() += (first_line ? "" : "\n") + std::string(line);
      first_line = false;
    }
    if (end == std::string_view::npos) return prompts;
    text.remove_prefix(end + 1);
  }
}

/// Every line that is not blank.
[[nodiscard]] inline std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (!text.empty()) {
    std::size_t const end = std::min(text.find('\n'), text.size());
    std::string_view const line = text.substr(0, end);
    if (line.find_first_not_of(" \t\r") != std::string_view::npos) lines.emplace_back(line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// Encodes prompts, which `source` has. Throws BadInput when there is none, or one that is empty, that the tokenizer
/// cannot read, or that does not leave room for `max_tokens` more within `context` tokens.
[[nodiscard]] inline std::vector<std::vector<std::int32_t>> encode_prompts(std::vector<std::string> const& texts,
                                                                           std::string const& source,
                                                                           Tokenizer const& tokenizer,
                                                                           std::int32_t context,
                                                                           std::int32_t max_tokens) {
  std::vector<std::vector<std::int32_t>> prompts;
  for (std::string const& text : texts) {
    std::string const which = "Prompt " + std::to_string(prompts.size() + 1) + " of " + source;
    prompts.push_back(name_text(which, [&] { return tokenizer.encode(text); }));
    auto const size = static_cast<std::int64_t>(prompts.back().size());
    if (text.empty() || size == 0) throw BadInput(which + " is empty.");  // also where tokens begin every prompt
    if (size + max_tokens > context)
      throw BadInput(which + " has " + std::to_string(size) + " tokens; with --max-tokens " +
                     std::to_string(max_tokens) + " that is more than the model's context of " +
                     std::to_string(context) + ".");
  }
  if (prompts.empty()) throw BadInput("There is no prompt in " + source + ".");
  return prompts;
}

/// Reads and encodes a prompt file; of the path "-" what `standard_input` has. Throws BadInput when it is missing, too,
/// or too large.
[[nodiscard]] inline std::vector<std::vector<std::int32_t>> read_prompts(std::filesystem::path const& path,
                                                                         Tokenizer const& tokenizer,
                                                                         std::int32_t context, std::int32_t max_tokens,
                                                                         std::istream& standard_input = std::cin) {
  constexpr std::size_t most_bytes = 256 << 20;
  bool const is_file = path != "-";
  std::string text = is_file ? read_text(path, most_bytes) : std::string();
  for (char c = 0; !is_file && standard_input.get(c);) {
    text += c;
    if (text.size() > most_bytes)
      throw BadInput("Standard input has more than " + std::to_string(most_bytes) + " bytes of prompts.");
  }
  return encode_prompts(tokenizer.prompt_per_line() ? split_lines(text) : split_prompts(text),
                        is_file ? path.string() : "standard input", tokenizer, context, max_tokens);
}

}  // namespace serve
