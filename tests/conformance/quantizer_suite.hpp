// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every quantizer must show, whoever wrote it. A quantizer's test calls `quantizer_suite<Q>(bound)` once, with the
// error that its documentation states, and tests by itself only what is special about it.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <folio/quantizer/basis.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "support/catch.hpp"

namespace folio::test {

/// How far a decoded element may be from the element x of a row (both in the quantizer's basis):
/// relative * |x| + of_largest * max |row| + absolute. Where a format saturates, x is the number that it saturates to.
struct ErrorBound {
  double relative = 0, of_largest = 0, absolute = 0;
  float saturates_at = std::numeric_limits<float>::infinity();
};

/// Every legal length up to 256, and the long ones that models have.
inline std::vector<std::int32_t> row_dims() {
  std::vector<std::int32_t> dims;
  for (std::int32_t dim = 8; dim <= 256; dim += 8) dims.push_back(dim);
  for (std::int32_t const dim : {512, 576, 1024}) dims.push_back(dim);
  return dims;
}

/// Rows as they come in practice, and the shapes that break quantizers: all with finite elements below 1e4.
inline std::vector<std::vector<float>> test_rows(std::int32_t dim) {
  std::mt19937_64 random(static_cast<std::uint64_t>(dim));
  std::normal_distribution<float> normal;
  auto const filled = [&](auto&& element) {
    std::vector<float> row(static_cast<std::size_t>(dim));
    for (std::int32_t i = 0; i < dim; ++i) row[static_cast<std::size_t>(i)] = element(i);
    return row;
  };
  return {
      filled([&](int) { return normal(random); }),
      filled([&](int) { return 300.0F * normal(random); }),
      filled([&](int) { return 1e-3F * normal(random) + 0.5F; }),
      filled([&](int i) { return (i == dim / 3 ? 100.0F : 1.0F) * normal(random); }),   // an outlier
      filled([&](int i) { return (i % 16 == 5 ? 30.0F : 0.1F) * normal(random); }),     // channels of outliers
      filled([&](int) { return std::exp(2.0F * normal(random)); }),                     // many sizes, all positive
      filled([&](int i) { return std::ldexp(i % 2 == 0 ? 1.0F : -1.0F, -(i % 24)); }),  // powers of two
      filled([&](int) { return 3.25F; }),                                               // constant
      filled([&](int) { return -0.7F; }),
      filled([&](int i) { return i == dim - 1 ? -2.5F : 0.0F; }),  // one element
      filled([&](int i) { return static_cast<float>(i % 3 - 1); }),
  };
}

/// A stored row with guards on both sides of its codes and of its parameters. `fill` is what the memory held before.
template <QuantizerPolicy Q>
class StoredRow {
 public:
  StoredRow(std::int32_t dim, int fill)
      : dim_(dim), code_bytes_(code_bytes<Q>(dim)), param_bytes_(Q::param_bytes(dim)) {
    memory_.fill(static_cast<std::byte>(fill));
    std::memset(codes() - guard, 0xA5, guard);
    std::memset(codes() + code_bytes_, 0xA5, guard);
    std::memset(params() - guard, 0xA5, guard);
    std::memset(params() + param_bytes_, 0xA5, guard);
  }
  [[nodiscard]] std::byte* codes() { return memory_.data() + guard; }
  [[nodiscard]] std::byte* params() { return codes() + (code_bytes_ + 3 * guard) / 16 * 16 + 4; }  // aligned to 4 only
  void encode(float const* row) { Q::encode(row, dim_, codes(), params()); }
  [[nodiscard]] std::vector<float> decode() {
    std::vector<float> out(static_cast<std::size_t>(dim_));
    decode_row<Q>(codes(), params(), dim_, out.data());
    return out;
  }
  [[nodiscard]] bool guards_are_intact() {
    auto const intact = [](std::byte const* at) {
      return std::all_of(at, at + guard, [](std::byte b) { return b == std::byte{0xA5}; });
    };
    return intact(codes() - guard) && intact(codes() + code_bytes_) && intact(params() - guard) &&
           intact(params() + param_bytes_);
  }
  [[nodiscard]] bool holds_the_same_as(StoredRow& other) {
    return std::memcmp(codes(), other.codes(), static_cast<std::size_t>(code_bytes_)) == 0 &&
           std::memcmp(params(), other.params(), static_cast<std::size_t>(param_bytes_)) == 0;
  }

