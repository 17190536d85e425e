// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/with_model.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "support/catch.hpp"

namespace {

using namespace folio;
using namespace folio::literals;
using folio::test::contains;

using SmallDims = HeadDims<16, 32>;
using Kinds = GroupKinds<full_only, full_and_sliding>;
using FormatList = FormatKinds<Format<"f32", F32>, Format<"k8v4", Keys<Int8PerToken>, Values<Int4Rotated>>>;

/// The name of what is called, and what its cache is like.
std::string run(ModelShape const& shape) {
  return with_model<SmallDims, Kinds, FormatList>(shape, [](auto built, CacheConfig config) {
    using Cache = typename decltype(built)::template Cache<LruEviction>;
    config.memory_bytes = 1 << 20;
    Cache const cache(config);
    std::string text = std::to_string(Cache::model.head_dim) + " " + std::string(Cache::KeyQuantizer::name) + " " +
                       std::string(Cache::ValueQuantizer::name);
    for (int g = 0; g < Cache::num_groups; ++g)
      text += ", " + std::to_string(cache.shape(g).layers) + " of " + std::to_string(cache.shape(g).window);
    return text + ", kv heads " + std::to_string(cache.shape(0).kv_heads);
  });
}

std::string problem(ModelShape const& shape) {
  try {
    return run(shape);
  } catch (NotBuilt const& error) {
    return error.what();
  }
}

}  // namespace

TEST_CASE("a model gets the first type that has its head dim, its layers and its format") {
  std::vector<LayerGroup> const plain(3, full_attention());
  std::vector<LayerGroup> const hybrid = {full_attention(), sliding_window(9), sliding_window(9), full_attention()};
  std::string const f32 = std::string(F32::name) + " " + std::string(F32::name);
  CHECK(run({16, 2, plain, "f32"}) == "16 " + f32 + ", 3 of 0, kv heads 2");
  CHECK(run({32, 1, plain, "f32"}) == "32 " + f32 + ", 3 of 0, kv heads 1");
  CHECK(run({32, 1, hybrid, "f32"}) == "32 " + f32 + ", 2 of 0, 2 of 9, kv heads 1");
  CHECK(run({16, 1, {2, sliding_window(7)}, "f32"}) == "16 " + f32 + ", 0 of 0, 2 of 7, kv heads 1");
  CHECK_THAT(run({16, 1, hybrid, "k8v4"}),
             contains(std::string(Int8PerToken::name) + " " + std::string(Int4Rotated::name) + ", 2 of 0, 2 of 9"));
}

TEST_CASE("what a program was not built for is said in one sentence, with what it was built for") {
  std::vector<LayerGroup> const plain(3, full_attention());
  CHECK(problem({80, 1, plain, "f32"}) == "folio: this program was not built for head_dim 80, but for 16 or 32");
  CHECK(problem({16, 1, plain, "int3"}) ==
        "folio: this program was not built for the format int3, but for f32 or k8v4");
  CHECK(problem({16, 1, {full_attention(), latent(64, 8), full_attention()}, "f32"}) ==
        "folio: this program was not built for layers of full_attention() and latent(64, 8), but for full_attention() "
        "or full_attention() and sliding_window(dynamic)");
  CHECK(problem({80, 1, {sliding_window(4, 2)}, "int3"}) ==
        "folio: this program was not built for head_dim 80, but for 16 or 32; nor for layers of sliding_window(4, 2), "
        "but for full_attention() or full_attention() and sliding_window(dynamic); nor for the format int3, but for "
        "f32 or k8v4");
  CHECK_THAT(problem({16, 1, {sliding_window(4), sliding_window(5)}, "f32"}),
             contains("layers of sliding_window(4) and sliding_window(5), but for"));
  LayerGroup own = full_attention();
  own.kv_heads = 1;
  CHECK_THAT(problem({16, 2, {own}, "f32"}), contains("layers of full_attention(), kv_heads 1, but for"));
  CHECK_THROWS_WITH(run({16, 1, {}, "f32"}), contains("this has none"));
  for (std::int32_t const window : {0, -1, -7})
    CHECK_THROWS_WITH(run({16, 1, {sliding_window(window), sliding_window(9)}, "f32"}),
                      contains("sliding_window(" + std::to_string(window) + "); a sliding window must be at least 1"));
}

TEST_CASE("kinds may name their windows, and a program may list no formats") {
  constexpr LayerGroups named{sliding_window(8), full_attention()};
  int calls = 0;
  auto const call = [&](auto built, CacheConfig const& config) -> int& {
    static_assert(std::is_same_v<typename decltype(built)::template Cache<F32>,
                                 KvCache<typename decltype(built)::ModelType, F32>>);
    CHECK(config.window == 0);
    CHECK(config.layer_groups == std::vector<std::int32_t>{1, 0});
    CHECK(config.kv_heads == 3);
    return ++calls;
  };
  int& result = with_model<HeadDims<16>, GroupKinds<named>>({16, 3, {full_attention(), sliding_window(8)}}, call);
  CHECK(&result == &calls);
  CHECK(calls == 1);
  ModelShape const other{16, 3, {full_attention(), sliding_window(9)}};
  CHECK_THROWS_AS((with_model<HeadDims<16>, GroupKinds<named>>(other, call)), NotBuilt);
}

TEST_CASE("what the documents show of a model from a config.json") {
  std::vector<std::string> const layer_types = {"full_attention", "sliding_attention", "sliding_attention",
                                                "full_attention", "sliding_attention"};
  std::int32_t const head_dim = 64, kv_heads = 2, window = 128;
  // [pattern]
  constexpr folio::ModelConfig any_hybrid{.head_dim = 64,
                                          .groups = {folio::full_attention(), folio::sliding_window(folio::dynamic)},
                                          .pattern = folio::dynamic_pattern};
  folio::CacheConfig config{.num_blocks = {100, 20}, .kv_heads = kv_heads, .window = window};
  for (std::string const& type : layer_types) config.layer_groups.push_back(type == "sliding_attention" ? 1 : 0);
  folio::KvCache<folio::Model<any_hybrid>> cache(config);
  // [/pattern]
  CHECK(cache.shape(1).layers == 3);

  std::int32_t layers_with_window = 0;
  auto const serve = [&](auto const& any_cache) { layers_with_window = any_cache.shape(1).layers; };
  // [with_model]
  using Dims = folio::HeadDims<64, 128>;
  using Layers = folio::GroupKinds<folio::full_and_sliding>;
  using Stored = folio::FormatKinds<folio::Format<"f16", folio::F16>, folio::Format<"int8", folio::Int8PerToken>>;

  folio::ModelShape shape{.head_dim = head_dim, .kv_heads = kv_heads};
  for (std::string const& type : layer_types)
    shape.layers.push_back(type == "sliding_attention" ? folio::sliding_window(window) : folio::full_attention());
  shape.format = "int8";
  folio::with_model<Dims, Layers, Stored>(shape, [&](auto built, folio::CacheConfig rest) {
    rest.memory_bytes = 4_MiB;
    typename decltype(built)::template Cache<folio::LruEviction> const any(rest);
    serve(any);
  });
  // [/with_model]
  CHECK(layers_with_window == 3);
}
