// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Text to tokens and back: what every tokenizer does, bytes for a model of 256 tokens, and the ids themselves.

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"
#include "../utf8.hpp"

namespace serve {

/// A tokenizer's file is right, and of a kind that this program does not know. The message is no sentence yet: it is
/// said where ids are given up for text.
struct UnsupportedTokenizer : BadInput {
  using BadInput::BadInput;
};

/// A text that a tokenizer cannot read. The message lacks its subject, such as "Prompt 2 of FILE", which is put before
/// it by who knows what the text is: see name_text.
struct BadText : BadInput {
  using BadInput::BadInput;
};

/// What `read` returns. Throws BadInput that begins with `name`, the text's, where `read` throws BadText.
template <class Read>
auto name_text(std::string const& name, Read const& read) {
  try {
    return read();
  } catch (BadText const& bad) {
    throw BadInput(name + " " + bad.what());
  }
}

/// Throws BadText for a text that is not UTF-8.
inline void check_utf8(std::string_view text) {
  if (std::size_t const valid = valid_utf8_bytes(text); valid != text.size())
    throw BadText("is not UTF-8: no character begins at its byte " + std::to_string(valid) + ".");
}

/// Turns prompts into tokens and tokens into text.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  /// Throws BadText for bytes that are no text to it.
  virtual void check(std::string_view /*text*/) const {}
  /// Throws BadText for a text that it cannot read.
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  /// The same without the tokens that begin or end every prompt: for text that spells them.
  [[nodiscard]] virtual std::vector<std::int32_t> encode_plain(std::string_view text) const { return encode(text); }
  /// The same, where special tokens and those of `ids` are text as any other: for what a user says.
  [[nodiscard]] virtual std::vector<std::int32_t> encode_as_text(std::string_view text,
                                                                 std::span<std::int32_t const> /*ids*/) const {
    return encode_plain(text);
  }
  /// The tokens that begin every prompt.
  [[nodiscard]] virtual std::vector<std::int32_t> beginning() const { return {}; }
  /// Bytes: where the tokens end within a character, so do they.
  [[nodiscard]] virtual std::string decode(std::span<std::int32_t const> tokens) const = 0;
  /// A text in the normal form that it is encoded in. Takes any bytes, and keeps those that are no text.
  [[nodiscard]] virtual std::string normal_form(std::string_view text) const { return std::string(text); }
  /// The id of a text that is always one token, as <|im_start|> is; nothing for others.
  [[nodiscard]] virtual std::optional<std::int32_t> added_token(std::string_view /*text*/) const {
    return std::nullopt;
  }
  /// Whether added_token can give one.
  [[nodiscard]] virtual bool has_added_tokens() const { return false; }
  /// Whether each line of a prompt file is a prompt (ids), instead of texts between lines of "---".
  [[nodiscard]] virtual bool prompt_per_line() const { return false; }
};

/// A token is a byte.
class ByteTokenizer final : public Tokenizer {
 public:
  [[nodiscard]] std::string_view name() const override { return "bytes"; }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> tokens;
    for (char const c : text) tokens.push_back(static_cast<unsigned char>(c));
    return tokens;
  }
  [[nodiscard]] std::string decode(std::span<std::int32_t const> tokens) const override {
    std::string text;
    for (std::int32_t const token : tokens) text += static_cast<char>(static_cast<unsigned char>(token));
    return text;
  }
};

/// A token is its number, between spaces, newlines or commas. For models whose tokenizer this program cannot read:
/// `why`.
class IdTokenizer final : public Tokenizer {
 public:
  explicit IdTokenizer(std::int32_t vocab, std::string why = "this model directory has no tokenizer")
      : vocab_(vocab), why_(std::move(why)) {}

  /// Why this is no tokenizer of text: a sentence without its full stop.
  [[nodiscard]] std::string const& why() const { return why_; }
  [[nodiscard]] std::string_view name() const override { return "token ids"; }
  [[nodiscard]] bool prompt_per_line() const override { return true; }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> tokens;
    constexpr std::string_view space = " \t\r\n,";
    for (std::size_t at = text.find_first_not_of(space); at != std::string_view::npos;
         at = text.find_first_not_of(space, at)) {
      std::string_view const word = text.substr(at, text.find_first_of(space, at) - at);
      std::int32_t token = 0;
      auto const result = std::from_chars(word.data(), word.data() + word.size(), token);
      if (result.ec != std::errc{} || result.ptr != word.data() + word.size() || token < 0 || token >= vocab_)
        throw BadText("has " + json_quote(word, 40) + " where a token id from 0 to " + std::to_string(vocab_ - 1) +
                      " should be: " + why_ + ", so prompts are token ids, one prompt a line.");
      tokens.push_back(token);
      at += word.size();
    }
    return tokens;
  }
  [[nodiscard]] std::string decode(std::span<std::int32_t const> tokens) const override {
    std::string text;
    for (std::int32_t const token : tokens) text += std::to_string(token) + " ";
    return text;
  }

 private:
  std::int32_t vocab_;
  std::string why_;
};

}  // namespace serve
