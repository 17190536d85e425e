// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Queries on their way to attention's kernels, on every set of instructions of this machine: as integers, rotated, and
// with outliers.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <folio/folio.hpp>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/isa.hpp"
#include "support/random.hpp"

using namespace folio;
using attention::block_rows;
using attention::Isa;
using folio::test::machine_sets;
using folio::test::random_floats;
using folio::test::UseIsa;
using PackedQueries = ops::detail::PackedQueries<>;
using TileAttention = ops::detail::TileAttention<>;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN(),
                infinity = std::numeric_limits<float>::infinity();

std::size_t size(std::int32_t n) { return static_cast<std::size_t>(n); }

/// The integer of 16 bits at a column of row `r`.
std::int32_t integer_at(attention::QueryRows const& block, std::int32_t r, std::int32_t column, Isa isa) {
  std::int8_t const* words[attention::query_words];
  for (std::int32_t k = 0; k < attention::query_words; ++k)
    words[k] = isa == Isa::amx ? block.words + ((column / 4 * block_rows + r) * attention::query_words + k) * 4
                               : block.words + ((k * block.columns / 4 + column / 4) * block_rows + r) * 4;
  std::int32_t const in_four = column % 4;
  if (isa >= Isa::avx512) return words[0][in_four] + 256 * words[1][in_four];
  std::int16_t half = 0;  // the first and third, then the second and fourth of four
  std::memcpy(&half, words[in_four % 2] + in_four / 2 * 2, 2);
  return half;
}

/// Four rows of `dim` elements as the kernels of the format `F` take them.
template <RowFormat F>
struct Packed {
  attention::RowKernels kernels = attention::row_kernels<F>(false);
  TileAttention attention;
  PackedQueries queries;

  Packed(std::vector<float> const& rows, std::int32_t dim, Basis basis)
      : attention({{kernels, dim, dim, basis}, {kernels, dim, dim, basis}, {dim, dim, 1, block_rows}}) {
    attention.begin(queries);
    queries.set_rows(0, block_rows, rows.data());
    queries.prepare(basis);
    queries.finish(1.0F);
  }
  [[nodiscard]] attention::QueryBlock block() { return queries.block(0, {}); }
  /// [row][dim]
  [[nodiscard]] std::vector<std::int32_t> integers(std::int32_t dim) {
    attention::QueryRows const rows = block().rows;
    std::vector<std::int32_t> found(size(block_rows * dim), 1 << 20);
    for (std::int32_t r = 0; r < block_rows; ++r)
      for (std::int32_t column = 0; column < rows.columns; ++column) {
        std::int32_t const d = kernels.key_dim_at(column, dim),
                           n = integer_at(rows, r, column, attention::isa_in_use());
        if (d < dim)
          found[size(r * dim + d)] = n;
        else if (!std::isnan(rows.scales[r]))
          CHECK(n == 0);  // padding
      }
    return found;
  }
};

/// Rows with outliers by the definition.
unsigned outliers_of(std::vector<float> const& rows, std::int32_t stride) {
  unsigned found = 0;
  for (std::int32_t r = 0; r < block_rows; ++r) {
    float most = 0;
    bool finite = true;
    std::int32_t small = 0, others = 0;
    for (std::int32_t i = 0; i < stride; ++i) {
      most = std::max(most, std::fabs(rows[size(r * stride + i)]));
      finite = finite && std::isfinite(rows[size(r * stride + i)]);
    }
    for (std::int32_t i = 0; i < stride; ++i) {
      float const x = std::fabs(rows[size(r * stride + i)]);
      if (x != 0) ++(x < most / 32 ? small : others);
    }
    if (finite && small > others) found |= 1U << r;
  }
  return found;
}

}  // namespace

