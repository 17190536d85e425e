// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows between the model's basis and a quantizer's, in vectors: the additions of folio::change_basis in its order.
// Included once for each instruction set by kernels.hpp.

namespace folio::attention::FOLIO_SIMD_ISA {

/// The stage of a rotation that joins neighbours `Half` apart within a vector.
template <int Half, int... I>
[[nodiscard]] inline Floats rotate_once(Floats const& v, std::integer_sequence<int, I...>) {
  Floats const other = shuffle<std::int32_t, (I ^ Half)...>(v, v);
  return v * Floats{((I & Half) != 0 ? -1.0F : 1.0F)...} + other;  // exact, fused or not
}
template <int Half>
[[nodiscard]] inline Floats rotate_once(Floats const& v) {
  return rotate_once<Half>(v, std::make_integer_sequence<int, lanes>{});
}
/// All stages within a vector, from that one on.
template <int Half = 1>
[[nodiscard]] inline Floats rotate_lanes(Floats const& v) {
  if constexpr (Half == lanes)
    return v;
  else
    return rotate_lanes<2 * Half>(rotate_once<Half>(v));
}

/// The stage that joins two vectors.
inline void join_vectors(Floats& a, Floats& b) {
  Floats const sum = a + b, difference = a - b;
  a = sum;
  b = difference;
}

/// `N` vectors, a power of two of them: from(i) has the elements from i on, to(i, v) takes them.
template <int N, class From, class To>
inline void rotate_vectors(std::int32_t begin, From const& from, To const& to) {
  Floats v[std::size_t{N}];
  FOLIO_UNROLL
  for (int i = 0; i < N; ++i) v[i] = rotate_lanes(from(begin + i * lanes));
  FOLIO_UNROLL
  for (int half = 1; half < N; half *= 2) {
    FOLIO_UNROLL
    for (int i = 0; i < N; ++i)
      if ((i & half) == 0) join_vectors(v[i], v[i + half]);
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

/// The signs of a basis as the signs of floats.
[[nodiscard]] inline std::uint32_t const* sign_bits(Basis basis) {
  return basis == Basis::randomized_hadamard ? random_sign_bits.of : no_sign_bits;
}
[[nodiscard]] inline Floats flip(Floats const& v, std::uint32_t const* signs) {
  return as<Floats>(as<Ints>(v) ^ load<Ints>(signs));
}
/// The end of a rotation, for a vector; `most`: the largest magnitude in each lane so far, as bits.
inline void store_rotated(Floats const& v, Floats const& norm, std::uint32_t const* signs, float* to, Ints& most) {
  Floats const turned = v * norm;
  most = larger(as<Ints>(turned) & 0x7FFFFFFF, most);
  store(to, flip(turned, signs));
}

/// A row of whole blocks of a rotation whose norm is `norm`. Returns the largest magnitude in each lane, as bits.
template <class = void>
inline Ints rotate_row(Basis basis, float const* from, float* to, std::int32_t dim, std::int32_t block,
                       Floats const norm) {
  std::uint32_t const* signs = sign_bits(basis);
  Ints most = {};
  for (std::int32_t begin = 0; begin < dim; begin += block, from += block, to += block, signs += block)
    rotate_block(
        to, block, [=](std::int32_t i) { return flip(load<Floats>(from + i), signs + i); },
        [=, &most](std::int32_t i, Floats const& v) { store_rotated(v, norm, signs + i, to + i, most); });
  return most;
}

#if FOLIO_SIMD_BYTES == 64
/// Rows of 8 vectors, one block of a rotation each. While the vectors of one are joined, those of the next are rotated
/// within: a processor has other units for sums than for shuffles, and does not look as far ahead as the next row.
template <class = void>
inline void rotate_rows(Basis basis, float const* from, float* to, std::int32_t count, std::int32_t stride,
                        Floats const norm, Ints (&most)[block_rows]) {
  std::uint32_t const* const signs = sign_bits(basis);
  Floats row[8], next[8] = {};
  FOLIO_UNROLL
  for (int i = 0; i < 8; ++i) row[i] = rotate_lanes(flip(load<Floats>(from + i * lanes), signs + i * lanes));
  auto const join = [&]<int Half, bool More>(std::integer_sequence<int, Half>, std::bool_constant<More>)
      __attribute__((always_inline)) {
    FOLIO_UNROLL
    for (int i = 0; i < 8; ++i) {
      if (More) next[i] = rotate_once<Half>(next[i]);
      if ((i & Half) == 0) join_vectors(row[i], row[i + Half]);
    }
  };
  auto const turn = [&]<bool More>(std::int32_t r, std::bool_constant<More> more) __attribute__((always_inline)) {
    FOLIO_UNROLL
    for (int i = 0; More && i < 8; ++i)
      next[i] = flip(load<Floats>(from + (r + 1) * stride + i * lanes), signs + i * lanes);
    join(std::integer_sequence<int, 1>{}, more);
    join(std::integer_sequence<int, 2>{}, more);
    join(std::integer_sequence<int, 4>{}, more);
    Ints largest = {};  // in a register
    FOLIO_UNROLL
    for (int i = 0; i < 8; ++i) {
      if (More) next[i] = rotate_once<8>(next[i]);
      store_rotated(row[i], norm, signs + i * lanes, to + r * stride + i * lanes, largest);
    }
    most[r] = largest;
    FOLIO_UNROLL
    for (int i = 0; i < 8; ++i) row[i] = next[i];
  };
  for (std::int32_t r = 0; r + 1 < count; ++r) turn(r, std::true_type{});
  turn(count - 1, std::false_type{});
}
#endif

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
#if FOLIO_SIMD_BYTES == 64
  if (block == 8 * lanes && dim == block) {
    rotate_rows(basis, rows, to, count, stride, norm, most);
    return store(largest, largest_bits(most));
  }
#endif
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
