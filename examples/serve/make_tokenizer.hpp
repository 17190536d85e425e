// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which tokenizer fits a model directory?

#include <filesystem>
#include <memory>

#include "llama_config.hpp"
#include "sentencepiece_tokenizer.hpp"
#include "tokenizer.hpp"

namespace serve {

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
