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

/// Of queries that are in the order of the columns already.
struct InColumns {
  static constexpr int per_byte = 1;
};

/// Of integers of 16 bits, `lanes` of each: in every 16 bytes four of `a`, then four of `b`; with dots of bytes in the
/// order of the columns of `C`.
template <class C, int... I>
[[nodiscard]] inline Shorts narrow(Ints a, Ints b, std::integer_sequence<int, I...>) {
#if FOLIO_SIMD_BYTES == 32
  Shorts n;
  asm("vpackssdw %2, %1, %0" : "=v"(n) : "v"(a), "v"(b));
  return n;
#elif FOLIO_SIMD_BYTES == 16 && FOLIO_SIMD_X86
  asm("packssdw %1, %0" : "+x"(a) : "x"(b));
  return as<Shorts>(a);
#else
  constexpr auto dim_at = [](int column) { return dots_of_bytes ? key_dim_at<C>(column, 0) : column; };
  return as<Shorts>(shuffle<std::int16_t, (2 * dim_at(I / 8 * 4 + I % 4) + I / 4 % 2 * 2 * lanes)...>(a, b));
#endif
}
template <class C>
[[nodiscard]] inline Shorts narrow(Ints a, Ints b) {
  return narrow<C>(a, b, std::make_integer_sequence<int, 2 * lanes>{});
}

/// The words of 4 rows, whose integers are as `narrow` leaves those of two rows each: in every 16 bytes four integers
/// of each row.
template <int... I>
inline void split(Shorts const (&v)[2], Words (&words)[query_words], std::integer_sequence<int, I...>) {
#if FOLIO_SIMD_BYTES == 64  // dots of bytes, from -128 to 127
  asm("vpackuswb %2, %1, %0" : "=v"(words[0]) : "v"(v[0] & 0xFF), "v"(v[1] & 0xFF));
  Shorts high[2];  // (v + 128) / 256, as (v * 128 + 2^14) / 2^15
  for (int p = 0; p < 2; ++p) asm("vpmulhrsw %2, %1, %0" : "=v"(high[p]) : "v"(v[p]), "v"(Shorts{} + 0x80));
  asm("vpacksswb %2, %1, %0" : "=v"(words[1]) : "v"(high[0]), "v"(high[1]));
#else
  constexpr int half = 2 * lanes;
  Shorts const a = shuffle<std::int16_t, (I / 4 * 4 + I % 2 * 2 + I / 2 % 2)...>(v[0], v[0]);
  Shorts const b = shuffle<std::int16_t, (I / 4 * 4 + I % 2 * 2 + I / 2 % 2)...>(v[1], v[1]);
  words[0] = as<Words>(shuffle<std::int16_t, (I / 8 * 8 + I % 4 / 2 * 4 + I % 2 + I / 4 % 2 * half)...>(a, b));
  words[1] = as<Words>(shuffle<std::int16_t, (I / 8 * 8 + I % 4 / 2 * 4 + I % 2 + 2 + I / 4 % 2 * half)...>(a, b));
#endif
}

/// As AMX takes them: in turn the words of each row, so in turn 16 bytes of two rows and of the two others.
template <int... I>
inline void store_together(Words const (&words)[query_words], std::int8_t* to, std::integer_sequence<int, I...>) {
  Words const a = lower<4>(words[0], words[1]), b = upper<4>(words[0], words[1]);
  constexpr int half = lanes / 2;  // integers of 64 bits
  store(to, shuffle<std::int64_t, (I / 2 % 2 * half + I / 4 * 2 + I % 2)...>(a, b));
  store(to + vector_bytes, shuffle<std::int64_t, (I / 2 % 2 * half + (I / 4 + quarters / 2) * 2 + I % 2)...>(a, b));
}

[[nodiscard]] inline FourInts add_quarters(Ints const& v) {
  FourInts parts[std::size_t{quarters}], sum = {};
  std::memcpy(parts, &v, sizeof(v));
  for (FourInts const& part : parts) sum += part;
  return sum;
}

/// Integers of 4 rows on their way to words. `Together`: in the order of store_together.
template <class C, bool Together>
struct QueryWords {
  Ints totals[query_words] = {};  ///< in every 16 bytes the sums of each row's words

