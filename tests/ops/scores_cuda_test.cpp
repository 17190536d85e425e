// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Sums of attention weights on the device, run thread by thread on the host, against the host's.
#include "support/simt_cache.hpp"
//
#include <cmath>
#include <folio/ops/scores.cuh>

#include "simt/streams.hpp"
#include "support/catch.hpp"

namespace {

using namespace folio;
using ops::ScoreOptions;

constexpr ModelConfig hybrid{.layers = 3,
                             .kv_heads = 2,
                             .head_dim = 40,
                             .value_head_dim = 24,
                             .groups = {full_attention(), sliding_window(20, 3), latent(64, 32)},
                             .pattern = repeat_groups({0, 1, 2})};
constexpr ModelConfig llama{.layers = 1, .kv_heads = 2, .head_dim = 128};
constexpr std::int32_t max_tokens = 153;  // several tiles of tokens

/// Largest difference, relative to the larger of the score and 1.
double difference(std::vector<float> const& host, simt::Buffer<float> const& device) {
  double worst = host.size() == device.size() ? 0 : 1e30;
  for (std::size_t i = 0; i < host.size(); ++i)
    worst = std::max(worst, std::fabs(double{host[i]} - double{device[i]}) / std::max(1.0, std::fabs(double{host[i]})));
  return std::isnan(worst) ? 1e30 : worst;
}

template <class T>
T element(float x) {
  T to;
  ops::store_element(x, to);
  return to;
}

/// One layer of a step: queries of T, as floats too, and what attention says of them.
template <class T, class View>
struct Step {
  Step(View const& view, std::int32_t layer, std::int32_t num_heads)
      : heads(num_heads),
        q(folio::test::random_rows(count(view, layer), 9)),
        device_q(q.size(), "q"),
        lse(static_cast<std::size_t>(view.num_query_tokens() * heads)),
        device_lse(lse.size(), "lse") {
    for (std::size_t i = 0; i < q.size(); ++i) {
      device_q[i] = element<T>(q[i] / 4);
      q[i] = ops::load_element(device_q[i]);
    }
    GroupShape const& shape = view.group(view.place(layer).group).shape;
    std::vector<float> out(lse.size() * static_cast<std::size_t>(shape.value_dim));
    ops::attend(view, layer, AttentionIo{q.data(), heads, out.data(), lse.data()}, {.scale = 0.05F});
    lse[1] = -INFINITY;  // as of a query that saw nothing
    lse[2] = NAN;        // and of one that is no number, which tokens get no weight of
    std::size_t const third = static_cast<std::size_t>(shape.key_dim) * 2;
    q[third] = NAN;
    device_q[third] = element<T>(NAN);
    for (std::size_t i = 0; i < lse.size(); ++i) device_lse[i] = lse[i];
  }
  [[nodiscard]] std::size_t count(View const& view, std::int32_t layer) const {
    return static_cast<std::size_t>(view.num_query_tokens() * heads *
                                    view.group(view.place(layer).group).shape.key_dim);
  }
  std::int32_t heads;
  std::vector<float> q;
  simt::Buffer<T> device_q;
  std::vector<float> lse;
  simt::Buffer<float> device_lse;
};

template <class T, class TwinCaches>
void score_everywhere(TwinCaches& twins, std::int32_t heads, ScoreOptions options) {
  using View = typename TwinCaches::View;
  auto const host = twins.host_batch();
  folio::test::SimtBatch<View> const on_device(twins.device_batch());
  DeviceView<View> const device(on_device.view());
  options.max_tokens = max_tokens;
  options.scale = 0.05F;
  for (std::int32_t layer = 0; layer < TwinCaches::Host::model.layers; ++layer) {
    CAPTURE(layer, heads, options.per_head, options.decay);
    Step<T, View> const step(host.view(), layer, heads);
    std::int32_t const kv_heads = twins.host().shape(host.view().place(layer).group).kv_heads;
    auto const rows = static_cast<std::size_t>(host.num_sequences() * (options.per_head ? kv_heads : 1));
    std::vector<float> scores = folio::test::random_rows(rows * max_tokens, 21);
    simt::Buffer<float> const device_scores(scores, "scores"), again(scores, "scores, again");
    ops::accumulate_scores(host.view(), layer, step.q.data(), heads, step.lse.data(), scores.data(), options);
    simt::streams(5);
    ops::accumulate_scores(device, layer, step.device_q.data(), heads, step.device_lse.data(), device_scores.data(),
                           options, nullptr);
    REQUIRE(simt::num_host_waits() == 0);
    cudaStreamSynchronize(nullptr);
    REQUIRE(difference(scores, device_scores) < 2e-5);

    simt::streams(0);  // another order of threads and blocks, the same bits
    ops::accumulate_scores(device, layer, step.device_q.data(), heads, step.device_lse.data(), again.data(), options,
                           nullptr);
    cudaStreamSynchronize(nullptr);
    REQUIRE(std::memcmp(again.data(), device_scores.data(), scores.size() * sizeof(float)) == 0);
  }
}

/// Writes random rows for the query tokens of the step.
template <class TwinCaches>
void write(TwinCaches& twins, std::uint32_t seed) {
  auto const host = twins.host_batch();
  auto const device = twins.device_batch();
  for (std::int32_t layer = 0; layer < TwinCaches::Host::model.layers; ++layer) {
    auto const keys = folio::test::random_rows(static_cast<std::size_t>(host.num_query_tokens()) * 256, seed);
    bool const latent = host.view().group(host.view().place(layer).group).shape.values_in_keys();
    ops::append(host.view(), layer, keys.data(), latent ? nullptr : keys.data());
    ops::append(device.view(), layer, keys.data(), latent ? nullptr : keys.data());
  }
}

/// A prompt of lengths at every edge; then a step of one token and several, with a fork, and a sequence without any.
template <class... Policies, class T = float>
void score(std::vector<std::int64_t> const& num_blocks, T = {}) {
  folio::test::Twins<Policies...> twins({.num_blocks = num_blocks});
  for (std::int32_t const length : {1, 16, 17, 61, 0}) twins.add(length);
  write(twins, 3);
  twins.fork(3);
  twins.cut_blocks(3, 1, 2);  // its groups have different lengths, if it has several
  for (std::size_t i = 0; i < 4; ++i) twins.extend(i, i == 2 ? 5 : 1);
  twins.extend(5, 2);
  write(twins, 30);
  score_everywhere<T>(twins, 2, {.decay = 0.5F});
  score_everywhere<T>(twins, 8, {.per_head = false});
}

template <class... Policies>
void every_layout() {
  score<Model<hybrid>, BlockSizes<16, 8, 4>, LayoutHnd, Policies...>({30, 40, 90});
  score<Model<hybrid>, BlockSizes<16, 8, 4>, LayoutNhd, Policies...>({30, 40, 90});
  score<Model<hybrid>, BlockSizes<16, 8, 4>, LayoutInterleaved, Policies...>({30, 40, 90});
}

}  // namespace

