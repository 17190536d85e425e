// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Queries as integers of 16 bits, for keys of integers. Included once for each instruction set by kernels.hpp.

namespace folio::attention::FOLIO_SIMD_ISA {

typedef std::uint16_t UShorts __attribute__((vector_size(FOLIO_SIMD_BYTES)));

/// The nearest integers, ties to even, on every set the same.
[[nodiscard]] inline Ints nearest(Floats x) {
#if FOLIO_SIMD_BYTES > 16
  Ints n;
  asm("vcvtps2dq %1, %0" : "=v"(n) : "v"(x));
  return n;
#elif FOLIO_SIMD_X86
  Ints n;
  asm("cvtps2dq %1, %0" : "=x"(n) : "x"(x));
  return n;
#else
  return as<Ints>(as_written(as_written(x) + 0x1.8p23F)) - 0x4B400000;
#endif
}

/// Of integers of 16 bits, `lanes` of each: in every 16 bytes four of `a`, then four of `b`.
template <int... I>
[[nodiscard]] inline Shorts narrow(Ints a, Ints b, std::integer_sequence<int, I...>) {
#if FOLIO_SIMD_BYTES > 16
  Shorts n;
  asm("vpackssdw %2, %1, %0" : "=v"(n) : "v"(a), "v"(b));
  return n;
#elif FOLIO_SIMD_X86
  asm("packssdw %1, %0" : "+x"(a) : "x"(b));
  return as<Shorts>(a);
#else
  return as<Shorts>(shuffle<std::int16_t, (I / 8 * 8 + I % 4 * 2 + I / 4 % 2 * 2 * lanes)...>(a, b));
#endif
}
template <class = void>
[[nodiscard]] inline Shorts narrow(Ints a, Ints b) {
  return narrow(a, b, std::make_integer_sequence<int, 2 * lanes>{});
}

/// The two words of each four integers.
template <int... I>
[[nodiscard]] inline Words query_digits(Shorts v, std::integer_sequence<int, I...>) {
  if constexpr (dots_of_bytes) {  // bytes from -128 to 127
    Words const digits = as<Words>((v + 0x0080) ^ 0x0080);
    return shuffle<std::int8_t, (I / 8 * 8 + I % 4 * 2 + I / 4 % 2)...>(digits, digits);
  } else {
    return as<Words>(shuffle<std::int16_t, (I / 4 * 4 + I % 2 * 2 + I / 2 % 2)...>(v, v));
  }
}

/// From the words of two rows and of two others, 16 bytes of each in turn.
template <int... I>
inline void store_rows(Words const (&pairs)[2], std::int8_t* to, std::integer_sequence<int, I...>) {
  if constexpr (quarters == 1) {
    store(to, pairs[0]);
    store(to + vector_bytes, pairs[1]);
  } else {
    constexpr int half = lanes / 2;  // integers of 64 bits
    store(to, shuffle<std::int64_t, (I / 2 % 2 * half + I / 4 * 2 + I % 2)...>(pairs[0], pairs[1]));
    store(to + vector_bytes,
          shuffle<std::int64_t, (I / 2 % 2 * half + (I / 4 + quarters / 2) * 2 + I % 2)...>(pairs[0], pairs[1]));
  }
}

[[nodiscard]] inline FourInts add_quarters(Ints const& v) {
  FourInts parts[std::size_t{quarters}], sum = {};
  std::memcpy(parts, &v, sizeof(v));
  for (FourInts const& part : parts) sum += part;
  return sum;
}

/// Integers of 4 rows on their way to words.
template <class = void>
struct QueryWords {
  Ints totals[2] = {};  ///< in every 16 bytes the sums of two rows' words

  void add(Ints const (&integers)[4], std::int8_t* to, Shorts (&narrowed)[2]) {
    Words pairs[2];
    FOLIO_UNROLL
    for (int i = 0; i < 2; ++i) {
      narrowed[i] = narrow(integers[2 * i], integers[2 * i + 1]);
      constexpr int elements = dots_of_bytes ? vector_bytes : vector_bytes / 2;
      pairs[i] = query_digits(narrowed[i], std::make_integer_sequence<int, elements>{});
      totals[i] = dot(totals[i], Words{} + (dots_of_bytes ? 0x01010101U : 0x00010001U), pairs[i]);
    }
    store_rows(pairs, to, std::make_integer_sequence<int, lanes / 2>{});
  }

  /// The scales of the integers, the sums of the words, and those of the integers in these scales. `is_number`: else
  /// the row's integers may be any.
  void finish(FourFloats scale, FourInts is_number, QueryIntegers const& to) const {
    store(to.scales, scale);
    std::int32_t sums[block_rows * query_words], row_totals[block_rows];
    for (int i = 0; i < 2; ++i) store(sums + 4 * i, add_quarters(totals[i]));
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      FOLIO_UNROLL
      for (int k = 0; k < query_words; ++k) sums[r * query_words + k] &= is_number[r];
      row_totals[r] = sums[r * query_words + 1] * (dots_of_bytes ? 256 : 1) + sums[r * query_words];
    }
    std::memcpy(to.sums, sums, sizeof(sums));
    FourInts whole;
    std::memcpy(&whole, row_totals, sizeof(whole));
    store(to.totals, scale * __builtin_convertvector(whole, FourFloats));
  }
};

