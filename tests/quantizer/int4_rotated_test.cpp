// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/quantizer/int4_rotated.hpp>
#include <limits>

#include "conformance/quantizer_suite.hpp"

using folio::Int4Rotated;
using folio::Int4RotatedClipped;
using folio::test::in_basis;
using folio::test::normal_distortion;
using folio::test::StoredRow;

namespace {

std::vector<float> stored_and_rotated_back(std::vector<float> const& row) {
  StoredRow<Int4Rotated> stored(static_cast<std::int32_t>(row.size()), 0);
  stored.encode(row.data());
  return in_basis<Int4Rotated>(stored.decode());
}

double relative_error(std::vector<float> const& got, std::vector<float> const& expected) {
  double off = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    off += std::pow(double{got[i]} - double{expected[i]}, 2);
    size += std::pow(double{expected[i]}, 2);
  }
  return std::sqrt(off / size);
}

}  // namespace

TEST_CASE("Int4Rotated is a quantizer") {
  // Half a step is a thirtieth of the range, and the range at most twice the largest magnitude; where the range is cut,
  // an end is off by half of what was cut.
  folio::test::quantizer_suite<Int4RotatedClipped<100>>({.of_largest = 2.0 / 30 * 1.02, .absolute = 1e-6});
  folio::test::quantizer_suite<Int4Rotated>({.of_largest = 0.08 * 1.02, .absolute = 1e-6});
}

TEST_CASE("Int4Rotated: a row on the grid is exact, the even element in the low nibble") {
  CHECK(folio::bits_per_element<Int4Rotated>(128) == 4.25);
  std::vector<float> rotated;
  for (int i = 0; i < 16; ++i) rotated.push_back(-1.0F + 0.25F * static_cast<float>(i * 7 % 16));
  StoredRow<Int4Rotated> stored(16, 0);
  stored.encode(in_basis<Int4Rotated>(rotated).data());
  auto const params = Int4Rotated::load_params(stored.params(), 0);
  CHECK(params.scale == 0.25F);
  CHECK(params.minimum == -1.0F);
  for (int i = 0; i < 8; ++i) {
    CHECK(std::to_integer<int>(stored.codes()[i] & std::byte{15}) == 2 * i * 7 % 16);
    CHECK(std::to_integer<int>(stored.codes()[i] >> 4) == (2 * i + 1) * 7 % 16);
  }
  CHECK(stored.decode() == rotated);
}

TEST_CASE("Int4Rotated: distortion on normally distributed rows") {
  CHECK(normal_distortion<Int4RotatedClipped<100>>(128) == Approx(1.00e-2).epsilon(0.05));
  CHECK(normal_distortion<Int4Rotated>(128) == Approx(9.2e-3).epsilon(0.05));
  // The default is the best cut at 128, the commonest head dimension.
  CHECK(normal_distortion<Int4Rotated>(128) < normal_distortion<Int4RotatedClipped<97>>(128));
  CHECK(normal_distortion<Int4Rotated>(128) < normal_distortion<Int4RotatedClipped<85>>(128));
  // And never worse than no cut.
  for (std::int32_t const dim : {16, 64, 80, 256, 576})
    CHECK(normal_distortion<Int4Rotated>(dim) <= normal_distortion<Int4RotatedClipped<100>>(dim));
}

TEST_CASE("Int4Rotated: an outlier costs a tenth of what it costs without rotation") {
  std::vector<float> row = folio::test::test_rows(128)[0];
  row[17] = 60.0F;
  CHECK(relative_error(stored_and_rotated_back(row), row) < 0.12);
}

TEST_CASE("Int4Rotated: rows that become one spike, or nothing") {
  CHECK(stored_and_rotated_back(std::vector<float>(128)) == std::vector<float>(128));
  for (float const constant : {1.0F, -3.0F, 1000.0F}) {
    std::vector<float> const row(128, constant);
    CHECK(relative_error(stored_and_rotated_back(row), row) < 1e-2);  // 0.45 if the range were cut
  }
  std::vector<float> one_hot(128);
  one_hot[3] = 8.0F;  // two values after rotation
  CHECK(relative_error(stored_and_rotated_back(one_hot), one_hot) < 2e-3);
  std::vector<float> spike(8);  // constant after rotation: the scale is 0
  spike[0] = 4.0F;
  CHECK(relative_error(stored_and_rotated_back(spike), spike) < 1e-3);
}

TEST_CASE("Int4Rotated: NaN is 0, and infinities and huge numbers saturate") {
  float const infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> row = folio::test::test_rows(128)[0], clean = row;
  float largest = 0;
  for (std::size_t i = 3; i < 128; ++i) largest = std::max(largest, std::fabs(row[i]));
  row[0] = nan, row[1] = infinity, row[2] = -infinity;
  clean[0] = 0, clean[1] = largest, clean[2] = -largest;
  CHECK(stored_and_rotated_back(row) == stored_and_rotated_back(clean));
  CHECK(stored_and_rotated_back(std::vector<float>(64, nan)) == std::vector<float>(64));
  CHECK(stored_and_rotated_back(std::vector<float>(64, infinity)) == std::vector<float>(64));

  std::vector<float> huge = folio::test::test_rows(128)[0], large = huge;
  huge[9] = 1e30F, large[9] = 65504.0F;
  CHECK(stored_and_rotated_back(huge) == stored_and_rotated_back(large));
}

TEST_CASE("Int4Rotated: what was decoded is stored as the same codes") {
  std::vector<float> const row = folio::test::test_rows(128)[0];
  StoredRow<Int4Rotated> first(128, 0), second(128, 0);
  first.encode(row.data());
  second.encode(in_basis<Int4Rotated>(first.decode()).data());
  CHECK(std::memcmp(first.codes(), second.codes(), 64) == 0);
}
