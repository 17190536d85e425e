// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rows as integers from 0 to 2^Bits - 1 on an even grid, with a scale and a minimum of their own. Host and device.

#include <cstring>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// The 2^Bits values of a row: minimum + integer * scale, as a reader sees them, in f16 patterns.
template <int Bits>
struct IntegerGrid {
  static constexpr float last = (1 << Bits) - 1;  // the largest integer

  std::uint16_t scale, minimum;

  /// Over `clip` of the range. 4 bits are cut around its middle, 2 bits towards 0, where most of a rotated row's
  /// elements are: there that takes off another 3 percent of the error. The minimum is laid out for the scale as f16
  /// rounded it.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr IntegerGrid make(Range range, float clip) {
    std::uint16_t const scale = f32_to_f16(saturate((range.high - range.low) * clip / last, f16_max));
    float const middle = product(0.5F * (range.low + range.high), Bits == 4 ? 1.0F : clip);
    float const minimum = middle - 0.5F * last * f16_to_f32(scale);  // an exact product
    return {scale, f32_to_f16(saturate(minimum, f16_max))};
  }

  FOLIO_HOST_DEVICE void store(std::byte* params) const {
    std::memcpy(params, &scale, 2);
    std::memcpy(params + 2, &minimum, 2);
  }

  /// Rounds N elements of a row to the grid. Returns the sum of their squared errors, in whole numbers of (1 / unit)^2
  /// and at most 2^20 each: integers add up to the same sum however a row is cut into parts.
  template <int N>
  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t round_part(Pack<float, N> const& part, float unit,
                                                          Pack<std::uint8_t, N>& integers) const {
    float const step = f16_to_f32(scale), first = f16_to_f32(minimum);
    float const inverse = step > 0.0F ? 1.0F / step : 0.0F;
    std::int32_t error = 0;
    for (int i = 0; i < N; ++i) {
      std::int32_t const integer = round_to_int(clamp_positive((part[i] - first) * inverse, last));
      float const difference = product(part[i] - (static_cast<float>(integer) * step + first), unit);
      integers[i] = static_cast<std::uint8_t>(integer);
      error += static_cast<std::int32_t>(clamp_positive(product(difference, difference), 0x1p20F));
    }
    return error;
  }

  /// The same for a whole row; a byte for each integer.
  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t round(float const* row, std::int32_t dim, float unit,
                                                     std::byte* integers) const {
    std::int32_t error = 0;
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      Pack<float, N> part;
      for (int i = 0; i < N; ++i) part[i] = row[begin + i];
      Pack<std::uint8_t, N> rounded;
      error += round_part(part, unit, rounded);
      store_codes(rounded, integers + begin);
    });
    return error;
  }
};

}  // namespace folio
