// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Facts that a text states and asks for again.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "runner.hpp"
#include "text/prompts.hpp"

namespace evaluate {

/// A text that ends before the answer, and the answer.
struct Fact {
  Tokens prompt, answer;
};

/// A prompt and its answer as tokens. A tokenizer may join the prompt's last letters with the answer's first: the
/// prompt ends where both are the same.
[[nodiscard]] inline Fact split_fact(serve::Tokenizer const& tokenizer, std::string const& prompt,
                                     std::string const& answer) {
  Fact fact{tokenizer.encode(prompt), tokenizer.encode(prompt + answer)};
  auto const same = std::mismatch(fact.prompt.begin(), fact.prompt.end(), fact.answer.begin(), fact.answer.end());
  fact.prompt.erase(same.first, fact.prompt.end());
  fact.answer.erase(fact.answer.begin(), fact.answer.begin() + static_cast<std::ptrdiff_t>(fact.prompt.size()));
  return fact;
}

/// Reads cases that lines with only --- separate. The last line of a case is the answer, what stands before it, without
/// the line break, the prompt. Throws BadInput for a case that has no answer, that the
/// tokenizer cannot read, or that does not fit the model's context.
[[nodiscard]] inline std::vector<Fact> read_facts(std::filesystem::path const& path, serve::Tokenizer const& tokenizer,
                                                  std::int32_t context) {
  std::vector<Fact> facts;
  for (std::string const& text : serve::split_prompts(serve::read_text(path, 16 << 20))) {
    std::size_t const line = text.find_last_of('\n');
    std::string const which = "Case " + std::to_string(facts.size() + 1) + " of " + path.string();
    if (line == std::string::npos || line == 0 || line + 1 == text.size())
      throw serve::BadInput(which + " should be a prompt and, as its last line, the answer.");
    // Token ids end where a line does; a tokenizer's letters do not.
    std::string const between = tokenizer.prompt_per_line() ? " " : "";
    Fact fact = serve::name_text(
        which, [&] { return split_fact(tokenizer, text.substr(0, line), between + text.substr(line + 1)); });
    std::size_t const size = fact.prompt.size() + fact.answer.size();
    if (size > static_cast<std::size_t>(context))
      throw serve::BadInput(which + " has " + std::to_string(size) + " tokens, more than the model's context of " +
                            std::to_string(context) + ".");
    facts.push_back(std::move(fact));
  }
  return facts;
}

/// The facts whose answer greedy decoding gives, every token of it.
[[nodiscard]] inline std::int64_t count_recalled(Runner& runner, std::vector<Fact> const& facts, std::int32_t vocab) {
  std::int64_t recalled = 0;
  for (Fact const& fact : facts)
    if (generate(runner, {fact.prompt}, static_cast<std::int32_t>(fact.answer.size()), vocab).front() == fact.answer)
      ++recalled;
  return recalled;
}

}  // namespace evaluate