 private:
  static constexpr int guard = 32;
  std::int32_t dim_, code_bytes_, param_bytes_;
  alignas(16) std::array<std::byte, std::size_t{max_row_dim} * 8 + std::size_t{8} * guard> memory_;
};

/// The row as the quantizer's reader sees it when nothing is lost.
template <QuantizerPolicy Q>
std::vector<float> in_basis(std::vector<float> row) {
  change_basis(Q::basis, row.data(), static_cast<std::int32_t>(row.size()), static_cast<std::int32_t>(row.size()));
  return row;
}

/// The row with what is beyond the format's largest number cut to that.
inline std::vector<float> saturated(std::vector<float> row, ErrorBound const& bound) {
  for (float& x : row) x = std::clamp(x, -bound.saturates_at, bound.saturates_at);
  return row;
}

/// The sum of the squared differences.
inline double squared_difference(std::vector<float> const& a, std::vector<float> const& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - double{b[i]}, 2);
  return sum;
}

/// What the bound allows for each element; rotating in floats costs a little of its own.
template <QuantizerPolicy Q>
std::vector<double> allowed_errors(std::vector<float> const& exact, ErrorBound bound) {
  double largest = 0;
  for (float const x : exact) largest = std::max(largest, std::fabs(double{x}));
  double const rotation = Q::basis == Basis::model ? 0 : 1e-6 * largest;
  std::vector<double> allowed;
  for (float const x : exact)
    allowed.push_back(bound.relative * std::fabs(double{x}) + bound.of_largest * largest + bound.absolute + rotation);
  return allowed;
}

/// The first element that is further off than the bound allows, in words; empty when there is none.
template <QuantizerPolicy Q>
std::string bound_violation(std::vector<float> const& decoded, std::vector<float> const& exact, ErrorBound bound) {
  std::vector<double> const allowed = allowed_errors<Q>(exact, bound);
  for (std::size_t i = 0; i < exact.size(); ++i)
    if (!(std::fabs(double{decoded[i]} - double{exact[i]}) <= allowed[i]))
      return "element " + std::to_string(i) + ": " + std::to_string(exact[i]) + " became " +
             std::to_string(decoded[i]) + ", allowed is " + std::to_string(allowed[i]);
  return {};
}

/// Decodes piece by piece at every aligned offset, each piece from a copy that has nothing around it.
template <QuantizerPolicy Q, int N>
void decode_in_pieces(StoredRow<Q>& stored, std::int32_t dim, std::vector<float> const& whole) {
  if constexpr (N * Q::bits % 8 == 0 && (params_dim<Q> % N == 0 || params_dim<Q> == max_row_dim)) {
    constexpr int bytes = N * Q::bits / 8;
    bool same = true;
    for (std::int32_t begin = 0; begin + N <= dim; begin += N) {
      alignas(16) std::array<std::byte, std::size_t{bytes} + 16> alone;
      alone.fill(std::byte{0xFF});
      std::byte* const piece = alone.data() + code_alignment(bytes) % 16;  // no better aligned than promised
      std::memcpy(piece, stored.codes() + code_bytes<Q>(begin), bytes);
      std::array<float, std::size_t{N} + 2> out;
      out.fill(12345.0F);
      Q::template decode<N>(piece, Q::load_params(stored.params(), begin), out.data() + 1);
      same = same && out[0] == 12345.0F && out[N + 1] == 12345.0F &&
             std::memcmp(out.data() + 1, whole.data() + begin, N * sizeof(float)) == 0;
    }
    INFO("decode<" << N << ">");
    CHECK(same);
  }
}

