// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/models.hpp>

#include "support/catch.hpp"

namespace models = folio::models;

namespace {

/// Bytes that a token takes in all layers at 16 bits an element, as the model's cards and papers count.
constexpr std::int64_t f16_bytes_per_token(folio::ModelConfig const& config) {
  std::int64_t bytes = 0;
  for (int g = 0; g < config.num_groups(); ++g) {
    folio::GroupShape const shape = folio::group_shape(config, g, 16);
    std::int64_t const row = shape.key_dim + (shape.values_in_keys() ? 0 : shape.value_dim);
    bytes += 2 * row * shape.kv_heads * shape.layers;
  }
  return bytes;
}

/// Layers with a window and layers that see all.
constexpr bool has_layers(folio::ModelConfig const& config, std::int32_t window, std::int32_t full) {
  return folio::group_shape(config, 0, 16).window > 0 && folio::group_shape(config, 0, 16).layers == window &&
         folio::group_shape(config, 1, 16).window == 0 && folio::group_shape(config, 1, 16).layers == full;
}

}  // namespace

TEST_CASE("a token of a published model takes the bytes that are published") {
  STATIC_REQUIRE(f16_bytes_per_token(models::llama3_1_8b) == 131'072);
  STATIC_REQUIRE(f16_bytes_per_token(models::llama3_1_70b) == 327'680);
  STATIC_REQUIRE(f16_bytes_per_token(models::qwen3_8b) == 147'456);
  STATIC_REQUIRE(f16_bytes_per_token(models::mistral_7b) == 131'072);
  STATIC_REQUIRE(f16_bytes_per_token(models::gemma3_4b) == 139'264);
  STATIC_REQUIRE(f16_bytes_per_token(models::gemma3_12b) == 393'216);
  STATIC_REQUIRE(f16_bytes_per_token(models::gemma3_27b) == 507'904);
  STATIC_REQUIRE(f16_bytes_per_token(models::gpt_oss_20b) == 49'152);
  STATIC_REQUIRE(f16_bytes_per_token(models::deepseek_v3) == 70'272);
}

TEST_CASE("hybrid models have their layers of each kind") {
  STATIC_REQUIRE(has_layers(models::gemma3_4b, 29, 5));
  STATIC_REQUIRE(has_layers(models::gemma3_12b, 40, 8));
  STATIC_REQUIRE(has_layers(models::gemma3_27b, 52, 10));
  STATIC_REQUIRE(has_layers(models::gpt_oss_20b, 12, 12));
}

TEST_CASE("windows are as published") {
  STATIC_REQUIRE(models::mistral_7b.groups[0].window == 4096);
  STATIC_REQUIRE(models::gemma3_27b.groups[0].window == 1024);
  STATIC_REQUIRE(models::gpt_oss_20b.groups[0].window == 128);
  STATIC_REQUIRE(models::llama3_1_8b.groups[0].window == 0);
}

TEST_CASE("every named configuration is valid") {
  STATIC_REQUIRE(folio::problem_of(models::llama3_1_8b) == nullptr);
  STATIC_REQUIRE(folio::problem_of(models::llama3_1_70b) == nullptr);
  STATIC_REQUIRE(folio::problem_of(models::qwen3_8b) == nullptr);
  STATIC_REQUIRE(folio::problem_of(models::mistral_7b) == nullptr);
  STATIC_REQUIRE(folio::problem_of(models::gemma3_4b) == nullptr);
  STATIC_REQUIRE(folio::problem_of(models::gemma3_12b) == nullptr);
  STATIC_REQUIRE(folio::problem_of(models::gemma3_27b) == nullptr);
  STATIC_REQUIRE(folio::problem_of(models::gpt_oss_20b) == nullptr);
  STATIC_REQUIRE(folio::problem_of(models::deepseek_v3) == nullptr);
}
