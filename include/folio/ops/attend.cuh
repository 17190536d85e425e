// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values on the device, one query token at a time: decoding, and a few query
// tokens (speculative decoding). Long contexts are split over thread blocks and merged. Many query tokens: prefill.cuh.

#include <algorithm>
#include <cstdint>
#include <folio/ops/attend_arguments.cuh>
#include <folio/ops/attend_kernel.cuh>
#include <folio/ops/launch.cuh>
#include <folio/ops/merge_attention.cuh>
#include <string>
#include <utility>

namespace folio::ops {

struct AttendDeviceOptions {
  float scale = 0;                     ///< of the scores; 0: 1 / sqrt(key dim), which a latent layer must not rely on
  float const* sink_logits = nullptr;  ///< [num_query_heads] on the device: scores without a value
  std::int32_t num_parts = 0;          ///< that the tokens of a query are split into; 0: as many as fill the GPU
  std::int32_t max_tokens = 0;  ///< the longest sequence to expect, for the choice of parts; 0: what a table row holds
};

namespace detail {

/// The most query heads of a kv head that a thread block takes: their queries and results fit in registers.
template <class View, int Group>
constexpr int max_attend_heads() {
  constexpr auto fits = [](int heads, int part) { return heads * part <= 160; };
  using Shape = AttendShape<View, Group, 1>;
  constexpr int part = Shape::key_part + Shape::value_part;
  return fits(8, part) ? 8 : fits(4, part) ? 4 : fits(2, part) ? 2 : 1;
}

/// How an attention is launched. Depends on sizes that the host knows and a captured graph keeps, not on lengths.
struct AttendPlan {
  int heads = 1;  ///< of a thread block
  dim3 grid;
  std::int64_t num_rows = 0;         ///< of the result
  std::int64_t workspace_bytes = 0;  ///< 0: one part
};

inline int num_multiprocessors() {
  int device = 0, count = 0;
  check_cuda(cudaGetDevice(&device), "asking for the current device");
  check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "counting multiprocessors");
  return count;
}

/// As many parts as bring 8 thread blocks, two waves of them, to every multiprocessor, of at least 128 tokens each.
inline std::int64_t choose_parts(GroupTable const& table, std::int64_t num_blocks, AttendDeviceOptions const& options) {
  constexpr std::int64_t blocks_each = 8, least_tokens = 128;
  std::int64_t tokens = std::int64_t{table.width} * table.shape.block_size;
  if (options.max_tokens > 0) tokens = std::min<std::int64_t>(tokens, options.max_tokens);
  if (table.shape.window > 0)
    tokens = std::min<std::int64_t>(tokens, std::int64_t{table.shape.window} + table.shape.sinks);
  std::int64_t const most = std::max<std::int64_t>(1, tokens / least_tokens);
  if (most == 1) return 1;
  return std::clamp<std::int64_t>((num_multiprocessors() * blocks_each + num_blocks - 1) / num_blocks, 1, most);
}

template <class View, int Group>
AttendPlan plan_attend(View const& view, std::int32_t num_query_heads, AttendDeviceOptions const& options) {
  GroupTable const& table = view.group(Group);
  std::int32_t const heads = checked_query_heads(table.shape, num_query_heads);
  constexpr std::int32_t most_parts = 65535;  // of a grid's third dimension
  if (options.num_parts < 0 || options.num_parts > most_parts)
    throw Error("folio: attention is split into 1 to " + std::to_string(most_parts) +
                " parts, or 0 to let it choose, " + "not " + std::to_string(options.num_parts));
  AttendPlan plan;
  while (plan.heads < heads && plan.heads < max_attend_heads<View, Group>()) plan.heads *= 2;
  std::int64_t const blocks_of_heads = std::int64_t{table.shape.kv_heads} * ((heads + plan.heads - 1) / plan.heads);
  plan.num_rows = std::int64_t{view.num_query_tokens()} * num_query_heads;
  if (plan.num_rows == 0) return plan;
  std::int64_t parts = options.num_parts;
  if (parts == 0)
    parts = std::min<std::int64_t>(most_parts, choose_parts(table, view.num_query_tokens() * blocks_of_heads, options));
  plan.grid = dim3(static_cast<unsigned>(view.num_query_tokens()), static_cast<unsigned>(blocks_of_heads),
                   static_cast<unsigned>(parts));
  if (parts > 1)
    plan.workspace_bytes = parts * plan.num_rows * (table.shape.value_dim + 1) * std::int64_t{sizeof(float)};
  return plan;
}

template <class View, int Group, class T, class Out, int Heads = max_attend_heads<View, Group>()>
void launch_attend(View const& view, std::int32_t index, AttendPlan const& plan,
                   AttendArguments<T, Out> const& arguments, cudaStream_t stream) {
  if constexpr (Heads > 1)
    if (plan.heads < Heads) return launch_attend<View, Group, T, Out, Heads / 2>(view, index, plan, arguments, stream);
  launch(attend_kernel<View, Group, Heads, T, Out>, plan.grid, attend_threads, 0, stream, view, index, arguments);
}

/// Kernel. Merges the parts of an attention, but for padding queries. Grid and block as of merge_attention_kernel.
template <class View, class T, class Out>
__global__ void merge_parts_kernel(View view, AttendArguments<T, Out> arguments, std::int32_t num_parts,
                                   std::int32_t dim) {
  std::int64_t const num_rows = std::int64_t{view.num_query_tokens()} * arguments.num_query_heads;
  std::int64_t const end = std::int64_t{view.query_start(view.num_sequences())} * arguments.num_query_heads;
  merge_rows(MergeParts{arguments.parts_out, arguments.parts_lse, num_parts, num_rows, dim}, end, arguments.out,
             arguments.lse);
}

}  // namespace detail

