// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Scores and weighted sums over rows of integers, by dot products of bytes: no key and no value is decoded. Included
// once for each instruction set by kernels.hpp. All sums are of integers and exact, so they are the same on every set.
//
// A dot product of bytes takes unsigned ones and signed ones. Of keys the codes are the unsigned, of values the
// weights. A tile's codes are first laid out so that 4 bytes that are multiplied and added lie together: 4 dims of a
// key, or 4 tokens of one dim of a value. That is done once for all query rows.

namespace folio::simd::FOLIO_SIMD_ISA {

/// Codes of `Bits` bits, the first in a byte's lowest; signed or not.
template <int Bits, bool Signed>
struct Codes {
  static constexpr int per_byte = 8 / Bits;
  static constexpr std::int32_t bias = 1 << (Bits - 1);          ///< what makes a code signed
  static constexpr std::int32_t value_bias = Signed ? 0 : bias;  ///< a signed one is as it should be
  /// How much larger the bytes are than codes less their bias.
  static constexpr std::int32_t key_excess = dots_of_bytes || Bits != 8 ? bias : 0;
  static constexpr std::int32_t value_excess = Bits != 8 ? bias : 0;

  static Words part(Words packed, int i) {
    return Bits == 8 ? packed : (packed >> (Bits * i)) & (0x01010101U * ((1U << Bits) - 1U));
  }
  static Words key_part(Words packed, int i) {
    if constexpr (!dots_of_bytes) return value_part(packed, i);
    return Signed ? packed ^ 0x80808080U : part(packed, i);
  }
  static Words value_part(Words packed, int i) { return Bits == 8 && !Signed ? packed ^ 0x80808080U : part(packed, i); }
};

[[nodiscard]] inline std::int32_t code_row_bytes(std::int32_t dim, int per_byte) {
  return (dim / per_byte + 15) / 16 * 16;  // rows are padded so by every block map
}

/// How many places the unpacked codes of a key, and of a value, take.
template <class C>
[[nodiscard]] inline std::int32_t key_places(std::int32_t dim) {
  return code_row_bytes(dim, C::per_byte) * C::per_byte;
}
template <class C>
[[nodiscard]] inline std::int32_t value_places(std::int32_t dim) {
  std::int32_t const row_bytes = code_row_bytes(dim, C::per_byte);
  return (row_bytes + vector_bytes - 1) / vector_bytes * vector_bytes * C::per_byte;
}

/// The next `vector_bytes` of a row, or what is left of it, a multiple of 16, and zeros.
[[nodiscard]] inline Words load_codes_at(std::byte const* row, std::int32_t at, std::int32_t row_bytes) {
  if (at + vector_bytes <= row_bytes) return load<Words>(row + at);
  return load_front(row + at, row_bytes - at);
}

/// The dim at a place of the unpacked keys.
template <class C>
[[nodiscard]] inline std::int32_t key_dim_at(std::int32_t place) {
  std::int32_t const word = place / 4, part = word % C::per_byte;
  return (word / C::per_byte * 4 + place % 4) * C::per_byte + part;
}

/// Four vectors: words 0 to 3 of 16 bytes of `lanes` rows. `r`: those bytes of rows i, 4 + i, 8 + i...
template <class C>
inline void store_words(Words const (&r)[4], std::byte* to) {
  Words const a = lower<4>(r[0], r[1]), b = upper<4>(r[0], r[1]), c = lower<4>(r[2], r[3]), d = upper<4>(r[2], r[3]);
  Words const words[4] = {lower<8>(a, c), upper<8>(a, c), lower<8>(b, d), upper<8>(b, d)};
  FOLIO_UNROLL
  for (int w = 0; w < 4; ++w) {
    FOLIO_UNROLL
    for (int i = 0; i < C::per_byte; ++i) store(to + (w * C::per_byte + i) * vector_bytes, C::key_part(words[w], i));
  }
}

/// Bytes [at, at + 16 * Chunks) of `lanes` keys.
template <class C, int Chunks>
inline std::byte* unpack_chunks(std::byte const* const* rows, std::int32_t at, std::byte* to) {
  Words r[std::size_t{Chunks}][4];
  FOLIO_UNROLL
  for (int i = 0; i < 4; ++i) {
    FOLIO_UNROLL
    for (int chunk = 0; chunk < Chunks; ++chunk) r[chunk][i] = gather_quarters(rows + i, at + 16 * chunk);
  }
  FOLIO_UNROLL
  for (int chunk = 0; chunk < Chunks; ++chunk, to += 4 * C::per_byte * vector_bytes) store_words<C>(r[chunk], to);
  return to;
}

/// Keys: [group of `lanes` tokens][4 places][token] words.
template <class C>
inline void unpack_keys(Tile const& tile) {
  constexpr int together = vector_bytes == 64 ? 4 : 1;
  std::int32_t const row_bytes = code_row_bytes(tile.dim, C::per_byte);
  auto* to = tile.unpacked;
  for (std::int32_t group = 0; group < tile.tokens; group += lanes) {
    std::byte const* const* const rows = tile.rows->codes + group;
    ask_ahead(tile, lanes / 4);
    std::int32_t at = 0;
    for (; at + 16 * together <= row_bytes; at += 16 * together) to = unpack_chunks<C, together>(rows, at, to);
    for (; at < row_bytes; at += 16) to = unpack_chunks<C, 1>(rows, at, to);
  }
}

/// From the sums of products with the query's words to scores. A bias costs the sums of the words, exactly; an offset
/// that of the query.
template <class C>
[[nodiscard]] inline Floats finish_scores(Tile const& tile, QueryRows const& q, int row, std::int32_t token,
                                          Ints const& a, Ints const& b) {
  std::int32_t const* const sums = q.sums + row * query_words;
  Floats const product = join_words(a - C::key_excess * sums[0], b - C::key_excess * sums[1]);
  return product * q.scales[row] * load<Floats>(tile.scales + token) +
         load<Floats>(tile.offsets + token) * q.totals[row];
}

/// scores[row][token] of 4 query rows with every key of a tile.
template <class C>
inline void score_codes(Tile const& tile, QueryRows const& q, float* scores) {
  constexpr int groups = vector_bytes == 64 ? 2 : 1;
  constexpr std::int32_t row_words = block_rows * query_words;
  for (std::int32_t token = 0; token < tile.tokens; token += groups * lanes) {
    Ints sums[4][std::size_t{query_words}][std::size_t{groups}] = {};
    std::byte const* const keys = tile.unpacked + std::int64_t{token} * q.places;
    for (std::int32_t i = 0; i < q.places; i += 4) {
      if (i % 8 == 0) ask_ahead(tile, 1);
      Words key[2][std::size_t{groups}];
      FOLIO_UNROLL
      for (int g = 0; g < groups; ++g) {
        Words const four = load<Words>(keys + (g * q.places + i) * lanes);
        key[0][g] = bytes_for_word<0>(four);
        key[1][g] = bytes_for_word<1>(four);
      }
      FOLIO_UNROLL
      for (int r = 0; r < block_rows; ++r) {
        FOLIO_UNROLL
        for (int k = 0; k < query_words; ++k) {
          Words const integers = splat_word(q.words + i * row_words + (r * query_words + k) * 4);
          FOLIO_UNROLL
          for (int g = 0; g < groups; ++g) sums[r][k][g] = dot(sums[r][k][g], key[k][g], integers);
        }
      }
    }
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      FOLIO_UNROLL
      for (int g = 0; g < groups; ++g)
        store(scores + r * tile_tokens + token + g * lanes,
              finish_scores<C>(tile, q, r, token + g * lanes, sums[r][0][g], sums[r][1][g]));
    }
  }
}

