// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Vectors of one instruction set, and what the kernels ask of them. Included once for each set by kernels.hpp.
// GCC's vector types, which Clang has as well, with an instruction by name where the two compilers differ or lack one.

namespace folio::attention::FOLIO_SIMD_ISA {

inline constexpr int vector_bytes = FOLIO_SIMD_BYTES, lanes = vector_bytes / 4, quarters = vector_bytes / 16;

typedef float Floats __attribute__((vector_size(FOLIO_SIMD_BYTES)));
typedef std::int32_t Ints __attribute__((vector_size(FOLIO_SIMD_BYTES)));
typedef std::uint32_t Words __attribute__((vector_size(FOLIO_SIMD_BYTES)));
typedef std::int16_t Shorts __attribute__((vector_size(FOLIO_SIMD_BYTES)));
typedef std::uint16_t Halves __attribute__((vector_size(FOLIO_SIMD_BYTES / 2)));
typedef std::uint16_t ManyHalves __attribute__((vector_size(FOLIO_SIMD_BYTES)));
typedef std::uint8_t Patterns __attribute__((vector_size(FOLIO_SIMD_BYTES / 4)));
typedef std::uint8_t ManyPatterns __attribute__((vector_size(FOLIO_SIMD_BYTES / 2)));
typedef float FourFloats __attribute__((vector_size(16)));
typedef std::int32_t FourInts __attribute__((vector_size(16)));

template <class V>
[[nodiscard]] inline V load(void const* from) {
  V v;
  std::memcpy(&v, from, sizeof(V));
  return v;
}
template <class V>
inline void store(void* to, V const& v) {
  std::memcpy(to, &v, sizeof(V));
}
template <class To, class From>
[[nodiscard]] inline To as(From const& v) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &v, sizeof(To));
  return to;
}

[[nodiscard]] inline Floats splat(float x) { return Floats{} + x; }
[[nodiscard]] inline Words splat_word(void const* from) { return Words{} + load<std::uint32_t>(from); }

template <class V>
[[nodiscard]] inline V larger(V const& a, V const& b) {
  return a > b ? a : b;
}

/// `x`, of which the compiler knows nothing: what follows is computed as it is written, also where sums may be put
/// together in another order (-ffast-math, -Ofast).
[[nodiscard]] inline Floats as_written(Floats x) {
#if defined(__x86_64__)
  asm("" : "+v"(x));
#elif defined(__aarch64__)
  asm("" : "+w"(x));
#else
  asm("" : "+m"(x));
#endif
  return x;
}

/// The larger of each two; where `x` is a NaN, that. (By name, because a compiler that was told there are none takes
/// whichever of the two it likes.)
[[nodiscard]] inline Floats at_least(float limit, Floats x) {
  Floats const least = splat(limit);
#if FOLIO_SIMD_BYTES > 16
  Floats most;
  asm("vmaxps %1, %2, %0" : "=v"(most) : "v"(x), "v"(least));
  return most;
#elif FOLIO_SIMD_X86
  Floats most = least;
  asm("maxps %1, %0" : "+x"(most) : "x"(x));
  return most;
#else
  Ints const is_number = (as<Ints>(x) & 0x7FFFFFFF) <= 0x7F800000;
  return as<Floats>(is_number ? as<Ints>(larger(x, least)) : as<Ints>(x));
#endif
}

