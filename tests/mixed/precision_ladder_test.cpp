// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/mixed/mixed_cache.hpp>
#include <folio/mixed/precision_ladder.hpp>
#include <vector>

#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;

namespace {

constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 16};
using Cache = MixedCache<KvCache<Model<tiny>, F16, BlockSize<4>>, KvCache<Model<tiny>, Int4Rotated, BlockSize<8>>>;

Cache cache_of(std::int64_t hot_blocks, std::int64_t cold_blocks) {
  return Cache({.hot = {.num_blocks = {hot_blocks}}, .cold = {.num_blocks = {cold_blocks}}, .newest = 40});
}

}  // namespace

TEST_CASE("a ladder goes down with the free blocks, and up again with some distance") {
  Cache cache = cache_of(100, 100);
  PrecisionLadder ladder(40, {{0.5, 16}, {0.2, 8}, {0.1, 0}}, 0.1);
  auto const at = [&](std::int32_t live_blocks) {
    MixedSequence const held = cache.create(live_blocks * 4);
    ladder.update(cache);
    CHECK(cache.newest() == ladder.newest());
    return ladder.stats().step;
  };
  CHECK(at(0) == 0);
  CHECK(ladder.newest() == 40);
  CHECK(at(50) == 0);  // half is not less than half
  CHECK(at(51) == 1);
  CHECK(ladder.newest() == 16);
  CHECK(at(45) == 1);
  CHECK(at(41) == 1);
  CHECK(at(40) == 0);
  CHECK(at(95) == 3);  // at once
  CHECK(ladder.newest() == 0);
  CHECK(at(81) == 3);
  CHECK(at(79) == 2);
  CHECK(at(0) == 0);
  CHECK(ladder.stats().num_steps_down == 4);
  CHECK(ladder.stats().num_steps_up == 4);
}

TEST_CASE("pressure demotes more, until an append fits") {
  Cache cache = cache_of(20, 20);
  PrecisionLadder ladder(40, {{0.5, 16}, {0.25, 8}});
  MixedSequence a = cache.create(32), b = cache.create(40);
  MixedSequence* const sequences[] = {&a, &b};
  CHECK_FALSE(b.try_append(20));
  CHECK(ladder.relieve_until([&] { return b.try_append(20); }, cache, sequences));
  CHECK(ladder.stats().step == 2);  // two blocks of twenty were free
  CHECK(b.num_tokens() == 60);
  CHECK(a.num_demoted() == 24);
  CHECK(b.num_demoted() == 32);
  CHECK(ladder.stats().num_demoted_tokens == 56);
  CHECK(cache.stats().num_demoted_tokens == 56);
  CHECK(cache.stats().bytes_saved == 14 * cache.hot().block_bytes() - 7 * cache.cold().block_bytes());
  CHECK_FALSE(ladder.relieve_until([&] { return b.try_append(1000); }, cache, sequences));
  CHECK(b.num_tokens() == 60);
}

TEST_CASE("a step further is taken where the first is not enough") {
  Cache cache = cache_of(20, 20);
  PrecisionLadder ladder(40, {{0.6, 16}, {0.2, 8}, {0.1, 0}});
  MixedSequence a = cache.create(48);  // 8 free
  MixedSequence* const sequences[] = {&a};
  CHECK(ladder.relieve(cache, sequences) == 32);
  CHECK(ladder.stats().step == 1);
  CHECK(ladder.relieve_until([&] { return cache.hot().num_free_blocks() >= 18; }, cache, sequences));
  CHECK(ladder.stats().step == 2);
  CHECK(a.num_demoted() == 40);
}

TEST_CASE("what is not accepted stays, and cold blocks that are missing are counted") {
  Cache cache = cache_of(20, 1);
  PrecisionLadder ladder(40, {{1.0, 0}});
  MixedSequence a = cache.create(24), b = cache.create(24);
  MixedSequence* const sequences[] = {&a, &b};
  std::int32_t const accepted[] = {24, 8};
  CHECK(ladder.relieve(cache, sequences, accepted) == 8);  // of a nothing: it needs three cold blocks
  CHECK(a.num_demoted() == 0);
  CHECK(b.num_demoted() == 8);
  CHECK(ladder.stats().num_refused == 1);
  CHECK_THROWS_WITH(ladder.relieve(cache, sequences, std::span(accepted, 1)), contains("for each of 2 sequences"));
}

TEST_CASE("steps that make no ladder are refused") {
  CHECK_NOTHROW(PrecisionLadder(0, {}));
  CHECK_NOTHROW(PrecisionLadder(1, {{1.0, 0}}, 0));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, 40}}), contains("step 0 of a ladder"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, 16}, {0.5, 8}}), contains("step 1 of a ladder"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, 16}, {0.4, 16}}), contains("step 1 of a ladder"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{1.1, 16}}), contains("step 0"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.0, 16}}), contains("step 0"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, -1}}), contains("step 0"));
  CHECK_THROWS_WITH(PrecisionLadder(-1, {}), contains("at least 0 tokens"));
  CHECK_THROWS_WITH(PrecisionLadder(40, {{0.5, 16}}, -0.1), contains("hysteresis from 0 to 1"));
}
