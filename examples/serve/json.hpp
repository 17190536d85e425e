// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A small strict JSON reader (RFC 8259), for model files that strangers wrote.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <locale>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "bad_input.hpp"
#include "utf8.hpp"

namespace serve {

/// One JSON value. Objects keep the order of the text; a name that appears twice is refused when reading.
class Json {
 public:
  using Array = std::vector<Json>;
  struct Object {
    std::vector<Json> members;  ///< each with its name
  };

  Json() = default;
  template <class T>
  explicit Json(T value) : value_(std::move(value)) {}

  std::string name;  ///< in the object that it is a member of

  /// The value as a T (bool, int64, double, string, Array, Object), or nullptr when it is something else.
  template <class T>
  [[nodiscard]] T const* get() const {
    return std::get_if<T>(&value_);
  }
  [[nodiscard]] bool is_null() const { return std::holds_alternative<std::nullptr_t>(value_); }

  /// The member called `wanted`, or nullptr when there is none or when this is not an object. Cost: linear.
  [[nodiscard]] Json const* find(std::string_view wanted) const;

  /// The value as JSON text, cut after about `limit` characters: for messages.
  [[nodiscard]] std::string text(std::size_t limit = 60) const;

 private:
  std::variant<std::nullptr_t, bool, std::int64_t, double, std::string, Array, Object> value_ = nullptr;
};

inline Json const* Json::find(std::string_view wanted) const {
  if (auto const* object = get<Object>())
    for (Json const& member : object->members)
      if (member.name == wanted) return &member;
  return nullptr;
}

/// `text` as a JSON string, quotes included; of a longer one only the first `limit` bytes: for messages. Valid UTF-8:
/// bytes that are none become U+FFFD.
inline std::string json_quote(std::string_view text, std::size_t limit = std::string_view::npos) {
  std::string out = "\"";
  for (char const c : replace_invalid_utf8(utf8_prefix(text, limit))) {
    auto const byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (byte < 0x20) {
      constexpr char const* hex = "0123456789abcdef";
      out += std::string("\\u00") + hex[byte >> 4] + hex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + (text.size() > limit ? "...\"" : "\"");
}

/// A number as JSON text: shortest of the usual forms, never "nan" or "inf" (those become null).
inline std::string json_number(double number) {
  if (number != number || number - number != 0) return "null";
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.precision(10);
  out << number;
  return out.str();
}

inline std::string Json::text(std::size_t limit) const {
  std::string out;
  if (is_null()) out = "null";
  if (auto const* flag = get<bool>()) out = *flag ? "true" : "false";
  if (auto const* integer = get<std::int64_t>()) out = std::to_string(*integer);
  if (auto const* number = get<double>()) out = json_number(*number);
  if (auto const* string = get<std::string>()) out = json_quote(*string);
  if (auto const* array = get<Array>()) {
    for (std::size_t i = 0; i < array->size() && out.size() <= limit; ++i)
      out += (i ? ", " : "") + (*array)[i].text(limit);
    out = "[" + out + "]";
  }
  if (auto const* object = get<Object>()) {
    for (Json const& member : object->members)
      if (out.size() <= limit) out += (out.empty() ? "" : ", ") + json_quote(member.name) + ": " + member.text(limit);
    out = "{" + out + "}";
  }
  if (out.size() > limit) out = std::string(utf8_prefix(out, limit)) + "...";
  return out;
}

/// Reads one JSON text. Strict: no comments, no trailing commas, no duplicate names, valid UTF-8 only, at most 64
/// levels deep. Integers that fit are std::int64_t, every other number is a double. Errors name the byte offset.
class JsonReader {
 public:
  /// Throws BadInput ("<source> is not valid JSON: expected ',' or ']' at byte 17").
  [[nodiscard]] static Json read(std::string_view text, std::string const& source) {
    JsonReader reader{text, source};
    reader.skip_space();
    Json value = reader.value(0);
    reader.skip_space();
    if (reader.at_ != text.size()) reader.fail("expected the end of the text");
    return value;
  }

 private:
  static constexpr int max_depth = 64;

  JsonReader(std::string_view text, std::string const& source) : text_(text), source_(source) {}

  [[noreturn]] void fail(std::string const& what) const {
    throw BadInput(source_ + " is not valid JSON: " + what + " at byte " + std::to_string(at_) + ".");
  }

  [[nodiscard]] bool done() const { return at_ >= text_.size(); }
  [[nodiscard]] char peek() const { return done() ? '\0' : text_[at_]; }
  bool take(char c) {
    if (done() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void skip_space() {
    while (!done() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
  }

  Json value(int depth) {
    if (depth > max_depth) fail("more than 64 levels of nesting");
    switch (peek()) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return Json(string());
      case 't':
        return word("true", Json(true));
      case 'f':
        return word("false", Json(false));
      case 'n':
        return word("null", Json());
      default:
        return number();
    }
  }

  Json word(std::string_view expected, Json value) {
    if (text_.substr(at_, expected.size()) != expected) fail("expected a value");
    at_ += expected.size();
    return value;
  }

  Json array(int depth) {
    Json::Array elements;
    ++at_;
    skip_space();
    if (take(']')) return Json(std::move(elements));
    do {
      skip_space();
      elements.push_back(value(depth + 1));
      skip_space();
    } while (take(','));
    if (!take(']')) fail("expected ',' or ']'");
    return Json(std::move(elements));
  }

  Json object(int depth) {
    Json::Object object;
    ++at_;
    skip_space();
    if (take('}')) return Json(std::move(object));
    do {
      skip_space();
      if (peek() != '"') fail("expected a name in quotes");
      std::string name = string();
      skip_space();
      if (!take(':')) fail("expected ':'");
      skip_space();
      object.members.push_back(value(depth + 1));
      object.members.back().name = std::move(name);
      skip_space();
    } while (take(','));
    if (!take('}')) fail("expected ',' or '}'");
    refuse_duplicates(object);
    return Json(std::move(object));
  }

  void refuse_duplicates(Json::Object const& object) const {
    std::vector<std::string_view> names;
    for (Json const& member : object.members) names.push_back(member.name);
    std::sort(names.begin(), names.end());
    auto const twice = std::adjacent_find(names.begin(), names.end());
    if (twice != names.end()) fail("the name " + json_quote(*twice, 60) + " appears twice in the object that ends");
  }

  bool take_digits() {
    std::size_t const begin = at_;
    while (!done() && peek() >= '0' && peek() <= '9') ++at_;
    return at_ > begin;
  }

  Json number() {
    std::size_t const begin = at_;
    take('-');
    bool const leading_zero = peek() == '0';
    std::size_t const digits = at_;
    if (!take_digits()) fail("expected a value");
    if (leading_zero && at_ - digits > 1) fail("a number must not begin with a zero, which ends");
    bool whole = true;
    if (take('.')) {
      whole = false;
      if (!take_digits()) fail("expected a digit");
    }
    if (take('e') || take('E')) {
      whole = false;
      if (!take('+')) take('-');
      if (!take_digits()) fail("expected a digit");
    }
    std::string_view const spelled = text_.substr(begin, at_ - begin);
    std::int64_t integer = 0;
    if (whole && std::from_chars(spelled.data(), spelled.data() + spelled.size(), integer).ec == std::errc{})
      return Json(integer);
    std::istringstream in{std::string(spelled)};  // from_chars for double is missing from some standard libraries
    in.imbue(std::locale::classic());
    double real = 0;
    if (!(in >> real)) fail("a number is too large, which ends");
    return Json(real);
  }

  std::uint32_t hex4() {
    std::uint32_t code = 0;
    std::string_view const spelled = text_.substr(at_, 4);
    char const* const end = spelled.data() + spelled.size();
    auto const result = std::from_chars(spelled.data(), end, code, 16);
    if (spelled.size() != 4 || result.ptr != end || result.ec != std::errc{}) fail("expected four hexadecimal digits");
    at_ += 4;
    return code;
  }

  void escape(std::string& out) {
    constexpr std::string_view names = "\"\\/bfnrt";
    constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
    auto const which = done() ? std::string_view::npos : names.find(peek());
    if (which != std::string_view::npos) {
      out += meanings[which];
      ++at_;
      return;
    }
    if (!take('u')) fail("unknown escape");
    std::uint32_t code = hex4();
    if (code >= 0xDC00 && code <= 0xDFFF) fail("the second half of a surrogate pair without the first, which ends");
    if (code >= 0xD800 && code <= 0xDBFF) {
      bool const second = take('\\') && take('u');
      std::uint32_t const low = second ? hex4() : 0;
      if (low < 0xDC00 || low > 0xDFFF) fail("the first half of a surrogate pair without the second");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, code);
  }

  std::string string() {
    std::string out;
    ++at_;
    while (true) {
      if (done()) fail("a string without an end");
      char const c = peek();
      if (take('"')) return out;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      if (take('\\')) {
        escape(out);
      } else {
        std::size_t const bytes = first_code_point(text_.substr(at_)).bytes;
        if (bytes == 0) fail("invalid UTF-8");
        out += text_.substr(at_, bytes);
        at_ += bytes;
      }
    }
  }

  std::string_view text_;
  std::string const& source_;
  std::size_t at_ = 0;
};

}  // namespace serve
