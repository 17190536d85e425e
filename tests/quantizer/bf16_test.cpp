// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/quantizer/bf16.hpp>
#include <limits>

#include "conformance/quantizer_suite.hpp"

using folio::BF16;

TEST_CASE("BF16 is a quantizer") { folio::test::quantizer_suite<BF16>({.relative = 0x1p-8, .absolute = 0x1p-134}); }

TEST_CASE("BF16 takes 16 bits and keeps its own numbers") {
  CHECK(folio::bits_per_element<BF16>(128) == 16);
  CHECK(BF16::param_bytes(128) == 0);
  bool same = true;
  for (std::uint32_t first = 0; first < 0x10000; first += 8) {
    float row[8], out[8];
    for (std::uint32_t i = 0; i < 8; ++i) row[i] = folio::bf16_to_f32(static_cast<std::uint16_t>(first + i));
    if (!std::isfinite(row[7])) continue;
    alignas(16) std::byte codes[16];
    BF16::encode(row, 8, codes, nullptr);
    BF16::decode<8>(codes, {}, out);
    same = same && std::memcmp(row, out, sizeof(row)) == 0;
  }
  CHECK(same);
}

TEST_CASE("BF16 saturates what is too large and keeps NaNs") {
  float const infinity = std::numeric_limits<float>::infinity();
  float const row[8] = {
      0x1.FFp127F, -0x1.FFFFFEp127F, 0x1.FEFFp127F, -infinity, infinity, std::numeric_limits<float>::quiet_NaN(), 1.5F,
      -0.0F};
  float out[8];
  alignas(16) std::byte codes[16];
  BF16::encode(row, 8, codes, nullptr);
  BF16::decode<8>(codes, {}, out);
  CHECK(out[0] == 0x1.FEp127F);
  CHECK(out[1] == -0x1.FEp127F);
  CHECK(out[2] == 0x1.FEp127F);
  CHECK(out[3] == -0x1.FEp127F);
  CHECK(out[4] == 0x1.FEp127F);
  CHECK(std::isnan(out[5]));
  CHECK(out[6] == 1.5F);
  CHECK((out[7] == 0 && std::signbit(out[7])));
}
