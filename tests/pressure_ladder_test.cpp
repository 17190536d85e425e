// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/pressure_ladder.hpp>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"

using namespace folio;
using folio::test::contains;

namespace {

constexpr ModelConfig tiny{.layers = 1, .kv_heads = 1, .head_dim = 16};
using Cache = KvCache<Model<tiny>, F16, BlockSize<4>, Demote<Int4Rotated, BlockSize<8>>>;

CacheConfig config_of(std::int64_t num_blocks, std::int64_t num_demoted_blocks) {
  return {.num_blocks = {num_blocks},
          .demotion = {.sinks = 0, .recent_window = 40, .num_blocks = {num_demoted_blocks}}};
}
Cache cache_of(std::int64_t num_blocks, std::int64_t num_demoted_blocks) {
  return Cache(config_of(num_blocks, num_demoted_blocks));
}

/// A rung that notes what is asked of it, and frees `left`, one at a time.
struct Noted {
  std::string* log;
  char name;
  int* left;
  PressureRung rung(double free_below) const {
    return {std::string(1, name), free_below,
            [n = *this]() -> std::int64_t {
              *n.log += n.name;
              return *n.left > 0 ? (--*n.left, 1) : 0;
            },
            [n = *this](bool is_on) { *n.log += std::string(is_on ? "+" : "-") + n.name; }};
  }
};

/// Rungs that demote all but these windows.
template <class C>
std::vector<PressureRung> demoting(C& cache, std::span<Sequence* const> sequences,
                                   std::vector<std::pair<double, std::int32_t>> const& rungs) {
  std::vector<PressureRung> all;
  for (auto const& [share, window] : rungs)
    all.push_back(
        demotion_rung(cache, share, window, [&cache, sequences] { return cache.demote_all(sequences).num_tokens; }));
  return all;
}

}  // namespace

TEST_CASE("rungs begin at once, in their order, and end with some distance") {
  std::string log;
  int left = 0;
  auto const rung = [&](char name, double share) { return Noted{&log, name, &left}.rung(share); };
  PressureLadder ladder({rung('a', 0.5), rung('b', 0.2), rung('c', 0.2), rung('d', 0.1)}, 0.1);
  auto const at = [&](double share) {
    log.clear();
    ladder.update(share);
    return log + std::to_string(ladder.num_on());
  };
  CHECK(at(1) == "0");
  CHECK(at(0.5) == "0");  // half is not less than half
  CHECK(at(0.49) == "+a1");
  CHECK(at(0.59) == "1");
  CHECK(at(0.6) == "-a0");
  CHECK(at(0.05) == "+a+b+c+d4");  // at once
  CHECK(at(0.19) == "4");
  CHECK(at(0.25) == "-d3");
  CHECK(at(1) == "-c-b-a0");
  CHECK(ladder.stats()[0].num_begun == 2);
  CHECK(ladder.stats()[0].num_ended == 2);
  CHECK(ladder.stats()[3].num_begun == 1);
  CHECK(ladder.stats()[0].num_calls == 0);
  CHECK_FALSE(ladder.stats()[0].is_on);
}

TEST_CASE("a step's relief asks each rung that is on once, and a short append each until it has no more") {
  std::string log;
  int a = 3, b = 2, c = 9;
  PressureLadder ladder(
      {Noted{&log, 'a', &a}.rung(0.5), Noted{&log, 'b', &b}.rung(0.3), Noted{&log, 'c', &c}.rung(0.1)});
  CHECK(ladder.relieve(1) == 0);
  CHECK(log == "");
  CHECK(ladder.relieve(0.2) == 2);
  CHECK(log == "+a+bab");
  log.clear();
  CHECK(ladder.relieve_until([&] { return c == 7; }, 0.2));
  CHECK(log == "aaabb+ccc");  // what is left of a and b, and nothing, and two of c
  CHECK(ladder.num_on() == 3);
  CHECK(ladder.stats()[0].relieved == 3);
  CHECK(ladder.stats()[0].num_calls == 4);
  CHECK(ladder.stats()[2].relieved == 2);
  log.clear();
  CHECK(ladder.relieve_until([] { return true; }, 1));
  CHECK(log == "-c-b-a");  // enough, so nobody is asked
  CHECK_FALSE(ladder.relieve_until([] { return false; }, 1));
  CHECK(c == 0);
}

