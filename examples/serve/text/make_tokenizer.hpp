// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which tokenizer fits a model directory?

#include <filesystem>
#include <memory>
#include <string>

#include "../mapped_file.hpp"
#include "../model/llama_config.hpp"
#include "sentencepiece_tokenizer.hpp"
#include "tokenizer.hpp"
#include "tokenizer_json.hpp"

namespace serve {

/// The tokenizer that fits a model directory: SentencePiece for tokenizer.model where it was found, else
/// tokenizer.json, else bytes for 256 tokens, else the ids themselves, which say why. Throws BadInput when a file is
/// broken.
[[nodiscard]] inline std::unique_ptr<Tokenizer> make_tokenizer(std::filesystem::path const& directory,
                                                               LlamaConfig const& config) {
  auto const seen = [&](char const* file) { return std::filesystem::exists(directory / file); };
  auto const named = [&](char const* file) { return (directory / file).string(); };
#ifdef FOLIO_SERVE_SENTENCEPIECE
  if (seen("tokenizer.model")) return std::make_unique<SentencePieceTokenizer>(directory, config.vocab);
#endif
  std::string why;
  if (seen("tokenizer.json")) {
    std::string const file = named("tokenizer.json");
    try {
      return std::make_unique<TokenizerJson>(read_text(file, 256 << 20), file, config.vocab);
    } catch (UnsupportedTokenizer const& unsupported) {
      why = unsupported.what();
    }
  }
  if (seen("tokenizer.model")) {
    why += (why.empty() ? "" : ", and ") + named("tokenizer.model") + " is read by a serve built with SentencePiece";
  } else if (why.empty() && seen("vocab.json")) {
    why = named("vocab.json") + " is there without tokenizer.json, which serve reads";
  } else if (why.empty()) {
    if (config.vocab == 256) return std::make_unique<ByteTokenizer>();
    why = directory.string() + " has no tokenizer.json, and no tokenizer.model for a serve built with SentencePiece";
  }
  return std::make_unique<IdTokenizer>(config.vocab, why);
}

}  // namespace serve
