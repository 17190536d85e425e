// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0

#include "model/llama_config.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "support/catch.hpp"

using folio::test::contains;
using serve::LlamaConfig;

namespace {

/// A config of `architecture` with `more` members ("\"a\": 1, ").
LlamaConfig read(std::string const& architecture, std::string const& more = "") {
  bool const says_heads = more.find("num_key_value_heads") != std::string::npos;
  return serve::read_llama_config("{" + more + (says_heads ? "" : R"("num_key_value_heads": 4, )") +
                                      R"("architectures": [")" + architecture +
                                      R"("], "hidden_size": 64, "intermediate_size": 128,
      "num_hidden_layers": 4, "num_attention_heads": 4, "vocab_size": 100, "max_position_embeddings": 512})",
                                  "it");
}

}  // namespace

TEST_CASE("A small config takes the usual defaults", "[serve]") {
  LlamaConfig const config = read("LlamaForCausalLM");
  CHECK(config.layers == 4);
  CHECK(config.heads == 4);
  CHECK(config.kv_heads == 4);
  CHECK(config.head_dim == 16);
  CHECK(config.window == LlamaConfig::no_window);
  CHECK(config.rope_theta == 10000);
  CHECK_FALSE(config.tied_embeddings);
  CHECK_FALSE(config.qk_norm);
  CHECK(read("Qwen3ForCausalLM", R"("head_dim": 32, )").qk_norm);
  CHECK(read("Qwen3ForCausalLM", R"("head_dim": 32, )").head_dim == 32);
  CHECK(read("Qwen3ForCausalLM", R"("num_key_value_heads": 4, )").head_dim == 128);  // the class's, as what follows
  CHECK(read("Qwen3ForCausalLM", R"("num_key_value_heads": null, )").kv_heads == 4);
  auto const absent = [](std::string const& architecture) {
    return serve::read_llama_config(R"({"architectures": [")" + architecture + R"("], "hidden_size": 512,
      "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 32, "vocab_size": 9})",
                                    "it");
  };
  CHECK(absent("LlamaForCausalLM").kv_heads == 32);
  CHECK(absent("MistralForCausalLM").kv_heads == 8);
  CHECK(absent("MinistralForCausalLM").context == 131072);
  CHECK(absent("LlamaForCausalLM").context == 2048);
  CHECK(absent("Qwen2ForCausalLM").context == 32768);
  CHECK(absent("Qwen2ForCausalLM").head_dim == 16);
  CHECK(read("LlamaForCausalLM", R"("head_dim": null, "rope_scaling": null, )").head_dim == 16);
}

TEST_CASE("Stop tokens are one id or several", "[serve]") {
  CHECK(read("LlamaForCausalLM").stop_tokens == std::vector<std::int32_t>{2});  // the class's
  CHECK(read("LlamaForCausalLM", R"("eos_token_id": null, )").stop_tokens.empty());
  CHECK(read("Qwen3ForCausalLM").stop_tokens.empty());
  CHECK(read("LlamaForCausalLM", R"("eos_token_id": 7, )").stop_tokens == std::vector<std::int32_t>{7});
  CHECK(read("LlamaForCausalLM", R"("eos_token_id": [7, 9], )").stop_tokens == std::vector<std::int32_t>{7, 9});
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("eos_token_id": "x", )"), contains("eos_token_id is \"x\""));
}

TEST_CASE("The stop tokens of generation_config.json count alone, where it has some", "[serve]") {
  LlamaConfig config = read("LlamaForCausalLM", R"("eos_token_id": 7, )");
  serve::read_generation_config(R"({"temperature": 1, "eos_token_id": null})", "it", config);
  CHECK(config.stop_tokens == std::vector<std::int32_t>{7});
  serve::read_generation_config(R"({"eos_token_id": [9, 11, 1000]})", "it", config);
  CHECK(config.stop_tokens == std::vector<std::int32_t>{9, 11});  // 1000 is beyond the vocabulary
  serve::read_generation_config(R"({"eos_token_id": 5})", "it", config);
  CHECK(config.stop_tokens == std::vector<std::int32_t>{5});
  CHECK_THROWS_WITH(serve::read_generation_config(R"({"eos_token_id": -1})", "it", config),
                    "it: eos_token_id is -1; it should be a token id or a list of them.");
  for (std::string const text : {"[]", "3", "null", "\"eos_token_id\"", "[{\"eos_token_id\": 5}]"})
    CHECK_THROWS_WITH(serve::read_generation_config(text, "it", config),
                      contains("it is " + text + "; it should be an object."));
}

TEST_CASE("Biases are where the architecture or the file says", "[serve]") {
  auto const biases = [](std::string const& architecture, std::string const& more = "") {
    LlamaConfig const config = read(architecture, more);
    return std::string(config.qkv_bias ? "qkv " : "") + (config.o_bias ? "o " : "") + (config.mlp_bias ? "mlp" : "");
  };
  std::string const both = R"("attention_bias": true, "mlp_bias": true, )";
  CHECK(biases("LlamaForCausalLM").empty());
  CHECK(biases("LlamaForCausalLM", both) == "qkv o mlp");
  CHECK(biases("MistralForCausalLM", both).empty());
  CHECK(biases("Qwen2ForCausalLM") == "qkv ");
  CHECK(biases("Qwen3ForCausalLM", both) == "qkv o ");
}