TEMPLATE_TEST_CASE("queries become the same integers of 16 bits on every set of instructions", "", Int8PerToken,
                   Int4PerToken, Int6Rotated, Int2Rotated) {
  constexpr RowFormat format = TestType::row_format;
  for (std::int32_t const dim : {8, 24, 32, 40, 64, 72, 80, 96, 128, 200, 256, 576})
    for (Basis const basis : {Basis::model, Basis::hadamard, Basis::randomized_hadamard}) {
      auto rows = random_floats(std::int64_t{block_rows} * dim, 7, 3.0F);
      std::fill_n(rows.begin() + dim, dim, 0.0F);                               // a row of zeros
      for (std::int32_t d = 0; d < dim; ++d) rows[size(2 * dim + d)] *= 1e-3F;  // and one of small numbers
      auto turned = rows;
      for (std::int32_t r = 0; r < block_rows; ++r) change_basis(basis, turned.data() + r * dim, dim, dim);
      std::vector<std::int32_t> first;
      for (Isa const isa : machine_sets()) {
        UseIsa const use(isa);
        CAPTURE(TestType::name, attention::name_of(isa), dim, static_cast<int>(basis));
        Packed<format> packed(rows, dim, basis);
        attention::QueryRows const block = packed.block().rows;
        auto const found = packed.integers(dim);
        if (first.empty()) first = found;
        CHECK(found == first);
        for (std::int32_t r = 0; r < block_rows; ++r) {
          double largest = 1e-30, error = 0, sum = 0;
          for (std::int32_t d = 0; d < dim; ++d) {
            double const x{turned[size(r * dim + d)]};
            largest = std::max(largest, std::fabs(x));
            sum += found[size(r * dim + d)];
            error = std::max(error, std::fabs(found[size(r * dim + d)] * double{block.scales[r]} - x));
          }
          CHECK(std::fabs(block.scales[r] * double{attention::query_limit} / largest - 1) < 1e-6);
          CHECK(error < 0.505 * largest / attention::query_limit);  // half a unit
          double const words = block.sums[r] + (isa >= Isa::avx512 ? 256.0 : 1.0) * block.sums[block_rows + r];
          CHECK(words == sum);
          CHECK(std::fabs(block.totals[r] - sum * block.scales[r]) <= 1e-6 * std::fabs(sum * block.scales[r]));
        }
      }
    }
}

TEST_CASE("a query row that is no number has a scale that is none, and its neighbours stay") {
  constexpr RowFormat format = Int4Rotated::row_format;
  for (Isa const isa : machine_sets())
    for (std::int32_t const dim : {24, 96, 128, 256})
      for (Basis const basis : {Basis::model, Basis::randomized_hadamard})
        for (float const bad : {not_a_number, -not_a_number, infinity, -infinity}) {
          UseIsa const use(isa);
          CAPTURE(attention::name_of(isa), dim, static_cast<int>(basis), bad);
          auto rows = random_floats(std::int64_t{block_rows} * dim, 3);
          Packed<format> before(rows, dim, basis);
          rows[size(2 * dim + dim / 2)] = bad;
          Packed<format> packed(rows, dim, basis);
          CHECK(packed.block().outliers == 0);
          auto const integers = packed.integers(dim), expected = before.integers(dim);
          for (std::int32_t r = 0; r < block_rows; ++r) {
            bool const is_bad = r == 2;
            CHECK(((to_bits(packed.block().rows.scales[r]) & 0x7FFFFFFFU) > 0x7F800000U) == is_bad);
            if (is_bad) continue;
            CHECK(packed.block().rows.scales[r] == before.block().rows.scales[r]);
            CHECK(std::equal(integers.begin() + r * dim, integers.begin() + (r + 1) * dim, expected.begin() + r * dim));
          }
        }
}

