// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many bytes: of a token, a block and a sequence, and how many blocks fit a budget. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/block_pool.hpp>
#include <folio/containers/as_span.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace folio {

inline namespace literals {
// NOLINTBEGIN(google-runtime-int): the language asks for unsigned long long here
constexpr std::int64_t operator""_KiB(unsigned long long n) {
  // A constant that 64 bits do not hold does not compile.
  return n < std::uint64_t{1} << 53 ? static_cast<std::int64_t>(n) << 10
                                    : throw Error("folio: so many KiB are more bytes than 2^63 - 1");
}
constexpr std::int64_t operator""_MiB(unsigned long long n) {
  return n < std::uint64_t{1} << 43 ? static_cast<std::int64_t>(n) << 20
                                    : throw Error("folio: so many MiB are more bytes than 2^63 - 1");
}
constexpr std::int64_t operator""_GiB(unsigned long long n) {
  return n < std::uint64_t{1} << 33 ? static_cast<std::int64_t>(n) << 30
                                    : throw Error("folio: so many GiB are more bytes than 2^63 - 1");
}
// NOLINTEND(google-runtime-int)
}  // namespace literals

/// `count` things of `each` bytes, neither negative, or the largest number where they are more.
[[nodiscard]] constexpr std::int64_t bytes_of(std::int64_t count, std::int64_t each) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  return each > 0 && count > most / each ? most : count * each;
}
/// Bytes together, or the largest number where they are more.
[[nodiscard]] constexpr std::int64_t add_bytes(std::int64_t a, std::int64_t b) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  return a > most - b ? most : a + b;
}

/// Bytes of each group's pool of `num_blocks` blocks and the null block; none where it has no layers. Throws Error for
/// a number that no pool has, and for more bytes than 63 bits count, in all groups together.
[[nodiscard]] inline std::vector<std::int64_t> pool_bytes_of(std::span<std::int64_t const> num_blocks,
                                                             std::span<std::int64_t const> block_bytes) {
  std::vector<std::int64_t> bytes;
  std::int64_t all = 0;
  for (std::size_t g = 0; g < num_blocks.size(); ++g) {
    if (block_bytes[g] > 0) BlockPool::check_size(num_blocks[g]);
    bytes.push_back(bytes_of(num_blocks[g] + 1, block_bytes[g]));
    all = add_bytes(all, bytes.back());
  }
  if (all == std::numeric_limits<std::int64_t>::max())
    throw Error("folio: the blocks of all layer groups have 2^63 bytes or more; give fewer");
  return bytes;
}

/// The most blocks that a sequence of `num_tokens` tokens ever holds in a group when it grows `step` tokens at a time:
/// all, or with a window the sinks' and those that the first and the last token of a step see; none in a group without
/// layers. Throws Error for a negative length or a step below 1.
[[nodiscard]] constexpr std::int64_t most_blocks_held(GroupShape const& shape, std::int32_t num_tokens,
                                                      std::int64_t step = 1) {
  if (num_tokens < 0 || step < 1)
    throw Error("folio: a sequence has at least 0 tokens and grows by at least 1, not " + std::to_string(num_tokens) +
                " and " + std::to_string(step));
  std::int64_t const all = blocks_for(num_tokens, shape.block_size);
  if (shape.layers == 0) return 0;
  if (shape.window == 0) return all;
  // window + step - 1 neighbours, of which in the worst case only the first is in the first block.
  std::int64_t const in_window = (std::int64_t{shape.window} + step - 3 + shape.block_size) / shape.block_size + 1;
  return std::min(all, in_window + blocks_for(shape.sinks, shape.block_size));
}

/// What a list of blocks may get: no fewer than `least`, no more than `most`, and of what there is beyond everybody's
/// least as many as its weight says. All 0 for a group without layers.
struct BlockClaim {
  std::int64_t least = 0, most = 0;
  double weight = 0;
};

