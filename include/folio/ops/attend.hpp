// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values: decode, chunked prefill and anything between. Host only.
//
// Here the types of the view become numbers and function pointers (attend_layer.hpp). What follows is compiled once:
// the work is shared out (attend_work.hpp), for all layers of a step at once (attention/host/plan.hpp), threads
// find the rows of one tile after another (attend_task.hpp) and run them through the kernels of their formats on this
// machine (tile_attention.hpp, attention/host/kernels.hpp), and the parts of a long sequence are merged at the end.

#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/host/attend_layer.hpp>
#include <folio/attention/host/attend_task.hpp>
#include <folio/attention/host/attend_work.hpp>
#include <folio/attention/host/execution.hpp>
#include <folio/attention/host/kernels.hpp>
#include <folio/attention/host/plan.hpp>
#include <folio/attention/host/reads_in_place.hpp>
#include <folio/attention/params.hpp>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <folio/kernels/row_strides.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/with_group.hpp>
#include <type_traits>
#include <utility>

namespace folio::ops {

/// Whether attend reads this view's rows in place, by kernels of their formats. Else a plane whose format has none, or
/// whose rows the layout cuts into runs, is decoded to floats tile by tile first, which takes several times as long.
template <class View>
inline constexpr bool has_fast_attend = []<int... Group>(std::integer_sequence<int, Group...>) {
  return (
      (attention::reads_in_place<typename LayerView<View, Group>::KeyQuantizer, typename View::Layout>(Plane::key) &&
       attention::reads_in_place<typename LayerView<View, Group>::ValueQuantizer, typename View::Layout>(
           LayerView<View, Group>::known.values_in_keys() ? Plane::key : Plane::value)) &&
      ...);
}
(std::make_integer_sequence<int, View::num_groups>());

namespace detail {

template <bool of_keys, class Layer>
[[nodiscard]] auto row_in(Layer const& layer, BlockId block, std::int32_t head, std::int32_t slot) {
  if constexpr (of_keys)
    return layer.key(block, head, slot);
  else
    return layer.value(block, head, slot);
}

/// The keys of a group's layers, or their values. In a latent layer these are in the keys, and nobody asks memory for
/// them twice.
template <bool of_keys, class View, int Group>
void make_plane(LayerView<View, Group> const& layer, AttendPlane& plane) {
  using Layer = LayerView<View, Group>;
  constexpr bool in_keys = of_keys || Layer::known.values_in_keys();
  using Quantizer = std::conditional_t<of_keys, typename Layer::KeyQuantizer, typename Layer::ValueQuantizer>;
  constexpr bool in_place =
      attention::reads_in_place<Quantizer, typename View::Layout>(in_keys ? Plane::key : Plane::value);
  constexpr RowFormat format = in_place ? Quantizer::row_format : attention::float_rows;
  GroupShape const shape = layer.shape();
  plane.params = format.params;
  plane.basis = Quantizer::basis;
  plane.code_bytes = 0;
  plane.row_dim = in_keys ? shape.key_dim : shape.value_dim;
  plane.codes.clear();
  plane.slot_params.clear();
  plane.tile_params.clear();
  plane.decode = nullptr;
  if constexpr (in_place) {
    if (of_keys || !in_keys) plane.code_bytes = code_bytes<Quantizer>(of_keys ? shape.key_dim : shape.value_dim);
    for (std::int32_t head = 0; head < shape.kv_heads; ++head)
      for (std::int32_t slot = 0; slot < shape.block_size; ++slot) {
        auto const row = row_in<of_keys>(layer, BlockId{0}, head, slot);
        plane.codes.push_back(row.codes() - layer.base());
        if constexpr (are_of_tile(format.params)) {
          if (slot == 0) plane.tile_params.push_back(row.param_bytes() - layer.base());
        } else if constexpr (format.params != RowParams::none) {
          plane.slot_params.push_back(row.param_bytes() - layer.base());
        }
      }
  } else {
    plane.decode = [](GroupTable const& table, std::int32_t index, SlotRange slots, float* out, std::int32_t stride) {
      Layer const from(table, index);
      std::int32_t const dim = of_keys ? from.shape().key_dim : from.shape().value_dim;
      for (std::int32_t i = 0; i < slots.count; ++i)
        load_row(row_in<of_keys>(from, slots.block, slots.head, slots.first + i), dim, out + std::int64_t{i} * stride);
    };
  }
}
/// The kernels of a plane on the instructions in use.
template <bool of_keys, class View, int Group>
void choose_kernels(AttendPlane& plane) {
  using Layer = LayerView<View, Group>;
  constexpr bool in_keys = of_keys || Layer::known.values_in_keys();
  using Quantizer = std::conditional_t<of_keys, typename Layer::KeyQuantizer, typename Layer::ValueQuantizer>;
  constexpr bool in_place =
      attention::reads_in_place<Quantizer, typename View::Layout>(in_keys ? Plane::key : Plane::value);
  constexpr RowFormat format = in_place ? Quantizer::row_format : attention::float_rows;
  plane.few_rows = attention::row_kernels<format>(false);
  plane.many_rows = attention::row_kernels<format>(true);
  plane.few_tokens = attention::few_token_kernels<format>();
}

/// An address for each type of view and group. Not constant: a linker may fold equal constants.
template <class View, int Group>
inline char type_of_group = 0;

/// One group of layers in a step. Offsets are made anew only for a view of another type or shape.
template <int Group, class View>
void plan_group(View const& view, StepPlan& step, GroupPlan<>& plan) {
  GroupTable const& table = view.group(Group);
  LayerView<View, Group> const layer(table, 0);
  AttendLayers& layers = plan.layers;
  bool const known = plan.type == &type_of_group<View, Group> && layers.shape == layer.shape();
  plan.type = nullptr;
  layers.table = table;
  layers.shape = layer.shape();
  if (layers.shape.layers == 0) return;
  layers.block_bytes = layer.map().block_bytes();
  layers.layer_bytes = layer.map().layer_bytes();
  choose_kernels<true, View, Group>(layers.keys);
  choose_kernels<false, View, Group>(layers.values);
  if (!known) {
    make_plane<true>(layer, layers.keys);
    make_plane<false>(layer, layers.values);
  }
  plan.sequences.clear();
  bool const is_causal = step.params.causal && step.params.tree_mask == nullptr;
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
    auto const sequence = view.template sequence_in<Group>(i, 0);
    std::int32_t const queries = sequence.num_query_tokens();
    plan.sequences.push_back({table.blocks + std::int64_t{i} * table.width,
                              is_causal ? sequence.limit(queries - 1) : sequence.num_tokens(), queries,
                              view.query_start(i), hidden_blocks(layers.shape, sequence.first_query()),
                              table.limits != nullptr ? table.limits + view.query_start(i) : nullptr});
  }
  plan.share(step.num_query_heads, step.params, step.threads.num_threads());
  plan.type = &type_of_group<View, Group>;
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
  if constexpr (!std::is_same_v<Out, float>)
    operands.store = [](float const* from, std::int32_t n, void* out, std::int64_t at) {
      store_activations(from, n, static_cast<Out*>(out) + at);
    };
  operands.out_stride =
      folio::detail::checked_stride(io.out_stride, std::int64_t{io.num_query_heads} * shape.value_dim, "out");
  operands.lse = io.lse;
  if (io.k == nullptr && io.v == nullptr) return operands;
  folio::detail::check_own_rows(io, shape);
  operands.k = io.k;
  operands.v = io.v;
  operands.k_stride = folio::detail::checked_stride(io.k_stride, std::int64_t{shape.kv_heads} * shape.key_dim, "k");
  operands.v_stride = folio::detail::checked_stride(io.v_stride, std::int64_t{shape.kv_heads} * shape.value_dim, "v");
  return operands;
}

/// For layers of groups [first, end).
template <class View>
void check_step(View const& view, int first, int end, std::int32_t num_query_heads, AttentionParams const& params) {
  for (int g = first; g < end; ++g) {
    folio::detail::checked_query_heads(view.group(g).shape, num_query_heads);
    folio::detail::check_limits(params, view.group(g).shape, view.group(g).limits != nullptr);
  }
  folio::detail::check_params(params);
  for (std::int32_t i = 0; i < view.num_sequences(); ++i)
    folio::detail::check_tree_tokens(params, view.query_start(i + 1) - view.query_start(i));
}

}  // namespace detail

