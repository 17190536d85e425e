// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using folio::BatchItem;
using folio::ModelConfig;
using folio::Sequence;
using folio::test::contains;
using folio::test::random_floats;

namespace {

constexpr ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 40, .value_head_dim = 24};
constexpr ModelConfig latent_model{.layers = 2, .kv_heads = 1, .groups = {folio::latent(32, 8)}};

template <class Q, class L = folio::LayoutHnd>
using CacheOf = folio::KvCache<folio::Model<model>, folio::BlockSize<4>, Q, L>;

constexpr float const* no_rows = nullptr;

/// A row stored alone and read back in the model's basis.
template <class Q>
std::vector<float> through(float const* row, std::int32_t dim) {
  alignas(16) std::byte codes[1024] = {}, params[64] = {};
  std::vector<float> out(static_cast<std::size_t>(dim));
  Q::encode(row, dim, codes, params);
  folio::decode_row<Q>(codes, params, dim, out.data());
  if (Q::basis == folio::Basis::hadamard) folio::hadamard_rotate(out.data(), dim);
  return out;
}

/// All bytes of a cache.
template <class Cache>
std::vector<std::byte> bytes_of(Cache const& cache) {
  return {cache.pool(), cache.pool() + (cache.num_blocks() + 1) * cache.block_bytes()};
}

}  // namespace

TEMPLATE_TEST_CASE("what is appended is gathered, row by row, as its format stores it", "", folio::F32, folio::F16,
                   folio::BF16, folio::Fp8E4M3, folio::Int8PerToken, folio::Int4Rotated, folio::test::GroupedInt8) {
  CacheOf<TestType> cache({.num_blocks = {16}});
  folio::test::poison(cache);
  Sequence a = cache.create(6), b = cache.create(3);
  auto const batch = cache.batch({&b, &a});
  for (std::int32_t layer = 0; layer < 2; ++layer) {
    auto const seed = static_cast<std::uint32_t>(layer);
    auto const keys = random_floats(9 * 2 * 40, seed, 5), values = random_floats(9 * 2 * 24, seed + 10, 5);
    folio::ops::append(batch.view(), layer, keys.data(), values.data());
    std::vector<float> found_keys(9 * 2 * 40), found_values(9 * 2 * 24);
    folio::ops::gather(batch.view(), layer, {0, 0, 3}, found_keys.data(), found_values.data());
    folio::ops::gather(batch.view(), layer, {1, 0, 6}, found_keys.data() + 3 * 2 * 40,
                       found_values.data() + 3 * 2 * 24);
    for (std::size_t row = 0; row < 9 * 2; ++row) {
      CAPTURE(layer, row);
      auto const key = through<TestType>(keys.data() + row * 40, 40);
      auto const value = through<TestType>(values.data() + row * 24, 24);
      REQUIRE(std::memcmp(key.data(), found_keys.data() + row * 40, 40 * sizeof(float)) == 0);
      REQUIRE(std::memcmp(value.data(), found_values.data() + row * 24, 24 * sizeof(float)) == 0);
    }
  }
}

TEST_CASE("only the batch's query tokens are written") {
  CacheOf<folio::F32> cache({.num_blocks = {16}});
  Sequence const a = cache.create(6);
  auto const all = cache.batch({&a});
  auto const keys = random_floats(6 * 2 * 40, 1), values = random_floats(6 * 2 * 24, 2);
  folio::ops::append(all.view(), 0, keys.data(), values.data());
  auto const last_two = cache.batch({{&a, 2}});
  auto const new_keys = random_floats(2 * 2 * 40, 3), new_values = random_floats(2 * 2 * 24, 4);
  folio::ops::append(last_two.view(), 0, new_keys.data(), new_values.data());
  std::vector<float> found_keys(6 * 2 * 40), found_values(6 * 2 * 24);
  folio::ops::gather(all.view(), 0, {0, 0, 6}, found_keys.data(), found_values.data());
  CHECK(std::equal(keys.begin(), keys.begin() + 4 * 2 * 40, found_keys.begin()));
  CHECK(std::equal(new_keys.begin(), new_keys.end(), found_keys.begin() + 4 * 2 * 40));
  CHECK(std::equal(values.begin(), values.begin() + 4 * 2 * 24, found_values.begin()));
  CHECK(std::equal(new_values.begin(), new_values.end(), found_values.begin() + 4 * 2 * 24));
}

