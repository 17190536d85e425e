// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <folio/quantizer/fp4.hpp>
#include <limits>
#include <random>

#include "conformance/quantizer_suite.hpp"

using folio::Mxfp4;
using folio::Nvfp4;
using folio::Nvfp4FourOverSix;
using folio::Nvfp4FourOverSixStatic;
using folio::Nvfp4Static;
using folio::test::StoredRow;

namespace {

template <class Q>
std::vector<int> bytes_of(std::byte const* from, std::int32_t count) {
  std::vector<int> bytes;
  for (int i = 0; i < count; ++i) bytes.push_back(std::to_integer<int>(from[i]));
  return bytes;
}

/// Every e2m1 value with its sign, times `factor`: the patterns 0 to 15, with -0 as 6.
std::vector<float> every_value(float factor) {
  std::vector<float> row;
  for (std::uint32_t p = 0; p < 16; ++p) row.push_back(p == 8 ? 6 * factor : folio::e2m1_to_f32(p) * factor);
  return row;
}
constexpr int every_pattern[8] = {0x10, 0x32, 0x54, 0x76, 0x97, 0xBA, 0xDC, 0xFE};

template <class Q>
std::vector<float> stored_and_back(std::vector<float> const& row) {
  StoredRow<Q> stored(static_cast<std::int32_t>(row.size()), 0xFF);
  stored.encode(row.data());
  return stored.decode();
}

}  // namespace

TEST_CASE("Nvfp4, Nvfp4FourOverSix and Mxfp4 are quantizers") {
  // Between 4 and 6 a number is off by 1, a sixth of the largest, and the scale by a sixteenth. MXFP4 cuts 8 to 6.
  folio::test::quantizer_suite<Nvfp4>({.of_largest = 1.0 / 6 * 1.07 + 1.0 / 16, .absolute = 1e-30});
  folio::test::quantizer_suite<Nvfp4FourOverSix>({.of_largest = 1.0 / 6 * 1.07 + 1.0 / 16, .absolute = 1e-30});
  folio::test::quantizer_suite<Mxfp4>({.of_largest = 0.25 * 1.001, .absolute = 1e-30});
}

