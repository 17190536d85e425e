// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Mixed caches of hybrid models: layers with a window are as in a plain cache, the others as encoded once.

#include <folio/quantizer/channel_tile.hpp>

#include "precision/hybrid_models.hpp"
#include "precision/mixed_programs.hpp"

using namespace folio;
using namespace folio::test;

TEST_CASE("random programs: layers with a window are as in a plain cache, the others as encoded once") {
  SECTION("int8, more sinks in the model than in the cache") { run_mixed_programs<Int8Hybrid>(60, 40, 3, 12, 60); }
  SECTION("a window smaller than a block, and first in the model") {
    run_mixed_programs<MixedPrecisionCache<CacheOf<window_first, F16, BlockSize<8>>,
                                           CacheOf<window_first, Int4Rotated, BlockSize<4>>>>(60, 40, 0, 12, 60);
  }
  SECTION("latent layers and windows") {
    run_mixed_programs<MixedPrecisionCache<CacheOf<latent_and_window, F16, BlockSize<4>>,
                                           CacheOf<latent_and_window, Fp8E4M3, BlockSize<4>>>,
                       false>(60, 40, 4, 20, 60);
  }
  SECTION("tiles") {
    run_mixed_programs<
        MixedPrecisionCache<CacheOf<full_first, F16, BlockSizes<4, 6>>,
                            CacheOf<full_first, Keys<ChannelTile<2, 8>>, Values<Int4Rotated>, BlockSize<8>>>>(60, 40, 3,
                                                                                                              12, 60);
  }
}

TEST_CASE("a recent window below the window, down to nothing, takes nothing from the window") {
  MixedModelSequences<Int8Hybrid> stories(small_hybrid(0, 0));
  MixedModelSequence story = stories.create(24);
  stories.write({&story}, 24);
  stories.demote(story, 24);
  REQUIRE(story.sequence.num_demoted() == 24);
  for (std::int32_t const n : {1, 2, 5, 1, 9}) {
    REQUIRE(stories.take(story, n));
    stories.write({&story}, n);
    REQUIRE_NOTHROW(stories.check_attention({&story}, n, 2));
    stories.demote(story, 100);
    stories.check(story);
  }
}

TEST_CASE("drafts are taken back from windows as from the others") {
  MixedModelSequences<Int8Hybrid> stories(small_hybrid(4, 0));
  MixedModelSequence story = stories.create(20);
  stories.write({&story}, 20);
  for (int round = 0; round < 10; ++round) {
    std::int32_t const accepted = static_cast<std::int32_t>(story.tokens.size()) + round % 4;
    REQUIRE(stories.take(story, 4));
    stories.write({&story}, 4);
    REQUIRE_NOTHROW(stories.check_attention({&story}, 4, 1));
    stories.demote(story, accepted);
    stories.truncate(story, accepted);
    REQUIRE(story.sequence.num_tokens() == accepted);
    stories.check(story);
  }
  CHECK(story.sequence.num_demoted() == 24);
}