TEST_CASE("rows have outliers where most elements, zeros apart, are below a 32nd of the largest") {
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    auto const kernels = attention::row_kernels<Int8PerToken::row_format>(false);
    auto const check = [&](std::vector<float> const& rows, std::int32_t stride) {
      float largest[block_rows];
      kernels.find_largest(rows.data(), stride, largest);
      for (std::int32_t r = 0; r < block_rows; ++r) {
        float most = 1e-30F;
        bool finite = true;
        for (std::int32_t i = 0; i < stride; ++i) {
          float const magnitude = std::fabs(rows[size(r * stride + i)]);
          most = std::max(most, magnitude);
          finite = finite && magnitude < infinity;
        }
        CHECK((finite ? largest[r] == most : !(largest[r] < infinity)));
      }
      CHECK(kernels.find_outliers(rows.data(), stride, largest) == outliers_of(rows, stride));
    };
    for (std::int32_t const stride : {16, 48, 64, 128, 144, 1024}) {
      CAPTURE(attention::name_of(isa), stride);
      auto const given = random_floats(std::int64_t{block_rows} * stride, 4);
      check(given, stride);
      for (std::int32_t const num_small : {stride / 2 - 1, stride / 2, stride / 2 + 1, stride - 1}) {
        std::vector<float> rows(given.size());
        for (std::int32_t i = 0; i < block_rows * stride; ++i)
          rows[size(i)] = std::copysign((i * 7 + 3) % stride < num_small ? 0.99F : 32.0F, given[size(i)]);
        check(rows, stride);
        for (std::int32_t i = 0; i < stride; i += 3) rows[size(i)] = 0.0F;            // zeros in the first row
        for (std::int32_t i = 0; i < stride - 1; ++i) rows[size(stride + i)] = 0.0F;  // and but one in the second
        rows[size(2 * stride + stride / 2)] = not_a_number;
        rows[size(3 * stride + 1)] = -1e20F;
        check(rows, stride);
      }
      check(std::vector<float>(given.size()), stride);
    }
  }
}

TEST_CASE(
    "queries are rotated to the bits of change_basis, from where they are or in place, with the largest of each") {
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    auto const kernels = attention::row_kernels<Int4Rotated::row_format>(false);
    for (Basis const basis : {Basis::hadamard, Basis::randomized_hadamard})
      for (auto const& [dim, beside] :
           {std::pair{8, 0}, {16, 0}, {40, 0}, {64, 0}, {96, 0}, {128, 0}, {128, 16}, {256, 0}, {320, 0}, {1024, 0}}) {
        CAPTURE(attention::name_of(isa), static_cast<int>(basis), dim, beside);
        std::int32_t const stride = (dim + 15) / 16 * 16 + beside;
        std::vector<float> rows(size(block_rows * stride));
        for (std::int32_t r = 0; r < block_rows; ++r) {
          auto const row = random_floats(dim, static_cast<std::uint32_t>(r), 3.0F);
          std::copy(row.begin(), row.end(), rows.begin() + r * stride);
        }
        auto turned = rows;
        for (std::int32_t r = 0; r < block_rows; ++r) change_basis(basis, turned.data() + r * stride, dim, dim);
        for (std::int32_t count = 1; count <= block_rows; ++count) {
          std::vector<float> found(rows.size()), in_place(rows.size()), expected(rows.size());
          std::copy_n(rows.begin(), count * stride, in_place.begin());
          std::copy_n(turned.begin(), count * stride, expected.begin());
          float largest[block_rows], again[block_rows];
          kernels.rotate_queries(basis, rows.data(), found.data(), count, stride, dim, largest);
          kernels.rotate_queries(basis, in_place.data(), in_place.data(), count, stride, dim, again);
          for (std::int32_t r = 0; r < block_rows; ++r) {
            float most = 1e-30F;  // the least there is: of rows that are not there
            for (std::int32_t d = 0; d < dim; ++d) most = std::max(most, std::fabs(expected[size(r * stride + d)]));
            CHECK(largest[r] == most);
            CHECK(again[r] == most);
          }
          CHECK(found == expected);
          CHECK(in_place == expected);
        }
      }
  }
}

TEST_CASE("rows that are used where they are stay, and are as those that are set") {
  constexpr std::int32_t dim = 128;
  for (Isa const isa : machine_sets())
    for (Basis const basis : {Basis::model, Basis::randomized_hadamard}) {
      UseIsa const use(isa);
      CAPTURE(attention::name_of(isa), static_cast<int>(basis));
      auto rows = random_floats(std::int64_t{block_rows} * dim, 5, 0.2F);
      rows[3 * dim + 9] = 1e3F;  // an outlier, which a rotation would hide
      auto const before = rows;
      Packed<Int4Rotated::row_format> packed(rows, dim, basis);
      auto const expected = packed.integers(dim);
      CHECK(packed.block().outliers == 8U);
      packed.attention.begin(packed.queries);
      REQUIRE(packed.queries.can_use(rows.data(), 100));
      packed.queries.use_rows(rows.data());
      packed.queries.prepare(basis);
      packed.queries.finish(1.0F);
      CHECK(packed.integers(dim) == expected);
      CHECK(packed.block().outliers == 8U);
      CHECK(rows == before);
      rows[3 * dim + 9] = 0.1F;  // what was found of other rows is forgotten
      packed.attention.begin(packed.queries);
      packed.queries.use_rows(rows.data());
      packed.queries.prepare(basis);
      packed.queries.finish(1.0F);
      CHECK(packed.block().outliers == 0U);
    }
}