/// What ops::attend needs as a workspace for any layer of the model: in bytes, 0 where nothing is split. Of use as long
/// as the sizes of the view's step, the options and the device stay. Throws as attend does, and CudaError.
template <class View>
[[nodiscard]] std::int64_t attend_workspace_bytes(DeviceView<View> const& view, std::int32_t num_query_heads,
                                                  AttendDeviceOptions const& options = {}) {
  std::int64_t bytes = 0;
  [&]<int... Group>(std::integer_sequence<int, Group...>) {
    ((bytes = std::max(bytes, detail::plan_attend<View, Group>(view, num_query_heads, options).workspace_bytes)), ...);
  }
  (std::make_integer_sequence<int, View::num_groups>{});
  return bytes;
}

/// ops::attend on the device: softmax attention of a step's query tokens over everything their sequences have stored in
/// one layer. Causal; windows, sinks, grouped heads and latent layers as on the host.
///
/// `q`: [view.num_query_tokens()][num_query_heads][key_dim] of T, `out`: [..][num_query_heads][value_dim] of Out, `lse`
/// (or null): [..][num_query_heads], natural logarithm. T and Out are float, Half or BFloat16. All pointers are device
/// memory, and q and out begin at multiples of 16 bytes. Rows of padding queries are not written. Any number of query
/// heads may share a kv head.
///
/// Where the step is too small to fill the GPU, each query's tokens are split into parts and merged by a second kernel:
/// `workspace`, aligned to 16 bytes and of attend_workspace_bytes, holds them in between. The number of parts depends
/// on the view's sizes and the options only, so a captured graph replays for sequences of other lengths; and the result
/// on the number of parts, in its last bits.
///
/// A NaN in a query, or in a key or value that it sees, makes that query head's result NaN, and no other's.
///
/// Asynchronous on `stream`. Throws Error, and launches nothing, for a layer or number of heads that does not fit, a
/// null q or out, pointers that are not aligned, or a workspace that is too small; CudaError when a launch fails.
template <class View, class T, class Out>
void attend(DeviceView<View> const& view, std::int32_t layer, T const* q, std::int32_t num_query_heads, Out* out,
            float* lse, AttendDeviceOptions const& options, void* workspace, std::int64_t workspace_bytes,
            cudaStream_t stream) {
  View const& plain = view;
  with_group(plain, layer, [&](auto group, std::int32_t index) {
    detail::AttendPlan const plan = detail::plan_attend<View, group()>(plain, num_query_heads, options);
    if (plan.num_rows == 0) return;
    detail::check_activations(q, out);
    if (workspace_bytes < plan.workspace_bytes || (workspace == nullptr && plan.workspace_bytes > 0))
      throw Error("folio: attention in " + std::to_string(plan.grid.z) + " parts needs a workspace of " +
                  std::to_string(plan.workspace_bytes) + " bytes, not " +
                  std::to_string(workspace == nullptr ? 0 : workspace_bytes) + "; ask attend_workspace_bytes");
    check_aligned(workspace, "the workspace of attention");
    GroupShape const& shape = plain.group(group()).shape;
    auto* const parts = static_cast<float*>(workspace);
    AttendArguments<T, Out> const arguments{
        q,
        num_query_heads,
        detail::checked_scale(shape, options.scale),
        options.sink_logits,
        out,
        lse,
        parts,
        parts == nullptr ? nullptr : parts + plan.num_rows * plan.grid.z * shape.value_dim};
    detail::launch_attend<View, group()>(plain, index, plan, arguments, stream);
    if (plan.grid.z > 1)
      launch(detail::merge_parts_kernel<View, T, Out>,
             detail::merge_grid(static_cast<std::int32_t>(plan.grid.z), plan.num_rows), detail::merge_threads, 0,
             stream, plain, arguments, static_cast<std::int32_t>(plan.grid.z), shape.value_dim);
  });
}

}  // namespace folio::ops
