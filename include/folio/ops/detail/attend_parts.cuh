// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention in parts that kernels sum apart and one kernel merges: of long contexts, of the step's own tokens, and of
// what is demoted.

#include <cstddef>
#include <cstdint>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/device/execution.cuh>
#include <folio/attention/device/plan.cuh>
#include <folio/error.hpp>
#include <folio/kernels/launch.cuh>
#include <folio/ops/merge_attention.cuh>
#include <string>

namespace folio::ops::detail {

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

/// How many parts a call's own keys and values are: 1, or 0 where it brings none.
template <class T, class Out>
[[nodiscard]] std::int32_t own_parts(AttentionIo<T, Out> const& io) {
  return io.k != nullptr ? 1 : 0;
}

/// The parts of an attention, in the workspace until they are merged: [parts][rows][dim] results, and then
/// [parts][rows] log-sum-exps.
template <class T, class Out>
class AttendParts {
 public:
  using Arguments = AttendArguments<T, Out>;

  /// `whole`: checked. Throws Error for a workspace that is too small for these parts.
  AttendParts(Arguments const& whole, std::int32_t num_parts, std::int64_t num_rows, std::int32_t dim,
              DeviceExecution const& execution)
      : parts_(whole), num_parts_(num_parts), num_rows_(num_rows), dim_(dim), stream_(execution.stream) {
    std::int64_t const bytes = parts_bytes(num_parts, num_rows, dim);
    if (std::ssize(execution.workspace) < bytes)
      throw Error("folio: attention in " + std::to_string(num_parts) + " parts needs a workspace of " +
                  std::to_string(bytes) + " bytes, not " + std::to_string(execution.workspace.size()) +
                  "; ask workspace_bytes of the plan" +
                  (own_parts(whole.io) != 0 ? ", made with own_tokens in its execution" : ""));
    check_aligned(execution.workspace.data(), "the workspace of attention");
    parts_.parts_out = aligned_cast<float>(execution.workspace.data());
    parts_.parts_lse = parts_.parts_out + num_rows * num_parts * dim;
  }

  /// The arguments of a kernel that computes parts from number `first` on. Sink logits are in the first one alone.
  [[nodiscard]] Arguments from(std::int32_t first) const {
    Arguments some = parts_;
    some.parts_out += first * num_rows_ * dim_;
    some.parts_lse += first * num_rows_;
    if (first > 0) some.params.sink_logits = nullptr;
    return some;
  }
  /// The same where one part is all that a kernel computes, whose results are then floats.
  [[nodiscard]] AttendArguments<T, float> as_result(Arguments const& part) const {
    AttentionIo<T, Out> const& io = part.io;
    AttentionIo<T, float> result{io.q, io.num_query_heads, part.parts_out, part.parts_lse, io.q_stride};
    result.out_stride = std::int64_t{io.num_query_heads} * dim_;
    result.k = io.k, result.v = io.v, result.k_stride = io.k_stride, result.v_stride = io.v_stride;
    return {result, part.params, part.modifies_scores};
  }

  template <class View>
  void merge(View const& view) const {
    launch(merge_parts_kernel<View, T, Out>, merge_grid(num_parts_, num_rows_), merge_threads, 0, stream_, view, parts_,
           num_parts_, dim_);
  }

 private:
  Arguments parts_;
  std::int32_t num_parts_;
  std::int64_t num_rows_;
  std::int32_t dim_;
  cudaStream_t stream_;
};

}  // namespace folio::ops::detail