TEST_CASE("Sliding windows are in the layers that the file names", "[serve]") {
  std::vector<bool> const none(4, false), all(4, true);
  auto const windows = [](std::string const& architecture, std::string const& more) {
    LlamaConfig const config = read(architecture, more);
    bool const any = config.windows != std::vector<bool>(4, false);
    CHECK(config.window == (any ? 100 : LlamaConfig::no_window));
    return config.windows;
  };
  std::string const mistral = "MistralForCausalLM", qwen = "Qwen2ForCausalLM", window = R"("sliding_window": 100, )";
  CHECK(windows(mistral, window) == all);
  CHECK(windows(mistral, R"("sliding_window": null, )") == none);
  CHECK(windows("MinistralForCausalLM", window) == all);
  CHECK(windows("LlamaForCausalLM", window) == none);
  CHECK(windows(mistral, window + R"("sliding_window_pattern": 2, )") == std::vector<bool>{true, false, true, false});
  CHECK(windows(mistral, window + R"("sliding_window_pattern": 1, )") == none);

  CHECK(windows(qwen, window) == none);
  std::string const uses = window + R"("use_sliding_window": true, "max_window_layers": )";
  CHECK(windows(qwen, uses + "0, ") == all);
  CHECK(windows(qwen, uses + "4, ") == none);
  CHECK(windows(qwen, uses + "1, ") == std::vector<bool>{false, true, true, true});

  std::string const types = window + R"("layer_types": )";
  std::string const sliding = R"("sliding_attention")", full = R"("full_attention")";
  std::string const irregular = "[" + full + ", " + sliding + ", " + full + ", " + full + "], ";
  std::string const every = "[" + sliding + ", " + sliding + ", " + sliding + ", " + sliding + "], ";
  CHECK(windows(mistral, types + every) == all);
  CHECK(windows(mistral, types + irregular) == std::vector<bool>{false, true, false, false});
  CHECK(windows(qwen, types + irregular) == none);
  CHECK(windows(qwen, R"("use_sliding_window": true, )" + types + irregular) ==
        std::vector<bool>{false, true, false, false});
  CHECK(windows(mistral, R"("layer_types": [)" + full + ", " + full + ", " + full + ", " + full + "], ") == none);
  CHECK(read(mistral, R"("layer_types": )" + irregular).window == 4096);  // the class's
  CHECK(read(mistral).window == 4096);
  CHECK(read(qwen, R"("use_sliding_window": true, "max_window_layers": 0, )").window == 4096);
  CHECK(read(qwen, R"("use_sliding_window": true, "max_window_layers": 0, "sliding_window": null, )").window ==
        LlamaConfig::no_window);
  CHECK_THROWS_WITH(read(mistral, R"("sliding_window": null, "layer_types": )" + irregular),
                    contains("sliding_window is null; it should be an integer"));
  CHECK_THROWS_WITH(read(mistral, types + "[" + full + "], "), contains("one name for each layer"));
  CHECK_THROWS_WITH(read(mistral, types + "[" + full + ", " + full + R"(, "chunked_attention", )" + full + "], "),
                    contains("layer 2 is \"chunked_attention\"; supported are full_attention and sliding_attention"));
}

TEST_CASE("RoPE scaling is read under its old and its new name", "[serve]") {
  auto const llama3 = [](std::string const& name) {
    return read("LlamaForCausalLM",
                "\"" + name + R"(": {"rope_type": "llama3", "rope_theta": 500000, "factor": 8.0, "low_freq_factor": 1,
        "high_freq_factor": 4, "original_max_position_embeddings": 8192}, )");
  };
  for (char const* name : {"rope_scaling", "rope_parameters"}) {
    LlamaConfig const config = llama3(name);
    CHECK(config.rope_theta == 500000);
    CHECK(config.rope_scaling.kind == serve::RopeScaling::Kind::llama3);
    CHECK(config.rope_scaling.factor == 8);
    CHECK(config.rope_scaling.original_context == 8192);
  }
  CHECK(read("LlamaForCausalLM", R"("rope_scaling": {"type": "linear", "factor": 2}, )").rope_scaling.kind ==
        serve::RopeScaling::Kind::linear);
  CHECK(read("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "default"}, )").rope_scaling.kind ==
        serve::RopeScaling::Kind::none);
  CHECK_THROWS_WITH(
      read("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "longrope", "factor": 2}, )"),
      contains("it: rope_scaling: rope_type is \"longrope\"; supported are default, linear, dynamic, llama3 and yarn"));
  // Where both names are there, the old one counts, and a model has the same RoPE in all layers.
  LlamaConfig const both = read("LlamaForCausalLM", R"("rope_scaling": {"type": "linear", "factor": 2},
      "rope_parameters": {"rope_type": "default", "rope_theta": 500}, )");
  CHECK(both.rope_scaling.kind == serve::RopeScaling::Kind::linear);
  CHECK(both.rope_theta == 10000);
  CHECK(read("LlamaForCausalLM", R"("rope_scaling": {}, "rope_parameters": {"rope_theta": 500}, )").rope_theta == 500);
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rope_parameters": {"full_attention": {"rope_theta": 500}}, )"),
                    contains("rope_parameters is {") && contains("not one object for each type of layer"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rope_parameters": {"partial_rotary_factor": 0.5}, )"),
                    contains("it: rope_parameters: partial_rotary_factor is 0.5"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "linear"}, )"),
                    contains("factor is missing"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rope_scaling": 3, )"), contains("it should be an object"));
}

