// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"

using folio::ModelConfig;
using folio::Sequence;
using folio::test::contains;
using folio::test::random_floats;

namespace {

constexpr ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 16, .value_head_dim = 8};
using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<4>, folio::F32>;

constexpr ModelConfig windowed{.layers = 1, .kv_heads = 1, .head_dim = 8, .groups = {folio::sliding_window(5, 1)}};
using WindowCache = folio::KvCache<folio::Model<windowed>, folio::BlockSize<2>, folio::F32>;

}  // namespace

TEST_CASE("any range of tokens can be gathered, across blocks") {
  Cache cache({.num_blocks = {16}});
  Sequence const a = cache.create(11);
  auto const batch = cache.batch({&a});
  auto const keys = random_floats(11 * 2 * 16, 1), values = random_floats(11 * 2 * 8, 2);
  folio::ops::append(batch.view(), 1, keys.data(), values.data());
  for (std::int32_t first = 0; first <= 11; ++first)
    for (std::int32_t n = 0; n <= 11 - first; ++n) {
      CAPTURE(first, n);
      std::vector<float> found_keys(static_cast<std::size_t>(n) * 32 + 1, -7.0F);
      std::vector<float> found_values(static_cast<std::size_t>(n) * 16 + 1, -7.0F);
      folio::ops::gather(batch.view(), 1, {0, first, n}, found_keys.data(), found_values.data());
      REQUIRE(std::equal(found_keys.begin(), found_keys.end() - 1, keys.begin() + first * 32));
      REQUIRE(std::equal(found_values.begin(), found_values.end() - 1, values.begin() + first * 16));
      REQUIRE(found_keys.back() == -7.0F);
      REQUIRE(found_values.back() == -7.0F);
    }
}

TEST_CASE("keys or values may be left out") {
  Cache cache({.num_blocks = {16}});
  Sequence const a = cache.create(5);
  auto const batch = cache.batch({&a});
  auto const keys = random_floats(5 * 2 * 16, 1), values = random_floats(5 * 2 * 8, 2);
  folio::ops::append(batch.view(), 0, keys.data(), values.data());
  std::vector<float> found_keys(keys.size()), found_values(values.size());
  folio::ops::gather(batch.view(), 0, {0, 0, 5}, found_keys.data(), nullptr);
  folio::ops::gather(batch.view(), 0, {0, 0, 5}, nullptr, found_values.data());
  folio::ops::gather(batch.view(), 0, {0, 0, 5}, nullptr, nullptr);
  CHECK(found_keys == keys);
  CHECK(found_values == values);
}

TEST_CASE("threads gather the same") {
  Cache cache({.num_blocks = {64}});
  Sequence const a = cache.create(200);
  auto const batch = cache.batch({&a});
  auto const keys = random_floats(200 * 2 * 16, 1), values = random_floats(200 * 2 * 8, 2);
  folio::ThreadPool threads(3);
  folio::ops::append(batch.view(), 0, keys.data(), values.data(), &threads);
  std::vector<float> found_keys(keys.size()), found_values(values.size());
  folio::ops::gather(batch.view(), 0, {0, 0, 200}, found_keys.data(), found_values.data(), &threads);
  CHECK(found_keys == keys);
  CHECK(found_values == values);
}

TEST_CASE("ranges of many sequences are gathered one after the other") {
  using folio::Tokens;
  Cache cache({.num_blocks = {64}});
  Sequence const a = cache.create(70), empty = cache.create(0), b = cache.create(37);
  auto const batch = cache.batch({&a, &empty, &b});
  auto const keys = random_floats(107 * 2 * 16, 1), values = random_floats(107 * 2 * 8, 2);
  folio::ops::append(batch.view(), 1, keys.data(), values.data());
  std::vector<Tokens> const ranges = {{2, 3, 34}, {0, 0, 70}, {1, 0, 0},  {0, 15, 1},
                                      {0, 69, 1}, {2, 36, 1}, {2, 0, 18}, {0, 5, 0}};
  std::vector<float> all_keys, all_values;
  for (Tokens const& range : ranges) {
    std::int64_t const first = (range.sequence == 2 ? 70 : 0) + range.first;
    all_keys.insert(all_keys.end(), keys.begin() + first * 32, keys.begin() + (first + range.count) * 32);
    all_values.insert(all_values.end(), values.begin() + first * 16, values.begin() + (first + range.count) * 16);
  }
  for (int const num_threads : {1, 3}) {
    folio::ThreadPool threads(num_threads);
    std::vector<float> found_keys(all_keys.size() + 1, -7.0F), found_values(all_values.size() + 1, -7.0F);
    folio::ops::gather(batch.view(), 1, ranges, found_keys.data(), found_values.data(), &threads);
    CHECK(found_keys.back() == -7.0F);
    CHECK(found_values.back() == -7.0F);
    found_keys.pop_back();
    found_values.pop_back();
    CHECK(found_keys == all_keys);
    CHECK(found_values == all_values);
  }
  std::vector<float> untouched(all_keys.size(), 7.0F);
  auto bad = ranges;
  bad.push_back({2, 30, 8});
  REQUIRE_THROWS_WITH(folio::ops::gather(batch.view(), 1, bad, untouched.data(), nullptr),
                      contains("stores 37 tokens, so not the 8 from 30 on"));
  bad.back() = {3, 0, 0};
  REQUIRE_THROWS_WITH(folio::ops::gather(batch.view(), 1, bad, untouched.data(), nullptr), contains("no sequence 3"));
  CHECK(untouched == std::vector<float>(all_keys.size(), 7.0F));
}

