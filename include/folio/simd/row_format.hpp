// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which kernels read a quantizer's rows? Host only.

#include <folio/layout/layout.hpp>
#include <folio/quantizer/bf16.hpp>
#include <folio/quantizer/f16.hpp>
#include <folio/quantizer/f32.hpp>
#include <folio/quantizer/fp8.hpp>
#include <folio/quantizer/int_quantizer.hpp>
#include <folio/quantizer/tile.hpp>
#include <folio/simd/tile.hpp>

namespace folio {

// Two formats that most users do not include, and need not pay for.
template <int Bits, std::int32_t Tokens, Basis basis, int... ClipPercents>
struct ChannelTile;
template <int Bits, std::int32_t Tokens, GridSide side, Basis basis, int... ClipPercents>
struct TwoSidedTile;

}  // namespace folio

namespace folio::simd {

/// Unsigned integers of 2 to 8 bits.
[[nodiscard]] constexpr Elements unsigned_elements(int bits) {
  constexpr Elements all[] = {Elements::u2, Elements::u3, Elements::u4, Elements::u5,
                              Elements::u6, Elements::u7, Elements::u8};
  return all[bits - 2];
}

/// How the kernels are to read the rows of quantizer `Q`. A quantizer that stores rows in one of these ways has fast
/// attention by a specialization, or by a member `static constexpr simd::RowFormat row_format`.
template <QuantizerPolicy Q>
inline constexpr RowFormat row_format = [] {
  if constexpr (requires { Q::row_format; })
    return RowFormat{Q::row_format};
  else
    return RowFormat{};
}();
template <>
inline constexpr RowFormat row_format<F32>{Elements::f32, RowParams::none};
template <>
inline constexpr RowFormat row_format<F16>{Elements::f16, RowParams::none};
template <>
inline constexpr RowFormat row_format<BF16>{Elements::bf16, RowParams::none};
template <Fp8Format format, Fp8Scale scaled_by>
inline constexpr RowFormat row_format<Fp8Quantizer<format, scaled_by>>{
    format == Fp8Format::e4m3 ? Elements::e4m3 : Elements::e5m2,
    scaled_by == Fp8Scale::row ? RowParams::scale : RowParams::none};
template <Basis basis>
inline constexpr RowFormat row_format<IntQuantizer<8, Levels::symmetric, 0, basis>>{Elements::s8, RowParams::scale};
template <int Bits, Basis basis, int... ClipPercents>
inline constexpr RowFormat row_format<IntQuantizer<Bits, Levels::asymmetric, 0, basis, ClipPercents...>> = {
    unsigned_elements(Bits), RowParams::scale_and_minimum};

/// A tile of the kernels has the parameters of one stored tile.
[[nodiscard]] constexpr RowFormat tile_rows(int bits, std::int32_t tokens, RowParams params) {
  return tokens % tile_tokens == 0 ? RowFormat{unsigned_elements(bits), params} : RowFormat{};
}
template <int Bits, std::int32_t Tokens, Basis basis, int... ClipPercents>
inline constexpr RowFormat row_format<ChannelTile<Bits, Tokens, basis, ClipPercents...>> =
    tile_rows(Bits, Tokens, RowParams::channel_grids);
template <int Bits, std::int32_t Tokens, GridSide side, Basis basis, int... ClipPercents>
inline constexpr RowFormat row_format<TwoSidedTile<Bits, Tokens, side, basis, ClipPercents...>> =
    tile_rows(Bits, Tokens, side == GridSide::channels ? RowParams::scaled_channels : RowParams::scaled_tokens);

inline constexpr RowFormat float_rows{Elements::f32, RowParams::none};

[[nodiscard]] constexpr int bits_of(Elements elements) {
  constexpr int bits[] = {0, 32, 16, 16, 8, 8, 8, 8, 7, 6, 5, 4, 3, 2};  // in the order of Elements
  return bits[static_cast<int>(elements)];
}

/// Whether rows of `Q` can be what its row_format says, by their sizes: kernels that read others would go astray.
template <QuantizerPolicy Q>
[[nodiscard]] constexpr bool row_format_fits() {
  constexpr RowFormat format = row_format<Q>;
  if constexpr (format.elements == Elements::other) return true;
  if (bits_of(format.elements) != Q::bits || are_of_tile(format.params) != is_tile_format<Q>) return false;
  if constexpr (is_tile_format<Q>)
    return Q::tile_tokens % tile_tokens == 0;
  else
    return Q::param_bytes(128) == (format.params == RowParams::none ? 0 : 4);
}

/// Whether the kernels read such rows where they lie.
template <QuantizerPolicy Q, LayoutPolicy L>
[[nodiscard]] constexpr bool reads_in_place(Plane plane) {
  static_assert(row_format_fits<Q>(),
                "folio: this quantizer's row_format names elements of other bits, or parameters of another size, than "
                "the quantizer stores");
  return row_format<Q>.elements != Elements::other && L::run_bytes(plane) == whole_row;
}

}  // namespace folio::simd