template <QuantizerPolicy Q>
void check_row(std::vector<float> const& row, ErrorBound bound) {
  auto const dim = static_cast<std::int32_t>(row.size());
  StoredRow<Q> stored(dim, 0x00), again(dim, 0xFF);
  stored.encode(row.data());
  CHECK(stored.guards_are_intact());

  // The same bytes over other garbage and from another address: all are written, and they depend on the row only.
  std::vector<float> moved(row.size() + 1);
  std::copy(row.begin(), row.end(), moved.begin() + 1);
  again.encode(moved.data() + 1);
  CHECK(again.holds_the_same_as(stored));

  std::vector<float> const decoded = stored.decode(), exact = in_basis<Q>(saturated(row, bound));
  CHECK(bound_violation<Q>(decoded, exact, bound) == "");
  decode_in_pieces<Q, 1>(stored, dim, decoded);
  decode_in_pieces<Q, 2>(stored, dim, decoded);
  decode_in_pieces<Q, 4>(stored, dim, decoded);
  decode_in_pieces<Q, 8>(stored, dim, decoded);
  decode_in_pieces<Q, 16>(stored, dim, decoded);
  decode_in_pieces<Q, 32>(stored, dim, decoded);
  decode_in_pieces<Q, 64>(stored, dim, decoded);
  decode_in_pieces<Q, 128>(stored, dim, decoded);
  decode_in_pieces<Q, 24>(stored, dim, decoded);

  // What was decoded, given back in the model's basis, is stored as well as any other row.
  std::vector<float> const given_back = in_basis<Q>(decoded);  // the rotation is its own inverse
  again.encode(given_back.data());
  CHECK(bound_violation<Q>(again.decode(), in_basis<Q>(given_back), bound) == "");
}

/// A normally distributed row is stored better than by zeros, which a wide bound allows. (Rows of outliers need not be,
/// in 2 bits.)
template <QuantizerPolicy Q>
void check_worth(std::vector<float> const& row) {
  StoredRow<Q> stored(static_cast<std::int32_t>(row.size()), 0);
  stored.encode(row.data());
  std::vector<float> const exact = in_basis<Q>(row);
  CHECK(squared_difference(stored.decode(), exact) < 0.9 * squared_difference(std::vector<float>(row.size()), exact));
}

/// A rotated query sees the same dot products, and outputs rotated back are the same: up to the stated error.
template <QuantizerPolicy Q>
void check_attention(std::vector<float> const& unsaturated, ErrorBound bound) {
  std::vector<float> const row = saturated(unsaturated, bound);
  auto const dim = static_cast<std::int32_t>(row.size());
  std::mt19937_64 random(99);
  std::normal_distribution<float> normal;
  std::vector<float> query(row.size());
  for (float& x : query) x = normal(random);
  StoredRow<Q> stored(dim, 0x77);
  stored.encode(row.data());
  std::vector<float> const decoded = stored.decode();
  std::vector<float> const rotated_query = in_basis<Q>(query);
  std::vector<double> const allowed = allowed_errors<Q>(in_basis<Q>(row), bound);
  double exact = 0, seen = 0, tolerance = 0, size = 0, squares = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    exact += double{query[i]} * double{row[i]};
    seen += double{rotated_query[i]} * double{decoded[i]};
    tolerance += std::fabs(double{rotated_query[i]}) * allowed[i];
    size += std::fabs(double{query[i]} * double{row[i]});
    squares += allowed[i] * allowed[i];
  }
  CHECK(std::fabs(exact - seen) <= tolerance + 1e-5 * size + 1e-30);

  std::vector<float> const back = in_basis<Q>(decoded);
  double off = 0;
  for (std::size_t i = 0; i < row.size(); ++i) off += std::pow(double{back[i]} - double{row[i]}, 2);
  CHECK(std::sqrt(off) <= std::sqrt(squares) * (1 + 1e-5) + 1e-30);
}

