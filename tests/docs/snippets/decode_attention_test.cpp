// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Runs the kernels of docs/write_a_kernel.md without a GPU: what they read is what was stored.
#include "simt/runner.hpp"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <vector>

#include "support/catch.hpp"

namespace {

// CUDA's asynchronous copies, which the runner has not: at once, as they may be.
void __pipeline_memcpy_async(void* to, void const* from, std::size_t bytes) { std::memcpy(to, from, bytes); }
void __pipeline_commit() {}
void __pipeline_wait_prior(int) {}

}  // namespace

#include "decode_attention.cuh"

namespace {

template <class Kernel>
void launch(unsigned grid, unsigned block, Kernel const& kernel) {
  simt::launch({.grid = grid, .block = block, .seed = 1}, kernel);
}

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 128};
constexpr int num_tokens = 37, layer = 1, head = 1, dim = model.head_dim;

std::vector<float> wave(std::size_t n, float step) {
  std::vector<float> numbers(n);
  for (std::size_t i = 0; i < n; ++i) numbers[i] = std::sin(step * static_cast<float>(i));
  return numbers;
}

template <class Quantizer, class Layout>
struct Stored {
  using StoredQuantizer = Quantizer;
  using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<16>, Quantizer, Layout>;
};

}  // namespace

TEMPLATE_TEST_CASE("the documented kernels read what was stored", "", (Stored<folio::F32, folio::LayoutHnd>),
                   (Stored<folio::F16, folio::LayoutNhd>), (Stored<folio::Int8PerToken, folio::LayoutHnd>),
                   (Stored<folio::Int4Rotated, folio::LayoutInterleaved>),
                   (Stored<folio::Int2Rotated, folio::LayoutHnd>)) {
  typename TestType::Cache cache(folio::CacheConfig{.num_blocks = {8}});
  folio::Sequence const sequence = cache.create(num_tokens);
  auto const batch = cache.batch({&sequence});
  auto const view = batch.view();
  std::vector<float> const rows = wave(std::size_t{num_tokens} * 2 * dim, 0.37F), q = wave(dim, 0.11F);
  folio::ops::append(view, layer, rows.data(), rows.data());

  auto const stored = view.sequence(0, layer);
  std::vector<float> expected(num_tokens), scores(num_tokens), staged(num_tokens);
  for (int token = 0; token < num_tokens; ++token) {
    std::vector<float> key(dim);
    folio::ops::load_row(stored.key(head, token), dim, key.data());
    for (std::size_t d = 0; d < dim; ++d) expected[static_cast<std::size_t>(token)] += q[d] * key[d];
  }

  if constexpr (TestType::StoredQuantizer::basis == folio::Basis::model) {
    float element = 0;
    launch(1, 1, [&] { read_element(view, layer, head, 20, 5, &element); });
    REQUIRE(element == stored.key(head, 20)[5]);
  }
  launch(2, 16, [&] { scores_kernel<dim>(view, layer, head, q.data(), scores.data()); });
  launch(1, 16, [&] { staged_scores_kernel<dim>(view, layer, head, q.data(), staged.data()); });
  for (std::size_t token = 0; token < num_tokens; ++token) {
    INFO("token " << token);
    REQUIRE(std::abs(scores[token] - expected[token]) < 1e-4F);
    REQUIRE(std::abs(staged[token] - expected[token]) < 1e-4F);
  }
}

TEST_CASE("the documented kernel attends over both lists of a cache that demotes") {
  constexpr int heads = 4;
  folio::KvCache<folio::Model<model>, folio::F16, folio::BlockSize<8>, folio::Demote<folio::Int4Rotated>> cache(
      folio::CacheConfig{.num_blocks = {12}, .demotion = {.sinks = 8, .recent_window = 6, .num_blocks = {8}}});
  folio::Sequence long_one = cache.create(num_tokens), short_one = cache.create(5);
  auto const rows = wave(std::size_t{num_tokens + 5} * 2 * dim, 0.37F), q = wave(std::size_t{2} * heads * dim, 0.11F);
  {
    auto const batch = cache.batch({&long_one, &short_one});
    folio::ops::append(batch.view(), layer, rows.data(), rows.data());
  }
  REQUIRE(cache.demote(long_one) == 16);
  REQUIRE(cache.demote(short_one) == 0);
  auto const batch = cache.batch({{&long_one, 1}, {&short_one, 1}});
  auto const view = batch.view();
  std::vector<float> out(q.size()), expected(q.size());
  folio::ops::attend(view, layer, folio::AttentionIo{q.data(), heads, expected.data()});
  simt::launch({.grid = {2, heads}, .block = 32, .seed = 1},
               [&] { mixed_attention<dim>(view, layer, 1.0F / std::sqrt(128.0F), q.data(), out.data()); });
  for (std::size_t i = 0; i < out.size(); ++i) {
    INFO("element " << i);
    REQUIRE(std::abs(out[i] - expected[i]) < 1e-4F);
  }
}
