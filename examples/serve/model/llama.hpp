// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The forward pass of a Llama-family model. It does not know how keys and values are kept: attention is an argument.

#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <folio/thread_pool.hpp>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "../mapped_file.hpp"
#include "llama_config.hpp"
#include "matmul.hpp"
#include "rope.hpp"
#include "tensor_files.hpp"

namespace serve {

/// Where keys and values are kept and read. `attend(layer, q, k, v, out)` keeps the step's k and v,
/// [token][kv_head][dim], and writes for each query [token][head][dim] its attention over the tokens of its own
/// sequence so far.
template <class A>
concept Attention = requires(A& attend, std::int32_t layer, float const* in, float* out) {
  attend(layer, in, in, in, out);
};

/// One step's numbers, kept between steps so that no step allocates. One per thread that runs steps.
struct Activations {
  std::vector<float> hidden;  ///< [token][hidden]: after forward(), the last layer's output
  std::vector<float> normed, q, k, v, attended, gate, up, added;
  RopeTable rope;
};

/// A model's weights and its forward pass. Immutable after construction, so any number of threads may run steps at
/// once.
class Llama {
 public:
  /// Opens a model directory: config.json and the tensors. Throws BadInput with one sentence.
  explicit Llama(std::filesystem::path const& directory)
      : config_(read_configs(directory)), files_(directory), frequencies_(rope_frequencies(config_)) {
    std::int64_t const hidden = config_.hidden;
    embedding_ = files_.matrix("model.embed_tokens.weight", config_.vocab, hidden);
    // A file may hold another output layer than its config says: then that is the model's.
    bool const tied = config_.tied_embeddings && !files_.contains("lm_head.weight");
    output_.weight = tied ? embedding_ : files_.matrix("lm_head.weight", config_.vocab, hidden);
    norm_ = files_.vector("model.norm.weight", hidden);
    for (std::int32_t l = 0; l < config_.layers; ++l)
      layers_.push_back(load_layer("model.layers." + std::to_string(l) + "."));
    refuse_unused();
  }

  [[nodiscard]] LlamaConfig const& config() const { return config_; }

  /// A clause about the first weight of the model that is NaN or infinite; empty when all are finite. Cost: reads all
  /// weights.
  [[nodiscard]] std::string first_not_finite() const { return files_.first_not_finite(); }

  /// Runs `tokens`, which stand at `positions` of their sequences, through all layers. The result is a.hidden.
  template <Attention A>
  void forward(std::span<std::int32_t const> tokens, std::span<std::int32_t const> positions, A&& attend,
               Activations& a, folio::ThreadPool* threads) const {
    auto const num_tokens = static_cast<std::int64_t>(tokens.size());
    resize(a, num_tokens);
    a.rope.fill(positions, frequencies_, static_cast<float>(config_.rope_scaling.attention_factor));
    for (std::int64_t t = 0; t < num_tokens; ++t)
      widen(embedding_.type, embedding_.row(tokens[static_cast<std::size_t>(t)]), config_.hidden,
            a.hidden.data() + t * config_.hidden);
    for (std::int32_t l = 0; l < config_.layers; ++l) {
      Layer const& layer = layers_[static_cast<std::size_t>(l)];
      rms_norm(a.hidden, layer.attention_norm, a.normed);
      project(layer, num_tokens, a, threads);
      attend(l, a.q.data(), a.k.data(), a.v.data(), a.attended.data());
      matmul(layer.o, a.attended.data(), num_tokens, a.added.data(), threads);
      add(a.added, a.hidden);
      rms_norm(a.hidden, layer.mlp_norm, a.normed);
      matmul(layer.gate, a.normed.data(), num_tokens, a.gate.data(), threads);
      matmul(layer.up, a.normed.data(), num_tokens, a.up.data(), threads);
      folio::parallel_for(threads, num_tokens, [&](std::int64_t t) { multiply_by_gate(a, t); });
      matmul(layer.down, a.gate.data(), num_tokens, a.added.data(), threads);
      add(a.added, a.hidden);
    }
  }

  /// The logits after some of the step's tokens, [row][vocab]; `rows` are their indices in the step.
  void logits(std::span<std::int64_t const> rows, Activations& a, std::vector<float>& out,
              folio::ThreadPool* threads) const {
    auto const hidden = static_cast<std::size_t>(config_.hidden);
    std::vector<float> chosen;
    for (std::int64_t const row : rows) {
      float const* const begin = a.hidden.data() + row * config_.hidden;
      chosen.insert(chosen.end(), begin, begin + hidden);
    }
    a.normed.resize(chosen.size());
    rms_norm(chosen, norm_, a.normed);
    out.resize(rows.size() * static_cast<std::size_t>(config_.vocab));
    matmul(output_, a.normed.data(), static_cast<std::int64_t>(rows.size()), out.data(), threads);
  }

 private:
  struct Layer {
    std::vector<float> attention_norm, mlp_norm, q_norm, k_norm;
    Linear q, k, v, o, gate, up, down;
  };

  static LlamaConfig read_configs(std::filesystem::path const& directory) {
    if (!std::filesystem::is_directory(directory))
      throw BadInput("There is no directory " + directory.string() + ", where the model should be.");
    auto const path = directory / "config.json", generation = directory / "generation_config.json";
    LlamaConfig config = read_llama_config(read_text(path, 16 << 20), path.string());
    if (std::filesystem::exists(generation))
      read_generation_config(read_text(generation, 16 << 20), generation.string(), config);
    return config;
  }

  Linear load_linear(std::string const& name, std::int64_t rows, std::int64_t cols, bool bias) {
    Linear linear{files_.matrix(name + ".weight", rows, cols), {}};
    if (bias) linear.bias = files_.vector(name + ".bias", rows);
    return linear;
  }

