// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The prompts of random programs over a cache that keeps prefixes: how they are drawn, what was written for their
// tokens, and what such programs met.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

#include "support/reference_cache.hpp"

namespace folio::test {

/// How often programs met what is special about prefixes.
struct PrefixCounts {
  std::int64_t steps = 0;
  std::int64_t found = 0;                 ///< a prompt of which something was kept
  std::int64_t found_parts = 0;           ///< of them, those of which the last block was found in part
  std::int64_t found_demoted = 0;         ///< of them, those of which something was demoted
  std::int64_t merged_blocks = 0;         ///< that a sequence gave back for the tree's
  std::int64_t evicted_units = 0;         ///< of whole programs
  std::int64_t evicted_under_forks = 0;   ///< times that a sequence grew by an eviction while there were forks
  std::int64_t evicted_under_copies = 0;  ///< ... while a copy on write was due
  std::int64_t evicted_sources = 0;       ///< ... from which a copy on write was due

  void operator+=(PrefixCounts const& other) {
    for (auto const count :
         {&PrefixCounts::steps, &PrefixCounts::found, &PrefixCounts::found_parts, &PrefixCounts::found_demoted,
          &PrefixCounts::merged_blocks, &PrefixCounts::evicted_units, &PrefixCounts::evicted_under_forks,
          &PrefixCounts::evicted_under_copies, &PrefixCounts::evicted_sources})
      this->*count += other.*count;
  }
};

/// Numbers that follow from one: a shrunk operation draws the same.
class Draws {
 public:
  explicit Draws(std::uint32_t from) : state_(from * 2654435761U + 12345U) {}
  std::int32_t operator()(std::int32_t n) {
    state_ = state_ * 1664525U + 1013904223U;
    return static_cast<std::int32_t>((state_ >> 8) % static_cast<std::uint32_t>(n));
  }

 private:
  std::uint32_t state_;
};

/// What prompts there were, and what was written for each of their tokens.
class Prompts {
 public:
  void note_rows(std::uint32_t token, std::int32_t position, TokenRows rows) {
    rows_[{token, position}] = std::move(rows);
  }
  [[nodiscard]] TokenRows const& rows(std::uint32_t token, std::int32_t position) const {
    return rows_.at({token, position});
  }
  /// Of a sequence that goes.
  void add(std::vector<std::int32_t> symbols) {
    if (gone_.size() >= 12) gone_.erase(gone_.begin());
    gone_.push_back(std::move(symbols));
  }
  /// One of those, or of `now`, to some token, and a few tokens more.
  [[nodiscard]] std::vector<std::int32_t> any(std::vector<std::vector<std::int32_t>> const& now, Draws& draw) const {
    std::vector<std::int32_t> prompt;
    auto const& from = now.empty() || (!gone_.empty() && draw(3) > 0) ? gone_ : now;
    if (!from.empty()) prompt = from[static_cast<std::size_t>(draw(static_cast<std::int32_t>(from.size())))];
    if (draw(2) == 0) prompt.resize(static_cast<std::size_t>(draw(static_cast<std::int32_t>(prompt.size()) + 1)));
    for (std::int32_t n = draw(24); n > 0; --n) prompt.push_back(draw(num_symbols));
    return prompt;
  }
  static constexpr std::int32_t num_symbols = 2;

 private:
  std::map<std::pair<std::uint32_t, std::int32_t>, TokenRows> rows_;
  std::vector<std::vector<std::int32_t>> gone_;
};

}  // namespace folio::test
