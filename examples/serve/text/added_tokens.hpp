// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The added_tokens of a tokenizer.json: texts that are one token wherever they stand, such as <|im_start|>.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"
#include "../model/llama_config.hpp"
#include "../utf8.hpp"
#include "tokenizer.hpp"
#include "unicode.hpp"

namespace serve {

struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool special = false;       ///< no text: it is left out of what is decoded
  bool normalized = false;    ///< looked for after the normalizer
  bool takes_before = false;  ///< the white space before it (lstrip), and after it (rstrip)
  bool takes_after = false;
};

/// Sorts tokens by their contents. Throws BadInput when two have the same, which an AddedTokenFinder cannot tell apart;
/// `source`: the file's.
inline void sort_by_content(std::vector<AddedToken>& tokens, std::string const& source) {
  std::sort(tokens.begin(), tokens.end(), [](auto const& a, auto const& b) { return a.content < b.content; });
  auto const twice = std::adjacent_find(tokens.begin(), tokens.end(),
                                        [](auto const& a, auto const& b) { return a.content == b.content; });
  if (twice != tokens.end())
    throw BadInput(source + ": added_tokens has " + json_quote(twice->content, 40) + " twice.");
}

/// From the field "added_tokens"; none where it is missing. Throws BadInput for a wrong type, an id that is not below
/// `vocab`, or a content that appears twice; UnsupportedTokenizer for single_word.
[[nodiscard]] inline std::vector<AddedToken> read_added_tokens(ConfigReader const& file, std::int32_t vocab) {
  std::vector<AddedToken> tokens;
  Json const* const json = file.present("added_tokens");
  if (!json) return tokens;
  if (!json->get<Json::Array>()) file.refuse("added_tokens", "it should be a list");
  for (Json const& one : *json->get<Json::Array>()) {
    ConfigReader const fields{one, file.source() + ": added_tokens"};
    AddedToken token;
    token.content = fields.string("content", "");
    token.id = fields.integer("id", std::nullopt, 0, vocab - 1);
    token.special = fields.boolean("special", false);
    token.normalized = fields.boolean("normalized", !token.special);
    token.takes_before = fields.boolean("lstrip", false);
    token.takes_after = fields.boolean("rstrip", false);
    if (fields.boolean("single_word", false))
      throw UnsupportedTokenizer(fields.source() + " has a token with single_word, " + json_quote(token.content, 40) +
                                 ", which serve does not know");
    if (!token.content.empty()) tokens.push_back(std::move(token));
  }
  sort_by_content(tokens, file.source());
  return tokens;
}

/// Finds added tokens in a text: the leftmost, of those that begin there the longest.
class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  /// Contents are not empty. Throws BadInput when two are the same; `source`: the file's.
  AddedTokenFinder(std::vector<AddedToken> tokens, std::string const& source) : tokens_(std::move(tokens)) {
    sort_by_content(tokens_, source);
    for (AddedToken const& token : tokens_) begins_[static_cast<unsigned char>(token.content.front())] = true;
  }

  /// Calls on_text(text) and on_token(id) for the parts of a text of UTF-8, in order. A token that is_text(token) is
  /// found and is text as any other. Cost: linear in the text times the longest token, where many begin alike.
  template <class IsText, class TakeText, class TakeToken>
  void split(std::string_view text, IsText const& is_text, TakeText const& on_text, TakeToken const& on_token) const {
    std::size_t done = 0, at = 0;
    while (at < text.size()) {
      AddedToken const* const token =
          begins_[static_cast<unsigned char>(text[at])] ? longest(text.substr(at)) : nullptr;
      if (!token) {
        ++at;
        continue;
      }
      if (is_text(*token)) {
        at += token->content.size();
        continue;
      }
      std::size_t const begin = token->takes_before ? std::max(done, begin_of_spaces(text.substr(0, at))) : at;
      at += token->content.size();
      std::size_t const end = token->takes_after ? at + end_of_spaces(text.substr(at)) : at;
      if (done < begin) on_text(text.substr(done, begin - done));
      on_token(token->id);
      done = end;
    }
    if (done < text.size()) on_text(text.substr(done));
  }

  /// The id of the token that is this text; nothing where there is none.
  [[nodiscard]] std::optional<std::int32_t> id_of(std::string_view text) const {
    AddedToken const* const token = longest(text);
    return token && token->content == text ? std::optional(token->id) : std::nullopt;
  }

 private:
  /// The longest token that `text` begins with. The tokens that agree with it so far are a run in their order.
  [[nodiscard]] AddedToken const* longest(std::string_view text) const {
    AddedToken const* found = nullptr;
    auto begin = tokens_.begin(), end = tokens_.end();
    for (std::size_t n = 0; begin != end; ++n) {
      if (begin->content.size() == n) found = &*begin++;  // it comes first of all that begin like it
      if (n == text.size()) break;
      auto const byte = static_cast<unsigned char>(text[n]);
      begin = std::lower_bound(begin, end, byte, [n](AddedToken const& token, unsigned char wanted) {
        return static_cast<unsigned char>(token.content[n]) < wanted;
      });
      end = std::upper_bound(begin, end, byte, [n](unsigned char wanted, AddedToken const& token) {
        return wanted < static_cast<unsigned char>(token.content[n]);
      });
    }
    return found;
  }

  [[nodiscard]] static std::size_t end_of_spaces(std::string_view text) {
    std::size_t at = 0;
    for (CodePoint c = first_code_point(text); c.bytes > 0 && unicode::is_space(c.code);
         c = first_code_point(text.substr(at)))
      at += c.bytes;
    return at;
  }
  [[nodiscard]] static std::size_t begin_of_spaces(std::string_view text) {
    while (true) {
      std::size_t begin = text.size();
      while (begin > 0 && (static_cast<unsigned char>(text[begin - 1]) & 0xC0) == 0x80) --begin;
      if (begin == 0 || !unicode::is_space(first_code_point(text.substr(begin - 1)).code)) return text.size();
      text = text.substr(0, begin - 1);
    }
  }

  std::vector<AddedToken> tokens_;
  std::array<bool, 256> begins_{};
};

}  // namespace serve
