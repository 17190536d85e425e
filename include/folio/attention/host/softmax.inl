// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Around the scores: row parameters, the running softmax, and queries and weights as integers. Included once for each
// instruction set by kernels.hpp.

namespace folio::attention::FOLIO_SIMD_ISA {

/// The 4 bytes of parameters of `lanes` tokens: at once where they lie in line.
[[nodiscard]] inline Words load_params(TokenTile const& tile, std::int32_t token) {
  std::byte const* const* const from = tile.rows->params + token;
  std::ptrdiff_t out_of_line = 0;
  for (int i = 1; i < lanes; ++i) out_of_line |= from[i] - from[0] - 4 * i;
  if (out_of_line == 0) return load<Words>(from[0]);
  std::uint32_t params[std::size_t{lanes}];
  for (int i = 0; i < lanes; ++i) std::memcpy(params + i, from[i], sizeof(params[i]));
  return load<Words>(params);
}

/// Element = scale * code: one float. The codes are used less `Bias`.
inline void load_scales(TokenTile const& tile) {
  std::int32_t const end = tile.rows_end();
  for (std::int32_t t = 0; t < end; t += lanes) store(tile.scales + t, load_params(tile, t));
}

/// Element = minimum + scale * code, both f16: turned to scale * (code - Bias) + offset.
template <int Bias>
inline void load_grids(TokenTile const& tile) {
  std::int32_t const end = tile.rows_end();
  for (std::int32_t t = 0; t < end; t += lanes) {
    Words const params = load_params(tile, t);
    Floats const scale = lower_numbers(params);
    store(tile.scales + t, scale);
    store(tile.offsets + t, upper_numbers(params) + scale * static_cast<float>(Bias));
  }
}

/// tanh to 3 units of the last place; NaN for a NaN. Near 0 by the polynomial of Cephes (Moshier), which loses nothing
/// to a difference from 1.
[[nodiscard]] inline Floats tanh(Floats x) {
  Ints const sign = as<Ints>(x) & std::numeric_limits<std::int32_t>::min(), size = as<Ints>(x) ^ sign;
  Floats const z = x * x;
  Floats p = z * -5.70498872745e-3F + 2.06390887954e-2F;
  p = p * z - 5.37397155531e-2F;
  p = p * z + 1.33314422036e-1F;
  p = p * z - 3.33332819422e-1F;
  Floats const near_zero = x + x * (z * p), e = exp(as<Floats>(size) * -2.0F);
  Ints const other = as<Ints>((1.0F - e) / (1.0F + e)) | sign;
  return as<Floats>(size < 0x3F200000 ? as<Ints>(near_zero) : other);  // 0.625
}

/// See ScoreShape. A score of the row says nothing of another token's, so what is hidden may be any.
inline void shape_scores(TokenTile const& tile, ScoreShape const& shape, float* scores) {
  float const inverse = shape.soft_cap != 0 ? 1.0F / shape.soft_cap : 0.0F;
  Ints distance;
  for (int i = 0; i < lanes; ++i) distance[i] = shape.distance + i;
  for (std::int32_t t = 0; t < tile.tokens; t += lanes, distance += lanes) {
    Floats score = load<Floats>(scores + t);
    if (shape.soft_cap != 0) score = tanh(score * inverse) * shape.soft_cap;
    if (shape.slope != 0) score += __builtin_convertvector(distance, Floats) * shape.slope;
    store(scores + t, score);
  }
}

/// The running softmax of 4 rows (Milakov and Gimelshein, arXiv:1805.02867): takes in the scores of a tile, of which
/// those of hidden tokens are `hidden_score`, and leaves weights. `rescale`: what the rows' sums so far are multiplied
/// by; 0 where there are none. A NaN among the scores that are seen makes the row's sum one, whichever of two a
/// comparison takes.
inline void online_softmax(TokenTile const& tile, float* scores, SoftmaxState* states, float* rescale) {
  std::int32_t const end = tile.rows_end();
  Floats most[4], weights[4] = {};
  FOLIO_UNROLL
  for (int r = 0; r < block_rows; ++r) most[r] = load<Floats>(scores + r * tile_tokens);
  for (std::int32_t t = lanes; t < end; t += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) most[r] = larger(load<Floats>(scores + r * tile_tokens + t), most[r]);
  }
  FourFloats const best = largest(most[0], most[1], most[2], most[3]);
  float next[4];
  for (int r = 0; r < block_rows; ++r) {
    float const before = states[r].max, now = before > best[r] ? before : best[r];
    rescale[r] = states[r].empty() ? 0.0F : before == now ? 1.0F : std::exp(before - now);
    states[r].max = now;
    next[r] = now == hidden_score ? 0.0F : now;  // all are hidden, and so they stay
  }
  prefetch(tile, 16);
  for (std::int32_t t = 0; t < end; t += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats const weight = exp(load<Floats>(scores + r * tile_tokens + t) - next[r]);
      store(scores + r * tile_tokens + t, weight);
      weights[r] += weight;
    }
  }
  FourFloats const total = sums(weights[0], weights[1], weights[2], weights[3]);
  for (int r = 0; r < block_rows; ++r) states[r].sum = states[r].sum * rescale[r] + total[r];
}

