// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/quantizer/integer_grid.hpp>
#include <vector>

#include "support/catch.hpp"

using folio::f16_to_f32;
using folio::IntegerGrid;

TEST_CASE("a grid covers its range, or a part of it") {
  auto const whole = IntegerGrid<4>::make({-1.0F, 2.75F}, 1.0F);
  CHECK(f16_to_f32(whole.scale) == 0.25F);
  CHECK(f16_to_f32(whole.minimum) == -1.0F);
  auto const middle = IntegerGrid<4>::make({-1.0F, 2.75F}, 0.5F);  // around the middle of the range
  CHECK(f16_to_f32(middle.scale) == 0.125F);
  CHECK(f16_to_f32(middle.minimum) == 0.875F - 0.9375F);
  auto const towards_zero = IntegerGrid<2>::make({-1.0F, 5.0F}, 0.5F);  // -0.5 to 2.5
  CHECK(f16_to_f32(towards_zero.scale) == 1.0F);
  CHECK(f16_to_f32(towards_zero.minimum) == -0.5F);
  CHECK(IntegerGrid<2>::make({7.0F, 7.0F}, 1.0F).scale == 0);  // a constant: its minimum says all
  CHECK(f16_to_f32(IntegerGrid<2>::make({7.0F, 7.0F}, 1.0F).minimum) == 7.0F);
}

TEST_CASE("a row is rounded to the nearest values, and the errors are added up") {
  auto const grid = IntegerGrid<2>::make({0.0F, 3.0F}, 1.0F);
  std::vector<float> const row{0.0F, 1.25F, 2.5F, 3.0F, -9.0F, 9.0F, 1.5F, 0.75F};  // ties go to the even integer
  std::byte integers[8] = {};
  constexpr float unit = 4;  // errors in sixteenths
  std::int32_t const error = grid.round(row.data(), 8, unit, integers);
  std::vector<int> rounded;
  for (std::byte const b : integers) rounded.push_back(std::to_integer<int>(b));
  CHECK(rounded == std::vector<int>{0, 1, 2, 3, 0, 3, 2, 1});
  CHECK(error == 0 + 1 + 4 + 0 + 36 * 36 + 24 * 24 + 4 + 1);
}

TEST_CASE("a row's errors are the same in parts, and bounded") {
  auto const grid = IntegerGrid<4>::make({-3.0F, 3.0F}, 0.9F);
  std::vector<float> row;
  for (int i = 0; i < 72; ++i) row.push_back(static_cast<float>(i * 29 % 72) / 12.0F - 3.0F);
  std::byte integers[72] = {};
  std::int32_t in_parts = 0;
  for (std::size_t begin = 0; begin < 72; begin += 8) {
    folio::Pack<float, 8> part;
    for (int i = 0; i < 8; ++i) part[i] = row[begin + static_cast<std::size_t>(i)];
    folio::Pack<std::uint8_t, 8> rounded;
    in_parts += grid.round_part(part, 640.0F, rounded);
  }
  CHECK(grid.round(row.data(), 72, 640.0F, integers) == in_parts);
  std::vector<float> const far(1024, 60000.0F);
  std::byte many[1024] = {};
  CHECK(grid.round(far.data(), 1024, 640.0F, many) == 1024 << 20);
}
