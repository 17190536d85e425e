// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Codes of integers, and how they come from a stored row into vectors with nothing of a code lost between bytes.
// Included once for each instruction set by kernels.hpp.

namespace folio::attention::FOLIO_SIMD_ISA {

/// Codes of `Bits` bits, the first in a byte's lowest; signed or not.
template <int Bits, bool Signed>
struct Codes {
  static constexpr int bits = Bits;
  static constexpr bool needs_shuffle =
      8 % Bits != 0;  ///< put a byte apart when they are loaded: some lie in two bytes
  static constexpr int per_byte = needs_shuffle ? 1 : 8 / Bits;
  static constexpr std::int32_t bias = 1 << (Bits - 1);          ///< what makes a code signed
  static constexpr std::int32_t value_bias = Signed ? 0 : bias;  ///< a signed one is as it should be
  /// How much larger the bytes are than codes less their bias.
  static constexpr std::int32_t key_zero_point = dots_of_bytes || Bits != 8 ? bias : 0;
  static constexpr std::int32_t value_zero_point = Bits != 8 ? bias : 0;

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

/// A row of which several fill a vector is loaded so many times into one, and copies give up different codes of each
/// byte, as long as there are any: padding would take as long as codes do.
template <class C>
[[nodiscard]] inline int num_copies(std::int32_t row_bytes) {
  int const copies = vector_bytes / row_bytes;
  return copies * row_bytes == vector_bytes && copies <= C::per_byte ? copies : 1;
}

/// How many columns the unpacked codes of a key, and of a value, take.
template <class C>
[[nodiscard]] inline std::int32_t key_columns(std::int32_t dim) {
  return code_row_bytes(dim, C::per_byte) * C::per_byte;
}
template <class C>
[[nodiscard]] inline std::int32_t value_columns(std::int32_t dim) {
  std::int32_t const row_bytes = code_row_bytes(dim, C::per_byte), copies = num_copies<C>(row_bytes);
  return (row_bytes * copies + vector_bytes - 1) / vector_bytes * vector_bytes * C::per_byte / copies;
}

typedef std::uint64_t Eights __attribute__((vector_size(FOLIO_SIMD_BYTES)));

/// Eight codes in the lowest bytes of each 64 bits: a byte apart, as by folio::detail::apart.
template <int Bits>
[[nodiscard]] inline Eights apart(Eights x) {
  using folio::detail::low_bits;
  x = (x & low_bits(4 * Bits, 1)) | (x & low_bits(4 * Bits, 1) << 4 * Bits) << (32 - 4 * Bits);
  x = (x & low_bits(2 * Bits, 2)) | (x & low_bits(2 * Bits, 2) << 2 * Bits) << (16 - 2 * Bits);
  return (x & low_bits(Bits, 4)) | (x & low_bits(Bits, 4) << Bits) << (8 - Bits);
}

/// The next `vector_bytes` of a row, or what is left of it, a multiple of 16, and zeros.
[[nodiscard]] inline Words load_codes_at(std::byte const* row, std::int32_t at, std::int32_t row_bytes) {
  if (at + vector_bytes <= row_bytes) return load<Words>(row + at);
  return load_front(row + at, row_bytes - at);
}

/// The same of any format's row. Of a row that fills a vector by `Copies`, code i of a byte is then part i / Copies of
/// copy i % Copies.
template <class C, int Copies>
[[nodiscard]] inline Words load_part(TokenTile const& tile, std::byte const* row, std::int32_t at,
                                     std::int32_t row_bytes) {
  if constexpr (C::needs_shuffle) {
    std::int32_t const* const starts = tile.byte_shuffle->starts + at / 16;
    Words const stored = gather_quarters([&](int i) { return row + starts[i]; });
    return as<Words>(apart<C::bits>(as<Eights>(pick_bytes(stored, load<Words>(tile.byte_shuffle->indices + at)))));
  } else if constexpr (Copies > 1) {
    constexpr int own = quarters / Copies;
    Words shifts;
    for (int i = 0; i < lanes; ++i) shifts[i] = static_cast<std::uint32_t>(i / 4 / own * C::bits);
    return gather_quarters([&](int i) { return row + i % own * 16; }) >> shifts;
  } else {
    return load_codes_at(row, at, row_bytes);
  }
}

/// 16 bytes of codes, `at` the same place, of every fourth of 4 * quarters rows.
template <class C>
[[nodiscard]] inline Words load_chunk(TokenTile const& tile, std::byte const* const* rows, std::int32_t at) {
  if constexpr (C::needs_shuffle) {
    std::int32_t const start = tile.byte_shuffle->starts[at / 16];
    std::uint8_t const* const indices = tile.byte_shuffle->indices + at;
    Words const stored = gather_quarters([&](int i) { return rows[4 * i] + start; });
    return as<Words>(apart<C::bits>(as<Eights>(pick_bytes(stored, repeat(indices)))));
  } else {
    return gather_quarters([&](int i) { return rows[4 * i] + at; });
  }
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
