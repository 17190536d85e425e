// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/containers/as_span.hpp>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"

TEST_CASE("a vector as a span is its elements, to be written where the vector is", "[containers]") {
  std::vector<int> numbers{1, 2, 3};
  auto const span = folio::as_span(numbers);
  auto const read = folio::as_span(std::as_const(numbers));
  static_assert(std::is_same_v<decltype(span), std::span<int> const>);
  static_assert(std::is_same_v<decltype(read), std::span<int const> const>);
  span[1] = 5;
  CHECK(numbers[1] == 5);
  CHECK(read.data() == numbers.data());
  CHECK(read.size() == 3);
  numbers.clear();
  CHECK(folio::as_span(numbers).empty());
}
