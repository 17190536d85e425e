// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/kv_cache.hpp>
#include <folio/ops/append.hpp>
#include <folio/ops/attend.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/fp8.hpp>
#include <limits>
#include <random>
#include <vector>

#include "conformance/quantizer_suite.hpp"

using folio::Fp8E4M3;
using folio::Fp8E4M3Static;
using folio::Fp8E5M2;
using folio::Fp8E5M2Static;
using folio::test::StoredRow;

namespace {

constexpr std::int32_t num_tokens = 20, kv_heads = 2, num_query_heads = 4, dim = 32;
constexpr folio::ModelConfig two_heads{.layers = 1, .kv_heads = kv_heads, .head_dim = dim};

/// Numbers of three bits, from 0.25 to 7, with signs: fp8 numbers, and eight times as much or an eighth of it as well.
std::vector<float> short_numbers(std::int32_t count, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> numbers;
  for (std::int32_t i = 0; i < count; ++i) {
    float const magnitude =
        std::ldexp(1.0F + 0.25F * static_cast<float>(random() % 4), static_cast<int>(random() % 5) - 2);
    numbers.push_back(random() % 2 == 0 ? magnitude : -magnitude);
  }
  return numbers;
}

/// [..][num_heads][dim] numbers, those of each head times the scale of its kv head, or divided by it.
std::vector<float> scaled(std::vector<float> rows, std::int32_t num_heads, std::vector<float> const& scales,
                          bool divide) {
  for (std::size_t i = 0; i < rows.size(); ++i) {
    std::size_t const head =
        i / dim % static_cast<std::size_t>(num_heads) * kv_heads / static_cast<std::size_t>(num_heads);
    rows[i] = divide ? rows[i] / scales[head] : rows[i] * scales[head];
  }
  return rows;
}

/// What the last token's queries get from a cache in format Q.
template <class Q>
std::vector<float> attended(std::vector<float> const& keys, std::vector<float> const& values,
                            std::vector<float> const& q, float scale) {
  folio::KvCache<folio::Model<two_heads>, folio::BlockSize<16>, Q> cache({.num_blocks = {4}});
  folio::Sequence sequence = cache.create();
  sequence.extend(num_tokens);
  folio::ops::append(cache.batch({&sequence}).view(), 0, keys.data(), values.data());
  std::vector<float> out(std::size_t{num_query_heads} * dim);
  auto const batch = cache.batch({{&sequence, 1}});
  folio::ops::attend(batch.view(), 0, folio::AttentionIo{q.data(), num_query_heads, out.data()}, {.scale = scale});
  return out;
}

}  // namespace

TEMPLATE_TEST_CASE("static fp8: scales per tensor and per head are folded by the caller, and cost nothing", "",
                   Fp8E4M3Static, Fp8E5M2Static) {
  auto const keys = short_numbers(num_tokens * kv_heads * dim, 1),
             values = short_numbers(num_tokens * kv_heads * dim, 2);
  auto const q = short_numbers(num_query_heads * dim, 3);
  constexpr float scale = 0.03125F;
  std::vector<float> const direct = attended<TestType>(keys, values, q, scale);

  // Powers of two lose nothing: the same bits. One scale for all keys goes into that of the scores.
  std::vector<float> const eight(kv_heads, 8.0F), quarter(kv_heads, 0.25F);
  CHECK(scaled(attended<TestType>(scaled(keys, kv_heads, eight, true), scaled(values, kv_heads, quarter, true), q,
                                  8.0F * scale),
               num_query_heads, quarter, false) == direct);

  // One for each kv head goes into the queries and outputs of its query heads.
  std::vector<float> const of_keys{8.0F, 0.5F}, of_values{0.125F, 4.0F};
  CHECK(scaled(attended<TestType>(scaled(keys, kv_heads, of_keys, true), scaled(values, kv_heads, of_values, true),
                                  scaled(q, num_query_heads, of_keys, false), scale),
               num_query_heads, of_values, false) == direct);

  // What scales are for: numbers beyond the format.
  std::vector<float> const huge(kv_heads, 0x1p14F);
  auto const large_keys = scaled(keys, kv_heads, huge, false), large_values = scaled(values, kv_heads, huge, false);
  auto const exact = attended<folio::F32>(large_keys, large_values, q, scale / huge[0]);
  auto const folded = scaled(attended<TestType>(scaled(large_keys, kv_heads, huge, true),
                                                scaled(large_values, kv_heads, huge, true), q, scale),
                             num_query_heads, huge, false);
  auto const saturated = attended<TestType>(large_keys, large_values, q, scale / huge[0]);
  double error = 0, unscaled_error = 0, size = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    error += std::pow(double{folded[i]} - double{exact[i]}, 2);
    unscaled_error += std::pow(double{saturated[i]} - double{exact[i]}, 2);
    size += std::pow(double{exact[i]}, 2);
  }
  CHECK(error < 1e-4 * size);
  CHECK(unscaled_error > 0.1 * size);
}

TEST_CASE("Fp8E4M3 is a quantizer") {
  folio::test::quantizer_suite<Fp8E4M3>({.relative = 0x1p-4 * 1.000001, .of_largest = 0x1p-10 / 448 * 1.000001});
}

