// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The mixed cache of docs/quantization.md, and its figures.
#include <folio/folio.hpp>
#include <folio/precision/mixed_cache.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

// [types]
using Model = folio::Model<folio::models::gpt_oss_20b>;  // every other layer has a window of 128 tokens
using Hot = folio::KvCache<Model, folio::F16>;
using Mixed = folio::MixedPrecisionCache<Hot, folio::KvCache<Model, folio::Int4Rotated>>;
// [/types]

constexpr std::int32_t heads = 64, dim = 64;

}  // namespace

TEST_CASE("a step of a mixed cache over a hybrid model") {
  std::int32_t const num_new = 40;
  auto const floats = folio::test::random_floats(num_new * heads * dim, 1);
  float const *const keys = floats.data(), *const values = keys, *const q = keys;
  std::vector<float> out(floats.size());
  // [step]
  Mixed cache({.hot = {.num_blocks = {20}},
               .compressed = {.num_blocks = {100}},
               .sinks = 16,
               .recent_window = 64,
               .windows = {.num_blocks = {20}}});
  folio::MixedPrecisionSequence sequence = cache.create();
  for (int step = 0; step < 4; ++step) {
    sequence.extend(num_new);
    auto const batch = cache.batch({{&sequence}});
    for (std::int32_t layer = 0; layer < 24; ++layer) {  // computes keys, values and q of the layer
      folio::ops::append(batch.view(), layer, keys, values);
      folio::ops::attend(batch.view(), layer, folio::AttentionIo{q, heads, out.data()});
    }
    cache.demote(sequence);  // demotes whole tiles of 16 tokens that have left the newest 64
  }
  // [/step]
  CHECK(sequence.num_demoted() == 80);
  CHECK(out.back() != 0);
  static_assert(Mixed::demotion_granularity == 16);
}

TEST_CASE("what a long sequence takes") {
  Hot const plain({.num_blocks = {1, 1}});
  Mixed const mixed({.hot = {.num_blocks = {1}}, .compressed = {.num_blocks = {1}}, .windows = {.num_blocks = {1}}});
  std::int32_t const length = 131072, hot = 16 + 64 + Mixed::demotion_granularity;
  std::int64_t const bytes = mixed.hot().bytes_per_sequence(hot) +
                             mixed.compressed().bytes_per_sequence(length - 16 - 64) +
                             mixed.windows().bytes_per_sequence(length);
  CHECK(plain.bytes_per_sequence(length) / 1000000 == 3224);
  CHECK(mixed.windows().bytes_per_sequence(length) == 9 * mixed.windows().block_bytes());
  CHECK(bytes / 1000000 == 911);
}
