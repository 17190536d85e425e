// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A hybrid model in two parts, and the mixed caches that are made of them.

#include <folio/models.hpp>
#include <folio/precision/layer_parts.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <folio/precision/precision_ladder.hpp>
#include <folio/precision/rotated_cache.hpp>
#include <vector>

#include "precision/hybrid_models.hpp"
#include "precision/mixed_programs.hpp"
#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"

using namespace folio;
using namespace folio::test;

namespace {

constexpr ModelConfig open_model{
    .head_dim = 16, .groups = {full_attention(), sliding_window(dynamic)}, .pattern = repeat_groups({1, 1, 0})};
using OpenCache = MixedPrecisionCache<CacheOf<open_model, F16>, CacheOf<open_model, Int4Rotated>>;

static_assert(Int8Hybrid::demotion_granularity == 8);  // the windows' blocks of 2 and 16 do not count
static_assert((Int8Hybrid::HotCache::num_groups == 1 && Int8Hybrid::CompressedCache::num_groups == 1));
static_assert(Int8Hybrid::WindowCache::Blocks::block_size(0) == 2);

/// Of a model of 7 layers, of which the third and the sixth see everything.
MixedPrecisionConfig open_config() {
  CacheConfig const full{.num_blocks = {8}, .layers = 7, .kv_heads = 2};
  return {.hot = full, .compressed = full, .windows = {.num_blocks = {8}, .layers = 7, .kv_heads = 2, .window = 5}};
}

}  // namespace

TEST_CASE("random programs over four groups, with layouts that differ") {
  run_mixed_programs<MixedPrecisionCache<CacheOf<four_groups, Keys<F32>, Values<F16>, BlockSizes<3, 4, 6, 2>>,
                                         CacheOf<four_groups, Int8PerToken, BlockSizes<5, 8, 5, 4>, LayoutNhd>>>(
      60, 40, 4, 12, 60);
}

TEST_CASE("the compressed cache has no memory for layers with a window, and statistics tell all three") {
  Int8Hybrid cache(small_hybrid(0, 0));
  CacheOf<full_first, F32, BlockSizes<4, 2>> plain({.num_blocks = {50, 60}});
  CHECK(cache.hot().memory_bytes() + cache.windows().memory_bytes() == plain.memory_bytes());
  CHECK(cache.compressed().shape().layers == 2);
  CHECK((cache.shape(0).window == 0 && cache.shape(1).window == 7));
  for (int const group : {-1, 2})
    CHECK_THROWS_WITH(cache.shape(group), contains("no layer group " + std::to_string(group) + "; it has 2"));
  MixedPrecisionSequence s = cache.create(32);
  CHECK(cache.windows().num_free_blocks() == 44);
  s.extend(1);  // which gives back what the window has passed
  cache.demote(s);
  CHECK(s.num_demoted() == 32);
  CHECK(cache.memory_bytes() == plain.memory_bytes() + cache.compressed().memory_bytes());
  MixedPrecisionStats const stats = cache.stats();
  CHECK(stats.bytes_saved == 8 * cache.hot().block_bytes() - 4 * cache.compressed().block_bytes());
  CHECK(stats.compressed.groups.size() == 1);
  CHECK(stats.windows.num_tokens == 33);
  CHECK(stats.windows.live == 7);  // 3 of the sinks, 4 from token 26 on
}

TEST_CASE("a group that has too few blocks is named as in the model") {
  using Cache = MixedPrecisionCache<CacheOf<window_first, F16>, CacheOf<window_first, Int8PerToken>>;
  auto const append = [](std::int64_t hot, std::int64_t compressed, std::int64_t windows) {
    Cache cache({.hot = {.num_blocks = {hot}},
                 .compressed = {.num_blocks = {compressed}},
                 .windows = {.num_blocks = {windows}}});
    MixedPrecisionSequence s = cache.create();
    CHECK_NOTHROW(s.extend(1));
    try {
      s.extend(63);
      cache.demote(s);
    } catch (OutOfBlocks const& full) {
      CHECK(full.free() == std::min({hot, compressed, windows}) - (compressed < 4 ? 0 : 1));
      return full.group();
    }
    return -1;
  };
  CHECK(append(4, 4, 4) == -1);
  CHECK(append(3, 4, 4) == 1);
  CHECK(append(4, 3, 4) == 1);
  CHECK(append(4, 4, 3) == 0);
}

