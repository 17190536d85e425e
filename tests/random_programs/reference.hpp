// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a sequence of a random program should be: its tokens by position, which of them each layer group stores, and
// which of those it has demoted.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "support/reference_cache.hpp"
#include "support/stored_tokens.hpp"

namespace folio::test {

template <int num_groups>
struct Reference {
  ReferenceSequence tokens;
  std::vector<std::int32_t> symbols;      ///< what stands for each in a prefix
  std::vector<std::uint32_t> hashes;      ///< of the symbols up to each: what it writes
  std::int32_t fork = 0;                  ///< the last fork that it was of; 0: none
  StoredTokens stored[num_groups];        ///< in both lists
  std::int32_t sinks = 0;                 ///< so many stored tokens come before the demoted ones
  ReferenceSequence demoted[num_groups];  ///< as they were encoded once; empty in a group that demotes nothing

  [[nodiscard]] std::int32_t num_demoted(int g) const { return static_cast<std::int32_t>(demoted[g].size()); }
  /// Of token `t` of the first list of a group, the number among all that are stored.
  [[nodiscard]] std::int32_t number_of(int g, std::int32_t t) const { return t < sinks ? t : t + num_demoted(g); }
  /// Demoted tokens of a group before a position.
  [[nodiscard]] std::int32_t num_demoted_before(int g, std::int32_t position) const {
    auto const& all = stored[g].positions;
    auto const before = std::lower_bound(all.begin(), all.end(), position) - all.begin();
    return std::clamp(static_cast<std::int32_t>(before) - sinks, 0, num_demoted(g));
  }
  [[nodiscard]] std::int32_t length() const { return static_cast<std::int32_t>(tokens.size()); }
  void add(std::int32_t symbol, std::uint32_t hash, TokenRows rows) {
    for (StoredTokens& group : stored) group.extend(length(), 1);
    tokens.push_back(std::move(rows));
    symbols.push_back(symbol);
    hashes.push_back(hash);
  }
  void truncate(std::int32_t length) {
    tokens.resize(static_cast<std::size_t>(length));
    symbols.resize(static_cast<std::size_t>(length));
    hashes.resize(static_cast<std::size_t>(length));
    for (int g = 0; g < num_groups; ++g) {
      demoted[g].resize(static_cast<std::size_t>(num_demoted_before(g, length)));
      stored[g].truncate(length);
    }
  }
  [[nodiscard]] bool has_gap() const {
    return std::any_of(stored, stored + num_groups, [](StoredTokens const& group) { return group.gap_end > 0; });
  }
  [[nodiscard]] std::int32_t num_exact() const {
    std::int32_t exact = length();
    for (StoredTokens const& group : stored) exact = std::min(exact, group.gap_begin);
    return exact;
  }
  /// The next `n` tokens of a group are demoted, and as `rows` then. What is left of the gap, if it reaches into them,
  /// ends where all are there again.
  void demote(int g, ReferenceSequence const& rows, std::int32_t length) {
    demoted[g].insert(demoted[g].end(), rows.begin(), rows.end());
    StoredTokens& group = stored[g];
    auto const end = static_cast<std::size_t>(sinks + num_demoted(g));
    if (group.gap_begin <= group.positions[end - 1])
      group.gap_end = std::max(group.gap_end, end < group.positions.size() ? group.positions[end] : length);
  }
  /// The rows of what a group stores, in its order; with those that are demoted between its sinks and the others.
  [[nodiscard]] ReferenceSequence in_both_lists(int g) const {
    ReferenceSequence rows = in_first_list(g);
    if (!demoted[g].empty()) rows.insert(rows.begin() + sinks, demoted[g].begin(), demoted[g].end());
    return rows;
  }
  [[nodiscard]] ReferenceSequence in_first_list(int g) const {
    ReferenceSequence rows;
    std::int32_t number = 0;
    for (std::int32_t const position : stored[g].positions)
      if (std::int32_t const t = number++; t < sinks || t >= sinks + num_demoted(g))
        rows.push_back(tokens[static_cast<std::size_t>(position)]);
    return rows;
  }
};

}  // namespace folio::test
