// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Rows between the model's basis and a quantizer's: what `encode` does to a row, and what readers do to queries and
// outputs. Host and device.

#include <cstdint>
#include <folio/config.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/hadamard.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio {

/// The signs of Basis::randomized_hadamard: element i of a row has bit i % 64 of `random_signs(i / 64)`, set for minus.
/// Output number `word` of the generator SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) from the seed 0.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::uint64_t random_signs(std::int32_t word) {
  std::uint64_t bits = (static_cast<std::uint64_t>(word) + 1U) * 0x9E3779B97F4A7C15U;
  bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9U;
  bits = (bits ^ bits >> 27) * 0x94D049BB133111EBU;
  return bits ^ bits >> 31;
}

/// Flips the random signs of elements [first, first + N), of which none or all are in one word of signs.
template <int N>
FOLIO_HOST_DEVICE constexpr void flip_signs(std::int32_t first, float* elements) {
  static_assert(N <= 64 && 64 % N == 0);
  std::uint64_t const signs = random_signs(first / 64) >> (first % 64);
  for (int i = 0; i < N; ++i)
    elements[i] = to_float(to_bits(elements[i]) ^ static_cast<std::uint32_t>(signs >> i & 1U) << 31);
}

/// Change of basis: rotates the first `dim` elements of a row of `row_dim` from the model's basis to `basis`, or back:
/// both are the same, because every rotation here is its own inverse. Rotations work on whole blocks, which `dim` is
/// made of. Cost: that of `hadamard_rotate`.
FOLIO_HOST_DEVICE constexpr void change_basis(Basis basis, float* row, std::int32_t dim, std::int32_t row_dim) {
  if (basis == Basis::model) return;
  auto const signs = [&] {
    if (basis == Basis::randomized_hadamard)
      for (std::int32_t i = 0; i < dim; i += 8) flip_signs<8>(i, row + i);
  };
  signs();
  std::int32_t const block = hadamard_block(row_dim);
  if (dim == row_dim)
    hadamard_rotate(row, dim);
  else
    for (std::int32_t begin = 0; begin < dim; begin += block) hadamard_rotate(row + begin, block);
  signs();
}

/// The same for a row that the lanes share, lane r the elements [r * N, (r + 1) * N): to the same bits.
template <Basis basis, int N, class Lanes>
FOLIO_HOST_DEVICE void change_basis_by(Lanes const& lanes, Pack<float, N>& part, std::int32_t row_dim) {
  if constexpr (basis == Basis::randomized_hadamard) flip_signs<N>(lanes.rank() * N, part.v);
  if constexpr (basis != Basis::model) hadamard_rotate_by(lanes, part, hadamard_block(row_dim));
  if constexpr (basis == Basis::randomized_hadamard) flip_signs<N>(lanes.rank() * N, part.v);
}

}  // namespace folio
