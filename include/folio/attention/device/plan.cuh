// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Plans a step's attention on the device: what its layers share is decided once.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/device/attend_kernel.cuh>
#include <folio/attention/device/execution.cuh>
#include <folio/attention/params.hpp>
#include <folio/device_view.hpp>
#include <folio/error.hpp>
#include <span>
#include <string>
#include <utility>

namespace folio::ops {

namespace detail {

/// The most query heads of a kv head that a thread block takes: their queries and results fit in registers.
template <class View, int Group>
constexpr int max_attend_heads() {
  constexpr auto fits = [](int heads, int part) { return heads * part <= 160; };
  using Shape = AttendShape<View, Group, 1>;
  constexpr int part = Shape::key_part + Shape::value_part;
  return fits(8, part) ? 8 : fits(4, part) ? 4 : fits(2, part) ? 2 : 1;
}

/// Asked of CUDA once for each device.
inline int num_multiprocessors() {
  static std::atomic<int> known[64];
  int device = 0;
  check_cuda(cudaGetDevice(&device), "asking for the current device");
  std::atomic<int>* const of_device = device < 64 ? &known[device] : nullptr;
  int count = of_device != nullptr ? of_device->load(std::memory_order_relaxed) : 0;
  if (count != 0) return count;
  check_cuda(cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device), "counting multiprocessors");
  if (of_device != nullptr) of_device->store(count, std::memory_order_relaxed);
  return count;
}

/// As many parts as bring 8 thread blocks, two waves of them, to every multiprocessor, of at least 128 tokens each.
inline std::int64_t choose_parts(GroupTable const& table, std::int64_t num_blocks, AttentionParams const& params,
                                 std::int32_t max_tokens) {
  constexpr std::int64_t blocks_each = 8, least_tokens = 128;
  std::int64_t tokens = std::int64_t{table.width} * table.shape.block_size;
  if (max_tokens > 0) tokens = std::min<std::int64_t>(tokens, max_tokens);
  if (table.shape.window > 0)
    tokens = std::min<std::int64_t>(tokens, std::int64_t{table.shape.window} + table.shape.sinks);
  tokens = std::min<std::int64_t>(tokens, std::int64_t{params.token_end} - std::max(params.token_begin, 0));
  std::int64_t const most = std::max<std::int64_t>(1, tokens / least_tokens);
  if (most == 1) return 1;
  return std::clamp<std::int64_t>((num_multiprocessors() * blocks_each + num_blocks - 1) / num_blocks, 1, most);
}

/// The workspace of so many parts: their results and log-sum-exps, in floats.
[[nodiscard]] constexpr std::int64_t parts_bytes(std::int64_t num_parts, std::int64_t num_rows, std::int32_t dim) {
  return num_parts * num_rows * (dim + 1) * std::int64_t{sizeof(float)};
}

/// How the decode kernel is launched for the layers of one group. Depends on sizes that the host knows and a captured
/// graph keeps, not on lengths.
struct DecodePartition {
  int heads = 1;                     ///< of a thread block
  dim3 grid;                         ///< its z: parts
  std::int64_t num_rows = 0;         ///< of the result
  std::int64_t workspace_bytes = 0;  ///< 0: one part
};

template <class View, int Group>
DecodePartition partition_decode(View const& view, std::int32_t num_query_heads, AttentionParams const& params,
                                 DeviceExecution const& execution) {
  GroupTable const& table = view.group(Group);
  std::int32_t const heads = folio::detail::checked_query_heads(table.shape, num_query_heads);
  constexpr std::int32_t most_parts = 65535;  // of a grid's third dimension
  if (execution.num_parts < 0 || execution.num_parts > most_parts)
    throw Error("folio: attention is split into 1 to " + std::to_string(most_parts) +
                " parts, or 0 to let it choose, not " + std::to_string(execution.num_parts));
  DecodePartition decode;
  if (table.shape.layers == 0) return decode;
  while (decode.heads < heads && decode.heads < max_attend_heads<View, Group>()) decode.heads *= 2;
  std::int64_t const blocks_of_heads = std::int64_t{table.shape.kv_heads} * ((heads + decode.heads - 1) / decode.heads);
  decode.num_rows = std::int64_t{view.num_query_tokens()} * num_query_heads;
  if (decode.num_rows == 0) return decode;
  std::int64_t parts = execution.num_parts;
  if (parts == 0)
    parts = std::min<std::int64_t>(
        most_parts, choose_parts(table, view.num_query_tokens() * blocks_of_heads, params, execution.max_tokens));
  decode.grid = dim3(static_cast<unsigned>(view.num_query_tokens()), static_cast<unsigned>(blocks_of_heads),
                     static_cast<unsigned>(parts));
  std::int64_t const all_parts = parts + (execution.own_tokens ? 1 : 0);
  if (all_parts > 1) decode.workspace_bytes = parts_bytes(all_parts, decode.num_rows, table.shape.value_dim);
  return decode;
}

/// Whether prefill's kernel is the faster one: with more than 8 query tokens a sequence, as the host knows the step.
/// The decode kernel reads a context once for each query token, prefill's once for a tile of them, but slower and
/// unsplit.
template <class View>
[[nodiscard]] bool is_prefill(View const& view) {
  return view.num_query_tokens() > std::int64_t{8} * view.num_sequences();
}

/// How a plan splits the layers of each group. That of a view of both formats: precision/mixed_ops.cuh.
template <class View>
struct PlanSplit {
  using Partition = DecodePartition;

