// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/quantizer/int_formats.hpp>
#include <limits>

#include "conformance/quantizer_suite.hpp"

using folio::Basis;
using folio::Int2Rotated;
using folio::Int3Rotated;
using folio::Int4Rotated;
using folio::Int8PerToken;
using folio::IntQuantizer;
using folio::Levels;
using folio::test::in_basis;
using folio::test::normal_distortion;
using folio::test::StoredRow;

namespace {

/// Int4Rotated and its like with other cuts, or none.
template <int Bits, int... ClipPercents>
using IntRotated = IntQuantizer<Bits, Levels::asymmetric, 0, Basis::hadamard, ClipPercents...>;

template <class Q = Int4Rotated>
std::vector<float> stored_and_rotated_back(std::vector<float> const& row) {
  StoredRow<Q> stored(static_cast<std::int32_t>(row.size()), 0);
  stored.encode(row.data());
  return in_basis<Q>(stored.decode());
}

double relative_error(std::vector<float> const& got, std::vector<float> const& expected) {
  double off = 0, size = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    off += std::pow(double{got[i]} - double{expected[i]}, 2);
    size += std::pow(double{expected[i]}, 2);
  }
  return std::sqrt(off / size);
}

/// The codes and the parameters of one row, which has an outlier.
template <class Q>
std::vector<int> stored_bytes() {
  std::vector<float> row;
  for (int i = 0; i < 32; ++i)
    row.push_back(static_cast<float>((i * 37 + 11) % 64) / 8.0F - 4.0F + (i == 9 ? 20.0F : 0.0F));
  StoredRow<Q> stored(32, 0);
  stored.encode(row.data());
  std::vector<int> bytes;
  for (int i = 0; i < folio::code_bytes<Q>(32); ++i) bytes.push_back(std::to_integer<int>(stored.codes()[i]));
  for (int i = 0; i < 4; ++i) bytes.push_back(std::to_integer<int>(stored.params()[i]));
  return bytes;
}

}  // namespace

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

TEST_CASE("Int4Rotated is a quantizer") {
  // Half a step is a thirtieth of the range, and the range at most twice the largest magnitude; where the range is cut,
  // an end is off by half of what was cut.
  folio::test::quantizer_suite<IntRotated<4>>({.of_largest = 2.0 / 30 * 1.02, .absolute = 1e-6});
  folio::test::quantizer_suite<Int4Rotated>({.of_largest = 0.08 * 1.02, .absolute = 1e-6});
}

TEST_CASE("Int2Rotated is a quantizer") {
  folio::test::quantizer_suite<IntRotated<2>>({.of_largest = 2.0 / 6 * 1.02, .absolute = 1e-6});
  folio::test::quantizer_suite<Int2Rotated>({.of_largest = 0.52 * 1.02, .absolute = 1e-6});  // cut to 48 percent
}

TEST_CASE("Int4Rotated, Int3Rotated and Int2Rotated: a row is stored as these bytes") {
  CHECK(stored_bytes<Int4Rotated>() == std::vector<int>{0x19, 0x07, 0x0A, 0x38, 0xF0, 0xC0, 0x50, 0x83, 0x0C, 0x38,
                                                        0x3F, 0x0C, 0x50, 0x83, 0x23, 0xC0, 0xCA, 0x3A, 0xF3, 0xC4});
  CHECK(stored_bytes<Int2Rotated>() ==
        std::vector<int>{0x22, 0x62, 0x8C, 0x94, 0x62, 0x27, 0x94, 0x81, 0x3E, 0x44, 0xF3, 0xC4});
  CHECK(stored_bytes<Int3Rotated>() == std::vector<int>{0xCC, 0x50, 0x50, 0x38, 0x0A, 0x89, 0x05, 0x75, 0x15, 0x90,
                                                        0xA8, 0xA0, 0x46, 0x3F, 0xF3, 0xC4});
}

TEST_CASE("Int4Rotated: a row on the grid is exact, the even element in the low nibble") {
  CHECK(folio::bits_per_element<Int4Rotated>(128) == 4.25);
  std::vector<float> rotated;
  for (int i = 0; i < 16; ++i) rotated.push_back(-1.0F + 0.25F * static_cast<float>(i * 7 % 16));
  StoredRow<Int4Rotated> stored(16, 0);
  stored.encode(in_basis<Int4Rotated>(rotated).data());
  auto const params = Int4Rotated::load_params(stored.params(), 0);
  CHECK(params.scale == 0.25F);
  CHECK(params.offset == -1.0F);
  for (int i = 0; i < 8; ++i) {
    CHECK(std::to_integer<int>(stored.codes()[i] & std::byte{15}) == 2 * i * 7 % 16);
    CHECK(std::to_integer<int>(stored.codes()[i] >> 4) == (2 * i + 1) * 7 % 16);
  }
  CHECK(stored.decode() == rotated);
}