TEST_CASE("the ladder looks at the groups that demoting helps") {
  Int8Hybrid cache({.hot = {.num_blocks = {20}},
                    .compressed = {.num_blocks = {20}},
                    .recent_window = 40,
                    .windows = {.num_blocks = {20}}});
  PrecisionLadder ladder(40, {{0.5, 4}, {0.2, 0}});
  MixedPrecisionSequence s = cache.create(40);
  MixedPrecisionSequence* const sequences[] = {&s};
  CHECK(cache.windows().num_free_blocks() == 0);
  CHECK(ladder.relieve(cache, sequences) == 0);  // half of the hot blocks are free
  CHECK(ladder.stats().step == 0);
  s.extend(1);
  CHECK(ladder.relieve(cache, sequences) == 32);
  CHECK(cache.recent_window() == 4);  // less than the window, which has what it had
  CHECK(s.windows().num_tokens() == 41);
}

TEST_CASE("what the parts of a hybrid model refuse, they say, and change nothing") {
  Int8Hybrid cache(small_hybrid(4, 0));
  MixedPrecisionSequence s = cache.create(30);
  s.extend(1);
  cache.demote(s);
  auto const before = std::vector{snapshot(cache.hot().state()->store), snapshot(cache.compressed().state()->store),
                                  snapshot(cache.windows().state()->store)};
  CHECK_THROWS_WITH(s.truncate(25), contains("layer group 0, with a window of 7, gave back the tokens before 24"));
  CHECK_THROWS_WITH(s.truncate(25), contains("(numbered among the groups with a window)"));
  CHECK_THROWS_WITH(s.extend(-1), contains("cannot append -1 tokens"));
  CHECK_THROWS_WITH(s.extend(0x7fffffff), contains("cannot append 2147483647 tokens to a sequence of 31"));
  CHECK_THROWS_AS(cache.batch({{&s, 32}}), Error);
  CHECK_THROWS_WITH(cache.batch({{&s, 3}}), contains("layer group 0 gave back when they left its window"));
  auto const batch = cache.batch({{&s, 1}});
  std::vector<float> q(64), out(64);
  for (std::int32_t const layer : {-1, 3, 1000})
    CHECK_THROWS_WITH(ops::attend(batch.view(), layer, AttentionIo{q.data(), 2, out.data()}),
                      contains("no layer " + std::to_string(layer)));
  CHECK_THROWS_WITH(ops::append(batch.view(), 3, q.data(), q.data()), contains("folio: the model has no layer 3"));
  CHECK_THROWS_WITH(ops::attend(batch.view(), 1, AttentionIo{q.data(), 3, out.data()}), contains("3 query heads"));
  CHECK_THROWS_WITH(ops::attend(batch.view(), 1, AttentionIo{q.data(), 2, out.data()}, {.token_begin = 1}),
                    contains("no range of tokens"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 1, {0, 10, 1}, q.data(), nullptr), contains("given back when it left"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 1, {0, 30, 2}, q.data(), nullptr), contains("31 tokens, so not the 2"));
  CHECK_THROWS_WITH(ops::gather(batch.view(), 1, {1, 30, 1}, q.data(), nullptr), contains("no sequence 1"));
  CHECK(out == std::vector<float>(64));
  CHECK(before == std::vector{snapshot(cache.hot().state()->store), snapshot(cache.compressed().state()->store),
                              snapshot(cache.windows().state()->store)});
}

TEST_CASE("a config says for each part what the model leaves open") {
  OpenCache cache(open_config());
  CHECK((cache.hot().shape().layers == 2 && cache.compressed().shape().layers == 2 &&
         cache.windows().shape().layers == 5));
  CHECK((cache.shape(1).window == 5 && cache.shape(1).kv_heads == 2));
  CHECK(cache.batch({}).view().num_layers() == 7);
  auto const refused = [](auto const& change) {
    MixedPrecisionConfig config = open_config();
    change(config);
    return OpenCache(config);
  };
  CHECK_THROWS_WITH(refused([](auto& c) { c.windows = {}; }), contains("leaves layers dynamic"));
  CHECK_THROWS_WITH(refused([](auto& c) { c.windows.window = 0; }), contains("leaves window dynamic"));
  CHECK_THROWS_WITH(refused([](auto& c) { c.hot.window = 5; }), contains("no window of the model is dynamic"));
  CHECK_THROWS_WITH(refused([](auto& c) { c.windows.layers = 8; }), contains("the same layers and kv heads"));
  CHECK_THROWS_WITH(refused([](auto& c) { c.compressed.layers = 8; }), contains("the same layers and kv heads"));
  CHECK_THROWS_WITH(refused([](auto& c) { c.windows.kv_heads = 1; }), contains("the same layers and kv heads"));
  CHECK_THROWS_WITH(refused([](auto& c) { c.hot.layers = c.compressed.layers = c.windows.layers = 2; }),
                    contains("of 2 layers none is without a window"));
  CHECK_THROWS_WITH(
      refused([](auto& c) {
        c.hot.num_blocks = {8, 8};
      }),
      contains("MixedPrecisionConfig::hot.num_blocks has 2 entries; the model has 1 layer groups without a window"));
  CHECK_THROWS_WITH(Int8Hybrid({.hot = {.num_blocks = {8}}, .compressed = {.num_blocks = {8}}}),
                    contains("either memory_bytes or num_blocks"));
  CHECK_NOTHROW(Int8Hybrid({.hot = {.memory_bytes = 100000, .layers = 3},
                            .compressed = {.memory_bytes = 100000},
                            .windows = {.memory_bytes = 100000}}));
  CHECK_THROWS_WITH(Int8Hybrid({.hot = {.memory_bytes = 100000, .layers = 2}, .windows = {.memory_bytes = 100000}}),
                    contains("MixedPrecisionConfig::hot.layers is 2, but the model says 3"));
  using Plain = MixedPrecisionCache<CacheOf<models::llama3_1_8b>, CacheOf<models::llama3_1_8b, Int8PerToken>>;
  CHECK_THROWS_WITH(
      Plain({.hot = {.num_blocks = {1}}, .compressed = {.num_blocks = {1}}, .windows = {.num_blocks = {1}}}),
      contains("no layer of this model has a window"));
}

