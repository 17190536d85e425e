// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Hybrid models for the tests of caches that demote: layers with a window beside layers that see everything.

#include <cstdint>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <utility>
#include <vector>

namespace folio::test {

/// A window that is no multiple of a block, with sinks that the cache's own need not cover.
inline constexpr ModelConfig full_first{.layers = 3,
                                        .kv_heads = 2,
                                        .head_dim = 16,
                                        .groups = {full_attention(), sliding_window(7, 5)},
                                        .pattern = repeat_groups({0, 1})};
/// A window smaller than a block.
inline constexpr ModelConfig window_first{.layers = 4,
                                          .kv_heads = 1,
                                          .head_dim = 24,
                                          .groups = {sliding_window(3), full_attention()},
                                          .pattern = repeat_groups({0, 0, 1})};
inline constexpr LayerGroup narrow_full{.kind = AttentionKind::full, .kv_heads = 1, .head_dim = 24};
inline constexpr LayerGroup narrow_window{
    .kind = AttentionKind::sliding_window, .window = 20, .sinks = 3, .head_dim = 8};
inline constexpr ModelConfig four_groups{.layers = 6,
                                         .kv_heads = 2,
                                         .head_dim = 16,
                                         .groups = {sliding_window(1), full_attention(), narrow_window, narrow_full},
                                         .pattern = repeat_groups({2, 3, 0, 1})};
inline constexpr ModelConfig latent_and_window{.layers = 3,
                                               .kv_heads = 2,
                                               .head_dim = 8,
                                               .groups = {latent(16, 8), sliding_window(9, 1)},
                                               .pattern = repeat_groups({1, 0})};

template <ModelConfig const& Config, class... Policies>
using CacheOf = KvCache<Model<Config>, Policies...>;

using Int8Hybrid = CacheOf<full_first, F32, BlockSizes<4, 2>, Demote<Int8PerToken, BlockSizes<8, 16>>>;

inline CacheConfig small_hybrid(std::int32_t sinks, std::int32_t recent_window) {
  return {.num_blocks = {50, 60}, .demotion = {.sinks = sinks, .recent_window = recent_window, .num_blocks = {50}}};
}

}  // namespace folio::test
