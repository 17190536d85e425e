// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/quantizer/int8_per_token.hpp>
#include <limits>

#include "conformance/quantizer_suite.hpp"

using folio::Int8PerToken;
using folio::test::StoredRow;

TEST_CASE("Int8PerToken is a quantizer") {
  folio::test::quantizer_suite<Int8PerToken>({.of_largest = 0.5 / 127 * 1.0001});
}

TEST_CASE("Int8PerToken: a row within [-2, 2]") {
  CHECK(folio::bits_per_element<Int8PerToken>(128) == 8.25);
  std::vector<float> row(128);
  for (std::size_t i = 0; i < 128; ++i) row[i] = -2 + 0.031F * static_cast<float>(i);
  row[127] = 2;
  StoredRow<Int8PerToken> stored(128, 0);
  stored.encode(row.data());
  float const scale = Int8PerToken::load_params(stored.params(), 0).scale;
  CHECK(scale == 2.0F / 127);
  CHECK(std::to_integer<int>(stored.codes()[0]) == 256 - 127);
  CHECK(std::to_integer<int>(stored.codes()[127]) == 127);
  std::vector<float> const out = stored.decode();
  float largest_error = 0;
  for (std::size_t i = 0; i < 128; ++i) largest_error = std::max(largest_error, std::fabs(out[i] - row[i]));
  CHECK(largest_error <= scale / 2 * 1.0001F);
  CHECK(largest_error >= scale * 0.49F);
}

TEST_CASE("Int8PerToken: ties round to even") {
  float const row[8] = {127, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, -126.5F};
  int const expected[8] = {127, 0, 2, 2, 0, -2, -2, -126};
  StoredRow<Int8PerToken> stored(8, 0);
  stored.encode(row);
  for (int i = 0; i < 8; ++i) CHECK(static_cast<std::int8_t>(std::to_integer<int>(stored.codes()[i])) == expected[i]);
}

TEST_CASE("Int8PerToken: what was decoded is stored as the same codes") {
  for (std::vector<float> const& row : folio::test::test_rows(128)) {
    StoredRow<Int8PerToken> first(128, 0), second(128, 0);
    first.encode(row.data());
    std::vector<float> const decoded = first.decode();
    second.encode(decoded.data());
    CHECK(std::memcmp(first.codes(), second.codes(), 128) == 0);
  }
}

TEST_CASE("Int8PerToken: zero, tiny, NaN and infinite") {
  float const infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  auto const stored = [](std::vector<float> const& row) {
    StoredRow<Int8PerToken> one(8, 0);
    one.encode(row.data());
    return one.decode();
  };
  CHECK(stored({0, 0, -0.0F, 0, 0, 0, 0, 0}) == std::vector<float>(8));
  CHECK(stored({1e-36F, 0, 0, 0, 0, 0, 0, -1e-40F}) == std::vector<float>(8));
  CHECK(stored({2e-36F, 0, 0, 0, 0, 0, 0, 0})[0] == Approx(2e-36F).epsilon(1e-6));
  CHECK(stored({nan, 127, -127, 0, -nan, 3, 0, 0}) == std::vector<float>{0, 127, -127, 0, 0, 3, 0, 0});
  CHECK(stored({infinity, 127, -3, 0, -infinity, 0, 0, 0}) == std::vector<float>{127, 127, -3, 0, -127, 0, 0, 0});
  CHECK(stored({infinity, nan, 0, 0, 0, 0, 0, 0}) == std::vector<float>(8));
}

TEST_CASE("Int8PerToken: distortion on normally distributed rows") {
  CHECK(folio::test::normal_distortion<Int8PerToken>(128) == Approx(4.1e-5).epsilon(0.05));
}
