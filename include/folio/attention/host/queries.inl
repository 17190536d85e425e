// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Queries as integers of 16 bits, for keys of integers. Included once for each instruction set by kernels.hpp.

namespace folio::attention::FOLIO_SIMD_ISA {

/// The words of 4 rows, of which the first half of each 16 bytes counts, row by row for each 4 columns.
template <int... I>
inline void store_four(Words const (&words)[4], std::int8_t* to, std::integer_sequence<int, I...>) {
  Words const a = lower<8>(words[0], words[1]), b = lower<8>(words[2], words[3]);
  if constexpr (quarters == 1) {
    store(to, a);
    store(to + vector_bytes, b);
  } else {
    store(to, shuffle<std::int32_t, (I / 4 % 2 * lanes + I / 8 * 4 + I % 4)...>(a, b));
    store(to + vector_bytes, shuffle<std::int32_t, (I / 4 % 2 * lanes + (I / 8 + quarters / 2) * 4 + I % 4)...>(a, b));
  }
}

/// The nearest integers.
[[nodiscard]] inline Ints nearest(Floats x) {
  return __builtin_convertvector(x + (x < 0.0F ? Floats{} - 0.5F : Floats{} + 0.5F), Ints);
}

/// The words of `lanes` integers of a query, which are added to `totals` as the instructions have them.
[[nodiscard]] inline Words add_words(Ints integers, Ints& totals) {
  Words const words = signed_words(integers);
  totals = dots_of_bytes ? dot(totals, Words{} + 0x01010101U, words) : totals + integers;
  return words;
}

/// The scales of 4 rows of integers, the sums of their words, and of the integers in these scales.
inline void finish_query_block(Ints const (&totals)[4], FourFloats scale, QueryIntegers const& to) {
  store(to.scales, scale);
  for (int r = 0; r < block_rows; ++r) {
    std::int32_t parts[std::size_t{lanes}], *const words = to.sums + r * query_words;
    store(parts, totals[r]);
    bool const is_finite = !is_nan(scale[r]);  // else the row's integers may be any
    for (std::int32_t k = 0; k < query_words; ++k) {
      std::uint32_t sum = 0;
      for (int part = 0; part < quarters; ++part) {
        sum += static_cast<std::uint32_t>(parts[part * 4 + k]);
        if (!dots_of_bytes) sum += static_cast<std::uint32_t>(parts[part * 4 + k + 2]);
      }
      words[k] = is_finite ? static_cast<std::int32_t>(sum) : 0;
    }
    to.totals[r] = scale[r] * static_cast<float>(std::int64_t{words[1]} * (dots_of_bytes ? 256 : 1) + words[0]);
  }
}

/// A block of query rows, [block_rows][columns] in the order of the codes' columns, as integers in units of each row's
/// largest; see QueryRows. What is not finite makes the scale NaN. `Scaled`: each row is multiplied by the channels'
/// scales first, and its total is that of the row times their offsets. `WithRest`: what the integers leave of each
/// element becomes integers, too.
template <bool Scaled, bool WithRest>
inline void quantize_query_block(TokenTile const& tile, float const* rows, std::int32_t columns,
                                 QueryIntegers const& to, QueryIntegers const& rest) {
  Ints most[4] = {};
  Floats shares[4] = {};
  for (std::int32_t i = 0; i < columns; i += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats x = load<Floats>(rows + r * columns + i);
      if constexpr (Scaled) {
        shares[r] += x * load<Floats>(tile.channel_offsets + i);
        x *= load<Floats>(tile.channel_scales + i);
      }
      most[r] = larger(as<Ints>(x) & 0x7FFFFFFF, most[r]);
    }
  }
  FourFloats const limit = largest_bits(most), inverse = query_limit / limit;
  Ints totals[4] = {}, rest_totals[4] = {};
  for (std::int32_t i = 0; i < columns; i += lanes) {
    Words words[4], rest_words[4];
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats x = load<Floats>(rows + r * columns + i) * inverse[r];
      if constexpr (Scaled) x *= load<Floats>(tile.channel_scales + i);
      Ints const integers = nearest(x);
      words[r] = add_words(integers, totals[r]);
      if constexpr (WithRest)
        rest_words[r] =
            add_words(nearest((x - __builtin_convertvector(integers, Floats)) * query_rest_units), rest_totals[r]);
    }
    constexpr auto all_lanes = std::make_integer_sequence<int, lanes>{};
    store_four(words, to.words + i * query_words * block_rows, all_lanes);
    if constexpr (WithRest) store_four(rest_words, rest.words + i * query_words * block_rows, all_lanes);
  }
  FourInts const is_number = as<FourInts>(limit) < 0x7F800000, not_a_number = FourInts{} + 0x7FC00000;
  FourFloats const scale = as<FourFloats>(is_number ? as<FourInts>(limit * (1.0F / query_limit)) : not_a_number);
  finish_query_block(totals, scale, to);
  if constexpr (WithRest) finish_query_block(rest_totals, scale * (1.0F / query_rest_units), rest);
  if constexpr (Scaled) store(to.totals, sums(shares[0], shares[1], shares[2], shares[3]));
  if constexpr (Scaled && WithRest) store(rest.totals, FourFloats{});
}
template <bool Scaled>
inline void quantize_queries(TokenTile const& tile, float const* rows, std::int32_t columns, QueryIntegers const& to,
                             QueryIntegers const* rest) {
  if (rest == nullptr)
    quantize_query_block<Scaled, false>(tile, rows, columns, to, {});
  else
    quantize_query_block<Scaled, true>(tile, rows, columns, to, *rest);
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
