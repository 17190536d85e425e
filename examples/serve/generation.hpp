// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A sample while it is made: what the scheduler moves between those that wait and those that run.

#include <cstddef>
#include <cstdint>
#include <folio/folio.hpp>
#include <folio/reservation.hpp>

#include "block_budget.hpp"
#include "engine.hpp"

namespace serve {

/// One sample of one request: its text so far, and its place in the cache while it runs.
struct Generation {
  std::int32_t request = 0, sample = 0;
  std::int32_t prompt_size = 0;
  std::int32_t forks_to_come = 0;  ///< samples that will share this one's prompt
  Tokens tokens;                   ///< the prompt and what was generated
  folio::Sequence sequence;        ///< empty while it waits
  folio::Reservation ahead;        ///< blocks for tokens that it does not have yet
  std::int32_t num_kept = 0;       ///< tokens that it had when it last left its blocks for others

  [[nodiscard]] std::int32_t num_computed() const { return sequence ? sequence.num_tokens() : 0; }
  /// Tokens whose keys and values are not in the cache. 1: the next step draws a token (decode); more: it still reads
  /// (prefill).
  [[nodiscard]] std::int32_t num_pending() const { return static_cast<std::int32_t>(tokens.size()) - num_computed(); }
  [[nodiscard]] std::int32_t num_generated() const { return static_cast<std::int32_t>(tokens.size()) - prompt_size; }

  /// Whose it is.
  [[nodiscard]] std::int32_t tenant(EngineOptions const& options) const { return request % options.tenants; }

  /// Of the blocks that it holds ahead.
  [[nodiscard]] std::int64_t bytes_ahead(BlockBudget const& budget) const {
    std::int64_t bytes = 0;
    for (std::size_t g = 0; g < budget.num_groups; ++g)
      bytes += ahead.num_blocks(static_cast<int>(g)) * budget.block_bytes[g];
    return bytes;
  }

  /// Gives all blocks back.
  void leave() {
    ahead.release();
    sequence.release();
  }
};

}  // namespace serve
