// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Lanes that encode a group of a row together. Host and device.

#include <cstdint>
#include <folio/config.hpp>

namespace folio {

/// Of the lanes that share a row (see CooperativeQuantizer), those that share one group of `Size` elements of it, a
/// power of two: each holds N of them, `begin` the first in this lane. Size 0 is the whole row.
template <class Lanes, int N, std::int32_t Size>
class GroupLanes {
  static_assert((Size & (Size - 1)) == 0, "folio: lanes share groups of a power of two of elements");

 public:
  FOLIO_HOST_DEVICE GroupLanes(Lanes const& lanes, std::int32_t begin) : lanes_(lanes), begin_(begin) {}

  /// The first element of the group, and whether this lane holds it.
  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t first() const { return Size == 0 ? 0 : begin_ / or_one * or_one; }
  [[nodiscard]] FOLIO_HOST_DEVICE bool is_first() const { return begin_ == first() && begin_ < lanes_.dim(); }

  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t max(std::int32_t value) const {
    if constexpr (Size == 0)
      return lanes_.max(value);
    else
      return join(value, std::int32_t{-0x7FFFFFFF}, [](std::int32_t a, std::int32_t b) { return a > b ? a : b; });
  }
  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t min(std::int32_t value) const {
    if constexpr (Size == 0)
      return lanes_.min(value);
    else
      return join(value, std::int32_t{0x7FFFFFFF}, [](std::int32_t a, std::int32_t b) { return a < b ? a : b; });
  }
  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t sum(std::int32_t value) const {
    if constexpr (Size == 0)
      return lanes_.sum(value);
    else
      return join(value, std::int32_t{0}, [](std::int32_t a, std::int32_t b) { return a + b; });
  }

 private:
  static constexpr std::int32_t or_one = Size == 0 ? 1 : Size;

  /// Over the lanes of the group; `none` is what those after the row's end have.
  template <class F>
  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t join(std::int32_t value, std::int32_t none, F const& f) const {
    if (begin_ >= lanes_.dim()) value = none;
    for (std::int32_t held = N; held < Size && held < lanes_.dim(); held *= 2)
      value = f(value, lanes_.exchange(value, held / N));
    return value;
  }

  Lanes const& lanes_;
  std::int32_t begin_;
};

}  // namespace folio
