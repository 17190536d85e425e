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

/// `N` vectors, a power of two of them: from(i) has the elements from i on, to(i, v) takes them.
template <int N, class From, class To>
inline void rotate_vectors(std::int32_t begin, From const& from, To const& to) {
  Floats v[std::size_t{N}];
  FOLIO_UNROLL
  for (int i = 0; i < N; ++i) v[i] = rotate_lanes<1>(from(begin + i * lanes), std::make_integer_sequence<int, lanes>{});
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
  for (int i = 0; i < N; ++i) to(begin + i * lanes, v[i]);
}

/// A block of a rotation, at least a vector. `row`: room for what registers do not hold.
template <class From, class To>
inline void rotate_block(float* row, std::int32_t block, From const& from, To const& to) {
  if (block == 8 * lanes) return rotate_vectors<8>(0, from, to);
  if (block == 4 * lanes) return rotate_vectors<4>(0, from, to);
  if (block == 2 * lanes) return rotate_vectors<2>(0, from, to);
  if (block == lanes) return rotate_vectors<1>(0, from, to);
  std::int32_t half = 8 * lanes;
  for (std::int32_t i = 0; i < block; i += half)
    rotate_vectors<8>(i, from, [row](std::int32_t at, Floats const& v) { store(row + at, v); });
  for (; half < block; half *= 2)
    for (std::int32_t begin = 0; begin < block; begin += 2 * half)
      for (std::int32_t i = begin; i < begin + half; i += lanes) {
        Floats const a = load<Floats>(row + i), b = load<Floats>(row + i + half);
        if (2 * half < block) {
          store(row + i, a + b);
          store(row + i + half, a - b);
        } else {
          to(i, a + b);
          to(i + half, a - b);
        }
      }
}

/// A row of whole blocks of a rotation whose norm is `norm`. Returns the largest magnitude in each lane, as bits.
template <class = void>
inline Ints rotate_row(Basis basis, float const* from, float* to, std::int32_t dim, std::int32_t block,
                       Floats const norm) {
  Ints const flips = Ints{} + (basis == Basis::randomized_hadamard ? std::numeric_limits<std::int32_t>::min() : 0);
  std::uint32_t const* signs = random_sign_bits.of;
  Ints most = {};
  for (std::int32_t begin = 0; begin < dim; begin += block, from += block, to += block, signs += block)
    rotate_block(
        to, block, [=](std::int32_t i) { return as<Floats>(load<Ints>(from + i) ^ (load<Ints>(signs + i) & flips)); },
        [=, &most](std::int32_t i, Floats const& v) {
          Ints const turned = as<Ints>(v * norm);
          most = larger(turned & 0x7FFFFFFF, most);
          store(to + i, turned ^ (load<Ints>(signs + i) & flips));
        });
  return most;
}

template <class = void>
inline void change_basis(Basis basis, float* row, std::int32_t dim, std::int32_t row_dim) {
  std::int32_t const block = hadamard_block(row_dim);
  if (basis == Basis::model || block < lanes) return folio::change_basis(basis, row, dim, row_dim);
  rotate_row(basis, row, row, dim, block, splat(hadamard_norm(block)));
}

/// See RowKernels.
template <class = void>
inline void rotate_queries(Basis basis, float const* rows, float* to, std::int32_t count, std::int32_t stride,
                           std::int32_t dim, float* largest) {
  std::int32_t const block = hadamard_block(dim);
  Floats const norm = splat(hadamard_norm(block));
  Ints most[block_rows] = {};
  for (std::int32_t r = 0; r < count; ++r) {
    float const* const from = rows + r * stride;
    float* const turned = to + r * stride;
    if (block >= lanes) {
      most[r] = rotate_row(basis, from, turned, dim, block, norm);
      continue;
    }
    if (from != turned) std::copy_n(from, dim, turned);
    folio::change_basis(basis, turned, dim, dim);
  }
  if (block >= lanes) return store(largest, largest_bits(most));
  find_largest(to, stride, largest);
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
