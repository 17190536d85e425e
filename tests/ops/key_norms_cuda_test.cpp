// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "support/simt_cache.hpp"
//
#include <folio/cuda_runtime.cuh>
#include <folio/device_view.hpp>
#include <folio/ops/key_norms.cuh>

#include "simt/streams.hpp"
#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;

namespace {

/// Full, window and latent layers, and dims that lanes do not share evenly.
constexpr ModelConfig hybrid{.layers = 3,
                             .kv_heads = 3,
                             .head_dim = 40,
                             .groups = {full_attention(), sliding_window(20, 3), latent(64, 32)},
                             .pattern = repeat_groups({0, 1, 2})};

template <class... Policies>
void as_on_the_host() {
  folio::test::Twins<Model<hybrid>, BlockSizes<16, 8, 4>, Policies...> twins({.num_blocks = {20, 30, 60}});
  using View = typename decltype(twins)::View;
  for (std::int32_t const length : {0, 1, 37}) twins.add(length);
  {
    auto const host = twins.host_batch();
    auto const device = twins.device_batch();
    for (std::int32_t layer = 0; layer < 3; ++layer) {  // the same bytes in both: the host can write to both
      auto const rows = folio::test::random_rows(38 * 3 * 96, static_cast<std::uint32_t>(layer) + 1);
      ops::append(host.view(), layer, rows.data(), layer == 2 ? nullptr : rows.data());
      ops::append(device.view(), layer, rows.data(), layer == 2 ? nullptr : rows.data());
    }
  }
  auto const compare = [&](std::int32_t layer) {
    auto const host = twins.host_batch();
    folio::test::SimtBatch<View> const tables(twins.device_batch());
    DeviceView<View> const view(tables.view());
    std::int32_t const end = host.view().group(layer).lengths[2];  // a group has a layer
    for (Tokens const& tokens : {Tokens{2, end - 17, 17}, Tokens{1, 0, 1}, Tokens{2, end - 1, 1}}) {
      std::size_t const count = static_cast<std::size_t>(tokens.count) * (layer == 2 ? 1 : 3);
      std::vector<float> norms(count);
      ops::key_norms(host.view(), layer, tokens, norms.data(), -1);
      simt::Buffer<float> const on_device(count, "norms");
      ops::key_norms(view, layer, tokens, on_device.data(), -1, nullptr);
      check_cuda(cudaDeviceSynchronize(), "waiting for the device");
      for (std::size_t i = 0; i < count; ++i) REQUIRE(on_device[i] == Approx(norms[i]).epsilon(1e-5));
    }
  };
  simt::streams(5);
  for (std::int32_t layer = 0; layer < 3; ++layer) compare(layer);
  twins.cut_blocks(2, 1, 1);  // lengths of 21, 37 and 33
  for (std::int32_t layer = 0; layer < 3; ++layer) compare(layer);
}

}  // namespace

TEST_CASE("norms of keys on the device are those on the host: floats") {
  as_on_the_host<F32, LayoutHnd>();
  as_on_the_host<F16, LayoutInterleaved>();
}
TEST_CASE("norms of keys on the device are those on the host: integers") {
  as_on_the_host<Int8PerToken, LayoutNhd>();
  as_on_the_host<Keys<Int3Rotated>, Values<F16>>();
}

TEST_CASE("norms of no tokens launch nothing, nor do those that have no place") {
  folio::test::Twins<Model<hybrid>, F16> twins({.num_blocks = {4, 4, 4}});
  twins.add(3);
  folio::test::SimtBatch<decltype(twins)::View> const tables(twins.device_batch());
  DeviceView<decltype(twins)::View> const view(tables.view());
  auto const launches = simt::num_launches();
  ops::key_norms(view, 0, {0, 0, 0}, nullptr, 1, nullptr);
  CHECK_THROWS_WITH(ops::key_norms(view, 0, {0, 0, 1}, nullptr, 1, nullptr), contains("norms is null"));
  CHECK_THROWS_WITH(ops::key_norms(view, 0, {1, 0, 1}, nullptr, 1, nullptr), contains("no sequence 1"));
  CHECK_THROWS_AS(ops::key_norms(view, 3, {0, 0, 1}, nullptr, 1, nullptr), Error);
  CHECK(simt::num_launches() == launches);
}
