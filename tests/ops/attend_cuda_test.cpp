// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The attention kernel and its launcher, run thread by thread on the host, against the formula.
#include "ops/attend_cases.hpp"
//
#include <folio/models.hpp>
#include <folio/ops/attend.cuh>

#include "support/strangers.hpp"

namespace {

using namespace folio;
using folio::test::AttendCase, folio::test::HybridBlocks, folio::test::is_attention, folio::test::Twins;

/// The launcher, with its own choice of heads for a thread block.
struct Decode {
  std::int32_t parts = 1;

  template <class View, class T, class Out>
  void operator()(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
                  AttentionParams const& params) const {
    DeviceExecution execution{.num_parts = parts};
    std::int64_t const bytes = ops::plan_attention(view, io.num_query_heads, params, execution).workspace_bytes();
    simt::Buffer<std::byte> const workspace(static_cast<std::size_t>(bytes), "workspace");
    execution.workspace = {workspace.data(), workspace.size()};
    ops::decode(view, layer, io, params, execution);
    check_cuda(cudaDeviceSynchronize(), "waiting for the device");
  }
};

/// The same with `Heads` heads for a thread block, so that the other kernels need not be compiled.
template <int Heads>
struct DecodeHeads {
  std::int32_t parts = 1;

  template <class View, class T, class Out>
  void operator()(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
                  AttentionParams const& params) const {
    ops::with_group(static_cast<View const&>(view), layer, [&](auto group, std::int32_t index) {
      GroupShape const& shape = view.group(group()).shape;
      auto const rows = static_cast<std::size_t>(view.num_query_tokens() * io.num_query_heads);
      simt::Buffer<float> const parts_out(rows * static_cast<std::size_t>(parts * shape.value_dim), "parts");
      simt::Buffer<float> const parts_lse(rows * static_cast<std::size_t>(parts), "parts' lse");
      auto arguments = ops::detail::checked_arguments(view.group(group()), io, params);
      if (parts > 1) {
        arguments.parts_out = parts_out.data();
        arguments.parts_lse = parts_lse.data();
      }
      std::int32_t const blocks_of_heads = (io.num_query_heads / shape.kv_heads + Heads - 1) / Heads;
      dim3 const grid(static_cast<unsigned>(view.num_query_tokens()),
                      static_cast<unsigned>(shape.kv_heads * blocks_of_heads), static_cast<unsigned>(parts));
      simt::launch({.grid = grid, .block = ops::detail::attend_threads, .name = "attend_kernel", .seed = 11},
                   ops::attend_kernel<View, group(), Heads, T, Out>, view, index, arguments);
      if (parts > 1)
        simt::launch({.grid = static_cast<unsigned>(rows), .block = 32, .name = "merge_parts_kernel"},
                     ops::detail::merge_parts_kernel<View, T, Out>, view, arguments, parts, shape.value_dim);
    });
  }
};

template <class... Policies>
void hybrid() {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, Policies...> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 1);
  is_attention<float, float>(twins, {6, false}, DecodeHeads<2>{1});
  is_attention<float, float>(twins, {4, true}, DecodeHeads<2>{3});
}

template <int Heads, class... Policies>
void llama() {
  Twins<Model<folio::test::llama_model>, Policies...> twins({.num_blocks = {40}});
  fill(twins, 1);
  is_attention<float, float>(twins, {2 * Heads, true}, DecodeHeads<Heads>{2});
}

}  // namespace

// Each format with one layout, and one format with all of them.
TEST_CASE("attention on the device: f32") { hybrid<F32, LayoutHnd>(), llama<2, F32, LayoutInterleaved>(); }
TEST_CASE("attention on the device: f16") { hybrid<F16, LayoutNhd>(), llama<4, F16, LayoutHnd>(); }
TEST_CASE("attention on the device: bf16") { hybrid<BF16, LayoutInterleaved>(), llama<4, BF16, LayoutNhd>(); }
TEST_CASE("attention on the device: fp8") { hybrid<Fp8E4M3, LayoutHnd>(), llama<8, Fp8E4M3, LayoutInterleaved>(); }
TEST_CASE("attention on the device: int8") {
  hybrid<Int8PerToken, LayoutHnd>();
  hybrid<Int8PerToken, LayoutNhd>();
  hybrid<Int8PerToken, LayoutInterleaved>();
  llama<4, Int8PerToken, LayoutHnd>();
}
TEST_CASE("attention on the device: int4") {
  hybrid<Int4Rotated, LayoutInterleaved>(), llama<4, Int4Rotated, LayoutHnd>();
}
TEST_CASE("attention on the device: int2") { llama<4, Int2Rotated, LayoutHnd>(); }
TEST_CASE("attention on the device: int8 keys, int4 values") {
  hybrid<Keys<Int8PerToken>, Values<Int4Rotated>, LayoutNhd>();
}
TEST_CASE("attention on the device: a format with several scales in a row, in a layout of 4-byte pieces") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 320, .value_head_dim = 48};
  Twins<Model<model>, folio::test::GroupedInt8, folio::test::ShreddedLayout> twins({.num_blocks = {40}});
  fill(twins, 1);
  is_attention<float, float>(twins, {2, false, 0.01F}, DecodeHeads<2>{1});
}

