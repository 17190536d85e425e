// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the scaled formats share: the range of a row, and rounding. Host and device. The loops go by 8, because rows are
// multiples of 8: inner loops of a constant length vectorize at -O2.
//
// Clamps work on a float's bits: a ?: of floats is a branch to compilers that respect NaNs. Between a multiplication
// and an addition they also keep a compiler from fusing the two, so that a row gets the same codes everywhere.

#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio {

/// The largest magnitude among the finite elements of a row; 0 when there are none.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float largest_finite_magnitude(float const* row, std::int32_t dim) {
  std::int32_t largest[8] = {};  // bits of floats that are not negative are in the order of the floats
  for (std::int32_t i = 0; i < dim; i += 8)
    for (int j = 0; j < 8; ++j) {
      auto const magnitude = static_cast<std::int32_t>(to_bits(row[i + j]) & 0x7FFFFFFFU);
      auto const finite = magnitude < 0x7F800000 ? magnitude : 0;
      largest[j] = finite > largest[j] ? finite : largest[j];
    }
  for (int j = 1; j < 8; ++j) largest[0] = largest[j] > largest[0] ? largest[j] : largest[0];
  return to_float(static_cast<std::uint32_t>(largest[0]));
}

/// The same for a row that the lanes share, `part` of it in each.
template <int N, class Lanes>
[[nodiscard]] FOLIO_HOST_DEVICE float largest_finite_magnitude_by(Lanes const& lanes, Pack<float, N> const& part) {
  std::int32_t largest = 0;
  for (int i = 0; i < N; ++i) {
    auto const magnitude = static_cast<std::int32_t>(to_bits(part[i]) & 0x7FFFFFFFU);
    auto const finite = magnitude < 0x7F800000 ? magnitude : 0;
    largest = finite > largest ? finite : largest;
  }
  return to_float(static_cast<std::uint32_t>(lanes.max(largest)));
}

/// The order of floats as that of integers, and back: minima of integers vectorize, those of floats do not.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t float_order(std::int32_t pattern) {
  return pattern ^ ((pattern >> 31) & 0x7FFFFFFF);
}

/// The least and the greatest element of a row.
struct Range {
  float low, high;
};

/// Of a row of finite elements.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr Range find_range(float const* row, std::int32_t dim) {
  std::int32_t low[8] = {}, high[8] = {};
  for (int j = 0; j < 8; ++j) low[j] = high[j] = float_order(static_cast<std::int32_t>(to_bits(row[j])));
  for (std::int32_t i = 8; i < dim; i += 8)
    for (int j = 0; j < 8; ++j) {
      std::int32_t const element = float_order(static_cast<std::int32_t>(to_bits(row[i + j])));
      low[j] = element < low[j] ? element : low[j];
      high[j] = element > high[j] ? element : high[j];
    }
  for (int j = 1; j < 8; ++j) {
    low[0] = low[j] < low[0] ? low[j] : low[0];
    high[0] = high[j] > high[0] ? high[j] : high[0];
  }
  return {to_float(static_cast<std::uint32_t>(float_order(low[0]))),
          to_float(static_cast<std::uint32_t>(float_order(high[0])))};
}

/// The same for a row that the lanes share.
template <int N, class Lanes>
[[nodiscard]] FOLIO_HOST_DEVICE Range find_range_by(Lanes const& lanes, Pack<float, N> const& part) {
  std::int32_t low = float_order(static_cast<std::int32_t>(to_bits(part[0]))), high = low;
  for (int i = 1; i < N; ++i) {
    std::int32_t const element = float_order(static_cast<std::int32_t>(to_bits(part[i])));
    low = element < low ? element : low;
    high = element > high ? element : high;
  }
  low = float_order(lanes.min(low));
  high = float_order(lanes.max(high));
  return {to_float(static_cast<std::uint32_t>(low)), to_float(static_cast<std::uint32_t>(high))};
}

/// The step of a symmetric format, and its reciprocal.
struct Scaling {
  float scale, inverse;
};

/// The scaling that takes `largest` to `code_max`. Where the scale would be denormal (rows below 2^-126 * code_max,
/// about 1e-36) it is 0, and the row is stored as zeros: its reciprocal would overflow. At the other end of float's
/// range it is rounded down, so that scale * code_max is finite.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr Scaling symmetric_scaling(float largest, float code_max) {
  float const scale = saturate(largest, 0x1.FFFFF8p127F) / code_max;
  return scale < 0x1p-126F ? Scaling{0.0F, 1.0F} : Scaling{scale, 1.0F / scale};
}

/// `value`, or 0 where it is NaN.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float nan_to_zero(float value) {
  std::uint32_t const bits = to_bits(value);
  return to_float(select_bits((bits & 0x7FFFFFFFU) > 0x7F800000U, 0U, bits));
}

/// `value`, or with its sign `limit` where it is larger, infinities too; 0 where it is NaN. As one: cheaper than
/// `nan_to_zero` and `saturate`.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float finite_within(float value, float limit) {
  std::uint32_t const bits = to_bits(value);
  auto const magnitude = static_cast<std::int32_t>(bits & 0x7FFFFFFFU);
  auto const highest = static_cast<std::int32_t>(to_bits(limit));
  std::int32_t const clamped = magnitude < highest ? magnitude : highest;
  std::int32_t const number = magnitude > 0x7F800000 ? 0 : clamped;
  return to_float((bits & 0x80000000U) | static_cast<std::uint32_t>(number));
}

/// The nearest integer, ties to even, of a number below 2^22 in magnitude.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t round_to_int(float value) {
  // 1.5 * 2^23: its last place is 1, so that the addition rounds, and leaves the integer in the low bits.
  return static_cast<std::int32_t>(to_bits(value + 0x1.8p23F) - 0x4B400000U);
}

/// `value`, which is not negative, or `limit` where it is larger. By masks, or the minimum of floats is a branch again.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float at_most(float value, float limit) {
  std::uint32_t const bits = to_bits(value), highest = to_bits(limit);
  return to_float(select_bits(static_cast<std::int32_t>(bits) < static_cast<std::int32_t>(highest), bits, highest));
}

/// `value` within [0, limit], by integers: bits of floats are in their order as far as these are positive.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float clamp_positive(float value, float limit) {
  auto bits = static_cast<std::int32_t>(to_bits(value));
  auto const highest = static_cast<std::int32_t>(to_bits(limit));
  bits = bits < highest ? bits : highest;
  bits &= ~(bits >> 31);
  return to_float(static_cast<std::uint32_t>(bits));
}

}  // namespace folio
