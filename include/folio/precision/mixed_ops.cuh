// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Append, attend and gather for a cache that demotes, on the device: the operations of ops/, over both formats. For
// demotion itself see demote.cuh.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/device/checks.cuh>
#include <folio/attention/device/execution.cuh>
#include <folio/attention/device/plan.cuh>
#include <folio/attention/params.hpp>
#include <folio/device_view.hpp>
#include <folio/error.hpp>
#include <folio/kernels/launch.cuh>
#include <folio/kernels/row_strides.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/kernels/with_group.hpp>
#include <folio/ops/append.cuh>
#include <folio/ops/attend.cuh>
#include <folio/ops/detail/attend_parts.cuh>
#include <folio/ops/gather.cuh>
#include <folio/precision/detail/mixed_rules.hpp>
#include <folio/precision/mixed_view.hpp>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace folio::ops {

/// What append does for a view of one format: new tokens are written to the cache's own.
template <class Recent, class Demoted, class T>
void append(DeviceView<MixedPrecisionView<Recent, Demoted>> const& view, std::int32_t layer, T const* keys,
            std::type_identity_t<T> const* values, cudaStream_t stream, RowStrides const& strides = {}) {
  append(DeviceView(view.recent), layer, keys, values, stream, strides);
}

namespace detail {

/// How the two attentions of the layers of a group are launched, and where their parts lie: those over the recent
/// tokens, and then those over the demoted ones. A group that does not demote has the first alone.
struct MixedPartition {
  DecodePartition recent, demoted;
  std::int32_t recent_parts = 1, demoted_parts = 0;
  std::int64_t workspace_bytes = 0;
};

/// Attention over one list: the parts of a group's partition.
template <class View, int Group>
[[nodiscard]] std::int32_t num_parts(View const& view, DecodePartition const& decode) {
  return prefill_fits<View, Group> && is_prefill(view) ? 1 : static_cast<std::int32_t>(decode.grid.z);
}

/// How a plan splits the layers of a group that demotes, or of one that does not.
template <class Recent, class Demoted>
struct PlanSplit<MixedPrecisionView<Recent, Demoted>> {
  using View = MixedPrecisionView<Recent, Demoted>;
  using Partition = MixedPartition;

