// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which rows do the kernels read where they lie? Host only.

#include <folio/layout/layout.hpp>
#include <folio/quantizer/quantizer.hpp>
#include <folio/quantizer/row_format.hpp>

namespace folio::attention {

/// What rows are once they are decoded.
inline constexpr RowFormat float_rows{Elements::f32};

/// Whether rows of `Q` can be what its row_format says, by their sizes: kernels that read others would go astray.
template <QuantizerPolicy Q>
[[nodiscard]] constexpr bool row_format_fits() {
  constexpr RowFormat format = Q::row_format;
  if constexpr (format.elements == Elements::decoded) return format.params == RowParams::none;
  if (bits_of(format.elements) != Q::bits || are_of_tile(format.params) != is_tile_format<Q>) return false;
  if constexpr (is_tile_format<Q>)
    return Q::tile_tokens % attention_tile_tokens == 0;
  else
    return params_dim<Q> >= max_row_dim && Q::param_bytes(128) == (format.params == RowParams::none ? 0 : 4);
}

/// Whether the kernels read such rows where they lie.
template <QuantizerPolicy Q, LayoutPolicy L>
[[nodiscard]] constexpr bool reads_in_place(Plane plane) {
  static_assert(row_format_fits<Q>(),
                "folio: this quantizer's row_format names elements of other bits, or parameters of another size, than "
                "the quantizer stores");
  return Q::row_format.elements != Elements::decoded && L::run_bytes(plane) == whole_row;
}

}  // namespace folio::attention
