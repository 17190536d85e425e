// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// config.json of a Llama-family model: the sizes, read strictly, and a clear refusal of whatever this program cannot
// run.

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "../bad_input.hpp"
#include "../json.hpp"

namespace serve {

/// How rotary frequencies are stretched beyond the context that the model was first trained on.
struct RopeScaling {
  enum class Kind : std::uint8_t { none, linear, llama3, yarn };
  Kind kind = Kind::none;
  double factor = 1;
  double low_freq_factor = 1, high_freq_factor = 4;  ///< llama3
  std::int64_t original_context = 8192;              ///< llama3 and yarn
  double beta_fast = 32, beta_slow = 1;              ///< yarn: turns in the original context that bound the blend
  bool truncate = true;                              ///< yarn: the blend's bounds are whole pairs of dims
  double attention_factor = 1;                       ///< yarn: what cosines and sines are multiplied by
};

/// What the forward pass and the cache need to know about a model.
struct LlamaConfig {
  static constexpr std::int32_t no_window = std::numeric_limits<std::int32_t>::max();

  std::string architecture;  ///< "LlamaForCausalLM", ...
  std::int32_t layers = 0, hidden = 0, intermediate = 0, vocab = 0;
  std::int32_t heads = 0, kv_heads = 0, head_dim = 0;
  std::int32_t context = 0;         ///< max_position_embeddings, or what yarn stretches it to
  std::int32_t window = no_window;  ///< tokens that a query sees in layers with a window, itself included
  std::vector<bool> windows;        ///< by layer: whether it has one
  double rms_norm_eps = 1e-6;
  double rope_theta = 10000;
  RopeScaling rope_scaling;
  bool tied_embeddings = false;           ///< the output layer is the embedding, where the file has no other
  bool qk_norm = false;                   ///< RMSNorm of every query and key head before RoPE (Qwen3)
  std::vector<std::int32_t> stop_tokens;  ///< eos_token_id
  bool qkv_bias = false, o_bias = false, mlp_bias = false;  ///< biases of these linear layers

  [[nodiscard]] bool has_window(std::int32_t layer) const { return windows[static_cast<std::size_t>(layer)]; }
};

/// Reads the fields of one JSON object; every refusal names the file, the field and its value.
class ConfigReader {
 public:
  /// Throws BadInput for JSON that is no object, whose fields would all seem to be absent.
  ConfigReader(Json const& object, std::string source) : object_(object), source_(std::move(source)) {
    if (!object.get<Json::Object>()) throw BadInput(source_ + " is " + object.text() + "; it should be an object.");
  }

  [[noreturn]] void refuse(std::string const& field, std::string const& why) const {
    Json const* const value = object_.find(field);
    throw BadInput(source_ + ": " + field + (value ? " is " + value->text() : " is missing") + "; " + why + ".");
  }

  /// Whether the field is there, be it null.
  [[nodiscard]] bool has(std::string_view field) const { return object_.find(field) != nullptr; }

  /// The field's value, or nullptr when it is missing or null.
  [[nodiscard]] Json const* present(std::string_view field) const {
    Json const* const value = object_.find(field);
    return value && !value->is_null() ? value : nullptr;
  }

  [[nodiscard]] std::int32_t integer(std::string const& field, std::optional<std::int32_t> otherwise,
                                     std::int32_t smallest, std::int32_t largest) const {
    Json const* const value = present(field);
    if (!value && otherwise) return *otherwise;
    auto const* number = value ? value->get<std::int64_t>() : nullptr;
    if (!number || *number < smallest || *number > largest)
      refuse(field, "it should be an integer from " + std::to_string(smallest) + " to " + std::to_string(largest));
    return static_cast<std::int32_t>(*number);
  }

  [[nodiscard]] double real(std::string const& field, std::optional<double> otherwise, double smallest,
                            double largest) const {
    Json const* const value = present(field);
    if (!value && otherwise) return *otherwise;
    std::optional<double> number;
    if (value && value->get<double>()) number = *value->get<double>();
    if (value && value->get<std::int64_t>()) number = static_cast<double>(*value->get<std::int64_t>());
    if (!number || !(*number >= smallest && *number <= largest))
      refuse(field, "it should be a number from " + json_number(smallest) + " to " + json_number(largest));
    return *number;
  }

  [[nodiscard]] bool boolean(std::string const& field, bool otherwise) const {
    Json const* const value = present(field);
    if (!value) return otherwise;
    if (!value->get<bool>()) refuse(field, "it should be true or false");
    return *value->get<bool>();
  }

