// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Around the scores: row parameters, the running softmax, and weights as integers. Included once for each instruction
// set by kernels.hpp.

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
template <class = void>
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
template <class = void>
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
template <class = void>
inline void store_words(Ints const& weights, std::uint8_t* to) {
  Words const words = dots_of_bytes ? all_digits_first(as<Words>(weights)) : pairs_first(weights);
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

}  // namespace folio::attention::FOLIO_SIMD_ISA