/// The dim at a place of the unpacked values: interleaving works within each 16 bytes, which shuffles them.
template <class C>
[[nodiscard]] inline std::int32_t value_dim_at(std::int32_t place) {
  std::int32_t const vector = place / lanes, lane = place % lanes;
  std::int32_t const part = vector % C::per_byte, turn = vector / C::per_byte % 4, chunk = vector / C::per_byte / 4;
  return (chunk * vector_bytes + lane / 4 * 16 + turn * 4 + lane % 4) * C::per_byte + part;
}

template <class C>
inline std::byte* store_parts(Words packed, std::byte* to) {
  FOLIO_UNROLL
  for (int i = 0; i < C::per_byte; ++i) store(to + i * vector_bytes, C::value_part(packed, i));
  return to + C::per_byte * vector_bytes;
}

/// Values: [4 tokens][place] words, each of the 4 tokens' bytes of one dim.
template <class C>
inline void unpack_values(Tile const& tile) {
  std::int32_t const row_bytes = code_row_bytes(tile.dim, C::per_byte);
  auto* to = tile.unpacked;
  for (std::int32_t token = 0; token < tile.tokens; token += 4) {
    std::byte const* const* const rows = tile.rows->codes + token;
    ask_ahead(tile, 1);
    for (std::int32_t at = 0; at < row_bytes; at += vector_bytes) {
      Words const r0 = load_codes_at(rows[0], at, row_bytes), r1 = load_codes_at(rows[1], at, row_bytes);
      Words const r2 = load_codes_at(rows[2], at, row_bytes), r3 = load_codes_at(rows[3], at, row_bytes);
      Words const a = lower<1>(r0, r1), b = upper<1>(r0, r1), c = lower<1>(r2, r3), d = upper<1>(r2, r3);
      to = store_parts<C>(lower<2>(a, c), to);
      to = store_parts<C>(upper<2>(a, c), to);
      to = store_parts<C>(lower<2>(b, d), to);
      to = store_parts<C>(upper<2>(b, d), to);
    }
  }
}

