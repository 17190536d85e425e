// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rows that go from one cache to another, on the host and by the host runner: to the same bytes. Include it after
// simt_cache.hpp.

#include <cstddef>
#include <cstdint>
#include <folio/cuda_runtime.cuh>
#include <random>

#include "simt/streams.hpp"
#include "support/catch.hpp"
#include "support/random.hpp"
#include "support/simt_cache.hpp"

namespace folio::test {

/// Every kind of layer group, head dims that fill their lanes and that do not.
inline constexpr ModelConfig hybrid{.layers = 4,
                                    .kv_heads = 3,
                                    .head_dim = 64,
                                    .value_head_dim = 40,
                                    .groups = {full_attention(), sliding_window(20, 3), latent(32, 16)},
                                    .pattern = repeat_groups({0, 1, 2, 1})};

template <class... Policies>
using TwinsOf = Twins<Model<hybrid>, Policies...>;

/// move(from, layer, tokens, to, to_tokens), with a stream on the device: from every sequence of a cache to every
/// sequence of another, with ranges that begin and end anywhere. `fills_target`: it has rows before, too.
template <class FromTwins, class ToTwins, class Move>
void move_everywhere(std::uint32_t seed, Move const& move, bool fills_target = false) {
  CacheConfig const config{.num_blocks = {60, 60, 60}};
  FromTwins from(config);
  ToTwins to(config);
  for (std::int32_t const length : {1, 17, 30}) from.add(length);
  for (std::int32_t const length : {19, 0, 24}) to.add(length);
  fill(from);
  if (fills_target) fill(to);
  auto const host_from = from.host_batch(), device_from = from.device_batch();
  auto const host_to = to.host_batch(), device_to = to.device_batch();
  SimtBatch const on_device_from(device_from);
  SimtBatch const on_device_to(device_to);
  std::mt19937 random(seed);
  simt::streams(seed);
  for (std::int32_t layer = 0; layer < hybrid.layers; ++layer)
    for (std::int32_t i = 0; i < 3; ++i)
      for (std::int32_t j = 0; j < 3; ++j) {
        std::int32_t const have = host_from.lengths()[static_cast<std::size_t>(i)];
        std::int32_t const room = host_to.lengths()[static_cast<std::size_t>(j)];
        std::int32_t const n = below(random, std::min(have, room) + 1);
        std::int32_t const first = below(random, have - n + 1), at = below(random, room - n + 1);
        Tokens const tokens{i, first, n}, to_tokens{j, at, n};
        move(host_from.view(), layer, tokens, host_to.view(), to_tokens);
        move(DeviceView(on_device_from.view()), layer, tokens, DeviceView(on_device_to.view()), to_tokens, nullptr);
        check_cuda(cudaDeviceSynchronize(), "waiting");
      }
  REQUIRE(from.same_bytes());
  REQUIRE(to.same_bytes());
}

}  // namespace folio::test
