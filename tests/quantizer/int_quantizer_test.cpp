// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/quantizer/int_formats.hpp>
#include <string>

#include "conformance/quantizer_suite.hpp"

using folio::Basis;
using folio::IntQuantizer;
using folio::Levels;
using folio::test::quantizer_suite;
using folio::test::StoredRow;

namespace {

template <int Bits, Levels levels, std::int32_t GroupSize = 0, int... ClipPercents>
using Plain = IntQuantizer<Bits, levels, GroupSize, Basis::model, ClipPercents...>;

template <class Q>
std::vector<int> codes_of(StoredRow<Q>& stored, std::int32_t dim) {
  std::vector<int> bytes;
  for (int i = 0; i < folio::code_bytes<Q>(dim); ++i) bytes.push_back(std::to_integer<int>(stored.codes()[i]));
  return bytes;
}

/// (i - 16) / 16, the row of ggml's known values.
std::vector<float> sixteenths() {
  std::vector<float> row;
  for (int i = 0; i < 32; ++i) row.push_back(static_cast<float>(i - 16) / 16.0F);
  return row;
}

}  // namespace

TEST_CASE("every kind of levels, groups and basis is a quantizer") {
  // Half a step, of the range that is twice the largest magnitude at most. Minima are f16: 2^-11 of them.
  quantizer_suite<Plain<8, Levels::symmetric, 32>>({.of_largest = 0.5 / 127 * 1.12, .absolute = 1e-6});
  quantizer_suite<Plain<8, Levels::asymmetric>>({.of_largest = 1.0 / 255 + 0x1p-10, .absolute = 1e-6});
  quantizer_suite<Plain<6, Levels::asymmetric>>({.of_largest = 1.0 / 63 + 0x1p-10, .absolute = 1e-6});
  quantizer_suite<Plain<5, Levels::symmetric, 32>>({.of_largest = 1.0 / 16 * 1.01, .absolute = 1e-6});
  quantizer_suite<Plain<4, Levels::symmetric>>({.of_largest = 1.0 / 8 * 1.001});  // the other end has no value
  quantizer_suite<Plain<4, Levels::asymmetric, 32>>({.of_largest = 1.0 / 15 * 1.02, .absolute = 1e-6});
}

TEST_CASE("every kind of levels, groups and basis is a quantizer: few bits") {
  quantizer_suite<Plain<3, Levels::centered, 16>>({.of_largest = 1.0 / 8 * 1.01, .absolute = 1e-6});
  quantizer_suite<Plain<2, Levels::centered, 0, 70, 50>>({.of_largest = 0.63});
  quantizer_suite<IntQuantizer<3, Levels::asymmetric, 64, Basis::randomized_hadamard, 80>>(
      {.of_largest = 0.2 * 1.7, .absolute = 1e-6});
}

TEST_CASE("the named formats are quantizers") {
  // Of a range that is cut, an end is off by half of what was cut.
  quantizer_suite<folio::Int6Rotated>({.of_largest = 1.0 / 63 + 0x1p-10, .absolute = 1e-6});
  quantizer_suite<folio::Int4PerToken>({.of_largest = 0.08 * 1.05, .absolute = 1e-6});
  quantizer_suite<folio::Int3Rotated>({.of_largest = 0.26, .absolute = 1e-6});
}

TEST_CASE("a format's name says what it is") {
  CHECK(folio::Int8PerToken::name == std::string("int8"));
  CHECK(folio::Int8PerGroup<32>::name == std::string("int8_g32"));
  CHECK(folio::Int6PerToken::name == std::string("int6"));
  CHECK(folio::Int4PerToken::name == std::string("int4"));
  CHECK(folio::Int4Rotated::name == std::string("int4_rotated"));
  CHECK(folio::Int3Rotated::name == std::string("int3_rotated"));
  CHECK(Plain<8, Levels::asymmetric>::name == std::string("int8_asymmetric"));
  CHECK(Plain<2, Levels::centered, 128>::name == std::string("int2_centered_g128"));
  CHECK(IntQuantizer<4, Levels::symmetric, 1016, Basis::randomized_hadamard>::name ==
        std::string("int4_symmetric_g1016_randomized"));
}

TEST_CASE("what an element of each integer format costs") {
  CHECK(folio::bits_per_element<folio::Int8PerGroup<32>>(128) == 8.5);
  CHECK(folio::bits_per_element<folio::Int8PerGroup<32>>(96) == 8.0 + 8.0 * 8 / 96);  // 3 scales and 2 bytes of padding
  CHECK(folio::bits_per_element<folio::Int4PerGroup<32>>(128) == 5);
  CHECK(folio::bits_per_element<folio::Int6PerToken>(128) == 6.25);
  CHECK(folio::bits_per_element<folio::Int6Rotated>(256) == 6.125);
  CHECK(folio::bits_per_element<folio::Int4PerToken>(128) == 4.25);
  CHECK(folio::bits_per_element<folio::Int3Rotated>(128) == 3.25);
  CHECK(folio::bits_per_element<folio::Int3Rotated>(80) == 3.4);
  CHECK(folio::bits_per_element<Plain<4, Levels::symmetric, 32>>(128) == 4.5);
  CHECK(folio::bits_per_element<Plain<5, Levels::asymmetric, 32>>(128) == 6);
}

