// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a sequence of a random program should be: its tokens by position, and which of them each layer group stores.

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
  StoredTokens stored[num_groups];

  [[nodiscard]] std::int32_t length() const { return static_cast<std::int32_t>(tokens.size()); }
  void add(TokenRows rows) {
    for (StoredTokens& group : stored) group.extend(length(), 1);
    tokens.push_back(std::move(rows));
  }
  void truncate(std::int32_t length) {
    tokens.resize(static_cast<std::size_t>(length));
    for (StoredTokens& group : stored) group.truncate(length);
  }
  [[nodiscard]] bool has_gap() const {
    return std::any_of(stored, stored + num_groups, [](StoredTokens const& group) { return group.gap_end > 0; });
  }
  [[nodiscard]] std::int32_t num_exact() const {
    std::int32_t exact = length();
    for (StoredTokens const& group : stored) exact = std::min(exact, group.gap_begin);
    return exact;
  }
  /// The rows of what a group stores, in its order.
  [[nodiscard]] ReferenceSequence in_group(int g) const {
    ReferenceSequence rows;
    for (std::int32_t const position : stored[g].positions) rows.push_back(tokens[static_cast<std::size_t>(position)]);
    return rows;
  }
};

}  // namespace folio::test
