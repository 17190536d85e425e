// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What attention kernels are given, and what their launchers check. For attend.cuh and prefill.cuh.

#include <cmath>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <folio/ops/launch.cuh>
#include <string>

namespace folio::ops {

/// What an attention reads and writes beside the cache: device pointers.
template <class T, class Out>
struct AttendArguments {
  T const* q = nullptr;  ///< [query tokens][num_query_heads][key_dim]
  std::int32_t num_query_heads = 0;
  float scale = 1;                     ///< of the scores
  float const* sink_logits = nullptr;  ///< [num_query_heads] scores without a value, or null
  Out* out = nullptr;                  ///< [query tokens][num_query_heads][value_dim]
  float* lse = nullptr;                ///< [query tokens][num_query_heads], natural logarithm, or null
  float* parts_out = nullptr;  ///< [parts][query tokens][num_query_heads][value_dim], where a grid has several parts
  float* parts_lse = nullptr;  ///< [parts][query tokens][num_query_heads]
};

namespace detail {

inline constexpr unsigned whole_warp = 0xFFFFFFFFU;
inline constexpr float log2_of_e = 1.44269504F, ln_of_2 = 0.693147181F;

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

/// The query heads of one kv head, or Error where they do not fit.
inline std::int32_t checked_query_heads(GroupShape const& shape, std::int32_t num_query_heads) {
  if (num_query_heads < 1 || num_query_heads % shape.kv_heads != 0)
    throw Error("folio: " + std::to_string(num_query_heads) + " query heads cannot share " +
                std::to_string(shape.kv_heads) + " kv heads; give a multiple");
  return num_query_heads / shape.kv_heads;
}

inline float checked_scale(GroupShape const& shape, float scale) {
  return scale != 0 ? scale : 1.0F / std::sqrt(static_cast<float>(shape.key_dim));
}

inline void check_activations(void const* q, void const* out) {
  if (q == nullptr || out == nullptr)
    throw Error(std::string("folio: attention on the device needs queries and a place for its results; ") +
                (q == nullptr ? "q" : "out") + " is null");
  check_aligned(q, "q");
  check_aligned(out, "out");
}

}  // namespace detail

}  // namespace folio::ops