TEST_CASE("what does not exist is refused before anything is written") {
  Cache cache({.num_blocks = {16}});
  Sequence const a = cache.create(5);
  auto const batch = cache.batch({&a});
  std::vector<float> keys(320, 7.0F), values(320, 7.0F);
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  auto const ask = [&](std::int32_t i, std::int32_t layer, std::int32_t first, std::int32_t n) {
    folio::ops::gather(batch.view(), layer, {i, first, n}, keys.data(), values.data());
  };
  REQUIRE_THROWS_AS(ask(1, 0, 0, 1), folio::Error);
  REQUIRE_THROWS_WITH(ask(1, 0, 0, 1), contains("the batch has 1 sequences, so no sequence 1"));
  REQUIRE_THROWS_WITH(ask(-1, 0, 0, 1), contains("no sequence -1"));
  REQUIRE_THROWS_WITH(ask(0, 2, 0, 1), contains("folio: the model has no layer 2"));
  REQUIRE_THROWS_WITH(ask(0, -1, 0, 1), contains("folio: the model has no layer -1"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, 6), contains("stores 5 tokens, so not the 6 from 0 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 5, 1), contains("stores 5 tokens, so not the 1 from 5 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, -1, 2), contains("stores 5 tokens, so not the 2 from -1 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 0, -1), contains("stores 5 tokens, so not the -1 from 0 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, most, most), contains("stores 5 tokens, so not the 2147483647 from 2147483647 on"));
  REQUIRE_THROWS_WITH(ask(0, 0, 1, most), contains("stores 5 tokens, so not the 2147483647 from 1 on"));
  CHECK(keys == std::vector<float>(320, 7.0F));
  CHECK(values == std::vector<float>(320, 7.0F));
}

TEST_CASE("tokens are numbered among those that are stored, where some were taken out") {
  Cache cache({.num_blocks = {16}});
  Sequence a = cache.create(23);
  auto const keys = random_floats(23 * 2 * 16, 1), values = random_floats(23 * 2 * 8, 2);
  folio::ops::append(cache.batch({&a}).view(), 1, keys.data(), values.data());
  a.cut(4, 8);
  auto const batch = cache.batch({{&a, 1}});
  std::vector<float> found(4 * 32);
  folio::ops::gather(batch.view(), 1, {0, 2, 4}, found.data(), nullptr);
  CHECK(std::equal(found.begin(), found.begin() + 64, keys.begin() + 2 * 32));
  CHECK(std::equal(found.begin() + 64, found.end(), keys.begin() + 12 * 32));
  REQUIRE_THROWS_WITH(folio::ops::gather(batch.view(), 1, {0, 15, 1}, found.data(), nullptr),
                      contains("folio: in this layer the sequence stores 15 tokens, so not the 1 from 15 on"));
}

TEST_CASE("tokens that a window gave back are refused by number, the sinks and the rest can be had") {
  WindowCache cache({.num_blocks = {16}});
  folio::test::ModelSequence story(cache);
  for (int i = 0; i < 14; ++i) story.extend(1);
  auto const batch = cache.batch({&story.sequence()});
  std::vector<float> keys(14 * 8, 7.0F);
  REQUIRE_THROWS_WITH(folio::ops::gather(batch.view(), 0, {0, 0, 14}, keys.data(), nullptr),
                      contains("token 2 was given back when it left the layer's window"));
  CHECK(keys == std::vector<float>(14 * 8, 7.0F));
  CHECK_NOTHROW(folio::ops::gather(batch.view(), 0, {0, 0, 2}, keys.data(), nullptr));
  CHECK_NOTHROW(folio::ops::gather(batch.view(), 0, {0, 8, 6}, keys.data(), nullptr));
  REQUIRE_THROWS_AS(folio::ops::gather(batch.view(), 0, {0, 7, 6}, keys.data(), nullptr), folio::Error);
}

TEST_CASE("a rotated format is gathered in the model's basis") {
  folio::KvCache<folio::Model<model>, folio::BlockSize<4>, folio::Int4Rotated> cache({.num_blocks = {4}});
  Sequence const a = cache.create(1);
  auto const batch = cache.batch({&a});
  std::vector<float> keys(32, 0.25F), values(16, -0.5F);
  keys[3] = 40.0F;
  folio::ops::append(batch.view(), 0, keys.data(), values.data());
  std::vector<float> found_keys(32), found_values(16);
  folio::ops::gather(batch.view(), 0, {0, 0, 1}, found_keys.data(), found_values.data());
  auto const expected = [](std::vector<float> const& rows, std::int32_t dim) {  // what the format makes of each row
    std::vector<float> all;
    for (std::size_t at = 0; at < rows.size(); at += static_cast<std::size_t>(dim)) {
      alignas(16) std::byte codes[64], params[16];
      std::vector<float> row(static_cast<std::size_t>(dim));
      folio::Int4Rotated::encode(rows.data() + at, dim, codes, params);
      folio::decode_row<folio::Int4Rotated>(codes, params, dim, row.data());
      folio::change_basis(folio::Int4Rotated::basis, row.data(), dim, dim);
      all.insert(all.end(), row.begin(), row.end());
    }
    return all;
  };
  CHECK(found_keys == expected(keys, model.head_dim));
  CHECK(found_values == expected(values, model.value_head_dim));
  CHECK(found_keys[3] == Approx(40.0).margin(1.0));
  CHECK(found_values[3] == Approx(-0.5).margin(0.01));
}
