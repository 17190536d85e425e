// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which tokens a query sees, and what becomes of its scores: attention's masks and score modifications. Device code,
// for the kernels of decode and of prefill.

#include <cstdint>
#include <folio/attention/params.hpp>
#include <folio/model.hpp>

namespace folio::ops::detail {

inline constexpr float log2_of_e = 1.44269504F, ln_of_2 = 0.693147181F;

[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t smaller(std::int32_t a, std::int32_t b) { return a < b ? a : b; }
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t larger(std::int32_t a, std::int32_t b) { return a > b ? a : b; }

/// Tokens [begin, end) of a sequence; none where end <= begin.
struct TokenRange {
  std::int32_t begin = 0, end = 0;
};

/// Where the tokens end that a query at `position` sees: after itself, or after the last one of `num_tokens`. A tree
/// mask hides some of them.
[[nodiscard]] __device__ inline std::int32_t visible_end(AttentionParams const& params, std::int32_t position,
                                                         std::int32_t num_tokens) {
  return params.causal && params.tree_mask == nullptr ? position + 1 : num_tokens;
}

/// Those of `tokens` that the queries from `position` on see, of which the last sees tokens before `end`: those of the
/// windows, and the sinks before them.
struct VisibleTokens {
  TokenRange sinks, window;

  __device__ VisibleTokens(GroupShape const& shape, TokenRange const& tokens, std::int32_t position, std::int32_t end) {
    end = smaller(end, tokens.end);
    window = {larger(shape.window_begin(position), tokens.begin), end};
    if (shape.sinks > 0) sinks = {tokens.begin, smaller(smaller(shape.sinks, shape.window_begin(position)), end)};
  }
};

/// Score modification of one query head: soft-cap, then ALiBi. Scores are in powers of 2.
struct ScoreModification {
  float soft_cap, slope;  ///< times log2(e)

  __device__ ScoreModification(AttentionParams const& params, std::int32_t query_head)
      : soft_cap(params.logit_soft_cap * log2_of_e),
        slope(params.alibi_slopes == nullptr ? 0.0F : params.alibi_slopes[query_head] * log2_of_e) {}

  /// `distance`: from the query to the token, negative before it.
  [[nodiscard]] __device__ float operator()(float score, std::int32_t distance) const {
    if (soft_cap != 0) score = soft_cap * tanhf(__fdividef(score, soft_cap));
    return score + slope * static_cast<float>(distance);
  }
};

/// What a tree mask lets one query see.
struct TreeMask {
  std::uint64_t word;
  std::int32_t first_query;  ///< the position of the sequence's first query token; where there is no mask, after all

  TreeMask() = default;  // shared memory has no initial values
  /// `query`: of the step.
  __device__ TreeMask(AttentionParams const& params, std::int32_t query, std::int32_t first_query_position) {
    bool const has_mask = params.tree_mask != nullptr;
    word = has_mask ? params.tree_mask[query] : 0;
    first_query = has_mask ? first_query_position : INT32_MAX;
  }

  /// Bit i: whether token `first` + i is seen.
  [[nodiscard]] __device__ unsigned seen_from(std::int32_t first) const {
    std::int32_t const draft = first - first_query;
    if (draft <= -32) return ~0U;
    if (draft < 0) return static_cast<unsigned>(word << -draft) | ((1U << -draft) - 1U);
    return draft < 64 ? static_cast<unsigned>(word >> draft) : 0U;
  }
  [[nodiscard]] __device__ bool hides(std::int32_t token) const { return (seen_from(token) & 1U) == 0; }
};

}  // namespace folio::ops::detail