/// e^x for x <= 0, to 2 units of the last place; 0 below -88 (and from -87.4 on no more than the processor makes of
/// numbers that small), NaN for a NaN.
[[nodiscard]] inline Floats exp(Floats x) {
  Floats const clamped = at_least(-88.0F, x);                            // for which 2^n is 0 below
  Floats const shifted = as_written(clamped * 1.44269504F + 0x1.8p23F);  // rounded; n in the low bits
  Floats const n = shifted - 0x1.8p23F;
  Floats const r = as_written(clamped - n * 0.693145751953125F) - n * 1.42860677e-6F;  // ln 2 in two parts
  Floats p = r * (1.0F / 5040.0F) + (1.0F / 720.0F);
  p = p * r + (1.0F / 120.0F);
  p = p * r + (1.0F / 24.0F);
  p = p * r + (1.0F / 6.0F);
  p = p * r + 0.5F;
  p = p * r + 1.0F;
  p = p * r + 1.0F;
  Floats const power = as<Floats>((as<Ints>(shifted) - 0x4B400000 + 127) << 23);
  return p * power;
}

/// The elements of type `Element` of `a`, then of `b`, that `I` names.
template <class Element, int... I, class V>
[[nodiscard]] inline V shuffle(V const& a, V const& b) {
  typedef Element Elements __attribute__((vector_size(FOLIO_SIMD_BYTES)));
#if defined(__CUDACC__)  // whose front end knows neither of these
  Element from[sizeof...(I) * 2], to[sizeof...(I)] = {};
  std::memcpy(from, &a, sizeof(V));
  std::memcpy(from + sizeof...(I), &b, sizeof(V));
  int n = 0;
  ((to[n++] = from[I]), ...);
  return load<V>(to);
#elif defined(__clang__)
  return as<V>(__builtin_shufflevector(as<Elements>(a), as<Elements>(b), I...));
#else
  return as<V>(__builtin_shuffle(as<Elements>(a), as<Elements>(b), Elements{Element(I)...}));
#endif
}

/// Where element `i` of `interleave` comes from.
template <int Size, bool Upper>
[[nodiscard]] constexpr int source_of(int i) {
  constexpr int quarter = 16 / Size, count = vector_bytes / Size;
  return i / quarter * quarter + (Upper ? quarter / 2 : 0) + i % quarter / 2 + (i % 2 != 0 ? count : 0);
}

/// Within each 16 bytes, the elements of `Size` bytes of the lower (or upper) halves of `a` and `b` in turn.
template <int Size, bool Upper, class V, int... I>
[[nodiscard]] inline V interleave(V const& a, V const& b, std::integer_sequence<int, I...>) {
  using Element = std::conditional_t<
      Size == 1, std::int8_t,
      std::conditional_t<Size == 2, std::int16_t, std::conditional_t<Size == 4, std::int32_t, std::int64_t>>>;
  return shuffle<Element, source_of<Size, Upper>(I)...>(a, b);
}
template <int Size, class V>
[[nodiscard]] inline V lower(V const& a, V const& b) {
  return interleave<Size, false>(a, b, std::make_integer_sequence<int, vector_bytes / Size>{});
}
template <int Size, class V>
[[nodiscard]] inline V upper(V const& a, V const& b) {
  return interleave<Size, true>(a, b, std::make_integer_sequence<int, vector_bytes / Size>{});
}

/// Four vectors to one, each to the lanes of its own: in every 16 bytes the sums (or largest) of theirs.
template <class Join>
[[nodiscard]] inline FourFloats join(Floats const& a, Floats const& b, Floats const& c, Floats const& d,
                                     Join const& f) {
  Floats const ab = f(lower<4>(a, b), upper<4>(a, b)), cd = f(lower<4>(c, d), upper<4>(c, d));
  Floats const all = f(lower<8>(ab, cd), upper<8>(ab, cd));
  FourFloats parts[std::size_t{quarters}];
  std::memcpy(parts, &all, sizeof(all));
  if constexpr (quarters == 4) return f(f(parts[0], parts[2]), f(parts[1], parts[3]));
  if constexpr (quarters == 2) return f(parts[0], parts[1]);
  return parts[0];
}
struct Add {
  template <class V>
  V operator()(V const& a, V const& b) const {
    return a + b;
  }
};
struct Larger {
  template <class V>
  V operator()(V const& a, V const& b) const {
    return larger(a, b);
  }
};
struct LargerBits {
  template <class V>
  V operator()(V const& a, V const& b) const {
    using Bits = std::conditional_t<sizeof(V) == 16, FourInts, Ints>;
    return as<V>(larger(as<Bits>(a), as<Bits>(b)));
  }
};
struct AddBits {
  template <class V>
  V operator()(V const& a, V const& b) const {
    using Bits = std::conditional_t<sizeof(V) == 16, FourInts, Ints>;
    return as<V>(as<Bits>(a) + as<Bits>(b));
  }
};