  [[nodiscard]] std::string string(std::string const& field, std::string const& otherwise) const {
    Json const* const value = present(field);
    if (!value) return otherwise;
    if (!value->get<std::string>()) refuse(field, "it should be a string");
    return *value->get<std::string>();
  }

  [[nodiscard]] std::string const& source() const { return source_; }

 private:
  Json const& object_;
  std::string source_;
};

namespace llama_config {

/// What a field that is absent means is the architecture's: as in the classes of Hugging Face's transformers. 0: the
/// field has another default, or none.
struct Architecture {
  std::string_view name;
  std::int32_t kv_heads, head_dim, context, stop_token;
};
inline constexpr Architecture architectures[] = {{"LlamaForCausalLM", 0, 0, 2048, 2},
                                                 {"MistralForCausalLM", 8, 0, 131072, 2},
                                                 {"MinistralForCausalLM", 8, 0, 131072, 2},
                                                 {"Qwen2ForCausalLM", 32, 0, 32768, 0},
                                                 {"Qwen3ForCausalLM", 32, 128, 32768, 0}};

inline Architecture const& read_architecture(ConfigReader const& fields) {
  Json const* const names = fields.present("architectures");
  auto const* list = names ? names->get<Json::Array>() : nullptr;
  auto const* name = list && list->size() == 1 ? (*list)[0].get<std::string>() : nullptr;
  std::string known;
  for (Architecture const& architecture : architectures) {
    if (name && *name == architecture.name) return architecture;
    bool const last = &architecture + 1 == std::end(architectures);
    known += (known.empty() ? "" : last ? " and " : ", ") + std::string(architecture.name);
  }
  fields.refuse("architectures", "supported are " + known);
}

/// The blend's bounds and the factor of cosines and sines ("YaRN", arXiv:2309.00071). The bounds are logarithms of
/// turns to the base rope_theta, so both are away from what has none.
inline void read_yarn(ConfigReader const& fields, ConfigReader const& rope, LlamaConfig& config) {
  constexpr double large = 1e12;
  RopeScaling& scaling = config.rope_scaling;
  if (config.rope_theta <= 1)
    (rope.present("rope_theta") ? rope : fields).refuse("rope_theta", "it should be greater than 1 with yarn");
  auto const or_default = [&](char const* field, double otherwise) {
    double const value = rope.real(field, 0.0, 0, large);
    if (value != 0 && value < 1e-6)
      rope.refuse(field, "it should be 0, which is the default, or a number from 1e-06 to 1e+12");
    return value == 0 ? otherwise : value;
  };
  scaling.kind = RopeScaling::Kind::yarn;
  scaling.beta_fast = or_default("beta_fast", 32);
  scaling.beta_slow = or_default("beta_slow", 1);
  scaling.truncate = rope.boolean("truncate", true);
  double const m = rope.real("mscale", 0.0, 0, large), all = rope.real("mscale_all_dim", 0.0, 0, large);
  auto const scale = [&](double by) { return scaling.factor <= 1 ? 1 : 0.1 * by * std::log(scaling.factor) + 1; };
  double const otherwise = m != 0 && all != 0 ? scale(m) / scale(all) : scale(1);
  scaling.attention_factor = rope.real("attention_factor", otherwise, 0, large);
}

/// What "rope_scaling" or "rope_parameters" says, `rope`, of one type, which the field `type_field` names.
inline void read_rope_scaling(ConfigReader const& fields, ConfigReader const& rope, LlamaConfig& config) {
  constexpr double large = 1e12;
  RopeScaling& scaling = config.rope_scaling;
  std::string const type_field = rope.present("rope_type") ? "rope_type" : "type";
  std::string const type = rope.string(type_field, "default");
  if (type == "default") return;
  bool const stretches = type == "llama3" || type == "yarn";
  if (stretches) {
    scaling.original_context = rope.integer("original_max_position_embeddings", config.context, 1, 1 << 30);
    scaling.original_context = fields.integer("original_max_position_embeddings",
                                              static_cast<std::int32_t>(scaling.original_context), 1, 1 << 30);
  }
  std::optional<double> otherwise;
  if (type == "yarn" && rope.has("factor"))
    otherwise = std::max(1.0, config.context / static_cast<double>(scaling.original_context));
  scaling.factor = rope.real("factor", otherwise, 1, large);
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::linear;
  } else if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::llama3;
    scaling.low_freq_factor = rope.real("low_freq_factor", std::nullopt, 1e-6, large);
    scaling.high_freq_factor = rope.real("high_freq_factor", std::nullopt, 1e-6, large);
    if (scaling.high_freq_factor <= scaling.low_freq_factor)
      rope.refuse("high_freq_factor", "it should be greater than low_freq_factor");
  } else if (type == "yarn") {
    read_yarn(fields, rope, config);
    double const stretched = static_cast<double>(scaling.original_context) * scaling.factor;
    config.context = std::max(config.context, static_cast<std::int32_t>(std::min<double>(stretched, 1 << 30)));
  } else if (type != "dynamic") {  // which changes nothing within max_position_embeddings, and is not read beyond
    rope.refuse(type_field, "supported are default, linear, dynamic, llama3 and yarn");
  }
}