TEST_CASE("attention on the device: latent rows that a lane has several pieces of") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 576, .groups = {latent(512, 64)}};
  Twins<Model<model>, Int4Rotated> twins({.num_blocks = {40}});
  fill(twins, 1);
  is_attention<float, float>(twins, {6, false}, DecodeHeads<4>{2});
}

TEST_CASE("attention on the device: any number of heads, parts and formats of activations") {
  Twins<Model<folio::test::small_model>, BlockSize<8>, F16> twins({.num_blocks = {60}});
  fill(twins, 3);
  auto const heads = GENERATE(range(1, 9)), parts = GENERATE(0, 1, 4);
  is_attention<float, float>(twins, {2 * heads, heads % 2 == 0}, Decode{parts});
  if (heads != 3) return;
  // Rows of padding, in the batch and after it, are not written. More parts than tokens leave some of them empty.
  is_attention<Half, BFloat16>(twins, {6, true}, Decode{parts}, {.num_sequences = 9, .num_query_tokens = 40});
  is_attention<BFloat16, Half>(twins, {6, true}, Decode{30}, {.num_query_tokens = 40});
}

TEST_CASE("attention on the device: masks, score modifications and rows apart, in one part and in several") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, F16> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 3);
  for (AttendCase const& c : folio::test::modified_cases(6)) {
    is_attention<float, float>(twins, c, DecodeHeads<2>{1});
    is_attention<float, float>(twins, c, DecodeHeads<2>{3});
  }
}

TEST_CASE("attention on the device: queries anywhere in their sequences, or elsewhere, in one part and in several") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, F16> twins({.num_blocks = {40, 120, 150}});
  fill_scattered(twins);
  folio::BatchPadding const padding{.num_sequences = 9, .num_query_tokens = 70, .has_limits = true};
  for (AttendCase const& c : folio::test::limit_cases(6)) {
    is_attention<float, float>(twins, c, DecodeHeads<2>{1});
    is_attention<float, float>(twins, c, DecodeHeads<2>{3}, padding);
  }
}

TEST_CASE("attention on the device: limits that say what causality says") {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, F16> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 3);
  is_attention<float, float>(twins, {6, true}, DecodeHeads<2>{2}, {.num_query_tokens = 90, .has_limits = true});
}

TEST_CASE("attention on the device: the same of a rotated format, of few and many heads, in other formats") {
  Twins<Model<folio::test::llama_model>, Int4Rotated> twins({.num_blocks = {40}});
  fill(twins, 2);
  AttendCase const c = folio::test::modified_cases(16).back();
  is_attention<Half, BFloat16>(twins, c, DecodeHeads<8>{2}, {.num_query_tokens = 40});
  is_attention<BFloat16, Half>(twins, c, DecodeHeads<1>{30});
}

TEMPLATE_TEST_CASE("attention on the device: a NaN stays with the heads and queries that it is in, or that see it", "",
                   F32, BF16) {
  Twins<Model<folio::test::hybrid_model>, HybridBlocks, TestType> twins({.num_blocks = {40, 120, 150}});
  fill(twins, 3);
  auto const spoil = [](auto& q, std::int32_t key_dim) {  // query tokens 0 and 3, heads 1 and 2 of 4
    folio::test::spoil_a_query(q, key_dim, 1);
    folio::test::spoil_a_query(q, key_dim, 4 * 3 + 2);
  };
  is_attention<float, float>(twins, {4, false}, DecodeHeads<2>{1}, {}, spoil);
  is_attention<float, float>(twins, {4, true}, DecodeHeads<2>{3}, {}, spoil);
  AttendCase tree{.num_query_heads = 4, .logit_soft_cap = 3, .alibi = true, .tree_mask = true};
  is_attention<float, float>(twins, tree, DecodeHeads<2>{3}, {}, spoil);
  folio::test::poison_unseen(twins);
  is_attention<float, float>(twins, tree, DecodeHeads<2>{1});  // the last token hidden from some, seen by others
  is_attention<float, float>(twins, {4, true}, DecodeHeads<2>{1});
  is_attention<float, float>(twins, {4, false}, DecodeHeads<2>{3});
  // All keys of sequence 4 in the last head, and of sequence 0 one key.
  change_rows(twins, [](GroupShape const& shape, std::int32_t i, std::int32_t first_query, std::int32_t num_tokens,
                        auto const& store) {
    std::int32_t const begin = shape.window_begin(first_query);
    for (std::int32_t t = 0; t < num_tokens; ++t)
      if ((i == 4 || (i == 0 && t == 0)) && (t < shape.sinks || t >= begin)) store(shape.kv_heads - 1, t, NAN, 1.0F);
  });
  is_attention<float, float>(twins, {4, false}, DecodeHeads<2>{1});
  is_attention<float, float>(twins, {4, true}, DecodeHeads<2>{3});
}