/// The sum, and the largest, of each of four vectors.
template <class = void>
[[nodiscard]] inline FourFloats sums(Floats const& a, Floats const& b, Floats const& c, Floats const& d) {
  return join(a, b, c, d, Add{});
}
template <class = void>
[[nodiscard]] inline FourInts sums(Ints const (&v)[4]) {
  return as<FourInts>(join(as<Floats>(v[0]), as<Floats>(v[1]), as<Floats>(v[2]), as<Floats>(v[3]), AddBits{}));
}
template <class = void>
[[nodiscard]] inline FourFloats largest(Floats const& a, Floats const& b, Floats const& c, Floats const& d) {
  return join(a, b, c, d, Larger{});
}

/// The largest of each of four vectors of floats that are not negative, by their bits: a NaN is larger than all
/// numbers, whatever a compiler was told of them. At least 1e-30, whose reciprocal is finite.
template <class = void>
[[nodiscard]] inline FourFloats largest_bits(Ints const (&v)[4]) {
  FourFloats const least = FourFloats{} + 1e-30F;
  constexpr LargerBits larger_of;
  return larger_of(join(as<Floats>(v[0]), as<Floats>(v[1]), as<Floats>(v[2]), as<Floats>(v[3]), larger_of), least);
}

/// The same 16 bytes in each 16 bytes. (Stored in parts and loaded as a whole they would wait for each other.)
[[nodiscard]] inline Words repeat(void const* from) {
#if FOLIO_SIMD_BYTES == 64
  Words w;
  asm("vbroadcasti32x4 %1, %0" : "=v"(w) : "m"(*static_cast<std::byte const(*)[16]>(from)));
  return w;
#elif FOLIO_SIMD_BYTES == 32
  Words w;
  asm("vbroadcasti128 %1, %0" : "=x"(w) : "m"(*static_cast<std::byte const(*)[16]>(from)));
  return w;
#else
  return load<Words>(from);
#endif
}

/// In every 16 bytes: the lowest bytes of the four words, then the next ones.
template <int... I>
[[nodiscard]] inline Words digits_first(Words w, std::integer_sequence<int, I...>) {
  return shuffle<std::int8_t, (I / 16 * 16 + I % 4 * 4 + I % 16 / 4)...>(w, w);
}
template <class = void>
[[nodiscard]] inline Words digits_first(Words w) {
  return digits_first(w, std::make_integer_sequence<int, vector_bytes>{});
}

/// The 16-bit numbers as the lower halves of words.
[[nodiscard]] inline Words widen(Halves h) {
#if FOLIO_SIMD_BYTES > 16
  Words w;
  asm("vpmovzxwd %1, %0" : "=v"(w) : "v"(h));
  return w;
#else
  return __builtin_convertvector(h, Words);
#endif
}

/// `lanes` bytes as words.
[[nodiscard]] inline Words load_bytes(void const* from) {
#if FOLIO_SIMD_BYTES > 16
  Words w;
  asm("vpmovzxbd %1, %0" : "=v"(w) : "m"(*static_cast<std::byte const(*)[lanes]>(from)));
  return w;
#else
  return __builtin_convertvector(load<Patterns>(from), Words);
#endif
}

