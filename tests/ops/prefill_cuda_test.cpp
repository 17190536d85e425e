// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Prefill attention, run thread by thread on the host, against the formula.
#include "ops/attend_cases.hpp"
//
#include <folio/ops/prefill.cuh>

#include "support/strangers.hpp"

namespace {

using namespace folio;
using folio::test::AttendCase, folio::test::HybridBlocks, folio::test::is_attention, folio::test::Twins;

struct Prefill {
  template <class View, class T, class Out>
  void operator()(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
                  AttentionParams const& params) const {
    ops::prefill(view, layer, io, params);
  }
};

/// Prompts of several lengths at once, and then chunks of others after them.
template <class... Policies>
void hybrid() {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, Policies...> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 7);
  is_attention<float, float>(twins, {6, true}, Prefill());
}

template <class... Policies>
void llama() {
  Twins<Model<folio::test::llama_model>, Policies...> twins({.num_blocks = {40}});
  for (std::int32_t const length : {0, 1, 15, 16, 17, 33}) twins.add(length);
  write_rows(twins, 0);
  is_attention<float, float>(twins, {8, false}, Prefill());
}

}  // namespace

// Each format with one layout, and one format with all of them.
TEST_CASE("prefill on the device: f32") { hybrid<F32, LayoutHnd>(); }
TEST_CASE("prefill on the device: f16") { hybrid<F16, LayoutNhd>(); }
TEST_CASE("prefill on the device: bf16") { hybrid<BF16, LayoutInterleaved>(); }
TEST_CASE("prefill on the device: fp8") { hybrid<Fp8E4M3, LayoutHnd>(); }
TEST_CASE("prefill on the device: int8") {
  llama<Int8PerToken, LayoutHnd>();
  llama<Int8PerToken, LayoutNhd>();
  llama<Int8PerToken, LayoutInterleaved>();
}
TEST_CASE("prefill on the device: int4") { hybrid<Int4Rotated, LayoutInterleaved>(), llama<Int4Rotated, LayoutHnd>(); }
TEST_CASE("prefill on the device: int2") { llama<Int2Rotated, LayoutNhd>(); }
TEST_CASE("prefill on the device: int8 keys, int4 values") {
  hybrid<Keys<Int8PerToken>, Values<Int4Rotated>, LayoutNhd>();
}
TEST_CASE("prefill on the device: a format with several scales in a row, in a layout of 4-byte pieces") {
  llama<folio::test::GroupedInt8, folio::test::ShreddedLayout>();
}

TEST_CASE("prefill on the device: long rows, of which a tile holds fewer") {
  constexpr ModelConfig model{.layers = 2,
                              .kv_heads = 1,
                              .head_dim = 256,
                              .value_head_dim = 192,
                              .groups = {full_attention(), latent(416, 64)},
                              .pattern = repeat_groups({0, 1})};
  Twins<Model<model>, Int4Rotated> twins({.num_blocks = {40, 40}});
  fill(twins, 2);
  is_attention<float, float>(twins, {3, true}, Prefill());
}

TEST_CASE("prefill on the device: any number of heads, chunks and formats of activations") {
  Twins<Model<folio::test::small_model>, BlockSize<8>, F16> twins({.num_blocks = {80}});
  fill(twins, 20);
  auto const heads = GENERATE(1, 2, 3, 5, 8, 70);  // 70 do not fit into one tile
  is_attention<float, float>(twins, {2 * heads, heads % 2 == 0}, Prefill());
  if (heads != 3) return;
  // Rows of padding, in the batch and after it, are not written.
  is_attention<Half, BFloat16>(twins, {6, true}, Prefill(), {.num_sequences = 9, .num_query_tokens = 200});
  is_attention<BFloat16, Half>(twins, {6, false}, Prefill(), {.num_query_tokens = 200});
}

TEST_CASE("prefill on the device: masks, score modifications and rows apart") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, F16> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 7);
  for (AttendCase const& c : folio::test::modified_cases(6)) is_attention<float, float>(twins, c, Prefill());
}

