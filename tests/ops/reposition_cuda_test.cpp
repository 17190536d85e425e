// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// reposition_kernel, run thread by thread on the host, against ops::reposition: same bytes.
#include "support/simt_cache.hpp"
//
#include <folio/ops/reposition.cuh>

#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace folio;
using ops::RopePairs;
using ops::RopeTurn;

/// Every kind of layer group; blocks that a range of tokens begins and ends in.
constexpr ModelConfig hybrid{.layers = 4,
                             .kv_heads = 3,
                             .head_dim = 64,
                             .value_head_dim = 40,
                             .groups = {full_attention(), sliding_window(20, 3), latent(32, 16)},
                             .pattern = repeat_groups({0, 1, 2, 1})};
/// Dims that are no power of two, and rotary dims in halves that are no multiple of 8.
constexpr ModelConfig odd{.layers = 2,
                          .kv_heads = 1,
                          .head_dim = 24,
                          .groups = {full_attention(), latent(40, 24)},
                          .pattern = repeat_groups({0, 1})};

/// Turns ranges of every sequence in every layer on both sides, with all rotary dims and with some.
template <class Twins>
void rotate_everywhere(Twins& twins, cudaStream_t stream) {
  using View = typename Twins::View;
  auto const host = twins.host_batch(), device = twins.device_batch();
  folio::test::SimtBatch<View> const on_device(device);
  std::mt19937 random(5);
  for (std::int32_t layer = 0; layer < Twins::Host::model.layers; ++layer)
    for (std::int32_t i = 0; i < host.num_sequences(); ++i) {
      GroupShape const shape = host.view().group(host.view().place(layer).group).shape;
      std::int32_t const rotary = shape.values_in_keys() ? shape.key_dim - shape.value_dim : shape.key_dim;
      std::int32_t const length = host.lengths()[static_cast<std::size_t>(i)];
      for (RopePairs const pairs : {RopePairs::half_split, RopePairs::interleaved}) {
        std::int32_t const dims = shape.values_in_keys() ? rotary : rotary - test::below(random, 2) * 6;
        std::int32_t const first = test::below(random, length + 1), n = test::below(random, length - first + 1);
        auto const table = ops::rope_table(ops::rope_inverse_frequencies(10000, dims), test::below(random, 100000));
        simt::Buffer<RopeTurn> const on_device_table(table, "table");
        ops::reposition(host.view(), layer, {i, first, n}, table, pairs);
        ops::reposition(DeviceView<View>(on_device.view()), layer, {i, first, n}, on_device_table.data(), dims / 2,
                        pairs, stream);
        check_cuda(cudaStreamSynchronize(stream), "waiting");
      }
    }
  REQUIRE(twins.same_bytes());
}

template <ModelConfig config, class... Policies>
void rotate_all() {
  folio::test::Twins<Model<config>, Policies...> twins(
      {.num_blocks = std::vector<std::int64_t>(std::size_t{config.num_groups()}, 40)});
  for (std::int32_t const length : {0, 1, 16, 17, 37}) twins.add(length);
  fill(twins);
  simt::streams(3);
  rotate_everywhere(twins, nullptr);
}

template <class Quantizer>
void every_layout() {
  rotate_all<hybrid, Quantizer, BlockSizes<16, 8, 4>>();
  rotate_all<hybrid, Quantizer, BlockSizes<5, 3, 16>, LayoutNhd>();
  rotate_all<hybrid, Quantizer, BlockSize<8>, LayoutInterleaved>();
  rotate_all<odd, Quantizer, BlockSize<4>, LayoutInterleaved>();
}

}  // namespace

TEST_CASE("keys turn on the device as on the host: f32") { every_layout<F32>(); }
TEST_CASE("keys turn on the device as on the host: f16") { every_layout<F16>(); }
TEST_CASE("keys turn on the device as on the host: bf16") { every_layout<BF16>(); }
TEST_CASE("keys turn on the device as on the host: bf16 keys, int4 values") {
  rotate_all<ModelConfig{.layers = 2, .kv_heads = 2, .head_dim = 128}, Keys<BF16>, Values<Int4Rotated>>();
}

