// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <cstring>
#include <folio/quantizer/detail/unpack.hpp>

#include "support/catch.hpp"

namespace {

/// A word with `code` of `bits` bits in place `i`, and other bits around it.
std::uint32_t word_with(std::uint32_t code, int bits, int i) {
  std::uint32_t const mask = ((1U << bits) - 1U) << (bits * i);
  return (0xA5C396F0U & ~mask) | code << (bits * i);
}

}  // namespace

TEST_CASE("every signed byte in every place becomes its number") {
  for (int code = -128; code < 128; ++code)
    for (int i = 0; i < 4; ++i) {
      float const number = folio::signed_byte_to_f32(word_with(static_cast<std::uint8_t>(code), 8, i), i);
      REQUIRE(number == static_cast<float>(code));
      REQUIRE(std::signbit(number) == (code < 0));  // 0 is not -0
    }
  STATIC_REQUIRE(folio::signed_byte_to_f32(0x00FF0000U, 2) == -1.0F);
}

TEMPLATE_TEST_CASE_SIG("every unsigned integer in every place becomes its number", "", ((int Bits), Bits), 2, 4, 8) {
  for (std::uint32_t code = 0; code < 1U << Bits; ++code)
    for (int i = 0; i < 32 / Bits; ++i) {
      float const number = folio::unsigned_to_f32<Bits>(word_with(code, Bits, i), i);
      REQUIRE(number == static_cast<float>(code));
      REQUIRE(!std::signbit(number));
    }
  STATIC_REQUIRE(folio::unsigned_to_f32<4>(0x70000000U, 7) == 7.0F);
}

TEST_CASE("every e4m3 number in every place becomes its number") {
  for (std::uint32_t code = 0; code < 256; ++code)
    for (int i = 0; i < 4; ++i) {
      float const number = folio::e4m3x4_to_f32(word_with(code, 8, i))[i];
      float const expected = folio::e4m3_to_f32(static_cast<std::uint8_t>(code));
      CAPTURE(code, i);
      if (std::isnan(expected))
        REQUIRE(std::isnan(number));
      else
        REQUIRE(folio::to_bits(number) == folio::to_bits(expected));  // -0 too
    }
}

TEMPLATE_TEST_CASE_SIG("integers of any number of bits lie one after the other in words", "", ((int Bits), Bits), 2, 3,
                       4, 5, 6, 7, 8) {
  folio::Pack<std::uint32_t, Bits> const words = [] {
    folio::Pack<std::uint32_t, Bits> made{};
    for (int w = 0; w < Bits; ++w) made[w] = 0x9E3779B9U * static_cast<std::uint32_t>(w + 1);
    return made;
  }();
  for (int i = 0; i < 32; ++i) {
    std::uint32_t expected = 0;
    for (int b = 0; b < Bits; ++b) {
      int const at = i * Bits + b;
      expected |= (words[at / 32] >> (at % 32) & 1U) << b;
    }
    REQUIRE(folio::unsigned_to_f32<Bits>(words, i) == static_cast<float>(expected));
  }
}

TEST_CASE("every e5m2 number in every place becomes its number") {
  for (std::uint32_t code = 0; code < 256; ++code)
    for (int i = 0; i < 4; ++i) {
      float const number = folio::e5m2x4_to_f32(word_with(code, 8, i))[i];
      REQUIRE(folio::to_bits(number) == folio::to_bits(folio::e5m2_to_f32(static_cast<std::uint8_t>(code))));
    }
}

TEMPLATE_TEST_CASE_SIG("bytes are read as words, the first byte lowest, and nothing after them", "",
                       ((int Bytes), Bytes), 1, 2, 3, 4, 5, 6, 8, 12, 16, 20, 32) {
  constexpr std::size_t num_words = (Bytes + 3) / 4;
  alignas(16) std::array<std::byte, 48> memory;
  memory.fill(std::byte{0xFF});
  std::byte* const from = memory.data() + folio::code_alignment(Bytes) % 16;  // no better aligned than promised
  std::array<std::uint32_t, num_words> expected{};
  for (int i = 0; i < Bytes; ++i) {
    from[i] = static_cast<std::byte>(7 * i + 1);
    expected[static_cast<std::size_t>(i / 4)] |= static_cast<std::uint32_t>(7 * i + 1) << (i % 4 * 8);
  }
  auto const words = folio::load_words<Bytes>(from);
  STATIC_REQUIRE(sizeof(words) == 4 * num_words);
  CHECK(std::memcmp(words.v, expected.data(), sizeof(words)) == 0);
}
