// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The test of the policy that docs/write_a_policy.md adds.
#include "fp8_e5m2.hpp"

#include <cmath>
#include <folio/folio.hpp>

// [test]
#include "conformance/quantizer_suite.hpp"

TEST_CASE("fp8_e5m2 is a quantizer") {
  folio::test::quantizer_suite<folio::Fp8E5M2>({.relative = 0.126, .absolute = std::ldexp(1.0, -17)});
}

TEST_CASE("fp8_e5m2 keeps powers of two") {
  std::vector<float> row(32), out(32);
  for (int i = 0; i < 32; ++i) row[static_cast<std::size_t>(i)] = std::ldexp(i % 2 == 0 ? 1.0F : -1.0F, i - 16);
  std::byte codes[32];
  folio::Fp8E5M2::encode(row.data(), 32, codes, nullptr);
  folio::decode_row<folio::Fp8E5M2>(codes, nullptr, 32, out.data());
  REQUIRE(out == row);
}
// [/test]

TEST_CASE("a cache takes fp8_e5m2 as any other quantizer") {
  // [use]
  using Cache = folio::KvCache<folio::Model<folio::models::qwen3_8b>, folio::Fp8E5M2>;
  // [/use]
  Cache const cache(folio::CacheConfig{.num_blocks = {2}});
  REQUIRE(cache.bytes_per_token() == 36 * 2 * 8 * 128);  // layers, planes, heads, elements of a byte
}
