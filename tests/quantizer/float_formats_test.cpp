// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>
#include <cstdint>
#include <folio/quantizer/float_formats.hpp>
#include <limits>
#include <string>

#include "support/catch.hpp"

// Every pattern of every format is compared with a definition by arithmetic, in double, that shares nothing with the
// code.

namespace {

struct Format {
  int exponent_bits, mantissa_bits;
  bool has_infinity;

  [[nodiscard]] int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  [[nodiscard]] std::uint32_t sign_bit() const { return 1U << (exponent_bits + mantissa_bits); }

  /// The value of a pattern without its sign, by the definition: mantissa * 2^exponent.
  [[nodiscard]] double value(std::uint32_t magnitude) const {
    auto const exponent = static_cast<int>(magnitude >> mantissa_bits);
    std::uint32_t const mantissa = magnitude & ((1U << mantissa_bits) - 1);
    if (has_infinity && exponent == (1 << exponent_bits) - 1)
      return mantissa == 0 ? std::numeric_limits<double>::infinity() : std::numeric_limits<double>::quiet_NaN();
    if (!has_infinity && magnitude == sign_bit() - 1) return std::numeric_limits<double>::quiet_NaN();
    std::uint32_t const leading = exponent == 0 ? 0U : 1U << mantissa_bits;
    return std::ldexp(mantissa + leading, (exponent == 0 ? 1 : exponent) - bias() - mantissa_bits);
  }
};

constexpr Format f16{5, 10, true}, bf16{8, 7, true}, e4m3{4, 3, false}, e5m2{5, 2, true};

/// What went wrong first, in words; empty when nothing did. One assertion for thousands of patterns.
template <class Decode, class Encode>
std::string first_difference(Format format, Decode decode, Encode encode, std::uint32_t largest_finite) {
  for (std::uint32_t pattern = 0; pattern < 2 * format.sign_bit(); ++pattern) {
    std::uint32_t const magnitude = pattern & (format.sign_bit() - 1);
    double const sign = magnitude == pattern ? 1 : -1;
    double const expected = format.value(magnitude);
    float const decoded = decode(pattern);
    std::string const here = "pattern " + std::to_string(pattern) + " = " + std::to_string(decoded);
    if (std::isnan(expected)) {
      if (!std::isnan(decoded) || !std::isnan(decode(encode(decoded)))) return here + ": is not NaN";
      continue;
    }
    if (double{decoded} != sign * expected || std::signbit(decoded) != (sign < 0)) return here + ": decoded wrongly";
    if (encode(decoded) != pattern) return here + ": does not come back";
    if (magnitude >= largest_finite) continue;

    // Between this value and the next: below the middle, the middle itself (to even), above it.
    double const middle = (expected + format.value(magnitude + 1)) / 2;
    auto const half = static_cast<float>(sign * middle);
    if (double{half} != sign * middle) continue;  // the smallest bf16: half of it is no float
    float const inside = std::nextafterf(half, 0.0F),
                outside = std::nextafterf(half, decoded < 0 || sign < 0 ? -1e38F : 1e38F);
    if (encode(half) != pattern + (pattern & 1U)) return here + ": the tie above it is not rounded to even";
    if (encode(inside) != pattern) return here + ": rounded up below the middle";
    if (std::fabs(outside) > std::fabs(half) && encode(outside) != pattern + 1)
      return here + ": rounded down above the middle";
  }
  return {};
}

}  // namespace

TEST_CASE("f16: all 2^16 patterns, and the middles between them") {
  auto const decode = [](std::uint32_t p) { return folio::f16_to_f32(static_cast<std::uint16_t>(p)); };
  auto const encode = [](float x) { return std::uint32_t{folio::f32_to_f16(x)}; };
  CHECK(first_difference(f16, decode, encode, 0x7BFF) == "");
  CHECK(encode(folio::f16_max) == 0x7BFF);
  CHECK(encode(65519.996F) == 0x7BFF);
  CHECK(encode(65520.0F) == 0x7C00);  // the middle to the next power of two: infinity, as IEEE 754 says
  CHECK(encode(-1e30F) == 0xFC00);
  CHECK(encode(0x1p-25F) == 0);  // half of the smallest: to even
  CHECK(encode(0x1.000002p-25F) == 1);
  CHECK(encode(std::numeric_limits<float>::denorm_min()) == 0);
  CHECK(encode(-0.0F) == 0x8000);
  CHECK((encode(std::bit_cast<float>(0x7F800001U)) & 0x7E00) == 0x7E00);  // a signalling NaN becomes a quiet one
  CHECK((std::bit_cast<std::uint32_t>(decode(0x7C01)) & 0x7FC00000U) == 0x7FC00000U);
}