/// Softmax attention of a step's query tokens over everything their sequences have stored in one layer.
///
/// Operands: see AttentionIo; T and Out are float, Half or BFloat16. num_query_heads is a multiple of kv_heads; query
/// head h reads kv head h / (num_query_heads / kv_heads): MHA, GQA, MQA, and MLA with the absorbed query of rank + rope
/// dims. Which tokens a query sees and what becomes of scores: see AttentionParams. Tokens are numbered among those
/// that the layer's group stores, also under a tree mask; who applies RoPE to a query takes its position, from
/// BlockTableView::end_position or what the BatchItem was given. A query that sees nothing gives zeros and an lse of
/// -infinity, which merge_attention takes; with sink logits the lse is the sink's. A NaN in a query, or in a key that
/// it sees, makes its `out` and `lse` NaN, and nobody else's. The result of a query does not depend on the other
/// queries, on how a prompt was cut into steps, or on `execution`. It does on the machine's instructions, in the last
/// bits.
///
/// Where the step's own keys and values are given (AttentionIo::k, v), they are read as they are and not as the format
/// stores them, and the cut into steps says which they are. They count by their numbers as stored tokens do: for masks,
/// windows, sinks, ranges and ALiBi. Rows of 16 bits are made floats once for each work. The first such call in a
/// workspace takes memory for them, about as much for each thread as for the stored ones, before it writes anything.
///
/// Each key and value is read once for all query heads of its kv head and up to 32 query tokens. Integers of 2 to 8
/// bits (8 symmetric ones; asymmetric ones; one scale for a row, or those of a tile of a multiple of 64 tokens) are not
/// decoded: queries and weights become integers of 16 bits, and are multiplied with the codes. A query's integers are
/// in units of its largest element, which loses less than f16 does; where most elements are below a 32nd of the
/// largest, before or after a rotation, what they leave becomes integers, too, and such a query scores twice. Weights
/// are in units of the largest in each 64 tokens: one below a 65,534th of it counts as 0, and all of those together may
/// cost 0.001 of the largest value. The sums are exact and the same on every machine; scales and minima are applied to
/// them, those of channels to the query before it becomes integers and to the sums of values. Floating-point rows are
/// widened in registers, or, for more than 8 query rows, once for each tile. A query that sees none but the first 4
/// stored tokens has rows of integers decoded, those of a tile apart: that is shorter, and loses no more than floats
/// do. `has_fast_attend` tells which views all this holds for. Others decode tile by tile. Cost: O(query tokens * query
/// heads * tokens that they see * (key_dim + value_dim)), and for each call with a view a plan of its own. Thread-safe
/// as far as its threads and workspace are one caller's. Memory: about 100 KiB for each thread, and for long contexts
/// shared by threads the sums of each 1,024 tokens. Throws Error, before anything is written, for a layer, a head count
/// or a stride that does not fit, a null q or out, own keys without values, a soft-cap that is negative, infinite or no
/// number, under a tree mask more than 64 query tokens of a sequence, or limits, and for limits without causality in a
/// layer with a window.
template <HostReadableView View, class T, class Out>
void attend(View const& view, std::int32_t layer, AttentionIo<T, Out> const& io, AttentionParams const& params = {},
            HostExecution const& execution = {}) {
  with_group(view, layer, [&](auto group, std::int32_t index) {
    detail::check_step(view, group(), group() + 1, io.num_query_heads, params);
    folio::detail::check_operands(io, view.num_query_tokens());
    auto const operands = detail::make_operands(io, view.group(group()).shape);
    AttentionPlan const plan(execution);  // from here on the workspace's last plan is gone
    detail::StepPlan& step = plan.step();
    step.num_query_heads = io.num_query_heads;
    step.params = params;
    detail::GroupPlan<>& part = step.groups[group()];
    detail::plan_group<group()>(view, step, part);
    part.run(index, io.num_query_heads, params, operands, step.threads);
  });
}

