// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// The kernels of one instruction set, and the table that the engine calls them by. Included once for each set.

#include <folio/attention/host/lanes.inl>

// On these:
#include <folio/attention/host/codes.inl>

// And on these:
#include <folio/attention/host/code_rows.inl>
#include <folio/attention/host/float_rows.inl>
#include <folio/attention/host/queries.inl>
#include <folio/attention/host/rotate.inl>
#include <folio/attention/host/softmax.inl>
#include <folio/attention/host/tile_params.inl>

// And on all of them:
#include <folio/attention/host/decoded_rows.inl>

namespace folio::attention::FOLIO_SIMD_ISA {

[[nodiscard]] inline std::int32_t float_columns(std::int32_t dim) { return (dim + 15) / 16 * 16; }
[[nodiscard]] inline std::int32_t same_dim(std::int32_t column, std::int32_t) { return column; }

template <class E>
[[nodiscard]] RowKernels float_kernels(bool many_rows) {
  RowKernels k;
  k.change_basis = change_basis;
  k.rotate_queries = rotate_queries;
  k.shape_scores = shape_scores;
  k.online_softmax = online_softmax;
  k.read_sums = read_floats;
  k.key_columns = k.value_columns = float_columns;
  k.key_dim_at = k.value_dim_at = same_dim;
  if (many_rows && !std::is_same_v<E, F32Elements>) {
    k.prepare_keys = k.prepare_values = widen_rows<E>;
    k.score = score_floats<F32Elements>;
    k.add = add_floats<F32Elements>;
  } else {
    k.score = score_floats<E>;
    k.add = add_floats<E>;
  }
  return k;
}

template <class C, bool Channels>
[[nodiscard]] RowKernels code_kernels() {
  RowKernels k;
  k.load_key_params = load_grids<C::bias>;  // of two f16, as all unsigned codes have today
  k.load_value_params = load_grids<C::value_bias>;
  k.change_basis = change_basis;
  k.rotate_queries = rotate_queries;
  k.shape_scores = shape_scores;
  k.online_softmax = online_softmax;
  k.is_integer = true;
  k.find_largest = find_largest;
  k.find_outliers = find_outliers;
  k.quantize_queries = quantize_queries<C, false>;
  k.takes_dims = true;
  if (C::needs_shuffle) k.shuffle_bits = C::bits;
  k.prepare_keys = unpack_keys<C>;
  k.prepare_values = unpack_values<C>;
  k.score = score_codes<C>;
  k.prepare_weights = quantize_weights<C, Channels>;
  k.add = add_codes<Channels>;
  k.read_sums = read_sums<C>;
  k.key_columns = key_columns<C>;
  k.value_columns = value_columns<C>;
  k.key_dim_at = key_dim_at<C>;
  k.value_dim_at = value_dim_at<C>;
  return k;
}

/// The codes that `elements` names.
template <Elements elements>
using CodesOf = Codes<elements == Elements::s8 || elements == Elements::u8 ? 8
                      : elements == Elements::u7                           ? 7
                      : elements == Elements::u6                           ? 6
                      : elements == Elements::u5                           ? 5
                      : elements == Elements::u4                           ? 4
                      : elements == Elements::u3                           ? 3
                                                                           : 2,
                      elements == Elements::s8>;

template <RowFormat F>
[[nodiscard]] RowKernels make_kernels(bool many_rows) {
  RowKernels k;
  if constexpr (F.elements == Elements::f32) k = float_kernels<F32Elements>(many_rows);
  if constexpr (F.elements == Elements::f16) k = float_kernels<F16Elements>(many_rows);
  if constexpr (F.elements == Elements::bf16) k = float_kernels<Bf16Elements>(many_rows);
  if constexpr (F.elements == Elements::e4m3) k = float_kernels<E4m3Elements>(many_rows);
  if constexpr (F.elements == Elements::e5m2) k = float_kernels<E5m2Elements>(many_rows);
  if constexpr (F.elements >= Elements::s8) k = code_kernels<CodesOf<F.elements>, are_of_tile(F.params)>();
  if constexpr (F.params == RowParams::scale) k.load_key_params = k.load_value_params = load_scales;
  if (F.params == RowParams::scale && !k.is_integer) k.prepare_weights = scale_weights;
  if constexpr (are_of_tile(F.params)) {
    using C = CodesOf<F.elements>;
    k.load_key_params = load_tile_params<F.params, C::bias>;
    k.load_value_params = load_tile_params<F.params, C::value_bias>;
    k.quantize_queries = quantize_queries<InColumns, true>;
    k.takes_dims = false;
    k.has_channels = true;
  }
  return k;
}

/// Those for queries that see up to `few_tokens` tokens.
template <RowFormat F>
[[nodiscard]] RowKernels make_few_token_kernels() {
  RowKernels k = make_kernels<F>(false);
  if constexpr (F.elements >= Elements::s8 && !are_of_tile(F.params)) {
    k = float_kernels<F32Elements>(false);
    k.decodes = true;
    k.prepare_keys = k.prepare_values = decode_rows<CodesOf<F.elements>, F.params>;
    if (CodesOf<F.elements>::bits != 8) k.shuffle_bits = CodesOf<F.elements>::bits;
  }
  return k;
}

}  // namespace folio::attention::FOLIO_SIMD_ISA

#undef FOLIO_SIMD_ISA
#undef FOLIO_SIMD_BYTES
