// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Short codes as floats, 32 bits of codes at a time: no shuffles, and none of the conversions from integers, which GPUs
// do at a fraction of the rate of additions. All of it is exact, so host and device agree bit by bit. Written for
// kernels: a host decodes faster by its vector conversions.

#include <cstring>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <type_traits>

namespace folio {

/// Reads `Bytes` bytes of codes as words, the first byte lowest, by as few loads as their alignment allows. What the
/// last word has above them is zero.
template <int Bytes>
[[nodiscard]] FOLIO_HOST_DEVICE Pack<std::uint32_t, (Bytes + 3) / 4> load_words(std::byte const* from) {
  if constexpr (Bytes % 4 == 0) {
    return load_codes<std::uint32_t, Bytes / 4>(from);
  } else {
    using Few = std::conditional_t<Bytes % 2 == 0, std::uint16_t, std::uint8_t>;
    constexpr int few = static_cast<int>(sizeof(Few));
    auto const parts = load_codes<Few, Bytes / few>(from);
    Pack<std::uint32_t, (Bytes + 3) / 4> words{};
    for (int i = 0; i < Bytes; i += few) words[i / 4] |= std::uint32_t{parts[i / few]} << (i % 4 * 8);
    return words;
  }
}

namespace detail {

/// (a & b) ^ c: one instruction, which the compiler by itself makes two of where b and c are constants.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint32_t and_xor(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
#if defined(__CUDA_ARCH__)
  if (!__builtin_is_constant_evaluated()) {
    std::uint32_t result;
    asm("lop3.b32 %0, %1, %2, %3, 0x6a;" : "=r"(result) : "r"(a), "r"(b), "r"(c));
    return result;
  }
#endif
  return (a & b) ^ c;
}

/// Code `i` of the 32 / Bits codes of a word, with the bits of `turned` turned over. The code is put into the mantissa
/// of the power of two whose mantissa counts ones at the code's place, and the power is taken off.
template <int Bits>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float code_to_f32(std::uint32_t word, int i, std::uint32_t turned) {
  int const at = Bits * i % 16;  // a mantissa has 23 bits, so the upper half of the word is moved down first
  std::uint32_t const mask = ((1U << Bits) - 1U) << at;
  std::uint32_t const ones = static_cast<std::uint32_t>(150 - at) << 23 | turned << at;
  return to_float(and_xor(Bits * i < 16 ? word : word >> 16, mask, ones)) - to_float(ones);
}

}  // namespace detail

/// Number `i` of the 4 signed bytes of a word. Two instructions, and one for each word.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float signed_byte_to_f32(std::uint32_t word, int i) {
  return detail::code_to_f32<8>(word, i, 0x80U);  // unsigned and 128 too large, and so is what is taken off
}

/// Number `i` of the 32 / Bits unsigned integers of a word, the lowest first. Two instructions, and one for each word.
template <int Bits>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float unsigned_to_f32(std::uint32_t word, int i) {
  static_assert(Bits == 2 || Bits == 4 || Bits == 8, "folio: integers of 2, 4 or 8 bits lie in one half of a word");
  return detail::code_to_f32<Bits>(word, i, 0U);
}

/// Number `i` of unsigned integers of any number of bits up to 8, one after the other in words. Where they do not
/// divide a word, one or two instructions more for each.
template <int Bits, int Words>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float unsigned_to_f32(Pack<std::uint32_t, Words> const& words, int i) {
  if constexpr (32 % Bits == 0) {
    return unsigned_to_f32<Bits>(words[i * Bits / 32], i % (32 / Bits));
  } else {
    int const word = i * Bits / 32, at = i * Bits % 32;
    std::uint32_t const above = at + Bits > 32 ? words[word + 1] << (32 - at) : 0U;  // a shift by 32 is none
    return detail::code_to_f32<Bits>(words[word] >> at | above, 0, 0U);
  }
}

/// The four e4m3 numbers of a word: e4m3_to_f32 of each byte. By way of f16, which holds all of them; where there is no
/// instruction for that, the bits are moved into f16's places, which makes every number, subnormal ones too, 256 times
/// too small.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr Pack<float, 4> e4m3x4_to_f32(std::uint32_t word) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
  if (!__builtin_is_constant_evaluated()) {
    std::uint32_t pairs[2] = {};
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pairs[0]) : "h"(static_cast<std::uint16_t>(word)));
    asm("cvt.rn.f16x2.e4m3x2 %0, %1;" : "=r"(pairs[1]) : "h"(static_cast<std::uint16_t>(word >> 16)));
    return {f16_to_f32(static_cast<std::uint16_t>(pairs[0])), f16_to_f32(static_cast<std::uint16_t>(pairs[0] >> 16)),
            f16_to_f32(static_cast<std::uint16_t>(pairs[1])), f16_to_f32(static_cast<std::uint16_t>(pairs[1] >> 16))};
  }
#endif
  auto const pair = [](std::uint32_t magnitude, std::uint32_t sign) {   // two bytes, moved into f16's places
    std::uint32_t const nan = (magnitude + 0x00800080U) & 0x40004000U;  // carried from 0x7F: now the exponent is full
    return (sign & 0x80008000U) | magnitude | nan;
  };
  auto const element = [](std::uint32_t half) { return f16_to_f32(static_cast<std::uint16_t>(half)) * 256.0F; };
  std::uint32_t const even = pair(word << 7 & 0x3F803F80U, word << 8), odd = pair(word >> 1 & 0x3F803F80U, word);
  return {element(even), element(odd), element(even >> 16), element(odd >> 16)};
}

/// The four e5m2 numbers of a word: each is the upper byte of an f16.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr Pack<float, 4> e5m2x4_to_f32(std::uint32_t word) {
  auto const element = [](std::uint32_t half) { return f16_to_f32(static_cast<std::uint16_t>(half & 0xFF00U)); };
  return {element(word << 8), element(word), element(word >> 8), element(word >> 16)};
}

}  // namespace folio