TEST_CASE("scores on the device: f32") { every_layout<F32>(); }
TEST_CASE("scores on the device: f16") { every_layout<F16>(); }
TEST_CASE("scores on the device: bf16") { every_layout<BF16>(); }
TEST_CASE("scores on the device: fp8") { every_layout<Fp8E4M3>(); }
TEST_CASE("scores on the device: int8") { every_layout<Int8PerToken>(); }
TEST_CASE("scores on the device: int4") { every_layout<Int4Rotated>(); }
TEST_CASE("scores on the device: queries in half precision and bfloat16") {
  score<Model<llama>, Keys<Int4Rotated>, Values<F16>>({40}, Half{});
  score<Model<llama>, Int8PerToken, LayoutInterleaved>({40}, BFloat16{});
}

TEST_CASE("scores on the device: the queries of a whole prompt, anew") {
  folio::test::Twins<Model<hybrid>, BlockSizes<16, 8, 4>, Int8PerToken> twins({.num_blocks = {30, 40, 90}});
  for (std::int32_t const length : {33, 150}) twins.add(length);
  write(twins, 3);
  score_everywhere<float>(twins, 4, {.decay = 0});
}

TEST_CASE("scores on the device: queries anywhere in their sequences, or elsewhere") {
  folio::test::Twins<Model<hybrid>, BlockSizes<16, 8, 4>, Int8PerToken> twins({.num_blocks = {40, 60, 120}});
  for (std::int32_t const length : {33, 150, 0, 61}) twins.add(length);
  write(twins, 3);
  twins.fork(3);
  twins.cut_blocks(3, 1, 2);
  twins.ask_at(0, {0, 2, 3, 4, 31, 32});
  std::vector<std::int32_t> many;  // more than are staged at once
  for (std::int32_t t = 1; t < 150; t += 3) many.push_back(t);
  twins.ask_at(1, many);
  twins.ask_at(3, {1, 3, 50, 60});
  twins.ask_seeing(4, {0, 0, 5, 40, 61, 61});
  score_everywhere<float>(twins, 8, {.decay = 0.5F});
  score_everywhere<float>(twins, 4, {.per_head = false});
}

TEST_CASE("scores on the device: what does not fit is refused, and nobody is no work") {
  folio::test::Twins<Model<llama>> twins({.num_blocks = {4}});
  auto const batch = twins.device_batch();
  folio::test::SimtBatch<typename decltype(twins)::View> const on_device(batch);
  DeviceView<typename decltype(twins)::View> const view(on_device.view());
  float const* const none = nullptr;
  auto const run = [&](std::int32_t layer, std::int32_t heads, std::int32_t row) {
    ops::accumulate_scores(view, layer, none, heads, none, nullptr, {.max_tokens = row}, nullptr);
  };
  REQUIRE_THROWS_WITH(run(1, 2, 5), test::contains("folio: the model has no layer 1"));
  REQUIRE_THROWS_WITH(run(0, 3, 5), test::contains("3 query heads cannot share 2 kv heads"));
  REQUIRE_THROWS_WITH(run(0, 2, 0), test::contains("max_tokens is 0"));
  simt::streams(0);
  run(0, 2, 5);
  CHECK(simt::num_launches() == 0);
  twins.add(3);
  auto const three = twins.device_batch();
  folio::test::SimtBatch<typename decltype(twins)::View> const of_three(three);
  DeviceView<typename decltype(twins)::View> const seen(of_three.view());
  alignas(16) float some[4] = {};
  auto const run_with = [&](float const* q, float const* lse, float* scores) {
    ops::accumulate_scores(seen, 0, q, 2, lse, scores, {.max_tokens = 5}, nullptr);
  };
  REQUIRE_THROWS_WITH(run_with(nullptr, some, some), test::contains("q is null"));
  REQUIRE_THROWS_WITH(run_with(some, nullptr, some), test::contains("lse is null"));
  REQUIRE_THROWS_WITH(run_with(some, some, nullptr), test::contains("scores is null"));
  CHECK(simt::num_launches() == 0);
}
