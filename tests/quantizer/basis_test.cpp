// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/quantizer/basis.hpp>
#include <random>
#include <vector>

#include "support/catch.hpp"

using folio::Basis;
using folio::change_basis;

namespace {

std::vector<float> normal_row(std::int32_t dim, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<std::size_t>(dim));
  for (float& x : row) x = normal(random);
  return row;
}

std::vector<float> turned(Basis basis, std::vector<float> row) {
  auto const dim = static_cast<std::int32_t>(row.size());
  change_basis(basis, row.data(), dim, dim);
  return row;
}

double dot(std::vector<float> const& a, std::vector<float> const& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

}  // namespace

TEST_CASE("the random signs are SplitMix64's from the seed 0") {
  STATIC_REQUIRE(folio::random_signs(0) == 0xE220A8397B1DCDAFU);  // as published with the generator
  STATIC_REQUIRE(folio::random_signs(1) == 0x6E789E6AA1B965F4U);
  STATIC_REQUIRE(folio::random_signs(2) == 0x06C45D188009454FU);
  std::vector<float> ones(128, 1.0F);
  for (std::int32_t i = 0; i < 128; i += 8) folio::flip_signs<8>(i, ones.data() + i);
  for (std::size_t i = 0; i < 128; ++i) {
    bool const minus = (folio::random_signs(static_cast<std::int32_t>(i / 64)) >> (i % 64) & 1U) != 0;
    REQUIRE(ones[i] == (minus ? -1.0F : 1.0F));
  }
}

TEST_CASE("a change of basis is its own inverse and keeps dot products") {
  for (Basis const basis : {Basis::model, Basis::hadamard, Basis::randomized_hadamard})
    for (std::int32_t const dim : {8, 24, 64, 80, 128, 192, 576, 1024}) {
      CAPTURE(static_cast<int>(basis), dim);
      std::vector<float> const q = normal_row(dim, 1), k = normal_row(dim, 2);
      CHECK(dot(turned(basis, q), turned(basis, k)) == Approx(dot(q, k)).margin(1e-4 * dim));
      std::vector<float> const back = turned(basis, turned(basis, k));
      for (std::size_t i = 0; i < k.size(); ++i) REQUIRE(std::fabs(back[i] - k[i]) <= 1e-5F);
      if (basis == Basis::model) CHECK(turned(basis, k) == k);
    }
}

TEST_CASE("queries and keys in different bases are of no use to each other") {
  std::vector<float> const q = normal_row(128, 3);  // its dot product with itself is 128 or so
  std::vector<float> const hadamard = turned(Basis::hadamard, q), randomized = turned(Basis::randomized_hadamard, q);
  CHECK(std::fabs(dot(hadamard, randomized)) < 64);
  CHECK(std::fabs(dot(q, randomized)) < 64);
}

TEST_CASE("random signs spread rows that a Hadamard matrix makes a spike of") {
  std::vector<float> const constant(128, 1.0F);
  CHECK(turned(Basis::hadamard, constant)[0] == Approx(std::sqrt(128.0)));
  for (float const x : turned(Basis::randomized_hadamard, constant)) CHECK(std::fabs(x) < 4.0F);
}

TEST_CASE("the first blocks of a row are turned as in the whole row") {
  for (Basis const basis : {Basis::hadamard, Basis::randomized_hadamard}) {
    std::vector<float> const row = normal_row(576, 4);
    std::vector<float> const whole = turned(basis, row);
    std::vector<float> first(row.begin(), row.begin() + 512);
    change_basis(basis, first.data(), 512, 576);
    CHECK(first == std::vector<float>(whole.begin(), whole.begin() + 512));
  }
}
