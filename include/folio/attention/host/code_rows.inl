// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Scores and weighted sums over rows of integers, by dot products of bytes: no key and no value is decoded. Included
// once for each instruction set by kernels.hpp. All sums are of integers and exact, so they are the same on every set.
//
// A dot product of bytes takes unsigned ones and signed ones. Of keys the codes are the unsigned, of values the
// weights. A tile's codes are first laid out so that 4 bytes that are multiplied and added lie together: 4 dims of a
// key, or 4 tokens of one dim of a value. That is done once for all query rows.

namespace folio::attention::FOLIO_SIMD_ISA {

/// The dim at a column of the unpacked keys.
template <class C>
[[nodiscard]] constexpr std::int32_t key_dim_at(std::int32_t column, std::int32_t) {
  std::int32_t const word = column / 4, part = word % C::per_byte;
  return (word / C::per_byte * 4 + column % 4) * C::per_byte + part;
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
inline std::byte* unpack_chunks(TokenTile const& tile, std::byte const* const* rows, std::int32_t at, std::byte* to) {
  Words r[std::size_t{Chunks}][4];
  FOLIO_UNROLL
  for (int i = 0; i < 4; ++i) {
    FOLIO_UNROLL
    for (int chunk = 0; chunk < Chunks; ++chunk) r[chunk][i] = load_chunk<C>(tile, rows + i, at + 16 * chunk);
  }
  FOLIO_UNROLL
  for (int chunk = 0; chunk < Chunks; ++chunk, to += 4 * C::per_byte * vector_bytes) store_words<C>(r[chunk], to);
  return to;
}

/// Keys: [group of `lanes` tokens][4 columns][token] words.
template <class C>
inline void unpack_keys(TokenTile const& tile) {
  constexpr int together = vector_bytes == 64 ? 4 : 1;
  std::int32_t const row_bytes = code_row_bytes(tile.dim, C::per_byte);
  auto* to = tile.unpacked;
  for (std::int32_t group = 0; group < tile.tokens; group += lanes) {
    std::byte const* const* const rows = tile.rows->codes + group;
    prefetch(tile, lanes / 4);
    std::int32_t at = 0;
    for (; at + 16 * together <= row_bytes; at += 16 * together) to = unpack_chunks<C, together>(tile, rows, at, to);
    for (; at < row_bytes; at += 16) to = unpack_chunks<C, 1>(tile, rows, at, to);
  }
}

/// From the sums of products with the query's words to scores. A bias costs the sums of the words, exactly; an offset
/// that of the query.
template <class C>
[[nodiscard]] inline Floats finish_scores(TokenTile const& tile, QueryRows const& q, int row, std::int32_t token,
                                          Ints const& a, Ints const& b) {
  std::int32_t const low = C::key_zero_point * q.sums[row], high = C::key_zero_point * q.sums[block_rows + row];
  Floats const product = join_words(a - low, b - high);
  return product * q.scales[row] * load<Floats>(tile.scales + token) +
         load<Floats>(tile.offsets + token) * q.totals[row];
}

/// scores[row][token] of 4 query rows with `Groups` * lanes keys.
template <class C, int Groups>
inline void score_groups(TokenTile const& tile, std::int32_t token, QueryRows const& q, float* scores) {
  Ints sums[4][std::size_t{query_words}][std::size_t{Groups}] = {};
  std::byte const* const keys = tile.unpacked + std::int64_t{token} * q.columns;
  for (std::int32_t i = 0; i < q.columns; i += 4) {
    if (i % 8 == 0) prefetch(tile, 1);
    Words key[2][std::size_t{Groups}];
    FOLIO_UNROLL
    for (int g = 0; g < Groups; ++g) {
      Words const four = load<Words>(keys + (g * q.columns + i) * lanes);
      key[0][g] = bytes_for_word<0>(four);
      key[1][g] = bytes_for_word<1>(four);
    }
    FOLIO_UNROLL
    for (int r = 0; r < block_rows; ++r) {
      FOLIO_UNROLL
      for (int k = 0; k < query_words; ++k) {
        Words const integers = splat_word(q.words + (k * q.columns + i + r) * 4);
        FOLIO_UNROLL
        for (int g = 0; g < Groups; ++g) sums[r][k][g] = dot(sums[r][k][g], key[k][g], integers);
      }
    }
  }
  FOLIO_UNROLL
  for (int r = 0; r < block_rows; ++r) {
    FOLIO_UNROLL
    for (int g = 0; g < Groups; ++g)
      store(scores + r * tile_tokens + token + g * lanes,
            finish_scores<C>(tile, q, r, token + g * lanes, sums[r][0][g], sums[r][1][g]));
  }
}

/// With every key of a tile.
template <class C>
inline void score_codes(TokenTile const& tile, QueryRows const& q, float* scores) {
  constexpr int groups = vector_bytes == 64 ? 2 : 1;
  std::int32_t token = 0;
  for (; token + (groups - 1) * lanes < tile.tokens; token += groups * lanes)
    score_groups<C, groups>(tile, token, q, scores);
  if (token < tile.tokens) score_groups<C, 1>(tile, token, q, scores);
}

/// The dim at a column of the unpacked values: interleaving works within each 16 bytes, which shuffles them.
template <class C>
[[nodiscard]] inline std::int32_t value_dim_at(std::int32_t column, std::int32_t dim) {
  std::int32_t const row_bytes = code_row_bytes(dim, C::per_byte), copies = num_copies<C>(row_bytes);
  std::int32_t const vector = column / lanes, lane = column % lanes, parts = C::per_byte / copies;
  std::int32_t const part = vector % parts, turn = vector / parts % 4, chunk = vector / parts / 4;
  std::int32_t const byte = chunk * vector_bytes + lane / 4 * 16 + turn * 4 + lane % 4;
  return copies == 1 ? byte * C::per_byte + part : byte % row_bytes * C::per_byte + part * copies + byte / row_bytes;
}

template <class C, int Copies>
inline std::byte* store_parts(Words packed, std::byte* to) {
  FOLIO_UNROLL
  for (int i = 0; i < C::per_byte / Copies; ++i) store(to + i * vector_bytes, C::value_part(packed, i * Copies));
  return to + C::per_byte / Copies * vector_bytes;
}

template <class C, int Copies>
inline void unpack_value_copies(TokenTile const& tile) {
  std::int32_t const row_bytes = code_row_bytes(tile.dim, C::per_byte);
  auto* to = tile.unpacked;
  for (std::int32_t token = 0; token < tile.tokens; token += 4) {
    std::byte const* const* const rows = tile.rows->codes + token;
    prefetch(tile, 1);
    for (std::int32_t at = 0; at < row_bytes; at += vector_bytes) {
      Words r[4];
      FOLIO_UNROLL
      for (int i = 0; i < 4; ++i) r[i] = load_part<C, Copies>(tile, rows[i], at, row_bytes);
      Words const a = lower<1>(r[0], r[1]), b = upper<1>(r[0], r[1]), c = lower<1>(r[2], r[3]),
                  d = upper<1>(r[2], r[3]);
      to = store_parts<C, Copies>(lower<2>(a, c), to);
      to = store_parts<C, Copies>(upper<2>(a, c), to);
      to = store_parts<C, Copies>(lower<2>(b, d), to);
      to = store_parts<C, Copies>(upper<2>(b, d), to);
    }
  }
}

/// Calls the one of f<1>, f<2> and f<4> that a row's copies ask for.
template <class C, class F>
inline void with_copies(std::int32_t row_bytes, F const& f) {
  int const copies = num_copies<C>(row_bytes);
  if constexpr (C::per_byte >= 4 && quarters == 4)
    if (copies == 4) return f.template operator()<4>();
  if constexpr (C::per_byte >= 2 && quarters >= 2)
    if (copies == 2) return f.template operator()<2>();
  f.template operator()<1>();
}

template <int... I>
[[nodiscard]] inline FourFloats pick(FourFloats const& a, FourFloats const& b) {
#if defined(__CUDACC__)
  float const from[8] = {a[0], a[1], a[2], a[3], b[0], b[1], b[2], b[3]};
  return FourFloats{from[I]...};
#elif defined(__clang__)
  return __builtin_shufflevector(a, b, I...);
#else
  return __builtin_shuffle(a, b, FourInts{I...});
#endif
}

/// The sums of four bytes of codes times `norm`, in the order of the dims.
template <class C, int Copies>
inline void read_four(float const* sums, std::int32_t row_bytes, std::int32_t byte, float norm,
                      FourFloats (&v)[std::size_t{C::per_byte}]) {
  constexpr int n = C::per_byte;
  std::int32_t const quarter = byte % vector_bytes / 16;
  float const* const vectors = sums + (byte / vector_bytes * 4 + byte % 16 / 4) * (n / Copies) * lanes;
  FOLIO_UNROLL
  for (int i = 0; i < n; ++i)
    v[i] = load<FourFloats>(vectors + i / Copies * lanes + (quarter + i % Copies * (row_bytes / 16)) * 4) * norm;
  if constexpr (n == 4) {
    FourFloats const a = pick<0, 4, 1, 5>(v[0], v[1]), b = pick<0, 4, 1, 5>(v[2], v[3]);
    FourFloats const c = pick<2, 6, 3, 7>(v[0], v[1]), d = pick<2, 6, 3, 7>(v[2], v[3]);
    v[0] = pick<0, 1, 4, 5>(a, b);
    v[1] = pick<2, 3, 6, 7>(a, b);
    v[2] = pick<0, 1, 4, 5>(c, d);
    v[3] = pick<2, 3, 6, 7>(c, d);
  } else if constexpr (n == 2) {
    FourFloats const a = v[0];
    v[0] = pick<0, 4, 1, 5>(a, v[1]);
    v[1] = pick<2, 6, 3, 7>(a, v[1]);
  }
}

/// A row's sums times `norm`, from the order of the columns to that of the dims.
template <class C>
inline void read_sums(float const* sums, std::int32_t dim, float norm, float* out) {
  constexpr int n = C::per_byte;
  std::int32_t const row_bytes = code_row_bytes(dim, n);
  std::int32_t done = 0;
  for (; n == 1 && done + lanes <= dim; done += lanes)  // a byte's sum is one number: whole vectors
    store(out + done, as<Floats>(gather_quarters([&](int i) {
                        std::int32_t const at = done + 4 * i, turn = at / vector_bytes * 4 + at % 16 / 4;
                        return reinterpret_cast<std::byte const*>(sums + turn * lanes + at % vector_bytes / 16 * 4);
                      })) *
                          norm);
  with_copies<C>(row_bytes, [&]<int Copies>() {
    for (std::int32_t d = done; d < dim; d += 4 * n) {
      FourFloats v[std::size_t{n}];
      read_four<C, Copies>(sums, row_bytes, d / n, norm, v);
      for (int i = 0; i < n && d + 4 * i < dim; ++i) store(out + d + 4 * i, v[i]);
    }
  });
}

/// Values: [4 tokens][column] words, each of the 4 tokens' bytes of one dim.
template <class C>
inline void unpack_values(TokenTile const& tile) {
  with_copies<C>(code_row_bytes(tile.dim, C::per_byte), [&]<int Copies>() { unpack_value_copies<C, Copies>(tile); });
}

/// A row's sums so far, times what is kept of them: 0 where there are none yet, whatever is there.
[[nodiscard]] inline Floats kept(float const* sums, float rescale) {
  return rescale != 0.0F ? load<Floats>(sums) * splat(rescale) : Floats{};
}

/// From sums of products to those of weighted values.
template <bool Channels>
inline void add_products(TokenTile const& tile, WeightRows const& w, int row, std::int32_t column,
                         Floats const& products) {
  float* const out = w.out + row * w.out_stride + column;
  if constexpr (Channels) {
    Floats const sum =
        (products - w.zero_point_corrections[row]) * w.scales[row] * load<Floats>(tile.channel_scales + column);
    Floats const shift = w.shifts[row] * load<Floats>(tile.channel_offsets + column);
    store(out, kept(out, w.rescale[row]) + (sum + shift));
  } else {
    store(out, kept(out, w.rescale[row]) + (products * w.scales[row] + w.shifts[row]));
  }
}

/// out[row] = out[row] * rescale[row] + the sum of weight * value, columns [column, column + V * lanes).
template <bool Channels, int V>
inline void add_columns(TokenTile const& tile, WeightRows const& w, std::int32_t column) {
  Ints sums[4][std::size_t{weight_words}][std::size_t{V}] = {};
  for (std::int32_t t = 0; t < w.end; t += 4) {
    prefetch(tile, 1);
    Words values[2][std::size_t{V}];
    FOLIO_UNROLL
    for (int v = 0; v < V; ++v) {
      Words const four = load<Words>(tile.unpacked + std::int64_t{t} * w.out_stride + (column + v * lanes) * 4);
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
    for (int v = 0; v < V; ++v)
      add_products<Channels>(tile, w, r, column + v * lanes, join_words(sums[r][0][v], sums[r][1][v]));
  }
}

template <bool Channels>
inline void add_codes(TokenTile const& tile, WeightRows const& w) {
  constexpr int together = vector_bytes == 64 ? 2 : 1;  // w.out_stride columns are a multiple of 4 vectors
  for (std::int32_t column = 0; column < w.out_stride; column += together * lanes)
    add_columns<Channels, together>(tile, w, column);
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
