// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache of docs/quantization.md that demotes, and its figures.
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

// [types]
using Model = folio::Model<folio::models::gpt_oss_20b>;  // every other layer has a window of 128 tokens
using Cache = folio::KvCache<Model, folio::F16, folio::Demote<folio::Int4Rotated>>;
// [/types]

constexpr std::int32_t heads = 64, dim = 64;

}  // namespace

TEST_CASE("a step of a cache that demotes, over a hybrid model") {
  std::int32_t const num_new = 40;
  auto const floats = folio::test::random_floats(num_new * heads * dim, 1);
  float const *const keys = floats.data(), *const values = keys, *const q = keys;
  std::vector<float> out(floats.size());
  // [step]
  Cache cache({.num_blocks = {20, 20},  // of the layers with a window, and of those without one
               .demotion = {.sinks = 16, .recent_window = 64, .num_blocks = {100}}});  // of what these demote
  folio::Sequence sequence = cache.create();
  for (int step = 0; step < 4; ++step) {
    sequence.extend(num_new);
    auto const batch = cache.batch({&sequence});
    for (std::int32_t layer = 0; layer < 24; ++layer) {  // computes keys, values and q of the layer
      folio::ops::append(batch.view(), layer, keys, values);
      folio::ops::attend(batch.view(), layer, folio::AttentionIo{q, heads, out.data()});
    }
    cache.demote(sequence);  // demotes whole units of 16 tokens that have left the newest 64
  }
  // [/step]
  CHECK(sequence.num_demoted_tokens() == 80);
  CHECK(out.back() != 0);
  CHECK(cache.demotion_unit() == 16);
  CHECK((cache.shape(0).window == 128 && cache.shape(1).window == 0));
}

TEST_CASE("what a long sequence takes") {
  folio::KvCache<Model, folio::F16> const plain({.num_blocks = {1, 1}});
  Cache const cache({.num_blocks = {1, 1}, .demotion = {.sinks = 16, .recent_window = 64, .num_blocks = {1}}});
  std::int32_t const length = 131072;
  CHECK(plain.bytes_per_sequence(length) / 1000000 == 3224);
  CHECK(9 * cache.block_bytes(0) / 100000 == 35);  // of the windows
  CHECK(cache.bytes_per_sequence(length) / 1000000 == 912);
}