  static void check(View const& view, AttentionParams const& params) {
    check_mixed(params);
    PlanSplit<Recent>::check(view.recent, params);
  }
  template <int Group>
  [[nodiscard]] static Partition partition(View const& view, std::int32_t num_query_heads,
                                           AttentionParams const& params, DeviceExecution const& execution) {
    MixedPartition both;
    both.recent = partition_decode<Recent, Group>(view.recent, num_query_heads, params, execution);
    both.workspace_bytes = both.recent.workspace_bytes;
    if constexpr (View::template group_demotes<Group>) {
      both.demoted = partition_decode<Demoted, Group>(view.demoted, num_query_heads, params, execution);
      both.recent_parts = num_parts<Recent, Group>(view.recent, both.recent);
      both.demoted_parts = num_parts<Demoted, Group>(view.demoted, both.demoted);
      both.workspace_bytes = parts_bytes(both.recent_parts + both.demoted_parts + (execution.own_tokens ? 1 : 0),
                                         both.recent.num_rows, view.recent.group(Group).shape.value_dim);
    }
    return both;
  }
};

/// Attention over one list, or over the step's own tokens: a launch that fills some of the parts.
template <class View, int Group, class T, class Out>
void attend_in_parts(View const& view, std::int32_t index, AttendParts<T, Out> const& parts,
                     AttendArguments<T, Out> const& some, DecodePartition const& decode, cudaStream_t stream) {
  if constexpr (prefill_fits<View, Group>)
    if (is_prefill(view)) return launch_prefill_kernel<View, Group>(view, index, parts.as_result(some), stream);
  launch_decode_kernel<View, Group>(view, index, decode, some, stream);
}
template <class View, int Group, class T, class Out>
void attend_own_in_parts(View const& view, std::int32_t index, AttendParts<T, Out> const& parts,
                         AttendArguments<T, Out> const& some, cudaStream_t stream) {
  if constexpr (prefill_fits<View, Group>)
    if (is_prefill(view)) return launch_own_prefill<View, Group>(view, index, parts.as_result(some), stream);
  launch_own_decode<View, Group>(view, index, some, stream);
}

/// Attention over both lists of a group that demotes, and over the step's own tokens where these are given: a launch
/// for each, and one that merges their parts.
template <class View, int Group, class T, class Out>
void attend_both(View const& view, std::int32_t index, AttentionIo<T, Out> const& io, AttentionParams const& params,
                 MixedPartition const& both, DeviceExecution const& execution) {
  using Recent = decltype(view.recent);
  using Demoted = decltype(view.demoted);
  if (both.recent.num_rows == 0) return;
  GroupTable const& table = view.recent.group(Group);
  AttendArguments<T, Out> const arguments = checked_arguments(table, io, params);
  std::int32_t const lists = both.recent_parts + both.demoted_parts;
  AttendParts const parts(arguments, lists + own_parts(io), both.recent.num_rows, table.shape.value_dim, execution);
  attend_in_parts<Recent, Group>(view.recent, index, parts, parts.from(0), both.recent, execution.stream);
  AttendArguments<T, Out> demoted = parts.from(both.recent_parts);
  demoted.params = of_demoted(demoted.params);
  demoted.modifies_scores = modifies_scores(demoted.params);
  demoted.io.k = demoted.io.v = nullptr;  // they come after all that is demoted
  attend_in_parts<Demoted, Group>(view.demoted, index, parts, demoted, both.demoted, execution.stream);
  if (own_parts(io) != 0)
    attend_own_in_parts<Recent, Group>(view.recent, index, parts, parts.from(lists), execution.stream);
  parts.merge(view.recent);
}

/// Attention in a layer of a group that demotes, or of one that does not.
template <class View, int Group, class T, class Out>
void attend_mixed(View const& view, std::int32_t index, AttentionIo<T, Out> const& io, AttentionParams const& params,
                  MixedPartition const& both, DeviceExecution const& execution) {
  if constexpr (View::template group_demotes<Group>)
    attend_both<View, Group>(view, index, io, params, both, execution);
  else
    attend_layer<decltype(view.recent), Group>(view.recent, index, io, params, both.recent, execution);
}

}  // namespace detail

/// Runs a planned attention over both formats in one layer: see below.
template <class Recent, class Demoted, class T, class Out>
void attend(DeviceAttentionPlan<MixedPrecisionView<Recent, Demoted>> const& plan, std::int32_t layer,
            AttentionIo<T, Out> const& io, AttentionParams const& params) {
  using View = MixedPrecisionView<Recent, Demoted>;
  detail::check_rows_alone<View>();
  detail::check_mixed(params);
  folio::detail::check_planned_heads(plan.num_query_heads(), io.num_query_heads);
  View const& view = plan.view();
  with_group(view.recent, layer, [&](auto group, std::int32_t index) {
    detail::attend_mixed<View, group()>(view, index, io, params, plan.partition(group()), plan.execution());
  });
}