  void add(Ints const (&integers)[4], std::int8_t* to, std::int32_t i, std::int32_t columns,
           Words (&words)[query_words]) {
    Shorts const narrowed[2] = {narrow<C>(integers[0], integers[1]), narrow<C>(integers[2], integers[3])};
    split(narrowed, words, std::make_integer_sequence<int, 2 * lanes>{});
    FOLIO_UNROLL
    for (int k = 0; k < query_words; ++k) {
      totals[k] = dot(totals[k], Words{} + (dots_of_bytes ? 0x01010101U : 0x00010001U), words[k]);
      if (!Together) store(to + (k * columns + i) * block_rows, words[k]);
    }
    if (Together)
      store_together(words, to + i * query_words * block_rows, std::make_integer_sequence<int, lanes / 2>{});
  }

  /// The scales of the integers, the sums of the words, and those of the integers in these scales. `is_number`: else
  /// the row's integers may be any.
  void finish(FourFloats scale, FourInts is_number, QueryIntegers const& to) const {
    FourInts const low = add_quarters(totals[0]) & is_number, high = add_quarters(totals[1]) & is_number;
    store(to.scales, scale);
    store(to.sums, low);
    store(to.sums + block_rows, high);
    store(to.totals, scale * __builtin_convertvector(high * (dots_of_bytes ? 256 : 1) + low, FourFloats));
  }
};

/// How many integers of each row are small. None of those below a 32nd of the largest are overlooked.
template <class = void>
struct SmallIntegers {
  typedef std::uint8_t Bytes __attribute__((vector_size(FOLIO_SIMD_BYTES)));
  static constexpr int parts = dots_of_bytes ? 1 : query_words;  // whether a byte is small, the high one says
  using Counts = std::conditional_t<dots_of_bytes, Bytes, UShorts>;
  Counts counts[std::size_t{parts}] = {};

  void add(Words const (&words)[query_words]) {
    constexpr int most = static_cast<int>(query_limit) / 32;
    using Count = std::conditional_t<dots_of_bytes, std::uint8_t, std::uint16_t>;
    constexpr Count limit = dots_of_bytes ? (most + 0x80) >> 8 : most, width = 2 * limit, one = 1;
    FOLIO_UNROLL
    for (int k = 0; k < parts; ++k) {
      Counts const size = as<Counts>(words[query_words - parts + k]) + limit;
      counts[k] = size <= width ? counts[k] + one : counts[k];
    }
  }
  [[nodiscard]] FourInts of_rows() const {
    Ints sums = {};
    for (int k = 0; k < parts; ++k)
      sums = dot(sums, as<Words>(counts[k]), Words{} + (dots_of_bytes ? 0x01010101U : 0x00010001U));
    return add_quarters(sums);
  }
};

/// The lowest bit of each, true or false, as bits.
[[nodiscard]] inline unsigned to_bits(FourInts const& rows) {
  std::uint64_t pairs[2];
  store(pairs, rows);
  unsigned bits = 0;
  for (int r = 0; (pairs[0] | pairs[1]) != 0 && r < block_rows; ++r) bits |= static_cast<unsigned>(rows[r] & 1) << r;
  return bits;
}

/// See RowKernels.
template <class = void>
inline void find_largest(float const* q, std::int32_t stride, float* largest) {
  Ints most[4] = {};
  for (std::int32_t i = 0; i < stride; i += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) most[r] = larger(load<Ints>(q + r * stride + i) & 0x7FFFFFFF, most[r]);
  }
  store(largest, largest_bits(most));
}

/// How many elements of each row are below `limit`, in magnitude and as bits.
template <class = void>
[[nodiscard]] inline FourInts count_below(float const* q, std::int32_t stride, FourInts const& limit) {
  Ints counts[4] = {};
  for (std::int32_t i = 0; i < stride; i += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Ints const size = load<Ints>(q + r * stride + i) & 0x7FFFFFFF;
      counts[r] = size < limit[r] ? counts[r] + 1 : counts[r];
    }
  }
  return sums(counts);
}