TEST_CASE("YaRN stretches the context, and dynamic scaling changes nothing within it", "[serve]") {
  std::string const yarn =
      R"("rope_scaling": {"rope_type": "yarn", "factor": 4, "original_max_position_embeddings": 512)";
  LlamaConfig const plain = read("Qwen2ForCausalLM", yarn + "}, ");
  CHECK(plain.rope_scaling.kind == serve::RopeScaling::Kind::yarn);
  CHECK(plain.context == 2048);
  CHECK(plain.rope_scaling.attention_factor == Approx(0.1 * std::log(4.0) + 1));
  CHECK(plain.rope_scaling.beta_fast == 32);
  CHECK(read("Qwen2ForCausalLM", yarn + R"(, "beta_fast": 8, "attention_factor": 1.5}, )").rope_scaling.beta_fast == 8);
  CHECK(read("Qwen2ForCausalLM", yarn + R"(, "attention_factor": 1.5}, )").rope_scaling.attention_factor == 1.5);
  CHECK(read("Qwen2ForCausalLM", yarn + R"(, "mscale": 2, "mscale_all_dim": 0.5}, )").rope_scaling.attention_factor ==
        Approx((0.2 * std::log(4.0) + 1) / (0.05 * std::log(4.0) + 1)));
  CHECK(read("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "yarn", "factor": 4}, )")
            .rope_scaling.original_context == 512);  // max_position_embeddings
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "yarn"}, )"),
                    contains("factor is missing"));
  for (std::string const beta : {"beta_fast", "beta_slow"}) {
    CHECK_NOTHROW(read("Qwen2ForCausalLM", yarn + ", \"" + beta + "\": 0}, "));  // the default
    CHECK_NOTHROW(read("Qwen2ForCausalLM", yarn + ", \"" + beta + "\": 1e-6}, "));
    CHECK_THROWS_WITH(read("Qwen2ForCausalLM", yarn + ", \"" + beta + "\": 1e-310}, "),
                      contains("it: rope_scaling: " + beta + " is ") && contains("a number from 1e-06 to 1e+12."));
  }
  CHECK_THROWS_WITH(read("Qwen2ForCausalLM", R"("rope_theta": 1, )" + yarn + "}, "),
                    "it: rope_theta is 1; it should be greater than 1 with yarn.");
  CHECK_THROWS_WITH(read("Qwen2ForCausalLM", yarn + R"(, "rope_theta": 1}, )"),
                    "it: rope_scaling: rope_theta is 1; it should be greater than 1 with yarn.");
  CHECK(read("Qwen2ForCausalLM", R"("rope_theta": 1, )").rope_theta == 1);  // no pair is slower than another
  LlamaConfig const dynamic = read("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "dynamic", "factor": 2}, )");
  CHECK(dynamic.rope_scaling.kind == serve::RopeScaling::Kind::none);
  CHECK(dynamic.context == 512);
}

TEST_CASE("What is not supported is refused with field and value", "[serve]") {
  CHECK_THROWS_WITH(read("GPT2LMHeadModel"),
                    contains(R"(it: architectures is ["GPT2LMHeadModel"]; supported are LlamaForCausalLM)"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("hidden_act": "gelu", )"), contains("hidden_act is \"gelu\""));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("quantization_config": {"bits": 4}, )"), contains("quantized weights"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("partial_rotary_factor": 0.5, )"),
                    contains("partial_rotary_factor is 0.5"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("num_key_value_heads": 3, )"),
                    contains("it should divide num_attention_heads, which is 4"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("num_key_value_heads": 0, )"),
                    contains("num_key_value_heads is 0; it should be an integer from 1 to 4096"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("head_dim": 5, )"), contains("head_dim is 5"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rms_norm_eps": "small", )"), contains("rms_norm_eps is \"small\""));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("tie_word_embeddings": 1, )"), contains("it should be true or false"));
  CHECK_THROWS_WITH(serve::read_llama_config("{}", "it"), contains("architectures is missing"));
  CHECK_THROWS_WITH(serve::read_llama_config("[]", "it"), "it is []; it should be an object.");
  CHECK_THROWS_WITH(serve::read_llama_config(R"({"architectures": ["LlamaForCausalLM"]})", "it"),
                    contains("num_hidden_layers is missing; it should be an integer from 1 to 4096"));
}
