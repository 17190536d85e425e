// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values on the device: decode or prefill, as the step asks for.

#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/device/plan.cuh>
#include <folio/ops/decode.cuh>
#include <folio/ops/prefill.cuh>

namespace folio::ops {

namespace detail {

/// Whichever kernel the step asks for.
template <class View, int Group, class T, class Out>
void attend_layer(View const& view, std::int32_t index, AttentionIo<T, Out> const& io, AttentionParams const& params,
                  DecodePartition const& decode, DeviceExecution const& execution) {
  if constexpr (prefill_fits<View, Group>)
    if (is_prefill(view)) return launch_prefill<View, Group>(view, index, io, params, execution);
  launch_decode<View, Group>(view, index, io, params, decode, execution);
}

}  // namespace detail

/// Runs a planned attention in one layer: see below. `params` may be others than the plan's, as where sink logits
/// differ from layer to layer. Throws Error, too, for other query heads than were planned.
template <class View, class T, class Out>
void attend(DeviceAttentionPlan<View> const& plan, std::int32_t layer, AttentionIo<T, Out> const& io,
            AttentionParams const& params) {
  View const& view = plan.view();
  folio::detail::check_planned_heads(plan.num_query_heads(), io.num_query_heads);
  with_group(view, layer, [&](auto group, std::int32_t index) {
    detail::attend_layer<View, group()>(view, index, io, params, plan.partition(group()), plan.execution());
  });
}
template <class View, class T, class Out>
void attend(DeviceAttentionPlan<View> const& plan, std::int32_t layer, AttentionIo<T, Out> const& io) {
  attend(plan, layer, io, plan.params());
}

/// Scaled dot-product attention on the device: softmax attention of a step's query tokens over everything that their
/// sequences have stored in one layer. Windows, sinks, grouped heads and latent layers as on the host; masks and score
/// modifications as AttentionParams says.
///
/// `io`: T and Out are float, Half or BFloat16. All pointers, those of `params` included, are device memory; q, out, k
/// and v, and their rows, begin at multiples of 16 bytes. Rows of padding queries are not written. Any number of query
/// heads may share a kv head. A step with a tree mask has at most 64 query tokens of a sequence; the tokens after them
/// are hidden.
///
/// Which kernel runs depends on the sizes of the view's step only, padding included, so a captured graph keeps it:
/// - more than 8 query tokens for each sequence: prefill, where its shared memory holds the layer's rows;
/// - else decode, which may need a workspace: `plan_attention(..).workspace_bytes()`, for the same `execution`.
/// Who knows better names ops::decode or ops::prefill, and then the other's kernels are not compiled. For all layers of
/// a step, plan once and run the plan.
///
/// Where the step's own keys and values are given (AttentionIo::k, v), they are a part of their own: a launch more and
/// a merge, and for either kernel a workspace, of a plan whose execution says `own_tokens`: two parts of the step's
/// results in floats, or one more than the context is split into.
///
/// A NaN in a query, or in a key or value that it sees, makes that query head's result NaN, and no other's.
///
/// Asynchronous on the stream. Throws Error, and launches nothing, for a layer, number of heads, stride or soft-cap
/// that does not fit, a null q or out, own keys without values, pointers that are not aligned, a workspace that is too
/// small, or a tree mask in a step with limits; CudaError when a launch fails.
template <class View, class T, class Out>
void attend(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
            AttentionParams const& params = {}, DeviceExecution const& execution = {}) {
  View const& plain = view;
  with_group(plain, layer, [&](auto group, std::int32_t index) {
    auto const decode = detail::partition_decode<View, group()>(plain, io.num_query_heads, params, execution);
    detail::attend_layer<View, group()>(plain, index, io, params, decode, execution);
  });
}

}  // namespace folio::ops
