// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Append, attend and gather over sequences that are in several caches, or in a basis of their own: the operations of
// ops/, once for each part, and with the rows rotated before and after. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/host/execution.hpp>
#include <folio/attention/host/plan.hpp>
#include <folio/attention/params.hpp>
#include <folio/error.hpp>
#include <folio/kernels/row_strides.hpp>
#include <folio/kernels/rows.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/ops/append.hpp>
#include <folio/ops/attend.hpp>
#include <folio/ops/gather.hpp>
#include <folio/ops/merge_attention.hpp>
#include <folio/precision/layer_parts.hpp>
#include <folio/precision/mixed_batch.hpp>
#include <folio/precision/rotation_matrices.hpp>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

namespace folio::ops {

namespace detail {

/// Calls of_windows(view.windows, number) for a layer with a window, else of_both(number): the numbers are the layer's
/// among those of its part.
template <class View, class OfWindows, class OfBoth>
void with_part(View const& view, std::int32_t layer, OfWindows const& of_windows, OfBoth const& of_both) {
  if constexpr (!View::has_windows) {
    of_both(layer);
  } else {
    if (layer < 0 || layer >= view.num_layers()) throw no_such_layer(layer);
    PartPlace const at = layer_in_part(View::model, layer);
    if (at.part == LayerPart::with_window)
      of_windows(view.windows, at.number);
    else
      of_both(at.number);
  }
}

/// Rows of results in floats: those of `io` where it has floats, else some in `own` that `finish` stores there.
template <class T, class Out>
class FloatResults {
 public:
  FloatResults(AttentionIo<T, Out> const& io, std::int64_t tokens, std::int32_t dim, std::vector<float>& own)
      : io_(io), dim_(dim), row_(std::int64_t{io.num_query_heads} * dim) {
    folio::detail::check_operands(io, tokens);
    stride_ = folio::detail::checked_stride(io.out_stride, row_, "out");
    if constexpr (!std::is_same_v<Out, float>) {
      own.resize(static_cast<std::size_t>(tokens * row_));
      own_ = own.data();
    }
  }
  [[nodiscard]] float* row(std::int64_t token) {
    if constexpr (std::is_same_v<Out, float>)
      return io_.out + token * stride_;
    else
      return own_ + token * row_;
  }
  [[nodiscard]] std::int64_t stride() const { return std::is_same_v<Out, float> ? stride_ : row_; }
  void finish(std::int64_t token) {
    if constexpr (!std::is_same_v<Out, float>)
      store_activations(row(token), io_.num_query_heads * dim_, io_.out + token * stride_);
  }

