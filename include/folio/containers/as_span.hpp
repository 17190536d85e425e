// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Vectors as spans. Host only.

#include <span>
#include <vector>

namespace folio {

/// The elements of a vector. std::span's own constructor from a range does the same, but makes the compiler look at the
/// whole library of ranges, for each type of element.
template <class T>
[[nodiscard]] std::span<T> as_span(std::vector<T>& v) noexcept {
  return {v.data(), v.size()};
}
template <class T>
[[nodiscard]] std::span<T const> as_span(std::vector<T> const& v) noexcept {
  return {v.data(), v.size()};
}

}  // namespace folio