TEST_CASE("what a rung throws leaves those before it on") {
  int begun = 0;
  auto const count = [&] { return [&](bool is_on) { begun += is_on ? 1 : -1; }; };
  auto const nothing = [] { return std::int64_t{0}; };
  auto const fails = [](bool is_on) {
    if (is_on) throw std::runtime_error("cannot");
  };
  PressureLadder ladder({{"first", 0.5, nothing, count()}, {"second", 0.4, nothing, fails}});
  CHECK_THROWS_WITH(ladder.update(0.1), "cannot");
  CHECK(begun == 1);
  CHECK(ladder.num_on() == 1);
  CHECK_FALSE(ladder.stats()[1].is_on);
  ladder.update(1);
  CHECK(begun == 0);
}

TEST_CASE("a rung that throws as it ends, or as it relieves, is on, not counted, and asked again") {
  bool fails = true;
  auto const relieve = [&]() -> std::int64_t {
    if (fails) throw std::runtime_error("cannot relieve");
    return 3;
  };
  auto const set = [&](bool is_on) {
    if (fails && !is_on) throw std::runtime_error("cannot end");
  };
  PressureLadder ladder({{"only", 0.5, relieve, set}});
  CHECK_THROWS_WITH(ladder.relieve(0.1), "cannot relieve");
  CHECK(ladder.num_on() == 1);
  CHECK(ladder.stats()[0].num_calls == 0);
  CHECK_THROWS_WITH(ladder.update(1), "cannot end");
  CHECK(ladder.num_on() == 1);
  CHECK(ladder.stats()[0].is_on);
  CHECK(ladder.stats()[0].num_ended == 0);
  fails = false;
  CHECK(ladder.relieve(0.1) == 1);
  CHECK(ladder.stats()[0].num_calls == 1);
  ladder.update(1);
  CHECK(ladder.num_on() == 0);
  CHECK(ladder.stats()[0].num_ended == 1);
}

TEST_CASE("where all blocks are free every rung ends, however large its share and the hysteresis") {
  std::string log;
  int left = 0;
  PressureLadder ladder({Noted{&log, 'a', &left}.rung(1.0), Noted{&log, 'b', &left}.rung(0.95)});
  ladder.update(0.9);
  CHECK(ladder.num_on() == 2);
  ladder.update(0.99);
  CHECK(ladder.num_on() == 2);
  ladder.update(1);
  CHECK(log == "+a+b-b-a");
}

TEST_CASE("pressure demotes more, until an append fits") {
  Cache cache = cache_of(20, 20);
  Sequence a = cache.create(32), b = cache.create(40);
  Sequence* const sequences[] = {&a, &b};
  PressureLadder ladder(demoting(cache, sequences, {{0.5, 16}, {0.25, 8}}));
  CHECK_FALSE(b.try_extend(20));
  CHECK(ladder.relieve_until([&] { return b.try_extend(20); }, free_share(cache)));
  CHECK(ladder.num_on() == 2);  // two blocks of twenty were free
  CHECK(cache.recent_window() == 8);
  CHECK(b.num_tokens() == 60);
  CHECK(a.num_demoted_tokens() == 24);
  CHECK(b.num_demoted_tokens() == 32);
  CHECK(ladder.stats()[0].relieved + ladder.stats()[1].relieved == 56);
  CHECK(cache.stats().counters.demoted_tokens == 56);
  CHECK(cache.stats().bytes_saved == 14 * cache.block_bytes() - 7 * cache.block_bytes(1));
  CHECK_FALSE(ladder.relieve_until([&] { return b.try_extend(1000); }, free_share(cache)));
  CHECK(b.num_tokens() == 60);
  ladder.update(1);
  CHECK(cache.recent_window() == 40);
}

