// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/quantizer/packing.hpp>

#include "support/catch.hpp"

namespace {

/// Every byte there is, 32 integers at a time: as its integers, and packed again.
template <int Bits>
void check_all_bytes() {
  constexpr int num_bytes = 32 * Bits / 8;
  for (int first = 0; first < 256; first += num_bytes) {
    folio::Pack<std::uint8_t, num_bytes> bytes;
    for (int i = 0; i < num_bytes; ++i) bytes[i] = static_cast<std::uint8_t>(first + i);
    auto const integers = folio::unpack_bits<Bits, 32>(bytes);
    for (int i = 0; i < 32; ++i) {
      int const byte = first + i * Bits / 8;
      REQUIRE(integers[i] == (byte >> i * Bits % 8 & ((1 << Bits) - 1)));
    }
    auto const packed = folio::pack_bits<Bits, 32>(integers);
    for (int i = 0; i < num_bytes; ++i) REQUIRE(packed[i] == bytes[i]);
  }
}

}  // namespace

TEST_CASE("integers of 4 and of 2 bits are packed one behind the other, the first lowest") {
  check_all_bytes<4>();
  check_all_bytes<2>();
  CHECK(folio::pack_bits<4, 2>({{3, 10}})[0] == 0xA3);
  CHECK(folio::pack_bits<2, 4>({{1, 0, 3, 2}})[0] == 0xB1);
}