[[nodiscard]] inline Floats from_halves(Halves h) {
#if FOLIO_SIMD_BYTES > 16
  Floats f;
  asm("vcvtph2ps %1, %0" : "=v"(f) : "v"(h));
  return f;
#else  // f16_to_f32, for vectors
  Words const pattern = widen(h), sign = (pattern & 0x8000U) << 16, magnitude = (pattern & 0x7FFFU) << 13;
  Floats const small = as<Floats>(magnitude + (113U << 23)) - 0x1p-14F;
  Words const normal = magnitude + (112U << 23), special = magnitude | 0x7F800000U;
  Ints const size = as<Ints>(magnitude);
  Words const finite = size < 0x00800000 ? as<Words>(small) : normal;
  return as<Floats>(sign | (size < 0x0F800000 ? finite : special));
#endif
}

/// Of `lanes` words: the numbers in their lower halves, and in their upper ones.
[[nodiscard]] inline Floats lower_numbers(Words w) { return from_halves(__builtin_convertvector(w & 0xFFFFU, Halves)); }
[[nodiscard]] inline Floats upper_numbers(Words w) { return from_halves(__builtin_convertvector(w >> 16, Halves)); }

[[nodiscard]] inline Halves lower_half(ManyHalves const& h) {
  Halves lower;
  std::memcpy(&lower, &h, sizeof(lower));
  return lower;
}
[[nodiscard]] inline Halves upper_half(ManyHalves const& h) {
  Halves upper;
#if FOLIO_SIMD_BYTES == 64
  asm("vextracti64x4 $1, %1, %0" : "=v"(upper) : "v"(h));
#elif FOLIO_SIMD_BYTES == 32
  asm("vextracti128 $1, %1, %0" : "=x"(upper) : "x"(h));
#else
  std::memcpy(&upper, reinterpret_cast<std::byte const*>(&h) + sizeof(upper), sizeof(upper));
#endif
  return upper;
}

/// Integers of 16 bits, of queries and weights, are multiplied with bytes, four with four, in two words. Where there
/// are dot products of bytes, word 0 has the low bytes of the four and word 1 the high ones. Elsewhere word 0 has the
/// first and the third, word 1 the second and the fourth.
inline constexpr bool dots_of_bytes = vector_bytes == 64;

/// The two words of each four integers: in the first half of each 16 bytes.
template <int... I>
[[nodiscard]] inline Words pairs_first(Ints v, std::integer_sequence<int, I...>) {
  return as<Words>(shuffle<std::int16_t, (I / 8 * 8 + I % 8 / 2 * 2 % 4 + I % 2 * 4)...>(v, v));
}
template <class = void>
[[nodiscard]] inline Words pairs_first(Ints v) {
  return pairs_first(v, std::make_integer_sequence<int, vector_bytes / 2>{});
}

/// Four bytes with a sign, of a key or of values, as word `I` needs them.
template <int I>
[[nodiscard]] inline Words bytes_for_word(Words bytes) {
  if constexpr (dots_of_bytes) return bytes;
  return as<Words>((I == 0 ? as<Shorts>(bytes) << 8 : as<Shorts>(bytes)) >> 8);
}

/// Adds to each lane a product of a word with bytes made ready for it. Dots of bytes: those of `u` have no sign.
[[nodiscard]] inline Ints dot(Ints acc, Words u, Words s) {
#if FOLIO_SIMD_BYTES == 64
  asm("vpdpbusd %2, %1, %0" : "+v"(acc) : "v"(u), "v"(s));
  return acc;
#elif FOLIO_SIMD_BYTES == 32
  Ints products;
  asm("vpmaddwd %2, %1, %0" : "=x"(products) : "x"(u), "x"(s));
  return acc + products;
#elif FOLIO_SIMD_X86
  asm("pmaddwd %1, %0" : "+x"(u) : "x"(s));
  return acc + as<Ints>(u);
#else
  return acc + (as<Ints>(u << 16) >> 16) * (as<Ints>(s << 16) >> 16) + (as<Ints>(u) >> 16) * (as<Ints>(s) >> 16);
#endif
}