TEST_CASE("Fp8E4M3: the row's largest magnitude becomes 448") {
  CHECK(folio::bits_per_element<Fp8E4M3>(128) == 8.25);
  float const row[8] = {-448 * 0.25F, 240 * 0.25F, 0.25F, 0, 17 * 0.25F, 18 * 0.25F, 19 * 0.25F, 0x1p-9F * 0.25F};
  StoredRow<Fp8E4M3> stored(8, 0);
  stored.encode(row);
  CHECK(Fp8E4M3::load_params(stored.params(), 0).scale == 0.25F);
  int const patterns[8] = {0xFE, 0x77, 0x38, 0x00, 0x58, 0x59, 0x5A, 0x01};
  for (int i = 0; i < 8; ++i) CHECK(std::to_integer<int>(stored.codes()[i]) == patterns[i]);
  std::vector<float> const out = stored.decode();
  CHECK((out[0] == row[0] && out[1] == row[1] && out[2] == row[2] && out[3] == 0 && out[5] == row[5]));
  CHECK((out[4] == 4.0F && out[6] == 5.0F));
}

TEST_CASE("Fp8E4M3: every pattern is stored as itself") {
  std::vector<float> row;
  for (int p = 0; p < 256; ++p) row.push_back(0.5F * folio::e4m3_to_f32(static_cast<std::uint8_t>(p)));
  StoredRow<Fp8E4M3> stored(256, 0);
  stored.encode(row.data());
  for (int p = 0; p < 256; ++p) REQUIRE(std::to_integer<int>(stored.codes()[p]) == p);  // the two NaNs too
}

TEST_CASE("Fp8E4M3: zero, tiny and infinite") {
  float const infinity = std::numeric_limits<float>::infinity();
  auto const stored = [](std::vector<float> const& row) {
    StoredRow<Fp8E4M3> one(8, 0);
    one.encode(row.data());
    return one.decode();
  };
  CHECK(stored({0, 0, 0, 0, 0, 0, 0, 0}) == std::vector<float>(8));
  CHECK(stored({5e-36F, 0, 0, 0, 0, 0, 0, -1e-40F}) == std::vector<float>(8));
  CHECK(stored({1e-35F, 0, 0, 0, 0, 0, 0, 0})[0] == Approx(1e-35F).epsilon(1e-6));
  CHECK(stored({infinity, 1, -2, 0, -infinity, 0, 0, 0}) == std::vector<float>{2, 1, -2, 0, -2, 0, 0, 0});
  CHECK(stored({infinity, 0, 0, 0, 0, 0, 0, 0}) == std::vector<float>(8));
}

TEST_CASE("Fp8E5M2 is a quantizer") {
  folio::test::quantizer_suite<Fp8E5M2>({.relative = 0x1p-3 * 1.000001, .of_largest = 0x1p-17 / 57344 * 1.000001});
  CHECK(folio::bits_per_element<Fp8E5M2>(128) == 8.25);
  float const row[8] = {-57344 * 0.5F, 0.5F, 0.625F, 0.5625F, 0.6875F, 0, 0x1p-17F, -0x1p-16F};
  StoredRow<Fp8E5M2> stored(8, 0);
  stored.encode(row);
  CHECK(Fp8E5M2::load_params(stored.params(), 0).scale == 0.5F);
  int const patterns[8] = {0xFB, 0x3C, 0x3D, 0x3C, 0x3E, 0x00, 0x01, 0x82};
  for (int i = 0; i < 8; ++i) CHECK(std::to_integer<int>(stored.codes()[i]) == patterns[i]);
}

TEST_CASE("static fp8 stores elements as they are, and nothing else") {
  CHECK(folio::bits_per_element<Fp8E4M3Static>(128) == 8);
  CHECK(folio::bits_per_element<Fp8E5M2Static>(64) == 8);
  folio::test::quantizer_suite<Fp8E4M3Static>(
      {.relative = 0x1p-4 * 1.000001, .absolute = 0x1p-10 * 1.000001, .saturates_at = 448});
  folio::test::quantizer_suite<Fp8E5M2Static>({.relative = 0x1p-3 * 1.000001, .absolute = 0x1p-17 * 1.000001});
  auto const stored = []<class Q>(Q, std::vector<float> const& row) {
    StoredRow<Q> one(8, 0xFF);
    one.encode(row.data());
    return one.decode();
  };
  float const infinity = std::numeric_limits<float>::infinity();
  CHECK(stored(Fp8E4M3Static(), {1, 448, 449, -infinity, 17, 19, 0x1p-9F, 0x1p-10F}) ==
        std::vector<float>{1, 448, 448, -448, 16, 20, 0x1p-9F, 0});
  CHECK(stored(Fp8E5M2Static(), {1, 57344, 60000, -infinity, 1.125F, 1.375F, 0x3p-17F, 0x1p-17F}) ==
        std::vector<float>{1, 57344, 57344, -57344, 1, 1.5F, 0x1p-15F, 0});
}

TEST_CASE("Fp8E4M3: distortion on normally distributed rows") {
  // 16 times that of Int8PerToken; without the scale it is 7.0e-4.
  CHECK(folio::test::normal_distortion<Fp8E4M3>(128) == Approx(6.6e-4).epsilon(0.05));
}
