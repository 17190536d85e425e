// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Rows of integers as floats, for queries that see few tokens. Included once for each instruction set by kernels.hpp.

namespace folio::attention::FOLIO_SIMD_ISA {

/// Codes that are loaded in the order of the dims, a byte for each.
template <class C>
struct InOrder : C {
  static constexpr bool needs_shuffle = C::bits != 8;
};

/// Rows of integers as floats in the model's basis, laid out as by widen_rows. Element = scale * (code - bias), or
/// minimum + scale * code.
template <class C, RowParams params>
inline void decode_rows(TokenTile const& tile) {
  static_assert(params == RowParams::scale || params == RowParams::scale_and_offset);
  constexpr bool is_scale = params == RowParams::scale;
  constexpr std::uint32_t sign = C::bits == 8 && C::value_bias == 0 ? 0x80808080U : 0U;
  std::int32_t const row_bytes = code_row_bytes(tile.dim, 1), stride = (tile.dim + 15) / 16 * 16;
  auto* to = aligned_cast<float>(tile.unpacked);
  prefetch(tile, 2 * tile_tokens);
  for (std::int32_t t = 0; t < tile.tokens; ++t, to += stride) {
    Words const both = splat_word(tile.rows->params[t]);
    Floats const scale = is_scale ? as<Floats>(both) : lower_numbers(both), minimum = upper_numbers(both);
    for (std::int32_t at = 0; at < stride; at += vector_bytes) {
      Words const codes = load_part<InOrder<C>, 1>(tile, tile.rows->codes[t], at, row_bytes) ^ sign;
      std::byte bytes[std::size_t{vector_bytes}];
      store(bytes, codes);
      for (std::int32_t d = at; d < std::min(stride, at + vector_bytes); d += lanes) {
        Ints const unsigned_code = as<Ints>(load_bytes(bytes + (d - at)));
        Floats const code = __builtin_convertvector(unsigned_code - (is_scale ? C::bias : 0), Floats);
        store(to + d, is_scale ? code * scale : code * scale + minimum);
      }
    }
    if (tile.basis != Basis::model) FOLIO_SIMD_ISA::change_basis(tile.basis, to, tile.dim, tile.row_dim);
  }
}

}  // namespace folio::attention::FOLIO_SIMD_ISA