/// Weights of 4 rows times the scales of their values, for rows whose elements the kernels leave unscaled.
inline void scale_weights(TokenTile const& tile, float* weights, WeightIntegers&) {
  std::int32_t const end = tile.rows_end();
  for (std::int32_t t = 0; t < end; t += lanes)
    for (int r = 0; r < block_rows; ++r) {
      float* const at = weights + r * tile_tokens + t;
      store(at, load<Floats>(at) * load<Floats>(tile.scales + t));
    }
}

/// The words of `lanes` weights.
inline void store_words(Ints const& weights, std::uint8_t* to) {
  Words const words = dots_of_bytes ? all_digits_first(as<Words>(weights)) : signed_words(weights);
  auto const* from = reinterpret_cast<std::byte const*>(&words);
  for (int k = 0; k < weight_words; ++k)
    if constexpr (dots_of_bytes)
      std::memcpy(to + k * tile_tokens, from + k * lanes, std::size_t{lanes});
    else
      for (int part = 0; part < quarters; ++part)
        std::memcpy(to + k * tile_tokens + 4 * part, from + 16 * part + 4 * k, 4);
}

/// The weights of 4 rows, times the scales of their values, as integers in units of the row's largest. What the values'
/// bytes are too large by is taken off for these integers: for the weights themselves, all dims would be off to the
/// same side, and a rotation would add that up. Where channels have scales it has to wait for them.
template <class C, bool Channels>
inline void quantize_weights(TokenTile const& tile, float* weights, WeightIntegers& to) {
  std::int32_t const end = tile.rows_end();
  Ints most[4] = {};
  Floats shifts[4] = {};
  for (std::int32_t t = 0; t < end; t += lanes) {
    Floats const scale = load<Floats>(tile.scales + t), offset = load<Floats>(tile.offsets + t);
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats const weight = load<Floats>(weights + r * tile_tokens + t);
      Ints const seen = as<Ints>(weight) != 0;  // of what is hidden, the parameters may be a NaN
      Ints const product = as<Ints>(weight * scale) & seen & 0x7FFFFFFF;
      store(weights + r * tile_tokens + t, product);
      most[r] = larger(product, most[r]);
      shifts[r] += as<Floats>(as<Ints>(weight * offset) & seen);
    }
  }
  FourFloats const best = largest_bits(most);
  FourFloats const inverse = weight_limit / best, scales = best * (1.0F / weight_limit);
  store(to.scales, scales);
  Floats totals[4] = {};
  for (std::int32_t t = 0; t < end; t += lanes) {
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats const weight = load<Floats>(weights + r * tile_tokens + t) * inverse[r] + 0.5F;
      Ints const integers = __builtin_convertvector(weight, Ints);
      store_words(integers, to.words + r * weight_words * tile_tokens + t);
      if (C::value_zero_point != 0) totals[r] += __builtin_convertvector(integers, Floats);
    }
  }
  for (int row = 0; row < block_rows * weight_words && end < tile_tokens; ++row)  // some kernels take all tokens
    std::memset(to.words + row * tile_tokens + end, 0, static_cast<std::size_t>(tile_tokens - end));
  FourFloats const correction =
      sums(totals[0], totals[1], totals[2], totals[3]) * static_cast<float>(C::value_zero_point);
  FourFloats const shift = sums(shifts[0], shifts[1], shifts[2], shifts[3]);
  store(to.zero_point_corrections, correction);
  store(to.shifts, Channels ? shift : shift - correction * scales);
}

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
