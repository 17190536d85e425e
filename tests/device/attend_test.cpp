// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The attention kernel, run thread by thread on the host, against the host's attention.
#include "device/simt_cache.hpp"
//
#include <cmath>
#include <folio/ops/attend.cuh>

#include "support/catch.hpp"

namespace {

using namespace folio;

constexpr ModelConfig hybrid{.layers = 3,
                             .kv_heads = 2,
                             .head_dim = 64,
                             .value_head_dim = 40,
                             .groups = {full_attention(), sliding_window(20, 3), latent(64, 32)},
                             .pattern = repeat_groups({0, 1, 2})};
constexpr ModelConfig llama{.layers = 1, .kv_heads = 2, .head_dim = 128};

/// Largest difference, relative to the largest magnitude.
double difference(std::vector<float> const& a, std::vector<float> const& b) {
  double worst = 0, largest = 1e-30;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;  // both -infinity as well
    worst = std::max(worst, std::abs(double{a[i]} - double{b[i]}));
    largest = std::max(largest, std::abs(double{a[i]}));
  }
  return std::isnan(worst) ? 1e30 : worst / largest;
}

struct Case {
  std::int32_t num_query_heads;
  unsigned parts;
  bool sink_logits;
};

template <int Heads, class TwinCaches>
void attend_everywhere(TwinCaches& twins, Case const& c) {
  using View = typename TwinCaches::View;
  auto const host = twins.host_batch();
  folio_test::SimtBatch<View> const on_device(twins.device_batch());
  auto const tokens = static_cast<std::size_t>(host.num_query_tokens());
  auto const heads = static_cast<std::size_t>(c.num_query_heads);
  std::vector<float> const sinks = folio_test::random_rows(heads, 5);
  simt::Buffer<float> const device_sinks(sinks, "sink logits");
  for (std::int32_t layer = 0; layer < TwinCaches::Host::model.layers; ++layer) {
    ops::with_group(host.view(), layer, [&](auto group, std::int32_t index) {
      GroupShape const& shape = twins.host().shape(group());
      if (c.num_query_heads / shape.kv_heads % Heads != 0) return;
      auto const key_dim = static_cast<std::size_t>(shape.key_dim),
                 value_dim = static_cast<std::size_t>(shape.value_dim);
      std::vector<float> const q = folio_test::random_rows(tokens * heads * key_dim, 9);
      std::vector<float> out(tokens * heads * value_dim), lse(tokens * heads);
      float const scale = 0.05F;
      ops::attend(host.view(), layer, q.data(), c.num_query_heads, out.data(), lse.data(),
                  {.scale = scale, .sink_logits = c.sink_logits ? sinks.data() : nullptr});

      simt::Buffer<float> const device_q(q, "q");
      simt::Buffer<float> const parts_out(c.parts * out.size(), "parts"), parts_lse(c.parts * lse.size(), "parts' lse");
      simt::Buffer<float> const device_out(out.size(), "out"), device_lse(lse.size(), "lse");
      ops::AttendArguments const arguments{c.num_query_heads, scale, c.sink_logits ? device_sinks.data() : nullptr};
      dim3 const grid(static_cast<unsigned>(tokens), static_cast<unsigned>(c.num_query_heads / Heads), c.parts);
      simt::launch({.grid = grid, .block = ops::detail::attend_threads, .name = "attend_kernel", .seed = 11},
                   ops::attend_kernel<View, group(), Heads, float, float>, on_device.view(), index, device_q.data(),
                   arguments, parts_out.data(), parts_lse.data());
      simt::launch({.grid = static_cast<unsigned>(tokens * heads), .block = 32, .name = "merge_attention_kernel"},
                   ops::merge_attention_kernel<float>, parts_out.data(), parts_lse.data(),
                   static_cast<std::int32_t>(c.parts), shape.value_dim, device_out.data(), device_lse.data());
      INFO("layer " << layer);
      CHECK(difference(out, device_out.to_vector()) < 2e-5);
      CHECK(difference(lse, device_lse.to_vector()) < 2e-5);
    });
  }
}

/// Lengths at every edge, one query and several, a fork, and a second step over what the first has written.
template <class... Policies>
void fill(folio_test::Twins<Policies...>& twins) {
  for (std::int32_t const length : {1, 16, 17, 61}) twins.add(length);
  for (std::uint32_t step = 0; step < 2; ++step) {
    auto const host = twins.host_batch();
    auto const device = twins.device_batch();
    for (std::int32_t layer = 0; layer < folio_test::Twins<Policies...>::Host::model.layers; ++layer) {
      auto const tokens = static_cast<std::size_t>(host.num_query_tokens());
      std::vector<float> const keys = folio_test::random_rows(tokens * 256, 3 + step);
      std::vector<float> const values = folio_test::random_rows(tokens * 256, 30 + step);
      ops::append(host.view(), layer, keys.data(), values.data());
      ops::append(device.view(), layer, keys.data(), values.data());
    }
    if (step == 1) break;
    twins.fork(3);
    for (std::size_t i = 0; i < 5; ++i) twins.append(i, i == 2 ? 5 : 1);
  }
}

template <class... Policies>
void every_layout() {
  auto const c = GENERATE(Case{4, 1, false}, Case{8, 3, true});
  auto const run = [&]<class Layout>(Layout) {
    folio_test::Twins<Model<hybrid>, BlockSizes<16, 8, 4>, Layout, Policies...> mixed({.num_blocks = {30, 40, 90}});
    fill(mixed);
    attend_everywhere<2>(mixed, c);
    folio_test::Twins<Model<llama>, Layout, Policies...> plain({.num_blocks = {30}});
    fill(plain);
    attend_everywhere<4>(plain, {8, c.parts, c.sink_logits});
  };
  run(LayoutHnd{});
  run(LayoutNhd{});
  run(LayoutInterleaved{});
}

}  // namespace

TEST_CASE("attention on the device: f32") { every_layout<F32>(); }
TEST_CASE("attention on the device: f16") { every_layout<F16>(); }
TEST_CASE("attention on the device: bf16") { every_layout<BF16>(); }
TEST_CASE("attention on the device: fp8") { every_layout<Fp8E4M3>(); }
TEST_CASE("attention on the device: int8") { every_layout<Int8PerToken>(); }
TEST_CASE("attention on the device: int4") { every_layout<Int4Rotated>(); }
TEST_CASE("attention on the device: int8 keys, int4 values") {
  every_layout<Keys<Int8PerToken>, Values<Int4Rotated>>();
}
