// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A block of fp4 elements: its scale, and rounding to it. Host and device.

#include <folio/quantizer/packing.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// The scales of fp4 blocks. `nvfp4`: an e4m3 number for each 16 elements, times a float for the row (token and head).
/// `nvfp4_static`: without that float. `mxfp4`: a power of two (e8m0) for each 32 elements.
enum class Fp4Scales : std::uint8_t { nvfp4, nvfp4_static, mxfp4 };

/// What NVFP4 makes of a block's largest magnitude: 6, or 4 where that leaves the smaller error.
enum class Fp4Largest : std::uint8_t { six, four_or_six };

/// The scale of a block, as it is stored and as a reader sees it: elements are e2m1 numbers times `scale`.
template <Fp4Scales scales, Fp4Largest largest_becomes>
struct Fp4BlockScale {
  static constexpr bool is_mx = scales == Fp4Scales::mxfp4, is_adaptive = largest_becomes == Fp4Largest::four_or_six;
  static_assert(!(is_mx && is_adaptive),
                "folio: four_or_six is for nvfp4: the scales of mxfp4 are powers of two, which 4 and 6 are not apart");
  /// What the float of a row takes its largest magnitude to. 384, which a block that ends at 4 then needs, is an e4m3
  /// number; with 448, the largest, it would need one that there is not.
  static constexpr float row_max = e2m1_max * (is_adaptive ? 256.0F : e4m3_max);

  std::uint8_t pattern;
  float scale;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Fp4BlockScale load(std::uint8_t pattern, float of_row) {
    if constexpr (is_mx)
      return {pattern, to_float(std::uint32_t{pattern} << 23)};  // 0, which would be 2^-127, for blocks of zeros
    else
      return {pattern, e4m3_to_f32(pattern) * of_row};
  }

  /// Of a block with this largest magnitude. `error(tried)` is its error with that scale, as `error` below counts it;
  /// it is called only by `four_or_six`, and then always, for lanes that share a row meet in it.
  template <class F>
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Fp4BlockScale best(float largest, float of_row, F const& error) {
    Fp4BlockScale const six = make(largest, e2m1_max, of_row);
    if constexpr (!is_adaptive) {
      return six;
    } else {
      Fp4BlockScale const four = make(largest, 4.0F, of_row);
      std::int32_t const of_four = error(four, 1.0F);
      std::int32_t const of_six = error(six, four.scale == 0.0F ? 0.0F : six.scale / four.scale);
      return six.scale == 0.0F || of_four < of_six ? four : six;  // a scale that is rounded to 0 loses everything
    }
  }

  /// Rounds N elements, ties to the even pattern, and packs them.
  template <int N>
  [[nodiscard]] FOLIO_HOST_DEVICE Pack<std::uint8_t, N / 2> round(float const* elements) const {
    float const factor = inverse();
    Pack<std::uint8_t, N> patterns;
    for (int i = 0; i < N; ++i) patterns[i] = f32_to_e2m1(nan_to_zero(elements[i] * factor));
    return pack_bits<4, N>(patterns);
  }

  /// The sum of the squared errors that `round` makes, in whole numbers of 2^-24 (scale / unit)^2 and at most 2^26
  /// each: integers add up to the same sum however a row is cut into parts. Of 16 elements at most.
  template <int N>
  [[nodiscard]] FOLIO_HOST_DEVICE std::int32_t error(float const* elements, float unit) const {
    float const factor = inverse(), to_steps = 4096.0F * unit;
    Pack<std::int32_t, N> squares;
    for (int i = 0; i < N; ++i) {
      float const scaled = nan_to_zero(elements[i] * factor);
      float const difference = product(scaled - e2m1_to_f32(f32_to_e2m1(scaled)), to_steps);
      squares[i] = static_cast<std::int32_t>(clamp_positive(product(difference, difference), 0x1p26F));
    }
    std::int32_t sum = 0;
    for (int i = 0; i < N; ++i) sum += squares[i];
    return sum;
  }

 private:
  /// The scale that takes `largest` to `end`, rounded.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Fp4BlockScale make(float largest, float end, float of_row) {
    if constexpr (is_mx) {
      std::uint32_t const exponent = to_bits(largest) >> 23;  // biased by 127, as e8m0 is
      return load(static_cast<std::uint8_t>(exponent < 3 ? 0U : exponent - 2U), of_row);
    } else {
      return load(of_row == 0.0F ? std::uint8_t{0} : f32_to_e4m3(largest / (end * of_row)), of_row);
    }
  }

  [[nodiscard]] FOLIO_HOST_DEVICE constexpr float inverse() const { return scale == 0.0F ? 0.0F : 1.0F / scale; }
};

}  // namespace folio
