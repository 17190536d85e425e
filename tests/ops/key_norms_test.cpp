// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <folio/folio.hpp>
#include <folio/ops/key_norms.hpp>
#include <folio/thread_pool.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::contains;

namespace {

constexpr ModelConfig hybrid{.layers = 2,
                             .kv_heads = 3,
                             .head_dim = 40,
                             .groups = {full_attention(), sliding_window(8)},
                             .pattern = repeat_groups({0, 1})};

}  // namespace

TEST_CASE("norms of keys that are known") {
  KvCache<Model<ModelConfig{.layers = 1, .kv_heads = 2, .head_dim = 8}>, F32> cache(CacheConfig{.num_blocks = {2}});
  Sequence const sequence = cache.create(3);
  std::vector<float> keys(3 * 2 * 8), values(3 * 2 * 8, 100.0F), norms(4, -7);
  keys[0] = 3, keys[7] = -4;                               // token 0, head 0
  for (std::size_t d = 0; d < 8; ++d) keys[8 + d] = 0.5F;  // head 1
  keys[16 + 2] = -6;                                       // token 1, head 0
  auto const batch = cache.batch({&sequence});
  ops::append(batch.view(), 0, keys.data(), values.data());
  ops::key_norms(batch.view(), 0, {0, 0, 2}, norms.data());
  CHECK(norms == std::vector<float>{5, 6, std::sqrt(2.0F), 0});  // [kv_heads][tokens]
  ops::key_norms(batch.view(), 0, {0, 1, 2}, norms.data(), -1);
  CHECK(norms == std::vector<float>{-6, 0, 0, 0});
}

TEMPLATE_TEST_CASE("norms are those of the keys that gather gives, whatever the format, and with threads", "", F16,
                   Int8PerToken, Int4Rotated, Int2Rotated) {
  KvCache<Model<hybrid>, TestType, LayoutInterleaved> cache(CacheConfig{.num_blocks = {8, 8}});
  Sequence const other = cache.create(5), sequence = cache.create(50);
  auto const rows = folio::test::random_floats(55 * 3 * 40, 1, 3.0F);
  auto const batch = cache.batch({&other, &sequence});
  ThreadPool threads(3);
  for (std::int32_t const layer : {0, 1}) {
    ops::append(batch.view(), layer, rows.data(), rows.data());
    Tokens const tokens{1, 44, 6};
    std::vector<float> keys(6 * 3 * 40), norms(18), in_threads(18);
    ops::gather(batch.view(), layer, tokens, keys.data(), nullptr);
    ops::key_norms(batch.view(), layer, tokens, norms.data());
    ops::key_norms(batch.view(), layer, tokens, in_threads.data(), 1, &threads);
    CHECK(in_threads == norms);
    for (std::size_t head = 0; head < 3; ++head)
      for (std::size_t t = 0; t < 6; ++t) {
        double sum = 0;
        for (std::size_t d = 0; d < 40; ++d) sum += std::pow(double{keys[(t * 3 + head) * 40 + d]}, 2);
        REQUIRE(norms[head * 6 + t] == Approx(std::sqrt(sum)).epsilon(1e-5));
      }
  }
}

TEST_CASE("norms are of the tokens that each layer stores, by their numbers there") {
  KvCache<Model<hybrid>, F32, BlockSize<4>> cache(CacheConfig{.num_blocks = {8, 8}});
  Sequence sequence = cache.create(15);
  std::vector<float> keys(15 * 3 * 40), norms(3);
  for (std::size_t t = 0; t < 15; ++t) keys[t * 3 * 40] = static_cast<float>(t);  // of head 0: its position
  {
    auto const batch = cache.batch({&sequence});
    for (std::int32_t const layer : {0, 1}) ops::append(batch.view(), layer, keys.data(), keys.data());
  }
  sequence.cut(4, 8, 0);
  auto const batch = cache.batch({{&sequence, 1}});
  auto const norm_of = [&](std::int32_t layer, std::int32_t token) {
    ops::key_norms(batch.view(), layer, {0, token, 1}, norms.data());
    return norms[0];
  };
  CHECK(norm_of(0, 3) == 3);
  CHECK(norm_of(0, 4) == 12);
  CHECK(norm_of(0, 6) == 14);
  CHECK_THROWS_WITH(norm_of(0, 7), contains("stores 7 tokens"));
  CHECK(norm_of(1, 7) == 7);
  CHECK(norm_of(1, 14) == 14);
}

TEST_CASE("norms of tokens that do not exist are refused, and nothing is written") {
  KvCache<Model<hybrid>, F16, BlockSize<4>> cache(CacheConfig{.num_blocks = {8, 8}});
  Sequence sequence = cache.create();
  sequence.extend(20);
  sequence.extend(1);
  auto const batch = cache.batch({{&sequence, 1}});
  std::vector<float> norms(60, -7);
  auto const of = [&](std::int32_t layer, Tokens tokens) { ops::key_norms(batch.view(), layer, tokens, norms.data()); };
  CHECK_THROWS_WITH(of(0, {1, 0, 1}), contains("no sequence 1"));
  CHECK_THROWS_WITH(of(0, {0, 20, 2}), contains("stores 21 tokens"));
  CHECK_THROWS_WITH(of(1, {0, 0, 20}), contains("token 0 was given back"));
  CHECK_THROWS_AS(of(2, {0, 0, 1}), Error);
  CHECK_THROWS_WITH(ops::key_norms(batch.view(), 0, {0, 0, 1}, nullptr), contains("norms is null"));
  CHECK(norms == std::vector<float>(60, -7.0F));
  CHECK_NOTHROW(ops::key_norms(batch.view(), 0, {0, 0, 0}, nullptr));
}