TEST_CASE("Nvfp4Static and Nvfp4FourOverSixStatic are quantizers of numbers up to 2688") {
  // As above, and a scale below 2^-6, in steps of 2^-9, takes 6 / 2^10 more.
  constexpr folio::test::ErrorBound bound{
      .of_largest = 1.0 / 6 * 1.07 + 1.0 / 16, .absolute = 0.006, .saturates_at = 2688};
  folio::test::quantizer_suite<Nvfp4Static>(bound);
  folio::test::quantizer_suite<Nvfp4FourOverSixStatic>(bound);
  CHECK(stored_and_back<Nvfp4FourOverSixStatic>({1e30F, -2688, 0, 0, 0, 0, 0, 0}) ==
        std::vector<float>{2688, -2688, 0, 0, 0, 0, 0, 0});
  CHECK(stored_and_back<Nvfp4Static>({1e30F, -2688, 0, 0, 0, 0, 0, 0}) ==
        std::vector<float>{2688, -2688, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("fp4: what an element costs") {
  CHECK(folio::bits_per_element<Nvfp4>(128) == 4.75);
  CHECK(folio::bits_per_element<Nvfp4Static>(128) == 4.5);
  CHECK(folio::bits_per_element<Nvfp4FourOverSix>(128) == 4.75);
  CHECK(folio::bits_per_element<Nvfp4FourOverSixStatic>(128) == 4.5);
  CHECK(folio::bits_per_element<Mxfp4>(128) == 4.25);
  CHECK(Nvfp4::param_bytes(80) == 4 + 8);  // 5 blocks, and 3 bytes of padding
  CHECK(Mxfp4::param_bytes(40) == 4);
}

TEST_CASE("Nvfp4Static: known values") {
  StoredRow<Nvfp4Static> one(16, 0xFF);
  one.encode(every_value(1.0F).data());
  CHECK(bytes_of<Nvfp4Static>(one.params(), 4) == std::vector<int>{0x38, 0, 0, 0});  // 1
  CHECK(bytes_of<Nvfp4Static>(one.codes(), 8) == std::vector<int>(every_pattern, every_pattern + 8));
  CHECK(one.decode() == every_value(1.0F));

  StoredRow<Nvfp4Static> tenth(16, 0xFF);  // its scale of 0.1 is rounded to 0.1015625
  tenth.encode(every_value(0.1F).data());
  CHECK(bytes_of<Nvfp4Static>(tenth.params(), 1) == std::vector<int>{0x1D});
  CHECK(tenth.decode() == every_value(0.1015625F));
  CHECK(tenth.decode()[1] == 0.05078125F);
}

TEST_CASE("Nvfp4: the row's largest magnitude becomes 6 times 448") {
  std::vector<float> row = every_value(0.25F), small = every_value(0.25F / 64);
  row.insert(row.end(), small.begin(), small.end());
  StoredRow<Nvfp4> stored(32, 0xFF);
  stored.encode(row.data());
  CHECK(bytes_of<Nvfp4>(stored.params() + 4, 4) == std::vector<int>{0x7E, 0x4E, 0, 0});  // 448, 7, padding
  CHECK(bytes_of<Nvfp4>(stored.codes(), 8) == std::vector<int>(every_pattern, every_pattern + 8));
  CHECK(bytes_of<Nvfp4>(stored.codes() + 8, 8) == std::vector<int>(every_pattern, every_pattern + 8));
  std::vector<float> const out = stored.decode();
  for (std::size_t i = 0; i < 32; ++i) CHECK(out[i] == Approx(row[i]).epsilon(1e-6));
}

TEST_CASE("Nvfp4FourOverSixStatic: known values") {
  // Nothing above 4: 4/6 is rounded to 0.6875, and 4/4 is exact. Else, of two scales that are exact, the former.
  std::vector<float> const row{4, -3, 2, 1.5F, -1, 0.5F, 0, 0.5F, 4, -4, 3, 2, -2, 1, 1.5F, 0};
  StoredRow<Nvfp4FourOverSixStatic> four(16, 0xFF), six(16, 0xFF), only(16, 0xFF), gap(16, 0xFF);
  four.encode(row.data());
  CHECK(bytes_of<Nvfp4FourOverSixStatic>(four.params(), 4) == std::vector<int>{0x38, 0, 0, 0});  // 1
  CHECK(bytes_of<Nvfp4FourOverSixStatic>(four.codes(), 8) ==
        std::vector<int>{0xD6, 0x34, 0x1A, 0x10, 0xE6, 0x45, 0x2C, 0x03});
  CHECK(four.decode() == row);
  StoredRow<Nvfp4Static> without(16, 0xFF);
  without.encode(row.data());
  CHECK(bytes_of<Nvfp4Static>(without.params(), 1) == std::vector<int>{0x33});  // 0.6875

  six.encode(every_value(1.0F).data());
  CHECK(bytes_of<Nvfp4FourOverSixStatic>(six.params(), 1) == std::vector<int>{0x38});
  CHECK(bytes_of<Nvfp4FourOverSixStatic>(six.codes(), 8) == std::vector<int>(every_pattern, every_pattern + 8));

  std::vector<float> one(16);
  one[0] = 6;
  only.encode(one.data());
  CHECK(bytes_of<Nvfp4FourOverSixStatic>(only.params(), 1) == std::vector<int>{0x38});
  CHECK(bytes_of<Nvfp4FourOverSixStatic>(only.codes(), 1) == std::vector<int>{0x07});

  one[1] = 5;  // 4 for a scale of 1, and 3 * 1.5 for one of 1.5: off by 1 and by a half
  gap.encode(one.data());
  CHECK(bytes_of<Nvfp4FourOverSixStatic>(gap.params(), 1) == std::vector<int>{0x3C});
  CHECK(bytes_of<Nvfp4FourOverSixStatic>(gap.codes(), 1) == std::vector<int>{0x56});
  CHECK(std::vector<float>{gap.decode()[0], gap.decode()[1]} == std::vector<float>{6, 4.5F});
}

TEST_CASE("Nvfp4FourOverSix: the row's largest magnitude becomes 6 times 256") {
  std::vector<float> row = every_value(0.25F);  // up to 1.5, so that the float is 2^-10
  for (int const x : {4, -3, 2, 1, -1, 3, 0, 4, 4, -4, 3, 2, -2, 1, 3, 0}) row.push_back(static_cast<float>(x) / 64);
  StoredRow<Nvfp4FourOverSix> stored(32, 0xFF);
  stored.encode(row.data());
  CHECK(bytes_of<Nvfp4FourOverSix>(stored.params(), 8) ==
        std::vector<int>{0, 0, 0x80, 0x3A, 0x78, 0x58, 0, 0});  // 2^-10; 256, and 16 of a block that ends at 4; padding
  CHECK(bytes_of<Nvfp4FourOverSix>(stored.codes(), 8) == std::vector<int>(every_pattern, every_pattern + 8));
  CHECK(stored.decode() == row);

  StoredRow<Nvfp4FourOverSix> gap(8, 0xFF);
  gap.encode(std::vector<float>{6, 5, 0, 0, 0, 0, 0, 0}.data());
  CHECK(bytes_of<Nvfp4FourOverSix>(gap.params(), 8) == std::vector<int>{0, 0, 0x80, 0x3B, 0x7C, 0, 0, 0});  // 384
  CHECK(gap.decode() == std::vector<float>{6, 4.5F, 0, 0, 0, 0, 0, 0});
}

TEST_CASE("Nvfp4FourOverSix: of both scales the one with the smaller error, in every block") {
  std::mt19937_64 random(46);
  std::normal_distribution<float> normal;
  int num_fours = 0;
  for (int repeat = 0; repeat < 2000; ++repeat) {
    std::vector<float> row(16);
    float largest = 0;
    for (float& x : row) x = std::exp2(static_cast<float>(repeat % 12 - 6)) * normal(random);
    for (float const x : row) largest = std::max(largest, std::fabs(x));
    StoredRow<Nvfp4FourOverSixStatic> stored(16, 0xFF);
    stored.encode(row.data());
    std::vector<float> const decoded = stored.decode();
    std::uint8_t const six = folio::f32_to_e4m3(largest / 6), four = folio::f32_to_e4m3(largest / 4);
    double of_six = 0, of_four = 0, seen = 0;
    for (std::size_t i = 0; i < 16; ++i) {
      auto const error = [&](std::uint8_t pattern) {
        double const scale = folio::e4m3_to_f32(pattern);
        double nearest = 1e30;
        for (std::uint32_t p = 0; p < 16; ++p)
          nearest = std::min(nearest, std::fabs(double{folio::e2m1_to_f32(p)} * scale - double{row[i]}));
        return nearest * nearest;
      };
      of_six += error(six);
      of_four += error(four);
      seen += std::pow(double{decoded[i]} - double{row[i]}, 2);
    }
    CAPTURE(repeat, of_six, of_four);
    REQUIRE(seen == Approx(std::min(of_six, of_four)).epsilon(1e-5));
    num_fours += stored.params()[0] == std::byte{four};
  }
  CHECK(num_fours > 600);  // it is not always the same one
  CHECK(num_fours < 1400);
}

TEST_CASE("Nvfp4FourOverSixStatic: a scale of 6 that would be rounded to 0 gives way to that of 4") {
  // 2^-8: a sixth of it is below half of the least e4m3 number, 2^-9; a quarter is half, and rounded to even: 0.
  CHECK(stored_and_back<Nvfp4FourOverSixStatic>({0x1.1p-8F, 0, 0, 0, 0, 0, 0, 0})[0] == 0x1p-8F);
  CHECK(stored_and_back<Nvfp4Static>({0x1.1p-8F, 0, 0, 0, 0, 0, 0, 0})[0] == 0);
  CHECK(stored_and_back<Nvfp4FourOverSixStatic>({0x1p-8F, 0, 0, 0, 0, 0, 0, 0})[0] == 0);
}

TEST_CASE("Mxfp4: a power of two for each 32, by the specification") {
  // The largest power of two in 7.9 is 4: the scale 1, and 7.9 saturates. Ties go to the even pattern.
  std::vector<float> row{7.9F, -6, 5, 5.0001F, 3.5F, 2.5F, 1.75F, 1.25F, 0.75F, 0.25F, 0.2501F, -0.3F, 0, 1, 3, -4};
  row.resize(32);
  row.resize(40, 0.75F);  // another block: the scale 2^(-1 - 2)
  StoredRow<Mxfp4> stored(40, 0xFF);
  stored.encode(row.data());
  CHECK(bytes_of<Mxfp4>(stored.params(), 4) == std::vector<int>{127, 124, 0, 0});
  CHECK(bytes_of<Mxfp4>(stored.codes(), 8) == std::vector<int>{0xF7, 0x76, 0x46, 0x24, 0x02, 0x91, 0x20, 0xE5});
  std::vector<float> const out = stored.decode();
  CHECK(std::vector<float>(out.begin(), out.begin() + 16) ==
        std::vector<float>{6, -6, 4, 6, 4, 2, 2, 1, 1, 0, 0.5F, -0.5F, 0, 1, 3, -4});
  for (std::size_t i = 32; i < 40; ++i) CHECK(out[i] == 0.75F);
}

TEST_CASE("fp4: zero, tiny, NaN and infinite") {
  float const infinity = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(stored_and_back<Nvfp4>({nan, infinity, -infinity, 3, -6, 0, 0, 0}) ==
        std::vector<float>{0, 6, -6, 3, -6, 0, 0, 0});
  CHECK(stored_and_back<Nvfp4FourOverSix>({nan, infinity, -infinity, 3, -6, 0, 0, 0}) ==
        std::vector<float>{0, 6, -6, 3, -6, 0, 0, 0});
  CHECK(stored_and_back<Mxfp4>({nan, infinity, -infinity, 3, -4, 0, 0, 0}) ==
        std::vector<float>{0, 6, -6, 3, -4, 0, 0, 0});
  CHECK(stored_and_back<Nvfp4>({infinity, nan, 0, 0, 0, 0, 0, 0}) == std::vector<float>(8));
  CHECK(stored_and_back<Mxfp4>({0x1p-125F, 0, 0, 0, 0, 0, 0, 0}) == std::vector<float>(8));
  CHECK(stored_and_back<Mxfp4>({0x1p-124F, 0, 0, 0, 0, 0, 0, 0})[0] == 0x1p-124F);
}
