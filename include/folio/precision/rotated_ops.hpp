// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Append, attend and gather over sequences in a basis of their own: the operations of ops/, with the rows rotated
// before and after. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/host/execution.hpp>
#include <folio/attention/host/plan.hpp>
#include <folio/attention/params.hpp>
#include <folio/kernels/row_strides.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/ops/append.hpp>
#include <folio/ops/attend.hpp>
#include <folio/ops/gather.hpp>
#include <folio/precision/detail/float_results.hpp>
#include <folio/precision/rotation_matrices.hpp>
#include <type_traits>
#include <vector>

namespace folio::ops {

namespace detail {

/// New rows [tokens][kv head][dim] as floats in the stored basis, next to each other in `to`: rotated by `matrices`,
/// or where there are none as they are.
template <Activation T>
void rotate_new_rows(std::vector<float> const& matrices, std::int32_t kv_heads, std::int32_t dim, T const* rows,
                     std::int64_t stride, std::int64_t tokens, Executor threads, float* to) {
  std::int64_t const row = std::int64_t{kv_heads} * dim;
  parallel_for(threads, tokens, [&](std::int64_t t) {
    for (std::int32_t head = 0; head < kv_heads; ++head) {
      std::int64_t const at = std::int64_t{head} * dim;
      float given[max_row_dim], *const place = to + t * row + at;
      load_activations(rows + t * stride + at, dim, matrices.empty() ? place : given);
      if (!matrices.empty()) rotate_by(matrices.data() + at * dim, given, dim, false, place);
    }
  });
}

}  // namespace detail

/// What append does, with `keys` and `values` in the model's basis. Cost besides: dim * dim multiplications a row, and
/// a copy of the rows.
template <class View, Activation T>
void append(RotatedView<View> const& view, std::int32_t layer, T const* keys, std::type_identity_t<T> const* values,
            Executor threads = {}, RowStrides const& strides = {}) {
  LayerMatrices const& m = view.matrices->layer(layer);
  std::int64_t const tokens = view.num_query_tokens();
  if (keys == nullptr || values == nullptr || (m.keys.empty() && m.values.empty()))
    return append(view.stored, layer, keys, values, threads, strides);  // which says what is missing
  auto const rotate = [&](std::vector<float> const& matrices, std::int32_t dim, T const* rows, std::int64_t stride,
                          char const* what) {
    std::int64_t const row = std::int64_t{m.kv_heads} * dim;
    stride = folio::detail::checked_stride(stride, row, what);
    std::vector<float> rotated(static_cast<std::size_t>(tokens * row));
    detail::rotate_new_rows(matrices, m.kv_heads, dim, rows, stride, tokens, threads, rotated.data());
    return rotated;
  };
  std::vector<float> const rotated_keys = rotate(m.keys, m.key_dim, keys, strides.keys, "keys");
  std::vector<float> const rotated_values = rotate(m.values, m.value_dim, values, strides.values, "values");
  append(view.stored, layer, rotated_keys.data(), rotated_values.data(), threads);
}

namespace detail {

/// A step in the stored basis, and the memory that rotating takes.
struct RotatedStep {
  LayerMatrices const& matrices;
  std::int32_t num_query_tokens, num_tokens;  ///< with and without padding
  Executor threads;
  std::vector<float>&queries, &results, &own_keys, &own_values;