 private:
  AttentionIo<T, Out> io_;
  std::int32_t dim_;
  std::int64_t row_, stride_ = 0;
  float* own_ = nullptr;
};

/// Attention of a layer without a window over what both caches have of it.
template <class View, class T, class Out>
void attend_both(View const& view, std::int32_t layer, AttentionIo<T, Out> const& io, AttentionParams const& params,
                 HostExecution const& execution) {
  if (!view.any_demoted) return attend(view.hot, layer, io, params, execution);
  GroupShape const& shape = view.compressed.group(view.compressed.place(std::max(layer, 0)).group).shape;
  folio::detail::checked_query_heads(shape, io.num_query_heads);
  constexpr float empty = -std::numeric_limits<float>::infinity();
  std::int64_t const tokens = view.num_query_tokens();
  std::int32_t const heads = io.num_query_heads, dim = shape.value_dim;
  auto const rows = static_cast<std::size_t>(tokens * heads);
  std::vector<float> own_out;
  FloatResults<T, Out> results(io, tokens, dim, own_out);
  std::vector<float> own_lse(io.lse != nullptr ? 0 : rows, empty), compressed_lse(rows, empty);
  std::vector<float> compressed_out(rows * static_cast<std::size_t>(dim));
  float* const lse = io.lse != nullptr ? io.lse : own_lse.data();
  attend(view.hot, layer, AttentionIo<T, float>{io.q, heads, results.row(0), lse, io.q_stride, results.stride()},
         params, execution);
  AttentionParams compressed_params = params;
  compressed_params.causal = false;
  compressed_params.tree_mask = nullptr;    // demoted tokens come before all of the step's
  compressed_params.sink_logits = nullptr;  // in the softmax once, with the hot part
  attend(view.compressed, layer,
         AttentionIo<T, float>{io.q, heads, compressed_out.data(), compressed_lse.data(), io.q_stride},
         compressed_params, execution);
  parallel_for(execution.threads, view.query_start(view.num_sequences()), [&](std::int64_t token) {  // but for padding
    std::int64_t const row = token * heads;
    merge_attention(results.row(token), lse + row, compressed_out.data() + row * dim, compressed_lse.data() + row,
                    heads, dim);
    results.finish(token);
  });
}

/// Tokens of a layer without a window, from whichever cache has each.
template <class View>
void gather_both(View const& view, std::int32_t layer, Tokens const& tokens, float* keys, float* values,
                 Executor threads) {
  std::int32_t const demoted = view.num_demoted(tokens.sequence), length = view.num_tokens(tokens.sequence);
  check_length(length, tokens);
  if (demoted == 0) return gather(view.hot, layer, tokens, keys, values, threads);
  auto const part = [&](auto const& from, std::int32_t begin, std::int32_t end, std::int32_t before) {
    GroupShape const& shape = from.group(from.place(std::max(layer, 0)).group).shape;
    std::int32_t const first = std::max(begin, tokens.first), last = std::min(end, tokens.first + tokens.count);
    if (first >= last) return;
    std::int64_t const row = std::int64_t{first - tokens.first} * shape.kv_heads;
    gather(from, layer, {tokens.sequence, first - before, last - first},
           keys != nullptr ? keys + row * shape.key_dim : nullptr,
           values != nullptr ? values + row * shape.value_dim : nullptr, threads);
  };
  part(view.hot, 0, view.sinks, 0);
  part(view.compressed, view.sinks, view.sinks + demoted, view.sinks);
  part(view.hot, view.sinks + demoted, length, demoted);
}

}  // namespace detail

/// What append does for a view of one cache: new tokens are written to the hot one, or that of the windows.
template <class Hot, class Compressed, class Windows, class M, Activation T>
void append(MixedPrecisionView<Hot, Compressed, Windows, M> const& view, std::int32_t layer, T const* keys,
            std::type_identity_t<T> const* values, Executor threads = {}, RowStrides const& strides = {}) {
  auto const append_to = [&](auto const& part, std::int32_t number) {
    append(part, number, keys, values, threads, strides);
  };
  detail::with_part(view, layer, append_to, [&](std::int32_t number) { append_to(view.hot, number); });
}

/// Softmax attention of a step's query tokens over everything that their sequences have in both caches: what attend
/// gives for one cache, of the tokens as each cache decodes them. Arguments and result are those of attend.
///
/// Two partial attentions over disjoint tokens, merged by their log-sum-exp: over sinks and newest tokens, causal or by
/// the tree mask, and over the demoted ones, which every query sees. A view without demoted tokens costs one attend,
/// and a layer with a window always does: it gives the same bits as a plain cache of the hot format. Takes the
/// num_query_tokens * num_query_heads * (value_dim + 2) floats of the second part from the heap. Throws Error, before
/// anything is written, as attend does, for a range of tokens, which is for parts of one cache, and for ALiBi: a
/// token's place in one of the caches is not its position.
template <class Hot, class Compressed, class Windows, class M, class T, class Out>
void attend(MixedPrecisionView<Hot, Compressed, Windows, M> const& view, std::int32_t layer,
            AttentionIo<T, Out> const& io, AttentionParams const& params = {}, HostExecution const& execution = {}) {
  if (params.token_begin > 0 || params.token_end != std::numeric_limits<std::int32_t>::max())
    throw Error(
        "folio: attend over two caches takes no range of tokens; attend over view.hot or view.compressed for a part");
  if (params.alibi_slopes != nullptr)
    throw Error("folio: attend over two caches has no ALiBi: a token's place in one of them is not its position");
  detail::with_part(
      view, layer, [&](auto const& windows, std::int32_t number) { attend(windows, number, io, params, execution); },
      [&](std::int32_t number) { detail::attend_both(view, number, io, params, execution); });
}

/// What gather does for one cache: `tokens`, as the model counts them, from whichever cache has each. Throws Error for
/// tokens that a window gave back, as there.
template <class Hot, class Compressed, class Windows, class M>
void gather(MixedPrecisionView<Hot, Compressed, Windows, M> const& view, std::int32_t layer, Tokens const& tokens,
            float* keys, float* values, Executor threads = {}) {
  check_sequence(view.hot, tokens);
  detail::with_part(
      view, layer,
      [&](auto const& windows, std::int32_t number) { gather(windows, number, tokens, keys, values, threads); },
      [&](std::int32_t number) { detail::gather_both(view, number, tokens, keys, values, threads); });
}

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
    parallel_for(threads, tokens, [&](std::int64_t t) {
      float* const to = rotated.data() + t * row;
      if (matrices.empty()) return load_activations(rows + t * stride, static_cast<std::int32_t>(row), to);
      std::vector<float> given(static_cast<std::size_t>(row));
      load_activations(rows + t * stride, static_cast<std::int32_t>(row), given.data());
      rotate_rows(matrices, m.kv_heads, dim, given.data(), 1, m.kv_heads, false, to);
    });
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
  std::vector<float>&queries, &results;

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

/// Rotates queries, calls attend_stored(io, of rows as they are stored) and rotates results back.
template <class T, class Out, class Attend>
void attend_rotated(RotatedStep const& step, AttentionIo<T, Out> const& io, Attend const& attend_stored) {
  LayerMatrices const& m = step.matrices;
  std::int32_t const heads = io.num_query_heads;
  bool const fits = heads > 0 && heads % m.kv_heads == 0;  // attend says so if it does not
  std::int64_t const tokens = fits ? step.num_query_tokens : 0, row = std::int64_t{heads} * m.key_dim;
  FloatResults<T, Out> results(io, tokens, m.value_dim, step.results);
  auto const stored = [&](auto const* q, std::int64_t q_stride) {
    attend_stored(AttentionIo<std::remove_cvref_t<decltype(*q)>, float>{q, heads, tokens > 0 ? results.row(0) : nullptr,
                                                                        io.lse, q_stride, results.stride()});
  };
  if (m.keys.empty()) {
    stored(io.q, io.q_stride);
  } else {
    std::int64_t const stride = folio::detail::checked_stride(io.q_stride, row, "q");
    step.queries.resize(static_cast<std::size_t>(tokens * row));
    step.for_each_head(m.keys, tokens, heads, m.key_dim, [&](float const* matrix, std::int64_t t, std::int64_t i) {
      float given[max_row_dim];
      load_activations(io.q + t * stride + i * m.key_dim, m.key_dim, given);
      rotate_by(matrix, given, m.key_dim, false, step.queries.data() + t * row + i * m.key_dim);
    });
    stored(static_cast<float const*>(step.queries.data()), 0);
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
  std::vector<float> queries, results;
  detail::attend_rotated({view.matrices->layer(layer), view.num_query_tokens(), view.query_start(view.num_sequences()),
                          execution.threads, queries, results},
                         io, [&](auto const& stored) { attend(view.stored, layer, stored, params, execution); });
}

/// Attention plan of a step of a RotatedCache. It refers to the cache's matrices as well.
struct RotatedAttentionPlan {
  AttentionPlan stored;
  RotationMatrices const* matrices;
  std::int32_t num_tokens;  ///< query tokens without padding

  [[nodiscard]] AttentionParams const& params() const { return stored.params(); }
  [[nodiscard]] std::int32_t num_query_heads() const { return stored.num_query_heads(); }
};

/// What plan_attention does for a view of one cache. The workspace has the rotated queries as well, and room for
/// results once some are not of floats.
template <HostReadableView View>
[[nodiscard]] RotatedAttentionPlan plan_attention(RotatedView<View> const& view, std::int32_t num_query_heads,
                                                  AttentionParams const& params = {},
                                                  HostExecution const& execution = {}) {
  RotatedAttentionPlan plan{plan_attention(view.stored, num_query_heads, params, execution), view.matrices,
                            view.query_start(view.num_sequences())};
  std::int32_t most = 0;
  for (std::int32_t layer = 0; layer < view.matrices->num_layers(); ++layer)
    most = std::max(most, view.matrices->layer(layer).key_dim);
  plan.stored.step().queries.reserve(
      static_cast<std::size_t>(std::int64_t{view.num_query_tokens()} * num_query_heads * most));
  return plan;
}

/// attend for a layer of a step that was planned, with `q` and `out` in the model's basis.
template <class T, class Out>
void attend(RotatedAttentionPlan const& plan, std::int32_t layer, AttentionIo<T, Out> const& io,
            AttentionParams const& params) {
  detail::StepPlan& step = plan.stored.step();
  folio::detail::check_planned_heads(step.num_query_heads, io.num_query_heads);
  folio::detail::check_planned(step.params, params);
  detail::attend_rotated(
      {plan.matrices->layer(layer), step.num_query_tokens, plan.num_tokens, step.threads, step.queries, step.results},
      io, [&](auto const& stored) { attend(plan.stored, layer, stored, params); });
}
template <class T, class Out>
void attend(RotatedAttentionPlan const& plan, std::int32_t layer, AttentionIo<T, Out> const& io) {
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
