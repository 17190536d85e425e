// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0

#include "llama_config.hpp"

#include <string>
#include <vector>

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
  CHECK_THROWS_WITH(read(mistral, R"("layer_types": )" + irregular), contains("sliding_window is missing"));
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