/// attend over both formats on the device: what it gives for one, of the tokens as each format decodes them. Arguments
/// and result are those of attend with a view of one format.
///
/// Two partial attentions over disjoint tokens, whose parts one kernel merges by their log-sum-exp: over sinks and
/// newest tokens, causal or by the tree mask, and over the demoted ones, which every query sees; a third where the
/// step's own keys and values are given. Three launches or four, whatever the lengths, so a captured graph replays; in
/// a layer with a window, those of attend with a view of one format. `execution.num_parts` is how many parts each of
/// the two is split into. The workspace holds the parts of all before they are merged, and is needed for every step:
/// `plan_attention(..).workspace_bytes()` bytes, at least 2 * num_query_heads * (value_dim + 1) floats for each query
/// token of the step's size, padding included, and 3 where own tokens come.
///
/// Asynchronous on the stream; neither allocates nor waits. Throws as attend does, and Error for a range of tokens,
/// which is for parts of one format, and for ALiBi: a token's place in one of them is not its position. Formats with
/// tiles do not compile.
template <class Recent, class Demoted, class T, class Out>
void attend(DeviceView<MixedPrecisionView<Recent, Demoted>> const& view, std::int32_t layer,
            AttentionIo<T, Out> const& io, AttentionParams const& params = {}, DeviceExecution const& execution = {}) {
  using View = MixedPrecisionView<Recent, Demoted>;
  detail::check_rows_alone<View>();
  detail::check_mixed(params);
  View const& plain = view;
  with_group(view.recent, layer, [&](auto group, std::int32_t index) {
    auto const both =
        detail::PlanSplit<View>::template partition<group()>(plain, io.num_query_heads, params, execution);
    detail::attend_mixed<View, group()>(plain, index, io, params, both, execution);
  });
}

/// Kernel. gather_kernel over both formats: `ranges` are numbers among the tokens that the layer stores in both lists.
template <class View, int Group, class T>
__global__ void gather_mixed_kernel(View view, std::int32_t index, GatherRanges ranges, T* keys, T* values) {
  using RecentLanes = detail::GatherLanes<decltype(view.recent), Group>;
  using DemotedLanes = detail::GatherLanes<decltype(view.demoted), Group>;
  constexpr int lanes = RecentLanes::lanes > DemotedLanes::lanes ? RecentLanes::lanes : DemotedLanes::lanes;
  GatherRanges::Range const& range = ranges.list[blockIdx.y];
  auto const recent = view.recent.template sequence_in<Group>(range.tokens.sequence, index);
  auto const demoted = view.demoted.template sequence_in<Group>(range.tokens.sequence, index);
  int const lane = static_cast<int>(threadIdx.x % lanes);
  std::int32_t const sinks = view.sinks, num_demoted = demoted.num_tokens();
  range.for_each_row<lanes>(recent.shape().kv_heads, [&](std::int32_t token, std::int32_t head, std::int64_t row) {
    if (token >= sinks && token - sinks < num_demoted)
      DemotedLanes::gather(demoted, head, token - sinks, lane, row, keys, values);
    else
      RecentLanes::gather(recent, head, token < sinks ? token : token - num_demoted, lane, row, keys, values);
  });
}

/// What gather does for one format on the device: `ranges`, numbered among the tokens that the layer stores in both,
/// from whichever list has each. Throws as there. Formats with tiles do not compile.
template <class Recent, class Demoted, class T>
void gather(DeviceView<MixedPrecisionView<Recent, Demoted>> const& view, std::int32_t layer,
            std::span<Tokens const> ranges, T* keys, std::type_identity_t<T>* values, cudaStream_t stream) {
  using View = MixedPrecisionView<Recent, Demoted>;
  detail::check_rows_alone<View>();
  View const& plain = view;
  with_group(plain.recent, layer, [&](auto group, std::int32_t index) {
    if constexpr (View::template group_demotes<group()>) {
      for (Tokens const& tokens : ranges) check_range(plain, tokens);
      check_aligned(keys, "keys");
      check_aligned(values, "values");
      std::int32_t const kv_heads = plain.recent.group(group()).shape.kv_heads;
      detail::for_gather_ranges(ranges, kv_heads, [&](dim3 grid, GatherRanges const& some) {
        launch(gather_mixed_kernel<View, group(), T>, grid, 256, 0, stream, plain, index, some, keys, values);
      });
    } else {
      gather(DeviceView(plain.recent), layer, ranges, keys, values, stream);
    }
  });
}

/// The same of one range.
template <class Recent, class Demoted, class T>
void gather(DeviceView<MixedPrecisionView<Recent, Demoted>> const& view, std::int32_t layer, Tokens const& tokens,
            T* keys, std::type_identity_t<T>* values, cudaStream_t stream) {
  gather(view, layer, std::span(&tokens, 1), keys, values, stream);
}

}  // namespace folio::ops
