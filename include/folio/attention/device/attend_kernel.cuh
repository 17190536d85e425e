// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The kernel of decode.cuh: attention of one query token at a time. Device code.

#include <cmath>
#include <cstdint>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/device/attend_step.cuh>
#include <folio/attention/device/own_view.cuh>
#include <folio/kernels/element.cuh>
#include <folio/kernels/lanes.cuh>
#include <folio/quantizer/basis.hpp>
#include <folio/view.hpp>
#include <type_traits>

namespace folio::ops {

namespace detail {

inline constexpr int attend_threads = 128;

/// How a thread block shares the work: groups of lanes, each with a step of tokens at a time, for all heads.
template <class View, int Group, int Heads>
struct AttendShape {
  using Layer = LayerView<View, Group>;
  static constexpr std::int32_t key_dim = Layer::known.key_dim, value_dim = Layer::known.value_dim;
  static constexpr bool latent = Layer::known.values_in_keys();
  static constexpr int row_chunks = (key_dim > value_dim ? key_dim : value_dim) / chunk_dim;
  static constexpr int lanes = row_chunks <= 8 ? 8 : row_chunks <= 16 ? 16 : 32;
  static constexpr int groups = attend_threads / lanes;
  using Key = StoredPart<typename Layer::KeyRow, key_dim, lanes>;
  // A latent layer's values are the first chunks of its keys, which the lane has already.
  using Value = std::conditional_t<latent, Key, StoredPart<typename Layer::ValueRow, value_dim, lanes>>;
  static constexpr int key_part = Key::chunks * chunk_dim;
  static constexpr int value_chunks = (value_dim / chunk_dim + lanes - 1) / lanes;
  static constexpr int value_part = value_chunks * chunk_dim;

  // A step has fewer tokens where the rows of a latent layer are long and are needed until their values are added.
  static constexpr int tokens = latent ? 2 : 4;
  // The scores of a step are numbered head * tokens + token. A lane keeps `owned` of them, or `copies` lanes keep
  // the same one.
  static constexpr int scores = Heads * tokens;
  static constexpr int owned = scores > lanes ? scores / lanes : 1, copies = lanes > scores ? lanes / scores : 1;
  static constexpr int lanes_per_head = lanes / Heads;
  [[nodiscard]] __device__ static int rank() { return static_cast<int>(threadIdx.x) % lanes; }

  /// Thread blocks that a multiprocessor shall hold, and so a bound on registers: 128, 168 or 255 for a thread. In
  /// registers are the queries and results of all heads, and the stored rows of a step; latent rows stay decoded until
  /// their values are added, and keys and values that lie differently need addresses of their own.
  static constexpr bool same_places =
      latent || (std::is_same_v<typename Layer::KeyQuantizer, typename Layer::ValueQuantizer> && key_dim == value_dim &&
                 View::Layout::run_bytes(Plane::key) == View::Layout::run_bytes(Plane::value));
  static constexpr int registers = Heads * (key_part + value_part) +
                                   tokens * (Key::registers + (latent ? value_part : Value::registers)) +
                                   (same_places ? 0 : 16);
  static constexpr int resident = registers <= 80 ? 4 : registers <= 120 ? 3 : 2;