  static void check(View const& view, AttentionParams const& params) {
    for (int g = 0; g < View::num_groups; ++g)
      folio::detail::check_limits(params, view.group(g).shape, view.group(g).limits != nullptr);
  }
  template <int Group>
  [[nodiscard]] static Partition partition(View const& view, std::int32_t num_query_heads,
                                           AttentionParams const& params, DeviceExecution const& execution) {
    return partition_decode<View, Group>(view, num_query_heads, params, execution);
  }
};

}  // namespace detail

/// Attention plan of a step, on the device: which kernels run, how contexts are split, and how much workspace that
/// takes, for every layer of a model. Made by ops::plan_attention, run by ops::attend.
///
/// It holds the view, and is of use as long as the sizes of the view's step and the device stay: of a DeviceBatch, for
/// all its steps, and in a captured graph. Lengths may change: nothing depends on them. A value; host only.
template <class View>
class DeviceAttentionPlan {
  using Split = detail::PlanSplit<View>;
  using Partition = typename Split::Partition;

 public:
  /// What ops::plan_attention does.
  DeviceAttentionPlan(DeviceView<View> const& view, std::int32_t num_query_heads, AttentionParams const& params,
                      DeviceExecution const& execution)
      : view_(view), num_query_heads_(num_query_heads), params_(params), execution_(execution) {
    folio::detail::check_params(params);
    Split::check(view, params);
    [&]<int... Group>(std::integer_sequence<int, Group...>) {
      ((partitions_[Group] = Split::template partition<Group>(view, num_query_heads, params, execution)), ...);
    }
    (std::make_integer_sequence<int, View::num_groups>{});
  }

  /// What a run needs as a workspace in any layer: in bytes, 0 where one format's contexts are not split and no own
  /// tokens are to come (DeviceExecution::own_tokens).
  [[nodiscard]] std::int64_t workspace_bytes() const noexcept {
    std::int64_t bytes = 0;
    for (Partition const& one : partitions_) bytes = std::max(bytes, one.workspace_bytes);
    return bytes;
  }
  /// Gives it one after it has said how much.
  void set_workspace(std::span<std::byte> workspace) noexcept { execution_.workspace = workspace; }
  void set_stream(cudaStream_t stream) noexcept { execution_.stream = stream; }

  [[nodiscard]] DeviceView<View> const& view() const noexcept { return view_; }
  [[nodiscard]] std::int32_t num_query_heads() const noexcept { return num_query_heads_; }
  [[nodiscard]] AttentionParams const& params() const noexcept { return params_; }
  [[nodiscard]] DeviceExecution const& execution() const noexcept { return execution_; }
  /// The split of a group of layers.
  [[nodiscard]] Partition const& partition(int group) const { return partitions_[group]; }

 private:
  DeviceView<View> view_;
  std::int32_t num_query_heads_;
  AttentionParams params_;
  DeviceExecution execution_;
  Partition partitions_[std::size_t{View::num_groups}];
};

/// Plans a step's attention on the device: see DeviceAttentionPlan. Costs a few divisions for each group of layers.
/// Throws Error for a number of heads that does not fit every layer, CudaError.
///
/// Of `params` only the token range matters here, for how finely contexts are split. A run may have any others, another
/// mask too: kernels find out by themselves what is visible. A plan on the host is bound to its mask and token range.
template <class View>
[[nodiscard]] DeviceAttentionPlan<View> plan_attention(DeviceView<View> const& view, std::int32_t num_query_heads,
                                                       AttentionParams const& params = {},
                                                       DeviceExecution const& execution = {}) {
  return DeviceAttentionPlan<View>(view, num_query_heads, params, execution);
}

}  // namespace folio::ops
