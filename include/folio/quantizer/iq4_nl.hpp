// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/detail/group_lanes.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/packing.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/scaling.hpp>

namespace folio {

/// Non-linear 4-bit quantization: the codebook of ggml's iq4_nl, 16 integers from -127 to 113 that lie closer around 0,
/// times an f16 scale for each 32 elements. 4.5 bits per element. In a byte the first element is in the low half.
///
/// The scale takes the group's largest magnitude to -127, by its sign; the codes are those of the scale as f16 rounded
/// it. Mean squared error 6.4e-3 on normally distributed rows of 128: next to Int4PerGroup<32>, in half a bit less, and
/// without a rotation. An element is off by 0.111 of its group's largest magnitude at most. An infinity saturates, a
/// NaN becomes the value nearest to 0; groups below 4e-6 become zeros, those above 8.3e6 saturate.
///
/// Host and device. Decoding looks an integer up in two registers and multiplies; encoding compares with 15 limits. On
/// the host attention decodes rows to floats first. Take it for what llama.cpp keeps in iq4_nl; Int4Rotated is smaller.
///
/// Source: ggml (GGML_TYPE_IQ4_NL). ggml fits the scale to the elements once more, and mixes the halves of a group.
struct Iq4Nl {
  static constexpr char const* name = "iq4_nl";
  static constexpr int bits = 4;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{Elements::decoded};  // the host's attention has no kernels for codebooks
  static constexpr std::int32_t params_dim = 32;
  using Params = RowScale;

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t dim) {
    return (num_groups(dim) + 1) / 2 * 4;
  }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte* params) {
    for (std::int32_t first = 0; first < dim; first += params_dim) {
      std::int32_t const end = dim - first < params_dim ? dim : first + params_dim;
      std::int32_t largest = 0;
      for (std::int32_t i = first; i < end; ++i) largest = larger(largest, signed_magnitude(row[i]));
      std::uint16_t const scale = scale_for(largest);
      store_params(Pack<std::uint16_t, 1>{{scale}}, params + first / 16);
      for (std::int32_t i = first; i < end; i += 8) store_codes(round<8>(row + i, scale), codes + i / 2);
    }
    store_padding(dim, params);
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const& lanes, Pack<float, N> const& part,
                                          Pack<std::uint8_t, N / 2>& codes, std::byte* params) {
    static_assert(N <= params_dim);
    GroupLanes<Lanes, N, params_dim> const group(lanes, lanes.rank() * N);
    std::int32_t largest = 0;
    for (int i = 0; i < N; ++i) largest = larger(largest, signed_magnitude(part[i]));
    std::uint16_t const scale = scale_for(group.max(largest));
    if (group.is_first()) store_params(Pack<std::uint16_t, 1>{{scale}}, params + group.first() / 16);
    if (lanes.rank() == 0) store_padding(lanes.dim(), params);
    codes = round<N>(part.v, scale);
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static Params load_params(std::byte const* params, std::int32_t dim) {
    return {f16_to_f32(load_param<std::uint16_t>(params + dim / params_dim * 2))};
  }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const& params, float* out) {
    auto const indices = unpack_bits<4, N>(load_codes<std::uint8_t, N / 2>(codes));
    for (int i = 0; i < N; ++i) out[i] = static_cast<float>(level(indices[i])) * params.scale;
  }

  /// The codebook: the integer of a code from 0 to 15.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t level(std::uint32_t code) {
    // -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113; plus 128 each, the first one lowest.
    std::uint64_t const eight = code < 8 ? 0x766A5D4F3F2D1801U : 0xF1D9C5B5A6998D81U;
    return static_cast<std::int32_t>(eight >> (8 * (code & 7U)) & 0xFFU) - 128;
  }

 private:
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t num_groups(std::int32_t dim) {
    return (dim + params_dim - 1) / params_dim;
  }
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t larger(std::int32_t a, std::int32_t b) {
    return a > b ? a : b;
  }

  /// The magnitude of a finite element, else 0, with the sign in its last place: integers are in the magnitudes' order.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t signed_magnitude(float element) {
    std::uint32_t const pattern = to_bits(element), magnitude = pattern & 0x7FFFFFFEU;
    return static_cast<std::int32_t>((magnitude < 0x7F800000U ? magnitude : 0U) | pattern >> 31);
  }
  /// The f16 scale that takes the element of this signed magnitude to -127.
  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::uint16_t scale_for(std::int32_t largest) {
    auto const pattern = static_cast<std::uint32_t>(largest);
    float const scale = saturate(to_float(pattern & ~1U) / 127.0F, f16_max);
    return f32_to_f16((pattern & 1U) != 0 ? scale : -scale);
  }

  /// The nearest levels of N elements, packed; of two that are as near the larger one.
  template <int N>
  [[nodiscard]] FOLIO_HOST_DEVICE static Pack<std::uint8_t, N / 2> round(float const* elements, std::uint16_t stored) {
    float const scale = f16_to_f32(stored), inverse = scale == 0.0F ? 0.0F : 1.0F / scale;
    Pack<std::uint8_t, N> indices;
    for (int i = 0; i < N; ++i) {
      float const scaled = nan_to_zero(elements[i] * inverse);
      std::uint32_t index = 0;
      for (std::uint32_t k = 0; k < 15; ++k)
        index += scaled >= 0.5F * static_cast<float>(level(k) + level(k + 1)) ? 1U : 0U;
      indices[i] = static_cast<std::uint8_t>(index);
    }
    return pack_bits<4, N>(indices);
  }

  /// Zeros where the scales of an odd number of groups end.
  FOLIO_HOST_DEVICE static void store_padding(std::int32_t dim, std::byte* params) {
    if (num_groups(dim) % 2 != 0) store_params(Pack<std::uint16_t, 1>{}, params + 2 * num_groups(dim));
  }
};
static_assert(QuantizerPolicy<Iq4Nl>);

}  // namespace folio
