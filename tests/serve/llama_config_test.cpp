// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0

#include "llama_config.hpp"

#include <string>

#include "support/catch.hpp"

using folio::test::contains;
using serve::LlamaConfig;

namespace {

/// A config of `architecture` with `more` members ("\"a\": 1, ").
LlamaConfig read(std::string const& architecture, std::string const& more = "") {
  return serve::read_llama_config(
      "{" + more + R"("architectures": [")" + architecture + R"("], "hidden_size": 64, "intermediate_size": 128,
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
  CHECK(read("LlamaForCausalLM", R"("head_dim": null, "rope_scaling": null, )").head_dim == 16);
}

TEST_CASE("Stop tokens are one id or several", "[serve]") {
  CHECK(read("LlamaForCausalLM").stop_tokens.empty());
  CHECK(read("LlamaForCausalLM", R"("eos_token_id": 7, )").stop_tokens == std::vector<std::int32_t>{7});
  CHECK(read("LlamaForCausalLM", R"("eos_token_id": [7, 9], )").stop_tokens == std::vector<std::int32_t>{7, 9});
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("eos_token_id": "x", )"), contains("eos_token_id is \"x\""));
}

TEST_CASE("Sliding windows are in all layers or in none", "[serve]") {
  CHECK(read("MistralForCausalLM", R"("sliding_window": 100, )").window == 100);
  CHECK(read("MistralForCausalLM", R"("sliding_window": null, )").window == LlamaConfig::no_window);
  CHECK(read("LlamaForCausalLM", R"("sliding_window": 100, )").window == LlamaConfig::no_window);
  CHECK(read("Qwen2ForCausalLM", R"("sliding_window": 100, )").window == LlamaConfig::no_window);
  CHECK(read("Qwen2ForCausalLM", R"("sliding_window": 100, "use_sliding_window": true, "max_window_layers": 0, )")
            .window == 100);
  CHECK(read("Qwen2ForCausalLM", R"("sliding_window": 100, "use_sliding_window": true, "max_window_layers": 4, )")
            .window == LlamaConfig::no_window);
  CHECK_THROWS_WITH(
      read("Qwen2ForCausalLM", R"("sliding_window": 100, "use_sliding_window": true, "max_window_layers": 2, )"),
      contains("max_window_layers is 2; a sliding window is supported in all layers or in none"));
  std::string const types = R"("sliding_window": 100, "layer_types": )";
  CHECK(read("MistralForCausalLM",
             types + R"(["sliding_attention", "sliding_attention", "sliding_attention", "sliding_attention"], )")
            .window == 100);
  CHECK(read("MistralForCausalLM",
             types + R"(["full_attention", "full_attention", "full_attention", "full_attention"], )")
            .window == LlamaConfig::no_window);
  CHECK_THROWS_WITH(read("MistralForCausalLM",
                         types + R"(["full_attention", "sliding_attention", "full_attention", "full_attention"], )"),
                    contains("a sliding window is supported in all layers or in none"));
  CHECK_THROWS_WITH(read("MistralForCausalLM", types + R"(["full_attention"], )"), contains("one name for each layer"));
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
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "yarn", "factor": 2}, )"),
                    contains("it: rope_scaling: rope_type is \"yarn\"; supported are default, linear and llama3"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "linear"}, )"),
                    contains("factor is missing"));
  CHECK_THROWS_WITH(read("LlamaForCausalLM", R"("rope_scaling": 3, )"), contains("it should be an object"));
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
  CHECK_THROWS_WITH(serve::read_llama_config("[]", "it"), "it is not a JSON object.");
  CHECK_THROWS_WITH(serve::read_llama_config(R"({"architectures": ["LlamaForCausalLM"]})", "it"),
                    contains("num_hidden_layers is missing; it should be an integer from 1 to 4096"));
}
