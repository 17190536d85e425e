// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio {

/// f16: stores an element as IEEE 754 half precision: 16 bits, no parameters.
///
/// Host and device; one conversion each way. Relative error at most 2^-11 from 2^-14 (6e-5) up, absolute error at most
/// 2^-25 below. What is larger than 65504, infinities too, saturates there; a NaN stays one. Choose BF16 for a model
/// that computes in bf16, whose numbers it keeps exactly.
struct F16 {
  static constexpr char const* name = "f16";
  static constexpr int bits = 16;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{Elements::f16};
  struct Params {};

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return 0; }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte*) {
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      Pack<std::uint16_t, N> patterns;
      for (int i = 0; i < N; ++i) patterns[i] = f32_to_f16(saturate(row[begin + i], f16_max));
      store_codes(patterns, codes + std::ptrdiff_t{2} * begin);
    });
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const&, Pack<float, N> const& part, Pack<std::uint8_t, 2 * N>& codes,
                                          std::byte*) {
    Pack<std::uint16_t, N> patterns;
    for (int i = 0; i < N; ++i) patterns[i] = f32_to_f16(saturate(part[i], f16_max));
    std::memcpy(&codes, &patterns, sizeof(codes));
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Params load_params(std::byte const*, std::int32_t) { return {}; }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const&, float* out) {
    auto const patterns = load_codes<std::uint16_t, N>(codes);
    for (int i = 0; i < N; ++i) out[i] = f16_to_f32(patterns[i]);
  }
  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const&, Half* out) {
    auto const halves = load_codes<Half, N>(codes);
    for (int i = 0; i < N; ++i) out[i] = halves[i];
  }
};
static_assert(QuantizerPolicy<F16>);

}  // namespace folio
