// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The policy that docs/write_a_policy.md adds. In the library it would be include/folio/quantizer/upper_byte.hpp.

// [policy]
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio {

/// Stores an element as the upper byte of a half, which is fp8 e5m2 (OCP), rounded to nearest, no parameters.
///
/// Host and device; one conversion each way. Relative error at most 0.126 from 2^-14 (6e-5) up, absolute error at most
/// 2^-17 below. What is larger than 57344 saturates there; a NaN stays one. Source: OCP 8-bit floating point, 2023.
/// Choose Int8PerToken unless there is no room for scales: its error is far smaller.
struct UpperByte {
  static constexpr char const* name = "upper_byte";
  static constexpr int bits = 8;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{Elements::e5m2};  // how attention on the host reads it
  struct Params {};

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return 0; }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte*) {
    for (std::int32_t i = 0; i < dim; ++i) codes[i] = static_cast<std::byte>(code_of(row[i]));
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Params load_params(std::byte const*, std::int32_t) { return {}; }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const&, float* out) {
    auto const patterns = load_codes<std::uint8_t, N>(codes);
    for (int i = 0; i < N; ++i) out[i] = f16_to_f32(static_cast<std::uint16_t>(patterns[i] << 8));
  }

  /// For kernels that write: N elements of a row, which several threads hold together.
  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const&, Pack<float, N> const& part, Pack<std::uint8_t, N>& codes,
                                          std::byte*) {
    for (int i = 0; i < N; ++i) codes[i] = code_of(part[i]);
  }

  /// For kernels that compute in half precision: no arithmetic at all.
  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const&, Half* out) {
    auto const patterns = load_codes<std::uint8_t, N>(codes);
    for (int i = 0; i < N; ++i) out[i].bits = static_cast<std::uint16_t>(patterns[i] << 8);
  }

 private:
  FOLIO_HOST_DEVICE static std::uint8_t code_of(float x) {
    std::uint32_t const half = f32_to_f16(saturate(x, 57344.0F));
    std::uint32_t const rounded = (half + 0x7FU + (half >> 8 & 1U)) >> 8;  // ties to even
    bool const is_nan = (half & 0x7FFFU) > 0x7C00U;                        // rounding could carry out of its mantissa
    return static_cast<std::uint8_t>(select_bits(is_nan, half >> 8, rounded));
  }
};
static_assert(QuantizerPolicy<UpperByte>);

}  // namespace folio
// [/policy]
