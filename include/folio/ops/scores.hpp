// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which tokens does attention look at? Sums of attention weights: what retention policies such as H2O and SnapKV choose
// by. Host only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/block.hpp>
#include <folio/device_view.hpp>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/with_group.hpp>
#include <folio/model.hpp>
#include <folio/quantizer/float_formats.hpp>
#include <limits>
#include <string>
#include <vector>

namespace folio::ops {

/// How scores are kept. The same for the host and the device.
struct ScoreOptions {
  std::int32_t max_tokens = 0;  ///< floats from one row of scores to the next: at least the longest sequence
  bool per_head = true;         ///< one row for each kv head; false: one for each sequence, the sum of all its kv heads
  float scale = 0;              ///< what attend took; 0: 1 / sqrt(key dim), which a latent layer must not rely on
  float decay = 1;              ///< old scores are multiplied by it first; 0: they are not read, and start anew
};

namespace detail {

inline float dot(float const* a, float const* b, std::int32_t n) {
  float lanes[8] = {};  // a fixed order of additions, which vectorizes: n is a multiple of 8
  for (std::int32_t i = 0; i < n; i += 8)
    for (int j = 0; j < 8; ++j) lanes[j] += a[i + j] * b[i + j];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// Query heads of a kv head; what is wrong with them or with the rows of scores is thrown as Error.
inline std::int32_t checked_score_heads(GroupShape const& shape, std::int32_t num_query_heads,
                                        ScoreOptions const& options) {
  std::int32_t const heads = folio::detail::checked_query_heads(shape, num_query_heads);
  if (options.max_tokens < 1)
    throw Error("folio: ScoreOptions::max_tokens is " + std::to_string(options.max_tokens) +
                "; give the floats from one row of scores to the next");
  return heads;
}

/// Throws Error unless a step has the queries and lse of its query tokens, and a place for its sequences' scores.
inline void check_scored(void const* q, float const* lse, float const* scores, std::int64_t num_query_tokens,
                         std::int32_t num_sequences) {
  char const* const missing = num_query_tokens > 0 && q == nullptr     ? "q"
                              : num_query_tokens > 0 && lse == nullptr ? "lse"
                              : num_sequences > 0 && scores == nullptr ? "scores"
                                                                       : nullptr;
  if (missing != nullptr)
    throw Error(std::string("folio: accumulate_scores needs queries, their lse and a place for the scores; ") +
                missing + " is null");
}

/// The query tokens of one sequence: scaled rows in the basis of the stored keys, and their log-sum-exps.
struct ScoreQueries {
  float const* rows;  ///< [num_query_tokens][num_query_heads][key_dim]
  float const* lse;   ///< [num_query_tokens][num_query_heads]
  std::int32_t num_query_heads;
};

/// The first query of a sequence that sees at least `limit` tokens; their number where there is none.
template <class Sequence>
[[nodiscard]] FOLIO_HOST_DEVICE constexpr std::int32_t first_with_limit(Sequence const& sequence, std::int64_t limit) {
  std::int32_t begin = 0, end = sequence.num_query_tokens();
  while (begin < end) {
    std::int32_t const middle = begin + (end - begin) / 2;
    if (sequence.limit(middle) < limit)
      begin = middle + 1;
    else
      end = middle;
  }
  return begin;
}

/// Adds to sums[t - first] the weights of tokens [first, end) in one kv head. `keys` has room for their rows.
template <class Sequence>
void add_weights(Sequence const& sequence, std::int32_t kv_head, ScoreQueries const& queries, std::int32_t first,
                 std::int32_t end, float* keys, float* sums) {
  GroupShape const shape = sequence.shape();
  std::int32_t const heads = queries.num_query_heads / shape.kv_heads;
  auto const key = [&](std::int32_t token) { return keys + std::int64_t{token - first} * shape.key_dim; };
  std::int32_t const furthest = shape.window_begin(sequence.first_query());  // what lies before may be given back
  for (std::int32_t t = first; t < end; ++t)
    if (t >= furthest || t < shape.sinks) load_row(sequence.key(kv_head, t), shape.key_dim, key(t));
  for (std::int32_t i = first_with_limit(sequence, first + 1); i < sequence.num_query_tokens(); ++i) {
    std::int32_t const window = shape.window_begin(sequence.limit(i) - 1), last = std::min(end, sequence.limit(i));
    for (std::int32_t head = 0; head < heads; ++head) {
      std::int64_t const row = std::int64_t{i} * queries.num_query_heads + kv_head * heads + head;
      if (is_negative_infinity(queries.lse[row]) || is_nan(queries.lse[row]))
        continue;  // it saw nothing, or is no number
      auto const add = [&](std::int32_t t) {
        sums[t - first] += std::exp(dot(queries.rows + row * shape.key_dim, key(t), shape.key_dim) - queries.lse[row]);
      };
      for (std::int32_t t = first; t < std::min({shape.sinks, window, last}); ++t) add(t);
      for (std::int32_t t = std::max(first, window); t < last; ++t) add(t);
    }
  }
}

/// The queries of a step, scaled and rotated to the basis of the stored keys: once, not for every key.
template <class Layer>
std::vector<float> rotated_queries(GroupShape const& shape, float const* q, std::int64_t num_rows, float scale,
                                   Executor threads) {
  std::vector<float> rows(static_cast<std::size_t>(num_rows * shape.key_dim));
  parallel_for(threads, num_rows, [&](std::int64_t row) {
    float* const to = rows.data() + row * shape.key_dim;
    for (std::int32_t d = 0; d < shape.key_dim; ++d) to[d] = q[row * shape.key_dim + d] * scale;
    change_basis(Layer::KeyQuantizer::basis, to, shape.key_dim, shape.key_dim);
  });
  return rows;
}

}  // namespace detail

/// Accumulated attention scores (H2O): adds to each token's score the attention weights that this step's query tokens
/// give it in one layer: exp(scale * q.k - lse), summed over the query tokens that see the token and over the query
/// heads of its kv head. For a causal attention, of limits too, without soft-cap, ALiBi, tree mask or token range, and
/// query rows that touch.
///
/// `q`: [view.num_query_tokens()][num_query_heads][key_dim] and `lse`: [..][num_query_heads] as attend took and gave
/// them. `scores`: [view.num_sequences()][kv_heads, or 1][max_tokens]; the caller sets a new sequence's row to 0, or
/// takes decay = 0. Each call decays the scores of all tokens of every sequence of the view: call once per step.
/// Keys are read from the cache: call after append, with the lse of attention that read everything from there and had
/// no own tokens given. A query's weights sum to 1 in each head, less what sink logits took; one whose lse is -infinity
/// or NaN gives none. Tokens that no query sees keep their decayed score, also those that left a window. Of a cache
/// that demotes give MixedPrecisionView::recent, and lse over both formats; from what is demoted no token is taken out.
/// H2O (arXiv:2306.14048) calls it at every step; SnapKV (arXiv:2404.14469) once after the prompt, with its last tokens
/// as the batch's query tokens and decay = 0; models that choose one list for all layers add up several layers in one
/// array. Throws Error, before anything is written, for a layer, a head count or rows that do not fit, or a null
/// pointer. Reads each key once for all query tokens; a copy of q on the way. Shared over `threads`, on which the
/// result does not depend.
template <class View>
void accumulate_scores(View const& view, std::int32_t layer, float const* q, std::int32_t num_query_heads,
                       float const* lse, float* scores, ScoreOptions const& options,
                       Executor threads = {}) requires(!is_device_view<View>) {
  constexpr std::int32_t tokens_per_task = 32;
  with_group(view, layer, [&](auto group, std::int32_t index) {
    GroupShape const shape = LayerView<View, group()>(view.group(group()), index).shape();
    detail::checked_score_heads(shape, num_query_heads, options);
    detail::check_scored(q, lse, scores, view.num_query_tokens(), view.num_sequences());
    std::int32_t longest = 0;
    for (std::int32_t i = 0; i < view.num_sequences(); ++i)
      longest = std::max(longest, view.template sequence_in<group()>(i, index).num_tokens());
    if (longest > options.max_tokens)
      throw Error("folio: a sequence of " + std::to_string(longest) + " tokens does not fit into rows of " +
                  std::to_string(options.max_tokens) + " scores");
    std::vector<float> const rows = detail::rotated_queries<LayerView<View, group()>>(
        shape, q, std::int64_t{view.query_start(view.num_sequences())} * num_query_heads,
        folio::detail::score_scale(shape, options.scale), threads);
    std::int64_t const tasks = blocks_for(longest, tokens_per_task);
    std::int32_t const score_heads = options.per_head ? shape.kv_heads : 1;
    parallel_for(threads, tasks * view.num_sequences() * score_heads, [&](std::int64_t task) {
      std::int64_t const row = task / tasks;
      auto const i = static_cast<std::int32_t>(row / score_heads), head = static_cast<std::int32_t>(row % score_heads);
      auto const sequence = view.template sequence_in<group()>(i, index);
      auto const first = static_cast<std::int32_t>(task % tasks) * tokens_per_task;
      if (first >= sequence.num_tokens()) return;
      std::int32_t const end = first + std::min(tokens_per_task, sequence.num_tokens() - first);
      std::vector<float> keys(static_cast<std::size_t>((end - first) * shape.key_dim));
      float sums[tokens_per_task] = {};
      std::int64_t const query = std::int64_t{view.query_start(i)} * num_query_heads;
      detail::ScoreQueries const queries{rows.data() + query * shape.key_dim, lse + query, num_query_heads};
      for (std::int32_t h = head; h < (options.per_head ? head + 1 : shape.kv_heads); ++h)
        detail::add_weights(sequence, h, queries, first, end, keys.data(), sums);
      float* const to = scores + row * options.max_tokens;
      for (std::int32_t t = first; t < end; ++t)
        to[t] = (options.decay == 0 ? 0.0F : options.decay * to[t]) + sums[t - first];
    });
  });
}

}  // namespace folio::ops