TEST_CASE("a plan says what workspace the parts need, and they are as many as fill the GPU") {
  using Cache = KvCache<Model<models::gemma3_27b>, Int8PerToken, BlockSizes<32, 16>, folio::test::SimtAllocator>;
  Cache cache({.num_blocks = {8, 8}});
  Sequence const sequence = cache.create(1);
  auto const bytes = [&](std::int32_t num_sequences, std::int32_t num_tokens, DeviceExecution const& execution,
                         AttentionParams const& params = {}) {
    auto const batch =
        cache.batch(std::vector<BatchItem>{&sequence},
                    {.num_sequences = num_sequences, .num_query_tokens = num_sequences, .num_tokens = num_tokens});
    return ops::plan_attention(DeviceView<Cache::View>(batch.view()), 32, params, execution).workspace_bytes();
  };
  constexpr std::int64_t row = 32 * (128 + 1) * 4;  // one query token of one part
  int multiprocessors = 0;
  REQUIRE(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0) == cudaSuccess);
  std::int64_t const blocks = multiprocessors * 8;  // 16 kv heads: 16 of them for a query token
  CHECK(bytes(1, 100, {}) == 0);                    // too short to be split
  CHECK(bytes(1, 200, {}) == 0);
  CHECK(bytes(1, 1 << 20, {}) == (blocks + 15) / 16 * row);
  CHECK(bytes(1, 1 << 20, {.max_tokens = 512}) == std::min<std::int64_t>(4, (blocks + 15) / 16) * row);
  CHECK(bytes(1, 1 << 20, {}, {.token_begin = 1000, .token_end = 1255}) == 0);  // one part's tokens
  CHECK(bytes(static_cast<std::int32_t>(blocks), 1 << 12, {}) == 0);            // many sequences fill it without
  CHECK(bytes(3, 100, {.num_parts = 5}) == 3 * 5 * row);
}

TEST_CASE("a device's multiprocessors are counted once, and plans after it ask CUDA nothing", "[stand_in]") {
  using Cache = KvCache<Model<folio::test::small_model>, F16, folio::test::SimtAllocator>;
  Cache cache({.num_blocks = {8}});
  Sequence const sequence = cache.create(1);
  auto const batch = cache.batch(std::vector<BatchItem>{&sequence}, {.num_tokens = 1 << 20});
  DeviceView<Cache::View> const view(batch.view());
  std::int64_t const bytes = ops::plan_attention(view, 4).workspace_bytes();
  REQUIRE(bytes > 0);
  simt::fail_next("cudaDeviceGetAttribute", cudaErrorUnknown, 0);
  CHECK(ops::plan_attention(view, 4).workspace_bytes() == bytes);
  CHECK(simt::forget_failure());
}

namespace {

/// ops::attend, planned or not, in two parts: decode is two launches, prefill is one.
struct Attend {
  enum class By : std::uint8_t { view, plan, plan_with_other_params };
  By by = By::view;
  int launches = 2;

  template <class View, class T, class Out>
  void operator()(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
                  AttentionParams const& params) const {
    AttentionParams const planned = by == By::plan_with_other_params ? AttentionParams{} : params;
    DeviceExecution execution{.num_parts = 2};
    auto plan = ops::plan_attention(view, io.num_query_heads, planned, execution);
    simt::Buffer<std::byte> const workspace(static_cast<std::size_t>(plan.workspace_bytes()), "workspace");
    execution.workspace = {workspace.data(), workspace.size()};
    plan.set_workspace(execution.workspace);
    std::int64_t const before = simt::num_launches();
    if (by == By::view)
      ops::attend(view, layer, io, params, execution);
    else if (by == By::plan)
      ops::attend(plan, layer, io);
    else
      ops::attend(plan, layer, io, params);
    check_cuda(cudaDeviceSynchronize(), "waiting for the device");
    CHECK(simt::num_launches() - before == launches);
  }
};

}  // namespace

TEST_CASE("attention on the device is decode or prefill by the sizes of the step, planned or not", "[stand_in]") {
  Twins<Model<folio::test::small_model>, BlockSize<8>, F16> twins({.num_blocks = {60}});
  twins.add(3);
  twins.add(5);
  write_rows(twins, 0);
  auto const by = GENERATE(Attend::By::view, Attend::By::plan, Attend::By::plan_with_other_params);
  auto const queries = GENERATE(8, 16, 17, 40);  // with padding; of two sequences 16 are decoded
  is_attention<float, float>(twins, {.num_query_heads = 6, .sink_logits = true, .logit_soft_cap = 5},
                             Attend{by, queries > 16 ? 1 : 2}, {.num_query_tokens = queries});
}

