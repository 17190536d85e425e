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
    constexpr auto minus = std::numeric_limits<std::int32_t>::min();
    return rotate_lanes<2 * Half>(other + as<Floats>(as<Ints>(v) ^ Ints{((I & Half) != 0 ? minus : 0)...}), all);
  }
}

/// `N` vectors, a power of two of them.
template <int N>
inline void rotate_vectors(float* row) {
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
  for (int i = 0; i < N; ++i) store(row + i * lanes, v[i]);
}

/// A block of a rotation, at least a vector.
inline void rotate_block(float* row, std::int32_t block) {
  constexpr int most = 8;  // what registers hold
  std::int32_t half = std::min(block, most * lanes);
  for (std::int32_t i = 0; i < block; i += half) {
    if (half == 8 * lanes) rotate_vectors<8>(row + i);
    if (half == 4 * lanes) rotate_vectors<4>(row + i);
    if (half == 2 * lanes) rotate_vectors<2>(row + i);
    if (half == lanes) rotate_vectors<1>(row + i);
  }
  for (; half < block; half *= 2)
    for (std::int32_t begin = 0; begin < block; begin += 2 * half)
      for (std::int32_t i = begin; i < begin + half; i += lanes) {
        Floats const a = load<Floats>(row + i), b = load<Floats>(row + i + half);
        store(row + i, a + b);
        store(row + i + half, a - b);
      }
  float const norm = hadamard_norm(block);
  for (std::int32_t i = 0; i < block; i += lanes) store(row + i, load<Floats>(row + i) * norm);
}

inline void change_basis(Basis basis, float* row, std::int32_t dim, std::int32_t row_dim) {
  std::int32_t const block = hadamard_block(row_dim);
  if (basis == Basis::model || block < lanes) return folio::change_basis(basis, row, dim, row_dim);
  auto const signs = [&] {
    for (std::int32_t i = 0; i < dim && basis == Basis::randomized_hadamard; i += 8) flip_signs<8>(i, row + i);
  };
  signs();
  for (std::int32_t begin = 0; begin < dim; begin += block) rotate_block(row + begin, block);
  signs();
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
