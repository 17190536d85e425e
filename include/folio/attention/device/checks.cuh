// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the launchers of attention kernels check: that of every attention (attention/checks.hpp), and what 16-byte
// accesses need.

#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/params.hpp>
#include <folio/kernels/launch.cuh>
#include <folio/model.hpp>
#include <folio/view.hpp>

namespace folio::ops::detail {

[[nodiscard]] inline bool modifies_scores(AttentionParams const& params) {
  return params.logit_soft_cap != 0 || params.alibi_slopes != nullptr || params.tree_mask != nullptr;
}

/// The arguments of a layer's kernel. Throws Error for what does not fit.
template <class T, class Out>
[[nodiscard]] AttendArguments<T, Out> checked_arguments(GroupTable const& table, AttentionIo<T, Out> io,
                                                        AttentionParams params) {
  GroupShape const& shape = table.shape;
  folio::detail::checked_query_heads(shape, io.num_query_heads);
  folio::detail::check_params(params);
  folio::detail::check_limits(params, shape, table.limits != nullptr);
  folio::detail::check_operands(io, 1);
  folio::detail::check_own_rows(io, shape);
  check_aligned(io.q, "q");
  check_aligned(io.out, "out");
  check_aligned(io.k, "k");
  check_aligned(io.v, "v");
  io.q_stride = checked_device_stride<T>(io.q_stride, std::int64_t{io.num_query_heads} * shape.key_dim, "q");
  io.out_stride = checked_device_stride<Out>(io.out_stride, std::int64_t{io.num_query_heads} * shape.value_dim, "out");
  io.k_stride = checked_device_stride<T>(io.k_stride, std::int64_t{shape.kv_heads} * shape.key_dim, "k");
  io.v_stride = checked_device_stride<T>(io.v_stride, std::int64_t{shape.kv_heads} * shape.value_dim, "v");
  params.scale = folio::detail::score_scale(shape, params.scale);
  return {io, params, modifies_scores(params)};
}

}  // namespace folio::ops::detail
