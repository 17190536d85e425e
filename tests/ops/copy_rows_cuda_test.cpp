// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// copy_rows_kernel, run thread by thread on the host, against ops::copy_rows: same bytes, padding included.
#include "support/simt_cache.hpp"
//
#include <folio/ops/copy_rows.cuh>

#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

using namespace folio;
using folio::test::random_rows;

/// Every kind of layer group, head dims that fill their lanes and that do not.
constexpr ModelConfig hybrid{.layers = 4,
                             .kv_heads = 3,
                             .head_dim = 64,
                             .value_head_dim = 40,
                             .groups = {full_attention(), sliding_window(20, 3), latent(32, 16)},
                             .pattern = repeat_groups({0, 1, 2, 1})};

template <class... Policies>
using TwinsOf = folio::test::Twins<Model<hybrid>, Policies...>;

template <class Twins>
void fill(Twins& twins) {
  auto const host = twins.host_batch(), device = twins.device_batch();
  for (std::int32_t layer = 0; layer < hybrid.layers; ++layer) {
    GroupShape const shape = host.view().group(host.view().place(layer).group).shape;
    auto const rows = static_cast<std::size_t>(host.num_query_tokens() * shape.kv_heads);
    auto const keys = random_rows(rows * static_cast<std::size_t>(shape.key_dim), static_cast<std::uint32_t>(layer));
    auto const values = random_rows(rows * static_cast<std::size_t>(shape.value_dim), 77);
    float const* const v = shape.values_in_keys() ? nullptr : values.data();
    ops::append(host.view(), layer, keys.data(), v);
    ops::append(device.view(), layer, keys.data(), v);
  }
}

/// From every sequence of a cache to every sequence of another, with ranges that begin and end anywhere.
template <class FromTwins, class ToTwins>
void copy_everywhere(std::uint32_t seed) {
  CacheConfig const config{.num_blocks = {60, 60, 60}};
  FromTwins from(config);
  ToTwins to(config);
  for (std::int32_t const length : {1, 17, 30}) from.add(length);
  for (std::int32_t const length : {19, 0, 24}) to.add(length);
  fill(from);
  fill(to);
  auto const host_from = from.host_batch(), device_from = from.device_batch();
  auto const host_to = to.host_batch(), device_to = to.device_batch();
  folio::test::SimtBatch const on_device_from(device_from);
  folio::test::SimtBatch const on_device_to(device_to);
  std::mt19937 random(seed);
  simt::streams(seed);
  for (std::int32_t layer = 0; layer < hybrid.layers; ++layer)
    for (std::int32_t i = 0; i < 3; ++i)
      for (std::int32_t j = 0; j < 3; ++j) {
        std::int32_t const have = host_from.lengths()[static_cast<std::size_t>(i)];
        std::int32_t const room = host_to.lengths()[static_cast<std::size_t>(j)];
        std::int32_t const n = test::below(random, std::min(have, room) + 1);
        std::int32_t const first = test::below(random, have - n + 1), at = test::below(random, room - n + 1);
        ops::copy_rows(host_from.view(), layer, {i, first, n}, host_to.view(), {j, at, n});
        ops::copy_rows(DeviceView(on_device_from.view()), layer, {i, first, n}, DeviceView(on_device_to.view()),
                       {j, at, n}, nullptr);
        check_cuda(cudaDeviceSynchronize(), "waiting");
      }
  REQUIRE(from.same_bytes());
  REQUIRE(to.same_bytes());
}

}  // namespace

TEST_CASE(
    "rows are copied on the device as on the host, between blocks of any size, in every kind of format and layout") {
  copy_everywhere<TwinsOf<F32, BlockSizes<16, 8, 4>>, TwinsOf<F32, BlockSize<5>>>(1);
  copy_everywhere<TwinsOf<BF16, LayoutInterleaved>, TwinsOf<BF16, LayoutInterleaved, BlockSize<4>>>(2);
  copy_everywhere<TwinsOf<Int8PerToken, LayoutNhd>, TwinsOf<Int8PerToken, LayoutNhd, BlockSizes<2, 6, 16>>>(3);
  copy_everywhere<TwinsOf<Keys<Int8PerToken>, Values<F16>>, TwinsOf<Keys<Int8PerToken>, Values<F16>>>(4);
  using Mixed = Keys<F16, Int8PerToken, BF16>;
  copy_everywhere<TwinsOf<Mixed, Values<F32>>, TwinsOf<Mixed, Values<F32>, BlockSize<4>>>(5);
}