TEST_CASE("parts have all layers of a model, in its order") {
  auto const check = [](ModelConfig const& model, std::int32_t num_layers) {
    std::int32_t seen[2] = {0, 0};
    for (std::int32_t layer = 0; layer < num_layers; ++layer) {
      CAPTURE(layer);
      LayerPlace const at = model.pattern.place(layer);
      bool const window = model.groups[at.group].kind == AttentionKind::sliding_window;
      PartPlace const place = layer_in_part(model, layer), group = group_in_part(model, at.group);
      CHECK((place.part == LayerPart::with_window) == window);
      CHECK(place.number == seen[window ? 1 : 0]++);
      CHECK(group.part == place.part);
      CHECK(group_of_model(model, group.part, group.number) == at.group);
      ModelConfig const part = layers_of(model, place.part);
      LayerPlace const in_part = part.pattern.place(place.number);
      CHECK((in_part.group == group.number && in_part.index == at.index));
      CHECK(part.groups[group.number].window == model.groups[at.group].window);
    }
    for (LayerPart const part : {LayerPart::without_window, LayerPart::with_window}) {
      CHECK(num_layers_of(model, part, num_layers) == seen[part == LayerPart::with_window ? 1 : 0]);
      CHECK(problem_of(layers_of(model, part)) == nullptr);
    }
  };
  for (ModelConfig const& model : {models::gemma3_4b, models::gemma3_12b, models::gemma3_27b, models::gpt_oss_20b,
                                   full_first, window_first, four_groups, latent_and_window})
    check(model, model.layers);
  for (std::int32_t const layers : {3, 7, 12}) check(open_model, layers);
  ModelConfig longest = four_groups;
  longest.pattern = {.period = 64, .first_half = 0x1b2d4e8f93a7c561U, .second_half = 0xe4b1c39d05f7a826U};
  check(longest, 150);
  static_assert(
      std::is_same_v<CachePart<CacheOf<models::llama3_1_8b>, LayerPart::without_window>, CacheOf<models::llama3_1_8b>>);
}

TEST_CASE("matrices go with hybrid models as well") {
  std::vector<LayerMatrices> none(3, LayerMatrices{2, 16, 16, {}, {}});
  RotatedCache<Int8Hybrid> turned(Int8Hybrid(small_hybrid(4, 0)), RotationMatrices(none));
  Int8Hybrid cache(small_hybrid(4, 0));
  MixedPrecisionSequence a = cache.create(20), b = turned.create(20);
  auto const batch_a = cache.batch({{&a}});
  auto const batch_b = turned.batch({{&b}});
  auto const rows = random_floats(20 * 2 * 16, 1);
  for (std::int32_t layer = 0; layer < 3; ++layer) {
    std::vector<float> out_a(rows.size()), out_b(rows.size(), 1.0F);
    ops::append(batch_a.view(), layer, rows.data(), rows.data());
    ops::append(batch_b.view(), layer, rows.data(), rows.data());
    ops::attend(batch_a.view(), layer, AttentionIo{rows.data(), 2, out_a.data()});
    ops::attend(batch_b.view(), layer, AttentionIo{rows.data(), 2, out_b.data()});
    CHECK(out_a == out_b);
  }
}