TEST_CASE("prefill on the device: queries anywhere in their sequences, or elsewhere") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, F16> twins({.num_blocks = {40, 120, 150}});
  fill_scattered(twins);
  for (AttendCase const& c : folio::test::limit_cases(6)) is_attention<float, float>(twins, c, Prefill());
  folio::BatchPadding const padding{.num_sequences = 9, .num_query_tokens = 200, .has_limits = true};
  is_attention<float, float>(twins, {6, true}, Prefill(), padding);
}

TEST_CASE("prefill on the device: limits that say what causality says") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, F16> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 7);
  is_attention<float, float>(twins, {6, true}, Prefill(), {.has_limits = true});
}

TEST_CASE("prefill on the device: the same of a rotated format, of many heads, in other formats") {
  Twins<Model<folio::test::llama_model>, Int4Rotated> twins({.num_blocks = {40}});
  fill(twins, 20);
  AttendCase c = folio::test::modified_cases(140).back();  // 70 of a kv head do not fit into one tile
  is_attention<Half, BFloat16>(twins, c, Prefill(), {.num_query_tokens = 200});
  c.num_query_heads = 10;
  is_attention<BFloat16, Half>(twins, c, Prefill());
}

TEMPLATE_TEST_CASE("prefill on the device: a NaN stays with the heads and queries that it is in, or that see it", "",
                   F32, BF16) {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, TestType> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 7);
  auto const spoil = [](auto& q, std::int32_t key_dim) {  // query tokens 0 and 3, heads 1 and 2 of 4
    folio::test::spoil_a_query(q, key_dim, 1);
    folio::test::spoil_a_query(q, key_dim, 4 * 3 + 2);
  };
  AttendCase const tree{.num_query_heads = 4, .logit_soft_cap = 3, .alibi = true, .tree_mask = true};
  is_attention<float, float>(twins, {4, false}, Prefill(), {}, spoil);
  is_attention<float, float>(twins, tree, Prefill(), {}, spoil);
  folio::test::poison_unseen(twins);
  is_attention<float, float>(twins, tree, Prefill());  // the last token hidden from some, seen by others
  is_attention<float, float>(twins, {4, true}, Prefill());
  // All keys of sequence 4 in the last head, and of sequence 0 one key.
  change_rows(twins, [](GroupShape const& shape, std::int32_t i, std::int32_t first_query, std::int32_t num_tokens,
                        auto const& store) {
    std::int32_t const begin = shape.window_begin(first_query);
    for (std::int32_t t = 0; t < num_tokens; ++t)
      if ((i == 4 || (i == 0 && t == 0)) && (t < shape.sinks || t >= begin)) store(shape.kv_heads - 1, t, NAN, 1.0F);
  });
  is_attention<float, float>(twins, {4, false}, Prefill());
}

TEST_CASE("prefill on the device says what is wrong, and launches nothing") {
  using Cache = KvCache<Model<folio::test::small_model>, F16, folio::test::SimtAllocator>;
  Cache cache({.num_blocks = {8}});
  Sequence const sequence = cache.create(3);
  auto const batch = cache.batch(std::vector<BatchItem>{&sequence});
  std::vector<float> floats(3 * 4 * 16);
  float* const data = floats.data();
  auto const prefill = [&](std::int32_t layer, std::int32_t heads, float const* q, float* out) {
    ops::prefill(DeviceView<Cache::View>(batch.view()), layer, AttentionIo<float>{q, heads, out});
  };
  using folio::test::contains;
  simt::streams(0);
  CHECK_THROWS_WITH(prefill(-1, 4, data, data), "folio: the model has no layer -1");
  CHECK_THROWS_WITH(prefill(0, 5, data, data), "folio: 5 query heads cannot share 2 kv heads; give a multiple");
  CHECK_THROWS_WITH(prefill(0, 4, nullptr, data), contains("q is null"));
  CHECK_THROWS_WITH(prefill(0, 4, data, nullptr), contains("out is null"));
  CHECK(simt::num_launches() == 0);
}