TEST_CASE("bf16: all 2^16 patterns, and the middles between them") {
  auto const decode = [](std::uint32_t p) { return folio::bf16_to_f32(static_cast<std::uint16_t>(p)); };
  auto const encode = [](float x) { return std::uint32_t{folio::f32_to_bf16(x)}; };
  CHECK(first_difference(bf16, decode, encode, 0x7F7F) == "");
  CHECK(encode(folio::bf16_max) == 0x7F7F);
  CHECK(encode(std::numeric_limits<float>::max()) == 0x7F80);
  CHECK(encode(std::bit_cast<float>(0x7F7F7FFFU)) == 0x7F7F);
  CHECK(encode(std::bit_cast<float>(0x7F800001U)) == 0x7FC0);  // not infinity, though its upper half looks like it
  CHECK(encode(std::bit_cast<float>(0xFFFFFFFFU)) == 0xFFFF);  // rounding up does not run over into the sign
}

TEST_CASE("e4m3: all 2^8 patterns, and the middles between them") {
  auto const decode = [](std::uint32_t p) { return folio::e4m3_to_f32(static_cast<std::uint8_t>(p)); };
  auto const encode = [](float x) { return std::uint32_t{folio::f32_to_e4m3(x)}; };
  CHECK(first_difference(e4m3, decode, encode, 0x7E) == "");
}

TEST_CASE("e4m3: known values") {
  struct Known {
    float value;
    int pattern;
    float decoded;
  };
  for (Known const k :
       {Known{1.0625F, 0x38, 1.0F}, Known{1.1875F, 0x3A, 1.25F}, Known{0.3F, 0x2A, 0.3125F}, Known{17.0F, 0x58, 16.0F},
        Known{18.0F, 0x59, 18.0F}, Known{19.0F, 0x5A, 20.0F}, Known{447.9F, 0x7E, 448.0F}, Known{449.0F, 0x7E, 448.0F},
        Known{0.001F, 0x01, 0.001953125F}, Known{0x1p-10F, 0x00, 0.0F}, Known{3 * 0x1p-10F, 0x02, 0.00390625F},
        Known{-0.3F, 0xAA, -0.3125F}, Known{1e30F, 0x7E, 448.0F},
        Known{-std::numeric_limits<float>::infinity(), 0xFE, -448.0F}}) {
    CAPTURE(k.value);
    CHECK(folio::f32_to_e4m3(k.value) == k.pattern);
    CHECK(folio::e4m3_to_f32(folio::f32_to_e4m3(k.value)) == k.decoded);
  }
  CHECK(folio::f32_to_e4m3(std::numeric_limits<float>::quiet_NaN()) == 0x7F);
  CHECK(folio::f32_to_e4m3(-std::numeric_limits<float>::quiet_NaN()) == 0xFF);
}

TEST_CASE("e5m2: all 2^8 patterns, and the middles between them") {
  for (std::uint32_t p = 0; p < 256; ++p) {  // what is infinite saturates when it is written, so the suite stops there
    float const value = folio::e5m2_to_f32(static_cast<std::uint8_t>(p));
    double const expected = e5m2.value(p & 0x7FU) * (p < 128 ? 1 : -1);
    if ((p & 0x7FU) < 0x7CU) {
      REQUIRE(double{value} == expected);
      REQUIRE(folio::f32_to_e5m2(value) == p);
    } else if ((p & 0x7FU) == 0x7CU) {
      REQUIRE(std::isinf(value));
      REQUIRE(folio::f32_to_e5m2(value) == p - 1);
    } else {
      REQUIRE(std::isnan(value));
      REQUIRE(folio::f32_to_e5m2(value) == (p | 3U));
    }
    if ((p & 0x7FU) < 0x7BU) {
      float const next = folio::e5m2_to_f32(static_cast<std::uint8_t>(p + 1)), half = (value + next) / 2;
      REQUIRE(folio::f32_to_e5m2(half) == p + (p & 1U));
      REQUIRE(folio::f32_to_e5m2(std::nextafterf(half, 0.0F)) == p);
      REQUIRE(folio::f32_to_e5m2(std::nextafterf(half, next < 0 ? -1e38F : 1e38F)) == p + 1);
    }
  }
  CHECK(folio::f32_to_e5m2(1.125F) == 0x3C);  // known values
  CHECK(folio::f32_to_e5m2(1.375F) == 0x3E);
  CHECK(folio::f32_to_e5m2(0.3F) == 0x35);
  CHECK(folio::f32_to_e5m2(60000.0F) == 0x7B);
  CHECK(folio::f32_to_e5m2(0x1p-17F) == 0);
  CHECK(folio::f32_to_e5m2(0x3p-17F) == 2);
}

