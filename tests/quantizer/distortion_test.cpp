// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What every format leaves as error on rows of 128 normally distributed elements, in shares of the variance, and what
// outliers do to it. The expected figures do not come from this code.
#include <algorithm>
#include <cmath>
#include <folio/quantizer/fp4.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/int_formats.hpp>
#include <folio/quantizer/iq4_nl.hpp>
#include <random>
#include <vector>

#include "conformance/quantizer_suite.hpp"
#include "support/codebook_quantizers.hpp"

using namespace folio;

namespace {

/// Mean squared error over `num_rows` rows of N(0, 1) times `factor`, of which two elements are `outlier` times larger.
template <class Q>
double distortion(int num_rows, float outlier = 1.0F, float factor = 1.0F, std::uint64_t seed = 400) {
  constexpr std::int32_t dim = 128;
  std::mt19937_64 random(seed);
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

/// The same with the bits as they are published. They count two bytes for a row's scale; the library's rows have whole
/// words of parameters, and two bytes of zeros with these.
template <class Q>
void check_codebook(double published_bits, double expected) {
  CHECK(Q::bits + 8.0 * Q::used_param_bytes / 128 == published_bits);
  check<Q>(published_bits + 0.125, expected);
}

/// As Bits asymmetric bits without a cut, as they are and rotated.
template <int Bits>
using Whole = Plain<Bits, Levels::asymmetric>;
template <int Bits, Basis basis = Basis::hadamard>
using WholeRotated = IntQuantizer<Bits, Levels::asymmetric, 0, basis>;

/// What these leave of rows with two outliers, without the library: in double, by the definition.
struct Expected {
  double mean, deviation;  ///< of a row's mean squared error, over 12,000 rows
};

void rotate(std::vector<double>& row) {
  for (std::size_t half = 1; half < row.size(); half *= 2)
    for (std::size_t i = 0; i < row.size(); ++i)
      if ((i & half) == 0) {
        double const a = row[i], b = row[i + half];
        row[i] = (a + b) * std::sqrt(0.5);
        row[i + half] = (a - b) * std::sqrt(0.5);
      }
}

Expected expected_of(int bits, bool rotated) {
  constexpr int num_rows = 12000;
  std::mt19937_64 random(12);
  std::normal_distribution<double> normal;
  std::vector<double> row(128);
  double sum = 0, squares = 0;
  for (int r = 0; r < num_rows; ++r) {
    for (double& x : row) x = normal(random);
    row[17] *= 12;
    row[77] *= 12;
    if (rotated) rotate(row);
    auto const [low, high] = std::minmax_element(row.begin(), row.end());
    double const minimum = *low, step = (*high - *low) / ((1 << bits) - 1);
    double error = 0;
    for (double const x : row) error += std::pow(x - (minimum + step * std::round((x - minimum) / step)), 2) / 128;
    sum += error;
    squares += error * error;
  }
  double const mean = sum / num_rows;
  return {mean, std::sqrt(squares / num_rows - mean * mean)};
}

/// Encoders against the definition, and the definition against the published figures (see the test case).
template <int Bits>
void check_outliers(double plain, double rotated) {
  CAPTURE(Bits);
  Expected const as_is = expected_of(Bits, false), turned = expected_of(Bits, true);
  CHECK(distortion<Whole<Bits>>(12000, 12) == Approx(as_is.mean).epsilon(0.05));
  double const of_encoder = distortion<WholeRotated<Bits>>(12000, 12);
  CHECK(of_encoder == Approx(turned.mean).epsilon(0.05));
  CHECK(distortion<WholeRotated<Bits, Basis::randomized_hadamard>>(12000, 12) == Approx(turned.mean).epsilon(0.05));
  CHECK(of_encoder == Approx(rotated).epsilon(0.05));
  CHECK(std::fabs(as_is.mean - plain) < 2 * as_is.deviation / std::sqrt(400));
}

/// Whether the rows of this seed, 400 as in the published sample, have these two figures within 5 percent.
template <int Bits>
bool has_figures(std::uint64_t seed, double plain, double rotated) {
  return distortion<Whole<Bits>>(400, 12, 1, seed) == Approx(plain).epsilon(0.05) &&
         distortion<WholeRotated<Bits>>(400, 12, 1, seed) == Approx(rotated).epsilon(0.05);
}

}  // namespace

TEST_CASE("distortion: floats") {
  check<Fp8E4M3Static>(8, 7.0e-4);
  check<Fp8E5M2Static>(8, 2.8e-3);
  check<Fp8E4M3>(8.25, 6.6e-4);
  check<Fp8E5M2>(8.25, 2.6e-3);
  check<Nvfp4Static>(4.5, 8.9e-3);
  check<Nvfp4>(4.75, 8.9e-3);
  check<Nvfp4FourOverSixStatic>(4.5, 7.5e-3);
  check<Nvfp4FourOverSix>(4.75, 7.5e-3);
  check<Mxfp4>(4.25, 1.33e-2);
  check<Iq4Nl>(4.5, 6.38e-3);
  // A static scale of 1 on values that are 100 times too small for it.
  CHECK(distortion<Fp8E4M3Static>(800, 1.0F, 0.01F) * 1e4 == Approx(3.2e-3).epsilon(0.05));
  CHECK(distortion<Fp8E4M3>(800, 1.0F, 0.01F) * 1e4 == Approx(6.6e-4).epsilon(0.05));
}

TEST_CASE("distortion: 8 to 5 bits") {
  check<Int8PerToken>(8.25, 4.1e-5);     // 8.125 are published: of an f16 scale
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

TEST_CASE("distortion: a size and numbers of a codebook") {
  CHECK(test::LloydMax<1>::found().error == Approx(0.363380).epsilon(1e-5));
  CHECK(test::LloydMax<2>::found().error == Approx(0.117482).epsilon(1e-5));
  CHECK(test::LloydMax<3>::found().error == Approx(0.034548).epsilon(1e-4));
  CHECK(test::LloydMax<4>::found().error == Approx(0.009501).epsilon(1e-3));
  check_codebook<test::TurboQuant<4>>(4.125, 9.2e-3);
  check_codebook<test::TurboQuant<3>>(3.125, 3.4e-2);
  check_codebook<test::TurboQuant<2>>(2.125, 0.117);
  check_codebook<test::TurboQuant<1>>(1.125, 0.363);
  check_codebook<test::RmsMidRise<2>>(2.125, 0.118);
  check_codebook<test::RmsMidRise<1>>(1.125, 0.363);
}

// The published figures are of one sample of 400 rows, drawn by a generator that is not known. Of rows that are not
// rotated the squares of two elements decide, and their tails are heavy: the mean of 400 rows has a standard deviation
// of 5 to 6 percent. Many rows give 0.145, 0.69 and 4.15 where 0.134, 0.678 and 4.27 are published: 1.4, 0.3 and 0.5 of
// these deviations away. (Outliers of a constant 12, levels with a 0 and symmetric levels are further away.) Rotated,
// the deviation is 2 to 3 percent, and many rows give the published figures within 5 percent. So the test asks for
// three things: many rows give what the definition gives, by code that is not the library's; that is as near to the
// published figures as 400 rows are to their mean, two deviations; and there are samples of 400 rows with all six
// figures within 5 percent, as 4 of 100 have.
TEST_CASE("distortion: two elements that are 12 times larger, and what a rotation makes of them") {
  check_outliers<4>(0.134, 0.0225);
  check_outliers<3>(0.678, 0.103);
  check_outliers<2>(4.27, 0.597);
  std::uint64_t seed = 0;
  while (seed < 200 && !(has_figures<4>(seed, 0.134, 0.0225) && has_figures<3>(seed, 0.678, 0.103) &&
                         has_figures<2>(seed, 4.27, 0.597)))
    ++seed;
  CAPTURE(seed);
  CHECK(seed < 200);
  CHECK(distortion<Int4Rotated>(4000, 12) < 0.0215);  // the default cuts pay there too
  CHECK(distortion<Int3Rotated>(4000, 12) < 0.085);
  CHECK(distortion<Int2Rotated>(4000, 12) < 0.3);
}
