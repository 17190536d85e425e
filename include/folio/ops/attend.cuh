// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values on the device, one query token at a time: decoding, and a few query
// tokens (speculative decoding). Long contexts are split over thread blocks and merged.

#include <cstdint>
#include <folio/ops/element.cuh>
#include <folio/ops/lanes.cuh>
#include <folio/ops/launch.cuh>
#include <folio/quantizer/hadamard.hpp>
#include <folio/view.hpp>
#include <type_traits>

namespace folio::ops {

/// What every thread block of an attention knows.
struct AttendArguments {
  std::int32_t num_query_heads = 0;
  float scale = 0;                     ///< of the scores
  float const* sink_logits = nullptr;  ///< [num_query_heads] scores without a value, or null
};

namespace detail {

inline constexpr int attend_threads = 128;
inline constexpr int attend_unroll = 4;  ///< tokens that a group of lanes has in flight

/// The tokens that a query sees, numbered 0 to count - 1: the sinks, then the window up to the query itself.
struct VisibleTokens {
  std::int32_t sinks, window_begin, count;

  __device__ VisibleTokens(GroupShape const& shape, std::int32_t position)
      : window_begin(shape.window_begin(position)) {
    sinks = shape.sinks < window_begin ? shape.sinks : window_begin;
    count = sinks + position + 1 - window_begin;
  }
  [[nodiscard]] __device__ std::int32_t token(std::int32_t i) const { return i < sinks ? i : window_begin + i - sinks; }
};

/// The sequence whose query tokens hold `query`: the last one that starts at or before it.
template <class View>
__device__ std::int32_t sequence_of(View const& view, std::int32_t query) {
  std::int32_t low = 0, high = view.num_sequences() - 1;
  while (low < high) {
    std::int32_t const middle = (low + high + 1) / 2;
    if (view.query_start(middle) <= query)
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/// Groups of lanes, each with a key and a value row at a time.
template <class View, int Group, int Heads>
struct AttendShape {
  using Layer = LayerView<View, Group>;
  static constexpr std::int32_t key_dim = Layer::known.key_dim, value_dim = Layer::known.value_dim;
  static constexpr bool latent = Layer::known.values_in_keys();
  static constexpr int lanes = RowSharing<(key_dim > value_dim ? key_dim : value_dim), 8>::lanes;
  static constexpr int groups = attend_threads / lanes;
  using KeyLanes = Lanes<key_dim, lanes>;
  using ValueLanes = Lanes<value_dim, lanes>;
  using Key = Pack<float, KeyLanes::per_lane>;
  using Value = Pack<float, ValueLanes::per_lane>;

  /// One query head's running softmax in one group of lanes.
  struct State {
    float max = -INFINITY, sum = 0;
    Value out{};
  };
  /// What the groups of a thread block leave for each other.
  struct Partial {
    float max, sum, out[std::size_t{value_dim}];
  };
};

/// Scores of `n` tokens (n <= attend_unroll) for every head, then their values into the running softmax.
template <class Shape, int Heads, class Sequence>
__device__ void attend_tokens(Sequence const& sequence, std::int32_t kv_head, VisibleTokens const& visible,
                              std::int32_t first, std::int32_t n, typename Shape::Key const (&q)[std::size_t{Heads}],
                              typename Shape::State (&states)[std::size_t{Heads}]) {
  typename Shape::KeyLanes const key_lanes;
  typename Shape::ValueLanes const value_lanes;
  typename Shape::Value values[std::size_t{attend_unroll}];
  float scores[std::size_t{Heads}][std::size_t{attend_unroll}];
  for (int u = 0; u < attend_unroll; ++u) {
    typename Shape::Key key{};
    values[u] = {};
    if (u < n) {
      std::int32_t const token = visible.token(first + u);
      if (key_lanes.active())
        key = sequence.key(kv_head, token)
                  .template load<Shape::KeyLanes::per_lane>(key_lanes.rank() * Shape::KeyLanes::per_lane);
      if (value_lanes.active())
        values[u] = sequence.value(kv_head, token)
                        .template load<Shape::ValueLanes::per_lane>(value_lanes.rank() * Shape::ValueLanes::per_lane);
    }
    for (int head = 0; head < Heads; ++head) {
      float dot = 0;
      for (int i = 0; i < Shape::KeyLanes::per_lane; ++i) dot += q[head][i] * key[i];
      dot = key_lanes.sum(dot);
      scores[head][u] = u < n ? dot : -INFINITY;
    }
  }
  for (int head = 0; head < Heads; ++head) {
    typename Shape::State& state = states[head];
    float next = state.max;
    for (int u = 0; u < attend_unroll; ++u) next = fmaxf(next, scores[head][u]);
    if (next == -INFINITY) continue;
    float const keep = __expf(state.max - next);
    state.max = next;
    state.sum *= keep;
    for (int i = 0; i < Shape::ValueLanes::per_lane; ++i) state.out[i] *= keep;
    for (int u = 0; u < attend_unroll; ++u) {
      float const weight = __expf(scores[head][u] - next);
      state.sum += weight;
      for (int i = 0; i < Shape::ValueLanes::per_lane; ++i) state.out[i] += weight * values[u][i];
    }
  }
}

}  // namespace detail

/// Kernel. Attention of each query token for `Heads` query heads of one kv head, over part blockIdx.z of gridDim.z of
/// the tokens that it sees, in layer `index` of group `Group`.
///
/// Grid: (query tokens, num_query_heads / Heads, parts), 128 threads. `q`: [query tokens][num_query_heads][key_dim] of
/// T. `out`: [parts][query tokens][num_query_heads][value_dim] of Out, `lse` (or null): [parts][query tokens]
/// [num_query_heads], natural logarithm; a part without tokens gives zeros and -infinity. Heads divides the query heads
/// of a kv head. A padding query, beyond the last sequence's, is left out. Traffic: each key and value once for `Heads`
/// query heads; a row is read in pieces of at least 8 elements a lane.
template <class View, int Group, int Heads, class T, class Out>
__global__ void attend_kernel(View view, std::int32_t index, T const* q, AttendArguments arguments, Out* out,
                              float* lse) {
  using Shape = detail::AttendShape<View, Group, Heads>;
  __shared__ typename Shape::Partial partials[std::size_t{Shape::groups}][std::size_t{Heads}];
  auto const query = static_cast<std::int32_t>(blockIdx.x);
  if (query >= view.query_start(view.num_sequences())) return;
  std::int32_t const i = detail::sequence_of(view, query);
  auto const sequence = view.template sequence_in<Group>(i, index);
  std::int32_t const first_head = static_cast<std::int32_t>(blockIdx.y) * Heads;
  std::int32_t const kv_head = first_head / (arguments.num_query_heads / sequence.shape().kv_heads);
  std::int64_t const row = std::int64_t{query} * arguments.num_query_heads + first_head;

  typename Shape::KeyLanes const key_lanes;
  typename Shape::Key queries[std::size_t{Heads}];
  typename Shape::State states[std::size_t{Heads}];
  for (int head = 0; head < Heads; ++head) {
    queries[head] = load_part<Shape::KeyLanes::per_lane>(key_lanes, q + (row + head) * Shape::key_dim);
    for (int d = 0; d < Shape::KeyLanes::per_lane; ++d) queries[head][d] *= arguments.scale;
    if constexpr (View::KeyQuantizer::basis == Basis::hadamard)  // instead of turning every key back
      hadamard_rotate_by(key_lanes, queries[head], hadamard_block(Shape::key_dim));
  }

  detail::VisibleTokens const visible(sequence.shape(), sequence.first_query() + query - view.query_start(i));
  auto const part = static_cast<std::int32_t>(blockIdx.z), parts = static_cast<std::int32_t>(gridDim.z);
  auto const begin = static_cast<std::int32_t>(std::int64_t{visible.count} * part / parts);
  auto const end = static_cast<std::int32_t>(std::int64_t{visible.count} * (part + 1) / parts);
  int const group = static_cast<int>(threadIdx.x) / Shape::lanes;
  for (std::int32_t t = begin + group * detail::attend_unroll; t < end; t += Shape::groups * detail::attend_unroll) {
    std::int32_t const n = end - t < detail::attend_unroll ? end - t : detail::attend_unroll;
    detail::attend_tokens<Shape, Heads>(sequence, kv_head, visible, t, n, queries, states);
  }

  typename Shape::ValueLanes const value_lanes;
  for (int head = 0; head < Heads; ++head) {
    typename Shape::Partial& mine = partials[group][head];
    store_part<Shape::ValueLanes::per_lane>(value_lanes, states[head].out, mine.out);
    if (value_lanes.rank() == 0) {
      mine.max = states[head].max;
      mine.sum = states[head].sum;
    }
  }
  __syncthreads();
  // Group g joins what all groups have of heads g, g + groups, ...
  for (int head = group; head < Heads; head += Shape::groups) {
    bool const has_sink = arguments.sink_logits != nullptr && part == 0;
    float max = has_sink ? arguments.sink_logits[first_head + head] : -INFINITY;
    for (int g = 0; g < Shape::groups; ++g) max = fmaxf(max, partials[g][head].max);
    float sum = has_sink ? __expf(arguments.sink_logits[first_head + head] - max) : 0.0F;
    typename Shape::Value total{};
    for (int g = 0; g < Shape::groups; ++g) {
      if (partials[g][head].max == -INFINITY) continue;
      float const weight = __expf(partials[g][head].max - max);
      sum += weight * partials[g][head].sum;
      auto const theirs = load_part<Shape::ValueLanes::per_lane>(value_lanes, partials[g][head].out);
      for (int d = 0; d < Shape::ValueLanes::per_lane; ++d) total[d] += weight * theirs[d];
    }
    float const norm = sum > 0 ? 1.0F / sum : 0.0F;
    for (int d = 0; d < Shape::ValueLanes::per_lane; ++d) total[d] *= norm;
    using ValueBasis = std::conditional_t<Shape::latent, typename View::KeyQuantizer, typename View::ValueQuantizer>;
    if constexpr (ValueBasis::basis == Basis::hadamard)
      hadamard_rotate_by(value_lanes, total, hadamard_block(Shape::latent ? Shape::key_dim : Shape::value_dim));
    std::int64_t const to = std::int64_t{part} * gridDim.x * arguments.num_query_heads + row + head;
    store_part<Shape::ValueLanes::per_lane>(value_lanes, total, out + to * Shape::value_dim);
    if (lse != nullptr && value_lanes.rank() == 0) lse[to] = sum > 0 ? max + logf(sum) : -INFINITY;
  }
}

/// Kernel. Merges the parts of an attention by their log-sum-exp: `parts_out` [num_parts][num_rows][dim] and
/// `parts_lse` [num_parts][num_rows] into `out` [num_rows][dim] and `lse` [num_rows], or null. Parts that are empty
/// count nothing. Grid: (num_rows); any number of threads.
template <class Out>
__global__ void merge_attention_kernel(float const* parts_out, float const* parts_lse, std::int32_t num_parts,
                                       std::int32_t dim, Out* out, float* lse) {
  std::int64_t const num_rows = gridDim.x, row = blockIdx.x;
  float max = -INFINITY, sum = 0;
  for (std::int32_t p = 0; p < num_parts; ++p) max = fmaxf(max, parts_lse[p * num_rows + row]);
  for (std::int32_t p = 0; p < num_parts && max != -INFINITY; ++p) sum += __expf(parts_lse[p * num_rows + row] - max);
  for (auto d = static_cast<std::int32_t>(threadIdx.x); d < dim; d += static_cast<std::int32_t>(blockDim.x)) {
    float total = 0;
    for (std::int32_t p = 0; p < num_parts && max != -INFINITY; ++p) {
      float const weight = __expf(parts_lse[p * num_rows + row] - max) / sum;
      if (weight > 0) total += weight * parts_out[(p * num_rows + row) * dim + d];
    }
    store_element(total, out[row * dim + d]);
  }
  if (lse != nullptr && threadIdx.x == 0) lse[row] = max == -INFINITY ? max : max + logf(sum);
}

}  // namespace folio::ops
