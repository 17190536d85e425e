// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Scores and weighted sums over rows of integers by AMX, whose one instruction multiplies 16 rows of 64 bytes with 16
// columns of 64. Included once by kernels.hpp, after the kernels of AVX-512, which do the rest and whose integers
// these are.
//
// Scores: keys are rows, one byte for each code, as they are stored but for the packing; the words of 4 queries are
// columns. Values: the words of the weights are rows.

namespace folio::attention::amx {

using namespace avx512;

/// The tile registers: 0: 16 keys, 1: queries, 2 and 3: their sums; 4: weights, 5: 16 dims of values, 6 and 7: sums.
struct alignas(64) TileShapes {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t row_bytes[16] = {64, 32, 32, 32, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 8, 16, 8, 8};
};
static_assert(block_rows * query_words * 4 == 32 && block_rows * weight_words == 8);

inline void enter() {
  static constexpr TileShapes shapes;
  asm volatile("ldtilecfg %0" : : "m"(shapes));
}
inline void leave() { asm volatile("tilerelease"); }

/// Keys: [token][column], a byte for each code; a row is whole vectors. (Read where they lie, those of 8 bits took
/// longer: a tile waits for each of its 16 cache lines.)
template <class C, int Copies>
inline void spread_key_copies(TokenTile const& tile) {
  std::int32_t const row_bytes = code_row_bytes(tile.dim, C::per_byte);
  auto* to = tile.unpacked;
  for (std::int32_t t = 0; t < tile.tokens; ++t) {
    if (t % 2 == 0) prefetch(tile, 1);
    for (std::int32_t at = 0; at < row_bytes; at += vector_bytes) {
      Words const packed = load_part<C, Copies>(tile, tile.rows->codes[t], at, row_bytes);
      FOLIO_UNROLL
      for (int i = 0; i < C::per_byte / Copies; ++i, to += vector_bytes) store(to, C::key_part(packed, i * Copies));
    }
  }
}
template <class C>
inline void spread_keys(TokenTile const& tile) {
  with_copies<C>(code_row_bytes(tile.dim, C::per_byte), [&]<int Copies>() { spread_key_copies<C, Copies>(tile); });
}
template <class C>
[[nodiscard]] inline std::int32_t shuffled_dim_at(std::int32_t column, std::int32_t dim) {
  std::int32_t const row_bytes = code_row_bytes(dim, C::per_byte), copies = num_copies<C>(row_bytes);
  std::int32_t const vector = column / vector_bytes, parts = C::per_byte / copies;
  std::int32_t const byte = vector / parts * vector_bytes + column % vector_bytes, part = vector % parts;
  return copies == 1 ? byte * C::per_byte + part : byte % row_bytes * C::per_byte + part * copies + byte / row_bytes;
}

/// sums[token][row][word] of 2 times 16 tokens.
inline void multiply_keys(std::byte const* keys, QueryRows const& q, std::int32_t* sums) {
  std::int64_t const stride = q.columns, line = 32;
  asm volatile("tilezero %tmm2\n\ttilezero %tmm3");
  for (std::int32_t column = 0; column < q.columns; column += 64) {
    asm volatile(
        "tileloadd (%0,%1,1), %%tmm1\n\t"
        "tileloadd (%2,%4,1), %%tmm0\n\t"
        "tdpbusd %%tmm1, %%tmm0, %%tmm2\n\t"
        "tileloadd (%3,%4,1), %%tmm0\n\t"
        "tdpbusd %%tmm1, %%tmm0, %%tmm3"
        :
        : "r"(q.words + column * (line / 4)), "r"(line), "r"(keys + column), "r"(keys + column + 16 * stride),
          "r"(stride)
        : "memory");
  }
  asm volatile("tilestored %%tmm2, (%0,%2,1)\n\ttilestored %%tmm3, (%1,%2,1)"
               :
               : "r"(sums), "r"(sums + 16 * 8), "r"(line)
               : "memory");
}

using Lanes = std::make_integer_sequence<int, lanes>;

/// Of four tokens' sums, two in each vector: those of word `Word`, lane 4 * token + row.
template <int Word, int... I>
[[nodiscard]] inline Ints pick_word(Ints const& a, Ints const& b, std::integer_sequence<int, I...>) {
  return shuffle<std::int32_t, (query_words * I + Word)...>(a, b);
}

/// From four vectors of four tokens each, lane 4 * token + row, to one of 16 tokens for each row.
template <int... I>
inline void turn(Floats (&v)[4], std::integer_sequence<int, I...>) {
  FOLIO_UNROLL
  for (int i = 0; i < 4; ++i) v[i] = shuffle<std::int32_t, (I % 4 * 4 + I / 4)...>(v[i], v[i]);
  Floats const a = shuffle<std::int32_t, (I + I / 8 * 8)...>(v[0], v[1]),
               b = shuffle<std::int32_t, (I + I / 8 * 8)...>(v[2], v[3]);
  Floats const c = shuffle<std::int32_t, (I + 8 + I / 8 * 8)...>(v[0], v[1]),
               d = shuffle<std::int32_t, (I + 8 + I / 8 * 8)...>(v[2], v[3]);
  v[0] = shuffle<std::int32_t, (I / 4 * 8 + I % 4)...>(a, b);
  v[1] = shuffle<std::int32_t, (I / 4 * 8 + 4 + I % 4)...>(a, b);
  v[2] = shuffle<std::int32_t, (I / 4 * 8 + I % 4)...>(c, d);
  v[3] = shuffle<std::int32_t, (I / 4 * 8 + 4 + I % 4)...>(c, d);
}

/// scores[row][token] of 4 query rows with every key of a tile.
template <class C>
inline void score_tiles(TokenTile const& tile, QueryRows const& q, float* scores) {
  alignas(64) std::int32_t sums[32 * 8], biases[query_words][16];
  for (int k = 0; k < query_words; ++k)
    for (int i = 0; i < 16; ++i) biases[k][i] = C::key_zero_point * q.sums[k * block_rows + i % 4];
  Ints const low_bias = load<Ints>(biases[0]), high_bias = load<Ints>(biases[1]);
  Floats const scale = as<Floats>(repeat(q.scales));
  for (std::int32_t begin = 0; begin < tile.tokens; begin += 32) {
    multiply_keys(tile.unpacked + std::int64_t{begin} * q.columns, q, sums);
    for (std::int32_t half = 0; half < 32; half += 16) {
      prefetch(tile, 6);
      Floats products[4];
      FOLIO_UNROLL
      for (int i = 0; i < 4; ++i) {
        Ints const a = load<Ints>(sums + (half + 4 * i) * 8), b = load<Ints>(sums + (half + 4 * i + 2) * 8);
        Floats const low = __builtin_convertvector(pick_word<0>(a, b, Lanes{}) - low_bias, Floats);
        Floats const high = __builtin_convertvector(pick_word<1>(a, b, Lanes{}) - high_bias, Floats);
        products[i] = (high * 256.0F + low) * scale;
      }
      turn(products, Lanes{});
      std::int32_t const token = begin + half;
      FOLIO_UNROLL
      for (int r = 0; r < block_rows; ++r)
        store(scores + r * tile_tokens + token,
              products[r] * load<Floats>(tile.scales + token) + load<Floats>(tile.offsets + token) * q.totals[r]);
    }
  }
}

/// out[row] = out[row] * rescale[row] + the sum of weight * value.
template <bool Channels>
inline void add_tiles(TokenTile const& tile, WeightRows const& w) {
  alignas(64) std::int32_t sums[2][8 * 16];
  std::int64_t const stride = std::int64_t{w.out_stride} * 4, line = 64;
  asm volatile("tileloadd (%0,%1,1), %%tmm4" : : "r"(w.words), "r"(line) : "memory");
  for (std::int32_t column = 0; column < w.out_stride; column += 32) {
    std::byte const* const values = tile.unpacked + column * 4;
    asm volatile(
        "tilezero %%tmm6\n\ttilezero %%tmm7\n\t"
        "tileloadd (%0,%2,1), %%tmm5\n\t"
        "tdpbusd %%tmm5, %%tmm4, %%tmm6\n\t"
        "tileloadd (%1,%2,1), %%tmm5\n\t"
        "tdpbusd %%tmm5, %%tmm4, %%tmm7\n\t"
        "tilestored %%tmm6, (%3,%5,1)\n\t"
        "tilestored %%tmm7, (%4,%5,1)"
        :
        : "r"(values), "r"(values + 64), "r"(stride), "r"(sums[0]), "r"(sums[1]), "r"(line)
        : "memory");
    for (int half = 0; half < 2; ++half) {
      prefetch(tile, 5);
      FOLIO_UNROLL
      for (int r = 0; r < block_rows; ++r) {
        std::int32_t const* const from = sums[half] + r * weight_words * 16;
        Floats const products = __builtin_convertvector(load<Ints>(from + 16), Floats) * 256.0F +
                                __builtin_convertvector(load<Ints>(from), Floats);
        add_products<Channels>(tile, w, r, column + half * 16, products);
      }
    }
  }
}

template <RowFormat F>
[[nodiscard]] RowKernels make_kernels(bool many_rows) {
  RowKernels k = avx512::make_kernels<F>(many_rows);
  auto const use = [&k]<class C>(C) {
    k.enter = enter;
    k.leave = leave;
    k.prepare_keys = spread_keys<C>;
    k.key_columns = value_columns<C>;  // whole vectors, too
    k.key_dim_at = shuffled_dim_at<C>;
    k.score = score_tiles<C>;
    k.add = add_tiles<are_of_tile(F.params)>;
    k.quantize_queries = quantize_queries<InColumns, are_of_tile(F.params), true>;
    k.takes_dims = false;
  };
  if constexpr (F.elements >= Elements::s8) use(CodesOf<F.elements>{});
  return k;
}

}  // namespace folio::attention::amx