TEST_CASE("e2m1: all 16 patterns, and the middles between them") {
  float const values[8] = {0, 0.5F, 1, 1.5F, 2, 3, 4, 6};
  for (std::uint8_t p = 0; p < 8; ++p) {
    REQUIRE(folio::e2m1_to_f32(p) == values[p]);
    REQUIRE(folio::e2m1_to_f32(p + 8U) == -values[p]);
    REQUIRE(std::signbit(folio::e2m1_to_f32(p + 8U)));
    REQUIRE(folio::f32_to_e2m1(values[p]) == p);
    REQUIRE(folio::f32_to_e2m1(-values[p]) == p + 8);
    if (p == 7) break;
    float const half = (values[p] + values[p + 1]) / 2;
    REQUIRE(folio::f32_to_e2m1(half) == p + p % 2);  // ties to the even pattern
    REQUIRE(folio::f32_to_e2m1(std::nextafterf(half, 0.0F)) == p);
    REQUIRE(folio::f32_to_e2m1(std::nextafterf(half, 9.0F)) == p + 1);
  }
  CHECK(folio::f32_to_e2m1(1e30F) == 7);
  CHECK(folio::f32_to_e2m1(-std::numeric_limits<float>::infinity()) == 15);
  CHECK((folio::f32_to_e2m1(std::numeric_limits<float>::quiet_NaN()) & 7) == 0);
}

TEST_CASE("formats of 8 and 4 bits saturate from their largest value on, whatever pattern would be nearest") {
  for (int i = 0; i <= 512; ++i) {
    float const times = 1.0F + static_cast<float>(i) / 128;
    REQUIRE(folio::f32_to_e4m3(448 * times) == 0x7E);
    REQUIRE(folio::f32_to_e4m3(-448 * times) == 0xFE);
    REQUIRE(folio::f32_to_e5m2(57344 * times) == 0x7B);
    REQUIRE(folio::f32_to_e5m2(-57344 * times) == 0xFB);
    REQUIRE(folio::f32_to_e2m1(6 * times) == 7);
    REQUIRE(folio::f32_to_e2m1(-6 * times) == 15);
  }
}

#if defined(__FLT16_MAX__)
TEST_CASE("f16: the same as the compiler's own type") {
  std::uint32_t different = 0;
  for (std::uint64_t bits = 0; bits < std::uint64_t{1} << 32; bits += 8191) {  // every exponent, many mantissas
    float const x = std::bit_cast<float>(static_cast<std::uint32_t>(bits));
    auto const pattern = std::bit_cast<std::uint16_t>(static_cast<_Float16>(x));
    if (std::isnan(x) ? !std::isnan(folio::f16_to_f32(folio::f32_to_f16(x))) : folio::f32_to_f16(x) != pattern)
      ++different;
  }
  for (std::uint32_t p = 0; p < 0x10000; ++p) {
    auto const pattern = static_cast<std::uint16_t>(p);
    auto const x = static_cast<float>(std::bit_cast<_Float16>(pattern));
    if (std::isnan(x) ? !std::isnan(folio::f16_to_f32(pattern)) : folio::f16_to_f32(pattern) != x) ++different;
  }
  CHECK(different == 0);
}
#endif

TEST_CASE("the conversions are constant expressions") {
  static_assert(folio::f16_to_f32(0x3555) == 0x1.554p-2F && folio::f32_to_f16(1.0F / 3) == 0x3555);
  static_assert(folio::bf16_to_f32(0x3EAB) == 0x1.56p-2F && folio::f32_to_bf16(1.0F / 3) == 0x3EAB);
  static_assert(folio::e4m3_to_f32(0x2B) == 0.34375F && folio::f32_to_e4m3(1.0F / 3) == 0x2B);
  static_assert(folio::to_float(folio::to_bits(-1.5F)) == -1.5F);
  static_assert(folio::select_bits(true, 5, 9) == 5 && folio::select_bits(false, 5, 9) == 9);
}

TEST_CASE("saturate keeps what fits, and NaNs") {
  CHECK(folio::saturate(3.0F, 4.0F) == 3.0F);
  CHECK(folio::saturate(-4.5F, 4.0F) == -4.0F);
  CHECK(folio::saturate(std::numeric_limits<float>::infinity(), 4.0F) == 4.0F);
  CHECK(folio::saturate(5.0F, 0.0F) == 0.0F);
  CHECK(std::signbit(folio::saturate(-0.0F, 4.0F)));
  CHECK(std::isnan(folio::saturate(std::numeric_limits<float>::quiet_NaN(), 4.0F)));
}