/// See RowKernels.
template <class = void>
[[nodiscard]] inline unsigned find_outliers(float const* q, std::int32_t stride) {
  Ints most[4] = {}, counts[4] = {};
  for (std::int32_t i = 0; i < stride; i += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) most[r] = larger(load<Ints>(q + r * stride + i) & 0x7FFFFFFF, most[r]);
  }
  FourFloats const largest = largest_bits(most);
  FourInts const limit = as<FourInts>(largest * (1.0F / 32));
  for (std::int32_t i = 0; i < stride; i += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Ints const size = load<Ints>(q + r * stride + i) & 0x7FFFFFFF;
      counts[r] += (size != 0) & (size < limit[r] ? Ints{} + 1 : Ints{} - 1);  // small ones less others
    }
  }
  FourInts const have_some = (as<FourInts>(largest) < 0x7F800000) & (sums(counts) > 0);
  unsigned rows = 0;
  for (int r = 0; r < block_rows; ++r) rows |= static_cast<unsigned>(have_some[r] & 1) << r;
  return rows;
}

/// Of queries that are in the order of the columns already.
struct InColumns {
  static constexpr int per_byte = 1;
};

/// Elements of a query at columns [i, i + lanes).
template <class C, int... I>
[[nodiscard]] inline Floats load_columns(float const* row, std::int32_t i, std::integer_sequence<int, I...>) {
  if constexpr (C::per_byte == 1) {
    return load<Floats>(row + i);
  } else if constexpr (lanes % (4 * C::per_byte) == 0) {
    Floats const dims = load<Floats>(row + i);
    return shuffle<std::int32_t, (key_dim_at<C>(I, 0))...>(dims, dims);
  } else {
    return Floats{row[key_dim_at<C>(i + I, 0)]...};
  }
}

/// A block of query rows as integers in units of each row's largest; see QueryRows. What is not finite makes the scale
/// NaN. `Scaled`: each row is multiplied by the channels' scales first, and its total is that of the row times their
/// offsets. `WithRest`: what the integers leave of each element becomes integers, too. Returns a bit for each row of
/// which most integers, zeros included, are below a 32nd of the largest.
template <class C, bool Scaled, bool WithRest>
inline unsigned quantize_query_block(TokenTile const& tile, QueryFloats const& q, QueryIntegers const& to,
                                     QueryIntegers const& rest) {
  constexpr auto all_lanes = std::make_integer_sequence<int, lanes>{};
  Ints most[4] = {};
  Floats shares[4] = {};
  for (std::int32_t i = 0; i < q.columns; i += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats x = load<Floats>(q.rows + r * q.stride + i);
      if constexpr (Scaled) {
        shares[r] += x * load<Floats>(tile.channel_offsets + i);
        x *= load<Floats>(tile.channel_scales + i);
      }
      most[r] = larger(as<Ints>(x) & 0x7FFFFFFF, most[r]);
    }
  }
  constexpr auto limit_of_small = static_cast<std::uint16_t>(query_limit / 32);
  FourFloats const limit = largest_bits(most), inverse = query_limit / limit;
  QueryWords<> words, rest_words;
  Shorts small[2] = {}, narrowed[2];
  for (std::int32_t i = 0; i < q.columns; i += lanes) {
    Ints integers[4], left[4];
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats x = load_columns<C>(q.rows + r * q.stride, i, all_lanes) * inverse[r];
      if constexpr (Scaled) x *= load<Floats>(tile.channel_scales + i);
      integers[r] = nearest(x);
      if constexpr (WithRest) left[r] = nearest((x - __builtin_convertvector(integers[r], Floats)) * query_rest_units);
    }
    std::int32_t const at = i * query_words * block_rows;
    if constexpr (WithRest) rest_words.add(left, rest.words + at, narrowed);
    words.add(integers, to.words + at, narrowed);
    FOLIO_UNROLL
    for (int p = 0; p < 2 && !WithRest; ++p)
      small[p] =
          as<UShorts>(narrowed[p]) + limit_of_small <= std::uint16_t{2 * limit_of_small} ? small[p] + 1 : small[p];
  }
  FourInts const is_number = as<FourInts>(limit) < 0x7F800000, not_a_number = FourInts{} + 0x7FC00000;
  FourFloats const unit = limit * (q.scale / query_limit);
  FourFloats const scale = as<FourFloats>(is_number ? as<FourInts>(unit) : not_a_number);
  words.finish(scale, is_number, to);
  if constexpr (WithRest) rest_words.finish(scale * (1.0F / query_rest_units), is_number, rest);
  if constexpr (Scaled) store(to.totals, sums(shares[0], shares[1], shares[2], shares[3]) * q.scale);
  if constexpr (Scaled && WithRest) store(rest.totals, FourFloats{});
  unsigned rows = 0;
  for (int p = 0; p < 2 && !WithRest; ++p) {
    std::uint64_t counts[2];
    store(counts, add_quarters(as<Ints>(small[p])));  // four of each row
    for (int r = 0; r < 2; ++r) {
      auto const count = static_cast<std::int32_t>(counts[r] * 0x0001000100010001U >> 48);
      rows |= static_cast<unsigned>(2 * count > q.columns) << (2 * p + r);
    }
  }
  return rows;
}
template <class C, bool Scaled>
inline unsigned quantize_queries(TokenTile const& tile, QueryFloats const& q, QueryIntegers const& to,
                                 QueryIntegers const* rest) {
  if (rest == nullptr) return quantize_query_block<C, Scaled, false>(tile, q, to, {});
  return quantize_query_block<C, Scaled, true>(tile, q, to, *rest);
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
