// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/quantizer/hadamard.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"

using folio::hadamard_rotate;

namespace {

std::vector<float> normal_row(std::int32_t dim, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<std::size_t>(dim));
  for (float& x : row) x = normal(random);
  return row;
}

/// By the definition: the sign at (i, j) of Sylvester's matrix is the parity of the bits that i and j share.
std::vector<double> rotated_by_definition(std::vector<float> const& row, std::int32_t block) {
  std::vector<double> out(row.size());
  for (std::size_t i = 0; i < row.size(); ++i)
    for (std::size_t j = 0; j < static_cast<std::size_t>(block); ++j) {
      std::size_t const begin = i / static_cast<std::size_t>(block) * static_cast<std::size_t>(block);
      double const sign = __builtin_parityll((i - begin) & j) == 0 ? 1 : -1;
      out[i] += sign * double{row[begin + j]} / std::sqrt(double(block));
    }
  return out;
}

double dot(std::vector<float> const& a, std::vector<float> const& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

}  // namespace

TEST_CASE("hadamard: known values") {
  float four[4] = {1, 2, 3, 4};
  hadamard_rotate(four, 4);
  CHECK((four[0] == 5 && four[1] == -1 && four[2] == -2 && four[3] == 0));
  hadamard_rotate(four, 4);
  CHECK((four[0] == 1 && four[1] == 2 && four[2] == 3 && four[3] == 4));

  float one_hot[4] = {1, 0, 0, 0};
  hadamard_rotate(one_hot, 4);
  for (float const x : one_hot) CHECK(x == 0.5F);

  std::vector<float> long_one_hot(128);
  long_one_hot[77] = 1;
  hadamard_rotate(long_one_hot.data(), 128);
  for (float const x : long_one_hot) REQUIRE(std::fabs(x) == Approx(0.08838835));

  float outlier[8] = {10, 1, 1, 1, 1, 1, 1, 1};
  hadamard_rotate(outlier, 8);
  CHECK(outlier[0] == Approx(6.010408));
  for (int i = 1; i < 8; ++i) CHECK(outlier[i] == Approx(3.181981));

  float one[1] = {7};
  hadamard_rotate(one, 1);
  CHECK(one[0] == 7);
}

TEST_CASE("hadamard: the block is the largest power of two in the length") {
  CHECK(folio::hadamard_block(128) == 128);
  CHECK(folio::hadamard_block(80) == 16);
  CHECK(folio::hadamard_block(96) == 32);
  CHECK(folio::hadamard_block(576) == 64);
  CHECK(folio::hadamard_block(1024) == 1024);
  for (std::int32_t block = 1; block <= 4096; block *= 2)
    CHECK(double{folio::hadamard_norm(block)} == Approx(1 / std::sqrt(double(block))).epsilon(1e-7));
}

TEST_CASE("hadamard: is what the definition says, orthonormal, and its own inverse") {
  for (std::int32_t dim : {1, 2, 3, 4, 6, 8, 12, 16, 20, 24, 32, 40, 64, 80, 96, 128, 192, 200, 256, 512, 576, 1024}) {
    CAPTURE(dim);
    std::vector<float> const q = normal_row(dim, 1), k = normal_row(dim, 2);
    std::vector<float> hq = q, hk = k;
    hadamard_rotate(hq.data(), dim);
    hadamard_rotate(hk.data(), dim);
    std::vector<double> const defined = rotated_by_definition(k, folio::hadamard_block(dim));
    double const size = std::sqrt(dot(k, k));
    for (std::size_t i = 0; i < k.size(); ++i) REQUIRE(std::fabs(double{hk[i]} - defined[i]) <= 1e-6 * size);
    CHECK(dot(hq, hk) == Approx(dot(q, k)).margin(1e-5 * std::sqrt(dot(q, q) * dot(k, k))));
    CHECK(dot(hk, hk) == Approx(dot(k, k)).epsilon(1e-5));
    hadamard_rotate(hk.data(), dim);
    for (std::size_t i = 0; i < k.size(); ++i) REQUIRE(std::fabs(hk[i] - k[i]) <= 1e-6F * static_cast<float>(size));
  }
}

TEST_CASE("hadamard: writes its row only, at any address of a float") {
  std::vector<float> row = normal_row(99, 3);
  std::vector<float> const before = row;
  hadamard_rotate(row.data() + 1, 96);
  CHECK(row[0] == before[0]);
  CHECK(row[97] == before[97]);
  CHECK(row[98] == before[98]);
  CHECK(row[1] != before[1]);
}
