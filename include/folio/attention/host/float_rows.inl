// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Scores and weighted sums over rows of floating-point numbers, which are widened in registers. Included once for each
// instruction set by kernels.hpp. Every lane sums in a fixed order, whatever other rows are worked on.

namespace folio::attention::FOLIO_SIMD_ISA {

/// How elements are loaded: `together` vectors at once, each element as a `factor`-th of what it is.
template <class Load>
struct LoadOne {
  static constexpr int together = 1;
  static constexpr float factor = 1.0F;
  static void load(std::byte const* from, Floats (&to)[1]) { to[0] = Load::load(from); }
};
struct F32Elements : LoadOne<F32Elements> {
  using LoadOne::load;
  static constexpr int bytes = 4;
  static Floats load(std::byte const* from) { return FOLIO_SIMD_ISA::load<Floats>(from); }
};
struct F16Elements : LoadOne<F16Elements> {
  using LoadOne::load;
  static constexpr int bytes = 2;
  static Floats load(std::byte const* from) { return from_halves(FOLIO_SIMD_ISA::load<Halves>(from)); }
};
struct Bf16Elements : LoadOne<Bf16Elements> {
  using LoadOne::load;
  static constexpr int bytes = 2;
  static Floats load(std::byte const* from) { return as<Floats>(widen(FOLIO_SIMD_ISA::load<Halves>(from)) << 16); }
};
/// Bytes that are turned to f16: two vectors at once, because a vector holds twice as many numbers of 16 bits.
template <class Turn>
struct LoadTwo {
  static constexpr int bytes = 1, together = 2;
  static Floats load(std::byte const* from) {
    return from_halves(Turn::turn(__builtin_convertvector(FOLIO_SIMD_ISA::load<Patterns>(from), Halves)));
  }
  static void load(std::byte const* from, Floats (&to)[2]) {
    ManyHalves const h = Turn::turn(__builtin_convertvector(FOLIO_SIMD_ISA::load<ManyPatterns>(from), ManyHalves));
    to[0] = from_halves(lower_half(h));
    to[1] = from_halves(upper_half(h));
  }
};
/// By way of f16, whose places its bits are moved to: 256 times too small.
struct E4m3Elements : LoadTwo<E4m3Elements> {
  static constexpr float factor = 256.0F;
  template <class V>
  static V turn(V h) {
    V const magnitude = (h << 7) & 0x3F80;
    V const nan = (magnitude + 0x0080) & 0x4000;  // carried from 0x7F: now the exponent is full
    return magnitude | nan | ((h << 8) & 0x8000);
  }
};
/// The upper byte of an f16.
struct E5m2Elements : LoadTwo<E5m2Elements> {
  static constexpr float factor = 1.0F;
  template <class V>
  static V turn(V h) {
    return h << 8;
  }
};

/// The last elements of a row whose length is not a multiple of the lanes: 8 of 16, then zeros.
template <class E>
[[nodiscard]] inline Floats load_half(std::byte const* from) {
  std::byte part[std::size_t{lanes} * E::bytes] = {};
  std::memcpy(part, from, std::size_t{lanes / 2} * E::bytes);
  return E::load(part);
}

/// Adds to `sums` the products of 4 query rows and `Tokens` keys at elements [d, d + lanes).
template <int Tokens>
inline void multiply(QueryRows const& q, std::int32_t d, Floats const (&keys)[std::size_t{Tokens}],
                     Floats (&sums)[4][std::size_t{Tokens}]) {
  FOLIO_UNROLL
  for (int r = 0; r < block_rows; ++r) {
    Floats const query = load<Floats>(q.floats + r * q.float_stride + d);
    FOLIO_UNROLL
    for (int t = 0; t < Tokens; ++t) sums[r][t] += query * keys[t];
  }
}

template <class E, int Tokens>
inline void sum_products(TokenTile const& tile, std::int32_t token, QueryRows const& q,
                         Floats (&sums)[4][std::size_t{Tokens}]) {
  std::byte const* const* const rows = tile.rows->codes + token;
  constexpr int together = E::together;
  std::int32_t d = 0;
  for (; d + together * lanes <= tile.dim; d += together * lanes) {
    Floats keys[std::size_t{together}][std::size_t{Tokens}];
    FOLIO_UNROLL
    for (int t = 0; t < Tokens; ++t) {
      Floats loaded[std::size_t{together}];
      E::load(rows[t] + d * E::bytes, loaded);
      for (int i = 0; i < together; ++i) keys[i][t] = loaded[i];
    }
    FOLIO_UNROLL
    for (int i = 0; i < together; ++i) multiply<Tokens>(q, d + i * lanes, keys[i], sums);
  }
  if (together > 1 && d + lanes <= tile.dim) {
    Floats keys[std::size_t{Tokens}];
    FOLIO_UNROLL
    for (int t = 0; t < Tokens; ++t) keys[t] = E::load(rows[t] + d * E::bytes);
    multiply<Tokens>(q, d, keys, sums);
    d += lanes;
  }
  if (lanes > 8 && d < tile.dim) {
    Floats keys[std::size_t{Tokens}];
    FOLIO_UNROLL
    for (int t = 0; t < Tokens; ++t) keys[t] = load_half<E>(rows[t] + d * E::bytes);
    multiply<Tokens>(q, d, keys, sums);
  }
}

/// Those with the key of one token: the same bits as among others.
template <class E>
inline void score_one(TokenTile const& tile, std::int32_t token, QueryRows const& q, float* scores) {
  prefetch(tile, 1);
  Floats sums[4][1] = {};
  sum_products<E, 1>(tile, token, q, sums);
  FourFloats const products = FOLIO_SIMD_ISA::sums(sums[0][0], sums[1][0], sums[2][0], sums[3][0]);
  float const scale = (tile.scales != nullptr ? tile.scales[token] : 1.0F) * (E::factor * q.scale);
  for (int r = 0; r < block_rows; ++r) scores[r * tile_tokens + token] = products[r] * scale;
}

/// scores[row][token] of 4 query rows with every key of a tile.
template <class E>
inline void score_floats(TokenTile const& tile, QueryRows const& q, float* scores) {
  constexpr int together = vector_bytes == 64 ? 4 : 2;  // what fits into the registers
  std::int32_t const fours = tile.tokens % 4 == 3 ? tile.tokens + 1 : tile.tokens / 4 * 4;
  for (std::int32_t token = fours; token < tile.tokens; ++token) score_one<E>(tile, token, q, scores);
  for (std::int32_t token = 0; token < fours; token += 4) {
    prefetch(tile, 3);
    FourFloats const scales = tile.scales != nullptr ? load<FourFloats>(tile.scales + token) : FourFloats{} + 1.0F;
    Floats sums[4][4] = {};
    if constexpr (together == 4) {
      sum_products<E, 4>(tile, token, q, sums);
    } else {
      Floats half[2][4][2] = {};
      sum_products<E, 2>(tile, token, q, half[0]);
      sum_products<E, 2>(tile, token + 2, q, half[1]);
      for (int r = 0; r < 4; ++r)
        for (int t = 0; t < 4; ++t) sums[r][t] = half[t / 2][r][t % 2];
    }
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r)
      store(scores + r * tile_tokens + token,
            FOLIO_SIMD_ISA::sums(sums[r][0], sums[r][1], sums[r][2], sums[r][3]) * (scales * (E::factor * q.scale)));
  }
}

