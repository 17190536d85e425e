// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Random programs that draw everything together: prefixes, demotion, gaps, reservations, resizing and given queries,
// with a format for each layer group. FOLIO_PROGRAMS: how many, in thousandths of what CI runs. FOLIO_SEED: the first
// seed.

#include "random_programs/together_program.hpp"
#include "support/catch.hpp"

namespace {

using namespace folio;
using namespace folio::test;

/// Runs programs of 60 steps, and sees that CI's seeds met everything.
template <class Cache, class Config>
void run_programs(unsigned count, Config const& config) {
  unsigned const first = number_from("FOLIO_SEED", 1);
  bool const is_recorded = std::getenv("FOLIO_SEED") == nullptr && std::getenv("FOLIO_PROGRAMS") == nullptr;
  count = std::max(1U, count * number_from("FOLIO_PROGRAMS", 1000) / 1000);
  TogetherCounts counts;
  for (unsigned seed = first; seed < first + count; ++seed)
    TogetherProgram<Cache>(config(static_cast<std::int32_t>(seed)), seed, counts).run(60);
  if (!is_recorded) return;  // chance decides what a few programs of other seeds meet
  CHECK(counts.found_exact > 50);
  CHECK(counts.found_demoted > 50);
  CHECK(counts.evictions > 50);
  CHECK(counts.demoted_tokens > 50);
  CHECK(counts.canceled > 50);
  CHECK(counts.gaps > 50);
  CHECK(counts.compactions > 50);
  CHECK(counts.shared_blocks > 50);
  CHECK(counts.refused > 50);
  CHECK(counts.out_of_blocks > 50);
  CHECK(counts.reserved > 50);
  CHECK(counts.resized > 50);
  CHECK(counts.resized_second > 50);
  CHECK(counts.attended > 50);
  CHECK(counts.given_positions > 50);
  CHECK(counts.given_limits > 50);
  CHECK(counts.rewritten > 50);
}

constexpr ModelConfig full{.layers = 2, .kv_heads = 2, .head_dim = 8};
constexpr ModelConfig hybrid{.layers = 4,
                             .kv_heads = 2,
                             .head_dim = 16,
                             .value_head_dim = 8,
                             .groups = {full_attention(), sliding_window(6, 2), latent(16, 8)},
                             .pattern = repeat_groups({0, 1, 2, 1})};
constexpr ModelConfig two_full{.layers = 2,
                               .kv_heads = 1,
                               .head_dim = 16,
                               .groups = {full_attention(), full_attention()},
                               .pattern = repeat_groups({0, 1})};

}  // namespace

TEST_CASE("random programs together: one group, floats that are demoted to k8v4") {
  using Demoted = Demote<Keys<Int8PerToken>, Values<Int4Rotated>, BlockSize<2>>;
  run_programs<KvCache<Model<full>, F32, BlockSize<3>, RoomyMemory, Demoted, LruEviction>>(1300, [](std::int32_t seed) {
    return CacheConfig{
        .num_blocks = {24 + seed % 5 * 12},
        .demotion = {.sinks = seed % 8, .recent_window = seed % 4 * 5, .num_blocks = {16 + seed % 3 * 16}}};
  });
}
TEST_CASE("random programs together: formats of a full group, a window of int8, and a latent") {
  using Demoted = Demote<Int8PerToken, BlockSizes<2, 1, 4>>;
  run_programs<
      KvCache<Model<hybrid>, Formats<F16, Int8PerToken, BF16>, BlockSizes<4, 3, 2>, RoomyMemory, Demoted, LruEviction>>(
      1300, [](std::int32_t seed) {
        return CacheConfig{.num_blocks = {20 + seed % 5 * 16, 24 + seed % 3 * 24, 40 + seed % 4 * 30},
                           .tokens_in_flight = seed % 3 * 2,
                           .demotion = {.sinks = seed % 8,
                                        .recent_window = seed % 4 * 5,
                                        .num_blocks = {16 + seed % 3 * 16, 8 + seed % 4 * 8}}};
      });
}
TEST_CASE("random programs together: formats of two full groups, of which one demotes") {
  using Demoted = Demote<Int8PerToken, BlockSizes<2, 1>>;
  run_programs<KvCache<Model<two_full>, Keys<F16, Int4Rotated>, Values<F16, Int8PerToken>, BlockSizes<4, 2>,
                       RoomyMemory, Demoted, LruEviction>>(1300, [](std::int32_t seed) {
    return CacheConfig{
        .num_blocks = {20 + seed % 5 * 10, 40 + seed % 4 * 16},
        .demotion = {.sinks = seed % 8, .recent_window = seed % 4 * 5, .num_blocks = {16 + seed % 3 * 16}}};
  });
}
