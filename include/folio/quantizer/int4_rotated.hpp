// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/hadamard.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// Rotates a row by `hadamard_rotate` and stores an element as minimum + integer * scale, the integer from 0 to 15,
/// with an f16 scale and an f16 minimum per row (token and head): 4.25 bits per element at 128. The design of SAW-INT4
/// (arXiv 2604.19157) and vLLM's "int4_per_token_head". The even element is in a byte's low nibble.
///
/// A row's range is cut to `ClipPercent` of it, or left whole where that gives the smaller squared error. On normally
/// distributed rows of 128 the mean squared error is 9.9e-3 of the variance without the cut and 9.0e-3 with 92 percent,
/// the best there; longer rows want less (256: 88, 1024: 80), rows of 64 or shorter 96 or more.
///
/// Host and device. Encoding is one rotation and four passes, and takes 6 KiB of stack (encode_by: none); decoding is a
/// mask and one multiplication and addition, exact up to the last rounding, so that it is the same everywhere. Without
/// the cut an element's error in the rotated basis is at most about half a scale, 1/30 of the rotated row's range. A
/// NaN is stored as 0, an infinity as the row's largest finite magnitude; input saturates at 65504; below a range of
/// 1e-5 the scale loses precision, as f16 does. Choose Int8PerToken where the last tenths of a percent of accuracy
/// count.
template <int ClipPercent>
struct Int4RotatedClipped {
  static_assert(0 < ClipPercent && ClipPercent <= 100, "folio: ClipPercent is a share of the row's range, 1 to 100");

