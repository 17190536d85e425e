// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many bytes: of a token, a block and a sequence, and how many blocks fit a budget. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace folio {

inline namespace literals {
// NOLINTBEGIN(google-runtime-int): the language asks for unsigned long long here
constexpr std::int64_t operator""_KiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 10; }
constexpr std::int64_t operator""_MiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 20; }
constexpr std::int64_t operator""_GiB(unsigned long long n) { return static_cast<std::int64_t>(n) << 30; }
// NOLINTEND(google-runtime-int)
}  // namespace literals

/// The most blocks that a sequence of `num_tokens` tokens ever holds in a group when it grows `step` tokens at a time:
/// all, or with a window the sinks' and those that the first and the last token of a step see.
[[nodiscard]] constexpr std::int64_t most_blocks_held(GroupShape const& shape, std::int32_t num_tokens,
                                                      std::int32_t step = 1) {
  std::int64_t const all = blocks_for(num_tokens, shape.block_size);
  if (shape.window == 0) return all;
  // window + step - 1 neighbours, of which in the worst case only the first is in the first block.
  std::int64_t const in_window = (std::int64_t{shape.window} + step - 3 + shape.block_size) / shape.block_size + 1;
  return std::min(all, in_window + blocks_for(shape.sinks, shape.block_size));
}

/// Blocks for each group from one budget: as many as let every group serve the same number of sequences of
/// `tokens_per_sequence` tokens (0: very long ones). Each group's pool has one block more, the null block.
///
/// Throws Error when the budget does not hold one block, besides the null block, for every group. Sizes in bytes.
[[nodiscard]] inline std::vector<std::int64_t> blocks_that_fit(std::span<GroupShape const> shapes,
                                                               std::span<std::int64_t const> block_bytes,
                                                               std::int64_t memory_bytes,
                                                               std::int32_t tokens_per_sequence = 0) {
  constexpr std::int64_t max_blocks = std::numeric_limits<std::int32_t>::max() - 1;
  std::int64_t minimum = 0;
  double bytes_per_sequence = 0;
  std::vector<double> need(shapes.size());
  for (std::size_t g = 0; g < shapes.size(); ++g) {
    minimum += 2 * block_bytes[g];
    // Without a hint, tokens weigh alike in every group, as if no window ever gave a block back.
    need[g] = tokens_per_sequence > 0 ? static_cast<double>(most_blocks_held(shapes[g], tokens_per_sequence))
                                      : 1.0 / shapes[g].block_size;
    bytes_per_sequence += need[g] * static_cast<double>(block_bytes[g]);
  }
  if (memory_bytes < minimum)
    throw Error("folio: a budget of " + std::to_string(memory_bytes) + " bytes is too small: one block and the null " +
                "block of every layer group take " + std::to_string(minimum) + " bytes");
  auto const spare = static_cast<double>(memory_bytes - minimum);
  std::vector<std::int64_t> num_blocks(shapes.size());
  std::int64_t left = memory_bytes;
  for (std::size_t g = 0; g < shapes.size(); ++g) {
    num_blocks[g] = std::min(max_blocks, 1 + static_cast<std::int64_t>(spare / bytes_per_sequence * need[g]));
    left -= (num_blocks[g] + 1) * block_bytes[g];
  }
  for (std::size_t g = 0; g < shapes.size(); ++g) {  // what rounding left over
    std::int64_t const more = std::clamp(left / block_bytes[g], std::int64_t{0}, max_blocks - num_blocks[g]);
    num_blocks[g] += more;
    left -= more * block_bytes[g];
  }
  return num_blocks;
}

}  // namespace folio