/// "rope_scaling", or "rope_parameters" as newer files call it (which then holds rope_theta, too). Where both are
/// there, rope_scaling counts.
inline void read_rope(ConfigReader const& fields, LlamaConfig& config) {
  constexpr double large = 1e12;
  config.rope_theta = fields.real("rope_theta", 10000.0, 1, large);
  auto const partial = [](ConfigReader const& reader) {
    if (reader.real("partial_rotary_factor", 1.0, 0, 1) != 1.0)
      reader.refuse("partial_rotary_factor", "only rotary embeddings over the whole head are supported");
  };
  partial(fields);
  for (char const* const name : {"rope_scaling", "rope_parameters"}) {
    Json const* const value = fields.present(name);
    if (!value) continue;
    auto const* const object = value->get<Json::Object>();
    if (!object) fields.refuse(name, "it should be an object");
    if (object->members.empty()) continue;
    for (Json const& member : object->members)
      if (member.get<Json::Object>())
        fields.refuse(name, "what is the same in all layers is supported, not one object for each type of layer");
    ConfigReader const rope{*value, fields.source() + ": " + name};
    partial(rope);
    config.rope_theta = rope.real("rope_theta", config.rope_theta, 1, large);
    return read_rope_scaling(fields, rope, config);
  }
}

/// Which layers have a window, and how long it is: "layer_types" says, or older fields do.
inline void read_windows(ConfigReader const& fields, LlamaConfig& config) {
  config.windows.assign(static_cast<std::size_t>(config.layers), false);
  bool const qwen = config.architecture.starts_with("Qwen");
  if (config.architecture == "LlamaForCausalLM" || (qwen && !fields.boolean("use_sliding_window", false))) return;
  auto const layers = static_cast<std::size_t>(config.layers);
  Json const* const types = fields.present("layer_types");
  if (types) {
    auto const* array = types->get<Json::Array>();
    if (!array || array->size() != layers)
      fields.refuse("layer_types", "it should be a list with one name for each layer");
    for (std::size_t l = 0; l < layers; ++l) {
      auto const* name = (*array)[l].get<std::string>();
      if (!name || (*name != "sliding_attention" && *name != "full_attention"))
        fields.refuse("layer_types", "layer " + std::to_string(l) + " is " + (*array)[l].text() +
                                         "; supported are full_attention and sliding_attention");
      config.windows[l] = *name == "sliding_attention";
    }
  } else if (fields.present("sliding_window") || !fields.has("sliding_window")) {
    std::int32_t const every = fields.integer("sliding_window_pattern", 0, 1, LlamaConfig::no_window);
    std::int32_t const first = qwen ? fields.integer("max_window_layers", 28, 0, LlamaConfig::no_window) : 0;
    for (std::int32_t l = 0; l < config.layers; ++l)
      config.windows[static_cast<std::size_t>(l)] = l >= first && (every == 0 || (l + 1) % every != 0);
  }
  if (std::find(config.windows.begin(), config.windows.end(), true) != config.windows.end())
    config.window = fields.integer("sliding_window",
                                   fields.has("sliding_window") ? std::nullopt : std::optional<std::int32_t>(4096), 1,
                                   LlamaConfig::no_window);
}

/// "eos_token_id": one or a list. Ids beyond the vocabulary are left out.
inline std::vector<std::int32_t> read_stop_tokens(ConfigReader const& fields, std::int32_t vocab) {
  Json const* const value = fields.present("eos_token_id");
  if (!value) return {};
  Json::Array const one{*value};
  std::vector<std::int32_t> tokens;
  for (Json const& element : value->get<Json::Array>() ? *value->get<Json::Array>() : one) {
    auto const* token = element.get<std::int64_t>();
    if (!token || *token < 0) fields.refuse("eos_token_id", "it should be a token id or a list of them");
    if (*token < vocab) tokens.push_back(static_cast<std::int32_t>(*token));
  }
  return tokens;
}

