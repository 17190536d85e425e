// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Inputs that fuzzing begins with. The first byte says which reader gets the rest; see fuzz_readers.cpp.

#include <cstdint>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace serve::test {

/// A safetensors file: the header's length, the header, and `data_bytes` zeros.
inline std::string safetensors_file(std::string const& header, std::size_t data_bytes) {
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return file + header + std::string(data_bytes, '\0');
}

enum class Reader : char { json, safetensors, safetensors_header, config, shard_index, tokenizer };
inline constexpr int num_readers = 6;

/// A normal form of 30 bytes: of what it grows to by doubling none is left, so that a sanitizer sees who reads on.
inline constexpr char const* normal_token =
    "\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3\u00e3";

/// `text` for `reader`.
inline std::string fuzz_input(Reader reader, std::string const& text) {
  return std::string(1, static_cast<char>(reader)) + text;
}

/// The bundled model's own header and config, and edge cases made by hand.
inline std::vector<std::string> fuzz_seeds(std::string const& model_directory) {
  auto const file = [&](char const* name, std::size_t most) {
    std::ifstream in(model_directory + "/" + name, std::ios::binary);
    std::string bytes(most, '\0');
    in.read(bytes.data(), static_cast<std::streamsize>(most));
    bytes.resize(static_cast<std::size_t>(in.gcount()));
    return bytes;
  };
  std::string const config = file("config.json", 1 << 16), weights = file("model.safetensors", 8192);
  std::size_t const end = weights.rfind('}');
  std::string const header = end == std::string::npos ? "{}" : weights.substr(8, end - 7);
  std::vector<std::string> seeds = {fuzz_input(Reader::config, config), fuzz_input(Reader::safetensors, weights),
                                    fuzz_input(Reader::safetensors_header, header), fuzz_input(Reader::json, config)};
  for (
      char const* text :
      {R"({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "b": {"dtype": "BF16", "shape": [3], "data_offsets": [16, 22]}})",
       R"({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [2, 2], "data_offsets": [8, 24]}})",
       R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}, "a": {"dtype": "U8", "shape": [1], "data_offsets": [1, 2]}})",
       R"({"a": {"dtype": "F64", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}})",
       R"({"a": {"dtype": "F64", "shape": [9223372036854775807], "data_offsets": [0, 9223372036854775807]}})",
       R"({"a": {"dtype": "U8", "shape": [0, 9223372036854775807, 9223372036854775807], "data_offsets": [0, 0]}})",
       R"({"a": {"dtype": "U8", "shape": [1], "data_offsets": [9223372036854775806, 9223372036854775807]}})",
       R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [18446744073709551612, 18446744073709551616]}})",
       R"({"__metadata__": {"format": "pt"}, "a": {"dtype": "F16", "shape": [], "data_offsets": [0, 2]}})", "{}",
       "[]"}) {
    seeds.push_back(fuzz_input(Reader::safetensors_header, text));
    seeds.push_back(fuzz_input(Reader::safetensors, safetensors_file(text, 24)));
  }
  seeds.push_back(fuzz_input(Reader::safetensors, std::string("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10)));
  seeds.push_back(fuzz_input(Reader::safetensors, std::string("\x00\xE1\xF5\x05\0\0\0\0{}", 10)));
  seeds.push_back(fuzz_input(Reader::safetensors, "short"));
  seeds.push_back(fuzz_input(Reader::json, std::string(100000, '[')));
  seeds.push_back(fuzz_input(Reader::json, std::string(64, '[') + std::string(64, ']')));
  seeds.push_back(fuzz_input(
      Reader::json, R"(["\u0041\ud83d\ude00\n", -0.5e-3, 123456789012345678901234567890, 1e308, true, null])"));
  seeds.push_back(
      fuzz_input(Reader::shard_index,
                 R"({"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": "../x"}})"));
  seeds.push_back(
      fuzz_input(Reader::config, R"({"architectures": ["Qwen2ForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
      "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 512,
      "use_sliding_window": true, "sliding_window": 64, "max_window_layers": 0, "layer_types": ["sliding_attention", "sliding_attention"],
      "eos_token_id": [1, 2], "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}})"));
  for (
      char const* pieces :
      {R"({"type": "ByteLevel", "add_prefix_space": true})",
       R"({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, {"type": "ByteLevel", "add_prefix_space": false}]})"})
    seeds.push_back(fuzz_input(
        Reader::tokenizer,
        R"({"added_tokens": [{"id": 7, "content": "<s>", "special": true}, {"id": 8, "content": " x", "rstrip": true, "lstrip": true}],
        "normalizer": {"type": "NFC"}, "pre_tokenizer": )" +
            std::string(pieces) +
            R"(, "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [7], "tokens": ["<s>"]}}},
        "decoder": {"type": "ByteLevel"}, "model": {"type": "BPE", "ignore_merges": true, "vocab": {"a": 0, "b": 1, "\u0120": 2,
        "ab": 3, "abab": 4, "\u00c3": 5, "\u0120ab": 6}, "merges": ["a b", ["ab", "ab"], "\u0120 ab"]}})"));
  std::string const decomposed = std::string(normal_token).substr(2) + "a\u0303";
  seeds.push_back(fuzz_input(  // two added tokens that the normalizer makes one
      Reader::tokenizer,
      R"({"added_tokens": [{"id": 7, "content": ")" + std::string(normal_token) + R"("}, {"id": 8, "content": ")" +
          decomposed +
          R"("}], "normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
      "model": {"type": "BPE", "vocab": {"a": 0}, "merges": []}})"));
  seeds.push_back(
      fuzz_input(Reader::config, R"({"architectures": ["Qwen3ForCausalLM"], "hidden_size": 64, "intermediate_size": 128,
      "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": null, "vocab_size": 100, "attention_bias": true,
      "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "beta_fast": 8,
      "mscale": 2, "mscale_all_dim": 0.5, "truncate": false, "partial_rotary_factor": 1.0}})"));
  for (char const* const yarn : {R"("rope_theta": 1.0)", R"("rope_theta": 10000.0, "beta_fast": 1e-310)",
                                 R"("rope_theta": 1.0000001, "beta_slow": 1e-6, "beta_fast": 1e12)"})
    seeds.push_back(fuzz_input(
        Reader::config,
        R"({"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
      "num_attention_heads": 4, "vocab_size": 100, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "truncate": false, )" +
            std::string(yarn) + "}}"));
  return seeds;
}

}  // namespace serve::test