/// Numbers at the ends of float's range stay finite, and what is not finite does no harm outside of its row.
template <QuantizerPolicy Q>
void check_extremes(std::int32_t dim) {
  float const huge = std::numeric_limits<float>::max(), infinity = std::numeric_limits<float>::infinity();
  float const tiny = std::numeric_limits<float>::denorm_min(), small = std::numeric_limits<float>::min();
  float const nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> row(static_cast<std::size_t>(dim));
  auto const store = [&](auto const& values) {
    for (std::size_t i = 0; i < row.size(); ++i) row[i] = values[(i * 5 + i / 8) % std::size(values)];
    StoredRow<Q> stored(dim, 0x00), again(dim, 0xFF);
    stored.encode(row.data());
    again.encode(row.data());
    CHECK(stored.guards_are_intact());
    CHECK(stored.holds_the_same_as(again));
    return stored.decode();
  };
  auto const all_finite = [](std::vector<float> const& values) {
    return std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
  };
  CHECK(all_finite(store(std::array{huge, -huge})));
  CHECK(all_finite(store(std::array{huge, huge, huge})));
  CHECK(all_finite(store(std::array{-huge, -huge, 1.0F})));
  CHECK(all_finite(store(std::array{huge, 1.0F, tiny})));
  CHECK(all_finite(store(std::array{tiny, -tiny, tiny})));
  CHECK(all_finite(store(std::array{small, -small, 0.0F})));
  CHECK(all_finite(store(std::array{1e-37F, -3e-36F, 2e-38F})));
  CHECK(all_finite(store(std::array{65504.0F, 65536.0F, -7e4F, 1e5F})));
  (void)store(std::array{nan, 1.0F, -2.0F});
  (void)store(std::array{infinity, 1.0F, -infinity});
  (void)store(std::array{infinity, infinity, nan});
  for (float const zero : store(std::array{0.0F, -0.0F, 0.0F})) REQUIRE(zero == 0.0F);
}

/// The mean squared error on rows of N(0, 1), the table by which formats are compared. Seeded; good to about 1 percent.
template <QuantizerPolicy Q>
double normal_distortion(std::int32_t dim) {
  constexpr int rows = 2000;
  std::mt19937_64 random(2026);
  std::normal_distribution<float> normal;
  std::vector<float> row(static_cast<std::size_t>(dim));
  double squares = 0;
  for (int r = 0; r < rows; ++r) {
    for (float& x : row) x = normal(random);
    StoredRow<Q> stored(dim, 0);
    stored.encode(row.data());
    std::vector<float> const decoded = stored.decode(), exact = in_basis<Q>(row);
    for (std::size_t i = 0; i < row.size(); ++i) squares += std::pow(double{decoded[i]} - double{exact[i]}, 2);
  }
  return squares / rows / dim;
}

/// Runs all of it, for every length of row. Call it inside a TEST_CASE.
template <QuantizerPolicy Q>
void quantizer_suite(ErrorBound bound) {
  INFO("quantizer " << Q::name);
  REQUIRE(std::string(Q::name) != "");
  REQUIRE(params_dim<Q> % 8 == 0);
  for (std::int32_t const dim : row_dims()) {
    INFO("dim " << dim);
    REQUIRE(Q::param_bytes(dim) >= 0);
    REQUIRE(Q::param_bytes(dim) % 4 == 0);
    REQUIRE(bits_per_element<Q>(dim) >= Q::bits);
    int index = 0;
    for (std::vector<float> const& row : test_rows(dim)) {
      INFO("test row " << index++);
      if (index == 1) check_worth<Q>(row);
      check_row<Q>(row, bound);
      check_attention<Q>(row, bound);
    }
    check_extremes<Q>(dim);
  }
}

}  // namespace folio::test
