// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// tokenizer.json, as the tokenizers package writes it: byte-level BPE, as of GPT-2, Llama 3, Qwen2 and SmolLM2.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"
#include "../model/llama_config.hpp"
#include "../utf8.hpp"
#include "added_tokens.hpp"
#include "byte_pairs.hpp"
#include "pre_tokenizer.hpp"
#include "tokenizer.hpp"
#include "unicode.hpp"

namespace serve {

/// Gives the ids that the tokenizers package gives. What changes ids and is not known is refused by name; truncation
/// and padding, which that package has off unless it is asked, are passed over. Thread-safe.
class TokenizerJson final : public Tokenizer {
 public:
  /// `text`: the file's; `vocab`: the model's, which all ids are below. Throws UnsupportedTokenizer for another kind,
  /// BadInput for a file that is broken.
  TokenizerJson(std::string_view text, std::string const& source, std::int32_t vocab)
      : TokenizerJson(ConfigReader{JsonReader::read(text, source), source}, vocab) {}

  [[nodiscard]] std::string_view name() const override { return "tokenizer.json"; }

  /// Throws BadText for a text that is not UTF-8, or too long for int32.
  void check(std::string_view text) const override {
    check_utf8(text);
    if (text.size() > std::size_t{std::numeric_limits<std::int32_t>::max()} / 4)  // which the normalizer may triple
      throw BadText("has " + std::to_string(text.size()) + " bytes, which is too long.");
  }

  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> tokens = before_;
    std::vector<std::int32_t> const plain = encode_plain(text);
    tokens.insert(tokens.end(), plain.begin(), plain.end());
    tokens.insert(tokens.end(), after_.begin(), after_.end());
    return tokens;
  }
  [[nodiscard]] std::vector<std::int32_t> encode_plain(std::string_view text) const override {
    std::vector<std::int32_t> tokens;
    append(
        text, [](AddedToken const&) { return false; }, tokens);
    return tokens;
  }
  /// As the package with encode_special_tokens.
  [[nodiscard]] std::vector<std::int32_t> encode_as_text(std::string_view text,
                                                         std::span<std::int32_t const> ids) const override {
    std::vector<std::int32_t> tokens;
    auto const is_text = [ids](AddedToken const& token) {
      return token.special || std::find(ids.begin(), ids.end(), token.id) != ids.end();
    };
    append(text, is_text, tokens);
    return tokens;
  }

  [[nodiscard]] std::vector<std::int32_t> beginning() const override { return before_; }

  /// Special tokens, and ids that the file does not have, are no text.
  [[nodiscard]] std::string decode(std::span<std::int32_t const> tokens) const override {
    std::string text;
    for (std::int32_t const token : tokens)
      if (token >= 0 && static_cast<std::size_t>(token) < texts_.size())
        text += texts_[static_cast<std::size_t>(token)];
    return text;
  }

  [[nodiscard]] std::string normal_form(std::string_view text) const override {
    return normal_form_c_ ? normal_form_c(text) : std::string(text);
  }

  [[nodiscard]] bool has_added_tokens() const override { return true; }
  [[nodiscard]] std::optional<std::int32_t> added_token(std::string_view text) const override {
    std::optional<std::int32_t> const id = added_.id_of(text);
    return id ? id : added_after_normalizer_.id_of(normal_form(text));
  }

 private:
  TokenizerJson(ConfigReader const& file, std::int32_t vocab)
      : bytes_(file, vocab), pieces_(file), normal_form_c_(false) {
    auto const part = [&](char const* field) {
      return ConfigReader{*file.present(field), file.source() + ": " + field};
    };
    if (file.present("normalizer")) normal_form_c_ = is_normal_form_c(part("normalizer"));
    if (file.present("decoder")) {
      ConfigReader const decoder = part("decoder");
      if (std::string const type = decoder.string("type", ""); type != "ByteLevel")
        refuse_type(decoder, type, "ByteLevel");
    }
    if (file.present("post_processor")) read_post_processor(part("post_processor"), vocab);
    read_texts(file.source(), read_added_tokens(file, vocab));
  }

  [[noreturn]] static void refuse_type(ConfigReader const& part, std::string const& type, std::string const& known) {
    throw UnsupportedTokenizer(part.source() + " has the type " + json_quote(type, 40) + "; serve knows " + known);
  }

  [[nodiscard]] static Json::Array const& list(ConfigReader const& fields, std::string const& field) {
    Json const* const value = fields.present(field);
    if (!value || !value->get<Json::Array>()) fields.refuse(field, "it should be a list");
    return *value->get<Json::Array>();
  }

