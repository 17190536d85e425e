// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Where tokenizers cut a text before they encode it: the regular expressions of GPT-2, Llama 3 and Qwen2, each as a
// function that gives the first piece of a text. No expression is interpreted: an unknown one is not read.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "../utf8.hpp"
#include "unicode.hpp"

namespace serve {

/// The bytes of the first piece of a text of UTF-8 that is not empty: at least one. Cost: linear in the piece, and in
/// the white space that it begins with.
using FirstPiece = std::size_t (*)(std::string_view text);

namespace split_patterns {

inline constexpr std::size_t any_number = static_cast<std::size_t>(-1);

/// What is at a place of a text.
struct Seen {
  bool end = true;  ///< nothing: the rest says nothing
  CharacterClass kind = CharacterClass::other;
  CodePoint character;
};

[[nodiscard]] constexpr Seen look(std::string_view text, std::size_t at) {
  if (at >= text.size()) return {};
  CodePoint const c = first_code_point(text.substr(at));
  return {false, character_class(c.code), c};
}

[[nodiscard]] constexpr bool is_at(std::string_view text, std::size_t at, CharacterClass kind) {
  Seen const seen = look(text, at);
  return !seen.end && seen.kind == kind;
}

/// Where characters of a class end that begin at a place, or so many of them.
[[nodiscard]] constexpr std::size_t end_of(std::string_view text, std::size_t at, CharacterClass kind,
                                           std::size_t most = any_number) {
  for (Seen seen = look(text, at); most > 0 && !seen.end && seen.kind == kind; seen = look(text, at), --most)
    at += seen.character.bytes;
  return at;
}

/// 's|'t|'re|'ve|'m|'ll|'d, or 0. With any case U+017F is an s as well, as Unicode folds it.
[[nodiscard]] constexpr std::size_t contraction(std::string_view text, bool any_case) {
  auto const letter = [&](std::size_t at) {
    char const c = at < text.size() ? text[at] : '\0';
    return any_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  };
  if (text.empty() || text.front() != '\'') return 0;
  char const a = letter(1), b = letter(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if (any_case && text.substr(1).starts_with("\xC5\xBF")) return 3;
  return (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/// \s+(?!\S)|\s+: white space, but for its last character where something else follows it.
[[nodiscard]] constexpr std::size_t spaces(std::string_view text) {
  std::size_t last = 0, end = 0;
  for (Seen seen = look(text, 0); !seen.end && seen.kind == CharacterClass::space; seen = look(text, end)) {
    last = end;
    end += seen.character.bytes;
  }
  return end == text.size() || last == 0 ? end : last;
}

/// What GPT-2 says, and ByteLevel where it uses its own expression.
inline constexpr std::string_view gpt2 =
    R"re('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)re";

[[nodiscard]] constexpr std::size_t first_of_gpt2(std::string_view text) {
  if (std::size_t const bytes = contraction(text, false)) return bytes;
  Seen const next = look(text, 1);
  std::size_t const begin = text.front() == ' ' && !next.end && next.kind != CharacterClass::space ? 1 : 0;
  CharacterClass const kind = look(text, begin).kind;
  return kind == CharacterClass::space ? spaces(text) : end_of(text, begin, kind);
}

inline constexpr std::string_view llama3 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";
inline constexpr std::string_view qwen2 =
    R"re((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)re";

/// Both, which differ in how many digits are a piece.
template <std::size_t most_digits>
[[nodiscard]] constexpr std::size_t first_of_llama3(std::string_view text) {
  constexpr std::string_view line_ends = "\r\n";
  if (std::size_t const bytes = contraction(text, true)) return bytes;
  Seen const first = look(text, 0);
  if (first.kind == CharacterClass::letter) return end_of(text, 0, CharacterClass::letter);
  if (first.kind == CharacterClass::number) return end_of(text, 0, CharacterClass::number, most_digits);
  bool const ends_line = line_ends.find(text.front()) != std::string_view::npos;
  if (!ends_line && is_at(text, first.character.bytes, CharacterClass::letter))
    return end_of(text, first.character.bytes, CharacterClass::letter);
  std::size_t const begin = text.front() == ' ' ? 1 : 0;
  if (is_at(text, begin, CharacterClass::other)) {
    std::size_t const end = text.find_first_not_of(line_ends, end_of(text, begin, CharacterClass::other));
    return end == std::string_view::npos ? text.size() : end;
  }
  std::string_view const run = text.substr(0, end_of(text, 0, CharacterClass::space));
  std::size_t const line_end = run.find_last_of(line_ends);
  return line_end != std::string_view::npos ? line_end + 1 : spaces(text);
}

/// Numbers apart from all else, together or one by one.
template <std::size_t most_digits>
[[nodiscard]] constexpr std::size_t first_of_digits(std::string_view text) {
  std::size_t end = end_of(text, 0, CharacterClass::number, most_digits);
  if (end > 0) return end;
  for (Seen seen = look(text, 0); !seen.end && seen.kind != CharacterClass::number; seen = look(text, end))
    end += seen.character.bytes;
  return end;
}

[[nodiscard]] constexpr std::size_t whole(std::string_view text) { return text.size(); }

/// The function for an expression, by its text; nullptr for one that is not known.
[[nodiscard]] constexpr FirstPiece find(std::string_view expression) {
  if (expression == gpt2) return first_of_gpt2;
  if (expression == llama3) return first_of_llama3<3>;
  if (expression == qwen2) return first_of_llama3<1>;
  return nullptr;
}

}  // namespace split_patterns
}  // namespace serve
