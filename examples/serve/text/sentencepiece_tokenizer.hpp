// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// tokenizer.model, for a build that found SentencePiece.

#ifdef FOLIO_SERVE_SENTENCEPIECE
#include <sentencepiece_processor.h>

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"
#include "../mapped_file.hpp"
#include "../model/llama_config.hpp"
#include "tokenizer.hpp"

namespace serve {

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
  /// SentencePiece itself would put U+FFFD in the place of what is not UTF-8.
  void check(std::string_view text) const override { check_utf8(text); }
  [[nodiscard]] std::vector<std::int32_t> encode(std::string_view text) const override {
    std::vector<std::int32_t> tokens = beginning();
    std::vector<std::int32_t> const plain = encode_plain(text);
    tokens.insert(tokens.end(), plain.begin(), plain.end());
    return tokens;
  }
  [[nodiscard]] std::vector<std::int32_t> encode_plain(std::string_view text) const override {
    check(text);
    std::vector<int> ids;
    if (!processor_.Encode(std::string(text), &ids).ok()) throw BadText("is no text to SentencePiece.");
    return {ids.begin(), ids.end()};
  }
  [[nodiscard]] std::vector<std::int32_t> beginning() const override {
    if (!add_bos_ || processor_.bos_id() < 0) return {};
    return {processor_.bos_id()};
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

}  // namespace serve
#endif
