// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What every format leaves as error on rows of 128 normally distributed elements, in shares of the variance, and what
// outliers do to it. The expected figures do not come from this code.
#include <folio/quantizer/fp4.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/int_formats.hpp>

#include "conformance/quantizer_suite.hpp"

using namespace folio;

namespace {

/// Mean squared error over `num_rows` rows of N(0, 1) times `factor`, of which two elements are `outlier` times larger.
template <class Q>
double distortion(int num_rows, float outlier = 1.0F, float factor = 1.0F) {
  constexpr std::int32_t dim = 128;
  std::mt19937_64 random(400);
  std::normal_distribution<float> normal;
  test::StoredRow<Q> stored(dim, 0);
  std::vector<float> row(dim);
  double squares = 0;
  for (int r = 0; r < num_rows; ++r) {
    for (float& x : row) x = factor * normal(random);
    row[17] *= outlier;
    row[77] *= outlier;
    stored.encode(row.data());
    std::vector<float> const decoded = stored.decode(), exact = test::in_basis<Q>(row);
    for (std::size_t i = 0; i < row.size(); ++i) squares += std::pow(double{decoded[i]} - double{exact[i]}, 2);
  }
  return squares / num_rows / dim;
}

template <class Q>
void check(double bits, double expected) {
  CAPTURE(Q::name, bits);
  CHECK(bits_per_element<Q>(128) == bits);
  CHECK(distortion<Q>(800) == Approx(expected).epsilon(0.05));
}

template <int Bits, Levels levels, std::int32_t GroupSize = 0, int... ClipPercents>
using Plain = IntQuantizer<Bits, levels, GroupSize, Basis::model, ClipPercents...>;

/// A row of 128 as Bits asymmetric bits without a cut, as it is and in two bases.
template <int Bits>
void check_outliers(double plain, double rotated) {
  CAPTURE(Bits);
  // Of the two elements' squares, whose tails are heavy, the expected figure is a small sample.
  CHECK(distortion<Plain<Bits, Levels::asymmetric>>(4000, 12) == Approx(plain).epsilon(0.08));
  CHECK(distortion<IntQuantizer<Bits, Levels::asymmetric, 0, Basis::hadamard>>(4000, 12) ==
        Approx(rotated).epsilon(0.05));
  CHECK(distortion<IntQuantizer<Bits, Levels::asymmetric, 0, Basis::randomized_hadamard>>(4000, 12) ==
        Approx(rotated).epsilon(0.05));
}

}  // namespace

TEST_CASE("distortion: floats") {
  check<Fp8E4M3Static>(8, 7.0e-4);
  check<Fp8E5M2Static>(8, 2.8e-3);
  check<Fp8E4M3>(8.25, 6.6e-4);
  check<Fp8E5M2>(8.25, 2.6e-3);
  check<Nvfp4Static>(4.5, 8.9e-3);
  check<Nvfp4>(4.75, 8.9e-3);
  check<Mxfp4>(4.25, 1.33e-2);
  // A static scale of 1 on values that are 100 times too small for it.
  CHECK(distortion<Fp8E4M3Static>(800, 1.0F, 0.01F) * 1e4 == Approx(3.2e-3).epsilon(0.05));
  CHECK(distortion<Fp8E4M3>(800, 1.0F, 0.01F) * 1e4 == Approx(6.6e-4).epsilon(0.05));
}

TEST_CASE("distortion: 8 to 5 bits") {
  check<Int8PerToken>(8.25, 4.1e-5);
  check<Int8PerGroup<32>>(8.5, 2.9e-5);  // q8_0
  check<Int6PerToken>(6.25, 5.7e-4);
  check<Int6Rotated>(6.25, 5.7e-4);
  check<Plain<5, Levels::asymmetric, 32>>(6.0, 1.44e-3);  // q5_1
  check<Plain<5, Levels::symmetric, 32>>(5.5, 1.83e-3);   // q5_0
}

TEST_CASE("distortion: 4 bits") {
  check<Int4PerGroup<32>>(5.0, 6.1e-3);                 // q4_1
  check<Plain<4, Levels::symmetric, 32>>(4.5, 7.3e-3);  // q4_0
  check<Plain<4, Levels::centered, 32>>(4.5, 7.8e-3);   // exllamav3
  check<Plain<4, Levels::asymmetric>>(4.25, 1.00e-2);   // the whole range: QServe
  check<Int4PerToken>(4.25, 9.2e-3);                    // cut to 92 percent
  check<Int4Rotated>(4.25, 9.2e-3);
}

TEST_CASE("distortion: 3 and 2 bits") {
  check<Plain<3, Levels::asymmetric>>(3.25, 4.6e-2);
  check<Plain<3, Levels::asymmetric, 0, 80>>(3.25, 3.4e-2);
  check<Int3Rotated>(3.25, 3.4e-2);
  check<Plain<3, Levels::centered, 32>>(3.5, 3.1e-2);   // exllamav3
  check<Plain<2, Levels::asymmetric>>(2.25, 0.251);     // QuaRot
  check<Plain<2, Levels::asymmetric, 32>>(3.0, 0.153);  // KIVI's values
  check<Plain<2, Levels::asymmetric, 0, 58>>(2.25, 0.118);
  check<Plain<2, Levels::centered, 0, 70, 58, 48>>(2.25, 0.118);
  check<Int2Rotated>(2.25, 0.118);
}

TEST_CASE("distortion: two elements that are 12 times larger, and what a rotation makes of them") {
  check_outliers<4>(0.134, 0.0225);
  check_outliers<3>(0.678, 0.103);
  check_outliers<2>(4.27, 0.597);
  CHECK(distortion<Int4Rotated>(4000, 12) < 0.0215);  // the default cuts pay there too
  CHECK(distortion<Int3Rotated>(4000, 12) < 0.085);
  CHECK(distortion<Int2Rotated>(4000, 12) < 0.3);
}
