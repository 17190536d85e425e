// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Small random models of every supported kind, as files, for tests of the engine.

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <folio/quantizer/float_formats.hpp>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bad_input.hpp"
#include "engine.hpp"
#include "fuzz_seeds.hpp"
#include "model/llama.hpp"
#include "scratch_folder.hpp"
#include "support/catch.hpp"

namespace serve::test {

inline constexpr std::int32_t hidden = 48, heads = 4, kv_heads = 2, intermediate = 64, layers = 2, vocab = 50,
                              context = 160;

/// What a random model is like.
struct Kind {
  std::string architecture = "LlamaForCausalLM";
  std::string config = {};  ///< more members of config.json, each with a comma after it
  std::string dtype = "F32";
  std::int32_t head_dim = 32;
  bool tied = false, shards = false;
  std::int32_t num_layers = layers;
  std::string scaled = {};  ///< a tensor whose numbers are multiplied by `scale`
  float scale = 1;
  std::int64_t scaled_from = 0;        ///< ... from this one on
  std::vector<std::string> more = {};  ///< tensors besides, all of them [vocab, hidden]
};

/// A window in some layers, in no order that repeats.
inline Kind hybrid(std::string const& architecture = "MistralForCausalLM") {
  return {.architecture = architecture,
          .config = R"("use_sliding_window": true, "sliding_window": 20, "layer_types": ["sliding_attention",
              "full_attention", "full_attention", "sliding_attention", "sliding_attention"], )",
          .num_layers = 5};
}

/// Tensors as they are written to safetensors files: names, shapes and random numbers that depend on nothing but their
/// place.
class Writer {
 public:
  explicit Writer(Kind const& kind) : kind_(kind) {}

