// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/ops/copy_rows.hpp>
#include <folio/thread_pool.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::random_floats;

namespace {

/// Layers 0, 1 and 2 are of each kind of group.
constexpr ModelConfig model{.layers = 3,
                            .kv_heads = 2,
                            .head_dim = 40,
                            .value_head_dim = 24,
                            .groups = {full_attention(), sliding_window(8), latent(32, 8)},
                            .pattern = repeat_groups({0, 1, 2})};

template <class... Policies>
struct Filled {
  using Cache = KvCache<Model<model>, Policies...>;
  explicit Filled(std::int32_t num_tokens, std::uint32_t seed)
      : cache({.num_blocks = {24, 24, 24}}), sequence(cache.create(num_tokens)), batch(cache.batch({&sequence})) {
    for (std::int32_t layer = 0; layer < model.layers; ++layer) {
      GroupShape const shape = batch.view().group(layer).shape;
      auto const keys = random_floats(std::int64_t{num_tokens} * shape.kv_heads * shape.key_dim,
                                      seed + static_cast<std::uint32_t>(layer));
      auto const values = random_floats(std::int64_t{num_tokens} * shape.kv_heads * shape.value_dim,
                                        seed + 9 + static_cast<std::uint32_t>(layer));
      ops::append(batch.view(), layer, keys.data(), shape.values_in_keys() ? nullptr : values.data());
    }
  }
  /// Keys and values of a token in a layer, decoded.
  [[nodiscard]] std::vector<float> row(std::int32_t layer, std::int32_t token) const {
    GroupShape const shape = batch.view().group(layer).shape;
    std::vector<float> keys(static_cast<std::size_t>(shape.kv_heads * shape.key_dim)),
        values(static_cast<std::size_t>(shape.kv_heads * shape.value_dim));
    ops::gather(batch.view(), layer, {0, token, 1}, keys.data(), values.data());
    keys.insert(keys.end(), values.begin(), values.end());
    return keys;
  }
  Cache cache;
  Sequence sequence;
  Batch<typename Cache::View> batch;
};

}  // namespace

TEMPLATE_TEST_CASE("rows are copied as they are, to other places in blocks of another size, and no other row changes",
                   "", F32, Int8PerToken, Int4Rotated) {
  ThreadPool threads(3);
  Filled<TestType, BlockSize<4>> from(7, 1);
  Filled<TestType, BlockSize<3>> to(8, 100), before(8, 100);
  for (std::int32_t layer = 0; layer < model.layers; ++layer) {
    ops::copy_rows(from.batch.view(), layer, {0, 2, 5}, to.batch.view(), {0, 1, 5}, &threads);
    for (std::int32_t token = 0; token < 8; ++token)
      CHECK(to.row(layer, token) == (token >= 1 && token < 6 ? from.row(layer, token + 1) : before.row(layer, token)));
  }
}

TEST_CASE("rows that cannot be copied are refused, and nothing is written") {
  Filled<F16, BlockSize<2>> from(7, 1), to(8, 100), before(8, 100);
  auto const refused = [&](std::int32_t layer, Tokens const& tokens, Tokens const& to_tokens, char const* words) {
    CHECK_THROWS_WITH(ops::copy_rows(from.batch.view(), layer, tokens, to.batch.view(), to_tokens), contains(words));
  };
  refused(0, {1, 0, 1}, {0, 0, 1}, "the batch has 1 sequences, so no sequence 1");
  refused(0, {0, 0, 1}, {-1, 0, 1}, "so no sequence -1");
  refused(0, {0, 0, 2}, {0, 0, 1}, "2 tokens do not fill the places of 1");
  refused(0, {0, 6, 2}, {0, 0, 2}, "stores 7 tokens, so not the 2 from 6 on");
  refused(0, {0, 0, 2}, {0, 7, 2}, "stores 8 tokens, so not the 2 from 7 on");
  refused(3, {0, 0, 2}, {0, 0, 2}, "layer");
  for (std::int32_t layer = 0; layer < model.layers; ++layer)
    for (std::int32_t token = 0; token < 8; ++token) CHECK(to.row(layer, token) == before.row(layer, token));
  for (int i = 0; i < 2; ++i) to.sequence.extend(8);  // so that the first block leaves the window
  auto const batch = to.cache.batch({&to.sequence});
  CHECK_THROWS_WITH(ops::copy_rows(from.batch.view(), 1, {0, 0, 1}, batch.view(), {0, 0, 1}),
                    contains("was given back when it left the layer's window"));
}
