// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the kernels of decode and prefill are given, and which heads their thread blocks have. Device code.

#include <cstdint>
#include <folio/attention/params.hpp>

namespace folio::ops {

/// Arguments of an attention kernel: what it reads and writes beside the cache, in device memory.
template <class T, class Out>
struct AttendArguments {
  AttentionIo<T, Out> io;        ///< strides are not 0
  AttentionParams params;        ///< nor is the scale
  bool modifies_scores = false;  ///< a soft-cap, ALiBi or a tree mask: steps aside from the loop that others run in
  float* parts_out = nullptr;    ///< [parts][query tokens][num_query_heads][value_dim]; null: the result is one part
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

}  // namespace detail

}  // namespace folio::ops
