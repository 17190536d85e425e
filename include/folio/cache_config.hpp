// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a cache is told when it is made. Host only.

#include <cstdint>
#include <folio/keyed_hash.hpp>
#include <optional>
#include <vector>

namespace folio {

/// What is known only at run time. Give either `memory_bytes` or `num_blocks`.
struct CacheConfig {
  std::int64_t memory_bytes = 0;              ///< budget for all groups' blocks; the cache takes what fits
  std::vector<std::int64_t> num_blocks = {};  ///< blocks of each layer group, besides its null block
  std::int32_t layers = 0;                    ///< where the ModelConfig leaves it dynamic
  std::int32_t kv_heads = 0;                  ///< likewise
  std::int32_t window = 0;                    ///< likewise, for every group whose window is dynamic
  std::int32_t tokens_per_sequence = 0;       ///< a hint: splits the budget between full and window groups
  /// Tokens of earlier appends that `truncate` may take back in groups with a window, besides the last append's: those
  /// that are in flight when steps are scheduled ahead. A cache that keeps prefixes keeps at least a unit.
  std::int32_t tokens_in_flight = 0;
  /// Of the hash by which prefixes are found. Not given: another one for each cache, so that nobody can choose prompts
  /// that are slow to find. It changes no result.
  std::optional<HashSecret> hash_secret = {};
};

}  // namespace folio
