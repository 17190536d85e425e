// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Prefill attention on the device: many query tokens, prompts, whole or in chunks.

#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/device/checks.cuh>
#include <folio/attention/device/execution.cuh>
#include <folio/attention/device/prefill_kernel.cuh>
#include <folio/attention/params.hpp>
#include <folio/kernels/with_group.hpp>
#include <folio/ops/detail/attend_parts.cuh>

namespace folio::ops {

namespace detail {

template <class View, int Group, class T, class Out>
void launch_prefill(View const& view, std::int32_t index, AttentionIo<T, Out> const& io, AttentionParams const& params,
                    DeviceExecution const& execution) {
  GroupTable const& table = view.group(Group);
  folio::detail::checked_query_heads(table.shape, io.num_query_heads);
  if (view.num_query_tokens() == 0 || view.num_sequences() == 0) return;
  AttendArguments<T, Out> const arguments = checked_arguments(table, io, params);
  if (own_parts(io) == 0) return launch_prefill_kernel<View, Group>(view, index, arguments, execution.stream);
  std::int64_t const num_rows = std::int64_t{view.num_query_tokens()} * io.num_query_heads;
  AttendParts const parts(arguments, 2, num_rows, table.shape.value_dim, execution);
  launch_prefill_kernel<View, Group>(view, index, parts.as_result(parts.from(0)), execution.stream);
  launch_own_prefill<View, Group>(view, index, parts.as_result(parts.from(1)), execution.stream);
  parts.merge(view);
}

}  // namespace detail

/// Prefill attention: ops::attend for many query tokens, prompts, whole or in chunks, of any number of sequences. Its
/// arguments and results; of `execution` it takes the stream, and where the step's own tokens are given the workspace,
/// for their part, that of the stored ones, and a merge of both. Latent layers too where rows are short enough for
/// shared memory, of a dim of at most 496; others do not compile. For few query tokens of a sequence decode is faster:
/// it splits contexts.
///
/// Asynchronous on the stream. Throws as attend does, and launches nothing then.
template <class View, class T, class Out>
void prefill(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
             AttentionParams const& params = {}, DeviceExecution const& execution = {}) {
  View const& plain = view;
  with_group(plain, layer, [&](auto group, std::int32_t index) {
    static_assert(
        detail::prefill_fits<View, group()>,
        "folio: ops::prefill keeps queries and keys in shared memory, which holds rows of up to 496 elements; "
        "take ops::decode, or ops::attend, which chooses, for longer ones, such as latents");
    detail::launch_prefill<View, group()>(plain, index, io, params, execution);
  });
}

}  // namespace folio::ops