TEST_CASE("a rung further is taken where the first is not enough, and each gives back the window that it found") {
  Cache cache = cache_of(20, 20);
  Sequence a = cache.create(48);  // 8 free
  Sequence* const sequences[] = {&a};
  PressureLadder ladder(demoting(cache, sequences, {{0.6, 16}, {0.2, 8}, {0.1, 0}}));
  CHECK(ladder.relieve(free_share(cache)) == 1);
  CHECK(a.num_demoted_tokens() == 32);
  CHECK(ladder.num_on() == 1);
  CHECK(ladder.relieve_until([&] { return cache.num_free_blocks() >= 18; }, free_share(cache)));
  CHECK(a.num_demoted_tokens() == 40);
  ladder.update(0.05);
  CHECK(cache.recent_window() == 0);
  ladder.update(0.25);
  CHECK(cache.recent_window() == 8);
  ladder.update(0.35);
  CHECK(cache.recent_window() == 16);
  ladder.update(0.7);
  CHECK(cache.recent_window() == 40);
  CHECK(a.num_demoted_tokens() == 40);  // for good
  CHECK_THROWS_WITH(demotion_rung(cache, 0.5, -1, [] { return 0; }), contains("a rung's recent window has 0 to"));
}

TEST_CASE("the layer group that has the least free blocks decides") {
  constexpr static ModelConfig two{.layers = 2,
                                   .kv_heads = 1,
                                   .head_dim = 16,
                                   .groups = {full_attention(), latent(16, 8)},
                                   .pattern = repeat_groups({0, 1})};
  using TwoGroups = KvCache<Model<two>, F16, BlockSizes<4, 4>, Demote<Int8PerToken>>;
  for (int const scarce : {0, 1}) {
    std::vector<std::int64_t> blocks{20, 20};
    blocks[static_cast<std::size_t>(scarce)] = 10;
    TwoGroups cache({.num_blocks = blocks, .demotion = {.recent_window = 40, .num_blocks = {20, 20}}});
    Sequence a = cache.create(28);  // 3 of 10 blocks are free, and 13 of 20
    CHECK(free_share(cache) == 0.3);
  }
}

TEST_CASE("prefixes that can be evicted are no pressure") {
  using Keeping = KvCache<Model<tiny>, F16, BlockSize<4>, Demote<Int4Rotated, BlockSize<8>>, LruEviction>;
  Keeping cache(config_of(20, 20));
  std::vector<std::int32_t> const prompt(64, 7);
  Sequence first = cache.create(64);
  cache.insert(first, {prompt});
  CHECK(free_share(cache) == 0.2);  // a sequence has them
  first.release();
  CHECK(cache.num_free_blocks() == 4);
  CHECK(free_share(cache) == 1);
}

TEST_CASE("a layer group without layers has no share") {
  static constexpr ModelConfig open{
      .layers = 2,
      .kv_heads = 1,
      .head_dim = 16,
      .groups = {full_attention(), LayerGroup{.kind = AttentionKind::full, .head_dim = 8}},
      .pattern = dynamic_pattern};
  KvCache<Model<open>, F16, BlockSize<4>, Demote<Int8PerToken>> cache(
      {.num_blocks = {20, 20}, .layer_groups = {0, 0}, .demotion = {.recent_window = 40, .num_blocks = {20, 20}}});
  CHECK(cache.num_blocks(1) == 0);
  CHECK(free_share(cache) == 1);
  Sequence const a = cache.create(40);
  CHECK(free_share(cache) == 0.5);
}

TEST_CASE("rungs that make no ladder are refused") {
  auto const rung = [](double share) { return PressureRung{"r", share, [] { return std::int64_t{0}; }}; };
  CHECK_NOTHROW(PressureLadder({}));
  CHECK_NOTHROW(PressureLadder({rung(1.0), rung(1.0)}, 0));
  CHECK_THROWS_WITH(PressureLadder({rung(0.5), rung(0.6)}), contains("rung \"r\" of a ladder has free_below 0.600000"));
  CHECK_THROWS_WITH(PressureLadder({rung(1.1)}), contains("free_below 1.100000"));
  CHECK_THROWS_WITH(PressureLadder({rung(0.0)}), contains("free_below 0.000000"));
  CHECK_THROWS_WITH(PressureLadder({rung(std::numeric_limits<double>::quiet_NaN())}), contains("free_below"));
  CHECK_THROWS_WITH(PressureLadder({{"none", 0.5, nullptr}}), contains("rung \"none\" of a ladder has no relief"));
  CHECK_THROWS_WITH(PressureLadder({rung(0.5)}, -0.1), contains("hysteresis from 0 to 1"));
}
