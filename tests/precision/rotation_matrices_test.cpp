// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/eviction/lru.hpp>
#include <folio/folio.hpp>
#include <folio/locked.hpp>
#include <folio/ops/compact.hpp>
#include <folio/precision/demote.hpp>
// Before the operations that it finds: those of mixed_ops.hpp.
#include <folio/precision/rotated_ops.hpp>
//
#include <folio/precision/mixed_ops.hpp>
#include <folio/thread_pool.hpp>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::contains;
using folio::test::random_floats;

namespace {

constexpr std::int32_t key_dim = 16, value_dim = 24, kv_heads = 2;
constexpr ModelConfig tiny{.layers = 2, .kv_heads = kv_heads, .head_dim = key_dim, .value_head_dim = value_dim};
using Plain = KvCache<Model<tiny>, F32, BlockSize<4>>;
using Demoting = KvCache<Model<tiny>, F32, BlockSize<4>, Demote<Int8PerToken, BlockSize<8>>>;

using Turned = KvCache<Model<tiny>, F32, BlockSize<4>, RotationMatrices>;
using DemotingTurned = KvCache<Model<tiny>, F32, BlockSize<4>, Demote<Int8PerToken, BlockSize<8>>, RotationMatrices>;

/// Orthonormal rows, by Gram and Schmidt.
std::vector<float> orthonormal(std::int32_t heads, std::int32_t dim, std::uint32_t seed) {
  auto const d = static_cast<std::size_t>(dim);
  auto all = random_floats(std::int64_t{heads} * dim * dim, seed);
  for (std::size_t row = 0; row < static_cast<std::size_t>(heads) * d; ++row) {
    std::vector<double> x(all.begin() + static_cast<std::ptrdiff_t>(row * d),
                          all.begin() + static_cast<std::ptrdiff_t>((row + 1) * d));
    for (int twice = 0; twice < 2; ++twice)
      for (std::size_t other = row / d * d; other < row; ++other) {
        double dot = 0;
        for (std::size_t i = 0; i < d; ++i) dot += x[i] * double{all[other * d + i]};
        for (std::size_t i = 0; i < d; ++i) x[i] -= dot * double{all[other * d + i]};
      }
    double length = 0;
    for (double const e : x) length += e * e;
    for (std::size_t i = 0; i < d; ++i) all[row * d + i] = static_cast<float>(x[i] / std::sqrt(length));
  }
  return all;
}

RotationMatrices some_matrices() {
  return RotationMatrices({{kv_heads, key_dim, value_dim, orthonormal(2, key_dim, 1), orthonormal(2, value_dim, 2)},
                           {kv_heads, key_dim, value_dim, orthonormal(2, key_dim, 3), {}}});
}

double largest_difference(std::vector<float> const& a, std::vector<float> const& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::fabs(double{a[i]} - double{b[i]}));
  return largest;
}

struct Rows {
  std::vector<float> keys, values, q;
};
Rows rows_of(std::int32_t layer, std::int32_t tokens, std::int32_t query_heads) {
  auto const seed = static_cast<std::uint32_t>(100 + layer * 10 + tokens);
  return {random_floats(tokens * kv_heads * key_dim, seed), random_floats(tokens * kv_heads * value_dim, seed + 1),
          random_floats(tokens * query_heads * key_dim, seed + 2)};
}

