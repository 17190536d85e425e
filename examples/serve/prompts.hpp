// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A prompt file: many prompts in one text.

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "bad_input.hpp"
#include "mapped_file.hpp"
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

/// Reads and encodes a prompt file. Throws BadInput when it is missing, has an empty prompt, or one that does not leave
/// room for `max_tokens` more within `context` tokens.
[[nodiscard]] inline std::vector<std::vector<std::int32_t>> read_prompts(std::filesystem::path const& path,
                                                                         Tokenizer const& tokenizer,
                                                                         std::int32_t context,
                                                                         std::int32_t max_tokens) {
  std::string const text = read_text(path, 256 << 20);
  std::vector<std::vector<std::int32_t>> prompts;
  for (std::string const& prompt : tokenizer.prompt_per_line() ? split_lines(text) : split_prompts(text)) {
    prompts.push_back(tokenizer.encode(prompt));
    auto const size = static_cast<std::int64_t>(prompts.back().size());
    std::string const which = "Prompt " + std::to_string(prompts.size()) + " of " + path.string();
    if (size == 0) throw BadInput(which + " is empty.");
    if (size + max_tokens > context)
      throw BadInput(which + " has " + std::to_string(size) + " tokens; with --max-tokens " +
                     std::to_string(max_tokens) + " that is more than the model's context of " +
                     std::to_string(context) + ".");
  }
  if (prompts.empty()) throw BadInput("There is no prompt in " + path.string() + ".");
  return prompts;
}

}  // namespace serve
