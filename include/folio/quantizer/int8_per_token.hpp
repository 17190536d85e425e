// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>
#include <folio/quantizer/unpack.hpp>

namespace folio {

/// Stores an element as an integer from -127 to 127 times one float per row (token and head): the row's largest
/// magnitude divided by 127. 8.25 bits per element at 128. As in vLLM's "int8_per_token_head".
///
/// Host and device; encoding reads the row twice, decoding is a conversion and a multiplication. Error at most half a
/// scale: a row within [-2, 2] has the scale 2/127 and errors up to 1/127. Ties round to even. A NaN is stored as 0, an
/// infinity as the row's largest finite magnitude; rows below 2e-36 become zeros. The first format to try: next to no
/// loss at half the bytes of BF16. Choose Int4Rotated for half of that.
struct Int8PerToken {
  static constexpr char const* name = "int8";
  static constexpr int bits = 8;
  static constexpr Basis basis = Basis::model;
  struct Params {
    float scale;
  };

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return sizeof(float); }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    Scaling const scaling = symmetric_scaling(largest_finite_magnitude(row, dim), 127.0F);
    std::memcpy(params, &scaling.scale, sizeof(float));
    for_each_part(0, dim, [&]<int N>(std::int32_t begin) {
      Pack<std::int8_t, N> integers;
      for (int i = 0; i < N; ++i) integers[i] = encode_one(row[begin + i], scaling);
      store_codes(integers, codes + begin);
    });
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part, Pack<std::uint8_t, N>& codes,
                                          std::byte* params) {
    Scaling const scaling = symmetric_scaling(largest_finite_magnitude_by(lanes, part), 127.0F);
    if (lanes.rank() == 0) std::memcpy(params, &scaling.scale, sizeof(float));
    for (int i = 0; i < N; ++i) codes[i] = static_cast<std::uint8_t>(encode_one(part[i], scaling));
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t) {
    return {load_param<float>(params)};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    float const scale = params.scale;
#if defined(__CUDA_ARCH__)
    auto const words = load_words<N>(codes);
    for (int i = 0; i < N; ++i) out[i] = signed_byte_to_f32(words[i / 4], i % 4) * scale;
#else
    auto const integers = load_codes<std::int8_t, N>(codes);
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(integers[i]) * scale;
#endif
  }

 private:
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int8_t encode_one(float element, Scaling const& scaling) {
    return static_cast<std::int8_t>(round_to_int(nan_to_zero(saturate(element * scaling.inverse, 127.0F))));
  }
};
static_assert(QuantizerPolicy<Int8PerToken>);

}  // namespace folio
