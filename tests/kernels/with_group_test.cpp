// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/kernels/with_group.hpp>
#include <vector>

#include "support/catch.hpp"

using folio::ModelConfig;
using folio::test::contains;

namespace {

constexpr ModelConfig hybrid{.layers = 5,
                             .kv_heads = 1,
                             .head_dim = 8,
                             .groups = {folio::full_attention(), folio::sliding_window(4), folio::latent(8, 8)},
                             .pattern = folio::repeat_groups({1, 0, 2})};
using Cache = folio::KvCache<folio::Model<hybrid>>;

constexpr ModelConfig open_layers{.kv_heads = 1, .head_dim = 8};

/// (group, index) of a layer, as with_group gives them.
template <class View>
std::pair<int, std::int32_t> place_of(View const& view, std::int32_t layer) {
  std::pair<int, std::int32_t> place{-1, -1};
  int calls = 0;
  folio::ops::with_group(view, layer, [&](auto group, std::int32_t index) {
    constexpr int g = group();  // a constant
    place = {g, index};
    ++calls;
  });
  CHECK(calls == 1);
  return place;
}

}  // namespace

TEST_CASE("a layer's group is given as a constant, with the layer's index in it") {
  Cache cache({.num_blocks = {2, 2, 2}});
  auto const batch = cache.batch(std::span<folio::BatchItem const>{});
  auto const view = batch.view();
  CHECK(place_of(view, 0) == std::pair(1, 0));
  CHECK(place_of(view, 1) == std::pair(0, 0));
  CHECK(place_of(view, 2) == std::pair(2, 0));
  CHECK(place_of(view, 3) == std::pair(1, 1));
  CHECK(place_of(view, 4) == std::pair(0, 1));
}

TEST_CASE("a layer that the model does not have is refused, and nothing is called") {
  Cache cache({.num_blocks = {2, 2, 2}});
  auto const batch = cache.batch(std::span<folio::BatchItem const>{});
  auto const view = batch.view();
  int calls = 0;
  auto const count = [&](auto, std::int32_t) { ++calls; };
  for (std::int32_t const layer :
       {5, 6, 7, 100, -1, -100, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
    REQUIRE_THROWS_AS(folio::ops::with_group(view, layer, count), folio::Error);
    REQUIRE_THROWS_WITH(folio::ops::with_group(view, layer, count), contains("no layer " + std::to_string(layer)));
  }
  CHECK(calls == 0);
}

TEST_CASE("a number of layers that is known at run time is kept to") {
  folio::KvCache<folio::Model<open_layers>> cache({.num_blocks = {2}, .layers = 3});
  auto const batch = cache.batch(std::span<folio::BatchItem const>{});
  CHECK(place_of(batch.view(), 2) == std::pair(0, 2));
  REQUIRE_THROWS_WITH(place_of(batch.view(), 3), contains("folio: the model has no layer 3"));
}
