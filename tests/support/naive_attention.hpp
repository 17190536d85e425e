// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention as its formula is written, in double precision, over what ops::gather gives back.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/ops/attend.hpp>
#include <folio/ops/gather.hpp>
#include <limits>
#include <string>
#include <vector>

#include "support/attend_precision.hpp"

namespace folio::test {

struct NaiveAttention {
  std::vector<double> out, lse;
  double largest_value = 0, largest_score = 0;  ///< to measure errors by
  double unit = 4e-6;                           ///< of errors, for a score of 1
};

/// Whether the query at `position` takes `token` into its softmax.
inline bool takes_part(GroupShape const& shape, ops::AttendOptions const& options, std::int32_t position,
                       std::int32_t token) {
  if (token < options.token_begin || token >= options.token_end) return false;
  if (options.causal) return shape.visible(position, token);
  return token >= shape.window_begin(position) || token < shape.sinks;
}

/// One query head: softmax over the scores of `tokens`, which are rows of `keys` and `values`.
inline void attend_naively(NaiveAttention& result, std::vector<std::int32_t> const& tokens, float const* q,
                           std::vector<float> const& keys, std::vector<float> const& values, std::int32_t stride,
                           std::int32_t head, GroupShape const& shape, double scale, double const* sink) {
  std::vector<double> scores;
  for (std::int32_t const t : tokens) {
    double score = 0;
    for (std::int32_t d = 0; d < shape.key_dim; ++d)
      score += double{q[d]} * double{keys[static_cast<std::size_t>((t * stride + head) * shape.key_dim + d)]};
    scores.push_back(score * scale);
    result.largest_score = std::max(result.largest_score, std::fabs(scores.back()));
  }
  double max = sink != nullptr ? *sink : -std::numeric_limits<double>::infinity();
  for (double const s : scores) max = std::max(max, s);
  double sum = sink != nullptr && max > -std::numeric_limits<double>::infinity() ? std::exp(*sink - max) : 0;
  std::vector<double> out(static_cast<std::size_t>(shape.value_dim), 0.0);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    double const weight = std::exp(scores[i] - max);
    sum += weight;
    for (std::size_t d = 0; d < out.size(); ++d) {
      double const value = values[static_cast<std::size_t>((tokens[i] * stride + head) * shape.value_dim) + d];
      out[d] += weight * value;
      result.largest_value = std::max(result.largest_value, std::fabs(value));
    }
  }
  for (double const x : out) result.out.push_back(sum != 0 ? x / sum : 0.0);
  result.lse.push_back(sum != 0 ? max + std::log(sum) : -std::numeric_limits<double>::infinity());
}

/// What ops::attend should give for these arguments.
template <class View>
NaiveAttention naive_attention(View const& view, std::int32_t layer, float const* q, std::int32_t num_query_heads,
                               ops::AttendOptions const& options = {}) {
  GroupShape const shape = view.group(view.place(layer).group).shape;
  double const scale = options.scale != 0 ? options.scale : 1.0 / std::sqrt(double(shape.key_dim));
  NaiveAttention result;
  if (attends_in_integers<View>()) result.unit = 2e-5;
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
    std::int32_t const queries = view.query_start(i + 1) - view.query_start(i);
    std::int32_t const length = view.template sequence_in<0>(i, 0).num_tokens();
    std::vector<float> keys(static_cast<std::size_t>(length * shape.kv_heads * shape.key_dim));
    std::vector<float> values(static_cast<std::size_t>(length * shape.kv_heads * shape.value_dim));
    for (std::int32_t t = 0; t < length; ++t) {
      if (t < shape.window_begin(length - queries) && t >= shape.sinks) continue;  // nobody sees it
      ops::gather(view, i, layer, t, 1, keys.data() + t * shape.kv_heads * shape.key_dim,
                  values.data() + t * shape.kv_heads * shape.value_dim);
    }
    for (std::int32_t query = 0; query < queries; ++query) {
      std::vector<std::int32_t> tokens;
      for (std::int32_t t = 0; t < length; ++t)
        if (takes_part(shape, options, length - queries + query, t)) tokens.push_back(t);
      for (std::int32_t h = 0; h < num_query_heads; ++h) {
        std::int64_t const row = std::int64_t{view.query_start(i) + query} * num_query_heads + h;
        double const sink = options.sink_logits != nullptr ? double{options.sink_logits[h]} : 0.0;
        attend_naively(result, tokens, q + row * shape.key_dim, keys, values, shape.kv_heads,
                       h / (num_query_heads / shape.kv_heads), shape, scale,
                       options.sink_logits != nullptr ? &sink : nullptr);
      }
    }
  }
  return result;
}

/// What is further from the formula than sums of floats explain, in words; empty when nothing is.
inline std::string difference(NaiveAttention const& expected, std::vector<float> const& out,
                              std::vector<float> const& lse) {
  if (out.size() != expected.out.size() || lse.size() != expected.lse.size()) return "the sizes differ";
  double const for_out = 1e-7 + expected.unit * (1 + expected.largest_score) * expected.largest_value;
  double const for_lse = expected.unit * (1 + expected.largest_score);
  for (std::size_t i = 0; i < out.size(); ++i)
    if (!(std::fabs(double{out[i]} - expected.out[i]) <= for_out))
      return "out[" + std::to_string(i) + "] is " + std::to_string(out[i]) + ", not " + std::to_string(expected.out[i]);
  for (std::size_t i = 0; i < lse.size(); ++i) {
    if (std::isinf(expected.lse[i]) && double{lse[i]} == expected.lse[i]) continue;
    if (!(std::fabs(double{lse[i]} - expected.lse[i]) <= for_lse))
      return "lse[" + std::to_string(i) + "] is " + std::to_string(lse[i]) + ", not " + std::to_string(expected.lse[i]);
  }
  return {};
}

}  // namespace folio::test
