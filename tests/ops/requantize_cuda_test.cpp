// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// requantize_kernel, run thread by thread on the host, against ops::requantize: same bytes.
#include "support/simt_cache.hpp"
//
#include <folio/ops/requantize.cuh>

#include "ops/two_caches.hpp"
#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace folio;
using folio::test::move_everywhere, folio::test::TwinsOf;
using folio::test::random_rows;

template <class FromTwins, class ToTwins>
void demote_everywhere(std::uint32_t seed) {
  move_everywhere<FromTwins, ToTwins>(seed, [](auto const&... arguments) { ops::requantize(arguments...); });
}

}  // namespace

TEST_CASE("rows are demoted on the device as on the host: f32 to every format") {
  using From = TwinsOf<F32, BlockSizes<16, 8, 4>>;
  demote_everywhere<From, TwinsOf<F16, BlockSize<5>>>(1);
  demote_everywhere<From, TwinsOf<BF16, LayoutNhd>>(2);
  demote_everywhere<From, TwinsOf<Fp8E4M3, LayoutInterleaved>>(3);
  demote_everywhere<From, TwinsOf<Int8PerToken>>(4);
  demote_everywhere<From, TwinsOf<Int4Rotated, BlockSize<4>>>(5);
  demote_everywhere<From, TwinsOf<Int2Rotated, LayoutInterleaved>>(10);
}
TEST_CASE("rows are demoted on the device as on the host: f16") {
  using From = TwinsOf<F16, LayoutInterleaved, BlockSize<8>>;
  demote_everywhere<From, TwinsOf<Int8PerToken, LayoutNhd, BlockSizes<4, 16, 1>>>(6);
  demote_everywhere<From, TwinsOf<Keys<Int8PerToken>, Values<Int4Rotated>, LayoutInterleaved>>(7);
}
TEST_CASE("rows are demoted on the device as on the host: bf16") {
  using From = TwinsOf<BF16, LayoutNhd, BlockSize<3>>;
  demote_everywhere<From, TwinsOf<Int4Rotated, LayoutInterleaved>>(8);
  demote_everywhere<From, TwinsOf<Fp8E4M3, LayoutNhd>>(9);
}

TEST_CASE("any grid demotes every row once, and tokens that a window gave back are left out") {
  constexpr ModelConfig windowed{.layers = 1, .kv_heads = 2, .head_dim = 16, .groups = {sliding_window(5, 1)}};
  folio::test::Twins<Model<windowed>, BlockSize<2>, F32> from({.num_blocks = {40}});
  folio::test::Twins<Model<windowed>, BlockSize<4>, Int8PerToken> to({.num_blocks = {40}});
  for (auto add : {0, 14}) from.add(add);
  for (auto add : {0, 14}) to.add(add);
  for (int i = 0; i < 14; ++i) {
    from.extend(0, 1);
    to.extend(0, 1);
  }
  auto const host_from = from.host_batch(), device_from = from.device_batch();
  auto const host_to = to.host_batch(), device_to = to.device_batch();
  auto const rows = random_rows(std::size_t(host_from.num_query_tokens()) * 2 * 16, 3);
  ops::append(host_from.view(), 0, rows.data(), rows.data());
  ops::append(device_from.view(), 0, rows.data(), rows.data());
  folio::test::SimtBatch const on_device_from(device_from);
  folio::test::SimtBatch const on_device_to(device_to);
  using From = decltype(on_device_from.view());
  using To = decltype(on_device_to.view());
  auto const grid = GENERATE(1U, 3U, 40U);
  for (std::int32_t i = 0; i < 2; ++i)
    for (std::int32_t j = 0; j < 2; ++j) {
      simt::launch({.grid = grid, .block = 96, .name = "requantize_kernel", .seed = 4},
                   ops::requantize_kernel<From, To, 0, 0>, on_device_from.view(), 0, Tokens{i, 0, 14},
                   on_device_to.view(), 0, Tokens{j, 0, 14});
      auto const source = host_from.view().sequence(i, 0);
      auto const target = host_to.view().sequence(j, 0);
      for (std::int32_t token = 0; token < 14; ++token)
        if (source.block_id(token) != null_block && target.block_id(token) != null_block)
          ops::requantize(host_from.view(), 0, {i, token, 1}, host_to.view(), {j, token, 1});
      REQUIRE(to.same_bytes());
    }
}

TEST_CASE("what the device cannot demote is refused before a launch") {
  TwinsOf<F16> from({.num_blocks = {20, 20, 20}});
  TwinsOf<Int8PerToken> to({.num_blocks = {20, 20, 20}});
  folio::test::Twins<Model<ModelConfig{.layers = 1, .kv_heads = 2, .head_dim = 64}>, F16> other({.num_blocks = {20}});
  from.add(5);
  to.add(5);
  other.add(5);
  folio::test::SimtBatch const a(from.device_batch());
  folio::test::SimtBatch const b(to.device_batch());
  folio::test::SimtBatch const c(other.device_batch());
  auto const ask = [&](std::int32_t i, std::int32_t layer, std::int32_t first, std::int32_t n, std::int32_t j,
                       std::int32_t at) {
    ops::requantize(DeviceView(a.view()), layer, {i, first, n}, DeviceView(b.view()), {j, at, n}, nullptr);
  };
  simt::streams(0);
  REQUIRE_THROWS_WITH(ask(1, 0, 0, 5, 0, 0), test::contains("no sequence 1"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, 5, 1, 0), test::contains("no sequence 1"));
  REQUIRE_THROWS_WITH(ask(0, 4, 0, 5, 0, 0), test::contains("folio: the model has no layer 4"));
  REQUIRE_THROWS_WITH(ask(0, 0, -1, 5, 0, 0),
                      test::contains("folio: tokens are counted from 0, so there are not 5 from -1 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, -5, 0, 0),
                      test::contains("folio: tokens are counted from 0, so there are not -5 from 0 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, 5, 0, -2),
                      test::contains("folio: tokens are counted from 0, so there are not 5 from -2 on"));
  REQUIRE_THROWS_WITH(ops::requantize(DeviceView(c.view()), 0, {0, 0, 5}, DeviceView(b.view()), {0, 0, 5}, nullptr),
                      test::contains("2 kv heads of 64 and 64 dims here and 3 kv heads of 64 and 40 dims there"));
  REQUIRE_THROWS_WITH(ops::requantize(DeviceView(a.view()), 0, {0, 0, 3}, DeviceView(b.view()), {0, 0, 2}, nullptr),
                      test::contains("folio: 3 tokens do not fill the places of 2"));
  ask(0, 0, 0, 0, 0, 0);  // no tokens are no work
  CHECK(simt::num_launches() == 0);
  REQUIRE(to.same_bytes());
}
