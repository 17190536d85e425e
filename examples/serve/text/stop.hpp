// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// --stop: texts, or token ids, that end a sample.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"
#include "tokenizer.hpp"

namespace serve {

/// Whether a completion has come to one of `texts`: its text has it, both in the tokenizer's normal form, or its last
/// token is the added token of this text, which may be special and so no text; where prompts are token ids, it ends
/// with these ids. Null for no texts. To be asked after every token: it looks at the last ones only, as many as have
/// text enough. A special token inside of a longer text is not looked for. `tokenizer` must outlive it. Texts are not
/// empty. Throws BadInput for a text that is to be ids and is none, or that no completion of the tokenizer could have,
/// as it is not UTF-8.
[[nodiscard]] inline std::function<bool(std::span<std::int32_t const>)> stop_at(std::vector<std::string> const& texts,
                                                                                Tokenizer const& tokenizer) {
  if (texts.empty()) return nullptr;
  if (tokenizer.prompt_per_line()) {
    std::vector<std::vector<std::int32_t>> ends;
    for (std::string const& text : texts) {
      std::vector<std::int32_t> end;
      try {
        end = tokenizer.encode(text);
      } catch (BadInput const&) {  // NOLINT(bugprone-empty-catch): no ids, as where there are only spaces
      }
      if (end.empty())
        throw BadInput("--stop " + text + " is not possible: it takes token ids, as this model's prompts do.");
      ends.push_back(std::move(end));
    }
    return [ends](std::span<std::int32_t const> completion) {
      return std::any_of(ends.begin(), ends.end(), [&](std::vector<std::int32_t> const& end) {
        return end.size() <= completion.size() && std::equal(end.rbegin(), end.rend(), completion.rbegin());
      });
    };
  }
  std::vector<std::string> ends;  // as they are looked for
  std::size_t longest = 0;
  std::vector<std::int32_t> ids;  // of texts that are added tokens
  for (std::string const& text : texts) {
    name_text("--stop " + json_quote(text, 60), [&] { tokenizer.check(text); });
    ends.push_back(tokenizer.normal_form(text));
    longest = std::max(longest, ends.back().size());
    if (auto const id = tokenizer.added_token(text)) ids.push_back(*id);
  }
  return [ends, longest, ids, &tokenizer](std::span<std::int32_t const> completion) {
    if (completion.empty()) return false;
    if (std::find(ids.begin(), ids.end(), completion.back()) != ids.end()) return true;
    auto const text_of_last = [&](std::size_t n) {
      return tokenizer.normal_form(tokenizer.decode(completion.last(n)));
    };
    constexpr std::size_t character = 8;  // before it, which its first mark may be composed with
    std::size_t const enough = longest + text_of_last(1).size() + character;
    std::string text;
    for (std::size_t n = enough;; n *= 2) {  // nearly every token is a byte of text, or more
      n = std::min(n, completion.size());
      text = text_of_last(n);
      if (n == completion.size() || text.size() >= enough) break;
    }
    return std::any_of(ends.begin(), ends.end(),
                       [&](std::string const& end) { return text.find(end) != std::string::npos; });
  };
}

}  // namespace serve
