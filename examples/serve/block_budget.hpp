// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many blocks the cache gets.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/folio.hpp>
#include <string>
#include <utility>
#include <vector>

#include "bad_input.hpp"
#include "engine.hpp"

namespace serve {

/// What the user allows, but in no group of layers more blocks than all generations could ever fill. A group without
/// layers gets none.
struct BlockBudget {
  std::vector<folio::GroupShape> shapes;              // by list, as those below: what a sequence holds of it
  std::vector<std::int64_t> block_bytes, num_blocks;  // without the null block
  std::size_t num_groups;                             // the first lists; after them come those of what is demoted
  std::int32_t batch_tokens = 1;

  /// Throws BadInput when the longest request alone does not fit.
  BlockBudget(std::vector<folio::GroupShape> of_lists, std::vector<std::int64_t> bytes,
              std::vector<Tokens> const& prompts, EngineOptions const& options, std::size_t of_groups = 0)
      : shapes(std::move(of_lists)),
        block_bytes(std::move(bytes)),
        num_groups(of_groups == 0 ? shapes.size() : of_groups),
        batch_tokens(options.batch_tokens) {
    std::vector<std::int64_t> longest(shapes.size()), all(shapes.size());
    for (Tokens const& prompt : prompts)
      for (std::size_t g = 0; g < shapes.size(); ++g) {
        // The last token is drawn, but never looked back at, so it takes no slot. A cache that keeps prefixes keeps a
        // block more than a window needs.
        std::int64_t const one =
            folio::most_blocks_held(shapes[g], static_cast<std::int32_t>(prompt.size()) + options.max_tokens - 1,
                                    std::int64_t{options.batch_tokens} + shapes[g].block_size);
        longest[g] = std::max(longest[g], one);
        all[g] += one * options.samples;
      }
    constexpr std::int64_t default_bytes = std::int64_t{1} << 30;
    std::int64_t needed = 0;
    for (std::size_t g = 0; g < shapes.size(); ++g)
      needed = folio::add_bytes(needed, folio::bytes_of(longest[g] + 1, block_bytes[g]));
    std::int64_t const left = (options.memory_bytes == 0 ? default_bytes : options.memory_bytes) - needed;
    if (left < 0) refuse(longest, needed, options.memory_bytes);
    // Each group gets what the longest request needs, and of the rest as large a part of what it still lacks.
    std::vector<folio::BlockClaim> claims;
    for (std::size_t g = 0; g < shapes.size(); ++g)
      claims.push_back({longest[g], std::min(all[g], std::int64_t{folio::BlockPool::max_blocks}),
                        static_cast<double>(all[g] - longest[g])});
    num_blocks = folio::share_blocks(claims, block_bytes, left);
  }

  /// Tokens of a block, the same in every group.
  [[nodiscard]] std::int32_t block_size() const { return shapes.front().block_size; }
  /// Of a block in every group.
  [[nodiscard]] std::int64_t bytes_of_blocks() const {
    std::int64_t sum = 0;
    for (std::int64_t const bytes : block_bytes) sum += bytes;
    return sum;
  }
  [[nodiscard]] std::int64_t bytes() const {
    std::int64_t sum = 0;
    for (std::size_t g = 0; g < shapes.size(); ++g) sum += num_blocks[g] * block_bytes[g];
    return sum;
  }
  /// More tokens than a sequence can ever get slots for; where tokens are demoted, as many as it gets slots for before
  /// some are.
  [[nodiscard]] std::int64_t most_slots() const {
    if (shapes.size() > num_groups) return batch_tokens;
    return *std::max_element(num_blocks.begin(), num_blocks.end()) * block_size();
  }

 private:
  [[noreturn]] void refuse(std::vector<std::int64_t> const& longest, std::int64_t needed,
                           std::int64_t memory_bytes) const {
    std::string blocks;
    for (std::size_t g = 0; g < shapes.size(); ++g) {
      if (shapes[g].layers == 0) continue;
      blocks += (blocks.empty() ? "" : ", ") + std::to_string(longest[g]) + " blocks of " +
                std::to_string(block_bytes[g]) + " bytes and the null block";
    }
    throw BadInput((memory_bytes == 0 ? "The default of 1G for --memory" : "--memory " + std::to_string(memory_bytes)) +
                   " is too small: the longest request alone needs " + std::to_string(needed) + " bytes (" + blocks +
                   ").");
  }
};

}  // namespace serve