  void add(std::string const& name, std::vector<std::int64_t> const& shape, float scale, float offset = 0) {
    std::int64_t n = 1;
    std::string dims;
    for (std::int64_t const d : shape) {
      n *= d;
      dims += (dims.empty() ? "" : ", ") + std::to_string(d);
    }
    std::size_t const begin = data_.size();
    for (std::int64_t i = 0; i < n; ++i)
      put((name == kind_.scaled && i >= kind_.scaled_from ? kind_.scale : 1) * (offset + scale * next()));
    header_ += (header_.empty() ? "\"" : ", \"") + name + R"(": {"dtype": ")" + kind_.dtype + R"(", "shape": [)" +
               dims + R"(], "data_offsets": [)" + std::to_string(begin) + ", " + std::to_string(data_.size()) + "]}";
    names_.push_back(name);
  }

  /// Writes what was added since the last time. The header's length is odd now and then, so tensors are not always
  /// aligned.
  std::vector<std::string> write(std::filesystem::path const& path) {
    std::string const file = safetensors_file("{" + header_ + "}", 0) + data_;
    std::ofstream(path, std::ios::binary) << file;
    header_.clear();
    data_.clear();
    return std::exchange(names_, {});
  }

 private:
  float next() {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<float>(static_cast<double>(state_ >> 40) / (1 << 23) - 1.0);
  }
  void put(float value) {
    if (kind_.dtype == "F32") return append(&value, 4);
    std::uint16_t const half = kind_.dtype == "F16" ? folio::f32_to_f16(value) : folio::f32_to_bf16(value);
    append(&half, 2);
  }
  void append(void const* bytes, std::size_t n) { data_.append(static_cast<char const*>(bytes), n); }

  Kind kind_;
  std::string header_, data_;
  std::vector<std::string> names_;
  std::uint64_t state_ = 1;
};

/// Writes a model directory: config.json, and the tensors that it asks for, with numbers that follow from their order.
/// tests/serve/compare_with_transformers.py writes the same.
inline void write_model(std::filesystem::path const& path, std::string const& config_text, Kind const& kind = {}) {
  std::ofstream(path / "config.json") << config_text;
  LlamaConfig const config = read_llama_config(config_text, "the test's config.json");
  Writer writer(kind);
  writer.add("model.embed_tokens.weight", {config.vocab, config.hidden}, 1);
  writer.add("model.norm.weight", {config.hidden}, 0.2f, 1);
  if (!config.tied_embeddings) writer.add("lm_head.weight", {config.vocab, config.hidden}, 0.5f);
  std::string map;
  auto const flush = [&](std::string const& file) {
    for (std::string const& name : writer.write(path / file))
      map += (map.empty() ? "\"" : ", \"") + name + R"(": ")" + file + "\"";
  };
  if (kind.shards) flush("a.safetensors");
  std::int64_t const width = config.hidden, inner = config.intermediate;
  std::int64_t const q_rows = std::int64_t{config.heads} * config.head_dim;
  std::int64_t const kv_rows = std::int64_t{config.kv_heads} * config.head_dim;
  for (std::int32_t l = 0; l < config.layers; ++l) {
    std::string const name = "model.layers." + std::to_string(l) + ".";
    auto const linear = [&](std::string const& layer, std::int64_t rows, std::int64_t cols, bool bias) {
      writer.add(name + layer + ".weight", {rows, cols}, 1.5f / std::sqrt(static_cast<float>(cols)));
      if (bias) writer.add(name + layer + ".bias", {rows}, 0.5f);
    };
    writer.add(name + "input_layernorm.weight", {width}, 0.2f, 1);
    writer.add(name + "post_attention_layernorm.weight", {width}, 0.2f, 1);
    linear("self_attn.q_proj", q_rows, width, config.qkv_bias);
    linear("self_attn.k_proj", kv_rows, width, config.qkv_bias);
    linear("self_attn.v_proj", kv_rows, width, config.qkv_bias);
    linear("self_attn.o_proj", width, q_rows, config.o_bias);
    if (config.qk_norm) {
      writer.add(name + "self_attn.q_norm.weight", {config.head_dim}, 0.3f, 1);
      writer.add(name + "self_attn.k_norm.weight", {config.head_dim}, 0.3f, 1);
    }
    linear("mlp.gate_proj", inner, width, config.mlp_bias);
    linear("mlp.up_proj", inner, width, config.mlp_bias);
    linear("mlp.down_proj", width, inner, config.mlp_bias);
  }
  for (std::string const& name : kind.more) writer.add(name, {config.vocab, width}, 0.5f);
  flush(kind.shards ? "b.safetensors" : "model.safetensors");
  if (kind.shards) std::ofstream(path / "model.safetensors.index.json") << "{\"weight_map\": {" << map << "}}";
}

/// A model directory that goes with the test.
class ModelFolder {
 public:
  explicit ModelFolder(Kind const& kind) {
    std::ostringstream config;
    config << "{" << kind.config
           << (kind.config.find("eos_token_id") == std::string::npos ? R"("eos_token_id": null, )" : "")
           << R"("architectures": [")" << kind.architecture << R"("], "hidden_size": )" << hidden
           << R"(, "intermediate_size": )" << intermediate << R"(, "num_hidden_layers": )" << kind.num_layers
           << R"(, "num_attention_heads": )" << heads << R"(, "num_key_value_heads": )" << kv_heads
           << R"(, "head_dim": )" << kind.head_dim << R"(, "vocab_size": )" << vocab
           << R"(, "max_position_embeddings": )" << context << R"(, "tie_word_embeddings": )"
           << (kind.tied ? "true" : "false") << "}";
    write_model(folder_.path(), config.str(), kind);
  }
  [[nodiscard]] std::filesystem::path const& path() const { return folder_.path(); }

 private:
  ScratchFolder folder_;
};

/// Looks on, and sees that no more memory is in use than there is.
struct Silent final : Observer {
  std::int64_t tokens = 0, steps = 0;
  Progress last;
  void on_token(DrawIndex, std::int32_t) override { ++tokens; }
  void on_step(Progress const& progress) override {
    ++steps;
    last = progress;
    REQUIRE(progress.live_bytes + progress.kept_bytes <= progress.bytes);
  }
};

/// The least memory in which these requests run: that of the longest, and the null block.
inline std::int64_t least_memory(Llama const& model, std::vector<Tokens> const& prompts, EngineOptions options,
                                 std::string_view quantizer = "f32") {
  options.memory_bytes = 1;
  try {
    (void)make_engine(quantizer, model, prompts, options);
  } catch (BadInput const& error) {
    std::string const text = error.what();
    std::string const before = "alone needs ";
    return std::stoll(text.substr(text.find(before) + before.size()));
  }
  FAIL("a budget of one byte was accepted");
  return 0;
}

}  // namespace serve::test
