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
#include <folio/simd/tile.hpp>

namespace folio::simd {

[[nodiscard]] constexpr RowFormat unsigned_rows(int bits) {
  Elements const elements = bits == 8   ? Elements::u8
                            : bits == 4 ? Elements::u4
                            : bits == 2 ? Elements::u2
                                        : Elements::other;
  return {elements, RowParams::scale_and_minimum};
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
inline constexpr RowFormat row_format<IntQuantizer<Bits, Levels::asymmetric, 0, basis, ClipPercents...>> =
    unsigned_rows(Bits);

inline constexpr RowFormat float_rows{Elements::f32, RowParams::none};

/// Whether the kernels read such rows where they lie.
template <QuantizerPolicy Q, LayoutPolicy L>
[[nodiscard]] constexpr bool reads_in_place(Plane plane) {
  return row_format<Q>.elements != Elements::other && L::run_bytes(plane) == whole_row;
}

}  // namespace folio::simd
