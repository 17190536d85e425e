// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What attention kernels are given, and what their launchers check. For decode.cuh and prefill.cuh.

#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/params.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <folio/ops/launch.cuh>
#include <string>

namespace folio::ops {

/// Arguments of an attention kernel: what it reads and writes beside the cache, in device memory.
template <class T, class Out>
struct AttendArguments {
  AttentionIo<T, Out> io;        ///< strides are not 0
  AttentionParams params;        ///< nor is the scale
  bool modifies_scores = false;  ///< a soft-cap, ALiBi or a tree mask: steps aside from the loop that others run in
  float* parts_out = nullptr;    ///< [parts][query tokens][num_query_heads][value_dim], where a grid has several parts
  float* parts_lse = nullptr;    ///< [parts][query tokens][num_query_heads]
};

namespace detail {

inline constexpr unsigned whole_warp = 0xFFFFFFFFU;

/// Which query heads a thread block works for.
struct HeadRange {
  std::int32_t kv_head, first, count;

  __device__ HeadRange(std::int32_t num_query_heads, std::int32_t kv_heads, std::int32_t heads_per_block) {
    std::int32_t const heads = num_query_heads / kv_heads;
    std::int32_t const blocks = (heads + heads_per_block - 1) / heads_per_block;
    kv_head = static_cast<std::int32_t>(blockIdx.y) / blocks;
    std::int32_t const in_group = static_cast<std::int32_t>(blockIdx.y) % blocks * heads_per_block;
    first = kv_head * heads + in_group;
    count = heads - in_group < heads_per_block ? heads - in_group : heads_per_block;
  }
};

/// The arguments of a layer's kernel. Throws Error for what does not fit.
template <class T, class Out>
[[nodiscard]] AttendArguments<T, Out> checked_arguments(GroupShape const& shape, AttentionIo<T, Out> io,
                                                        AttentionParams params) {
  folio::detail::checked_query_heads(shape, io.num_query_heads);
  folio::detail::check_params(params);
  folio::detail::check_operands(io, 1);
  check_aligned(io.q, "q");
  check_aligned(io.out, "out");
  io.q_stride = checked_device_stride<T>(io.q_stride, std::int64_t{io.num_query_heads} * shape.key_dim, "q");
  io.out_stride = checked_device_stride<Out>(io.out_stride, std::int64_t{io.num_query_heads} * shape.value_dim, "out");
  params.scale = folio::detail::score_scale(shape, params.scale);
  return {io, params, params.logit_soft_cap != 0 || params.alibi_slopes != nullptr || params.tree_mask != nullptr};
}

}  // namespace detail

}  // namespace folio::ops
