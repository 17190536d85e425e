// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/model.hpp>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"

using folio::AttentionKind;
using folio::dynamic;
using folio::GroupShape;
using folio::LayerGroup;
using folio::LayerPattern;
using folio::LayerPlace;
using folio::ModelConfig;
using folio::test::contains;

namespace {

/// A pattern of the greatest length, without a period of its own.
constexpr std::initializer_list<int> longest = {
    3, 2, 1, 0, 3, 3, 1, 1, 2, 0, 0, 0, 1, 2, 3, 1, 3, 2, 1, 0, 3, 3, 1, 1, 2, 0, 0, 0, 1, 2, 3, 1,
    2, 3, 0, 1, 0, 0, 1, 3, 2, 2, 1, 0, 3, 1, 1, 2, 0, 2, 3, 0, 1, 0, 0, 1, 3, 2, 2, 1, 0, 3, 1, 2,
    2, 2, 0, 3, 1, 0, 1, 0, 2, 3, 1, 3, 0, 1, 0, 1, 3, 2, 1, 3, 1, 0, 1, 3, 1, 1, 0, 0, 1, 1, 1, 1,
    2, 2, 1, 1, 1, 1, 3, 2, 0, 2, 3, 1, 1, 2, 0, 2, 2, 0, 2, 0, 2, 2, 2, 3, 2, 1, 3, 3, 1, 0, 2, 0};

std::vector<LayerPattern> patterns() {
  return {LayerPattern{},
          folio::repeat_groups({0}),
          folio::repeat_groups({3}),
          folio::repeat_groups({0, 1}),
          folio::repeat_groups({1, 0}),
          folio::repeat_groups({0, 0, 0, 0, 0, 1}),
          folio::repeat_groups({1, 0, 0, 2, 0, 1, 1}),
          folio::repeat_groups({3, 2, 1, 0, 0, 1, 2, 3}),
          folio::repeat_groups(longest)};
}

struct BadConfig {
  ModelConfig config;
  char const* message;
};

LayerGroup with_heads(LayerGroup group, std::int32_t heads) {
  group.kv_heads = heads;
  return group;
}

std::vector<BadConfig> bad_configs() {
  LayerGroup full_with_window = folio::full_attention();
  full_with_window.window = 8;
  LayerGroup full_with_sinks = folio::full_attention();
  full_with_sinks.sinks = 1;
  LayerGroup wide_values = folio::full_attention();
  wide_values.value_head_dim = 2048;
  constexpr char const* entries = "the layer pattern must have 1 to 128 entries, each the number of a group, 0 to 3";
  constexpr char const* head_dim = "head_dim must be a multiple of 8 from 8 to 1024";
  constexpr char const* value_head_dim = "value_head_dim must be a multiple of 8 from 8 to 1024";
  constexpr char const* window = "a sliding window must be at least 1 token long, or folio::dynamic";
  constexpr char const* sinks = "only a sliding_window group has sinks, and their number is not negative";
  return {
      {ModelConfig{.groups = {LayerGroup{}}}, "the model has no group of layers: give at least full_attention()"},
      {ModelConfig{.pattern = {.period = 0}}, entries},
      {ModelConfig{.pattern = {.period = 129}}, entries},
      {ModelConfig{.pattern = {.period = -2}}, entries},
      {ModelConfig{.pattern = folio::repeat_groups({0, 1})}, "the layer pattern names a group that does not exist"},
      {ModelConfig{.groups = {folio::full_attention(), {}, folio::sliding_window(8)},
                   .pattern = folio::repeat_groups({0, 2})},
       "the layer pattern names a group that does not exist"},
      {ModelConfig{.layers = 0}, "layers must be at least 1, or folio::dynamic"},
      {ModelConfig{.layers = -2}, "layers must be at least 1, or folio::dynamic"},
      {ModelConfig{.kv_heads = 0}, "kv_heads must be at least 1, or folio::dynamic"},
      {ModelConfig{.kv_heads = -2}, "kv_heads must be at least 1, or folio::dynamic"},
      {ModelConfig{.groups = {with_heads(folio::full_attention(), -3)}},
       "kv_heads of a group must be at least 1, or 0 for the model's"},
      {ModelConfig{.head_dim = 0}, head_dim},
      {ModelConfig{.head_dim = -8}, head_dim},
      {ModelConfig{.head_dim = 12}, head_dim},
      {ModelConfig{.head_dim = 1032}, head_dim},
      {ModelConfig{.value_head_dim = 4}, value_head_dim},
      {ModelConfig{.value_head_dim = 12}, value_head_dim},
      {ModelConfig{.value_head_dim = -8}, value_head_dim},
      {ModelConfig{.groups = {wide_values}}, value_head_dim},
      {ModelConfig{.groups = {folio::sliding_window(0)}}, window},
      {ModelConfig{.groups = {folio::sliding_window(-2)}}, window},
      {ModelConfig{.groups = {full_with_window}}, "only a sliding_window group has a window"},
      {ModelConfig{.groups = {full_with_sinks}}, sinks},
      {ModelConfig{.groups = {folio::sliding_window(8, -1)}}, sinks},
      {ModelConfig{.groups = {folio::latent(500, 64)}}, head_dim},
      {ModelConfig{.groups = {folio::latent(0, 64)}}, value_head_dim},
      {ModelConfig{.groups = {folio::latent(1024, 64)}}, head_dim},
      {ModelConfig{.groups = {folio::latent(64, -8)}}, "rope_dims must not be negative"},
  };
}

}  // namespace