/// out[row] = out[row] * keep[row] + the sum of weight * value, places [place, place + V * lanes).
template <int V>
inline void add_places(Tile const& tile, WeightRows const& w, std::int32_t place) {
  Ints sums[4][std::size_t{weight_words}][std::size_t{V}] = {};
  for (std::int32_t t = 0; t < w.end; t += 4) {
    ask_ahead(tile, 1);
    Words values[2][std::size_t{V}];
    FOLIO_UNROLL
    for (int v = 0; v < V; ++v) {
      Words const four = load<Words>(tile.unpacked + std::int64_t{t} * w.out_stride + (place + v * lanes) * 4);
      values[0][v] = bytes_for_word<0>(four);
      values[1][v] = bytes_for_word<1>(four);
    }
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      FOLIO_UNROLL
      for (int k = 0; k < weight_words; ++k) {
        Words const integers = splat_word(w.words + (r * weight_words + k) * tile_tokens + t);
        FOLIO_UNROLL
        for (int v = 0; v < V; ++v) sums[r][k][v] = dot(sums[r][k][v], integers, values[k][v]);
      }
    }
  }
  FOLIO_UNROLL
  for (int r = 0; r < block_rows; ++r) {
    FOLIO_UNROLL
    for (int v = 0; v < V; ++v) {
      Floats const products = join_words(sums[r][0][v], sums[r][1][v]);
      float* const out = w.out + r * w.out_stride + place + v * lanes;
      store(out, load<Floats>(out) * w.keep[r] + (products * w.scales[r] + w.shifts[r]));
    }
  }
}

inline void add_codes(Tile const& tile, WeightRows const& w) {
  constexpr int together = vector_bytes == 64 ? 2 : 1;  // w.out_stride places are a multiple of 4 vectors
  for (std::int32_t place = 0; place < w.out_stride; place += together * lanes) add_places<together>(tile, w, place);
}

}  // namespace folio::simd::FOLIO_SIMD_ISA