/// The same steps in a cache and in one with matrices: contents and attention are alike.
template <class Cache, class Turned>
void check_alike(Cache plain, Turned turned, double tolerance) {
  constexpr std::int32_t query_heads = 6;
  ThreadPool threads(2);
  auto a = plain.create();
  auto b = turned.create();
  std::int32_t length = 0;
  for (std::int32_t const n : {21, 1, 3}) {
    a.extend(n);
    b.extend(n);
    length += n;
    auto const batch_a = plain.batch({{&a}});
    auto const batch_b = turned.batch({{&b}}, {.num_query_tokens = 30});
    for (std::int32_t layer = 0; layer < 2; ++layer) {
      CAPTURE(n, layer);
      Rows const rows = rows_of(layer, n, query_heads);
      ops::append(batch_a.view(), layer, rows.keys.data(), rows.values.data());
      auto padded = rows;  // append reads rows of padding, too
      padded.keys.resize(30 * kv_heads * key_dim);
      padded.values.resize(30 * kv_heads * value_dim);
      padded.q.resize(30 * query_heads * key_dim);
      ops::append(batch_b.view(), layer, padded.keys.data(), padded.values.data(), &threads);
      std::vector<float> out_a(static_cast<std::size_t>(n * query_heads * value_dim)), lse_a(out_a.size() / value_dim);
      std::vector<float> out_b(30 * query_heads * value_dim, 7.0F), lse_b(30 * query_heads, 7.0F);
      ops::attend(batch_a.view(), layer, AttentionIo{rows.q.data(), query_heads, out_a.data(), lse_a.data()});
      ops::attend(batch_b.view(), layer, AttentionIo{padded.q.data(), query_heads, out_b.data(), lse_b.data()}, {},
                  {.threads = &threads});
      CHECK(out_b.back() == 7.0F);  // padding
      out_b.resize(out_a.size());
      lse_b.resize(lse_a.size());
      std::vector<float> planned(30 * query_heads * value_dim, 7.0F), planned_lse(30 * query_heads, 7.0F);
      auto const plan = ops::plan_attention(batch_b.view(), query_heads, {}, {.threads = &threads});
      ops::attend(plan, layer, AttentionIo{padded.q.data(), query_heads, planned.data(), planned_lse.data()});
      planned.resize(out_a.size());
      planned_lse.resize(lse_a.size());
      CHECK(planned == out_b);
      CHECK(planned_lse == lse_b);
      CHECK(largest_difference(out_a, out_b) < tolerance);
      CHECK(largest_difference(lse_a, lse_b) < tolerance);
      // The step's own tokens in the model's basis, while others are stored. Rows of padding are not there, nor read.
      ops::append(batch_b.view(), layer, padded.q.data(), padded.q.data());
      planned.resize(30 * query_heads * value_dim);
      planned_lse.resize(30 * query_heads);
      AttentionIo own{rows.q.data(), query_heads, planned.data(), planned_lse.data()};
      own.k = rows.keys.data();
      own.v = rows.values.data();
      ops::attend(plan, layer, own);
      planned.resize(out_a.size());
      planned_lse.resize(lse_a.size());
      CHECK(largest_difference(out_a, planned) < tolerance);
      CHECK(largest_difference(lse_a, planned_lse) < tolerance);
      own.q = nullptr;  // refused before anything reads it
      CHECK_THROWS_AS(ops::attend(plan, layer, own), Error);
      ops::append(batch_b.view(), layer, padded.keys.data(), padded.values.data());
      std::vector<float> keys_a(static_cast<std::size_t>(length * kv_heads * key_dim)), keys_b(keys_a);
      std::vector<float> values_a(static_cast<std::size_t>(length * kv_heads * value_dim)), values_b(values_a);
      ops::gather(batch_a.view(), layer, {0, 0, length}, keys_a.data(), values_a.data());
      ops::gather(batch_b.view(), layer, {0, 0, length}, keys_b.data(), values_b.data(), &threads);
      CHECK(largest_difference(keys_a, keys_b) < tolerance);
      CHECK(largest_difference(values_a, values_b) < tolerance);
      std::vector<float> stored(keys_b.size());
      ops::gather(batch_b.view().stored, layer, {0, 0, length}, stored.data(), nullptr);
      CHECK(largest_difference(keys_a, stored) > 0.1);  // they are in another basis there
    }
    if constexpr (requires { plain.demote(a); }) {
      CHECK(plain.demote(a) == turned.demote(b));
      CHECK(b.num_demoted_tokens() > 0);
    }
  }
}

}  // namespace

TEST_CASE("a cache with matrices answers as one without, in other numbers") {
  check_alike(Plain({.num_blocks = {20}}), Turned({.num_blocks = {20}}, some_matrices()), 1e-5);
}

TEST_CASE("a cache with matrices that demotes does") {
  CacheConfig const config{.num_blocks = {20}, .demotion = {.sinks = 4, .recent_window = 5, .num_blocks = {20}}};
  check_alike(Demoting(config), DemotingTurned(config, some_matrices()), 0.03);  // int8
}

TEST_CASE("a cache with matrices shares prefixes, fills batches again, and lends them to threads") {
  using Cache = KvCache<Model<tiny>, F16, BlockSize<4>, LruEviction, RotationMatrices>;
  Cache cache({.num_blocks = {20}}, some_matrices());
  std::vector<std::int32_t> tokens(17);
  std::iota(tokens.begin(), tokens.end(), 0);
  Sequence first = cache.create(tokens);
  first.extend(17);
  auto batch = cache.batch({{&first, 17}});
  Rows const rows = rows_of(0, 17, 2);
  ops::append(batch.view(), 0, rows.keys.data(), rows.values.data());
  cache.insert(first, tokens);
  Sequence second = cache.create(tokens);
  CHECK(second.num_cached_tokens() == 16);
  second.extend(1);
  cache.batch({{&second, 1}}, batch);
  std::vector<float> keys(16 * kv_heads * key_dim),
      given(rows.keys.begin(), rows.keys.begin() + 16 * kv_heads * key_dim);
  ops::gather(batch.view(), 0, {0, 0, 16}, keys.data(), nullptr);
  CHECK(largest_difference(keys, given) < 2e-3);
  LockedCache<Cache> locked(std::move(cache));
  auto const sequence = locked.create();
  CHECK(locked.batch({{{&sequence, 0}}}).view().num_sequences() == 1);
}

