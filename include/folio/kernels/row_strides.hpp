// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How far apart the rows of two tokens are, where a caller has them. Host only.

#include <cstdint>
#include <folio/error.hpp>
#include <string>

namespace folio {

/// Row strides of the keys and values that ops::append writes: the distance between two tokens' rows, in elements; 0:
/// they lie next to each other. So those of a fused QKV projection are read where they are.
struct RowStrides {
  std::int64_t keys = 0, values = 0;
};

namespace detail {

/// The elements from a token's row to the next: `stride`, or `row` where it is 0. Throws Error where rows overlap.
inline std::int64_t checked_stride(std::int64_t stride, std::int64_t row, char const* what) {
  if (stride != 0 && stride < row)
    throw Error(std::string("folio: the rows of ") + what + " have " + std::to_string(row) +
                " elements, so they cannot begin " + std::to_string(stride) + " apart; give 0 where they touch");
  return stride != 0 ? stride : row;
}

/// Throws Error where the rows that append is to write are missing, or their slots. A latent layer's values are in its
/// keys.
inline void check_new_rows(void const* slots, void const* keys, void const* values, bool values_in_keys) {
  if (slots == nullptr)
    throw Error("folio: this view has no slots for new tokens: what is demoted is moved there by demote, not appended");
  if (keys == nullptr || (values == nullptr && !values_in_keys))
    throw Error("folio: append needs keys, and values unless the layer is latent");
}

}  // namespace detail

}  // namespace folio
