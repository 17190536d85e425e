// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What tokenizers ask of Unicode: is it a letter, a number, a space, and what is a text's normal form C?

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../utf8.hpp"
#include "unicode_tables.hpp"

namespace serve {

/// Classes of characters that do not overlap: \p{L}, \p{N}, \s, and all others.
enum class CharacterClass : std::uint8_t { letter, number, space, other };

namespace unicode {

/// Whether a class holds `code`, by where it begins and ends in turn.
[[nodiscard]] constexpr bool is_in(std::span<std::uint32_t const> boundaries, std::uint32_t code) {
  return (std::upper_bound(boundaries.begin(), boundaries.end(), code) - boundaries.begin()) % 2 == 1;
}

[[nodiscard]] constexpr bool is_space(std::uint32_t code) {
  return (code >= 9 && code <= 13) || code == ' ' || code == 0x85 || code == 0xA0 || code == 0x1680 ||
         (code >= 0x2000 && code <= 0x200A) || code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
         code == 0x3000;
}

[[nodiscard]] constexpr CharacterClass search_class(std::uint32_t code) {
  if (is_space(code)) return CharacterClass::space;
  if (is_in(unicode_tables::letters, code)) return CharacterClass::letter;
  return is_in(unicode_tables::numbers, code) ? CharacterClass::number : CharacterClass::other;
}

/// Of ASCII, where most text is.
inline constexpr auto ascii_classes = [] {
  std::array<CharacterClass, 128> classes{};
  for (std::uint32_t code = 0; code < 128; ++code) classes[code] = search_class(code);
  return classes;
}();

/// The row of a table of `width` columns, sorted by its first one, whose first number is the last up to `code`.
[[nodiscard]] constexpr std::span<std::uint32_t const> row_up_to(std::span<std::uint32_t const> table,
                                                                 std::size_t width, std::uint32_t code) {
  std::size_t low = 0, high = table.size() / width;  // the row is before high, and not before low - 1
  while (low < high) {
    std::size_t const middle = (low + high) / 2;
    if (table[middle * width] <= code)
      low = middle + 1;
    else
      high = middle;
  }
  return low == 0 ? std::span<std::uint32_t const>{} : table.subspan((low - 1) * width, width);
}

[[nodiscard]] constexpr std::uint32_t combining_class(std::uint32_t code) {
  auto const row = row_up_to(unicode_tables::combining_classes, 3, code);
  return !row.empty() && code <= row[1] ? row[2] : 0;
}

// Hangul syllables, of a leading consonant, a vowel and perhaps a trailing consonant, are computed (Unicode, 3.12).
inline constexpr std::uint32_t first_syllable = 0xAC00, first_leading = 0x1100, first_vowel = 0x1161,
                               before_trailing = 0x11A7, num_leading = 19, num_vowels = 21, num_trailing = 28,
                               num_syllables = num_leading * num_vowels * num_trailing;

/// `code`, decomposed as far as it goes, at the end of `out`.
inline void decompose(std::uint32_t code, std::vector<std::uint32_t>& out) {
  if (std::uint32_t const s = code - first_syllable; code >= first_syllable && s < num_syllables) {
    out.push_back(first_leading + s / (num_vowels * num_trailing));
    out.push_back(first_vowel + s / num_trailing % num_vowels);
    if (s % num_trailing != 0) out.push_back(before_trailing + s % num_trailing);
    return;
  }
  auto const single = row_up_to(unicode_tables::singles, 2, code);
  if (!single.empty() && single[0] == code) return decompose(single[1], out);
  auto const pair = row_up_to(unicode_tables::pairs, 3, code);
  if (pair.empty() || pair[0] != code) return out.push_back(code);
  decompose(pair[1], out);
  decompose(pair[2], out);
}

/// What two code points are together, or 0.
[[nodiscard]] inline std::uint32_t compose(std::uint32_t first, std::uint32_t second) {
  if (first >= first_leading && first < first_leading + num_leading && second >= first_vowel &&
      second < first_vowel + num_vowels)
    return first_syllable + ((first - first_leading) * num_vowels + (second - first_vowel)) * num_trailing;
  if (first >= first_syllable && first < first_syllable + num_syllables &&
      (first - first_syllable) % num_trailing == 0 && second > before_trailing &&
      second < before_trailing + num_trailing)
    return first + (second - before_trailing);
  static std::vector<std::array<std::uint32_t, 3>> const pairs = [] {  // by their parts
    std::vector<std::array<std::uint32_t, 3>> all;
    auto const& never = unicode_tables::never_composed;
    for (std::size_t i = 0; i < std::size(unicode_tables::pairs); i += 3)
      if (!std::binary_search(std::begin(never), std::end(never), unicode_tables::pairs[i]))
        all.push_back({unicode_tables::pairs[i + 1], unicode_tables::pairs[i + 2], unicode_tables::pairs[i]});
    std::sort(all.begin(), all.end());
    return all;
  }();
  std::array<std::uint32_t, 3> const wanted{first, second, 0};
  auto const found = std::lower_bound(pairs.begin(), pairs.end(), wanted);
  return found != pairs.end() && (*found)[0] == first && (*found)[1] == second ? (*found)[2] : 0;
}

/// Marks that follow a character, in the order of their classes.
inline void order_marks(std::vector<std::uint32_t>& codes) {
  auto const by_class = [](std::uint32_t a, std::uint32_t b) { return combining_class(a) < combining_class(b); };
  for (auto begin = codes.begin(); begin != codes.end();) {
    begin = std::find_if(begin, codes.end(), [](std::uint32_t code) { return combining_class(code) != 0; });
    auto const end = std::find_if(begin, codes.end(), [](std::uint32_t code) { return combining_class(code) == 0; });
    std::stable_sort(begin, end, by_class);
    begin = end;
  }
}

/// Composes what can be, in place: each with the last character before it that is no mark, if nothing between blocks
/// it.
inline void compose_all(std::vector<std::uint32_t>& codes) {
  constexpr auto none = static_cast<std::size_t>(-1);
  std::size_t size = 0, starter = none;
  std::uint32_t last_class = 0;  // of what was put after the starter
  for (std::uint32_t const code : codes) {
    std::uint32_t const its_class = combining_class(code);
    bool const blocked = starter == none || (starter + 1 != size && last_class >= its_class);
    if (std::uint32_t const both = blocked ? 0 : compose(codes[starter], code)) {
      codes[starter] = both;
      continue;
    }
    if (its_class == 0) starter = size;
    last_class = its_class;
    codes[size++] = code;
  }
  codes.resize(size);
}

}  // namespace unicode

/// The class of a code point. Exact for the version of Unicode that unicode_tables.hpp names.
[[nodiscard]] constexpr CharacterClass character_class(std::uint32_t code) {
  return code < 128 ? unicode::ascii_classes[code] : unicode::search_class(code);
}

/// Normal form C of a text: what can be one character is one. Bytes that are not UTF-8 stay, and nothing is composed
/// across them. Cost: n log n for n marks in a row, else linear.
[[nodiscard]] inline std::string normal_form_c(std::string_view text) {
  std::string out;
  std::vector<std::uint32_t> codes;
  while (true) {
    std::size_t const valid = valid_utf8_bytes(text);
    codes.clear();
    bool changes = false;
    for (std::size_t at = 0; at < valid;) {
      CodePoint const c = first_code_point(text.substr(at));
      at += c.bytes;
      changes = changes || c.code >= 0x300;  // what is before the first mark is composed already
      unicode::decompose(c.code, codes);
    }
    if (changes) {
      unicode::order_marks(codes);
      unicode::compose_all(codes);
      for (std::uint32_t const code : codes) append_utf8(out, code);
    } else {
      out += text.substr(0, valid);
    }
    if (valid == text.size()) return out;
    out += text[valid];
    text.remove_prefix(valid + 1);
  }
}

}  // namespace serve
