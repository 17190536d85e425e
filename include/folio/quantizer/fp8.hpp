// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/detail/unpack.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// The two fp8 formats of the Open Compute Project. e4m3 ("e4m3fn") has three bits of mantissa and reaches 448; e5m2
/// two bits, and reaches 57344.
enum class Fp8Format : std::uint8_t { e4m3, e5m2 };

/// Who scales the elements of a row. `row`: a float for each row (token and head) takes its largest magnitude to the
/// format's largest number. `caller`: nothing is stored, elements are taken as they are, and saturate.
enum class Fp8Scale : std::uint8_t { row, caller };

/// fp8 quantization: stores an element as fp8, times one float per row or none. Host and device.
///
/// Of a scaled row: relative error at most 2^-4 (e5m2: 2^-3) for elements above 2^-14 (2^-29) of its largest magnitude,
/// below absolute error at most 2^-10 (2^-17) of the scale; an infinity saturates at the row's largest finite
/// magnitude; a NaN stays one; rows below 6e-36 (7e-34) become zeros. Choose Int8PerToken unless the hardware
/// multiplies fp8: its mean squared error is a sixteenth (a 64th) on normally distributed rows.
template <Fp8Format format, Fp8Scale scaled_by>
struct Fp8Quantizer {
 private:
  static constexpr bool is_e4m3 = format == Fp8Format::e4m3, has_scale = scaled_by == Fp8Scale::row;
  static constexpr float largest_number = is_e4m3 ? e4m3_max : e5m2_max;
  struct None {};

 public:
  static constexpr char const* name =
      is_e4m3 ? (has_scale ? "fp8_e4m3" : "fp8_e4m3_static") : (has_scale ? "fp8_e5m2" : "fp8_e5m2_static");
  static constexpr int bits = 8;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{is_e4m3 ? Elements::e4m3 : Elements::e5m2,
                                        has_scale ? RowParams::scale : RowParams::none};
  using Params = std::conditional_t<has_scale, RowScale, None>;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return has_scale ? 4 : 0; }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    float inverse = 1.0F;
    if constexpr (has_scale) {
      Scaling const scaling = symmetric_scaling(largest_finite_magnitude(row, dim), largest_number);
      store_params(Pack<float, 1>{{scaling.scale}}, params);
      inverse = scaling.inverse;
    }
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      Pack<std::uint8_t, N> patterns;
      for (int i = 0; i < N; ++i) patterns[i] = encode_one(row[begin + i] * inverse);
      store_codes(patterns, codes + begin);
    });
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part, Pack<std::uint8_t, N>& codes,
                                          std::byte* params) {
    float inverse = 1.0F;
    if constexpr (has_scale) {
      Scaling const scaling = symmetric_scaling(largest_finite_magnitude_by(lanes, part), largest_number);
      if (lanes.rank() == 0) store_params(Pack<float, 1>{{scaling.scale}}, params);
      inverse = scaling.inverse;
    }
    for (int i = 0; i < N; ++i) codes[i] = encode_one(part[i] * inverse);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t) {
    if constexpr (has_scale)
      return {load_param<float>(params)};
    else
      return {};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    float scale = 1.0F;
    if constexpr (has_scale) scale = params.scale;
#if defined(__CUDA_ARCH__)
    auto const words = load_words<N>(codes);
    for (int w = 0; w < (N + 3) / 4; ++w) {
      auto const four = is_e4m3 ? e4m3x4_to_f32(words[w]) : e5m2x4_to_f32(words[w]);
      for (int i = 0; i < 4 && 4 * w + i < N; ++i) out[4 * w + i] = four[i] * scale;
    }
#else
    auto const patterns = load_codes<std::uint8_t, N>(codes);
    for (int i = 0; i < N; ++i) out[i] = (is_e4m3 ? e4m3_to_f32(patterns[i]) : e5m2_to_f32(patterns[i])) * scale;
#endif
  }

 private:
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::uint8_t encode_one(float element) {
    return is_e4m3 ? f32_to_e4m3(element) : f32_to_e5m2(element);
  }
};

/// A float for each row: 8.25 bits per element at 128. As in vLLM's "fp8_per_token_head".
using Fp8E4M3 = Fp8Quantizer<Fp8Format::e4m3, Fp8Scale::row>;
using Fp8E5M2 = Fp8Quantizer<Fp8Format::e5m2, Fp8Scale::row>;

/// Nothing but fp8: 8 bits per element. With scales of their own, per tensor or per head, callers divide keys and
/// values by them before `append`, multiply AttentionParams::scale (or each query) by the keys' and outputs by the
/// values': powers of two add no rounding of their own. Without, large elements saturate and small ones lose precision:
/// on values 100 times too small the mean squared error is five times as large. Choose the formats above unless such
/// scales are known.
using Fp8E4M3Static = Fp8Quantizer<Fp8Format::e4m3, Fp8Scale::caller>;
using Fp8E5M2Static = Fp8Quantizer<Fp8Format::e5m2, Fp8Scale::caller>;

static_assert(QuantizerPolicy<Fp8E4M3> && QuantizerPolicy<Fp8E5M2> && QuantizerPolicy<Fp8E4M3Static> &&
              QuantizerPolicy<Fp8E5M2Static>);

}  // namespace folio
