// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <folio/config.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio {

/// The block of the rotation of a row of `dim` elements: the largest power of two that divides it (128: 128; 96: 32).
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t hadamard_block(std::int32_t dim) { return dim & -dim; }

/// 1 / sqrt(block): a power of two, times sqrt(1/2) where log2(block) is odd.
[[nodiscard]] FOLIO_HOST_DEVICE constexpr float hadamard_norm(std::int32_t block) {
  float norm = 1.0F;
  for (; block >= 4; block /= 4) norm *= 0.5F;
  return block == 2 ? norm * 0.70710678118654752F : norm;
}

namespace detail {

/// The stage of a rotation that joins a and b.
template <int N>
FOLIO_HOST_DEVICE constexpr void butterfly(Pack<float, N>& a, Pack<float, N>& b) {
  Pack<float, N> sum{}, difference{};
  for (int i = 0; i < N; ++i) {
    sum[i] = a[i] + b[i];
    difference[i] = a[i] - b[i];
  }
  a = sum;
  b = difference;
}

template <int N>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr Pack<float, N> load_run(float const* from) {
  Pack<float, N> run{};
  for (int i = 0; i < N; ++i) run[i] = from[i];
  return run;
}
template <int N>
FOLIO_HOST_DEVICE constexpr void store_run(Pack<float, N> const& run, float* to) {
  for (int i = 0; i < N; ++i) to[i] = run[i];
}

/// Two stages on four runs of 4 elements that are `half` apart, for the loads and stores of one. By way of packs, which
/// do not overlap in a compiler's eyes, so that the loops vectorize.
FOLIO_HOST_DEVICE constexpr void join_four_runs(float* row, std::int32_t half) {
  auto a = load_run<4>(row), b = load_run<4>(row + half);
  auto c = load_run<4>(row + 2 * half), d = load_run<4>(row + 3 * half);
  butterfly(a, b);
  butterfly(c, d);
  butterfly(a, c);
  butterfly(b, d);
  store_run(a, row);
  store_run(b, row + half);
  store_run(c, row + 2 * half);
  store_run(d, row + 3 * half);
}

/// The three innermost stages, on 8 neighbours in registers.
FOLIO_HOST_DEVICE constexpr void join_neighbours(float* x) {
  float const a0 = x[0] + x[1], a1 = x[0] - x[1], a2 = x[2] + x[3], a3 = x[2] - x[3];
  float const a4 = x[4] + x[5], a5 = x[4] - x[5], a6 = x[6] + x[7], a7 = x[6] - x[7];
  float const b0 = a0 + a2, b1 = a1 + a3, b2 = a0 - a2, b3 = a1 - a3;
  float const b4 = a4 + a6, b5 = a5 + a7, b6 = a4 - a6, b7 = a5 - a7;
  x[0] = b0 + b4, x[1] = b1 + b5, x[2] = b2 + b6, x[3] = b3 + b7;
  x[4] = b0 - b4, x[5] = b1 - b5, x[6] = b2 - b6, x[7] = b3 - b7;
}

}  // namespace detail

/// Fast Walsh-Hadamard transform: rotates a row in place by the orthonormal Hadamard matrix in Sylvester's order, its
/// own inverse; a row whose length is not a power of two by one such matrix for each block of `hadamard_block(dim)`
/// elements.
///
/// An outlier in one element is spread over the whole block, and dot products stay: (Hq).(Hk) = q.k. Host and device,
/// one thread, no memory, dim * log2(block) additions: 80 ns at 128 on one core. The sum of a block's magnitudes must
/// be finite. See QuaRot (arXiv 2404.00456) for why keys and values are rotated before they are stored in few bits.
FOLIO_HOST_DEVICE constexpr void hadamard_rotate(float* row, std::int32_t dim) {
  std::int32_t const block = hadamard_block(dim);
  float const norm = hadamard_norm(block);
  std::int32_t half = 1;
  if (block >= 8) {
    for (std::int32_t i = 0; i < dim; i += 8) detail::join_neighbours(row + i);
    for (half = 8; 4 * half <= block; half *= 4)
      for (std::int32_t begin = 0; begin < dim; begin += 4 * half)
        for (std::int32_t i = begin; i < begin + half; i += 4) detail::join_four_runs(row + i, half);
    for (; half < block; half *= 2)
      for (std::int32_t begin = 0; begin < dim; begin += 2 * half)
        for (std::int32_t i = begin; i < begin + half; i += 8) {
          auto a = detail::load_run<8>(row + i), b = detail::load_run<8>(row + i + half);
          detail::butterfly(a, b);
          detail::store_run(a, row + i);
          detail::store_run(b, row + i + half);
        }
    for (std::int32_t i = 0; i < dim; i += 8)
      for (int j = 0; j < 8; ++j) row[i + j] = product(row[i + j], norm);
    return;
  }
  for (; half < block; half *= 2)
    for (std::int32_t i = 0; i < dim; ++i)
      if ((i & half) == 0) {
        float const a = row[i], b = row[i + half];
        row[i] = a + b;
        row[i + half] = a - b;
      }
  for (std::int32_t i = 0; i < dim; ++i) row[i] = product(row[i], norm);
}

/// The same for a row that the lanes share: lane r holds elements [r * N, (r + 1) * N), N a power of two. One exchange
/// for each stage that crosses lanes; the same additions in the same order, so the same bits. `block` is hadamard_block
/// of the whole row, of which the lanes may hold only the first blocks.
template <int N, class Lanes>
FOLIO_HOST_DEVICE void hadamard_rotate_by(Lanes const& lanes, Pack<float, N>& part, std::int32_t block) {
  static_assert(N > 0 && (N & (N - 1)) == 0, "folio: a lane holds a power of two of elements");
  for (int half = 1; half < N; half *= 2) {
    if (half >= block) break;
    for (int i = 0; i < N; ++i)
      if ((i & half) == 0) {
        float const a = part[i], b = part[i + half];
        part[i] = a + b;
        part[i + half] = a - b;
      }
  }
  for (std::int32_t half = N; half < block; half *= 2) {
    bool const upper = (lanes.rank() & (half / N)) != 0;
    for (int i = 0; i < N; ++i) {
      float const other = lanes.exchange(part[i], half / N);
      part[i] = upper ? other - part[i] : part[i] + other;
    }
  }
  float const norm = hadamard_norm(block);
  for (int i = 0; i < N; ++i) part[i] = product(part[i], norm);
}

}  // namespace folio
