// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values: decode, chunked prefill and anything between. Host only.
//
// Here the types of the view become numbers and function pointers (attend_layer.hpp). What follows is compiled once:
// the work is shared out (attend_work.hpp), threads find the rows of one tile after another (attend_task.hpp) and run
// them through the kernels of their formats on this machine (tile_attention.hpp, simd/kernels.hpp), and the parts of a
// long sequence are merged at the end.

#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/host/execution.hpp>
#include <folio/attention/params.hpp>
#include <folio/block.hpp>
#include <folio/ops/attend_layer.hpp>
#include <folio/ops/attend_task.hpp>
#include <folio/ops/attend_work.hpp>
#include <folio/ops/rows.hpp>
#include <folio/ops/with_group.hpp>
#include <folio/simd/kernels.hpp>
#include <folio/simd/row_format.hpp>
#include <type_traits>
#include <vector>

namespace folio::ops {

/// Whether attend reads this view's rows in place, by kernels of their formats. Else a plane whose format has none, or
/// whose rows the layout cuts into runs, is decoded to floats tile by tile first, which takes several times as long.
template <class View>
inline constexpr bool has_fast_attend =
    simd::reads_in_place<typename View::KeyQuantizer, typename View::Layout>(Plane::key) &&
    simd::reads_in_place<typename View::ValueQuantizer, typename View::Layout>(Plane::value);

namespace detail {

template <bool of_keys, class Layer>
[[nodiscard]] auto row_in(Layer const& layer, BlockId block, std::int32_t head, std::int32_t slot) {
  if constexpr (of_keys)
    return layer.key(block, head, slot);
  else
    return layer.value(block, head, slot);
}

/// The keys of a layer, or its values. In a latent layer these are in the keys, and nobody asks memory for them twice.
template <bool of_keys, class View, int Group>
[[nodiscard]] AttendPlane make_plane(LayerView<View, Group> const& layer) {
  using Layer = LayerView<View, Group>;
  constexpr bool in_keys = of_keys || Layer::known.values_in_keys();
  using Quantizer = std::conditional_t<in_keys, typename View::KeyQuantizer, typename View::ValueQuantizer>;
  constexpr bool in_place = simd::reads_in_place<Quantizer, typename View::Layout>(in_keys ? Plane::key : Plane::value);
  constexpr RowFormat format = in_place ? Quantizer::row_format : simd::float_rows;
  GroupShape const shape = layer.shape();
  AttendPlane plane{simd::row_kernels<format>, format.params, Quantizer::basis, 0, {}, nullptr};
  if constexpr (in_place) {
    if (of_keys || !in_keys) plane.code_bytes = code_bytes<Quantizer>(of_keys ? shape.key_dim : shape.value_dim);
    plane.offsets.resize(static_cast<std::size_t>(shape.kv_heads));
    std::int32_t head = 0;
    for (RowOffsets& offsets : plane.offsets) {
      for (std::int32_t slot = 0; slot < shape.block_size; ++slot) {
        auto const row = row_in<of_keys>(layer, BlockId{0}, head, slot);
        offsets.codes.push_back(row.codes() - layer.base());
        if constexpr (are_of_tile(format.params))
          offsets.tile = row.param_bytes() - layer.base();
        else if constexpr (format.params != RowParams::none)
          offsets.params.push_back(row.param_bytes() - layer.base());
      }
      ++head;
    }
  } else {
    plane.decode = [](GroupTable const& table, std::int32_t index, SlotRange slots, float* out, std::int32_t stride) {
      Layer const from(table, index);
      std::int32_t const dim = of_keys ? from.shape().key_dim : from.shape().value_dim;
      for (std::int32_t i = 0; i < slots.count; ++i)
        load_row(row_in<of_keys>(from, slots.block, slots.head, slots.first + i), dim, out + std::int64_t{i} * stride);
    };
  }
  return plane;
}

/// Layer `index` of a group. `view` must outlive it.
template <int Group, class View>
[[nodiscard]] AttendLayer make_attend_layer(View const& view, std::int32_t index) {
  LayerView<View, Group> const layer(view.group(Group), index);
  return {layer.shape(),           view.group(Group),       index, layer.base(), layer.map().block_bytes(),
          make_plane<true>(layer), make_plane<false>(layer)};
}

/// A step's sequences, as the layers of one group see them.
template <int Group, class View>
[[nodiscard]] std::vector<AttendSequence> make_attend_sequences(View const& view) {
  std::vector<AttendSequence> sequences;
  GroupTable const& table = view.group(Group);
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
    auto const sequence = view.template sequence_in<Group>(i, 0);
    sequences.push_back({table.blocks + std::int64_t{i} * table.width, sequence.num_tokens(),
                         sequence.num_query_tokens(), view.query_start(i),
                         hidden_blocks(sequence.shape(), sequence.first_query())});
  }
  return sequences;
}

template <class T, class Out>
[[nodiscard]] AttendOperands make_operands(AttentionIo<T, Out> const& io, GroupShape const& shape) {
  static_assert(Activation<T> && Activation<Out>,
                "folio: attend reads queries and writes results of float, folio::Half or folio::BFloat16");
  AttendOperands operands{};
  operands.q = io.q;
  if constexpr (!std::is_same_v<T, float>)
    operands.load = [](void const* q, std::int64_t at, std::int32_t n, float* to) {
      load_activations(static_cast<T const*>(q) + at, n, to);
    };
  operands.q_stride = folio::detail::checked_stride(io.q_stride, std::int64_t{io.num_query_heads} * shape.key_dim, "q");
  operands.out = io.out;
  operands.store = [](float const* from, std::int32_t n, void* out, std::int64_t at) {
    store_activations(from, n, static_cast<Out*>(out) + at);
  };
  operands.out_stride =
      folio::detail::checked_stride(io.out_stride, std::int64_t{io.num_query_heads} * shape.value_dim, "out");
  operands.lse = io.lse;
  return operands;
}

}  // namespace detail

