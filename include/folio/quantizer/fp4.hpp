// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/group_lanes.hpp>
#include <folio/quantizer/packing.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// The scales of fp4 blocks. `nvfp4`: an e4m3 number for each 16 elements, times a float for the row (token and head).
/// `nvfp4_static`: without that float. `mxfp4`: a power of two (e8m0) for each 32 elements.
enum class Fp4Scales : std::uint8_t { nvfp4, nvfp4_static, mxfp4 };

/// Stores an element as fp4 e2m1 (0, 0.5, 1, 1.5, 2, 3, 4 or 6, and a sign) times the scale of its block. In a byte the
/// first element is in the low half. Host and device.
///
/// Elements round to the nearest, ties to even. NVFP4 takes a block's largest magnitude to 6 by a scale that is rounded
/// to e4m3, after the float has taken the row's to 6 * 448. MXFP4, by the OCP Microscaling Formats specification 1.0,
/// has the scale 2^(e - 2), 2^e the largest power of two not above the largest magnitude, and saturates from 6 to 8.
///
/// An infinity saturates at the largest of the block, a NaN becomes 0. Rows below 4e-35 (MXFP4: blocks below 2^-124)
/// become zeros. Without the float, blocks saturate at 6 * 448 and lose precision below 6 * 2^-6.
template <Fp4Scales scales>
struct Fp4Quantizer {
 private:
  static constexpr bool is_mx = scales == Fp4Scales::mxfp4, has_row_scale = scales == Fp4Scales::nvfp4;
  static constexpr std::int32_t block = is_mx ? 32 : 16, row_scale_bytes = has_row_scale ? 4 : 0;

 public:
  static constexpr char const* name = is_mx ? "mxfp4" : (has_row_scale ? "nvfp4" : "nvfp4_static");
  static constexpr int bits = 4;
  static constexpr Basis basis = Basis::model;
  static constexpr std::int32_t params_dim = block;
  struct Params {
    float scale;
  };

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t dim) {
    return row_scale_bytes + (dim + 4 * block - 1) / (4 * block) * 4;
  }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    float of_row = 1.0F;
    if constexpr (has_row_scale) of_row = row_scale(largest_finite_magnitude(row, dim));
    store_row_scale(of_row, dim, params);
    for (std::int32_t first = 0; first < dim; first += block) {
      std::int32_t const end = dim - first < block ? dim : first + block;
      auto const pattern = block_scale(largest_finite_magnitude(row + first, end - first), of_row);
      params[row_scale_bytes + first / block] = static_cast<std::byte>(pattern);
      float const scale = scale_of(pattern, of_row);
      if (end - first == block)
        store_codes(encode_part<block>(row + first, scale), codes + first / 2);
      else
        for (std::int32_t begin = first; begin < end; begin += 8)
          store_codes(encode_part<8>(row + begin, scale), codes + begin / 2);
    }
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part,
                                          Pack<std::uint8_t, N / 2>& codes, std::byte* params) {
    float of_row = 1.0F;
    if constexpr (has_row_scale) of_row = row_scale(largest_finite_magnitude_by(lanes, part));
    if (lanes.rank() == 0) store_row_scale(of_row, lanes.dim(), params);
    constexpr int n = N < block ? N : block;
    for (int begin = 0; begin < N; begin += n) {
      Pack<float, n> piece;
      for (int i = 0; i < n; ++i) piece[i] = part[begin + i];
      GroupLanes<Lanes, n, block> const group(lanes, lanes.rank() * N + begin);
      auto const pattern = block_scale(largest_finite_magnitude_by(group, piece), of_row);
      if (group.is_first()) params[row_scale_bytes + group.first() / block] = static_cast<std::byte>(pattern);
      auto const encoded = encode_part<n>(piece.v, scale_of(pattern, of_row));
      for (int i = 0; i < n / 2; ++i) codes[begin / 2 + i] = encoded[i];
    }
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim) {
    float of_row = 1.0F;
    if constexpr (has_row_scale) of_row = load_param<float>(params);
    return {scale_of(static_cast<std::uint8_t>(params[row_scale_bytes + dim / block]), of_row)};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    float const scale = params.scale;
    auto const patterns = unpack_bits<4, N>(load_codes<std::uint8_t, N / 2>(codes));
    for (int i = 0; i < N; ++i) out[i] = e2m1_to_f32(patterns[i]) * scale;
  }

 private:
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr float row_scale(float largest) {
    return symmetric_scaling(largest, e2m1_max * e4m3_max).scale;
  }

  /// And zeros where block scales end before a multiple of 4 bytes.
  FOLIO_HOST_DEVICE static void store_row_scale(float of_row, std::int32_t dim, std::byte* params) {
    if constexpr (has_row_scale) std::memcpy(params, &of_row, sizeof(float));
    for (std::int32_t i = row_scale_bytes + (dim + block - 1) / block; i < param_bytes(dim); ++i) params[i] = {};
  }

  /// The stored scale of a block with this largest magnitude.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::uint8_t block_scale(float largest, float of_row) {
    if constexpr (is_mx) {
      std::uint32_t const exponent = to_bits(largest) >> 23;  // biased by 127, as e8m0 is
      return static_cast<std::uint8_t>(exponent < 3 ? 0U : exponent - 2U);
    } else {
      return of_row == 0.0F ? std::uint8_t{0} : f32_to_e4m3(largest / (e2m1_max * of_row));
    }
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr float scale_of(std::uint8_t pattern, float of_row) {
    if constexpr (is_mx)
      return to_float(std::uint32_t{pattern} << 23);  // 0, which would be 2^-127, for blocks of zeros
    else
      return e4m3_to_f32(pattern) * of_row;
  }

  template <int N>
  [[nodiscard]] FOLIO_HOST_DEVICE static Pack<std::uint8_t, N / 2> encode_part(float const* elements, float scale) {
    float const inverse = scale == 0.0F ? 0.0F : 1.0F / scale;
    Pack<std::uint8_t, N> patterns;
    for (int i = 0; i < N; ++i) patterns[i] = f32_to_e2m1(nan_to_zero(elements[i] * inverse));
    return pack_bits<4, N>(patterns);
  }
};

/// NVIDIA's format: 4.75 bits per element at 128, and 4.5 without the row's float, which callers fold where a tensor or
/// a head has one (see Fp8E4M3Static). Mean squared error 8.9e-3 on normally distributed rows, with outliers in a block
/// of their own. For hardware that multiplies it; Int4Rotated is as good in fewer bits.
using Nvfp4 = Fp4Quantizer<Fp4Scales::nvfp4>;
using Nvfp4Static = Fp4Quantizer<Fp4Scales::nvfp4_static>;

/// The OCP's format: 4.25 bits per element. Mean squared error 1.3e-2.
using Mxfp4 = Fp4Quantizer<Fp4Scales::mxfp4>;

static_assert(QuantizerPolicy<Nvfp4> && QuantizerPolicy<Nvfp4Static> && QuantizerPolicy<Mxfp4>);

}  // namespace folio