  /// Calls f(matrix, i) for each token and head i of a row, in tasks of a token.
  template <class F>
  void for_each_head(std::vector<float> const& of, std::int64_t tokens, std::int32_t heads, std::int32_t dim,
                     F const& f) const {
    parallel_for(threads, tokens, [&](std::int64_t t) {
      for (std::int32_t i = 0; i < heads; ++i)
        f(of.data() + std::int64_t{i / (heads / matrices.kv_heads)} * dim * dim, t, i);
    });
  }
};

/// Rotates queries, and the step's own keys and values where they are given, calls attend_stored(io, of rows as they
/// are stored) and rotates results back.
template <class T, class Out, class Attend>
void attend_rotated(RotatedStep const& step, AttentionIo<T, Out> const& io, Attend const& attend_stored) {
  LayerMatrices const& m = step.matrices;
  std::int32_t const heads = io.num_query_heads;
  bool const fits = heads > 0 && heads % m.kv_heads == 0;  // attend says so if it does not
  std::int64_t const tokens = fits ? step.num_query_tokens : 0, row = std::int64_t{heads} * m.key_dim;
  std::int64_t const rotated = fits ? step.num_tokens : 0;  // padding is neither read nor turned
  FloatResults<T, Out> results(io, tokens, m.value_dim, step.results);
  auto const stored = [&]<class Q>(Q const* q, std::int64_t q_stride, Q const* k = nullptr, Q const* v = nullptr) {
    attend_stored(AttentionIo<Q, float>{q, heads, tokens > 0 ? results.row(0) : nullptr, io.lse, q_stride,
                                        results.stride(), k, v});
  };
  GroupShape const shape{.kv_heads = m.kv_heads, .key_dim = m.key_dim, .value_dim = m.value_dim};
  folio::detail::check_operands(io, tokens);
  folio::detail::check_own_rows(io, shape);
  bool const has_own = io.k != nullptr;
  if (has_own) {
    auto const rotate_own = [&](std::vector<float> const& matrices, std::int32_t dim, T const* rows,
                                std::int64_t stride, char const* what, std::vector<float>& to) {
      std::int64_t const own_row = std::int64_t{m.kv_heads} * dim;
      to.resize(static_cast<std::size_t>(tokens * own_row));
      rotate_new_rows(matrices, m.kv_heads, dim, rows, folio::detail::checked_stride(stride, own_row, what), rotated,
                      step.threads, to.data());
    };
    rotate_own(m.keys, m.key_dim, io.k, io.k_stride, "k", step.own_keys);
    rotate_own(m.values, m.value_dim, io.v, io.v_stride, "v", step.own_values);
  }
  if (m.keys.empty() && !has_own) {
    stored(io.q, io.q_stride);
  } else {
    std::int64_t const stride = folio::detail::checked_stride(io.q_stride, row, "q");
    step.queries.resize(static_cast<std::size_t>(tokens * row));
    step.for_each_head(m.keys, rotated, heads, m.key_dim, [&](float const* matrix, std::int64_t t, std::int64_t i) {
      float given[max_row_dim];
      float* const to = step.queries.data() + t * row + i * m.key_dim;
      load_activations(io.q + t * stride + i * m.key_dim, m.key_dim, m.keys.empty() ? to : given);
      if (!m.keys.empty()) rotate_by(matrix, given, m.key_dim, false, to);
    });
    stored(static_cast<float const*>(step.queries.data()), 0, has_own ? step.own_keys.data() : nullptr,
           has_own ? step.own_values.data() : nullptr);
  }
  if (m.values.empty() && std::is_same_v<Out, float>) return;
  if (!m.values.empty())
    step.for_each_head(m.values, step.num_tokens, heads, m.value_dim,
                       [&](float const* matrix, std::int64_t t, std::int64_t i) {
                         float as_stored[max_row_dim], *const out = results.row(t) + i * m.value_dim;
                         std::copy_n(out, m.value_dim, as_stored);
                         rotate_by(matrix, as_stored, m.value_dim, true, out);
                       });
  parallel_for(step.threads, step.num_tokens, [&](std::int64_t t) { results.finish(t); });
}

}  // namespace detail

/// What attend does, with `q` and `out` in the model's basis. Cost besides: dim * dim multiplications for each query
/// and output, and a copy of the queries.
template <class View, class T, class Out>
void attend(RotatedView<View> const& view, std::int32_t layer, AttentionIo<T, Out> const& io,
            AttentionParams const& params = {}, HostExecution const& execution = {}) {
  std::vector<float> queries, results, own_keys, own_values;
  detail::attend_rotated({view.matrices->layer(layer), view.num_query_tokens(), view.query_start(view.num_sequences()),
                          execution.threads, queries, results, own_keys, own_values},
                         io, [&](auto const& stored) { attend(view.stored, layer, stored, params, execution); });
}

/// Attention plan of a step of a cache with RotationMatrices, to which it refers as well. `Stored`: the plan of the
/// rows as they are stored.
template <class Stored>
struct RotatedAttentionPlan {
  Stored stored;
  RotationMatrices const* matrices;
  std::int32_t num_tokens;  ///< query tokens without padding

  [[nodiscard]] AttentionParams const& params() const { return stored.params(); }
  [[nodiscard]] std::int32_t num_query_heads() const { return stored.num_query_heads(); }
};

/// What plan_attention does for the view of the rows as they are stored. The workspace has the rotated queries as well,
/// and room for results once some are not of floats.
template <class View>
requires(!is_device_view<View>)
    [[nodiscard]] auto plan_attention(RotatedView<View> const& view, std::int32_t num_query_heads,
                                      AttentionParams const& params = {}, HostExecution const& execution = {}) {
  RotatedAttentionPlan<decltype(plan_attention(view.stored, num_query_heads, params, execution))> plan{
      plan_attention(view.stored, num_query_heads, params, execution), view.matrices,
      view.query_start(view.num_sequences())};
  std::int32_t most = 0;
  for (std::int32_t layer = 0; layer < view.matrices->num_layers(); ++layer)
    most = std::max(most, view.matrices->layer(layer).key_dim);
  plan.stored.step().queries.reserve(
      static_cast<std::size_t>(std::int64_t{view.num_query_tokens()} * num_query_heads * most));
  return plan;
}

/// attend for a layer of a step that was planned, with `q` and `out` in the model's basis.
template <class Stored, class T, class Out>
void attend(RotatedAttentionPlan<Stored> const& plan, std::int32_t layer, AttentionIo<T, Out> const& io,
            AttentionParams const& params) {
  detail::StepPlan& step = plan.stored.step();
  folio::detail::check_planned_heads(step.num_query_heads, io.num_query_heads);
  folio::detail::check_planned(step.params, params);
  detail::attend_rotated({plan.matrices->layer(layer), step.num_query_tokens, plan.num_tokens, step.threads,
                          step.queries, step.results, step.own_keys, step.own_values},
                         io, [&](auto const& stored) { attend(plan.stored, layer, stored, params); });
}
template <class Stored, class T, class Out>
void attend(RotatedAttentionPlan<Stored> const& plan, std::int32_t layer, AttentionIo<T, Out> const& io) {
  attend(plan, layer, io, plan.params());
}

/// What gather does, to the model's basis.
template <class View>
void gather(RotatedView<View> const& view, std::int32_t layer, Tokens const& tokens, float* keys, float* values,
            Executor threads = {}) {
  LayerMatrices const& m = view.matrices->layer(layer);
  gather(view.stored, layer, tokens, keys, values, threads);
  auto const rotate_back = [&](std::vector<float> const& matrices, std::int32_t dim, float* rows) {
    if (matrices.empty() || rows == nullptr) return;
    parallel_for(threads, tokens.count, [&](std::int64_t t) {
      float* const token = rows + t * m.kv_heads * dim;
      std::vector<float> const stored(token, token + std::int64_t{m.kv_heads} * dim);
      rotate_rows(matrices, m.kv_heads, dim, stored.data(), 1, m.kv_heads, true, token);
    });
  };
  rotate_back(m.keys, m.key_dim, keys);
  rotate_back(m.values, m.value_dim, values);
}

}  // namespace folio::ops
