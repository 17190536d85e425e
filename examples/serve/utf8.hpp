// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// UTF-8: its code points, and what to do with bytes that are none.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace serve {

/// A code point at the beginning of a text, and the bytes that it takes there: 0 where the text does not begin with
/// one.
struct CodePoint {
  std::uint32_t code = 0;
  std::size_t bytes = 0;
};

/// The first code point of a text. Strict: no overlong form, no surrogate, nothing above U+10FFFF.
[[nodiscard]] constexpr CodePoint first_code_point(std::string_view text) {
  auto const byte = [text](std::size_t i) -> std::uint32_t {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u;
  };
  if (text.empty()) return {};
  std::uint32_t const lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  if (lead < 0xC2 || lead > 0xF4) return {};
  std::size_t const size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  std::uint32_t code = lead & (0x7Fu >> size);
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3F);
  }
  constexpr std::uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (code < smallest[size] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return {};
  return {code, size};
}

/// `code` at the end of `out`. It is a code point, and no surrogate.
inline void append_utf8(std::string& out, std::uint32_t code) {
  auto const put = [&out](std::uint32_t byte) { out += static_cast<char>(static_cast<unsigned char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

/// How many bytes at the beginning of a text are UTF-8: all of them, or the place of the first that is not.
[[nodiscard]] constexpr std::size_t valid_utf8_bytes(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t const bytes = first_code_point(text.substr(at)).bytes;
    if (bytes == 0) break;
    at += bytes;
  }
  return at;
}

/// The longest beginning of at most `limit` bytes that does not end within a character.
[[nodiscard]] constexpr std::string_view utf8_prefix(std::string_view text, std::size_t limit) {
  if (limit >= text.size()) return text;
  while (limit > 0 && (static_cast<unsigned char>(text[limit]) & 0xC0) == 0x80) --limit;
  return text.substr(0, limit);
}

/// The longest end of at most `limit` bytes that does not begin within a character.
[[nodiscard]] constexpr std::string_view utf8_suffix(std::string_view text, std::size_t limit) {
  if (limit >= text.size()) return text;
  text.remove_prefix(text.size() - limit);
  while (!text.empty() && (static_cast<unsigned char>(text.front()) & 0xC0) == 0x80) text.remove_prefix(1);
  return text;
}

/// A text with U+FFFD in the place of every byte that is not UTF-8, such as those of a character that is cut off.
[[nodiscard]] inline std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  while (true) {
    std::size_t const valid = valid_utf8_bytes(text);
    out += text.substr(0, valid);
    if (valid == text.size()) return out;
    append_utf8(out, 0xFFFD);
    text.remove_prefix(valid + 1);
  }
}

}  // namespace serve