/// Plans the attention of a step, once for all layers, for calls of attend(plan, layer, io). In a workspace of
/// `execution` that has seen a step as large, with own tokens where these calls bring some, it takes nothing from the
/// heap, nor do they, and they cannot fail for want of memory. Cost: a microsecond or so for a few sequences. Throws
/// Error as attend does.
///
/// The plan divides the tokens that `params` shows. So a run may have another scale, soft-cap, sink logits and slopes,
/// and no other mask or token range, of which a plan on the device asks nothing.
template <HostReadableView View>
[[nodiscard]] AttentionPlan plan_attention(View const& view, std::int32_t num_query_heads,
                                           AttentionParams const& params = {}, HostExecution const& execution = {}) {
  detail::check_step(view, 0, View::num_groups, num_query_heads, params);
  AttentionPlan plan(execution);
  detail::StepPlan& step = plan.step();
  step.num_query_heads = num_query_heads;
  step.num_query_tokens = view.num_query_tokens();
  step.params = params;
  step.pattern = view.pattern();
  [&]<int... Group>(std::integer_sequence<int, Group...>) {
    (detail::plan_group<Group>(view, step, step.groups[Group]), ...);
  }
  (std::make_integer_sequence<int, View::num_groups>{});
  return plan;
}

/// attend for a layer of a step that was planned. `params` takes the place of all of the plan's parameters: what is not
/// given is the default, and not the plan's. It may differ in scale, soft-cap, sink logits and slopes, which are a
/// layer's own in some models. Throws Error, before anything is written, as attend does, and besides for another number
/// of query heads than was planned, for another mask or token range, and when the workspace has planned another step.
/// Cost: as attend with a view, without the plan.
template <class T, class Out>
void attend(AttentionPlan const& plan, std::int32_t layer, AttentionIo<T, Out> const& io,
            AttentionParams const& params) {
  detail::StepPlan& step = plan.step();
  LayerPlace const at = layer >= 0 ? step.pattern.place(layer) : LayerPlace{};
  detail::GroupPlan<>& part = step.groups[at.group];
  if (layer < 0 || at.index >= part.layers.shape.layers) throw no_such_layer(layer);
  folio::detail::check_planned_heads(step.num_query_heads, io.num_query_heads);
  folio::detail::check_planned(step.params, params);
  folio::detail::check_params(params);
  folio::detail::check_operands(io, step.num_query_tokens);
  part.run(at.index, io.num_query_heads, params, detail::make_operands(io, part.layers.shape), step.threads);
}
/// The same with the plan's own parameters.
template <class T, class Out>
void attend(AttentionPlan const& plan, std::int32_t layer, AttentionIo<T, Out> const& io) {
  attend(plan, layer, io, plan.params());
}

}  // namespace folio::ops
