// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// The loops of matmul.cpp for the instructions FOLIO_SERVE_ISA, with vectors of FOLIO_SERVE_LANES floats. Included once
// for each set.

namespace serve::FOLIO_SERVE_ISA {

inline constexpr int lanes = FOLIO_SERVE_LANES;
typedef float Floats __attribute__((vector_size(4 * FOLIO_SERVE_LANES)));

/// The most tokens of a tile: its sums, a weight and a number of each token fill the registers.
inline constexpr int tile_tokens = lanes == 16 ? 6 : 3;

/// The next `lanes` weights, from any address.
template <ElementType Type>
FOLIO_SERVE_KERNEL inline Floats load(std::byte const* from) {
  Floats v;
  if constexpr (Type == ElementType::f32) {
    std::memcpy(&v, from, sizeof(v));
    return v;
  } else {
#if FOLIO_SERVE_LANES == 16
    __mmask16 const all = 0xFFFF;  // the forms without a mask make GCC warn of what they leave undefined
    __m256i bits;
    std::memcpy(&bits, from, sizeof(bits));
    if constexpr (Type == ElementType::f16) return _mm512_maskz_cvtph_ps(all, bits);
    return _mm512_castsi512_ps(_mm512_maskz_slli_epi32(all, _mm512_maskz_cvtepu16_epi32(all, bits), 16));
#elif FOLIO_SERVE_LANES == 8
    __m128i bits;
    std::memcpy(&bits, from, sizeof(bits));
    if constexpr (Type == ElementType::f16) return _mm256_cvtph_ps(bits);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
#else
    typedef std::uint16_t Halves __attribute__((vector_size(2 * FOLIO_SERVE_LANES)));
    typedef std::uint32_t Words __attribute__((vector_size(4 * FOLIO_SERVE_LANES)));
    Halves bits;
    std::memcpy(&bits, from, sizeof(bits));
    Words words = __builtin_convertvector(bits, Words);
    if constexpr (Type == ElementType::f16) {  // as from_f16
      Words const magnitude = words & 0x7FFF, shifted = magnitude << 13;
      std::memcpy(&v, &shifted, sizeof(v));
      v *= 0x1p112F;
      Words finite;
      std::memcpy(&finite, &v, sizeof(v));
      words = finite | (magnitude > 0x7BFF ? Words{} + 0x7F800000 : Words{}) | words >> 15 << 31;
    } else {
      words <<= 16;
    }
    std::memcpy(&v, &words, sizeof(v));
    return v;
#endif
  }
}
FOLIO_SERVE_KERNEL inline Floats load(float const* from) {
  return load<ElementType::f32>(reinterpret_cast<std::byte const*>(from));
}

/// sum + a * b, rounded once where the instructions do that.
FOLIO_SERVE_KERNEL inline Floats multiply_add(Floats a, Floats b, Floats sum) {
#if FOLIO_SERVE_LANES == 16
  return _mm512_fmadd_ps(a, b, sum);
#elif FOLIO_SERVE_LANES == 8
  return _mm256_fmadd_ps(a, b, sum);
#else
  return sum + a * b;
#endif
}

/// The dot products of `Tokens` rows of x and `tile_rows` rows of weights, each in `num_sums` parts: product i of a
/// pair goes to sum i % num_sums. Where a vector holds fewer, the rows are read once for each vector of sums.
template <ElementType Type, int Tokens>
FOLIO_SERVE_KERNEL void multiply_tile(std::byte const* const (&w)[tile_rows], float const* x, std::int64_t cols,
                                      float (&sums)[tile_tokens][tile_rows][num_sums]) {
  constexpr std::int64_t bytes = element_bytes(Type);
  std::int64_t const whole = cols / num_sums * num_sums, rest = cols - whole;
  std::byte last_w[tile_rows][num_sums * bytes];
  float last_x[Tokens][num_sums];
  if (rest > 0) {  // the last columns, and zeros
    std::memset(last_w, 0, sizeof(last_w));
    std::memset(last_x, 0, sizeof(last_x));
    for (int r = 0; r < tile_rows; ++r)
      std::memcpy(last_w[r], w[r] + whole * bytes, static_cast<std::size_t>(rest * bytes));
    for (int t = 0; t < Tokens; ++t)
      std::memcpy(last_x[t], x + t * cols + whole, static_cast<std::size_t>(rest) * sizeof(float));
  }
  for (int part = 0; part < num_sums; part += lanes) {
    Floats sum[Tokens][tile_rows] = {};
    for (std::int64_t i = part; i < whole; i += num_sums) {
      Floats xs[Tokens];
      FOLIO_SERVE_UNROLL
      for (int t = 0; t < Tokens; ++t) {
        xs[t] = load(x + t * cols + i);
#if FOLIO_SERVE_LANES > 4
        asm("" : "+v"(xs[t]));  // without it GCC may read from memory again for each row
#endif
      }
      FOLIO_SERVE_UNROLL
      for (int r = 0; r < tile_rows; ++r) {
        // The next tile's weights, to the second-level cache: the processor foresees no streams as short as rows.
        __builtin_prefetch(w[r] + (i + tile_rows * cols) * bytes, 0, 2);
        Floats const weights = load<Type>(w[r] + i * bytes);
        FOLIO_SERVE_UNROLL
        for (int t = 0; t < Tokens; ++t) sum[t][r] = multiply_add(xs[t], weights, sum[t][r]);
      }
    }
    if (rest > 0) {
      FOLIO_SERVE_UNROLL
      for (int r = 0; r < tile_rows; ++r) {
        Floats const weights = load<Type>(last_w[r] + part * bytes);
        FOLIO_SERVE_UNROLL
        for (int t = 0; t < Tokens; ++t) sum[t][r] = multiply_add(load(last_x[t] + part), weights, sum[t][r]);
      }
    }
    FOLIO_SERVE_UNROLL
    for (int t = 0; t < Tokens; ++t) {
      FOLIO_SERVE_UNROLL
      for (int r = 0; r < tile_rows; ++r) std::memcpy(sums[t][r] + part, &sum[t][r], sizeof(Floats));
    }
  }
}

/// All rows of the panel times `Tokens` tokens, from token `first` on.
template <ElementType Type, int Tokens>
FOLIO_SERVE_KERNEL void multiply_tokens(Panel const& p, std::int64_t first) {
  float sums[tile_tokens][tile_rows][num_sums];
  for (std::int64_t row = 0; row < p.num_rows; row += tile_rows) {
    std::int64_t const n = std::min<std::int64_t>(tile_rows, p.num_rows - row);
    std::byte const* w[tile_rows];
    for (std::int64_t r = 0; r < tile_rows; ++r)  // the last row again where there are no more
      w[r] = p.weights + (row + std::min(r, n - 1)) * p.cols * element_bytes(Type);
    multiply_tile<Type, Tokens>(w, p.x + first * p.cols, p.cols, sums);
    for (int t = 0; t < Tokens; ++t) {
      auto const size = static_cast<std::size_t>(n) * sizeof(float);
      FourFloats y = add_up(sums[t]);
      if (p.bias != nullptr) {
        FourFloats bias = {};
        std::memcpy(&bias, p.bias + row, size);
        y += bias;
      }
      std::memcpy(p.out + (first + t) * p.out_stride + row, &y, size);
    }
  }
}

template <ElementType Type>
FOLIO_SERVE_KERNEL void multiply(Panel const& p) {
  std::int64_t t = 0;
  for (; t + tile_tokens <= p.num_tokens; t += tile_tokens) multiply_tokens<Type, tile_tokens>(p, t);
  switch (p.num_tokens - t) {
#if FOLIO_SERVE_LANES == 16
    case 5:
      return multiply_tokens<Type, 5>(p, t);
    case 4:
      return multiply_tokens<Type, 4>(p, t);
    case 3:
      return multiply_tokens<Type, 3>(p, t);
#endif
    case 2:
      return multiply_tokens<Type, 2>(p, t);
    case 1:
      return multiply_tokens<Type, 1>(p, t);
    default:
      return;
  }
}

FOLIO_SERVE_KERNEL inline void multiply(ElementType type, Panel const& p) {
  if (lanes == 4 && type != ElementType::f32 && p.num_tokens > tile_tokens) {
    // Without an instruction it takes longer to widen a weight than to use it, so once has to do.
    thread_local std::vector<float> wide;
    wide.resize(static_cast<std::size_t>(p.num_rows * p.cols));
    widen(type, p.weights, p.num_rows * p.cols, wide.data());
    Panel widened = p;
    widened.weights = reinterpret_cast<std::byte const*>(wide.data());
    return multiply<ElementType::f32>(widened);
  }
  switch (type) {
    case ElementType::f32:
      return multiply<ElementType::f32>(p);
    case ElementType::f16:
      return multiply<ElementType::f16>(p);
    case ElementType::bf16:
      return multiply<ElementType::bf16>(p);
  }
}

}  // namespace serve::FOLIO_SERVE_ISA

#undef FOLIO_SERVE_ISA
#undef FOLIO_SERVE_LANES
