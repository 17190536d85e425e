// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Sums of attention weights on the device: what retention policies choose by.

#include <algorithm>
#include <cstdint>
#include <folio/kernels/element.cuh>
#include <folio/kernels/lanes.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/ops/scores.hpp>
#include <folio/quantizer/basis.hpp>
#include <utility>

namespace folio::ops {

namespace detail {

inline constexpr int score_threads = 128;

/// How a thread block works: groups of lanes, each with a few tokens' keys in registers, and queries in shared memory
/// that all of them read.
template <class View, int Group>
struct ScoreShape {
  using Layer = LayerView<View, Group>;
  static constexpr std::int32_t key_dim = Layer::known.key_dim;
  static constexpr Basis key_basis = Layer::KeyQuantizer::basis;
  using KeyLanes = Lanes<key_dim, RowSharing<key_dim, key_dim % 16 == 0 ? 16 : 8>::lanes>;
  static constexpr int lanes = KeyLanes::count, per_lane = KeyLanes::per_lane;
  static constexpr int groups = score_threads / lanes;
  static constexpr int tokens = per_lane < 16 ? 4 : 64 / per_lane;  ///< of a group of lanes
  static constexpr int tile = groups * tokens;                      ///< tokens of a thread block
  static constexpr int rows = 4096 / (lanes * per_lane) < 64 ? 4096 / (lanes * per_lane) : 64;  ///< 16 KiB of queries
  static constexpr int quarters = per_lane / 4;
  using Key = Pack<float, per_lane>;

  struct alignas(16) Quarter {
    float v[4];
  };
  /// Rows of queries. Each lane's elements are apart, so that lanes side by side read side by side.
  struct Queries {
    Quarter elements[std::size_t{rows}][std::size_t{quarters}][std::size_t{lanes}];
    float lse[std::size_t{rows}];
    std::int32_t positions[std::size_t{rows}];
  };
};

/// The query tokens of a sequence that see something of the tokens [first, end): from `begin` on, `count` of them.
struct Observers {
  std::int32_t begin, count;