/// Softmax attention of a step's query tokens over everything their sequences have stored in one layer.
///
/// Operands: see AttentionIo; T and Out are float, Half or BFloat16. num_query_heads is a multiple of kv_heads; query
/// head h reads kv head h / (num_query_heads / kv_heads): MHA, GQA, MQA, and MLA with the absorbed query of rank + rope
/// dims. Which tokens a query sees and what becomes of scores: see AttentionParams. Positions are indices in the
/// sequence, also under a tree mask. A query that sees nothing gives zeros and an lse of -infinity, which
/// merge_attention takes. A NaN in a query, or in a key that it sees, makes its `out` and `lse` NaN, and nobody else's.
/// The result of a query does not depend on the other queries, on how a prompt was cut into steps, or on `execution`.
/// It does on the machine's instructions, in the last bits.
///
/// Each key and value is read once for all query heads of its kv head and up to 32 query tokens. Integers of 2 to 8
/// bits (8 symmetric ones; asymmetric ones; one scale for a row, or those of a tile of a multiple of 64 tokens) are not
/// decoded: queries and weights become integers of 16 bits, and are multiplied with the codes. A query's integers are
/// in units of its largest element, which loses less than f16 does; where most elements are below a 32nd of the
/// largest, what they leave becomes integers, too, and such a query scores twice. Weights are in units of the largest
/// in each 64 tokens: one below a 65,534th of it counts as 0, and all of those together may cost 0.001 of the
/// largest value. The sums are exact and the same on every machine; scales and minima are applied to them, those of
/// channels to the query before it becomes integers and to the sums of values. Floating-point rows are widened in
/// registers, or, for more than 8 query rows, once for each tile. `has_fast_attend` tells which views that holds for.
/// Others decode tile by tile. Thread-safe as far as its `threads` are one caller's. Memory: about 100 KiB for each
/// thread, and for long contexts shared by threads the sums of each 1,024 tokens. Throws Error, before anything is
/// written, for a layer, a head count or a stride that does not fit, a null q or out, a soft-cap that is no number, and
/// more than 64 query tokens of a sequence under a tree mask.
template <HostReadableView View, class T, class Out>
void attend(View const& view, std::int32_t layer, AttentionIo<T, Out> const& io, AttentionParams const& params = {},
            HostExecution const& execution = {}) {
  with_group(view, layer, [&](auto group, std::int32_t index) {
    GroupShape const& shape = view.group(group()).shape;
    std::int32_t const heads = folio::detail::checked_query_heads(shape, io.num_query_heads);
    folio::detail::check_params(params);
    folio::detail::check_operands(io, view.num_query_tokens());
    detail::AttendCall const call{detail::make_attend_layer<group()>(view, index),
                                  detail::make_attend_sequences<group()>(view),
                                  io.num_query_heads,
                                  heads,
                                  params,
                                  detail::make_operands(io, shape)};
    for (detail::AttendSequence const& sequence : call.sequences)
      folio::detail::check_tree_tokens(params, sequence.num_query_tokens);
    detail::run_attend(call, execution.threads);
  });
}

}  // namespace folio::ops
