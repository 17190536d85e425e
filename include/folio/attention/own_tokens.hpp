// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which of a step's query tokens are a sequence's own tokens, whose keys and values attention can be given. Host and
// device.

#include <cstdint>
#include <folio/config.hpp>
#include <folio/group_table.hpp>
#include <limits>

namespace folio {

/// What first_own_token gives for a sequence that has none.
inline constexpr std::int32_t no_own_tokens = std::numeric_limits<std::int32_t>::max();

/// The number of the first of a sequence's own tokens among the `num_tokens` that it stores, if its queries are its
/// last tokens, or no_own_tokens. With limits its queries may be others, which have other limits or no slots.
/// `first_row`: of the step, that of its first query.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t first_own_token(GroupTable const& table, std::int32_t num_tokens,
                                                                       std::int32_t num_query_tokens,
                                                                       std::int32_t first_row) {
  if (num_query_tokens == 0) return no_own_tokens;
  std::int32_t const first = num_tokens - num_query_tokens;
  if (table.limits == nullptr) return first;
  bool const are_last = table.slots != nullptr && table.slots[first_row] >= 0 && table.limits[first_row] - 1 == first;
  return are_last ? first : no_own_tokens;
}

}  // namespace folio
