// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every attention checks before it writes anything, on the host and before a launch: each check and its sentence
// once. Host only; includes neither CUDA nor the host's kernels.

#include <cmath>
#include <cstdint>
#include <folio/attention/params.hpp>
#include <folio/error.hpp>
#include <folio/model.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <string>

namespace folio::detail {

/// The most query tokens of a sequence in a step with a tree mask: bits of a word.
inline constexpr std::int32_t max_tree_tokens = 64;

/// Query heads of a kv head. Throws Error where they do not fit.
inline std::int32_t checked_query_heads(GroupShape const& shape, std::int32_t num_query_heads) {
  if (num_query_heads < 1 || num_query_heads % shape.kv_heads != 0)
    throw Error("folio: " + std::to_string(num_query_heads) + " query heads cannot share " +
                std::to_string(shape.kv_heads) + " kv heads; give a multiple");
  return num_query_heads / shape.kv_heads;
}

/// What scores are multiplied by: `scale`, or 1 / sqrt(key dim) where it is 0.
[[nodiscard]] inline float score_scale(GroupShape const& shape, float scale) {
  return scale != 0 ? scale : 1.0F / std::sqrt(static_cast<float>(shape.key_dim));
}

/// Throws Error for a soft-cap that bounds nothing.
inline void check_params(AttentionParams const& params) {
  float const cap = params.logit_soft_cap;
  if (is_nan(cap) || cap < 0 || (to_bits(cap) & 0x7FFFFFFFU) == 0x7F800000U)
    throw Error("folio: a logit soft-cap is positive and finite, or 0 for none; it is " + std::to_string(cap));
}

/// Throws Error for a step with a tree mask in which a sequence has `num_query_tokens`, if these are too many.
inline void check_tree_tokens(AttentionParams const& params, std::int32_t num_query_tokens) {
  if (params.tree_mask != nullptr && num_query_tokens > max_tree_tokens)
    throw Error("folio: a tree mask has a bit for each of at most " + std::to_string(max_tree_tokens) +
                " query tokens of a sequence, not for " + std::to_string(num_query_tokens) +
                "; give the tree in several steps");
}

/// Throws Error for masks that do not go with limits, whose queries need not be the last tokens of their sequences: a
/// tree mask, and none in a layer with a window, which has not kept all that comes after it.
inline void check_limits(AttentionParams const& params, GroupShape const& shape, bool has_limits) {
  if (params.tree_mask != nullptr && has_limits)
    throw Error(
        "folio: a tree mask says which of a sequence's last tokens see each other, so it does not go with a batch that "
        "has limits of its queries; give the draft tokens in a batch of their own");
  if (!params.causal && shape.window != 0 && has_limits)
    throw Error(
        "folio: without causality a query sees what comes after its window, which layers with a window may have given "
        "back; so it does not go with a batch that has limits of its queries; give last tokens in a batch of their "
        "own");
}

/// Throws Error where a layer has other query heads than the plan.
inline void check_planned_heads(std::int32_t planned_heads, std::int32_t num_query_heads) {
  if (num_query_heads != planned_heads)
    throw Error("folio: the attention was planned for " + std::to_string(planned_heads) + " query heads, not for " +
                std::to_string(num_query_heads));
}

/// Throws Error where a layer asks for a mask or a range of tokens that the host's plan was not made for.
inline void check_planned(AttentionParams const& planned, AttentionParams const& params) {
  if (params.causal != planned.causal || params.token_begin != planned.token_begin ||
      params.token_end != planned.token_end || params.tree_mask != planned.tree_mask)
    throw Error(
        "folio: layers of a planned step differ in scale, soft-cap, sink logits and slopes at most; plan again for "
        "another mask or range of tokens");
}

/// Throws Error unless a step of `num_query_tokens` has queries and a place for its results.
template <class T, class Out>
void check_operands(AttentionIo<T, Out> const& io, std::int64_t num_query_tokens) {
  if (num_query_tokens > 0 && (io.q == nullptr || io.out == nullptr))
    throw Error(std::string("folio: attention needs queries and a place for its results; ") +
                (io.q == nullptr ? "q" : "out") + " is null");
}

/// Throws Error where one of the step's own keys and values is given without the other. A latent layer's values are in
/// its keys.
template <class T, class Out>
void check_own_rows(AttentionIo<T, Out> const& io, GroupShape const& shape) {
  if (io.k == nullptr ? io.v != nullptr : io.v == nullptr && !shape.values_in_keys())
    throw Error(
        "folio: attention takes the keys and the values of the step's own tokens, or neither; in a latent layer the "
        "keys alone");
}

}  // namespace folio::detail