TEMPLATE_TEST_CASE("NaN queries give NaN, and zeros the mean of the values", "", Int8PerToken, Int4PerToken,
                   Int4Rotated, Int6Rotated) {
  constexpr std::int32_t dim = 64, tokens = 20, kv_heads = 3, heads = 4;
  KvCache<Model<ModelConfig{.layers = 1, .kv_heads = kv_heads, .head_dim = dim}>, TestType> cache({.num_blocks = {4}});
  Sequence const s = cache.create(tokens);
  auto const rows = random_floats(std::int64_t{tokens} * kv_heads * dim, 1);
  ops::append(cache.batch({{&s, tokens}}).view(), 0, rows.data(), rows.data());
  std::vector<float> keys(tokens * kv_heads * dim), values(keys.size());
  ops::gather(cache.batch({{&s, 1}}).view(), 0, {0, 0, tokens}, keys.data(), values.data());
  for (Isa const isa : machine_sets()) {
    UseIsa const use(isa);
    CAPTURE(TestType::name, attention::name_of(isa));
    auto q = random_floats(kv_heads * heads * dim, 2);
    std::vector<float> out(q.size()), expected(q.size());
    auto const batch = cache.batch({{&s, 1}});
    ops::attend(batch.view(), 0, AttentionIo{q.data(), kv_heads * heads, expected.data()});
    constexpr std::int32_t no_number = 5, zeros = 10;
    q[no_number * dim + 3] = not_a_number;
    std::fill_n(q.begin() + zeros * dim, dim, 0.0F);
    ops::attend(batch.view(), 0, AttentionIo{q.data(), kv_heads * heads, out.data()});
    for (std::int32_t row = 0; row < kv_heads * heads; ++row)
      for (std::int32_t d = 0; d < dim; ++d) {
        float const x = out[size(row * dim + d)];
        if (row == no_number) {
          CHECK(std::isnan(x));
        } else if (row == zeros) {
          double mean = 0;
          for (std::int32_t t = 0; t < tokens; ++t)
            mean += values[size((t * kv_heads + row / heads) * dim + d)] / tokens;
          CHECK(std::fabs(x - mean) < 1e-3);
        } else {
          CHECK(x == expected[size(row * dim + d)]);
        }
      }
  }
}

#if FOLIO_SIMD_X86
TEST_CASE("for AMX the words of a row lie together") {
  if (attention::machine_isa() < Isa::avx512) return;
  constexpr std::int32_t columns = 192;
  auto const rows = random_floats(block_rows * columns, 6);
  std::vector<std::int8_t> apart(size(block_rows * columns * attention::query_words)), together(apart.size());
  std::int32_t sums[2][attention::query_words * block_rows];
  float scales[block_rows], totals[block_rows], largest[block_rows];
  attention::row_kernels<Int8PerToken::row_format>(false).find_largest(rows.data(), columns, largest);
  attention::QueryFloats const q{rows.data(), columns, columns, 1.0F, largest};
  using attention::avx512::InColumns;
  attention::avx512::quantize_queries<InColumns, false>({}, q, {apart.data(), scales, totals, sums[0]}, nullptr);
  attention::avx512::quantize_queries<InColumns, false, true>({}, q, {together.data(), scales, totals, sums[1]},
                                                              nullptr);
  attention::QueryRows a, b;
  a.columns = b.columns = columns;
  a.words = apart.data();
  b.words = together.data();
  for (std::int32_t r = 0; r < block_rows; ++r)
    for (std::int32_t column = 0; column < columns; ++column)
      REQUIRE(integer_at(a, r, column, Isa::avx512) == integer_at(b, r, column, Isa::amx));
  CHECK(std::equal(sums[0], sums[0] + attention::query_words * block_rows, sums[1]));
}
#endif
