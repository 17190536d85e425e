// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/quantizer/detail/integer_grid.hpp>
#include <vector>

#include "support/catch.hpp"

using folio::Half;
using folio::IntegerGrid;
using folio::Levels;

namespace {

template <int N, class Grid>
std::vector<int> rounded(Grid const& grid, std::vector<float> const& elements) {
  auto const integers = grid.template round<N>(elements.data());
  return {integers.v, integers.v + N};
}

}  // namespace

TEST_CASE("an asymmetric grid covers its range, or a part of it") {
  auto const whole = IntegerGrid<4>::make({-1.0F, 2.75F}, 1.0F);
  CHECK(whole.scale == 0.25F);
  CHECK(whole.minimum == -1.0F);
  auto const middle = IntegerGrid<4>::make({-1.0F, 2.75F}, 0.5F);  // around the middle of the range
  CHECK(middle.scale == 0.125F);
  CHECK(middle.minimum == 0.875F - 0.9375F);
  auto const towards_zero = IntegerGrid<2>::make({-1.0F, 5.0F}, 0.5F);  // -0.5 to 2.5
  CHECK(towards_zero.scale == 1.0F);
  CHECK(towards_zero.minimum == -0.5F);
  auto const three_bits = IntegerGrid<3>::make({-1.0F, 6.0F}, 0.5F);  // -0.5 to 3
  CHECK(three_bits.scale == 0.5F);
  CHECK(three_bits.minimum == -0.5F);
  CHECK(IntegerGrid<2>::make({7.0F, 7.0F}, 1.0F).scale == 0);  // a constant: its minimum says all
  CHECK(IntegerGrid<2>::make({7.0F, 7.0F}, 1.0F).minimum == 7.0F);
}

TEST_CASE("a symmetric grid has a value for the largest magnitude, of either sign, and for 0") {
  using Grid = IntegerGrid<4, Levels::symmetric, Half>;
  auto const negative = Grid::make({-2.0F, 1.0F}, 1.0F), positive = Grid::make({-1.0F, 2.0F}, 1.0F);
  CHECK((negative.scale == 0.25F && negative.minimum == -2.0F));
  CHECK((positive.scale == -0.25F && positive.minimum == 2.0F));
  std::vector<float> const row{-2.0F, 2.0F, 0.0F, 1.0F, -1.0F, 0.25F, 1.75F, -1.75F};
  CHECK(rounded<8>(negative, row) == std::vector<int>{0, 15, 8, 12, 4, 9, 15, 1});
  CHECK(rounded<8>(positive, row) == std::vector<int>{15, 0, 8, 4, 12, 7, 1, 15});
  CHECK(Grid::make({0.0F, 0.0F}, 1.0F).scale == 0);

  using Signed = IntegerGrid<8, Levels::symmetric, float>;
  CHECK(Signed::make({-1.0F, 2.0F}, 1.0F).scale == 2.0F / 127);
  CHECK(rounded<8>(Signed::make({-127.0F, 2.0F}, 1.0F), {-127, -1, -0.5F, 0.5F, 1.5F, 2, 127, 500}) ==
        std::vector<int>{129, 255, 0, 0, 2, 2, 127, 127});
}

TEST_CASE("a centered grid has as many values above 0 as below") {
  using Grid = IntegerGrid<2, Levels::centered, Half>;
  auto const whole = Grid::make({-2.0F, 1.0F}, 1.0F);  // -1.5, -0.5, 0.5, 1.5
  CHECK((whole.scale == 1.0F && whole.minimum == -1.5F));
  CHECK(Grid::make({-2.0F, 1.0F}, 0.5F).scale == 0.5F);
  CHECK(rounded<8>(whole, {-9, -1.5F, -1.1F, -0.9F, 0.1F, 0.9F, 1.1F, 9}) == std::vector<int>{0, 0, 0, 1, 2, 2, 3, 3});
}

TEST_CASE("what a grid stores is what is read, and what its elements were rounded by") {
  auto const check = [](auto grid) {
    alignas(4) std::byte params[4] = {};
    grid.store(params);
    auto const read = decltype(grid)::load(params);
    CHECK(read.scale == grid.scale);
    CHECK(read.minimum == grid.minimum);
    CHECK(read.inverse == grid.inverse);
  };
  folio::Range const range{-0.123456F, 0.7654321F};
  check(IntegerGrid<3>::make(range, 0.8F));
  check(IntegerGrid<6, Levels::symmetric, Half>::make(range, 1.0F));
  check(IntegerGrid<6, Levels::symmetric, float>::make(range, 1.0F));
  check(IntegerGrid<8, Levels::symmetric, float>::make(range, 1.0F));
  check(IntegerGrid<3, Levels::centered, float>::make(range, 0.7F));
}

TEST_CASE("elements are rounded to the nearest values, and the errors are added up") {
  auto const grid = IntegerGrid<2>::make({0.0F, 3.0F}, 1.0F);
  std::vector<float> const row{0.0F, 1.25F, 2.5F, 3.0F, -9.0F, 9.0F, 1.5F, 0.75F};  // ties go to the even integer
  CHECK(rounded<8>(grid, row) == std::vector<int>{0, 1, 2, 3, 0, 3, 2, 1});
  constexpr float unit = 4;  // errors in sixteenths
  CHECK(grid.error<8>(row.data(), unit) == 0 + 1 + 4 + 0 + 36 * 36 + 24 * 24 + 4 + 1);
}

TEST_CASE("errors are the same in parts, and bounded") {
  auto const grid = IntegerGrid<4>::make({-3.0F, 3.0F}, 0.9F);
  std::vector<float> row;
  for (int i = 0; i < 64; ++i) row.push_back(static_cast<float>(i * 29 % 64) / 12.0F - 3.0F);
  std::int32_t in_parts = 0;
  for (std::size_t begin = 0; begin < 64; begin += 8) in_parts += grid.error<8>(row.data() + begin, 640.0F);
  CHECK(grid.error<64>(row.data(), 640.0F) == in_parts);
  std::vector<float> const far(1024, 60000.0F);
  CHECK(grid.error<1024>(far.data(), 640.0F) == 1024 << 20);
}
