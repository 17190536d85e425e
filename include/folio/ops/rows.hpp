// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whole rows: decoding them, and turning them between the model's basis and the quantizer's. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/model.hpp>
#include <folio/quantizer/hadamard.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio::ops {

/// Decodes the first `dim` elements of a row into `out`, in the quantizer's basis.
template <class RowType>
void load_row(RowType const& row, std::int32_t dim, float* out) {
  constexpr int wide = 32, narrow = 8;  // every head dim is a multiple of 8, and 8 elements are whole bytes always
  std::int32_t d = 0;
  for (; d + wide <= dim; d += wide) {
    auto const part = row.template load<wide>(d);
    std::copy(part.v, part.v + wide, out + d);
  }
  for (; d < dim; d += narrow) {
    auto const part = row.template load<narrow>(d);
    std::copy(part.v, part.v + narrow, out + d);
  }
}

/// Turns the first `dim` elements of a row of `row_dim` from the model's basis to `basis`, or back: both are the same,
/// because every rotation here is its own inverse. Rotations work on whole blocks, which `dim` is made of.
inline void change_basis(Basis basis, float* row, std::int32_t dim, std::int32_t row_dim) {
  if (basis == Basis::model) return;
  std::int32_t const block = hadamard_block(row_dim);
  for (std::int32_t begin = 0; begin < dim; begin += block) hadamard_rotate(row + begin, block);
}

/// The same for a row of values, which in a latent layer are the beginning of a key.
template <class View>
void change_value_basis(GroupShape const& shape, float* row) {
  if (shape.values_in_keys())
    change_basis(View::KeyQuantizer::basis, row, shape.value_dim, shape.key_dim);
  else
    change_basis(View::ValueQuantizer::basis, row, shape.value_dim, shape.value_dim);
}

}  // namespace folio::ops
