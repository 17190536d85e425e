// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows between the model's basis and a quantizer's, in vectors: the additions of folio::change_basis in its order.
// Included once for each instruction set by kernels.hpp.

namespace folio::attention::FOLIO_SIMD_ISA {

/// The stages of a rotation within a vector, from the one that joins neighbours `Half` apart on.
template <int Half, int... I>
[[nodiscard]] inline Floats rotate_lanes(Floats v, std::integer_sequence<int, I...> all) {
  if constexpr (Half == lanes) {
    return v;
  } else {
    Floats const other = shuffle<std::int32_t, (I ^ Half)...>(v, v);
    return rotate_lanes<2 * Half>(v * Floats{((I & Half) != 0 ? -1.0F : 1.0F)...} + other, all);  // exact, fused or not
  }
}

/// `N` vectors, a power of two of them, times `norm`.
template <int N>
inline void rotate_vectors(float* row, float norm) {
  Floats v[std::size_t{N}];
  FOLIO_UNROLL
  for (int i = 0; i < N; ++i)
    v[i] = rotate_lanes<1>(load<Floats>(row + i * lanes), std::make_integer_sequence<int, lanes>{});
  FOLIO_UNROLL
  for (int half = 1; half < N; half *= 2) {
    FOLIO_UNROLL
    for (int i = 0; i < N; ++i)
      if ((i & half) == 0) {
        Floats const a = v[i], b = v[i + half];
        v[i] = a + b;
        v[i + half] = a - b;
      }
  }
  FOLIO_UNROLL
  for (int i = 0; i < N; ++i) store(row + i * lanes, v[i] * norm);
}

/// A block of a rotation, at least a vector.
template <class = void>
inline void rotate_block(float* row, std::int32_t block) {
  constexpr int most = 8;  // what registers hold
  std::int32_t half = std::min(block, most * lanes);
  float const norm = hadamard_norm(block), first = half == block ? norm : 1.0F;
  for (std::int32_t i = 0; i < block; i += half) {
    if (half == 8 * lanes) rotate_vectors<8>(row + i, first);
    if (half == 4 * lanes) rotate_vectors<4>(row + i, first);
    if (half == 2 * lanes) rotate_vectors<2>(row + i, first);
    if (half == lanes) rotate_vectors<1>(row + i, first);
  }
  for (; half < block; half *= 2)
    for (std::int32_t begin = 0; begin < block; begin += 2 * half)
      for (std::int32_t i = begin; i < begin + half; i += lanes) {
        float const last = 2 * half == block ? norm : 1.0F;
        Floats const a = load<Floats>(row + i), b = load<Floats>(row + i + half);
        store(row + i, (a + b) * last);
        store(row + i + half, (a - b) * last);
      }
}

/// folio::flip_signs, of whole vectors.
inline void flip_signs(float* row, std::int32_t dim) {
  Ints bit;
  for (int i = 0; i < lanes; ++i) bit[i] = 1 << i;
  std::uint64_t signs = 0;
  for (std::int32_t i = 0; i < dim; i += lanes, signs >>= lanes) {
    if (i % 64 == 0) signs = random_signs(i / 64);
    Ints const is_minus = ((Ints{} + static_cast<std::int32_t>(signs)) & bit) != 0;
    store(row + i, load<Ints>(row + i) ^ (is_minus & std::numeric_limits<std::int32_t>::min()));
  }
}

template <class = void>
inline void change_basis(Basis basis, float* row, std::int32_t dim, std::int32_t row_dim) {
  std::int32_t const block = hadamard_block(row_dim);
  if (basis == Basis::model || block < lanes) return folio::change_basis(basis, row, dim, row_dim);
  bool const signs = basis == Basis::randomized_hadamard;
  if (signs) flip_signs(row, dim);
  for (std::int32_t begin = 0; begin < dim; begin += block) rotate_block(row + begin, block);
  if (signs) flip_signs(row, dim);
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
