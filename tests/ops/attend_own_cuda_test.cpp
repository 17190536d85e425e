// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// A step's own tokens on the device, whose keys and values are given: against the formula over these and what is stored
// before them. Their slots were not written, or hold other rows, and what is given has no rows for padding: so whoever
// reads either is found out.
#include "ops/attend_cases.hpp"
//
#include <folio/ops/attend.cuh>
#include <random>

#include "support/random.hpp"
#include "support/strangers.hpp"

namespace {

using namespace folio;
using folio::test::AttendCase, folio::test::HybridBlocks, folio::test::is_attention, folio::test::Twins;
using folio::test::below, folio::test::contains;

enum class Kernel : std::uint8_t { decode, prefill, either };

/// An attention with a workspace of exactly what the plan says.
struct Attend {
  Kernel kernel = Kernel::either;
  std::int32_t parts = 1;
  std::int64_t launches = 0;  ///< that it is to take; 0: nobody counts

  template <class View, class T, class Out>
  void operator()(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
                  AttentionParams const& params) const {
    DeviceExecution execution{.num_parts = parts, .own_tokens = true};
    auto plan = ops::plan_attention(view, io.num_query_heads, {}, execution);
    simt::Buffer<std::byte> const workspace(static_cast<std::size_t>(plan.workspace_bytes()), "workspace");
    execution.workspace = {workspace.data(), workspace.size()};
    plan.set_workspace(execution.workspace);
    std::int64_t const before = simt::num_launches();
    if (kernel == Kernel::decode)
      ops::decode(view, layer, io, params, execution);
    else if (kernel == Kernel::either)
      ops::attend(plan, layer, io, params);
    else if constexpr (View::template static_shape<0>().key_dim <= 496)
      ops::prefill(view, layer, io, params, execution);
    check_cuda(cudaDeviceSynchronize(), "waiting for the device");
    if (launches != 0) CHECK(simt::num_launches() - before == launches);
  }
};

std::vector<AttendCase> own(std::vector<AttendCase> cases) {
  for (AttendCase& c : cases) c.own_tokens = true;
  return cases;
}

template <class T, class Out, class... Policies>
void hybrid() {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, Policies...> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 3, false);
  AttendCase const c{.num_query_heads = 6, .sink_logits = true, .own_tokens = true};
  is_attention<T, Out>(twins, c, Attend{Kernel::decode, 3});
  is_attention<T, Out>(twins, c, Attend{Kernel::prefill}, {.num_sequences = 9, .num_query_tokens = 90});
}

}  // namespace

TEST_CASE("own tokens on the device: of floats, over f32") { hybrid<float, float, F32, LayoutHnd>(); }
TEST_CASE("own tokens on the device: of halves, over a rotated format") {
  hybrid<Half, float, Int4Rotated, LayoutInterleaved>();
}
TEST_CASE("own tokens on the device: of bfloat16, over int8 keys and int4 values") {
  hybrid<BFloat16, Half, Keys<Int8PerToken>, Values<Int4Rotated>, LayoutNhd>();
}

TEST_CASE("own tokens on the device: masks, score modifications and rows apart, in one part and in several") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, Int4Rotated> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 7);
  for (AttendCase const& c : own(folio::test::modified_cases(6))) {
    is_attention<float, float>(twins, c, Attend{Kernel::decode, 1});
    is_attention<float, float>(twins, c, Attend{Kernel::decode, 3});
    is_attention<float, float>(twins, c, Attend{Kernel::prefill});
  }
}

TEST_CASE("own tokens on the device: in a step with limits those of sequences whose queries are their last tokens") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, Int4Rotated> twins({.num_blocks = {40, 120, 150}});
  fill_scattered(twins);
  twins.ask_seeing(0, {1});  // as its last token does, which has a slot where it is one
  folio::BatchPadding const padding{.num_sequences = 9, .num_query_tokens = 200, .has_limits = true};
  for (AttendCase const& c : own(folio::test::limit_cases(6))) {
    is_attention<float, float>(twins, c, Attend{Kernel::decode, 2}, padding);
    is_attention<float, float>(twins, c, Attend{Kernel::prefill}, padding);
  }
}