  /// Whether a normalizer is NFC, or a Sequence of it.
  [[nodiscard]] static bool is_normal_form_c(ConfigReader const& normalizer) {
    std::string const type = normalizer.string("type", "");
    if (type == "NFC") return true;
    if (type != "Sequence") refuse_type(normalizer, type, "NFC");
    bool any = false;
    for (Json const& one : list(normalizer, "normalizers"))
      any = is_normal_form_c(ConfigReader{one, normalizer.source()}) || any;
    return any;
  }

  /// ByteLevel changes offsets alone. A template says what stands before and after a prompt.
  void read_post_processor(ConfigReader const& processor, std::int32_t vocab) {
    std::string const type = processor.string("type", "");
    if (type == "ByteLevel") return;
    if (type == "Sequence") {
      for (Json const& one : list(processor, "processors"))
        read_post_processor(ConfigReader{one, processor.source()}, vocab);
      return;
    }
    if (type != "TemplateProcessing" || has_template_)
      refuse_type(processor, type, "Sequence, ByteLevel and one TemplateProcessing");
    has_template_ = true;
    Json const* const special = processor.present("special_tokens");
    bool after = false;
    for (Json const& part : list(processor, "single")) {
      Json const* const sequence = part.find("Sequence");
      if (sequence && !after) {
        after = true;
        continue;
      }
      Json const* const token = part.find("SpecialToken");
      auto const* const name = token && token->find("id") ? token->find("id")->get<std::string>() : nullptr;
      Json const* const found = name && special ? special->find(*name) : nullptr;
      if (!found) processor.refuse("single", "it should be one Sequence and tokens of special_tokens");
      for (Json const& one : list(ConfigReader{*found, processor.source() + ": special_tokens"}, "ids")) {
        auto const* const id = one.get<std::int64_t>();
        if (!id || *id < 0 || *id >= vocab)
          processor.refuse("special_tokens", "its ids should be integers from 0 to " + std::to_string(vocab - 1));
        (after ? after_ : before_).push_back(static_cast<std::int32_t>(*id));
      }
    }
    if (!after) processor.refuse("single", "it should be one Sequence and tokens of special_tokens");
  }

  /// What each id is as text, and which texts are tokens before and after the normalizer.
  void read_texts(std::string const& source, std::vector<AddedToken> added) {
    std::vector<bool> known;  // by id
    auto const add = [&](std::int32_t id, std::string const& text) {
      auto const at = static_cast<std::size_t>(id);
      if (at >= known.size()) known.resize(at + 1), texts_.resize(at + 1);
      if (known[at] && texts_[at] != text)
        throw BadInput(source + " has two tokens of the id " + std::to_string(id) + ", " +
                       json_quote(replace_invalid_utf8(texts_[at]), 40) + " and " +
                       json_quote(replace_invalid_utf8(text), 40) + ".");
      known[at] = true;
      texts_[at] = text;
    };
    for (auto const& [id, text] : bytes_.tokens()) add(id, text);
    for (AddedToken const& token : added) {
      auto const at = static_cast<std::size_t>(token.id);
      bool const in_vocab = at < known.size() && known[at];  // as which it is spelled like all of them
      add(token.id, in_vocab ? bytes_of_spelling(token.content).value_or(token.content) : token.content);
    }
    for (AddedToken const& token : added)
      if (token.special) texts_[static_cast<std::size_t>(token.id)].clear();
    std::vector<AddedToken> before, after;
    for (AddedToken& token : added) {
      if (token.normalized) token.content = normal_form(token.content);
      (token.normalized ? after : before).push_back(std::move(token));
    }
    added_ = AddedTokenFinder(std::move(before), source);
    added_after_normalizer_ = AddedTokenFinder(std::move(after), source);
  }

  template <class IsText>
  void append(std::string_view text, IsText const& is_text, std::vector<std::int32_t>& tokens) const {
    check(text);
    auto const on_token = [&](std::int32_t id) { tokens.push_back(id); };
    auto const on_piece = [&](std::string_view piece) { bytes_.encode(piece, tokens); };
    added_.split(
        text, is_text,
        [&](std::string_view part) {
          std::string const normal = normal_form(part);
          added_after_normalizer_.split(
              normal, is_text, [&](std::string_view rest) { pieces_.split(rest, on_piece); }, on_token);
        },
        on_token);
  }

  BytePairs bytes_;
  PreTokenizer pieces_;
  bool normal_form_c_, has_template_ = false;
  std::vector<std::int32_t> before_, after_;  // of a prompt
  AddedTokenFinder added_, added_after_normalizer_;
  std::vector<std::string> texts_;  // by id
};

}  // namespace serve