TEST_CASE("Int8PerGroup<32> stores ggml's known values of q8_0") {
  using Q = folio::Int8PerGroup<32>;
  StoredRow<Q> stored(32, 0xFF);
  stored.encode(sixteenths().data());
  CHECK(Q::load_params(stored.params(), 0).scale == 0.00787353515625F);
  CHECK(std::to_integer<int>(stored.params()[0]) == 0x08);
  CHECK(std::to_integer<int>(stored.params()[1]) == 0x20);
  CHECK((stored.params()[2] == std::byte{} && stored.params()[3] == std::byte{}));  // padding
  std::vector<int> signed_codes;
  for (int const byte : codes_of(stored, 32)) signed_codes.push_back(static_cast<std::int8_t>(byte));
  CHECK(signed_codes == std::vector<int>{-127, -119, -111, -103, -95, -87, -79, -71, -64, -56, -48,
                                         -40,  -32,  -24,  -16,  -8,  0,   8,   16,  24,  32,  40,
                                         48,   56,   64,   71,   79,  87,  95,  103, 111, 119});
}

TEST_CASE("five bits and a minimum for each 32 elements keep sixteenths exactly, as q5_1 does") {
  using Q = Plain<5, Levels::asymmetric, 32>;
  StoredRow<Q> stored(32, 0);
  stored.encode(sixteenths().data());
  CHECK(Q::load_params(stored.params(), 0).scale == 0.0625F);
  CHECK(Q::load_params(stored.params(), 0).offset == -1.0F);
  CHECK(stored.decode() == sixteenths());
}

TEST_CASE("four symmetric bits for each 32 elements: the scale of q4_0, ties to the even integer") {
  using Q = Plain<4, Levels::symmetric, 32>;
  StoredRow<Q> stored(32, 0);
  stored.encode(sixteenths().data());
  CHECK(Q::load_params(stored.params(), 0).scale == 0.125F);
  std::vector<int> integers;
  for (int const byte : codes_of(stored, 32)) {
    integers.push_back(byte & 15);
    integers.push_back(byte >> 4);
  }
  CHECK(integers == std::vector<int>{0, 0, 1, 2,  2,  2,  3,  4,  4,  4,  5,  6,  6,  6,  7,  8,
                                     8, 8, 9, 10, 10, 10, 11, 12, 12, 12, 13, 14, 14, 14, 15, 15});
}

TEST_CASE("integers of 3, 5 and 6 bits lie one after the other, the first in the lowest bits") {
  // Rows on the grid 0, 1, ..., 2^bits - 1, with both ends in them.
  auto const bytes = []<class Q>(Q, std::vector<float> const& row) {
    StoredRow<Q> stored(static_cast<std::int32_t>(row.size()), 0);
    stored.encode(row.data());
    CHECK(Q::load_params(stored.params(), 0).scale == 1.0F);
    CHECK(stored.decode() == row);
    return codes_of(stored, static_cast<std::int32_t>(row.size()));
  };
  // 0b111'110'101'100'011'010'001'000: element 7 in the highest bits of 24.
  CHECK(bytes(Plain<3, Levels::asymmetric>(), {0, 1, 2, 3, 4, 5, 6, 7}) == std::vector<int>{0x88, 0xC6, 0xFA});
  CHECK(bytes(Plain<6, Levels::asymmetric>(), {1, 2, 3, 0, 63, 0, 63, 32}) ==
        std::vector<int>{0x81, 0x30, 0x00, 0x3F, 0xF0, 0x83});
  CHECK(bytes(Plain<5, Levels::asymmetric>(), {31, 0, 1, 2, 4, 8, 16, 31}) ==
        std::vector<int>{0x1F, 0x04, 0x41, 0x10, 0xFC});
}

TEST_CASE("an outlier costs accuracy in its own group only") {
  std::vector<float> row = folio::test::test_rows(64)[0];
  row[3] = 1000;
  StoredRow<folio::Int8PerGroup<32>> stored(64, 0);
  stored.encode(row.data());
  std::vector<float> const out = stored.decode();
  CHECK(out[4] == 0.0F);
  for (std::size_t i = 32; i < 64; ++i) CHECK(std::fabs(out[i] - row[i]) < 0.02F);
}

TEST_CASE("a symmetric or centered row has no use for a minimum, and keeps what is large and small") {
  for (float const factor : {1e-25F, 1e-6F, 1.0F, 1e6F, 1e30F}) {
    CAPTURE(factor);
    std::vector<float> row{-8, 7, 0, 1, -1, 3, -3, 5};
    for (float& x : row) x *= factor;
    StoredRow<Plain<4, Levels::symmetric>> stored(8, 0);
    stored.encode(row.data());
    std::vector<float> const out = stored.decode();
    for (std::size_t i = 0; i < 8; ++i) CHECK(out[i] == Approx(row[i]).epsilon(1e-4).margin(0));
  }
}