TEST_CASE("own tokens on the device: random steps, some of no token, with padding and any mask") {
  std::mt19937 random(GENERATE(range(0U, 5U)));
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, Int4Rotated> twins({.num_blocks = {40, 120, 150}});
  std::size_t const num_sequences = 1 + std::size_t(below(random, 6));
  for (std::size_t i = 0; i < num_sequences; ++i) twins.add(below(random, 70));
  write_rows(twins, 0);
  for (int step = 0; step < 4; ++step) {
    for (std::size_t i = 0; i < num_sequences; ++i)
      twins.extend(i, step % 2 == 0 ? below(random, 10) : below(random, 2));
    AttendCase c{.num_query_heads = 2 * (1 + below(random, 4)), .own_tokens = true};
    c.sink_logits = below(random, 2) == 0;
    c.tree_mask = below(random, 3) == 0;
    c.causal = below(random, 3) != 0;
    c.alibi = below(random, 3) == 0;
    if (below(random, 2) == 0) c.token_begin = below(random, 20), c.token_end = 20 + below(random, 60);
    folio::BatchPadding padding{.has_limits = c.causal && !c.tree_mask && below(random, 2) == 0};
    if (below(random, 2) == 0) padding.num_sequences = 8, padding.num_query_tokens = 80;
    Kernel const kernel = below(random, 2) == 0 ? Kernel::decode : Kernel::prefill;
    is_attention<float, float>(twins, c, Attend{kernel, 1 + below(random, 4)}, padding);
    write_rows(twins, 1 + static_cast<std::uint32_t>(step));
  }
}

TEST_CASE("own tokens on the device: steps of one token, of the first ones, and at every edge of a block") {
  Twins<Model<folio::test::llama_model>, BlockSize<8>, Int4Rotated> twins({.num_blocks = {40}});
  for (std::int32_t const length : {0, 1, 6, 7, 8, 9, 15, 16}) twins.add(length);
  write_rows(twins, 0);
  for (std::size_t i = 0; i < 8; ++i) twins.extend(i, 1);
  AttendCase const c{.num_query_heads = 8, .own_tokens = true};
  is_attention<float, float>(twins, c, Attend{});
  is_attention<float, float>(twins, c, Attend{Kernel::prefill});
  for (std::size_t i = 0; i < 8; ++i) twins.extend(i, static_cast<std::int32_t>(2 * i));
  is_attention<float, float>(twins, c, Attend{Kernel::decode, 2});
  is_attention<float, float>(twins, c, Attend{});
}

TEST_CASE("own tokens on the device: prompts of more tokens, or more heads, than tiles have") {
  auto const [tokens, heads] = GENERATE(table<std::int32_t, std::int32_t>({{40, 2}, {40, 6}, {4, 140}}));
  Twins<Model<folio::test::small_model>, BlockSize<8>, Int8PerToken> twins({.num_blocks = {80}});
  fill(twins, tokens, false);  // 70 heads of a kv head do not fit into one tile
  is_attention<float, float>(twins, {.num_query_heads = heads, .own_tokens = true}, Attend{});
}

TEST_CASE("own tokens on the device cost a launch, and a merge", "[stand_in]") {
  Twins<Model<folio::test::small_model>, BlockSize<8>, F16> twins({.num_blocks = {60}});
  twins.add(3);
  twins.add(5);
  write_rows(twins, 0);
  auto const queries = GENERATE(16, 17);  // with padding; of two sequences 16 are decoded
  auto const kernel = GENERATE(Kernel::decode, Kernel::prefill, Kernel::either);
  is_attention<float, float>(twins, {.num_query_heads = 6, .sink_logits = true, .own_tokens = true},
                             Attend{kernel, 2, 3}, {.num_query_tokens = queries});
}

