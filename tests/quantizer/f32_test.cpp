// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <folio/quantizer/f32.hpp>

#include "conformance/quantizer_suite.hpp"

using folio::F32;

TEST_CASE("F32 is a quantizer") { folio::test::quantizer_suite<F32>({}); }

TEST_CASE("F32 keeps every bit") {
  CHECK(folio::bits_per_element<F32>(128) == 32);
  CHECK(F32::param_bytes(128) == 0);
  std::uint32_t const patterns[8] = {0x80000000U, 0x7F800001U, 0xFFC12345U, 0x00000001U,
                                     0x7F800000U, 0xFF800000U, 0x7F7FFFFFU, 0x3F800000U};
  float row[8], out[8];
  std::memcpy(row, patterns, sizeof(row));
  alignas(16) std::byte codes[32];
  F32::encode(row, 8, codes, nullptr);
  CHECK(std::memcmp(codes, patterns, sizeof(codes)) == 0);
  F32::decode<8>(codes, F32::load_params(nullptr, 0), out);
  CHECK(std::memcmp(out, patterns, sizeof(out)) == 0);
}
