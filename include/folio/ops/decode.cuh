// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values on the device, one query token at a time: decoding, and a few query
// tokens (speculative decoding). Long contexts are split over thread blocks and merged. Many query tokens: prefill.cuh.

#include <algorithm>
#include <cstdint>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/device/attend_kernel.cuh>
#include <folio/attention/device/checks.cuh>
#include <folio/attention/device/own_view.cuh>
#include <folio/attention/device/plan.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/ops/detail/attend_parts.cuh>

namespace folio::ops {

namespace detail {

/// `arguments`: checked, with parts where the partition has several.
template <class View, int Group, class T, class Out, int Heads = max_attend_heads<View, Group>()>
void launch_decode_kernel(View const& view, std::int32_t index, DecodePartition const& decode,
                          AttendArguments<T, Out> const& arguments, cudaStream_t stream) {
  if constexpr (Heads > 1)
    if (decode.heads < Heads)
      return launch_decode_kernel<View, Group, T, Out, Heads / 2>(view, index, decode, arguments, stream);
  launch(attend_kernel<View, Group, Heads, T, Out>, decode.grid, attend_threads, 0, stream, view, index, arguments);
}

/// The same over the step's own tokens, of which there are few for each sequence: by one kernel, whatever the heads. Of
/// 4 of them at a time, for which there are registers on every GPU, whatever T is.
template <class View, int Group, class T, class Out>
void launch_own_decode(View const& view, std::int32_t index, AttendArguments<T, Out> const& arguments,
                       cudaStream_t stream) {
  using Own = OwnView<View, T>;
  constexpr int most = std::min(4, max_attend_heads<Own, Group>());
  std::int32_t const kv_heads = view.group(Group).shape.kv_heads, heads = arguments.io.num_query_heads / kv_heads;
  dim3 const grid(static_cast<unsigned>(view.num_query_tokens()),
                  static_cast<unsigned>(kv_heads * ((heads + most - 1) / most)));
  launch(attend_kernel<Own, Group, most, T, Out>, grid, attend_threads, 0, stream, Own(view, arguments.io), index,
         arguments);
}

template <class View, int Group, class T, class Out>
void launch_decode(View const& view, std::int32_t index, AttentionIo<T, Out> const& io, AttentionParams const& params,
                   DecodePartition const& decode, DeviceExecution const& execution) {
  if (decode.num_rows == 0) return;
  GroupTable const& table = view.group(Group);
  AttendArguments<T, Out> const arguments = checked_arguments(table, io, params);
  auto const num_parts = static_cast<std::int32_t>(decode.grid.z);
  if (num_parts + own_parts(io) == 1)
    return launch_decode_kernel<View, Group>(view, index, decode, arguments, execution.stream);
  AttendParts const parts(arguments, num_parts + own_parts(io), decode.num_rows, table.shape.value_dim, execution);
  launch_decode_kernel<View, Group>(view, index, decode, parts.from(0), execution.stream);
  if (own_parts(io) != 0) launch_own_decode<View, Group>(view, index, parts.from(num_parts), execution.stream);
  parts.merge(view);
}

}  // namespace detail

/// Decode attention: ops::attend for one query token of a sequence, or a few. Its arguments and results.
///
/// Where the step is too small to fill the GPU, each query's tokens are split into parts and merged by a second kernel;
/// the workspace holds them in between. The step's own tokens, where a call brings them, are one part more, of a launch
/// of its own. The number of parts depends on the view's sizes, the token range and `execution` only, so a captured
/// graph replays for sequences of other lengths; and the result on the number of parts, in its last bits.
///
/// Asynchronous on the stream. Throws as attend does, and launches nothing then.
template <class View, class T, class Out>
void decode(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
            AttentionParams const& params = {}, DeviceExecution const& execution = {}) {
  View const& plain = view;
  with_group(plain, layer, [&](auto group, std::int32_t index) {
    auto const partition = detail::partition_decode<View, group()>(plain, io.num_query_heads, params, execution);
    detail::launch_decode<View, group()>(plain, index, io, params, partition, execution);
  });
}

}  // namespace folio::ops