TEST_CASE("own tokens on the device: latent rows that are too long for prefill") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 576, .groups = {latent(512, 64)}};
  Twins<Model<model>, Int8PerToken> twins({.num_blocks = {40}});
  twins.add(21);
  write_rows(twins, 0);
  twins.extend(0, 17);
  is_attention<BFloat16, float>(twins, {.num_query_heads = 6, .own_tokens = true}, Attend{Kernel::either, 2});
}

TEST_CASE("own tokens on the device: a NaN or an infinity stays with the queries that see it") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, F16> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 7, false);
  auto const kernel = GENERATE(Kernel::decode, Kernel::prefill);
  std::size_t const row = 10;  // of the step: the third query of the second sequence that has some
  auto const spoil = [&](auto& k, auto& v, GroupShape const& shape) {
    auto const one = [](auto& rows, std::size_t at, float x) {
      rows.floats[at] = x;
      ops::store_element(x, rows.rows.device[at]);
    };
    one(k, row * static_cast<std::size_t>(shape.kv_heads * shape.key_dim) + 5, NAN);
    std::size_t const last = k.floats.size() / static_cast<std::size_t>(shape.kv_heads * shape.key_dim) - 1;
    one(v, last * static_cast<std::size_t>(shape.kv_heads * shape.value_dim) + 3, INFINITY);
  };
  is_attention<float, float>(twins, {.num_query_heads = 4, .own_tokens = true}, Attend{kernel}, {}, {}, spoil);
}

TEST_CASE("attention over own tokens says what is wrong, and launches nothing", "[stand_in]") {
  using Cache = KvCache<Model<folio::test::small_model>, F16, folio::test::SimtAllocator>;
  Cache cache({.num_blocks = {8}});
  Sequence const sequence = cache.create(3);
  auto const batch = cache.batch(std::vector<BatchItem>{&sequence});
  DeviceView<Cache::View> const view(batch.view());
  constexpr std::int64_t part = 3 * 4 * (16 + 1) * 4;  // query tokens, heads, floats
  CHECK(ops::plan_attention(view, 4).workspace_bytes() == 0);
  CHECK(ops::plan_attention(view, 4, {}, {.own_tokens = true}).workspace_bytes() == 2 * part);
  CHECK(ops::plan_attention(view, 4, {}, {.num_parts = 3, .own_tokens = true}).workspace_bytes() == 4 * part);
  std::vector<float> floats(2 * 3 * 4 * 17 + 8);
  float* const data = floats.data();
  AttentionIo<float> io{data, 4, data};
  DeviceExecution execution{.workspace = {reinterpret_cast<std::byte*>(data), std::size_t{2 * part - 1}}};
  simt::streams(0);
  auto const refused = [&](std::string const& words) {
    CHECK_THROWS_WITH(ops::attend(view, 0, io, {}, execution), contains(words));
    CHECK_THROWS_WITH(ops::decode(view, 0, io, {}, execution), contains(words));
    CHECK_THROWS_WITH(ops::prefill(view, 0, io, {}, execution), contains(words));
  };
  io.k = data;
  refused("folio: attention takes the keys and the values of the step's own tokens, or neither");
  std::swap(io.k, io.v);
  refused("folio: attention takes the keys and the values of the step's own tokens, or neither");
  io.k = io.v = data;
  refused(
      "folio: attention in 2 parts needs a workspace of 1632 bytes, not 1631; ask workspace_bytes of the plan, made "
      "with own_tokens in its execution");
  io.k = data + 1;
  refused("k must begin at a multiple of 16 bytes");
  io.k = data;
  io.v = data + 2;
  refused("v must begin at a multiple of 16 bytes");
  io.v = data;
  io.k_stride = 31;
  refused("the rows of k have 32 elements");
  io.k_stride = 0;
  io.v_stride = 34;
  refused("the rows of v begin 34 elements apart");
  CHECK(simt::num_launches() == 0);
}