TEST_CASE("a pattern places every layer once, in order, and counts what it places") {
  for (LayerPattern const& pattern : patterns())
    for (std::int32_t num_layers = 0; num_layers < 300; ++num_layers) {
      std::int32_t next_index[folio::max_groups] = {};
      for (std::int32_t layer = 0; layer < num_layers; ++layer) {
        LayerPlace const at = pattern.place(layer);
        REQUIRE(at.group == pattern.at(layer % pattern.period));
        REQUIRE(at.index == next_index[at.group]++);
      }
      for (int g = 0; g < folio::max_groups; ++g) REQUIRE(pattern.count(g, num_layers) == next_index[g]);
    }
}

TEST_CASE("repeat_groups repeats what it is given") {
  constexpr LayerPattern pattern = folio::repeat_groups({0, 2, 1});
  STATIC_REQUIRE(pattern.period == 3);
  STATIC_REQUIRE(pattern.at(0) == 0);
  STATIC_REQUIRE(pattern.at(1) == 2);
  STATIC_REQUIRE(pattern.at(2) == 1);
  LayerPattern const whole = folio::repeat_groups(longest);
  REQUIRE(whole.period == LayerPattern::max_period);
  for (std::int32_t i = 0; i < whole.period; ++i) CHECK(whole.at(i) == longest.begin()[i]);
  CHECK(folio::repeat_groups(std::vector<int>(longest)) == whole);
}

TEST_CASE("a pattern that cannot be has no entries, which problem_of names") {
  CHECK(folio::repeat_groups({}).period == 0);
  CHECK(folio::repeat_groups({0, 4}).period == 0);
  CHECK(folio::repeat_groups({-1}).period == 0);
  CHECK(folio::repeat_groups({256}).period == 0);
  CHECK(folio::repeat_groups(std::vector<int>(128, 1)).period == 128);
  CHECK(folio::repeat_groups(std::vector<int>(129, 1)).period == 0);
  CHECK_THAT(std::string(folio::problem_of(ModelConfig{.pattern = folio::repeat_groups({7})})),
             contains("1 to 128 entries"));
}

TEST_CASE("good configurations have no problem") {
  LayerGroup own_dims = folio::full_attention();
  own_dims.head_dim = 8;
  own_dims.value_head_dim = 1024;
  ModelConfig const good[] = {
      {},
      {.layers = 1, .kv_heads = 1, .head_dim = 8},
      {.head_dim = 1024, .value_head_dim = 8},
      {.groups = {own_dims}},
      {.groups = {folio::sliding_window(1)}},
      {.groups = {folio::sliding_window(dynamic, 4)}},
      {.groups = {folio::latent(512, 64)}},
      {.groups = {folio::latent(8, 0)}},
      {.groups = {folio::full_attention(), folio::sliding_window(4), folio::latent(16, 8), folio::sliding_window(9, 1)},
       .pattern = folio::repeat_groups({0, 1, 2, 3})},
      {.groups = {folio::full_attention(), folio::sliding_window(4)}, .pattern = folio::dynamic_pattern},
      {.pattern = folio::dynamic_pattern},
  };
  for (ModelConfig const& config : good) {
    char const* const problem = folio::problem_of(config);
    CHECK((problem == nullptr ? std::string() : std::string(problem)) == "");
  }
}