  /// The running softmax. `max` and `sum` are of the head whose scores the lane owns; `sum` of the owned ones alone.
  struct State {
    float max = -INFINITY, sum = 0;
    Vec<value_part> out[std::size_t{Heads}] = {};
  };
  struct Shared {
    alignas(16) float queries[std::size_t{Heads}][std::size_t{key_dim}];
    alignas(16) float out[std::size_t{groups}][std::size_t{Heads}][std::size_t{value_dim}];
    float max[std::size_t{groups}][std::size_t{Heads}], sum[std::size_t{groups}][std::size_t{Heads}];
    std::int32_t position;  // of the query; with what follows, where scores are modified: so it takes no registers
    TreeMask tree;
  };
};

/// The queries: scaled, turned to the keys' basis instead of every key back, and handed to all groups of lanes.
template <class View, class Shape, int Heads, class T>
__device__ void share_queries(T const* q, std::int32_t num_heads, float scale, typename Shape::Shared& shared) {
  using RowLanes = Lanes<Shape::key_dim>;
  RowLanes const lanes;
  constexpr int rows = attend_threads / RowLanes::count, n = RowLanes::per_lane;
  for (int head = static_cast<int>(threadIdx.x) / RowLanes::count; head < Heads; head += rows) {
    Vec<n> part{};
    if (head < num_heads) part = load_part<n>(lanes, q + std::int64_t{head} * Shape::key_dim);
    for (int d = 0; d < n; ++d) part[d] *= scale;
    change_basis_by<Shape::Layer::KeyQuantizer::basis>(lanes, part, Shape::key_dim);
    store_part<n>(lanes, part, shared.queries[head]);
  }
  __syncthreads();
}

/// Adds up N numbers over 2 * Distance lanes and shares the sums out: lane r of L gets those from r * N / L on. Takes
/// N - 1 exchanges for N <= L numbers, where one number after the other would take N * log2(L).
template <int Distance, int N>
__device__ auto share_sums(Vec<N> const& numbers) {
  if constexpr (Distance == 0) {
    return numbers;
  } else if constexpr (N > 1) {
    bool const upper = (threadIdx.x & unsigned{Distance}) != 0;
    Vec<N / 2> half;
    for (int i = 0; i < N / 2; ++i) {
      float const mine = upper ? numbers[i + N / 2] : numbers[i], other = upper ? numbers[i] : numbers[i + N / 2];
      half[i] = mine + __shfl_xor_sync(whole_warp, other, Distance);
    }
    return share_sums<Distance / 2>(half);
  } else {
    return share_sums<Distance / 2>(Vec<1>{{numbers[0] + __shfl_xor_sync(whole_warp, numbers[0], Distance)}});
  }
}

/// The scores of a step that this lane owns.
template <class Shape, int Heads>
__device__ Vec<Shape::owned> step_scores(typename Shape::Key const (&keys)[std::size_t{Shape::tokens}],
                                         Vec<Shape::key_part> const (&q)[std::size_t{Heads}]) {
  Vec<Shape::scores> dots{};
  for (int u = 0; u < Shape::tokens; ++u)
    for (int c = 0; c < Shape::Key::chunks; ++c) {
      auto const key = keys[u].decode(c);
      for (int head = 0; head < Heads; ++head)
        for (int i = 0; i < chunk_dim; ++i) dots[head * Shape::tokens + u] += q[head][c * chunk_dim + i] * key[i];
    }
  return share_sums<Shape::lanes / 2>(dots);
}

/// What soft-cap and ALiBi make of the scores of tokens from `first` on.
template <class Shape, int Heads>
__device__ void modify_scores(AttentionParams const& params, HeadRange const& heads, std::int32_t position,
                              std::int32_t first, Vec<Shape::owned>& scores) {
  int const number = Shape::rank() / Shape::copies * Shape::owned, head = number / Shape::tokens;
  ScoreModification const modified(params, heads.first + (head < heads.count ? head : 0));
  for (int i = 0; i < Shape::owned; ++i)
    scores[i] = modified(scores[i], first + (number + i) % Shape::tokens - position);
}

/// Takes a step's scores into the running softmax, in powers of 2. Scores become weights.
template <class Shape, int Heads>
__device__ void add_scores(unsigned seen, Vec<Shape::owned>& scores, typename Shape::State& state) {
  float max = state.max;
  for (int i = 0; i < Shape::owned; ++i) {
    int const u = (Shape::rank() / Shape::copies * Shape::owned + i) % Shape::tokens;
    if ((seen >> u & 1U) == 0) scores[i] = -INFINITY;
    max = fmaxf(max, scores[i]);
  }
  for (int d = Shape::copies; d < Shape::lanes_per_head; d *= 2) max = fmaxf(max, __shfl_xor_sync(whole_warp, max, d));
  if (__any_sync(whole_warp, max > state.max) != 0) {  // seldom, once the largest score has been met
    float const keep = state.max == -INFINITY ? 0.0F : exp2f(state.max - max);
    state.max = max;
    state.sum *= keep;
    for (int head = 0; head < Heads; ++head) {
      float const factor = __shfl_sync(whole_warp, keep, head * Shape::lanes_per_head, Shape::lanes);
      for (int i = 0; i < Shape::value_part; ++i) state.out[head][i] *= factor;
    }
  }
  for (int i = 0; i < Shape::owned; ++i) {  // a NaN, which no maximum takes, stays one even where it is all there is
    scores[i] = scores[i] == -INFINITY ? 0.0F : exp2f(scores[i] - state.max);
    state.sum += scores[i];
  }
}

/// Adds a step's values, each by its weight.
template <class Shape, int Heads>
__device__ void add_values(Vec<Shape::owned> const& weights,
                           typename Shape::Value const (&values)[std::size_t{Shape::tokens}],
                           typename Shape::State& state) {
  for (int u = 0; u < Shape::tokens; ++u) {
    Vec<chunk_dim> value[std::size_t{Shape::value_chunks}];
    for (int c = 0; c < Shape::value_chunks; ++c) value[c] = values[u].decode(c);
    for (int head = 0; head < Heads; ++head) {
      int const score = head * Shape::tokens + u, owner = score / Shape::owned * Shape::copies;
      float const weight = __shfl_sync(whole_warp, weights[score % Shape::owned], owner, Shape::lanes);
      for (int i = 0; i < Shape::value_part; ++i) state.out[head][i] += weight * value[i / chunk_dim][i % chunk_dim];
    }
  }
}

/// Takes in the tokens of a range. The groups of lanes take turns; those of a warp take neighbouring steps, and all the
/// same number of turns.
template <class Shape, int Heads, class Sequence, class Arguments>
__device__ void attend_range(Sequence const& sequence, Arguments const& arguments, HeadRange const& heads,
                             typename Shape::Shared const& shared, TokenRange const& range,
                             Vec<Shape::key_part> const (&q)[std::size_t{Heads}], typename Shape::State& state) {
  using Step = DecodeStep<Shape::tokens, Shape::Layer::known.block_size>;
  auto const& layer = sequence.layer();
  auto const key = [&](BlockId block, std::int32_t slot) { return layer.key(block, heads.kv_head, slot); };
  auto const value = [&](BlockId block, std::int32_t slot) { return layer.value(block, heads.kv_head, slot); };
  auto const make_step = [&](std::int32_t i) {
    Step step(sequence, range, i);
    if (arguments.modifies_scores) step.hide(shared.tree);
    return step;
  };
  typename Shape::Key keys[std::size_t{Shape::tokens}] = {};
  typename Shape::Value values[std::size_t{Shape::tokens}] = {};
  std::int32_t i = range.begin / Shape::tokens + static_cast<std::int32_t>(threadIdx.x / Shape::lanes);
  Step step = make_step(i);
  load_step(step, key, keys);
  if constexpr (!Shape::latent) load_step(step, value, values);
  unsigned seen = step.seen();
  i += Shape::groups;
  step = make_step(i);
  auto const first_group = static_cast<std::int32_t>(Shape::groups + threadIdx.x % 32 / Shape::lanes);
  while ((i - first_group) * Shape::tokens < range.end) {  // while the warp's first group has a step
    __syncwarp();  // tells the compiler that the warp is together: without it each exchange has a slow second version
    auto scores = step_scores<Shape, Heads>(keys, q);
    if constexpr (!Shape::latent) load_step(step, key, keys);
    if (arguments.modifies_scores)
      modify_scores<Shape, Heads>(arguments.params, heads, shared.position, (i - Shape::groups) * Shape::tokens,
                                  scores);
    add_scores<Shape, Heads>(seen, scores, state);
    if constexpr (Shape::latent) {
      add_values<Shape, Heads>(scores, keys, state);
      load_step(step, key, keys);
    } else {
      add_values<Shape, Heads>(scores, values, state);
      load_step(step, value, values);
    }
    seen = step.seen();
    i += Shape::groups;
    step = make_step(i);
  }
}

/// What each group of lanes has, for the others to see.
template <class Shape, int Heads>
__device__ void share_state(typename Shape::State& state, typename Shape::Shared& shared) {
  for (int d = Shape::copies; d < Shape::lanes_per_head; d *= 2) state.sum += __shfl_xor_sync(whole_warp, state.sum, d);
  int const group = static_cast<int>(threadIdx.x) / Shape::lanes;
  for (int head = 0; head < Heads; ++head) {
    for (int c = 0; c < Shape::value_chunks; ++c) {
      int const first = (Shape::rank() + c * Shape::lanes) * chunk_dim;
      if (first < Shape::value_dim)
        for (int i = 0; i < chunk_dim; ++i) shared.out[group][head][first + i] = state.out[head][c * chunk_dim + i];
    }
    if (Shape::rank() == head * Shape::lanes_per_head) {
      shared.max[group][head] = state.max;
      shared.sum[group][head] = state.sum;
    }
  }
  __syncthreads();
}

/// What all groups have of one head, joined and turned back to the model's basis: a row of the result for `lanes` to
/// hold together. `sink` is a score without a value, or -infinity. Returns the log-sum-exp.
template <class View, class Shape, class RowLanes, int N>
__device__ float join_groups(RowLanes const& lanes, int head, float sink, typename Shape::Shared const& shared,
                             Vec<N>& row) {
  float max = sink;
  for (int g = 0; g < Shape::groups; ++g) max = fmaxf(max, shared.max[g][head]);
  if (max == -INFINITY) max = 0;  // nothing was seen, or NaNs alone: then they are in the sums
  float sum = exp2f(sink - max);
  for (int g = 0; g < Shape::groups; ++g) {
    float const weight = exp2f(shared.max[g][head] - max);
    sum += weight * shared.sum[g][head];
    auto const theirs = load_part<N>(lanes, shared.out[g][head]);
    for (int d = 0; d < N; ++d) row[d] += weight * theirs[d];
  }
  if (sum == 0) return -INFINITY;
  for (int d = 0; d < N; ++d) row[d] /= sum;
  change_basis_by<Shape::Layer::ValueQuantizer::basis>(lanes, row, Shape::latent ? Shape::key_dim : Shape::value_dim);
  return (max + log2f(sum)) * ln_of_2;
}

/// The results of all heads of a thread block, written where they belong.
template <class View, class Shape, class T, class Out>
__device__ void store_results(AttendArguments<T, Out> const& arguments, std::int64_t query, HeadRange const& heads,
                              typename Shape::Shared const& shared) {
  using RowLanes = Lanes<Shape::value_dim>;
  RowLanes const lanes;
  constexpr int n = RowLanes::per_lane;
  bool const has_sink = arguments.params.sink_logits != nullptr && blockIdx.z == 0;
  AttentionIo<T, Out> const& io = arguments.io;
  for (int head = static_cast<int>(threadIdx.x) / RowLanes::count; head < heads.count;
       head += attend_threads / RowLanes::count) {
    float const sink = has_sink ? arguments.params.sink_logits[heads.first + head] * log2_of_e : -INFINITY;
    Vec<n> row{};
    float const lse = join_groups<View, Shape>(lanes, head, sink, shared, row);
    std::int64_t to = query * io.num_query_heads + heads.first + head;
    if (arguments.parts_out == nullptr) {
      store_part<n>(lanes, row, io.out + query * io.out_stride + std::int64_t{heads.first + head} * Shape::value_dim);
      if (io.lse != nullptr && lanes.rank() == 0) io.lse[to] = lse;
    } else {
      to += std::int64_t{blockIdx.z} * gridDim.x * io.num_query_heads;
      store_part<n>(lanes, row, arguments.parts_out + to * Shape::value_dim);
      if (lanes.rank() == 0) arguments.parts_lse[to] = lse;
    }
  }
}

}  // namespace detail

/// Kernel. Attention of each query token, for up to `Heads` query heads of one kv head, over part blockIdx.z of
/// gridDim.z of the tokens that it sees, in layer `index` of group `Group`.
///
/// Grid: (query tokens, kv heads * ceil(query heads of a kv head / Heads), parts), 128 threads. The results go to
/// `parts_out` and `parts_lse` of the arguments where these are given, as several parts need it, else to `out` and
/// `lse`: a part without tokens gives zeros and -infinity. A padding query, beyond the last sequence's, is left out. T
/// and Out are float, Half or BFloat16; Heads is 1, 2, 4 or 8.
///
/// Where the arguments give the step's own keys and values, a cache's view has the tokens before them, and an OwnView
/// them.
///
/// Traffic: each key and value once for `Heads` query heads. A lane reads 8 elements of a row at a time: 16 bytes of
/// F16, 8 of Int8PerToken, 4 of Int4Rotated, neighbouring lanes neighbouring ones. The rows of 4 tokens are on their
/// way while those of the 4 before are worked on: keys during the weighted sum of values, values during the dot
/// products. Per token and kv head an SM issues about 16 clocks of instructions for F16 and Heads = 4, and 20 for
/// Int8PerToken and Int4Rotated, where 4.8 TB/s for 132 SMs bring an F16 token in 25 clocks: bound by memory for 16
/// bits, by instructions below. The order of additions is fixed, so results do not change from run to run.
template <class View, int Group, int Heads, class T, class Out>
__global__ void __launch_bounds__(detail::attend_threads, detail::AttendShape<View, Group, Heads>::resident)
    attend_kernel(View view, std::int32_t index, AttendArguments<T, Out> arguments) {
  using Shape = detail::AttendShape<View, Group, Heads>;
  __shared__ typename Shape::Shared shared;
  auto const query = static_cast<std::int32_t>(blockIdx.x);
  if (query >= view.query_start(view.num_sequences())) return;
  std::int32_t const i = detail::sequence_of(view, query);
  auto const sequence = view.template sequence_in<Group>(i, index);
  detail::HeadRange const heads(arguments.io.num_query_heads, sequence.shape().kv_heads, Heads);
  std::int32_t const position = sequence.limit(query - view.query_start(i)) - 1;
  if (arguments.modifies_scores && threadIdx.x == 0) {
    shared.position = position;
    shared.tree = detail::TreeMask(arguments.params, query, sequence.first_query());
  }

  std::int64_t const first_row = std::int64_t{heads.first} * Shape::key_dim;
  detail::share_queries<View, Shape, Heads>(arguments.io.q + query * arguments.io.q_stride + first_row, heads.count,
                                            arguments.params.scale * detail::log2_of_e, shared);
  Vec<Shape::key_part> q[std::size_t{Heads}];
  for (int head = 0; head < Heads; ++head)
    for (int d = 0; d < Shape::key_part; ++d)
      q[head][d] =
          shared.queries[head][Shape::Key::chunk(d / detail::chunk_dim) * detail::chunk_dim + d % detail::chunk_dim];

  detail::VisibleTokens visible(sequence.shape(),
                                detail::tokens_in(view, Group, sequence, view.query_start(i), arguments), position,
                                detail::visible_end(arguments.params, position, sequence.num_tokens()));
  detail::keep_part(visible, Shape::tokens, blockIdx.z, gridDim.z);
  typename Shape::State state;
  if constexpr (Shape::Layer::known.sinks > 0)
    detail::attend_range<Shape, Heads>(sequence, arguments, heads, shared, visible.sinks, q, state);
  detail::attend_range<Shape, Heads>(sequence, arguments, heads, shared, visible.window, q, state);
  detail::share_state<Shape, Heads>(state, shared);
  detail::store_results<View, Shape>(arguments, query, heads, shared);
}

}  // namespace folio::ops
