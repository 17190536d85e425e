// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What an attention computes and where its operands are: the same words on the host and on the device.

#include <cstdint>
#include <limits>

namespace folio {

/// Attention parameters: what is computed. The pointers are read where the attention runs, on the host or on the
/// device.
///
/// The score of a query with a token is scale * (q . k), soft-capped, then biased by ALiBi. A query sees a token when
/// each of these does not hide it:
/// - the layer's window and its sinks, which come from the model;
/// - the causal mask, which ends at the query's limit (SequenceView::limit), or the tree mask where there is one;
/// - [token_begin, token_end).
struct AttentionParams {
  float scale = 0;  ///< softmax scale; 0: 1 / sqrt(key dim), which a latent layer must not rely on
  /// false: a query sees what is after its limit, too, all of it where the limit is 0; a window still counts back from
  /// the limit. Not in a layer with a window for a step with limits, else Error: what comes after a window may have
  /// been given back.
  bool causal = true;
  /// Scores become cap * tanh(score / cap), as in Gemma 2. Positive and finite, else Error; 0: they stay as they are.
  float logit_soft_cap = 0;
  /// Token range: a part of what is stored, to be merged by merge_attention. Numbers among the tokens that the layer's
  /// group stores.
  std::int32_t token_begin = 0;
  std::int32_t token_end = std::numeric_limits<std::int32_t>::max();
  /// Attention sinks, [num_query_heads]: a score that takes part in the softmax without a value. It is neither scaled
  /// nor soft-capped, and lse counts it. So give it to one only of the parts that merge_attention merges.
  float const* sink_logits = nullptr;
  /// ALiBi, [num_query_heads]: a score gains slope * (token - query), both counted among those that the group stores; a
  /// query is number limit - 1.
  float const* alibi_slopes = nullptr;
  /// Tree mask of draft tokens, [num_query_tokens of the step]: bit i of a query's word says that it sees the ith query
  /// token of its sequence; tokens before the step's are seen. It takes the causal mask's place. At most 64 query
  /// tokens a sequence. Not for a step with limits, else Error: its queries need not be the last tokens.
  std::uint64_t const* tree_mask = nullptr;
};

/// Attention's operands: where a step's queries and results are. A stride is the distance between two tokens' rows, in
/// elements; 0: they lie next to each other. So the queries of a fused QKV projection are read where they are.
template <class T, class Out = T>
struct AttentionIo {
  T const* q = nullptr;              ///< [num_query_tokens][num_query_heads][key_dim]
  std::int32_t num_query_heads = 0;  ///< a multiple of the layer's kv heads
  Out* out = nullptr;                ///< [num_query_tokens][num_query_heads][value_dim]
  /// Log-sum-exp: null, or [num_query_tokens][num_query_heads] natural logarithms of the softmax's sum of exponentials,
  /// that of a sink logit included.
  float* lse = nullptr;
  std::int64_t q_stride = 0, out_stride = 0;
  /// The step's own tokens: their keys and values as they were computed, in the model's basis, which ops::append stores
  /// in the cache's format. Where they are given, attention reads these and of the cache only the tokens before them,
  /// so that a prompt's chunk loses nothing to the format, and append may come before or after. They are those of a
  /// sequence whose queries are its last tokens; one with others, by position or limit, is read from the cache alone.
  /// Null: all is read from the cache. Rows of padding are not read. By name, which needs the type of q:
  /// `AttentionIo<float>{.q = q, .num_query_heads = 32, .out = out, .k = keys, .v = values}`.
  T const* k = nullptr;  ///< [num_query_tokens][kv_heads][key_dim]
  T const* v = nullptr;  ///< [num_query_tokens][kv_heads][value_dim]; null in a latent layer, where k has them
  std::int64_t k_stride = 0, v_stride = 0;
};
/// So `AttentionIo{q, num_query_heads, out, lse}` has its types from the pointers, whatever the compiler's age.
template <class T, class Out>
AttentionIo(T const*, std::int32_t, Out*, float* = nullptr, std::int64_t = 0, std::int64_t = 0, T const* = nullptr,
            T const* = nullptr, std::int64_t = 0, std::int64_t = 0) -> AttentionIo<T, Out>;

}  // namespace folio
