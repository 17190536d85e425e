// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Append, attend and gather for a cache that demotes: the operations of ops/, over both formats. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/checks.hpp>
#include <folio/attention/host/execution.hpp>
#include <folio/attention/host/plan.hpp>
#include <folio/attention/params.hpp>
#include <folio/block.hpp>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/kernels/row_strides.hpp>
#include <folio/kernels/token_range.hpp>
#include <folio/ops/append.hpp>
#include <folio/ops/attend.hpp>
#include <folio/ops/gather.hpp>
#include <folio/ops/merge_attention.hpp>
#include <folio/precision/detail/float_results.hpp>
#include <folio/precision/detail/mixed_rules.hpp>
#include <folio/precision/mixed_view.hpp>
#include <limits>
#include <optional>
#include <type_traits>
#include <utility>
#include <vector>

namespace folio::ops {

/// What append does for a view of one format: new tokens are written to the cache's own.
template <class View, Activation T>
requires is_mixed_view<View>
void append(View const& view, std::int32_t layer, T const* keys, std::type_identity_t<T> const* values,
            Executor threads = {}, RowStrides const& strides = {}) {
  append(view.recent, layer, keys, values, threads, strides);
}

/// Attention plan of a step of a cache that demotes: one for each format.
struct MixedAttentionPlan {
  AttentionPlan recent;
  std::optional<AttentionPlan> demoted;  ///< none where no sequence of the step has demoted tokens
  std::int32_t num_tokens;               ///< query tokens without padding
  std::uint32_t demoting_groups;         ///< bit g: layer group g demotes