/// Blocks for each list from one budget: the least for each and `spare` bytes more, shared by the weights and then, as
/// far as rounding or `most` left some over, in the lists' order. `block_bytes`: 0 for a list without a block.
[[nodiscard]] inline std::vector<std::int64_t> share_blocks(std::span<BlockClaim const> claims,
                                                            std::span<std::int64_t const> block_bytes,
                                                            std::int64_t spare) {
  double weight_bytes = 0;
  for (std::size_t l = 0; l < claims.size(); ++l)
    weight_bytes += claims[l].weight * static_cast<double>(block_bytes[l]);
  double const part = weight_bytes > 0 ? static_cast<double>(spare) / weight_bytes : 0.0;
  std::vector<std::int64_t> num_blocks;
  std::int64_t left = spare;
  for (std::size_t l = 0; l < claims.size(); ++l) {
    BlockClaim const& claim = claims[l];
    double const more = std::min(part * claim.weight, static_cast<double>(claim.most - claim.least));
    num_blocks.push_back(claim.least + static_cast<std::int64_t>(more));
    left -= (num_blocks[l] - claim.least) * block_bytes[l];
  }
  for (std::size_t l = 0; l < claims.size(); ++l) {  // what rounding left over, or took too much
    if (claims[l].most == 0) continue;
    std::int64_t const more = std::clamp((left - (left < 0 ? block_bytes[l] - 1 : 0)) / block_bytes[l],
                                         claims[l].least - num_blocks[l], claims[l].most - num_blocks[l]);
    num_blocks[l] += more;
    left -= more * block_bytes[l];
  }
  return num_blocks;
}

/// Blocks for each group from one budget: as many as let every group serve the same number of sequences of
/// `tokens_per_sequence` tokens (0: very long ones), of which a window keeps `slack` more than it shows. Each group's
/// pool has one block more, the null block; none has more blocks than ids. A group without layers gets none.
///
/// Throws Error when the budget does not hold one block, besides the null block, for every group, or is more than the
/// 2^57 bytes that a process can address; for sizes of blocks below 1 or a negative length. Sizes in bytes.
[[nodiscard]] inline std::vector<std::int64_t> blocks_that_fit(std::span<GroupShape const> shapes,
                                                               std::span<std::int64_t const> block_bytes,
                                                               std::int64_t memory_bytes,
                                                               std::int32_t tokens_per_sequence = 0,
                                                               std::int32_t slack = 0) {
  constexpr std::int64_t max_bytes = std::int64_t{1} << 57;
  if (memory_bytes > max_bytes)
    throw Error("folio: a budget of " + std::to_string(memory_bytes) + " bytes is more than a process can address, " +
                std::to_string(max_bytes) + "; give what the cache may take");
  if (tokens_per_sequence < 0)
    throw Error("folio: a sequence has at least 0 tokens, not " + std::to_string(tokens_per_sequence));
  std::int64_t minimum = 0;
  std::vector<BlockClaim> claims(shapes.size());
  for (std::size_t g = 0; g < shapes.size(); ++g) {
    if (shapes[g].layers == 0) continue;
    if (block_bytes[g] < 1) throw Error("folio: a block has at least 1 byte, not " + std::to_string(block_bytes[g]));
    minimum = add_bytes(minimum, bytes_of(2, block_bytes[g]));
    // Without a hint, tokens weigh alike in every group, as if no window ever gave a block back.
    double const need =
        tokens_per_sequence > 0
            ? static_cast<double>(most_blocks_held(shapes[g], tokens_per_sequence, std::int64_t{1} + slack))
            : 1.0 / shapes[g].block_size;
    claims[g] = {1, BlockPool::max_blocks, need};
  }
  if (memory_bytes < minimum)
    throw Error("folio: a budget of " + std::to_string(memory_bytes) + " bytes is too small: one block and the null " +
                "block of every layer group take " + std::to_string(minimum) + " bytes");
  return share_blocks(as_span(claims), block_bytes, memory_bytes - minimum);
}

}  // namespace folio