  static constexpr char const* name = "int4_rotated";
  static constexpr int bits = 4;
  static constexpr Basis basis = Basis::hadamard;
  struct Params {
    float scale, minimum;
  };

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return 4; }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    float rotated[max_row_dim];
    float const limit = saturate(largest_finite_magnitude(row, dim), f16_max);
    for (std::int32_t i = 0; i < dim; ++i) rotated[i] = saturate(nan_to_zero(row[i]), limit);
    hadamard_rotate(rotated, dim);

    Grids const grids = make_grids(find_range(rotated, dim));
    alignas(16) std::byte integers[2][max_row_dim];
    std::int32_t const whole_error = quantize(rotated, dim, grids.whole, grids.unit, integers[0]);
    std::int32_t const clipped_error = quantize(rotated, dim, grids.clipped, grids.unit, integers[1]);
    bool const clip = clipped_error < whole_error;

    store_grid(clip ? grids.clipped : grids.whole, params);
    pack(integers[clip ? 1 : 0], dim, codes);
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part,
                                          Pack<std::uint8_t, N / 2>& codes, std::byte* params) {
    Pack<float, N> rotated;
    float const limit = saturate(largest_finite_magnitude_by(lanes, part), f16_max);
    for (int i = 0; i < N; ++i) rotated[i] = saturate(nan_to_zero(part[i]), limit);
    hadamard_rotate_by(lanes, rotated, hadamard_block(lanes.dim()));

    Grids const grids = make_grids(find_range_by(lanes, rotated));
    Pack<std::uint8_t, N> integers[2];
    std::int32_t const whole_error = lanes.sum(quantize_part(rotated, grids.whole, grids.unit, integers[0]));
    std::int32_t const clipped_error = lanes.sum(quantize_part(rotated, grids.clipped, grids.unit, integers[1]));
    bool const clip = clipped_error < whole_error;

    if (lanes.rank() == 0) store_grid(clip ? grids.clipped : grids.whole, params);
    for (int i = 0; i < N / 2; ++i) {
      auto const low = clip ? integers[1][2 * i] : integers[0][2 * i];
      auto const high = clip ? integers[1][2 * i + 1] : integers[0][2 * i + 1];
      codes[i] = static_cast<std::uint8_t>(low | high << 4);
    }
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t) {
    auto const both = load_param<std::uint32_t>(params);
    return {f16_to_f32(static_cast<std::uint16_t>(both)), f16_to_f32(static_cast<std::uint16_t>(both >> 16))};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    auto const pairs = load_codes<std::uint8_t, N / 2>(codes);
    Pack<std::uint16_t, N / 2> spread;
    for (int i = 0; i < N / 2; ++i) spread[i] = static_cast<std::uint16_t>((pairs[i] | pairs[i] << 4) & 0x0F0F);
    auto const integers = __builtin_bit_cast(Pack<std::uint8_t, N>, spread);
    // The product has at most 15 bits and is exact: fused or not, the sum is rounded once.
    float const scale = params.scale, minimum = params.minimum;
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(integers[i]) * scale + minimum;
  }

 private:
  struct Range {
    float low, high;
  };
  /// The 16 values of a row, as they are stored: f16 patterns.
  struct Grid {
    std::uint16_t scale, minimum;
  };
  /// The two grids to choose from. Errors are counted in whole numbers of (scale of `whole` / 256)^2, `unit` being
  /// 256 / scale: integers add up to the same sum however a row is cut into parts.
  struct Grids {
    Grid whole, clipped;
    float unit;
  };

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Grids make_grids(Range range) {
    Grid const whole = make_grid(range, 1.0F);
    float const scale = f16_to_f32(whole.scale);
    return {whole, make_grid(range, static_cast<float>(ClipPercent) / 100.0F), scale > 0.0F ? 256.0F / scale : 0.0F};
  }

  FOLIO_HOST_DEVICE static void store_grid(Grid const& grid, std::byte* params) {
    std::memcpy(params, &grid.scale, 2);
    std::memcpy(params + 2, &grid.minimum, 2);
  }

  /// The order of floats as that of integers, and back: minima of integers vectorize, those of floats do not.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t order(std::int32_t pattern) {
    return pattern ^ ((pattern >> 31) & 0x7FFFFFFF);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Range find_range(float const* row, std::int32_t dim) {
    std::int32_t low[8] = {}, high[8] = {};
    for (int j = 0; j < 8; ++j) low[j] = high[j] = order(static_cast<std::int32_t>(to_bits(row[j])));
    for (std::int32_t i = 8; i < dim; i += 8)
      for (int j = 0; j < 8; ++j) {
        std::int32_t const element = order(static_cast<std::int32_t>(to_bits(row[i + j])));
        low[j] = element < low[j] ? element : low[j];
        high[j] = element > high[j] ? element : high[j];
      }
    for (int j = 1; j < 8; ++j) {
      low[0] = low[j] < low[0] ? low[j] : low[0];
      high[0] = high[j] > high[0] ? high[j] : high[0];
    }
    return {to_float(static_cast<std::uint32_t>(order(low[0]))), to_float(static_cast<std::uint32_t>(order(high[0])))};
  }

  /// `clip` of the range around its middle. The minimum is laid out for the scale as f16 rounded it.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Grid make_grid(Range range, float clip) {
    std::uint16_t const scale = f32_to_f16(saturate((range.high - range.low) * clip / 15.0F, f16_max));
    float const minimum = 0.5F * (range.low + range.high) - 7.5F * f16_to_f32(scale);  // both products are exact
    return {scale, f32_to_f16(saturate(minimum, f16_max))};
  }

  template <int N, class Lanes>
  [[nodiscard]] FOLIO_HOST_DEVICE static Range find_range_by(Lanes const& lanes, Pack<float, N> const& part) {
    std::int32_t low = order(static_cast<std::int32_t>(to_bits(part[0]))), high = low;
    for (int i = 1; i < N; ++i) {
      std::int32_t const element = order(static_cast<std::int32_t>(to_bits(part[i])));
      low = element < low ? element : low;
      high = element > high ? element : high;
    }
    low = order(lanes.min(low));
    high = order(lanes.max(high));
    return {to_float(static_cast<std::uint32_t>(low)), to_float(static_cast<std::uint32_t>(high))};
  }

  /// The element's place on the grid as a reader will see it, and the squared error that is left, in `unit`s.
  struct Rounded {
    std::int32_t integer, error;
  };
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Rounded round_to_grid(float x, float scale, float inverse,
                                                                         float minimum, float unit) {
    std::int32_t const integer = round_to_int(clamp_positive((x - minimum) * inverse, 15.0F));
    float const difference = product(x - (static_cast<float>(integer) * scale + minimum), unit);
    return {integer, static_cast<std::int32_t>(clamp_positive(product(difference, difference), 0x1p20F))};
  }

  /// Rounds N elements to the grid. Returns the sum of the squared errors: at most 2^20 for each element.
  template <int N>
  [[nodiscard]] FOLIO_HOST_DEVICE static std::int32_t quantize_part(Pack<float, N> const& part, Grid grid, float unit,
                                                                    Pack<std::uint8_t, N>& integers) {
    float const scale = f16_to_f32(grid.scale), minimum = f16_to_f32(grid.minimum);
    float const inverse = scale > 0.0F ? 1.0F / scale : 0.0F;
    std::int32_t error = 0;
    for (int i = 0; i < N; ++i) {
      Rounded const rounded = round_to_grid(part[i], scale, inverse, minimum, unit);
      integers[i] = static_cast<std::uint8_t>(rounded.integer);
      error += rounded.error;
    }
    return error;
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static std::int32_t quantize(float const* row, std::int32_t dim, Grid grid,
                                                               float unit, std::byte* integers) {
    std::int32_t error = 0;
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      Pack<float, N> part;
      for (int i = 0; i < N; ++i) part[i] = row[begin + i];
      Pack<std::uint8_t, N> rounded;
      error += quantize_part(part, grid, unit, rounded);
      store_codes(rounded, integers + begin);
    });
    return error;
  }

  FOLIO_HOST_DEVICE static void pack(std::byte const* integers, std::int32_t dim, std::byte* codes) {
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      auto const pairs = load_codes<std::uint16_t, N / 2>(integers + begin);
      Pack<std::uint8_t, N / 2> bytes;
      for (int i = 0; i < N / 2; ++i) bytes[i] = static_cast<std::uint8_t>(pairs[i] | pairs[i] >> 4);
      store_codes(bytes, codes + begin / 2);
    });
  }
};

using Int4Rotated = Int4RotatedClipped<92>;
static_assert(QuantizerPolicy<Int4Rotated>);

}  // namespace folio
