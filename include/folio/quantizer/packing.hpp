// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Integers of 2 to 8 bits in bytes: a row of them is one string of bits, the first integer in the lowest bits of the
// first byte, and none between two integers. So 8 integers of 3 bits fill 3 bytes, and the third one lies in two of
// them. Host and device. The loops have constant lengths and vectorize; kernels unpack by unpack.hpp.

#include <cstdint>
#include <folio/quantizer/quantizer.hpp>
#include <type_traits>

namespace folio {

namespace detail {

/// The integers of one byte, a byte for each: 8 / Bits bytes.
template <int Bits>
using SpreadByte = std::conditional_t<Bits == 4, std::uint16_t, std::uint32_t>;

/// The lowest `bits` bits of each of `count` equal parts of 64.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint64_t low_bits(int bits, int count) {
  std::uint64_t mask = 0;
  for (int i = 0; i < count; ++i) mask |= ((std::uint64_t{1} << bits) - 1U) << (i * 64 / count);
  return mask;
}

/// Eight bytes below 2^Bits as one string of 8 * Bits bits: first pairs move together, then fours, then all.
template <int Bits>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint64_t together(std::uint64_t x) {
  x = (x & low_bits(Bits, 4)) | (x >> (8 - Bits) & low_bits(Bits, 4) << Bits);
  x = (x & low_bits(2 * Bits, 2)) | (x >> (16 - 2 * Bits) & low_bits(2 * Bits, 2) << 2 * Bits);
  return (x & low_bits(4 * Bits, 1)) | (x >> (32 - 4 * Bits) & low_bits(4 * Bits, 1) << 4 * Bits);
}
/// And apart again, the other way round.
template <int Bits>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint64_t apart(std::uint64_t x) {
  x = (x & low_bits(4 * Bits, 1)) | (x & low_bits(4 * Bits, 1) << 4 * Bits) << (32 - 4 * Bits);
  x = (x & low_bits(2 * Bits, 2)) | (x & low_bits(2 * Bits, 2) << 2 * Bits) << (16 - 2 * Bits);
  return (x & low_bits(Bits, 4)) | (x & low_bits(Bits, 4) << Bits) << (8 - Bits);
}

}  // namespace detail

/// N integers below 2^Bits, packed.
template <int Bits, int N>
[[nodiscard]] FOLIO_HOST_DEVICE Pack<std::uint8_t, N * Bits / 8> pack_bits(Pack<std::uint8_t, N> const& integers) {
  static_assert(Bits >= 2 && Bits <= 8 && N * Bits % 8 == 0, "folio: integers of 2 to 8 bits fill whole bytes");
  Pack<std::uint8_t, N * Bits / 8> bytes{};
  if constexpr (Bits == 8) {
    return integers;
  } else if constexpr (8 % Bits == 0) {
    using Spread = Pack<detail::SpreadByte<Bits>, N * Bits / 8>;
    auto const spread = __builtin_bit_cast(Spread, integers);
    for (int i = 0; i < N * Bits / 8; ++i) {
      std::uint32_t const s = spread[i];  // a shift by 8 - Bits puts each integer after the one before
      bytes[i] = static_cast<std::uint8_t>(Bits == 4 ? s | s >> 4 : s | s >> 6 | s >> 12 | s >> 18);
    }
  } else {
    constexpr int words = (N + 7) / 8;
    constexpr std::size_t few = N < 8 ? N : 8;
    Pack<std::uint64_t, words> eights{};
    std::memcpy(eights.v, integers.v, std::size_t{N});
    for (int i = 0; i < words; ++i) eights[i] = detail::together<Bits>(eights[i]);
    for (int i = 0; i < words; ++i) std::memcpy(bytes.v + i * Bits, eights.v + i, few * Bits / 8);
  }
  return bytes;
}

/// N packed integers, a byte for each.
template <int Bits, int N>
[[nodiscard]] FOLIO_HOST_DEVICE Pack<std::uint8_t, N> unpack_bits(Pack<std::uint8_t, N * Bits / 8> const& bytes) {
  static_assert(Bits >= 2 && Bits <= 8 && N * Bits % 8 == 0, "folio: integers of 2 to 8 bits fill whole bytes");
  using Integers = Pack<std::uint8_t, N>;
  if constexpr (Bits == 8) {
    return bytes;
  } else if constexpr (8 % Bits == 0) {
    using Spread = Pack<detail::SpreadByte<Bits>, N * Bits / 8>;
    Spread spread;
    for (int i = 0; i < N * Bits / 8; ++i) {
      std::uint32_t const b = bytes[i];
      std::uint32_t const apart = Bits == 4 ? b | b << 4 : b | b << 6 | b << 12 | b << 18;
      spread[i] = static_cast<detail::SpreadByte<Bits>>(apart & (Bits == 4 ? 0x0F0FU : 0x03030303U));
    }
    return __builtin_bit_cast(Integers, spread);
  } else {
    constexpr int words = (N + 7) / 8;
    constexpr std::size_t few = N < 8 ? N : 8;
    Pack<std::uint64_t, words> eights{};
    for (int i = 0; i < words; ++i) std::memcpy(eights.v + i, bytes.v + i * Bits, few * Bits / 8);
    for (int i = 0; i < words; ++i) eights[i] = detail::apart<Bits>(eights[i]);
    Integers integers;
    std::memcpy(integers.v, eights.v, std::size_t{N});
    return integers;
  }
}

}  // namespace folio
