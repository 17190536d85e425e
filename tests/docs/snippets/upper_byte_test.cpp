// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The test of the policy that docs/write_a_policy.md adds.
#include "upper_byte.hpp"

#include <cmath>
#include <folio/folio.hpp>

#include "support/naive_attention.hpp"
#include "support/random.hpp"

// [test]
#include "conformance/quantizer_suite.hpp"

TEST_CASE("upper_byte is a quantizer") {
  folio::test::quantizer_suite<folio::UpperByte>({.relative = 0.126, .absolute = std::ldexp(1.0, -17)});
}

TEST_CASE("upper_byte keeps powers of two") {
  std::vector<float> row(32), out(32);
  for (int i = 0; i < 32; ++i) row[static_cast<std::size_t>(i)] = std::ldexp(i % 2 == 0 ? 1.0F : -1.0F, i - 16);
  std::byte codes[32];
  folio::UpperByte::encode(row.data(), 32, codes, nullptr);
  folio::decode_row<folio::UpperByte>(codes, nullptr, 32, out.data());
  REQUIRE(out == row);
}
// [/test]

TEST_CASE("attend reads rows of upper_byte where they lie") {
  folio::KvCache<folio::Model<folio::ModelConfig{.layers = 1, .kv_heads = 2, .head_dim = 72}>, folio::UpperByte> cache(
      folio::CacheConfig{.num_blocks = {12}});
  folio::Sequence const sequence = cache.create(150);
  auto const rows = folio::test::random_floats(150 * 2 * 72, 1), q = folio::test::random_floats(4 * 72, 2);
  folio::ops::append(cache.batch({&sequence}).view(), 0, rows.data(), rows.data());
  auto const batch = cache.batch({{&sequence, 1}});
  std::vector<float> out(4 * 72), lse(4);
  folio::ops::attend(batch.view(), 0, folio::AttentionIo{q.data(), 4, out.data(), lse.data()});
  REQUIRE(folio::test::difference(folio::test::naive_attention(batch.view(), 0, q.data(), 4, {}), out, lse) == "");
}

/// One thread that holds a whole row of 32.
struct OneLane {
  static int rank() { return 0; }
};
static_assert(folio::CooperativeQuantizer<folio::UpperByte, OneLane>);

TEST_CASE("upper_byte is the same in kernels, and the same in halves") {
  folio::Vec<32> row;
  for (int i = 0; i < 32; ++i) row[i] = std::ldexp(1.3F + 0.1F * static_cast<float>(i), i - 20);
  folio::Pack<std::uint8_t, 32> codes, together;
  folio::UpperByte::encode(row.v, 32, reinterpret_cast<std::byte*>(codes.v), nullptr);
  folio::UpperByte::encode_by(OneLane(), row, together, nullptr);
  folio::Vec<32> floats;
  folio::Pack<folio::Half, 32> halves;
  folio::UpperByte::decode<32>(reinterpret_cast<std::byte const*>(codes.v), {}, floats.v);
  folio::UpperByte::decode<32>(reinterpret_cast<std::byte const*>(codes.v), {}, halves.v);
  for (int i = 0; i < 32; ++i) {
    REQUIRE(together[i] == codes[i]);
    REQUIRE(folio::f16_to_f32(halves[i].bits) == floats[i]);
  }
}

TEST_CASE("a cache takes upper_byte as any other quantizer") {
  // [use]
  using Cache = folio::KvCache<folio::Model<folio::models::qwen3_8b>, folio::UpperByte>;
  // [/use]
  Cache const cache(folio::CacheConfig{.num_blocks = {2}});
  REQUIRE(cache.bytes_per_token() == 36 * 2 * 8 * 128);  // layers, planes, heads, elements of a byte
}