/// Which linear layers have biases: the architecture says, or "attention_bias" and "mlp_bias" where it asks them.
inline void read_biases(ConfigReader const& fields, LlamaConfig& config) {
  bool const llama = config.architecture == "LlamaForCausalLM";
  if (llama || config.architecture == "Qwen3ForCausalLM")
    config.qkv_bias = config.o_bias = fields.boolean("attention_bias", false);
  if (llama) config.mlp_bias = fields.boolean("mlp_bias", false);
  if (config.architecture == "Qwen2ForCausalLM") config.qkv_bias = true;
}

inline void refuse_unsupported(ConfigReader const& fields) {
  if (fields.present("quantization_config"))
    fields.refuse("quantization_config", "quantized weights are not supported, only F32, F16 and BF16");
  std::string const activation = fields.string("hidden_act", "silu");
  if (activation != "silu" && activation != "swish") fields.refuse("hidden_act", "only silu (SwiGLU) is supported");
}

}  // namespace llama_config

/// Reads config.json. Throws BadInput with one sentence that names the field and its value; `source` names the file.
inline LlamaConfig read_llama_config(std::string_view text, std::string const& source) {
  Json const json = JsonReader::read(text, source);
  ConfigReader const fields{json, source};
  LlamaConfig config;

  llama_config::Architecture const& architecture = llama_config::read_architecture(fields);
  config.architecture = architecture.name;
  llama_config::refuse_unsupported(fields);

  constexpr std::int32_t large = 1 << 24;
  config.layers = fields.integer("num_hidden_layers", std::nullopt, 1, 4096);
  config.hidden = fields.integer("hidden_size", std::nullopt, 1, 1 << 20);
  config.intermediate = fields.integer("intermediate_size", std::nullopt, 1, 1 << 20);
  config.vocab = fields.integer("vocab_size", std::nullopt, 1, large);
  config.heads = fields.integer("num_attention_heads", std::nullopt, 1, 4096);
  auto const absent = [&](char const* field, std::int32_t of_the_class, std::int32_t otherwise) {
    return of_the_class == 0 || fields.has(field) ? otherwise : of_the_class;
  };
  config.kv_heads = fields.integer("num_key_value_heads",
                                   absent("num_key_value_heads", architecture.kv_heads, config.heads), 1, 4096);
  if (config.heads % config.kv_heads != 0)
    fields.refuse("num_key_value_heads", (fields.has("num_key_value_heads")
                                              ? std::string("it should divide")
                                              : std::to_string(config.kv_heads) + ", its default, does not divide") +
                                             " num_attention_heads, which is " + std::to_string(config.heads));
  std::int32_t const head_dim = absent("head_dim", architecture.head_dim, 0);
  if (!fields.present("head_dim") && head_dim == 0 && config.hidden % config.heads != 0)
    fields.refuse("hidden_size", "it should be a multiple of num_attention_heads when head_dim is missing");
  config.head_dim = fields.integer("head_dim", head_dim == 0 ? config.hidden / config.heads : head_dim, 2, 1024);
  if (config.head_dim % 2 != 0) fields.refuse("head_dim", "rotary embeddings need an even number");
  config.context = fields.integer("max_position_embeddings", architecture.context, 1, 1 << 30);
  config.rms_norm_eps = fields.real("rms_norm_eps", 1e-6, 0, 1);
  config.tied_embeddings = fields.boolean("tie_word_embeddings", false);
  config.qk_norm = config.architecture == "Qwen3ForCausalLM";
  llama_config::read_rope(fields, config);
  llama_config::read_windows(fields, config);
  llama_config::read_biases(fields, config);
  config.stop_tokens = llama_config::read_stop_tokens(fields, config.vocab);
  if (!fields.has("eos_token_id") && architecture.stop_token != 0) config.stop_tokens = {architecture.stop_token};
  return config;
}

/// Reads generation_config.json. Where it has an eos_token_id, that counts alone, and config.json's does not. Throws
/// BadInput.
inline void read_generation_config(std::string_view text, std::string const& source, LlamaConfig& config) {
  Json const json = JsonReader::read(text, source);
  ConfigReader const fields{json, source};
  if (fields.present("eos_token_id")) config.stop_tokens = llama_config::read_stop_tokens(fields, config.vocab);
}

}  // namespace serve
