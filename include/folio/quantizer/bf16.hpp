// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/detail/unpack.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio {

/// bf16: stores an element as bfloat16: the upper 16 bits of a float, no parameters.
///
/// Host and device; decoding is a shift. Relative error at most 2^-8 at any size: three bits less than F16, without its
/// limits of range. Infinities and what would round to one saturate at the largest bf16, 3.39e38; a NaN stays one.
/// Choose it for a model that computes in bf16: nothing is lost.
struct BF16 {
  static constexpr char const* name = "bf16";
  static constexpr int bits = 16;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{Elements::bf16};
  struct Params {};

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return 0; }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte*) {
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      Pack<std::uint16_t, N> patterns;
      for (int i = 0; i < N; ++i) patterns[i] = f32_to_bf16(saturate(row[begin + i], bf16_max));
      store_codes(patterns, codes + std::ptrdiff_t{2} * begin);
    });
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const&, Pack<float, N> const& part, Pack<std::uint8_t, 2 * N>& codes,
                                          std::byte*) {
    Pack<std::uint16_t, N> patterns;
    for (int i = 0; i < N; ++i) patterns[i] = f32_to_bf16(saturate(part[i], bf16_max));
    std::memcpy(&codes, &patterns, sizeof(codes));
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Params load_params(std::byte const*, std::int32_t) { return {}; }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const&, float* out) {
#if defined(__CUDA_ARCH__)
    auto const words = load_words<2 * N>(codes);  // one operation for each element: a shift, or a mask
    for (int i = 0; i < N; ++i) out[i] = to_float(i % 2 == 0 ? words[i / 2] << 16 : words[i / 2] & 0xFFFF0000U);
#else
    auto const patterns = load_codes<std::uint16_t, N>(codes);
    for (int i = 0; i < N; ++i) out[i] = bf16_to_f32(patterns[i]);
#endif
  }
};
static_assert(QuantizerPolicy<BF16>);

}  // namespace folio
