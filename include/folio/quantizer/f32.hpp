// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/quantizer/quantizer.hpp>

namespace folio {

/// f32: stores an element as it is: 32 bits, no parameters.
///
/// Host and device, a copy. Every bit is kept, NaNs and infinities too. For tests, and as the reference of the others:
/// choose F16 or BF16 to store what a model computes.
struct F32 {
  static constexpr char const* name = "f32";
  static constexpr int bits = 32;
  static constexpr Basis basis = Basis::model;
  static constexpr RowFormat row_format{Elements::f32};
  struct Params {};

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr std::int32_t param_bytes(std::int32_t) { return 0; }

  FOLIO_HOST_DEVICE static void encode(float const* row, std::int32_t dim, std::byte* codes, std::byte*) {
    std::memcpy(codes, row, static_cast<std::size_t>(code_bytes<F32>(dim)));
  }

  template <int N, class Lanes>
  FOLIO_HOST_DEVICE static void encode_by(Lanes const&, Pack<float, N> const& part, Pack<std::uint8_t, 4 * N>& codes,
                                          std::byte*) {
    std::memcpy(&codes, &part, sizeof(codes));
  }

  [[nodiscard]] FOLIO_HOST_DEVICE static constexpr Params load_params(std::byte const*, std::int32_t) { return {}; }

  template <int N>
  FOLIO_HOST_DEVICE static void decode(std::byte const* codes, Params const&, float* out) {
    auto const values = load_codes<float, N>(codes);
    for (int i = 0; i < N; ++i) out[i] = values[i];
  }
};
static_assert(QuantizerPolicy<F32>);

}  // namespace folio
