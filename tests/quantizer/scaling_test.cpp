// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/quantizer/scaling.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity(),
                not_a_number = std::numeric_limits<float>::quiet_NaN();

}  // namespace

TEST_CASE("the largest finite magnitude, wherever it is") {
  for (std::size_t dim = 8; dim <= 64; dim += 8)
    for (std::size_t at = 0; at < dim; ++at) {
      std::vector<float> row(dim, 0.5F);
      row[at] = -7.0F;
      row[(at + 1) % dim] = infinity;
      row[(at + 2) % dim] = -not_a_number;
      row[(at + 3) % dim] = 6.9F;
      REQUIRE(folio::largest_finite_magnitude(row.data(), static_cast<std::int32_t>(dim)) == 7.0F);
    }
  std::vector<float> const none(16, infinity);
  CHECK(folio::largest_finite_magnitude(none.data(), 16) == 0.0F);
}

TEST_CASE("the range of a row, wherever its ends are") {
  for (std::size_t dim = 8; dim <= 64; dim += 8)
    for (std::size_t at = 0; at < dim; ++at) {
      std::vector<float> row(dim, -0.5F);
      row[at] = -7.0F;
      row[(at + 5) % dim] = -0.25F;
      folio::Range const range = folio::find_range(row.data(), static_cast<std::int32_t>(dim));
      REQUIRE(range.low == -7.0F);
      REQUIRE(range.high == -0.25F);
    }
  float const both[8] = {1e-40F, -1e-40F, 3e38F, -3e38F, 0.0F, -0.0F, 1.0F, -1.0F};
  CHECK(folio::find_range(both, 8).low == -3e38F);
  CHECK(folio::find_range(both, 8).high == 3e38F);
}

TEST_CASE("a scale and its reciprocal are finite and normal, or the scale is 0") {
  float const largest = std::numeric_limits<float>::max();
  for (float const code_max : {7.0F, 31.0F, 127.0F, 448.0F}) {
    for (float x = largest; x > 0; x *= 0.37F) {
      folio::Scaling const s = folio::symmetric_scaling(x, code_max);
      REQUIRE((s.scale == 0 ? x < 0x1p-125F * code_max : std::isnormal(s.scale)));
      REQUIRE(std::isnormal(s.inverse));
      REQUIRE(std::isfinite(s.scale * code_max));
      if (s.scale > 0) REQUIRE(double{s.scale} * double{code_max} == Approx(double{x}).epsilon(2e-6));
    }
    CHECK(folio::symmetric_scaling(0, code_max).scale == 0);
  }
}

TEST_CASE("rounding to an integer: ties to even, up to 2^22") {
  for (int i = -4096; i <= 4096; ++i) {
    float const quarter = static_cast<float>(i) / 4;
    REQUIRE(folio::round_to_int(quarter) == std::lrint(quarter));
  }
  CHECK(folio::round_to_int(4194303.0F) == 4194303);
  CHECK(folio::round_to_int(-4194303.0F) == -4194303);
  static_assert(folio::round_to_int(2.5F) == 2 && folio::round_to_int(3.5F) == 4 && folio::round_to_int(-0.5F) == 0);
}

TEST_CASE("clamps") {
  CHECK(folio::clamp_positive(-1.0F, 15.0F) == 0.0F);
  CHECK(folio::clamp_positive(-0.0F, 15.0F) == 0.0F);
  CHECK(folio::clamp_positive(14.5F, 15.0F) == 14.5F);
  CHECK(folio::clamp_positive(infinity, 15.0F) == 15.0F);
  CHECK(folio::clamp_positive(-infinity, 15.0F) == 0.0F);
  CHECK(folio::nan_to_zero(not_a_number) == 0.0F);
  CHECK(folio::nan_to_zero(-infinity) == -infinity);
  CHECK(folio::nan_to_zero(-2.0F) == -2.0F);
}
