// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Groups of elements as integers of a few bits on an even grid, with a scale of their own. Host and device.

#include <cstring>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// Where the 2^Bits values of a grid lie.
///
/// `symmetric`: multiples of the scale, 0 among them, no minimum to be stored. Of 8 bits from -127 to 127; of fewer
/// bits from -2^(Bits-1) to 2^(Bits-1) - 1, with a scale of either sign, so that the largest magnitude has a value.
/// `centered`: odd multiples of half the scale, as many above 0 as below. No minimum either, and no 0.
/// `asymmetric`: multiples of the scale above a minimum, which is stored too.
enum class Levels : std::uint8_t { symmetric, centered, asymmetric };

/// The values minimum + integer * scale of a group, as a reader sees them. `Stored` is what they are stored as, Half or
/// float.
///
/// But for that of 8 symmetric bits, a scale has at most 16 significant bits, so that integer * scale is exact: fused
/// with an addition or not, the result is the same.
template <int Bits, Levels levels = Levels::asymmetric, class Stored = Half>
struct IntegerGrid {
  static constexpr bool is_signed = Bits == 8 && levels == Levels::symmetric;  ///< its integers: from -127 to 127
  static constexpr float last = is_signed ? 127 : (1 << Bits) - 1;             ///< the largest integer
  static constexpr float half = 1 << (Bits - 1);
  static constexpr std::int32_t param_bytes = std::int32_t{sizeof(Stored)} * (levels == Levels::asymmetric ? 2 : 1);

  float scale, minimum;
  float inverse;  ///< 1 / scale, or 0

  /// Over `clip` of the range. An asymmetric one of 4 bits and more is cut around its middle, of fewer towards 0, where
  /// most of a rotated row's elements are: with 2 bits that takes off another 3 percent of the error. The minimum is
  /// laid out for the scale as it is stored.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr IntegerGrid make(Range range, float clip) {
    float const largest = range.high > -range.low ? range.high : -range.low;
    if constexpr (levels == Levels::asymmetric) {
      float const step = as_stored((range.high - range.low) * clip / last);
      float const middle = product(0.5F * (range.low + range.high), Bits >= 4 ? 1.0F : clip);
      return with_minimum(step, as_stored(middle - 0.5F * last * step));  // an exact product
    } else if constexpr (is_signed) {
      return with_scale(as_stored(symmetric_scaling(largest * clip, last).scale));
    } else {
      float const end = saturate(largest, 0x1.FFFEp126F);  // of 16 bits, and small enough for last * scale
      bool const turned = levels == Levels::symmetric && range.high > -range.low;
      return with_scale(as_stored(product(turned ? -end : end, clip / half)));
    }
  }

  /// `params` is aligned to `param_bytes`.
  FOLIO_HOST_DEVICE void store(std::byte* params) const {
    if constexpr (sizeof(Stored) == sizeof(float))
      store_params(Pack<float, 1>{{scale}}, params);
    else if constexpr (levels == Levels::asymmetric)
      store_params(Pack<std::uint16_t, 2>{{f32_to_f16(scale), f32_to_f16(minimum)}}, params);
    else
      store_params(Pack<std::uint16_t, 1>{{f32_to_f16(scale)}}, params);
  }

  /// What `store` wrote.
  [[nodiscard]] FOLIO_HOST_DEVICE static IntegerGrid load(std::byte const* params) {
    if constexpr (sizeof(Stored) == sizeof(float)) {
      return with_scale(load_param<float>(params));
    } else if constexpr (levels != Levels::asymmetric) {
      return with_scale(f16_to_f32(load_param<std::uint16_t>(params)));
    } else {
      auto const both = load_param<std::uint32_t>(params);
      return with_minimum(f16_to_f32(static_cast<std::uint16_t>(both)),
                          f16_to_f32(static_cast<std::uint16_t>(both >> 16)));
    }
  }

  /// Rounds N elements to the grid, ties to the even integer. Signed integers are in two's complement.
  template <int N>
  [[nodiscard]] FOLIO_HOST_DEVICE Pack<std::uint8_t, N> round(float const* elements) const {
    float const first = minimum, factor = inverse;
    Pack<std::uint8_t, N> integers;
    for (int i = 0; i < N; ++i) {
      if constexpr (is_signed)
        integers[i] = static_cast<std::uint8_t>(round_to_int(nan_to_zero(saturate(elements[i] * factor, last))));
      else
        integers[i] = static_cast<std::uint8_t>(round_to_int(clamp_positive((elements[i] - first) * factor, last)));
    }
    return integers;
  }

  /// The sum of the squared errors that `round` makes, in whole numbers of (1 / unit)^2 and at most 2^20 each: integers
  /// add up to the same sum however a row is cut into parts.
  template <int N>
  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t error(float const* elements, float unit) const {
    static_assert(!is_signed, "folio: 8 symmetric bits are not cut, and their errors not counted");
    float const step = scale, first = minimum, factor = inverse;
    std::int32_t sum = 0;
    for (int i = 0; i < N; ++i) {
      std::int32_t const integer = round_to_int(clamp_positive((elements[i] - first) * factor, last));
      float const difference = product(elements[i] - (static_cast<float>(integer) * step + first), unit);
      sum += static_cast<std::int32_t>(clamp_positive(product(difference, difference), 0x1p20F));  // a NaN, too
    }
    return sum;
  }

 private:
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr IntegerGrid with_minimum(float scale, float minimum) {
    return {scale, minimum, scale == 0.0F ? 0.0F : 1.0F / scale};
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr IntegerGrid with_scale(float scale) {
    return with_minimum(scale, levels == Levels::centered ? -0.5F * last * scale : -half * scale);
  }

  /// `value` as it is read back: in a float, 0 below 2^-100, and rounded to 16 significant bits.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr float as_stored(float value) {
    if constexpr (sizeof(Stored) == sizeof(Half)) {
      return f16_to_f32(f32_to_f16(saturate(value, f16_max)));
    } else if constexpr (is_signed) {
      return value;
    } else {
      std::uint32_t const bits = to_bits(value);
      return (bits & 0x7FFFFFFFU) < to_bits(0x1p-100F) ? 0.0F : to_float((bits + 0x80U) & 0xFFFFFF00U);
    }
  }
};

}  // namespace folio
