// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whole rows: decoding them, and rotating them between the model's basis and the quantizer's. Host only.

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <folio/model.hpp>
#include <folio/quantizer/basis.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <folio/quantizer/quantizer.hpp>

namespace folio::ops {

/// Activation: an element of an engine's queries, keys, values and results.
template <class T>
concept Activation = std::same_as<T, float> || std::same_as<T, Half> || std::same_as<T, BFloat16>;

/// `n` activations as floats, exactly.
template <Activation T>
void load_activations(T const* from, std::int32_t n, float* to) {
  if constexpr (std::same_as<T, float>) std::copy_n(from, n, to);
  if constexpr (std::same_as<T, Half>)
    for (std::int32_t i = 0; i < n; ++i) to[i] = f16_to_f32(from[i].bits);
  if constexpr (std::same_as<T, BFloat16>)
    for (std::int32_t i = 0; i < n; ++i) to[i] = bf16_to_f32(from[i].bits);
}
/// `n` floats as the nearest activations, ties to even.
template <Activation T>
void store_activations(float const* from, std::int32_t n, T* to) {
  if constexpr (std::same_as<T, float>) std::copy_n(from, n, to);
  if constexpr (std::same_as<T, Half>)
    for (std::int32_t i = 0; i < n; ++i) to[i].bits = f32_to_f16(from[i]);
  if constexpr (std::same_as<T, BFloat16>)
    for (std::int32_t i = 0; i < n; ++i) to[i].bits = f32_to_bf16(from[i]);
}

/// Decodes the first `dim` elements of a row into `out`, in the quantizer's basis.
template <class RowType>
void load_row(RowType const& row, std::int32_t dim, float* out) {
  constexpr int wide = 32, narrow = 8;  // every head dim is a multiple of 8, and 8 elements are whole bytes always
  std::int32_t d = 0;
  for (; d + wide <= dim; d += wide) {
    auto const part = row.template load_in<RowType::basis, wide>(d);
    std::copy(part.v, part.v + wide, out + d);
  }
  for (; d < dim; d += narrow) {
    auto const part = row.template load_in<RowType::basis, narrow>(d);
    std::copy(part.v, part.v + narrow, out + d);
  }
}

/// Rotates a row of values from their basis to the model's, or back. In a latent layer they are the beginning of a key.
inline void change_value_basis(Basis basis, GroupShape const& shape, float* row) {
  change_basis(basis, row, shape.value_dim, shape.values_in_keys() ? shape.key_dim : shape.value_dim);
}

namespace detail {

/// One row: decoded, rotated to the model's basis, encoded once.
template <QuantizerPolicy FromQuantizer, class FromRow, class ToRow>
void requantize_row(FromRow const& from, ToRow const& to, std::int32_t dim) {
  float row[max_row_dim];
  load_row(from, dim, row);
  change_basis(FromQuantizer::basis, row, dim, dim);
  to.store(row, dim);
}

}  // namespace detail

}  // namespace folio::ops