TEST_CASE("tokens whose slot is -1 are skipped, wherever they are") {
  using Cache = CacheOf<folio::Int8PerToken>;
  Cache cache({.num_blocks = {16}});
  Sequence const a = cache.create(5);
  auto const batch = cache.batch({&a});
  auto const view = batch.view();
  auto const keys = random_floats(5 * 2 * 40, 1), values = random_floats(5 * 2 * 24, 2);
  std::vector<std::int64_t> slots(batch.slots().begin(), batch.slots().end());
  slots[0] = slots[3] = -1;
  folio::GroupTable group[] = {view.group(0)};
  group[0].slots = slots.data();
  Cache::View const with_holes(group, batch.lengths().data(), batch.query_starts().data(), 1, 5);
  auto const before = bytes_of(cache);
  std::memset(cache.pool() + cache.block_bytes(), 0x11, static_cast<std::size_t>(16 * cache.block_bytes()));
  folio::ops::append(with_holes, 1, keys.data(), values.data());
  auto const sequence = view.sequence(0, 1);
  for (std::int32_t token = 0; token < 5; ++token)
    CHECK((*sequence.key(1, token).codes() == std::byte{0x11} && *sequence.key(1, token).codes(1) == std::byte{0x11}) ==
          (token == 0 || token == 3));
  CHECK(std::memcmp(before.data(), cache.pool(), static_cast<std::size_t>(cache.block_bytes())) ==
        0);  // the null block
}

TEST_CASE("padding of a batch is not written") {
  CacheOf<folio::F32> cache({.num_blocks = {16}});
  Sequence const a = cache.create(2);
  BatchItem const items[] = {&a};
  auto const batch = cache.batch(items, {.num_sequences = 3, .num_query_tokens = 7});
  auto const keys = random_floats(7 * 2 * 40, 1), values = random_floats(7 * 2 * 24, 2);
  folio::test::poison(cache);
  auto before = bytes_of(cache);
  folio::ops::append(batch.view(), 1, keys.data(), values.data());
  auto const block = static_cast<std::size_t>(cache.block_bytes());
  CHECK(std::memcmp(before.data(), cache.pool(), block) == 0);
  CHECK(std::memcmp(before.data() + 2 * block, cache.pool() + 2 * block, 15 * block) == 0);
  CHECK(std::memcmp(before.data() + block, cache.pool() + block, block) != 0);
}

TEST_CASE("a latent layer takes keys and no values") {
  folio::KvCache<folio::Model<latent_model>, folio::BlockSize<4>, folio::F32> cache({.num_blocks = {4}});
  Sequence const a = cache.create(5);
  auto const batch = cache.batch({&a});
  auto const keys = random_floats(5 * 40, 1);
  folio::ops::append(batch.view(), 1, keys.data(), nullptr);
  std::vector<float> found_keys(5 * 40), found_values(5 * 32);
  folio::ops::gather(batch.view(), 1, {0, 0, 5}, found_keys.data(), found_values.data());
  CHECK(found_keys == keys);
  for (std::size_t t = 0; t < 5; ++t)
    CHECK(std::equal(found_values.begin() + static_cast<std::ptrdiff_t>(t * 32),
                     found_values.begin() + static_cast<std::ptrdiff_t>(t * 32 + 32),
                     keys.begin() + static_cast<std::ptrdiff_t>(t * 40)));
}

