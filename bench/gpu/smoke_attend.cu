// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Smoke tests: decoding, prompts and merging against sums in double over what the host's cache holds.
#include <folio/ops/decode.cuh>
#include <folio/ops/merge_attention.cuh>
#include <folio/ops/prefill.cuh>

#include "pair.cuh"

namespace folio::bench {

namespace {

/// What is asked of a step's sequences in a layer.
struct Question {
  std::int32_t layer, num_query_heads;
  std::vector<float> q;
  AttentionParams params;  ///< with the host's pointers
};

/// A query token: its place in the step and among its sequence's query tokens, and its position.
struct Query {
  std::ptrdiff_t row;
  std::int32_t index, position;

  [[nodiscard]] bool sees(GroupShape const& shape, AttentionParams const& params, std::int32_t token) const {
    if (token < params.token_begin || token >= params.token_end) return false;
    if (token < shape.window_begin(position) && token >= shape.sinks) return false;
    std::int32_t const draft = token - (position - index);
    if (params.tree_mask != nullptr) return draft < 0 || (params.tree_mask[row] >> draft & 1U) != 0;
    return !params.causal || token <= position;
  }
};

/// Attention's results of real query tokens, in double.
struct Answer {
  std::vector<double> out, lse;
};

/// Keys and values of a sequence in the model's basis; what no query sees may be anything.
struct Rows {
  template <class View>
  Rows(View const& view, std::int32_t i, std::int32_t layer, GroupShape const& shape, std::int32_t num_tokens)
      : keys(static_cast<std::size_t>(num_tokens * shape.kv_heads * shape.key_dim)),
        values(static_cast<std::size_t>(num_tokens * shape.kv_heads * shape.value_dim)) {
    ops::with_group(view, layer, [&](auto group, std::int32_t index) {
      auto const sequence = view.template sequence_in<group()>(i, index);
      for (std::int32_t t = 0; t < num_tokens; ++t)
        if (sequence.block_id(t) != null_block)
          ops::gather(view, layer, {i, t, 1}, keys.data() + std::ptrdiff_t{t} * shape.kv_heads * shape.key_dim,
                      values.data() + std::ptrdiff_t{t} * shape.kv_heads * shape.value_dim);
    });
  }
  std::vector<float> keys, values;
};

/// Adds the attention of one query head to the answer.
void answer_row(Question const& question, Rows const& tokens, GroupShape const& shape, Query const& query,
                std::int32_t num_tokens, std::int32_t head, Answer& answer) {
  AttentionParams const& params = question.params;
  double const scale = static_cast<double>(params.scale), cap = static_cast<double>(params.logit_soft_cap);
  double const slope = params.alibi_slopes == nullptr ? 0 : static_cast<double>(params.alibi_slopes[head]);
  float const* const q = question.q.data() + (query.row * question.num_query_heads + head) * shape.key_dim;
  std::int32_t const kv_head = head / (question.num_query_heads / shape.kv_heads);
  std::vector<double> scores, sums(static_cast<std::size_t>(shape.value_dim));
  std::vector<std::int32_t> seen;
  double max = params.sink_logits == nullptr ? -INFINITY : static_cast<double>(params.sink_logits[head]);
  double sum = max;
  for (std::int32_t t = 0; t < num_tokens; ++t) {
    if (!query.sees(shape, params, t)) continue;
    float const* const key = tokens.keys.data() + (std::ptrdiff_t{t} * shape.kv_heads + kv_head) * shape.key_dim;
    double score = 0;
    for (std::int32_t d = 0; d < shape.key_dim; ++d) score += static_cast<double>(q[d]) * static_cast<double>(key[d]);
    score *= scale;
    if (cap != 0) score = cap * std::tanh(score / cap);
    scores.push_back(score + slope * (t - query.position));
    seen.push_back(t);
    max = std::max(max, scores.back());
  }
  sum = std::exp(sum - max);
  for (std::size_t s = 0; s < seen.size(); ++s) {
    double const weight = std::exp(scores[s] - max);
    sum += weight;
    float const* const value =
        tokens.values.data() + (std::ptrdiff_t{seen[s]} * shape.kv_heads + kv_head) * shape.value_dim;
    for (std::size_t d = 0; d < sums.size(); ++d) sums[d] += weight * static_cast<double>(value[d]);
  }
  for (double const x : sums) answer.out.push_back(x / sum);
  answer.lse.push_back(max + std::log(sum));
}

constexpr float scale = 0.1F;

template <class View>
Answer answer_of(Batch<View> const& on_host, GroupShape const& shape, Question const& question) {
  Answer answer;
  for (std::int32_t i = 0; i < on_host.num_sequences(); ++i) {
    auto const at = static_cast<std::size_t>(i);
    std::int32_t const length = on_host.lengths()[at], begin = on_host.query_starts()[at],
                       queries = on_host.query_starts()[at + 1] - begin;
    Rows const tokens(on_host.view(), i, question.layer, shape, length);
    for (std::int32_t n = 0; n < queries; ++n)
      for (std::int32_t head = 0; head < question.num_query_heads; ++head)
        answer_row(question, tokens, shape, {begin + n, n, length - queries + n}, length, head, answer);
  }
  return answer;
}

/// `op(view, layer, io, params, stream)` in every layer that the heads fit, with T for queries and results. `biased`:
/// with ALiBi and a tree mask.
template <class T, class... Policies, class Op>
void check_attention(std::string const& what, Pair<Policies...>& pair, std::int32_t num_query_heads, bool sinks,
                     Op const& op, AttentionParams params = {}, bool biased = false) {
  auto const on_host = pair.step();
  std::vector<float> const sink_logits = random_rows(num_query_heads, 5), slopes = random_rows(num_query_heads, 6);
  std::vector<std::uint64_t> tree;
  for (std::uint64_t i = 0; i < pair.max_queries; ++i) tree.push_back(i % 7 == 3 ? 0 : (i + 3) * 0x9E3779B97F4A7C15U);
  Array<float> const device_sinks(sink_logits), device_slopes(slopes);
  Array<std::uint64_t> const device_tree(tree);
  params.scale = scale;
  AttentionParams on_device = params;
  if (sinks) params.sink_logits = sink_logits.data(), on_device.sink_logits = device_sinks.data();
  if (biased) params.alibi_slopes = slopes.data(), on_device.alibi_slopes = device_slopes.data();
  if (biased) params.tree_mask = tree.data(), on_device.tree_mask = device_tree.data();
  std::int64_t const rows = std::int64_t{pair.max_queries} * num_query_heads;
  for (std::int32_t layer = 0; layer < Pair<Policies...>::Host::model.layers; ++layer) {
    GroupShape const& shape = pair.host().shape(on_host.view().place(layer).group);
    Array<T> const q(rows * shape.key_dim, 3, pair.stream), out(rows * shape.value_dim);
    Question const question{layer, num_query_heads, to_floats(q.to_host(pair.stream)), params};
    Array<float> const lse(rows);
    op(pair.view(), layer, AttentionIo<T>{q.data(), num_query_heads, out.data(), lse.data()}, on_device, pair.stream);
    Answer const answer = answer_of(on_host, shape, question);
    std::string const where = what + " in layer " + std::to_string(layer);
    auto const count = static_cast<std::int64_t>(answer.lse.size());
    double const rounding = std::is_same_v<T, float> ? 0 : std::is_same_v<T, Half> ? 0x1p-11 : 0x1p-8;
    expect_near(where, answer.out, to_floats(out.to_host(pair.stream, 0, count * shape.value_dim)), 2e-5 + rounding);
    expect_near("the lse of " + where, answer.lse, lse.to_host(pair.stream, 0, count), 2e-5);
  }
}

/// ops::decode in `parts` parts.
auto attend_in(std::int32_t parts) {
  return [parts]<class View, class T>(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T> const& io,
                                      AttentionParams const& params, cudaStream_t stream) {
    DeviceExecution execution{.stream = stream, .num_parts = parts};
    Array<std::byte> const workspace(
        ops::plan_attention(view, io.num_query_heads, params, execution).workspace_bytes());
    execution.workspace = {workspace.data(), static_cast<std::size_t>(workspace.size())};
    ops::decode(view, layer, io, params, execution);
    check_cuda(cudaStreamSynchronize(stream), "attention");
  };
}

auto prefill() {
  return []<class View, class T>(DeviceView<View> const& view, std::int32_t layer, AttentionIo<T> const& io,
                                 AttentionParams const& params,
                                 cudaStream_t stream) { ops::prefill(view, layer, io, params, {.stream = stream}); };
}

/// Windows, sinks and latents; one part and several, more than there are tokens for some.
template <class Q, class Layout>
void smoke_groups(Run const& run) {
  Pair<HybridModel, HybridBlocks, Q, Layout> hybrid(hybrid_blocks());
  fill(hybrid, run.tiny ? 2 : 20);
  for (std::int32_t const parts : run.tiny ? std::vector{5} : std::vector{1, 0, 5})
    check_attention<float>("attention in " + std::to_string(parts) + " parts", hybrid, 4, parts != 1, attend_in(parts));
  check_attention<float>("a prompt's attention", hybrid, 6, true, prefill());
}

/// Masks and score modifications, alone and together. A step has at most 9 query tokens of a sequence.
void smoke_masks(Run const& run) {
  Pair<HybridModel, HybridBlocks, F16, LayoutHnd> hybrid(hybrid_blocks());
  fill(hybrid, run.tiny ? 1 : 5);
  auto const check = [&](std::string const& what, AttentionParams const& params, bool biased) {
    check_attention<float>("attention " + what, hybrid, 4, true, attend_in(3), params, biased);
    check_attention<float>("a prompt's attention " + what, hybrid, 4, true, prefill(), params, biased);
  };
  check("with masks, soft-cap and ALiBi", {.logit_soft_cap = 4, .token_begin = 1, .token_end = 60}, true);
  if (run.tiny) return;
  check("of later tokens, too", {.causal = false}, false);
  check("of a range of tokens", {.token_begin = 3, .token_end = 30}, false);
  check("with a soft-cap", {.logit_soft_cap = 2.5F}, false);
  check("with ALiBi and a tree mask", {}, true);
}

/// Every number of heads that a thread block takes, and some between.
template <class Q, class Layout>
void smoke_heads(Run const& run) {
  Pair<LlamaModel, Q, Layout> llama({60});
  fill(llama, run.tiny ? 1 : 3);
  for (std::int32_t const heads : run.tiny ? std::vector{7} : std::vector{1, 2, 4, 7, 8})
    check_attention<float>("attention of " + std::to_string(heads) + " heads", llama, 2 * heads, false, attend_in(2));
  check_attention<float>("a prompt's attention", llama, 8, false, prefill());
}

template <class T>
void smoke_activations(Run const& run) {
  Pair<LlamaModel, F16> llama({60});
  fill(llama, run.tiny ? 1 : 7);
  check_attention<T>("attention", llama, 8, true, attend_in(3));
  check_attention<T>("a prompt's attention", llama, 8, true, prefill());
}

/// Some parts of rows are empty, of one all; what empty parts hold is NaN.
void smoke_merge(Run const&) {
  constexpr std::int32_t num_parts = 40, num_rows = 70, dim = 40;
  Stream const stream;
  std::vector<float> parts = random_rows(std::int64_t{num_parts} * num_rows * dim, 1);
  std::vector<float> lse = random_rows(std::int64_t{num_parts} * num_rows, 2);
  std::vector<double> out, out_lse;
  for (std::int32_t row = 0; row < num_rows; ++row) {
    double max = -INFINITY, sum = 0, sums[dim] = {};
    for (std::int32_t p = 0; p < num_parts; ++p) {
      auto const at = static_cast<std::size_t>(p * num_rows + row);
      if (p * 7 % 5 < row % 6) {  // row 5 has none
        lse[at] = -INFINITY;
        std::fill_n(parts.begin() + static_cast<std::ptrdiff_t>(at) * dim, dim, NAN);
        continue;
      }
      max = std::max(max, static_cast<double>(lse[at]));
      double const weight = std::exp(static_cast<double>(lse[at]));
      sum += weight;
      for (std::size_t d = 0; d < dim; ++d) sums[d] += weight * static_cast<double>(parts[at * dim + d]);
    }
    for (double const x : sums) out.push_back(sum > 0 ? x / sum : 0);
    out_lse.push_back(sum > 0 ? std::log(sum) : max);
  }
  Array<float> const device_parts(parts), device_lse(lse), merged(num_rows * dim), merged_lse(num_rows);
  ops::merge_attention(device_parts.data(), device_lse.data(), num_parts, num_rows, dim, merged.data(),
                       merged_lse.data(), stream);
  expect_near("merged attention", out, merged.to_host(stream), 2e-5);
  expect_near("the lse of merged attention", out_lse, merged_lse.to_host(stream), 2e-5);
}

}  // namespace

void add_attend_smoke(std::vector<Job>& jobs) {
  jobs.push_back({"smoke/attend/f16/hnd", 30, false, smoke_heads<F16, LayoutHnd>});
  jobs.push_back({"smoke/attend/int8/hnd", 30, true, smoke_heads<Int8PerToken, LayoutHnd>});
  jobs.push_back({"smoke/attend/int4/hnd", 30, false, smoke_heads<Int4Rotated, LayoutHnd>});
  jobs.push_back({"smoke/attend/groups/int8/hnd", 30, true, smoke_groups<Int8PerToken, LayoutHnd>});
  jobs.push_back({"smoke/attend/half", 30, true, smoke_activations<Half>});
  jobs.push_back({"smoke/attend/masks", 30, true, smoke_masks});
  jobs.push_back({"smoke/merge", 30, true, smoke_merge});
#if defined(FOLIO_GPU_BENCH_ALL)
  jobs.push_back({"smoke/attend/bfloat16", 30, false, smoke_activations<BFloat16>});
  jobs.push_back({"smoke/attend/int2/nhd", 30, false, smoke_heads<Int2Rotated, LayoutNhd>});
  jobs.push_back({"smoke/attend/fp8/nhd", 30, false, smoke_heads<Fp8E4M3, LayoutNhd>});
  jobs.push_back({"smoke/attend/bf16/hnd", 30, false, smoke_heads<BF16, LayoutHnd>});
  jobs.push_back({"smoke/attend/groups/f16/nhd", 30, false, smoke_groups<F16, LayoutNhd>});
  jobs.push_back({"smoke/attend/groups/int4/interleaved", 30, false, smoke_groups<Int4Rotated, LayoutInterleaved>});
  jobs.push_back({"smoke/attend/groups/fp8/hnd", 30, false, smoke_groups<Fp8E4M3, LayoutHnd>});
#endif
}

}  // namespace folio::bench
