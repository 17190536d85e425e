// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The readers of files that strangers wrote, as one fuzz target. Whatever they are given they either read it, and then
// what they say holds, or they throw BadInput with a sentence. Everything else is a bug: the target aborts.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "bad_input.hpp"
#include "fuzz_seeds.hpp"
#include "json.hpp"
#include "model/llama_config.hpp"
#include "model/rope.hpp"
#include "model/safetensors.hpp"
#include "model/tensor_files.hpp"
#include "text/tokenizer_json.hpp"
#include "utf8.hpp"

namespace {

void require(bool condition, char const* what) {
  if (condition) return;
  std::fprintf(stderr, "serve_fuzz: %s\n", what);
  std::abort();
}

/// Every tensor lies in the file, has as many bytes as it says, and overlaps no other.
void check_tensors(std::string const& file) {
  std::int64_t filled = 0;
  for (serve::TensorInfo const& tensor : serve::read_safetensors(std::as_bytes(std::span(file)), "fuzz")) {
    require(tensor.begin >= 8 && tensor.begin >= filled && tensor.end >= tensor.begin, "tensors overlap");
    require(tensor.end <= static_cast<std::int64_t>(file.size()), "a tensor ends after the file");
    auto const bytes = serve::dtype_bytes(tensor.dtype);
    require(bytes.has_value(), "an unknown dtype was accepted");
    bool const empty = std::find(tensor.shape.begin(), tensor.shape.end(), 0) != tensor.shape.end();
    long double size = static_cast<long double>(*bytes);
    for (std::int64_t const n : tensor.shape) size *= static_cast<long double>(n);
    require(empty ? tensor.end == tensor.begin : size == static_cast<long double>(tensor.end - tensor.begin),
            "a size does not match its shape");
    filled = tensor.end;
  }
}

/// The header, with as much data after it as its largest offset asks for: so that mutated headers get past the length
/// checks.
void check_header(std::string const& header) {
  std::int64_t data_bytes = 0;
  serve::Json const json = serve::JsonReader::read(header, "fuzz");
  if (auto const* object = json.get<serve::Json::Object>())
    for (serve::Json const& member : object->members) {
      serve::Json const* const offsets = member.find("data_offsets");
      auto const* array = offsets ? offsets->get<serve::Json::Array>() : nullptr;
      if (!array || array->empty()) continue;
      if (auto const* end = array->back().get<std::int64_t>()) data_bytes = std::max(data_bytes, *end);
    }
  check_tensors(
      serve::test::safetensors_file(header, static_cast<std::size_t>(std::min<std::int64_t>(data_bytes, 1 << 16))));
}

void check_config(std::string const& text) {
  serve::LlamaConfig const config = serve::read_llama_config(text, "fuzz");
  require(config.layers > 0 && config.heads > 0 && config.kv_heads > 0 && config.heads % config.kv_heads == 0,
          "a config without heads");
  require(config.head_dim > 0 && config.head_dim % 2 == 0 && config.hidden > 0 && config.vocab > 0 && config.window > 0,
          "a config without sizes");
  for (float const frequency : serve::rope_frequencies(config))
    require(std::isfinite(frequency), "a frequency that is not finite");
}

/// Ids are the model's, whatever is encoded; what is decoded can be shown.
void check_tokenizer(std::string const& file) {
  constexpr std::int32_t vocab = 1000;
  serve::TokenizerJson const tokenizer(file, "fuzz", vocab);
  std::string const text = serve::replace_invalid_utf8(file) + std::string(99, 'a') + " ab  x<s>\u0301\u00e3 12" +
                           serve::test::normal_token + std::string(2, '\0');
  std::vector<std::int32_t> const tokens = tokenizer.encode(text);
  for (std::vector<std::int32_t> const& ids : {tokens, tokenizer.encode_as_text(text, tokens)})
    for (std::int32_t const token : ids) require(token >= 0 && token < vocab, "a token outside of the vocabulary");
  require(!tokenizer.added_token(text + "\xFF"), "a token that is not UTF-8");
  std::string const shown = serve::replace_invalid_utf8(tokenizer.decode(tokens));
  require(serve::valid_utf8_bytes(shown) == shown.size(), "a text that is not UTF-8");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size == 0) return 0;
  std::string const text(reinterpret_cast<char const*>(data) + 1, size - 1);
  try {
    switch (static_cast<serve::test::Reader>(data[0] % serve::test::num_readers)) {
      case serve::test::Reader::json: {
        serve::Json const json = serve::JsonReader::read(text, "fuzz");
        require(json.text(80).size() <= 100, "a description that is not short");
        break;
      }
      case serve::test::Reader::safetensors:
        check_tensors(text);
        break;
      case serve::test::Reader::safetensors_header:
        check_header(text);
        break;
      case serve::test::Reader::config:
        check_config(text);
        break;
      case serve::test::Reader::shard_index:
        for (std::string const& name : serve::read_shard_names(text, "fuzz"))
          require(name.find('/') == std::string::npos && name != "..", "a shard outside of the directory");
        break;
      case serve::test::Reader::tokenizer:
        check_tokenizer(text);
        break;
    }
  } catch (serve::UnsupportedTokenizer const& unsupported) {
    require(std::string_view(unsupported.what()).size() > 10, "a message that says nothing");
  } catch (serve::BadInput const& error) {
    std::string_view const what = error.what();
    require(what.size() > 10 && what.size() < 2000 && what.find('\n') == std::string_view::npos,
            "a message that is not a sentence");
    require(what.ends_with('.'), "a message without its full stop");
  }
  return 0;
}
