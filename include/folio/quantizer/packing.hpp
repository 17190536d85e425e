// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Integers of 2 or 4 bits in bytes: neighbours together, the first in the lowest bits. Host and device. The loops have
// constant lengths and vectorize; kernels unpack by unpack.hpp.

#include <cstdint>
#include <folio/quantizer/quantizer.hpp>
#include <type_traits>

namespace folio {

namespace detail {

/// The integers of one byte, a byte for each: 8 / Bits bytes.
template <int Bits>
using SpreadByte = std::conditional_t<Bits == 4, std::uint16_t, std::uint32_t>;

}  // namespace detail

/// N integers below 2^Bits, packed.
template <int Bits, int N>
[[nodiscard]] FOLIO_HOST_DEVICE Pack<std::uint8_t, N * Bits / 8> pack_bits(Pack<std::uint8_t, N> const& integers) {
  static_assert((Bits == 2 || Bits == 4) && N * Bits % 8 == 0, "folio: integers of 2 or 4 bits fill whole bytes");
  using Spread = Pack<detail::SpreadByte<Bits>, N * Bits / 8>;
  auto const spread = __builtin_bit_cast(Spread, integers);
  Pack<std::uint8_t, N * Bits / 8> bytes;
  for (int i = 0; i < N * Bits / 8; ++i) {
    std::uint32_t const s = spread[i];  // a shift by 8 - Bits puts each integer behind the one before
    std::uint32_t const together = Bits == 4 ? s | s >> 4 : s | s >> 6 | s >> 12 | s >> 18;
    bytes[i] = static_cast<std::uint8_t>(together);
  }
  return bytes;
}

/// N packed integers, a byte for each.
template <int Bits, int N>
[[nodiscard]] FOLIO_HOST_DEVICE Pack<std::uint8_t, N> unpack_bits(Pack<std::uint8_t, N * Bits / 8> const& bytes) {
  static_assert((Bits == 2 || Bits == 4) && N * Bits % 8 == 0, "folio: integers of 2 or 4 bits fill whole bytes");
  using Spread = Pack<detail::SpreadByte<Bits>, N * Bits / 8>;
  Spread spread;
  for (int i = 0; i < N * Bits / 8; ++i) {
    std::uint32_t const b = bytes[i];
    std::uint32_t const apart = Bits == 4 ? b | b << 4 : b | b << 6 | b << 12 | b << 18;
    spread[i] = static_cast<detail::SpreadByte<Bits>>(apart & (Bits == 4 ? 0x0F0FU : 0x03030303U));
  }
  using Integers = Pack<std::uint8_t, N>;
  return __builtin_bit_cast(Integers, spread);
}

}  // namespace folio