/// Adds to out[row][d, d + V * lanes) the weighted values of tokens [begin, end).
template <class E, int V, bool Half = false>
inline void add_columns(TokenTile const& tile, WeightRows const& w, std::int32_t d) {
  Floats sums[4][std::size_t{V}];
  FOLIO_UNROLL
  for (int r = 0; r < block_rows; ++r) {
    float const rescale = w.rescale[r] / E::factor, *const out = w.out + r * w.out_stride + d;
    bool const any = rescale != 0.0F;  // else there are no sums yet, whatever is there
    FOLIO_UNROLL
    for (int v = 0; v < V; ++v) sums[r][v] = any ? load<Floats>(out + v * lanes) * splat(rescale) : Floats{};
  }
  for (std::int32_t t = w.begin; t < w.end; ++t) {
    if (t % 2 == 0) prefetch(tile, 1);
    Floats values[std::size_t{V}];
    std::byte const* const row = tile.rows->codes[t] + d * E::bytes;
    if constexpr (!Half && V % E::together == 0) {
      FOLIO_UNROLL
      for (int v = 0; v < V; v += E::together) {
        Floats loaded[std::size_t{E::together}];
        E::load(row + v * lanes * E::bytes, loaded);
        for (int i = 0; i < E::together; ++i) values[v + i] = loaded[i];
      }
    } else {
      for (int v = 0; v < V; ++v) values[v] = Half ? load_half<E>(row) : E::load(row + v * lanes * E::bytes);
    }
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      Floats const weight = splat(w.weights[r * tile_tokens + t]);
      FOLIO_UNROLL
      for (int v = 0; v < V; ++v) sums[r][v] += weight * values[v];
    }
  }
  FOLIO_UNROLL
  for (int r = 0; r < block_rows; ++r) {
    FOLIO_UNROLL
    for (int v = 0; v < V; ++v)
      if (r < w.num_rows) store(w.out + r * w.out_stride + d + v * lanes, sums[r][v] * E::factor);
  }
}

/// out[row] = out[row] * rescale[row] + the sum of weights[row][token] * value[token].
template <class E>
inline void add_floats(TokenTile const& tile, WeightRows const& w) {
  constexpr int wide = vector_bytes == 64 ? 4 : 2;
  std::int32_t d = 0;
  for (; d + wide * lanes <= tile.dim; d += wide * lanes) add_columns<E, wide>(tile, w, d);
  for (; d + lanes <= tile.dim; d += lanes) add_columns<E, 1>(tile, w, d);
  if constexpr (lanes > 8)
    if (d < tile.dim) add_columns<E, 1, true>(tile, w, d);
}

/// A row of sums times `norm`.
inline void read_floats(float const* sums, std::int32_t dim, float norm, float* out) {
  std::int32_t d = 0;
  for (; d + lanes <= dim; d += lanes) store(out + d, load<Floats>(sums + d) * norm);
  for (; d < dim; ++d) out[d] = sums[d] * norm;
}

/// The rows as floats, [tile_tokens][dim padded to 16], for work that reads them many times.
template <class E>
inline void widen_rows(TokenTile const& tile) {
  std::int32_t const stride = (tile.dim + 15) / 16 * 16;
  auto* to = aligned_cast<float>(tile.unpacked);
  for (std::int32_t t = 0; t < tile.tokens; ++t, to += stride) {
    prefetch(tile, 1);
    std::byte const* const row = tile.rows->codes[t];
    std::int32_t d = 0;
    for (; d + lanes <= tile.dim; d += lanes) store(to + d, E::load(row + d * E::bytes) * E::factor);
    if (d < tile.dim) store(to + d, load_half<E>(row + d * E::bytes) * E::factor);
  }
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