TEST_CASE("attention on the device decodes prompts, too, where rows are too long for prefill", "[stand_in]") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 576, .groups = {latent(512, 64)}};
  Twins<Model<model>, BF16> twins({.num_blocks = {40}});
  twins.add(20);
  write_rows(twins, 0);
  is_attention<float, float>(twins, {2, true}, Attend{});
}

TEST_CASE("attention on the device says what is wrong, and launches nothing") {
  using Cache = KvCache<Model<folio::test::small_model>, F16, folio::test::SimtAllocator>;
  Cache cache({.num_blocks = {8}});
  Sequence const sequence = cache.create(3);
  auto const batch = cache.batch(std::vector<BatchItem>{&sequence});
  DeviceView<Cache::View> const view(batch.view());
  std::vector<float> floats(3 * 4 * 17 * 2);
  float* const data = floats.data();
  auto const parts_in = [&](std::int32_t parts, std::size_t bytes) {
    return DeviceExecution{.workspace = {reinterpret_cast<std::byte*>(data), bytes}, .num_parts = parts};
  };
  auto const attend = [&](std::int32_t layer, AttentionIo<float> const& io, AttentionParams const& params = {},
                          DeviceExecution const& execution = {}) { ops::attend(view, layer, io, params, execution); };
  using folio::test::contains;
  simt::streams(0);
  CHECK_THROWS_WITH(attend(1, {data, 4, data}), "folio: the model has no layer 1");
  CHECK_THROWS_WITH(attend(0, {data, 3, data}), "folio: 3 query heads cannot share 2 kv heads; give a multiple");
  CHECK_THROWS_WITH(attend(0, {data, 0, data}), "folio: 0 query heads cannot share 2 kv heads; give a multiple");
  CHECK_THROWS_WITH(attend(0, {nullptr, 4, data}), contains("q is null"));
  CHECK_THROWS_WITH(attend(0, {data, 4, nullptr}), contains("out is null"));
  CHECK_THROWS_WITH(attend(0, {data + 1, 4, data}), contains("q must begin at a multiple of 16 bytes"));
  CHECK_THROWS_WITH(attend(0, {data, 4, data + 2}), contains("out must begin at a multiple of 16 bytes"));
  CHECK_THROWS_WITH(attend(0, {data, 4, data, nullptr, 63}), contains("the rows of q have 64 elements"));
  CHECK_THROWS_WITH(attend(0, {data, 4, data, nullptr, 66}), contains("begin 66 elements apart"));
  CHECK_THROWS_WITH(attend(0, {data, 4, data, nullptr, 68, 70}), contains("the rows of out begin 70 elements apart"));
  CHECK_THROWS_WITH(attend(0, {data, 4, data}, {.logit_soft_cap = -1}), contains("a logit soft-cap is positive"));
  CHECK_THROWS_WITH(attend(0, {data, 4, data}, {}, parts_in(-1, 0)), contains("not -1"));
  CHECK_THROWS_WITH(attend(0, {data, 4, data}, {}, parts_in(65536, 0)), contains("1 to 65535 parts"));
  CHECK_THROWS_WITH(
      attend(0, {data, 4, data}, {}, parts_in(2, 1631)),
      "folio: attention in 2 parts needs a workspace of 1632 bytes, not 1631; ask workspace_bytes of the plan");
  CHECK_THROWS_WITH(ops::plan_attention(view, 3), contains("3 query heads cannot share 2 kv heads"));
  CHECK_THROWS_WITH(ops::plan_attention(view, 4, {.logit_soft_cap = -1}), contains("a logit soft-cap is positive"));
  auto const with_limits = cache.batch({{&sequence, 1}}, {.has_limits = true});
  DeviceView<Cache::View> const limited(with_limits.view());
  std::uint64_t const word = 1;
  AttentionParams const tree{.tree_mask = &word};
  AttentionIo<float> const io{data, 4, data};
  CHECK_THROWS_WITH(ops::attend(limited, 0, io, tree), contains("it does not go with a batch that has limits"));
  CHECK_THROWS_WITH(ops::plan_attention(limited, 4, tree), contains("it does not go with a batch that has limits"));
  CHECK_THROWS_WITH(ops::attend(ops::plan_attention(limited, 4), 0, io, tree), contains("it does not go with a batch"));
  CHECK_THROWS_WITH(ops::attend(ops::plan_attention(view, 4), 0, AttentionIo<float>{data, 2, data}),
                    "folio: the attention was planned for 4 query heads, not for 2");
  CHECK(simt::num_launches() == 0);
}