/// See RowKernels. Most rows are cleared by the small elements alone, with the zeros among them.
template <class = void>
[[nodiscard]] inline unsigned find_outliers(float const* q, std::int32_t stride, float const* largest) {
  FourFloats const most = load<FourFloats>(largest);
  FourInts const small = count_below(q, stride, as<FourInts>(most * (1.0F / 32)));
  if (to_bits(2 * small > stride) == 0) return 0;
  FourInts const zeros = count_below(q, stride, FourInts{} + 1);
  return to_bits((as<FourInts>(most) < 0x7F800000) & (2 * small - zeros > stride));
}

/// Elements of a query at columns [i, i + lanes), as `narrow` takes them.
template <class C, int... I>
[[nodiscard]] inline Floats load_columns(float const* row, std::int32_t i, std::integer_sequence<int, I...>) {
  if constexpr (C::per_byte == 1 || dots_of_bytes) {
    static_assert(!dots_of_bytes || lanes % (4 * C::per_byte) == 0, "a vector has all dims of its columns");
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
template <class C, bool Scaled, bool Together, bool WithRest>
inline unsigned quantize_query_block(TokenTile const& tile, QueryFloats const& floats, QueryIntegers const& integers,
                                     QueryIntegers const& rest_integers) {
  // Copies, of which the compiler knows that no store below changes them.
  QueryFloats const q = floats;
  QueryIntegers const to = integers, rest = rest_integers;
  constexpr auto all_lanes = std::make_integer_sequence<int, lanes>{};
  FourFloats limit;
  Floats shares[4] = {};
  if constexpr (Scaled) {
    Ints most[4] = {};
    for (std::int32_t i = 0; i < q.columns; i += lanes) {
      FOLIO_UNROLL
      for (int r = 0; r < block_rows; ++r) {
        Floats const x = load<Floats>(q.rows + r * q.stride + i);
        shares[r] += x * load<Floats>(tile.channel_offsets + i);
        most[r] = larger(as<Ints>(x * load<Floats>(tile.channel_scales + i)) & 0x7FFFFFFF, most[r]);
      }
    }
    limit = largest_bits(most);
  } else {
    limit = load<FourFloats>(q.largest);
  }
  FourFloats const inverse = query_limit / limit;
  QueryWords<C, Together> first, left_over;
  SmallIntegers<> small;
  for (std::int32_t i = 0; i < q.columns; i += lanes) {
    Ints first_of[4], rest_of[4];
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats x = load_columns<C>(q.rows + r * q.stride, i, all_lanes) * inverse[r];
      if constexpr (Scaled) x *= load<Floats>(tile.channel_scales + i);
      first_of[r] = nearest(x);
      if constexpr (WithRest)
        rest_of[r] = nearest((x - __builtin_convertvector(first_of[r], Floats)) * query_rest_units);
    }
    Words words[query_words];
    if constexpr (WithRest) left_over.add(rest_of, rest.words, i, q.columns, words);
    first.add(first_of, to.words, i, q.columns, words);
    if constexpr (!WithRest) small.add(words);
  }
  FourInts const is_number = as<FourInts>(limit) < 0x7F800000, not_a_number = FourInts{} + 0x7FC00000;
  FourFloats const unit = limit * (q.scale / query_limit);
  FourFloats const scale = as<FourFloats>(is_number ? as<FourInts>(unit) : not_a_number);
  first.finish(scale, is_number, to);
  if constexpr (WithRest) left_over.finish(scale * (1.0F / query_rest_units), is_number, rest);
  if constexpr (Scaled) store(to.totals, sums(shares[0], shares[1], shares[2], shares[3]) * q.scale);
  if constexpr (Scaled && WithRest) store(rest.totals, FourFloats{});
  return WithRest ? 0 : to_bits(small.of_rows() * 2 > FourInts{} + q.columns);
}
template <class C, bool Scaled, bool Together = false>
inline unsigned quantize_queries(TokenTile const& tile, QueryFloats const& q, QueryIntegers const& to,
                                 QueryIntegers const* rest) {
  if (rest == nullptr) return quantize_query_block<C, Scaled, Together, false>(tile, q, to, {});
  return quantize_query_block<C, Scaled, Together, true>(tile, q, to, *rest);
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
