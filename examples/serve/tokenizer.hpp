// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Text to tokens and back: bytes for a model of 256 tokens, SentencePiece where it was found, else the ids themselves.

#include <charconv>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bad_input.hpp"
#include "json.hpp"
#include "llama_config.hpp"
#include "mapped_file.hpp"

#ifdef FOLIO_SERVE_SENTENCEPIECE
#include <sentencepiece_processor.h>
#endif

namespace serve {

/// Turns prompts into tokens and tokens into text.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  [[nodiscard]] virtual std::string_view name() const = 0;
  [[nodiscard]] virtual std::vector<std::int32_t> encode(std::string_view text) const = 0;
  [[nodiscard]] virtual std::string decode(std::span<std::int32_t const> tokens) const = 0;
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

/// A token is its number, between spaces. For models whose tokenizer this program cannot read.
class IdTokenizer final : public Tokenizer {
 public:
  explicit IdTokenizer(std::int32_t vocab) : vocab_(vocab) {}

  [[nodiscard]] std::string_view name() const override { return "token ids"; }
  [[nodiscard]] bool prompt_per_line() const override { return true; }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> tokens;
    constexpr std::string_view space = " \t\r,";
    for (std::size_t at = text.find_first_not_of(space); at != std::string_view::npos;
         at = text.find_first_not_of(space, at)) {
      std::string_view const word = text.substr(at, text.find_first_of(space, at) - at);
      std::int32_t token = 0;
      auto const result = std::from_chars(word.data(), word.data() + word.size(), token);
      if (result.ec != std::errc{} || result.ptr != word.data() + word.size() || token < 0 || token >= vocab_)
        throw BadInput("The prompt has " + json_quote(word, 40) + " where a token id from 0 to " +
                       std::to_string(vocab_ - 1) +
                       " should be: this model directory has no tokenizer that serve can read, so " +
                       "each line of the prompt file is a list of token ids.");
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
};

#ifdef FOLIO_SERVE_SENTENCEPIECE
/// tokenizer.model, read by SentencePiece. A prompt begins with the model's BOS token unless tokenizer_config.json says
/// no.
class SentencePieceTokenizer final : public Tokenizer {
 public:
  SentencePieceTokenizer(std::filesystem::path const& directory, std::int32_t vocab) {
    std::string const path = (directory / "tokenizer.model").string();
    if (!processor_.Load(path).ok()) throw BadInput(path + " is not a SentencePiece model.");
    if (processor_.GetPieceSize() > vocab)
      throw BadInput(path + " has " + std::to_string(processor_.GetPieceSize()) +
                     " pieces, but the model's vocab_size is " + std::to_string(vocab) + ".");
    auto const config_path = directory / "tokenizer_config.json";
    if (!std::filesystem::exists(config_path)) return;
    Json const json = JsonReader::read(read_text(config_path, 64 << 20), config_path.string());
    add_bos_ = ConfigReader(json, config_path.string()).boolean("add_bos_token", true);
  }

  [[nodiscard]] std::string_view name() const override { return "SentencePiece"; }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<int> ids;
    if (!processor_.Encode(std::string(text), &ids).ok()) throw BadInput("SentencePiece cannot encode a prompt.");
    std::vector<std::int32_t> tokens(ids.begin(), ids.end());
    if (add_bos_ && processor_.bos_id() >= 0) tokens.insert(tokens.begin(), processor_.bos_id());
    return tokens;
  }
  [[nodiscard]] std::string decode(std::span<std::int32_t const> tokens) const override {
    std::vector<int> ids;  // a vocabulary may be padded beyond the tokenizer's pieces
    for (std::int32_t const token : tokens)
      if (token < processor_.GetPieceSize()) ids.push_back(token);
    std::string text;
    return processor_.Decode(ids, &text).ok() ? text : std::string{};
  }

 private:
  sentencepiece::SentencePieceProcessor processor_;
  bool add_bos_ = true;
};
#endif

/// The tokenizer that fits a model directory. Throws BadInput when tokenizer.model cannot be used.
[[nodiscard]] inline std::unique_ptr<Tokenizer> make_tokenizer(std::filesystem::path const& directory,
                                                               LlamaConfig const& config) {
#ifdef FOLIO_SERVE_SENTENCEPIECE
  if (std::filesystem::exists(directory / "tokenizer.model"))
    return std::make_unique<SentencePieceTokenizer>(directory, config.vocab);
#endif
  bool const has_tokenizer =
      std::filesystem::exists(directory / "tokenizer.model") || std::filesystem::exists(directory / "tokenizer.json");
  if (config.vocab == 256 && !has_tokenizer) return std::make_unique<ByteTokenizer>();
  return std::make_unique<IdTokenizer>(config.vocab);
}

}  // namespace serve