TEST_CASE("the kernel leaves out tokens that a window gave back") {
  constexpr ModelConfig windowed{.layers = 1, .kv_heads = 2, .head_dim = 16, .groups = {sliding_window(5, 1)}};
  folio::test::Twins<Model<windowed>, BlockSize<2>, F16> twins({.num_blocks = {40}});
  twins.add(0);
  for (int i = 0; i < 14; ++i) {
    twins.extend(0, 1);
    fill(twins);
  }
  auto const host = twins.host_batch();
  folio::test::SimtBatch const on_device(twins.device_batch());
  auto const table = ops::rope_table(ops::rope_inverse_frequencies(10000, 16), 100);
  simt::Buffer<RopeTurn> const on_device_table(table, "table");
  ops::reposition(DeviceView(on_device.view()), 0, {0, 0, 14}, on_device_table.data(), 8, RopePairs::half_split,
                  nullptr);
  check_cuda(cudaDeviceSynchronize(), "waiting");
  REQUIRE_THROWS_AS(ops::reposition(host.view(), 0, {0, 0, 14}, table), Error);
  for (std::int32_t token = 0; token < 14; ++token)
    if (host.view().sequence(0, 0).block_id(token) != null_block) ops::reposition(host.view(), 0, {0, token, 1}, table);
  REQUIRE(twins.same_bytes());
}

TEST_CASE("any grid turns every key once") {
  folio::test::Twins<Model<hybrid>, F16, BlockSize<4>> twins({.num_blocks = {40, 40, 40}});
  twins.add(13);
  fill(twins);
  auto const host = twins.host_batch();
  folio::test::SimtBatch const on_device(twins.device_batch());
  auto const table = ops::rope_table(ops::rope_inverse_frequencies(10000, 64), 100);
  simt::Buffer<RopeTurn> const on_device_table(table, "table");
  using View = decltype(host.view());
  for (auto const& [grid, block] : {std::pair(1U, 1U), std::pair(1U, 33U), std::pair(3U, 64U), std::pair(70U, 32U)}) {
    ops::reposition(host.view(), 0, {0, 2, 10}, table);
    simt::launch({.grid = grid, .block = block, .name = "reposition_kernel", .seed = 9},
                 ops::reposition_kernel<View, 0>, on_device.view(), 0, Tokens{0, 2, 10}, on_device_table.data(), 32,
                 RopePairs::half_split);
    REQUIRE(twins.same_bytes());
  }
}

TEST_CASE("what the device cannot rotate is refused before a launch") {
  folio::test::Twins<Model<hybrid>, F16> twins({.num_blocks = {40, 40, 40}});
  twins.add(5);
  fill(twins);
  folio::test::SimtBatch const on_device(twins.device_batch());
  simt::Buffer<RopeTurn> const table(32, "table");
  auto const ask = [&](std::int32_t i, std::int32_t layer, std::int32_t first, std::int32_t n, RopeTurn const* turns,
                       std::int32_t num_pairs) {
    ops::reposition(DeviceView(on_device.view()), layer, {i, first, n}, turns, num_pairs, RopePairs::half_split,
                    nullptr);
  };
  simt::streams(0);
  REQUIRE_THROWS_WITH(ask(1, 0, 0, 5, table.data(), 32), test::contains("no sequence 1"));
  REQUIRE_THROWS_WITH(ask(0, 4, 0, 5, table.data(), 32), test::contains("folio: the model has no layer 4"));
  REQUIRE_THROWS_WITH(ask(0, 0, -1, 5, table.data(), 32),
                      test::contains("folio: tokens are counted from 0, so there are not 5 from -1 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, -5, table.data(), 32),
                      test::contains("folio: tokens are counted from 0, so there are not -5 from 0 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, 5, table.data(), 33), test::contains("up to 32 turns, not 33"));
  REQUIRE_THROWS_WITH(ask(0, 2, 0, 5, table.data(), 32), test::contains("the table has 8 turns, not 32"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, 5, nullptr, 32), test::contains("needs a table"));
  ask(0, 0, 0, 0, nullptr, 32);  // no tokens are no work
  CHECK(simt::num_launches() == 0);
  REQUIRE(twins.same_bytes());
}