namespace {

/// Rows of activations that are further apart than they are long give the bytes of the floats that they are.
template <class Cache, class T>
void check_strides() {
  Cache cache({.num_blocks = {8}});
  Sequence const a = cache.create(7);
  auto const batch = cache.batch({&a});
  std::int64_t const key_stride = 2 * 40 + 2 * 24, value_stride = 53;
  std::vector<T> keys(7 * 128), values(7 * 53);
  std::vector<float> float_keys, float_values;
  auto const fill = [](std::vector<T>& rows, std::int64_t stride, std::int64_t row, std::vector<float>& floats) {
    auto const given = random_floats(static_cast<std::int64_t>(rows.size()), 9, 3.0F);
    folio::ops::store_activations(given.data(), static_cast<std::int32_t>(given.size()), rows.data());
    for (std::int64_t t = 0; t < 7; ++t) {
      floats.resize(static_cast<std::size_t>((t + 1) * row));
      folio::ops::load_activations(rows.data() + t * stride, static_cast<std::int32_t>(row), floats.data() + t * row);
    }
  };
  fill(keys, key_stride, 2 * 40, float_keys);
  fill(values, value_stride, 2 * 24, float_values);
  std::memset(cache.pool(), 0, static_cast<std::size_t>(cache.memory_bytes()));
  folio::ops::append(batch.view(), 1, float_keys.data(), float_values.data());
  auto const expected = bytes_of(cache);
  std::memset(cache.pool(), 0, static_cast<std::size_t>(cache.memory_bytes()));
  folio::ops::append(batch.view(), 1, keys.data(), values.data(), nullptr, {key_stride, value_stride});
  CHECK(bytes_of(cache) == expected);
}

}  // namespace

TEMPLATE_TEST_CASE("rows of any type and at any distance are written as their floats are", "", float, folio::Half,
                   folio::BFloat16) {
  check_strides<CacheOf<folio::F32>, TestType>();
  check_strides<CacheOf<folio::F16, folio::LayoutInterleaved>, TestType>();
  check_strides<CacheOf<folio::Int4Rotated>, TestType>();
}

TEST_CASE("threads write the same bytes") {
  auto const play = [](folio::ThreadPool* threads) {
    CacheOf<folio::Int4Rotated, folio::LayoutInterleaved> cache({.num_blocks = {32}});
    std::memset(cache.pool(), 0, static_cast<std::size_t>(cache.memory_bytes()));
    Sequence const a = cache.create(33), b = cache.create(40);
    auto const batch = cache.batch({&a, &b});
    auto const keys = random_floats(73 * 2 * 40, 1), values = random_floats(73 * 2 * 24, 2);
    folio::ops::append(batch.view(), 0, keys.data(), values.data(), threads);
    return bytes_of(cache);
  };
  folio::ThreadPool three(3);
  CHECK(play(&three) == play(nullptr));
}

TEST_CASE("what is missing is refused before anything is written") {
  CacheOf<folio::F32> cache({.num_blocks = {4}});
  folio::KvCache<folio::Model<latent_model>, folio::F32> latents({.num_blocks = {4}});
  Sequence const a = cache.create(2), b = latents.create(2);
  auto const batch = cache.batch({&a});
  auto const latent_batch = latents.batch({&b});
  std::vector<float> const rows(2 * 2 * 40);
  folio::test::poison(cache);
  auto const before = bytes_of(cache);
  auto const view = batch.view();
  REQUIRE_THROWS_AS(folio::ops::append(view, 0, no_rows, rows.data()), folio::Error);
  REQUIRE_THROWS_WITH(folio::ops::append(view, 0, no_rows, rows.data()), contains("append needs keys"));
  REQUIRE_THROWS_WITH(folio::ops::append(view, 0, rows.data(), nullptr), contains("append needs keys, and values"));
  REQUIRE_THROWS_WITH(folio::ops::append(latent_batch.view(), 0, no_rows, nullptr), contains("append needs keys"));
  REQUIRE_THROWS_WITH(folio::ops::append(view, 0, rows.data(), rows.data(), {}, {79, 0}),
                      contains("the rows of keys have 80 elements, so they cannot begin 79 apart"));
  REQUIRE_THROWS_WITH(folio::ops::append(view, 0, rows.data(), rows.data(), {}, {0, 47}),
                      contains("the rows of values have 48"));
  REQUIRE_THROWS_WITH(folio::ops::append(view, 2, rows.data(), rows.data()),
                      contains("folio: the model has no layer 2"));
  REQUIRE_THROWS_WITH(folio::ops::append(view, -1, rows.data(), rows.data()),
                      contains("folio: the model has no layer -1"));
  CHECK(bytes_of(cache) == before);
}

TEST_CASE("a batch without query tokens needs no rows") {
  CacheOf<folio::F32> cache({.num_blocks = {4}});
  Sequence const a = cache.create(2);
  auto const batch = cache.batch({{&a, 0}});
  CHECK_NOTHROW(folio::ops::append(batch.view(), 0, no_rows, nullptr));
}
