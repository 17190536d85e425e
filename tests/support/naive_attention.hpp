// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention as its formula is written, in double precision, over what ops::gather gives back.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/attention/params.hpp>
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

/// A step of one sequence, and which of its query tokens asks.
struct NaiveQuery {
  std::int32_t position, first_query;  ///< in the sequence: of the query, and of the step's first
  std::uint64_t tree_word = 0;         ///< the query's, where there is a tree mask
};

/// Whether a query takes `token` into its softmax.
inline bool takes_part(GroupShape const& shape, AttentionParams const& params, NaiveQuery const& query,
                       std::int32_t token) {
  if (token < params.token_begin || token >= params.token_end) return false;
  if (params.tree_mask != nullptr) {
    if (token >= query.first_query && (query.tree_word >> (token - query.first_query) & 1U) == 0) return false;
  } else if (params.causal && token > query.position) {
    return false;
  }
  return token >= shape.window_begin(query.position) || token < shape.sinks;
}

/// How the score of a query head with a token is made from their dot product.
struct NaiveScore {
  double scale = 1, soft_cap = 0, slope = 0;
  [[nodiscard]] double operator()(double product, std::int32_t distance) const {
    double const score = product * scale;
    return (soft_cap != 0 ? soft_cap * std::tanh(score / soft_cap) : score) + slope * distance;
  }
};

/// One query head: softmax over the scores of `tokens`, which are rows of `keys` and `values`. `position`: the query's.
inline void attend_naively(NaiveAttention& result, std::vector<std::int32_t> const& tokens, std::int32_t position,
                           float const* q, std::vector<float> const& keys, std::vector<float> const& values,
                           std::int32_t stride, std::int32_t head, GroupShape const& shape, NaiveScore const& score_of,
                           double const* sink) {
  std::vector<double> scores;
  for (std::int32_t const t : tokens) {
    double product = 0;
    for (std::int32_t d = 0; d < shape.key_dim; ++d)
      product += double{q[d]} * double{keys[static_cast<std::size_t>((t * stride + head) * shape.key_dim + d)]};
    scores.push_back(score_of(product, t - position));
    result.largest_score =
        std::max({result.largest_score, std::fabs(product * score_of.scale), std::fabs(scores.back())});
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

/// The step's own keys and values, [query token][kv head][dim], or null.
struct NaiveOwn {
  float const *keys = nullptr, *values = nullptr;
};

/// Writes the own rows of sequence `i` over what was gathered, where its queries are its last tokens.
template <class View>
void take_own_rows(View const& view, std::int32_t layer, std::int32_t i, NaiveOwn const& own, std::vector<float>& keys,
                   std::vector<float>& values) {
  GroupTable const& table = view.group(view.place(layer).group);
  GroupShape const& shape = table.shape;
  std::int32_t const begin = view.query_start(i), queries = view.query_start(i + 1) - begin;
  for (std::int32_t q = 0; q < queries && table.limits != nullptr; ++q) {
    if (table.limits[begin + q] - 1 != table.lengths[i] - queries + q) return;
    if (table.slots[begin + q] < 0) return;
  }
  auto const copy = [&](float const* from, std::int32_t dim, std::vector<float>& to) {
    std::int64_t const row = std::int64_t{shape.kv_heads} * dim;
    std::copy_n(from + begin * row, queries * row, to.end() - static_cast<std::ptrdiff_t>(queries * row));
  };
  copy(own.keys, shape.key_dim, keys);
  if (own.values != nullptr) copy(own.values, shape.value_dim, values);
  for (std::int32_t q = 0; q < queries && own.values == nullptr; ++q)  // a latent's are the beginning of its keys
    std::copy_n(own.keys + std::int64_t{begin + q} * shape.key_dim, shape.value_dim,
                values.end() - static_cast<std::ptrdiff_t>((queries - q) * shape.value_dim));
}

/// What ops::attend should give for these arguments.
template <class View>
NaiveAttention naive_attention(View const& view, std::int32_t layer, float const* q, std::int32_t num_query_heads,
                               AttentionParams const& params = {}, NaiveOwn const& own = {}) {
  GroupShape const shape = view.group(view.place(layer).group).shape;
  NaiveScore score{params.scale != 0 ? params.scale : 1.0 / std::sqrt(double(shape.key_dim)), params.logit_soft_cap};
  NaiveAttention result;
  if (attends_in_integers<View>()) result.unit = 2e-5;
  for (std::int32_t i = 0; i < view.num_sequences(); ++i) {
    std::int32_t const queries = view.query_start(i + 1) - view.query_start(i);
    GroupTable const& table = view.group(view.place(layer).group);
    std::int32_t const length = table.lengths[i];
    auto const position = [&](std::int32_t query) {
      return table.limits != nullptr ? table.limits[view.query_start(i) + query] - 1 : length - queries + query;
    };
    auto const asks = [&](std::int32_t query) {
      return NaiveQuery{position(query), length - queries,
                        params.tree_mask != nullptr ? params.tree_mask[view.query_start(i) + query] : 0};
    };
    std::vector<float> keys(static_cast<std::size_t>(length * shape.kv_heads * shape.key_dim));
    std::vector<float> values(static_cast<std::size_t>(length * shape.kv_heads * shape.value_dim));
    for (std::int32_t t = 0; t < length; ++t) {
      bool seen = false;  // with a window others may have been given back
      for (std::int32_t query = 0; query < queries && !seen; ++query) seen = takes_part(shape, params, asks(query), t);
      if (!seen) continue;
      ops::gather(view, layer, {i, t, 1}, keys.data() + t * shape.kv_heads * shape.key_dim,
                  values.data() + t * shape.kv_heads * shape.value_dim);
    }
    if (own.keys != nullptr) take_own_rows(view, layer, i, own, keys, values);
    for (std::int32_t query = 0; query < queries; ++query) {
      std::int32_t const token = view.query_start(i) + query;
      std::vector<std::int32_t> tokens;
      for (std::int32_t t = 0; t < length; ++t)
        if (takes_part(shape, params, asks(query), t)) tokens.push_back(t);
      for (std::int32_t h = 0; h < num_query_heads; ++h) {
        double const sink = params.sink_logits != nullptr ? double{params.sink_logits[h]} : 0.0;
        score.slope = params.alibi_slopes != nullptr ? double{params.alibi_slopes[h]} : 0.0;
        attend_naively(result, tokens, position(query), q + (std::int64_t{token} * num_query_heads + h) * shape.key_dim,
                       keys, values, shape.kv_heads, h / (num_query_heads / shape.kv_heads), shape, score,
                       params.sink_logits != nullptr ? &sink : nullptr);
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