TEST_CASE("Int4Rotated: distortion on normally distributed rows") {
  CHECK(normal_distortion<IntRotated<4>>(128) == Approx(1.00e-2).epsilon(0.05));
  CHECK(normal_distortion<Int4Rotated>(128) == Approx(9.2e-3).epsilon(0.05));
  // The default is the best cut at 128, the commonest head dimension.
  CHECK(normal_distortion<Int4Rotated>(128) < normal_distortion<IntRotated<4, 97>>(128));
  CHECK(normal_distortion<Int4Rotated>(128) < normal_distortion<IntRotated<4, 85>>(128));
  // And never worse than no cut.
  for (std::int32_t const dim : {16, 64, 80, 256, 576})
    CHECK(normal_distortion<Int4Rotated>(dim) <= normal_distortion<IntRotated<4>>(dim));
}

TEST_CASE("Int2Rotated: a row on the grid is exact, the first element in the lowest bits") {
  CHECK(folio::bits_per_element<Int2Rotated>(128) == 2.25);
  std::vector<float> rotated;
  for (int i = 0; i < 16; ++i) rotated.push_back(-1.5F + static_cast<float>((i * 3 + i / 4) % 4));
  StoredRow<Int2Rotated> stored(16, 0);
  stored.encode(in_basis<Int2Rotated>(rotated).data());
  auto const params = Int2Rotated::load_params(stored.params(), 0);
  CHECK(params.scale == 1.0F);
  CHECK(params.offset == -1.5F);
  for (int i = 0; i < 16; ++i)
    CHECK((std::to_integer<int>(stored.codes()[i / 4]) >> (i % 4 * 2) & 3) == (i * 3 + i / 4) % 4);
  CHECK(stored.decode() == rotated);
}

TEST_CASE("Int2Rotated: distortion on normally distributed rows") {
  // Without a cut two bits are of no use; with one at 58 percent the error is that of the best four values, 0.1175.
  CHECK(normal_distortion<IntRotated<2>>(128) == Approx(0.25).epsilon(0.03));
  CHECK(normal_distortion<IntRotated<2, 58>>(128) == Approx(0.118).epsilon(0.03));
  // The choice of three is no worse at any length, and below that where rows differ among each other.
  CHECK(normal_distortion<Int2Rotated>(128) == Approx(0.1165).epsilon(0.02));
  for (std::int32_t const dim : {64, 80, 256, 576, 1024}) {
    CHECK(normal_distortion<Int2Rotated>(dim) < normal_distortion<IntRotated<2, 58>>(dim));
    CHECK(normal_distortion<Int2Rotated>(dim) < 0.125);
  }
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
  CHECK(relative_error(stored_and_rotated_back<Int2Rotated>(one_hot), one_hot) < 2e-3);
  CHECK(stored_and_rotated_back<Int2Rotated>(std::vector<float>(128)) == std::vector<float>(128));
  CHECK(relative_error(stored_and_rotated_back<Int2Rotated>(std::vector<float>(128, 3.0F)),
                       std::vector<float>(128, 3.0F)) < 1e-2);
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

TEMPLATE_TEST_CASE("what was decoded is stored as the same codes", "", Int8PerToken, Int4Rotated, Int3Rotated,
                   Int2Rotated) {
  std::vector<float> const row = folio::test::test_rows(128)[0];
  StoredRow<TestType> first(128, 0), second(128, 0);
  first.encode(row.data());
  second.encode(in_basis<TestType>(first.decode()).data());
  CHECK(std::memcmp(first.codes(), second.codes(), std::size_t{128} * TestType::bits / 8) == 0);
}

TEMPLATE_TEST_CASE("a row's scale and offset are factors of its sums", "", folio::Int6PerToken, folio::Int4PerToken) {
  // q . row = scale * (q . integers) + offset * sum(q): what a kernel may do that multiplies codes first.
  StoredRow<TestType> stored(32, 0);
  std::vector<float> row, q;
  for (int i = 0; i < 32; ++i) row.push_back(std::sin(0.7F * static_cast<float>(i)));
  for (int i = 0; i < 32; ++i) q.push_back(std::cos(0.3F * static_cast<float>(i)));
  stored.encode(row.data());
  auto const params = TestType::load_params(stored.params(), 0);
  constexpr auto bytes = static_cast<std::size_t>(folio::code_bytes<TestType>(32));
  folio::Pack<std::uint8_t, static_cast<int>(bytes)> codes;
  std::memcpy(codes.v, stored.codes(), bytes);
  auto const integers = folio::unpack_bits<TestType::bits, 32>(codes);
  auto const decoded = stored.decode();
  double of_integers = 0, of_q = 0, expected = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    of_integers += double{q[i]} * double{static_cast<float>(integers[static_cast<int>(i)])};
    of_q += double{q[i]};
    expected += double{q[i]} * double{decoded[i]};
  }
  CHECK(double{params.scale} * of_integers + double{params.offset} * of_q == Approx(expected));
}