TEST_CASE("rows in the basis of matrices are compacted as they are stored") {
  auto const check = [](auto cache, double tolerance) {
    Sequence sequence = cache.create(20);
    Rows const rows = rows_of(1, 20, 2);
    ops::append(cache.batch({{&sequence, 20}}).view(), 1, rows.keys.data(), rows.values.data());
    if constexpr (requires { cache.demote(sequence); }) REQUIRE(cache.demote(sequence) == 8);
    std::int32_t const stored = sequence.num_stored_tokens();
    std::vector<std::int32_t> const kept{0, 1, 2, 3, stored - 2, stored - 1}, counts{6};
    ops::compact(cache.batch({{&sequence, 0}}), 0, {kept.data(), counts.data(), 6});
    sequence.keep({.num_tokens = 6, .num_first = 4});
    std::vector<float> last(2 * kv_heads * key_dim),
        given(rows.keys.end() - static_cast<std::ptrdiff_t>(last.size()), rows.keys.end());
    std::int32_t const first = sequence.num_demoted_tokens() + 4;
    ops::gather(cache.batch({{&sequence, 0}}).view(), 1, {0, first, 2}, last.data(), nullptr);
    CHECK(largest_difference(last, given) < tolerance);
  };
  check(Turned({.num_blocks = {20}}, some_matrices()), 1e-5);
  check(DemotingTurned({.num_blocks = {20}, .demotion = {.sinks = 4, .recent_window = 5, .num_blocks = {20}}},
                       some_matrices()),
        1e-5);
}

TEST_CASE("a matrix is applied to rows, and its transpose takes them back") {
  std::vector<float> const matrix{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0,
                                  0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                                  0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  std::vector<float> const row{1, 2, 3, 4, 5, 6, 7, 8};
  std::vector<float> turned(8), back(8);
  ops::rotate_by(matrix.data(), row.data(), 8, false, turned.data());
  CHECK(turned == std::vector<float>{2, 3, 1, 4, 5, 6, 7, 8});
  ops::rotate_by(matrix.data(), turned.data(), 8, true, back.data());
  CHECK(back == row);
}

TEST_CASE("matrices that would change dot products, or are for another model, are refused") {
  auto const keys = orthonormal(2, key_dim, 1);
  auto const with = [&](std::vector<float> m) {
    return RotationMatrices({{kv_heads, key_dim, value_dim, {}, {}}, {kv_heads, key_dim, value_dim, std::move(m), {}}});
  };
  CHECK_NOTHROW(with(keys));
  auto longer = keys;
  for (int i = 0; i < key_dim; ++i) longer[static_cast<std::size_t>(3 * key_dim + i)] *= 1.001F;
  CHECK_THROWS_WITH(with(longer), contains("keys of layer 1, kv head 0, is not orthonormal: rows 3 and 3"));
  auto twice = keys;
  for (int i = 0; i < key_dim; ++i)
    twice[static_cast<std::size_t>((key_dim + 5) * key_dim + i)] =
        twice[static_cast<std::size_t>((key_dim + 2) * key_dim + i)];
  CHECK_THROWS_WITH(with(twice), contains("kv head 1, is not orthonormal: rows 2 and 5"));
  CHECK_THROWS_WITH(with(std::vector<float>(7)), contains("have 7 elements, not 2 x 16 x 16"));
  auto const make = [&](RotationMatrices m) { return Turned({.num_blocks = {4}}, std::move(m)); };
  CHECK_THROWS_WITH(make(RotationMatrices({{kv_heads, key_dim, value_dim}})),
                    contains("1 layers do not fit a cache of 2"));
  CHECK_THROWS_WITH(make(RotationMatrices(std::vector<LayerMatrices>(3, {kv_heads, key_dim, value_dim}))),
                    contains("3 layers do not fit a cache of 2"));
  CHECK_THROWS_WITH(make(RotationMatrices({{kv_heads, key_dim, value_dim}, {1, key_dim, value_dim}})),
                    contains("layer 1 are for 1 kv heads"));
  auto good = make(some_matrices());
  auto s = good.create(1);
  auto const batch = good.batch({{&s}});
  std::vector<float> rows(200);
  CHECK_THROWS_WITH(ops::attend(batch.view(), 2, AttentionIo{rows.data(), 2, rows.data()}),
                    contains("folio: the model has no layer 2"));
  CHECK_THROWS_WITH(ops::attend(batch.view(), 0, AttentionIo{rows.data(), 3, rows.data()}), contains("3 query heads"));
  CHECK_THROWS_WITH(ops::append(batch.view(), 0, static_cast<float const*>(nullptr), rows.data()),
                    contains("append needs keys"));
}
