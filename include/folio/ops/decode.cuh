// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values on the device, one query token at a time: decoding, and a few query
// tokens (speculative decoding). Long contexts are split over thread blocks and merged. Many query tokens: prefill.cuh.

#include <cstdint>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/device/attend_kernel.cuh>
#include <folio/attention/device/checks.cuh>
#include <folio/attention/device/plan.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/ops/merge_attention.cuh>
#include <string>

namespace folio::ops {

namespace detail {

/// Kernel. Merges the parts of an attention, but for padding queries. Grid and block as of merge_attention_kernel.
template <class View, class T, class Out>
__global__ void merge_parts_kernel(View view, AttendArguments<T, Out> arguments, std::int32_t num_parts,
                                   std::int32_t dim) {
  AttentionIo<T, Out> const& io = arguments.io;
  std::int64_t const num_rows = std::int64_t{view.num_query_tokens()} * io.num_query_heads;
  std::int64_t const end = std::int64_t{view.query_start(view.num_sequences())} * io.num_query_heads;
  merge_rows(MergeParts{arguments.parts_out, arguments.parts_lse, num_parts, num_rows, dim}, end,
             MergedRows<Out>{io.out, io.lse, io.num_query_heads, io.out_stride});
}

template <class View, int Group, class T, class Out, int Heads = max_attend_heads<View, Group>()>
void launch_decode_kernel(View const& view, std::int32_t index, DecodePartition const& decode,
                          AttendArguments<T, Out> const& arguments, cudaStream_t stream) {
  if constexpr (Heads > 1)
    if (decode.heads < Heads)
      return launch_decode_kernel<View, Group, T, Out, Heads / 2>(view, index, decode, arguments, stream);
  launch(attend_kernel<View, Group, Heads, T, Out>, decode.grid, attend_threads, 0, stream, view, index, arguments);
}

template <class View, int Group, class T, class Out>
void launch_decode(View const& view, std::int32_t index, AttentionIo<T, Out> const& io, AttentionParams const& params,
                   DecodePartition const& decode, DeviceExecution const& execution) {
  if (decode.num_rows == 0) return;
  GroupShape const& shape = view.group(Group).shape;
  AttendArguments<T, Out> arguments = checked_arguments(view.group(Group), io, params);
  auto const num_parts = static_cast<std::int32_t>(decode.grid.z);
  if (num_parts > 1) {
    if (std::ssize(execution.workspace) < decode.workspace_bytes)
      throw Error("folio: attention in " + std::to_string(num_parts) + " parts needs a workspace of " +
                  std::to_string(decode.workspace_bytes) + " bytes, not " + std::to_string(execution.workspace.size()) +
                  "; ask workspace_bytes of the plan");
    check_aligned(execution.workspace.data(), "the workspace of attention");
    arguments.parts_out = aligned_cast<float>(execution.workspace.data());
    arguments.parts_lse = arguments.parts_out + decode.num_rows * num_parts * shape.value_dim;
  }
  launch_decode_kernel<View, Group>(view, index, decode, arguments, execution.stream);
  if (num_parts > 1)
    launch(merge_parts_kernel<View, T, Out>, merge_grid(num_parts, decode.num_rows), merge_threads, 0, execution.stream,
           view, arguments, num_parts, shape.value_dim);
}

}  // namespace detail

/// Decode attention: ops::attend for one query token of a sequence, or a few. Its arguments and results.
///
/// Where the step is too small to fill the GPU, each query's tokens are split into parts and merged by a second kernel;
/// the workspace holds them in between. The number of parts depends on the view's sizes, the token range and
/// `execution` only, so a captured graph replays for sequences of other lengths; and the result on the number of parts,
/// in its last bits.
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