  /// Throws BadInput for a tensor that would change the numbers of this model's layers, had anybody asked for it. What
  /// older files keep of RoPE, and layers beyond the config's, are none.
  void refuse_unused() const {
    for (std::string const& name : files_.unused()) {
      std::string_view place = name;
      std::string_view const layers = "model.layers.";
      if (place.ends_with(".rotary_emb.inv_freq")) continue;
      if (place.starts_with(layers)) {
        place.remove_prefix(layers.size());
        std::int32_t layer = 0;
        auto const [end, error] = std::from_chars(place.data(), place.data() + place.size(), layer);
        if (error != std::errc{} || *end != '.' || layer >= config_.layers) continue;
      } else if (!place.starts_with("lm_head.") && !place.starts_with("model.norm.") &&
                 !place.starts_with("model.embed_tokens.")) {
        continue;
      }
      throw BadInput("The tensor " + name + " has no place in a " + config_.architecture +
                     " as config.json describes it" +
                     (place.ends_with(".bias") ? ", where attention_bias and mlp_bias announce biases" : "") + ".");
    }
  }

  Layer load_layer(std::string const& name) {
    std::int64_t const hidden = config_.hidden, intermediate = config_.intermediate, dim = config_.head_dim;
    Layer layer;
    layer.attention_norm = files_.vector(name + "input_layernorm.weight", hidden);
    layer.mlp_norm = files_.vector(name + "post_attention_layernorm.weight", hidden);
    if (config_.qk_norm) {
      layer.q_norm = files_.vector(name + "self_attn.q_norm.weight", dim);
      layer.k_norm = files_.vector(name + "self_attn.k_norm.weight", dim);
    }
    layer.q = load_linear(name + "self_attn.q_proj", config_.heads * dim, hidden, config_.qkv_bias);
    layer.k = load_linear(name + "self_attn.k_proj", config_.kv_heads * dim, hidden, config_.qkv_bias);
    layer.v = load_linear(name + "self_attn.v_proj", config_.kv_heads * dim, hidden, config_.qkv_bias);
    layer.o = load_linear(name + "self_attn.o_proj", hidden, config_.heads * dim, config_.o_bias);
    layer.gate = load_linear(name + "mlp.gate_proj", intermediate, hidden, config_.mlp_bias);
    layer.up = load_linear(name + "mlp.up_proj", intermediate, hidden, config_.mlp_bias);
    layer.down = load_linear(name + "mlp.down_proj", hidden, intermediate, config_.mlp_bias);
    return layer;
  }

  void resize(Activations& a, std::int64_t num_tokens) const {
    auto const fit = [num_tokens](std::vector<float>& v, std::int64_t width) {
      v.resize(static_cast<std::size_t>(num_tokens * width));
    };
    for (std::vector<float>* v : {&a.hidden, &a.normed, &a.added}) fit(*v, config_.hidden);
    for (std::vector<float>* v : {&a.q, &a.attended}) fit(*v, std::int64_t{config_.heads} * config_.head_dim);
    for (std::vector<float>* v : {&a.k, &a.v}) fit(*v, std::int64_t{config_.kv_heads} * config_.head_dim);
    for (std::vector<float>* v : {&a.gate, &a.up}) fit(*v, config_.intermediate);
  }

  /// Queries, keys and values of the step, normed (if the model does) and rotated to their positions.
  void project(Layer const& layer, std::int64_t num_tokens, Activations& a, folio::ThreadPool* threads) const {
    matmul(layer.q, a.normed.data(), num_tokens, a.q.data(), threads);
    matmul(layer.k, a.normed.data(), num_tokens, a.k.data(), threads);
    matmul(layer.v, a.normed.data(), num_tokens, a.v.data(), threads);
    if (config_.qk_norm) {
      rms_norm(a.q, layer.q_norm, a.q);
      rms_norm(a.k, layer.k_norm, a.k);
    }
    std::int64_t const half = config_.head_dim / 2;
    for (auto const& [x, heads] : {std::pair(&a.q, config_.heads), std::pair(&a.k, config_.kv_heads)})
      for (std::int64_t i = 0; i < num_tokens * heads; ++i)
        rotate(x->data() + i * config_.head_dim, a.rope.cosines.data() + i / heads * half,
               a.rope.sines.data() + i / heads * half, config_.head_dim);
  }

  /// Every run of weight.size() elements of `x`, divided by its root mean square and scaled. `x` and `out` may be the
  /// same.
  void rms_norm(std::vector<float> const& x, std::vector<float> const& weight, std::vector<float>& out) const {
    std::size_t const n = weight.size();
    for (std::size_t begin = 0; begin < x.size(); begin += n) {
      float const* const row = x.data() + begin;
      float const mean = dot(row, row, static_cast<std::int64_t>(n)) / static_cast<float>(n);
      float const scale = 1 / std::sqrt(mean + static_cast<float>(config_.rms_norm_eps));
      for (std::size_t i = 0; i < n; ++i) out[begin + i] = row[i] * scale * weight[i];
    }
  }

  /// gate = silu(gate) * up, for one token.
  void multiply_by_gate(Activations& a, std::int64_t token) const {
    float* const gate = a.gate.data() + token * config_.intermediate;
    float const* const up = a.up.data() + token * config_.intermediate;
    for (std::int64_t i = 0; i < config_.intermediate; ++i) gate[i] = gate[i] / (1 + std::exp(-gate[i])) * up[i];
  }

  static void add(std::vector<float> const& x, std::vector<float>& to) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += x[i];
  }

  LlamaConfig config_;
  TensorFiles files_;
  std::vector<float> frequencies_;
  Matrix embedding_;
  Linear output_;
  std::vector<float> norm_;
  std::vector<Layer> layers_;
};

}  // namespace serve