  template <class Sequence>
  __device__ Observers(Sequence const& sequence, std::int32_t first, std::int32_t end)
      : begin(first_with_limit(sequence, std::int64_t{first} + 1)) {
    GroupShape const shape = sequence.shape();
    std::int32_t last = sequence.num_query_tokens();
    if (shape.window > 0 && first >= shape.sinks)  // after the last query whose window reaches back to token end - 1
      last = first_with_limit(sequence, std::int64_t{end} + shape.window);
    count = last > begin ? last - begin : 0;
  }
};

/// What one kv head of a sequence is asked with: its rows begin at the first query token that sees something.
template <class T>
struct HeadQueries {
  T const* q;
  float const* lse;
  std::int32_t num_query_heads, heads;  ///< heads: those of the kv head
  std::int32_t first_position, first;   ///< the first query token's number without limits; which one it is in the step
  std::int32_t const* limits;           ///< of the step, or null: not the sequence's, which would take registers
  float scale;
};

/// Loads, scales and rotates `n` rows of queries from row `first` on: row r is query token r / heads.
template <class Shape, class T>
__device__ void stage_queries(typename Shape::Queries& queries, HeadQueries<T> const& from, std::int64_t first,
                              std::int32_t n) {
  typename Shape::KeyLanes const lanes;
  for (auto r = static_cast<std::int32_t>(threadIdx.x) / Shape::lanes; r < n; r += Shape::groups) {
    auto const query = static_cast<std::int32_t>((first + r) / from.heads);
    std::int64_t const row = std::int64_t{query} * from.num_query_heads + (first + r) % from.heads;
    auto part = load_part<Shape::per_lane>(lanes, from.q + row * Shape::key_dim);
    for (int d = 0; d < Shape::per_lane; ++d) part[d] *= from.scale;
    change_basis_by<Shape::key_basis>(lanes, part, Shape::key_dim);
    for (int d = 0; d < Shape::per_lane; ++d) queries.elements[r][d / 4][lanes.rank()].v[d % 4] = part[d];
    if (lanes.rank() != 0) continue;
    float const lse = from.lse[row];
    std::int32_t position = from.first_position + query;
    if (from.limits != nullptr) position = from.limits[from.first + query] - 1;
    queries.positions[r] = lse > -INFINITY ? position : -1;  // who saw nothing gives no weight
    queries.lse[r] = lse;
  }
}

/// keys[u] = load(u), written out: in a loop that the compiler leaves as one, the keys would not be in registers.
template <class Shape, int... Token, class Load>
__device__ void load_keys(typename Shape::Key (&keys)[std::size_t{Shape::tokens}], std::integer_sequence<int, Token...>,
                          Load const& load) {
  ((keys[Token] = load(Token)), ...);
}

/// Adds the weights that `n` staged queries give to this group's tokens, which are Shape::groups apart from `token` on.
template <class Shape>
__device__ void add_weights(typename Shape::Queries const& queries, std::int32_t n, GroupShape const& shape,
                            typename Shape::Key const (&keys)[std::size_t{Shape::tokens}], std::int32_t token,
                            float (&sums)[std::size_t{Shape::tokens}]) {
  typename Shape::KeyLanes const lanes;
  for (std::int32_t r = 0; r < n; ++r) {
    float dots[std::size_t{Shape::tokens}] = {};
    for (int part = 0; part < Shape::quarters; ++part) {
      auto const q = queries.elements[r][part][lanes.rank()];
      for (int u = 0; u < Shape::tokens; ++u)
        for (int d = 0; d < 4; ++d) dots[u] += q.v[d] * keys[u][part * 4 + d];
    }
    std::int32_t const position = queries.positions[r];
    for (int u = 0; u < Shape::tokens; ++u) {
      float const score = lanes.sum(dots[u]);
      if (shape.visible(position, token + u * Shape::groups)) sums[u] += __expf(score - queries.lse[r]);
    }
  }
}

/// Adds the weights that one kv head gives to this group's tokens before `end`. All threads of the block call it.
template <class Shape, class Sequence, class T>
__device__ void observe_head(Sequence const& sequence, std::int32_t head, HeadQueries<T> const& from,
                             std::int64_t num_rows, std::int32_t token, std::int32_t end,
                             typename Shape::Queries& queries, float (&sums)[std::size_t{Shape::tokens}]) {
  typename Shape::KeyLanes const lanes;
  GroupShape const shape = sequence.shape();
  std::int32_t const seen_from = shape.window_begin(sequence.first_query());
  typename Shape::Key keys[std::size_t{Shape::tokens}];
  load_keys<Shape>(keys, std::make_integer_sequence<int, Shape::tokens>{}, [&](int u) {
    std::int32_t const t = token + u * Shape::groups;
    // What has left every window may be given back, and is not read.
    if (t >= end || (t >= shape.sinks && t < seen_from) || !lanes.active()) return typename Shape::Key{};
    return sequence.key(head, t).template load_in<Shape::key_basis, Shape::per_lane>(lanes.rank() * Shape::per_lane);
  });
  for (std::int64_t begin = 0; begin < num_rows; begin += Shape::rows) {
    auto const n = static_cast<std::int32_t>(num_rows - begin < Shape::rows ? num_rows - begin : Shape::rows);
    __syncthreads();  // everybody is done with the rows before these
    stage_queries<Shape>(queries, from, begin, n);
    __syncthreads();
    add_weights<Shape>(queries, n, shape, keys, token, sums);
  }
}

}  // namespace detail

/// Kernel. ops::accumulate_scores in layer `index` of group `Group`: see there for the arrays and for `options`, whose
/// scale is not 0 here.
///
/// Any grid of one dimension, blocks of 128 threads; a block has a few tokens of one row of scores at a time. T is
/// float, Half or BFloat16. Each score is summed by one group of lanes in one order, so results repeat bit by bit.
/// Traffic: each key that is seen once, the queries that see them once for each block of tokens, each score at most
/// twice. Tokens that no query sees are not read when decay is 1.
template <class View, int Group, class T>
__global__ void accumulate_scores_kernel(View view, std::int32_t index, T const* q, std::int32_t num_query_heads,
                                         float const* lse, float* scores, ScoreOptions options) {
  using Shape = detail::ScoreShape<View, Group>;
  __shared__ typename Shape::Queries queries;
  typename Shape::KeyLanes const lanes;
  GroupShape const shape = LayerView<View, Group>(view.group(Group), index).shape();
  std::int32_t const score_heads = options.per_head ? shape.kv_heads : 1, heads = num_query_heads / shape.kv_heads;
  std::int64_t const tiles = (std::int64_t{options.max_tokens} + Shape::tile - 1) / Shape::tile;
  std::int64_t const work = tiles * view.num_sequences() * score_heads;
  for (std::int64_t w = blockIdx.x; w < work; w += gridDim.x) {
    std::int64_t const score_row = w / tiles;
    auto const i = static_cast<std::int32_t>(score_row / score_heads);
    auto const sequence = view.template sequence_in<Group>(i, index);
    auto const first = static_cast<std::int32_t>(w % tiles * Shape::tile);
    std::int32_t const length = sequence.num_tokens();
    std::int32_t const end = length - first < Shape::tile ? length : first + Shape::tile;
    if (first >= end) continue;
    detail::Observers const seen(sequence, first, end);
    if (seen.count == 0 && options.decay == 1) continue;

    std::int32_t const token = first + static_cast<std::int32_t>(threadIdx.x) / Shape::lanes;
    float sums[std::size_t{Shape::tokens}] = {};
    auto const first_head = options.per_head ? static_cast<std::int32_t>(score_row % score_heads) : 0;
    std::int32_t const end_head = options.per_head ? first_head + 1 : shape.kv_heads;
    for (std::int32_t head = first_head; head < end_head && seen.count > 0; ++head) {
      std::int64_t const row = (std::int64_t{view.query_start(i)} + seen.begin) * num_query_heads + head * heads;
      detail::HeadQueries<T> const from{q + row * Shape::key_dim,
                                        lse + row,
                                        num_query_heads,
                                        heads,
                                        sequence.num_tokens() - sequence.num_query_tokens() + seen.begin,
                                        view.query_start(i) + seen.begin,
                                        view.group(Group).limits,
                                        options.scale};
      detail::observe_head<Shape>(sequence, head, from, std::int64_t{seen.count} * heads, token, end, queries, sums);
    }
    for (int u = 0; u < Shape::tokens; ++u) {
      std::int32_t const t = token + u * Shape::groups;
      if (t >= end || lanes.rank() != 0) continue;
      float* const score = scores + score_row * options.max_tokens + t;
      *score = (options.decay == 0 ? 0.0F : options.decay * *score) + sums[u];
    }
  }
}

/// ops::accumulate_scores on the device, on `stream`. Asynchronous; all pointers are device memory, and q begins at a
/// multiple of 16 bytes. The caller knows that no sequence is longer than options.max_tokens: lengths are on the device
/// and not read here. Throws Error for a layer or a head count that does not fit, or a null pointer, CudaError when the
/// launch fails.
template <class View, class T>
void accumulate_scores(DeviceView<View> const& view, std::int32_t layer, T const* q, std::int32_t num_query_heads,
                       float const* lse, float* scores, ScoreOptions options, cudaStream_t stream) {
  View const& plain = view;
  with_group(plain, layer, [&](auto group, std::int32_t index) {
    GroupShape const shape = LayerView<View, group()>(plain.group(group()), index).shape();
    detail::checked_score_heads(shape, num_query_heads, options);
    detail::check_scored(q, lse, scores, plain.num_query_tokens(), plain.num_sequences());
    if (plain.num_sequences() == 0) return;
    check_aligned(q, "q");
    options.scale = folio::detail::score_scale(shape, options.scale);
    constexpr std::int64_t tile = detail::ScoreShape<View, group()>::tile;
    std::int64_t const blocks =
        (options.max_tokens + tile - 1) / tile * plain.num_sequences() * (options.per_head ? shape.kv_heads : 1);
    launch(accumulate_scores_kernel<View, group(), T>, static_cast<unsigned>(std::min<std::int64_t>(blocks, 65535)),
           detail::score_threads, 0, stream, plain, index, q, num_query_heads, lse, scores, options);
  });
}

}  // namespace folio::ops