/// The sum of products from those of the two words: exact in every step but the last.
[[nodiscard]] inline Floats join_words(Ints const& a, Ints const& b) {
  if constexpr (dots_of_bytes) return __builtin_convertvector(b, Floats) * 256.0F + __builtin_convertvector(a, Floats);
  return __builtin_convertvector((a >> 8) + (b >> 8), Floats) * 256.0F +
         __builtin_convertvector((a & 255) + (b & 255), Floats);
}

/// The lowest bytes of all words, then the next ones.
template <int... I>
[[nodiscard]] inline Words all_digits_first(Words w, std::integer_sequence<int, I...>) {
  Words const within = digits_first(w);
  return shuffle<std::int32_t, (I % quarters * 4 + I / quarters)...>(within, within);
}
template <class = void>
[[nodiscard]] inline Words all_digits_first(Words w) {
  return all_digits_first(w, std::make_integer_sequence<int, lanes>{});
}

/// `bytes` bytes, a multiple of 16 and less than a vector has, and zeros. Put together in memory they would wait for
/// each other.
[[nodiscard]] inline Words load_front(std::byte const* from, [[maybe_unused]] std::int32_t bytes) {
  using Front [[maybe_unused]] = std::byte const(*)[16];
#if FOLIO_SIMD_BYTES == 64
  Words w;
  auto const mask = static_cast<std::uint16_t>((1U << (bytes / 4)) - 1U);
  asm("vmovdqu32 %1, %0%{%2%}%{z%}" : "=v"(w) : "m"(*reinterpret_cast<Front>(from)), "Yk"(mask) : "memory");
  return w;
#elif FOLIO_SIMD_BYTES == 32
  Words w;
  asm("vmovdqu %1, %x0" : "=x"(w) : "m"(*reinterpret_cast<Front>(from)));
  return w;
#else
  return load<Words>(from);
#endif
}

/// `quarters` times 16 bytes: those at `address(i)`.
template <class Address>
[[nodiscard]] inline Words gather_quarters(Address const& address) {
  using Quarter [[maybe_unused]] = std::byte const(*)[16];
#if FOLIO_SIMD_BYTES == 64
  Words w;
  asm("vbroadcasti32x4 %1, %0" : "=v"(w) : "m"(*reinterpret_cast<Quarter>(address(0))));
  asm("vinserti32x4 $1, %1, %0, %0" : "+v"(w) : "m"(*reinterpret_cast<Quarter>(address(1))));
  asm("vinserti32x4 $2, %1, %0, %0" : "+v"(w) : "m"(*reinterpret_cast<Quarter>(address(2))));
  asm("vinserti32x4 $3, %1, %0, %0" : "+v"(w) : "m"(*reinterpret_cast<Quarter>(address(3))));
  return w;
#elif FOLIO_SIMD_BYTES == 32
  Words w;
  asm("vbroadcasti128 %1, %0" : "=x"(w) : "m"(*reinterpret_cast<Quarter>(address(0))));
  asm("vinserti128 $1, %1, %0, %0" : "+x"(w) : "m"(*reinterpret_cast<Quarter>(address(1))));
  return w;
#else
  return load<Words>(address(0));
#endif
}

/// In every 16 bytes, those of `w` that `indices` names; zeros for 128.
[[nodiscard]] inline Words pick_bytes(Words const& w, Words const& indices) {
#if FOLIO_SIMD_BYTES > 16
  Words picked;
  asm("vpshufb %2, %1, %0" : "=v"(picked) : "v"(w), "v"(indices));
  return picked;
#else
  std::uint8_t bytes[16], at[16], picked[16];
  store(bytes, w);
  store(at, indices);
  for (int i = 0; i < 16; ++i) picked[i] = at[i] < 16 ? bytes[at[i]] : std::uint8_t{0};
  return load<Words>(picked);
#endif
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