  [[nodiscard]] AttentionParams const& params() const { return recent.params(); }
  [[nodiscard]] std::int32_t num_query_heads() const { return recent.num_query_heads(); }
  [[nodiscard]] detail::StepPlan& step() const { return recent.step(); }
};

namespace detail {

/// The attention over both formats, and the memory that takes: attend_recent(io, of rows of floats) and
/// attend_demoted(io) do each.
template <class T, class Out, class Recent, class Demoted>
void attend_both(AttentionIo<T, Out> const& io, std::int32_t value_dim, std::int64_t num_query_tokens,
                 std::int32_t num_tokens, Executor threads, std::vector<float>& memory, std::vector<float>& floats,
                 Recent const& attend_recent, Demoted const& attend_demoted) {
  constexpr float empty = -std::numeric_limits<float>::infinity();
  std::int32_t const heads = io.num_query_heads;
  FloatResults<T, Out> results(io, num_query_tokens, value_dim, floats);
  std::int64_t const rows = num_query_tokens * heads;
  memory.resize(static_cast<std::size_t>(rows * (value_dim + 2)));
  float *const demoted_out = memory.data(), *const demoted_lse = demoted_out + rows * value_dim;
  float* const lse = io.lse != nullptr ? io.lse : demoted_lse + rows;
  std::fill(demoted_lse, demoted_lse + rows, empty);
  attend_recent(AttentionIo<T, float>{io.q, heads, results.row(0), lse, io.q_stride, results.stride(), io.k, io.v,
                                      io.k_stride, io.v_stride});
  attend_demoted(AttentionIo<T, float>{io.q, heads, demoted_out, demoted_lse, io.q_stride});
  parallel_for(threads, num_tokens, [&](std::int64_t token) {  // but for padding
    std::int64_t const row = token * heads;
    merge_attention(results.row(token), lse + row, demoted_out + row * value_dim, demoted_lse + row, heads, value_dim);
    results.finish(token);
  });
}

}  // namespace detail

/// Plans the attention of a step of a cache that demotes, as plan_attention does for one format: the workspace has the
/// sums of both as well. Throws Error as it does, for a range of tokens, which is for parts of one format, and for
/// ALiBi: a token's place in one of them is not its position.
template <class View>
requires is_mixed_view<View>
[[nodiscard]] MixedAttentionPlan plan_attention(View const& view, std::int32_t num_query_heads,
                                                AttentionParams const& params = {},
                                                HostExecution const& execution = {}) {
  detail::check_mixed(params);
  MixedAttentionPlan plan{plan_attention(view.recent, num_query_heads, params, execution), std::nullopt,
                          view.query_start(view.num_sequences()), View::demoting_groups};
  if (!view.any_demoted()) return plan;
  HostExecution second = execution;
  if (execution.workspace != nullptr) second.workspace = &execution.workspace->second();
  plan.demoted.emplace(second);
  detail::StepPlan& step = plan.demoted->step();
  step.num_query_heads = num_query_heads;
  step.num_query_tokens = view.num_query_tokens();
  step.params = detail::of_demoted(params);
  step.pattern = view.recent.pattern();
  std::int32_t most = 0;
  [&]<int... Group>(std::integer_sequence<int, Group...>) {
    (
        [&] {
          if constexpr (View::template group_demotes<Group>) {
            detail::plan_group<Group>(view.demoted, step, step.groups[Group]);
            most = std::max(most, view.demoted.group(Group).shape.value_dim);
          }
        }(),
        ...);
  }
  (std::make_integer_sequence<int, View::num_groups>{});
  step.queries.reserve(static_cast<std::size_t>(std::int64_t{view.num_query_tokens()} * num_query_heads * (most + 2)));
  return plan;
}

/// attend for a layer of a step that was planned: see attend with a view of one format, and with a plan.
template <class T, class Out>
void attend(MixedAttentionPlan const& plan, std::int32_t layer, AttentionIo<T, Out> const& io,
            AttentionParams const& params) {
  detail::check_mixed(params);
  detail::StepPlan& step = plan.recent.step();
  LayerPlace const at = layer >= 0 ? step.pattern.place(layer) : LayerPlace{};
  GroupShape const& shape = step.groups[at.group].layers.shape;
  bool const demotes = (plan.demoting_groups >> at.group & 1U) != 0;
  if (!plan.demoted.has_value() || !demotes || layer < 0 || at.index >= shape.layers)
    return attend(plan.recent, layer, io, params);  // which says what is wrong with the layer
  folio::detail::check_planned_heads(step.num_query_heads, io.num_query_heads);
  detail::attend_both(
      io, shape.value_dim, step.num_query_tokens, plan.num_tokens, step.threads, plan.demoted->step().queries,
      step.results, [&](auto const& of_recent) { attend(plan.recent, layer, of_recent, params); },
      [&](auto const& of_demoted) { attend(*plan.demoted, layer, of_demoted, detail::of_demoted(params)); });
}
/// The same with the plan's own parameters.
template <class T, class Out>
void attend(MixedAttentionPlan const& plan, std::int32_t layer, AttentionIo<T, Out> const& io) {
  attend(plan, layer, io, plan.params());
}

/// Softmax attention of a step's query tokens over everything that their sequences have in both formats: what attend
/// gives for one, of the tokens as each format decodes them. Arguments and result are those of attend.
///
/// Two partial attentions over disjoint tokens, merged by their log-sum-exp: over sinks and newest tokens, causal or by
/// the tree mask, and over the demoted ones, which every query sees. A step without demoted tokens costs one attend,
/// and a layer with a window always does: it gives the same bits as a cache that demotes nothing. Takes the
/// num_query_tokens * num_query_heads * (value_dim + 2) floats of the second part from the heap, unless it was planned.
/// Throws Error, before anything is written, as attend does, for a range of tokens, which is for parts of one format,
/// and for ALiBi: a token's place in one of them is not its position.
template <class View, class T, class Out>
requires is_mixed_view<View>
void attend(View const& view, std::int32_t layer, AttentionIo<T, Out> const& io, AttentionParams const& params = {},
            HostExecution const& execution = {}) {
  detail::check_mixed(params);
  if (layer < 0 || layer >= view.num_layers() || !view.demotes(layer) || !view.any_demoted())
    return attend(view.recent, layer, io, params, execution);
  GroupShape const& shape = view.recent.group(view.recent.place(layer).group).shape;
  folio::detail::checked_query_heads(shape, io.num_query_heads);
  std::vector<float> memory, floats;
  detail::attend_both(
      io, shape.value_dim, view.num_query_tokens(), view.query_start(view.num_sequences()), execution.threads, memory,
      floats, [&](auto const& of_recent) { attend(view.recent, layer, of_recent, params, execution); },
      [&](auto const& of_demoted) { attend(view.demoted, layer, of_demoted, detail::of_demoted(params), execution); });
}

/// What gather does for one format: `tokens`, numbered among those that the layer stores in both, from whichever list
/// has each. Throws Error for tokens that a window gave back, as there.
template <class View>
requires is_mixed_view<View>
void gather(View const& view, std::int32_t layer, Tokens const& tokens, float* keys, float* values,
            Executor threads = {}) {
  check_sequence(view.recent, tokens);
  bool const demotes = layer >= 0 && layer < view.num_layers() && view.demotes(layer);
  std::int32_t const demoted = demotes ? view.num_demoted(tokens.sequence) : 0;
  if (demoted == 0) return gather(view.recent, layer, tokens, keys, values, threads);
  std::int32_t const group = view.recent.place(layer).group;
  std::int32_t const length = view.recent.group(group).lengths[tokens.sequence] + demoted;
  GroupShape const& shape = view.recent.group(group).shape;
  check_length(length, tokens);
  auto const part = [&](auto const& from, std::int32_t begin, std::int32_t end, std::int32_t before) {
    std::int32_t const first = std::max(begin, tokens.first), last = std::min(end, tokens.first + tokens.count);
    if (first >= last) return;
    std::int64_t const row = std::int64_t{first - tokens.first} * shape.kv_heads;
    gather(from, layer, {tokens.sequence, first - before, last - first},
           keys != nullptr ? keys + row * shape.key_dim : nullptr,
           values != nullptr ? values + row * shape.value_dim : nullptr, threads);
  };
  part(view.recent, 0, view.sinks, 0);
  part(view.demoted, view.sinks, view.sinks + demoted, view.sinks);
  part(view.recent, view.sinks + demoted, length, demoted);
}

}  // namespace folio::ops
