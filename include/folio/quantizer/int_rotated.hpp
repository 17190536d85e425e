// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/hadamard.hpp>
#include <folio/quantizer/integer_grid.hpp>
#include <folio/quantizer/packing.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>
#include <folio/quantizer/unpack.hpp>

namespace folio {

/// Rotates a row by `hadamard_rotate` and stores an element as minimum + integer * scale, the integer of `Bits` bits,
/// with an f16 scale and an f16 minimum per row (token and head). In a byte the first element is in the lowest bits.
///
/// Of 4 bits (Int4Rotated, 4.25 bits per element at 128) it is the design of SAW-INT4 (arXiv 2604.19157) and vLLM's
/// "int4_per_token_head". Of 2 bits (Int2Rotated, 2.25) it is what QuaRot (arXiv 2404.00456) stores, with the cut that
/// makes it usable.
///
/// A row's range is left whole, or cut to one of `ClipPercents` of it, by which the squared error is least. On normally
/// distributed rows of 128 the mean squared error is, of the variance, 9.9e-3 without and 9.0e-3 with the cut at 4
/// bits, and 0.25 without and 0.117 with it at 2 bits, as much as the best four values for that distribution leave. 4
/// bits are cut to 92 percent, the best there; longer rows want less (256: 88, 1024: 80), rows of 64 or shorter 96 or
/// more. 2 bits have three to choose from, and the same error from 64 (0.110) to 1024 (0.123).
///
/// Host and device. Encoding is one rotation, two passes and one more for each cut, and takes 6 KiB of stack
/// (encode_by: none); decoding is a mask and one multiplication and addition, exact up to the last rounding, so that it
/// is the same everywhere. Without a cut an element's error in the rotated basis is at most about half a scale, 1/30 of
/// the rotated row's range with 4 bits and 1/6 with 2. A NaN is stored as 0, an infinity as the row's largest finite
/// magnitude; input saturates at 65504; below a range of 1e-5 the scale loses precision, as f16 does. Choose
/// Int8PerToken where the last tenths of a percent of accuracy count, and Int2Rotated for old tokens rather than for
/// all.
template <int Bits, int... ClipPercents>
struct BasicIntRotated {
  static_assert(Bits == 2 || Bits == 4, "folio: BasicIntRotated stores 2 or 4 bits");
  static_assert(((0 < ClipPercents && ClipPercents <= 100) && ...),
                "folio: a ClipPercent is a share of the row's range, 1 to 100");

  static constexpr char const* name = Bits == 4 ? "int4_rotated" : "int2_rotated";
  static constexpr int bits = Bits;
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

    alignas(16) std::byte integers[2][max_row_dim];  // of the best grid so far, and of the one tried
    int tried = 0;
    BestGrid best;
    for_each_grid(find_range(rotated, dim), [&](IntegerGrid<Bits> grid, float unit) {
      if (best.improve(grid, grid.round(rotated, dim, unit, integers[tried]))) tried = 1 - tried;
    });
    best.grid.store(params);
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      auto const part = load_codes<std::uint8_t, N>(integers[1 - tried] + begin);
      store_codes(pack_bits<Bits, N>(part), codes + begin * Bits / 8);
    });
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part,
                                          Pack<std::uint8_t, N * Bits / 8>& codes, std::byte* params) {
    Pack<float, N> rotated;
    float const limit = saturate(largest_finite_magnitude_by(lanes, part), f16_max);
    for (int i = 0; i < N; ++i) rotated[i] = saturate(nan_to_zero(part[i]), limit);
    hadamard_rotate_by(lanes, rotated, hadamard_block(lanes.dim()));

    Pack<std::uint8_t, N> integers{}, tried{};
    BestGrid best;
    for_each_grid(find_range_by(lanes, rotated), [&](IntegerGrid<Bits> grid, float unit) {
      if (best.improve(grid, lanes.sum(grid.round_part(rotated, unit, tried)))) integers = tried;
    });
    if (lanes.rank() == 0) best.grid.store(params);
    codes = pack_bits<Bits, N>(integers);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t) {
    auto const both = load_param<std::uint32_t>(params);
    return {f16_to_f32(static_cast<std::uint16_t>(both)), f16_to_f32(static_cast<std::uint16_t>(both >> 16))};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    // The product has at most 15 bits and is exact: fused or not, the sum is rounded once.
    float const scale = params.scale, minimum = params.minimum;
#if defined(__CUDA_ARCH__)
    constexpr int per_word = 32 / Bits;
    auto const words = load_words<N * Bits / 8>(codes);
    for (int i = 0; i < N; ++i) out[i] = unsigned_to_f32<Bits>(words[i / per_word], i % per_word) * scale + minimum;
#else
    auto const integers = unpack_bits<Bits, N>(load_codes<std::uint8_t, N * Bits / 8>(codes));
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(integers[i]) * scale + minimum;
#endif
  }

 private:
  /// The grid with the least squared error so far; of equals the first.
  struct BestGrid {
    IntegerGrid<Bits> grid{};
    std::int32_t error = 0x7FFFFFFF;

    FOLIO_HOST_DEVICE constexpr bool improve(IntegerGrid<Bits> other, std::int32_t its_error) {
      if (its_error >= error) return false;
      grid = other;
      error = its_error;
      return true;
    }
  };

  /// Calls `f(grid, unit)` for the grid of the whole range, and for those of its parts. Errors are counted in units of
  /// 1/256 of the whole range's scale.
  template <class F>
  FOLIO_HOST_DEVICE static void for_each_grid(Range range, F const& f) {
    auto const whole = IntegerGrid<Bits>::make(range, 1.0F);
    float const scale = f16_to_f32(whole.scale);
    float const unit = scale > 0.0F ? 256.0F / scale : 0.0F;
    f(whole, unit);
    (f(IntegerGrid<Bits>::make(range, static_cast<float>(ClipPercents) / 100.0F), unit), ...);
  }
};

using Int4Rotated = BasicIntRotated<4, 92>;
using Int2Rotated = BasicIntRotated<2, 70, 58, 48>;
static_assert(QuantizerPolicy<Int4Rotated> && QuantizerPolicy<Int2Rotated>);

}  // namespace folio
