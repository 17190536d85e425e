// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/quantizer/packing.hpp>

#include "support/catch.hpp"

namespace {

/// Bit `at` of bytes, the lowest of the first byte first.
template <int N>
int bit(folio::Pack<std::uint8_t, N> const& bytes, int at) {
  return bytes[at / 8] >> (at % 8) & 1;
}

/// Strings of bits of every kind, N integers at a time: as integers, and packed again.
template <int Bits, int N>
void check_packing() {
  constexpr int num_bytes = N * Bits / 8;
  for (int first = 0; first < 1000; ++first) {
    folio::Pack<std::uint8_t, num_bytes> bytes;
    for (int i = 0; i < num_bytes; ++i) bytes[i] = static_cast<std::uint8_t>((first + i) * 89 + first / 7);
    auto const integers = folio::unpack_bits<Bits, N>(bytes);
    for (int i = 0; i < N; ++i) {
      int expected = 0;
      for (int b = 0; b < Bits; ++b) expected |= bit(bytes, i * Bits + b) << b;
      REQUIRE(integers[i] == expected);
    }
    auto const packed = folio::pack_bits<Bits, N>(integers);
    for (int i = 0; i < num_bytes; ++i) REQUIRE(packed[i] == bytes[i]);
  }
}

}  // namespace

TEMPLATE_TEST_CASE_SIG("integers are packed one after the other, the first lowest", "", ((int Bits), Bits), 2, 3, 4, 5,
                       6, 7, 8) {
  check_packing<Bits, 32>();
  check_packing<Bits, 8>();
  check_packing<Bits, 24>();
  if constexpr (Bits % 2 == 0) check_packing<Bits, 4>();
}

TEST_CASE("integers are packed: known values") {
  CHECK(folio::pack_bits<4, 2>({{3, 10}})[0] == 0xA3);
  CHECK(folio::pack_bits<2, 4>({{1, 0, 3, 2}})[0] == 0xB1);
  CHECK(folio::pack_bits<6, 4>({{1, 2, 3, 63}})[2] == 0xFC);
}