TEST_CASE("each problem of a configuration is named") {
  for (BadConfig const& bad : bad_configs()) {
    INFO("expected: " << bad.message);
    char const* const problem = folio::problem_of(bad.config);
    CHECK((problem == nullptr ? std::string("no problem") : std::string(problem)) == bad.message);
  }
}

TEST_CASE("a group that the pattern never names is a problem, as it would have no layers") {
  CHECK(folio::problem_of(ModelConfig{.groups = {folio::full_attention(), folio::sliding_window(4)}}) != nullptr);
}

TEST_CASE("a group's shape takes its own numbers, else the model's") {
  LayerGroup special = folio::full_attention();
  special.kv_heads = 2;
  special.head_dim = 64;
  ModelConfig const config{.layers = 10,
                           .kv_heads = 8,
                           .head_dim = 128,
                           .value_head_dim = 32,
                           .groups = {folio::sliding_window(100, 4), special},
                           .pattern = folio::repeat_groups({0, 0, 1})};
  GroupShape const window = folio::group_shape(config, 0, 16), full = folio::group_shape(config, 1, 64);
  CHECK(window == GroupShape{AttentionKind::sliding_window, 7, 8, 128, 32, 100, 4, 16});
  CHECK(full == GroupShape{AttentionKind::full, 3, 2, 64, 32, 0, 0, 64});
}

TEST_CASE("without a head dim of their own, values are as long as keys") {
  LayerGroup special = folio::full_attention();
  special.head_dim = 64;
  CHECK(folio::group_shape(ModelConfig{.head_dim = 128}, 0, 16).value_dim == 128);
  CHECK(folio::group_shape(ModelConfig{.head_dim = 128, .groups = {special}}, 0, 16).value_dim == 64);
  CHECK(folio::group_shape(ModelConfig{.head_dim = 128, .value_head_dim = 32, .groups = {special}}, 0, 16).value_dim ==
        32);
  special.value_head_dim = 48;  // its own comes before the model's
  CHECK(folio::group_shape(ModelConfig{.head_dim = 128, .value_head_dim = 32, .groups = {special}}, 0, 16).value_dim ==
        48);
}

TEST_CASE("what a configuration leaves open stays dynamic in the shape") {
  GroupShape const shape = folio::group_shape(ModelConfig{.groups = {folio::sliding_window(dynamic)}}, 0, 16);
  CHECK(shape.layers == dynamic);
  CHECK(shape.kv_heads == dynamic);
  CHECK(shape.window == dynamic);
  CHECK(shape.key_dim == 128);
}

TEST_CASE("a latent row is the rank and the rotary elements, and its values are the rank") {
  GroupShape const shape = folio::group_shape(ModelConfig{.layers = 61, .groups = {folio::latent(512, 64)}}, 0, 64);
  CHECK(shape.kv_heads == 1);
  CHECK(shape.key_dim == 576);
  CHECK(shape.value_dim == 512);
  CHECK(shape.values_in_keys());
  CHECK_FALSE(folio::group_shape(ModelConfig{}, 0, 64).values_in_keys());
}

TEST_CASE("visible is what the definition of a window and its sinks says") {
  for (std::int32_t const window : {0, 1, 2, 5, 16, 100})
    for (std::int32_t const sinks : {0, 1, 4, 9}) {
      GroupShape shape;
      shape.window = window;
      shape.sinks = window == 0 ? 0 : sinks;
      for (std::int32_t position = 0; position < 60; ++position)
        for (std::int32_t token = 0; token < 60; ++token) {
          bool const in_window = window == 0 || position - token < window;
          bool const expected = token <= position && (in_window || token < shape.sinks);
          if (shape.visible(position, token) != expected)
            FAIL("window " << window << ", sinks " << sinks << ": " << token << " from " << position);
          if (token <= position && in_window != (token >= shape.window_begin(position)))
            FAIL("window_begin(" << position << ") is wrong for a window of " << window);
        }
    }
}

TEST_CASE("a window at the ends of 32 bits does not overflow") {
  constexpr std::int32_t last = std::numeric_limits<std::int32_t>::max();
  GroupShape shape;
  shape.window = last;
  CHECK(shape.window_begin(0) == 0);
  CHECK(shape.window_begin(last) == 1);
  shape.window = 1;
  CHECK(shape.window_begin(last) == last);
}
