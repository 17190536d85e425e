// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which tokens a layer group should store, in the most obvious way.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace folio::test {

/// The positions that a layer group stores, one by one, and the interval in which some were taken out.
struct StoredTokens {
  std::vector<std::int32_t> positions;
  std::int32_t gap_begin = std::numeric_limits<std::int32_t>::max(), gap_end = 0;

  /// The sequence had `length` tokens, and gets n more.
  void extend(std::int32_t length, std::int32_t n) {
    for (std::int32_t i = 0; i < n; ++i) positions.push_back(length + i);
  }
  /// The number that the token at a position has among those stored; -1 where it is not.
  [[nodiscard]] std::int32_t number_of(std::int32_t position) const {
    auto const place = std::lower_bound(positions.begin(), positions.end(), position);
    return place != positions.end() && *place == position ? static_cast<std::int32_t>(place - positions.begin()) : -1;
  }

  /// Without the stored tokens [first, first + n), of a sequence of `length`.
  void cut(std::int32_t first, std::int32_t n, std::int32_t length) {
    std::vector<std::int32_t> kept;
    for (std::int32_t t = 0; t < static_cast<std::int32_t>(positions.size()); ++t)
      if (t < first || t >= first + n) kept.push_back(t);
    keep(kept, length);
  }
  /// Only the tokens with these numbers among those stored, of a sequence of `length`.
  void keep(std::vector<std::int32_t> const& kept, std::int32_t length) {
    std::vector<std::int32_t> left;
    for (std::int32_t const k : kept) left.push_back(positions[static_cast<std::size_t>(k)]);
    positions = std::move(left);
    std::vector<bool> is_there(static_cast<std::size_t>(length));
    for (std::int32_t const position : positions) is_there[static_cast<std::size_t>(position)] = true;
    for (std::int32_t position = 0; position < length; ++position) {
      if (is_there[static_cast<std::size_t>(position)]) continue;
      gap_begin = std::min(gap_begin, position);
      gap_end = std::max(gap_end, position + 1);
    }
  }
  [[nodiscard]] bool can_truncate(std::int32_t length) const { return length <= gap_begin || length >= gap_end; }
  void truncate(std::int32_t length) {
    while (!positions.empty() && positions.back() >= length) positions.pop_back();
    if (length <= gap_begin) *this = {std::move(positions)};
  }
};

}  // namespace folio::test
