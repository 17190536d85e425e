// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>
#include <folio/quantizer/unpack.hpp>

namespace folio {

/// Stores an element as fp8 e4m3 (OCP e4m3fn) times one float per row (token and head), so that the row's largest
/// magnitude becomes 448: 8.25 bits per element at 128. As in vLLM's "fp8_per_token_head".
///
/// Host and device. Relative error at most 2^-4 for elements above 2^-14 (6e-5) of the row's largest magnitude,
/// absolute error at most 2^-10 of the scale below. An infinity saturates at the row's largest finite magnitude; a NaN
/// stays one; rows below 6e-36 become zeros. Choose Int8PerToken unless the hardware multiplies fp8: its mean squared
/// error is a sixteenth on normally distributed rows.
struct Fp8E4M3 {
  static constexpr char const* name = "fp8_e4m3";
  static constexpr int bits = 8;
  static constexpr Basis basis = Basis::model;
  struct Params {
    float scale;
  };

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return sizeof(float); }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    Scaling const scaling = symmetric_scaling(largest_finite_magnitude(row, dim), e4m3_max);
    std::memcpy(params, &scaling.scale, sizeof(float));
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      Pack<std::uint8_t, N> patterns;
      for (int i = 0; i < N; ++i) patterns[i] = f32_to_e4m3(row[begin + i] * scaling.inverse);
      store_codes(patterns, codes + begin);
    });
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part, Pack<std::uint8_t, N>& codes,
                                          std::byte* params) {
    Scaling const scaling = symmetric_scaling(largest_finite_magnitude_by(lanes, part), e4m3_max);
    if (lanes.rank() == 0) std::memcpy(params, &scaling.scale, sizeof(float));
    for (int i = 0; i < N; ++i) codes[i] = f32_to_e4m3(part[i] * scaling.inverse);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t) {
    return {load_param<float>(params)};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    float const scale = params.scale;
#if defined(__CUDA_ARCH__)
    auto const words = load_words<N>(codes);
    for (int w = 0; w < (N + 3) / 4; ++w) {
      auto const four = e4m3x4_to_f32(words[w]);
      for (int i = 0; i < 4 && 4 * w + i < N; ++i) out[4 * w + i] = four[i] * scale;
    }
#else
    auto const patterns = load_codes<std::uint8_t, N>(codes);
    for (int i = 0; i < N; ++i) out[i] = e4m3_to_f32(patterns[i]) * scale;
#endif
  }
};
static_assert(QuantizerPolicy<Fp8E4M3>);

}  // namespace folio
