// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Prefill's kernel: attention of many query tokens, prompts, whole or in chunks. Also an example of a kernel that
// reads a cache through its view: 1. a tile of queries, 2. tiles of keys and values, decoded once for all of them, 3.
// results. Device code.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/attention/device/attend_arguments.cuh>
#include <folio/attention/device/checks.cuh>
#include <folio/attention/device/own_view.cuh>
#include <folio/attention/device/visible.cuh>
#include <folio/kernels/element.cuh>
#include <folio/kernels/lanes.cuh>
#include <folio/kernels/launch.cuh>
#include <folio/quantizer/basis.hpp>
#include <folio/view.hpp>
#include <type_traits>

namespace folio::ops {

namespace detail {

inline constexpr int prefill_threads = 128;

using Quad = Vec<4>;  // read by one load

/// What a thread block shares. A row of a tile is one query head of one query token. Thread (y, x) of 16 x 8 works on
/// rows y, y + 16, ..: on the scores of tokens x, x + 8, .., and on quads x, x + 8, .. of the results.
template <std::int32_t KeyDim, std::int32_t ValueDim>
struct PrefillTile {
  static constexpr int key_quads = KeyDim / 4, value_quads = ValueDim / 4;
  static constexpr int longest = KeyDim > ValueDim ? KeyDim : ValueDim;
  static constexpr int rows = longest <= 128 ? 64 : longest <= 256 ? 32 : 16;
  static constexpr int tokens = longest <= 64 ? 32 : longest <= 128 ? 16 : 8;
  static constexpr int rows_each = rows / 16, tokens_each = tokens / 8, quads_each = (value_quads + 7) / 8;
  static constexpr int pitch = longest / 4 + 1;  // odd, so that the same quad of 8 rows is in different banks

  Quad queries[std::size_t{rows}][std::size_t{pitch}];   // in the end the results
  Quad stored[std::size_t{tokens}][std::size_t{pitch}];  // keys, then values
  Quad weights[std::size_t{rows}][std::size_t{tokens / 4 + 1}];

  /// What a thread knows of its rows. `max` is the whole row's, `sum` of the thread's own tokens.
  struct State {
    std::int32_t position = 0;  // of the query token
    std::int32_t end = 0;       // of the tokens that it sees: none, where there is no query token
    float max = -INFINITY, sum = 0;
    Quad out[std::size_t{quads_each}] = {};
  };
  using States = State[std::size_t{rows_each}];
};

/// Which rows a thread block has: those of `count` query tokens, from the `first`th of a sequence on.
///
/// Tiles do not cross sequences. Sequence i has the tiles from query_start(i) / tokens + i on, always as many as it
/// needs: so a tile finds its sequence by a search, without a table, and a few tiles are empty.
struct PrefillRows {
  std::int32_t num_query_heads, heads_each;  // heads of a token in a tile
  HeadRange heads;
  std::int32_t sequence = 0, first, count, first_query;  // first_query: of the batch

  template <class View>
  __device__ PrefillRows(View const& view, std::int32_t kv_heads, std::int32_t all_heads, std::int32_t rows)
      : num_query_heads(all_heads),
        heads_each(all_heads / kv_heads < rows ? all_heads / kv_heads : rows),
        heads(all_heads, kv_heads, heads_each) {
    std::int32_t const tokens = rows / heads_each, tile = static_cast<std::int32_t>(blockIdx.x);
    auto const first_tile = [&](std::int32_t i) { return view.query_start(i) / tokens + i; };
    for (std::int32_t end = view.num_sequences(); end - sequence > 1;) {
      std::int32_t const middle = (sequence + end) / 2;
      (first_tile(middle) <= tile ? sequence : end) = middle;
    }
    first = (tile - first_tile(sequence)) * tokens;
    first_query = view.query_start(sequence) + first;
    std::int32_t const left = view.query_start(sequence + 1) - first_query;
    count = left < tokens ? left : tokens;
  }

  // Which rows there are; a row's head; its query token in the step.
  [[nodiscard]] __device__ bool has(int row) const {
    return row / heads_each < count && row % heads_each < heads.count;
  }
  [[nodiscard]] __device__ std::int32_t head(int row) const { return heads.first + row % heads_each; }
  [[nodiscard]] __device__ std::int32_t query(int row) const { return first_query + row / heads_each; }
};

/// Calls f(row, lanes) for every row of a tile, with the lanes that hold its `Dim` elements together.
template <std::int32_t Dim, int Rows, class F>
__device__ void for_each_row(F const& f) {
  Lanes<Dim> const lanes;
  for (int row = static_cast<int>(threadIdx.x) / lanes.count; row < Rows; row += prefill_threads / lanes.count)
    f(row, lanes);
}

/// Decodes the rows of tokens [first, end) into shared memory, 8 elements at a time; zeros where a tile is not full.
/// Returns whether the thread's elements are all finite.
template <int Chunks, class Tile, class RowOf>
__device__ bool load_tokens(RowOf const& row_of, std::int32_t first, std::int32_t end, Tile& tile) {
  float zeros = 0;  // of an infinity or a NaN, times 0, a NaN
  for (int i = static_cast<int>(threadIdx.x); i < Tile::tokens * Chunks; i += prefill_threads) {
    int const t = i / Chunks, chunk = i % Chunks;
    Vec<8> elements{};
    if (first + t < end) {
      auto const row = row_of(first + t);
      elements = row.template load_in<row.basis, 8>(chunk * 8);
    }
    for (int e = 0; e < 8; ++e) tile.stored[t][chunk * 2 + e / 4][e % 4] = elements[e];
    for (int e = 0; e < 8; ++e) zeros += elements[e] * 0.0F;
  }
  return zeros == 0;
}

/// Queries times keys: scores[i][j] of the thread's ith row and jth token.
template <class Tile>
__device__ void multiply_keys(Tile const& tile, int y, int x,
                              Vec<Tile::tokens_each> (&scores)[std::size_t{Tile::rows_each}]) {
  for (int d = 0; d < Tile::key_quads; ++d) {
    Quad q[std::size_t{Tile::rows_each}];
    for (int i = 0; i < Tile::rows_each; ++i) q[i] = tile.queries[y + 16 * i][d];
    for (int j = 0; j < Tile::tokens_each; ++j) {
      Quad const k = tile.stored[x + 8 * j][d];
      for (int i = 0; i < Tile::rows_each; ++i)
        for (int e = 0; e < 4; ++e) scores[i][j] += q[i][e] * k[e];
    }
  }
}

/// Whether a row sees `token`, but for a tree mask.
template <class State>
__device__ bool sees(GroupShape const& shape, State const& state, std::int32_t token) {
  return token < state.end && (token >= shape.window_begin(state.position) || token < shape.sinks);
}

/// Takes the scores of tokens [first, end) into a row's running softmax, in powers of 2, and shares their weights.
template <class Tile>
__device__ void add_scores(GroupShape const& shape, std::int32_t first, std::int32_t end, int x,
                           Vec<Tile::tokens_each>& scores, typename Tile::State& state, Quad* weights) {
  float max = state.max;
  for (int j = 0; j < Tile::tokens_each; ++j) {
    std::int32_t const token = first + x + 8 * j;
    if (token >= end || !sees(shape, state, token)) scores[j] = -INFINITY;
    max = fmaxf(max, scores[j]);
  }
  for (int d = 1; d < 8; d *= 2) max = fmaxf(max, __shfl_xor_sync(whole_warp, max, d));  // of the row's 8 threads
  bool const nothing = max == -INFINITY;
  float const keep = nothing ? 1.0F : exp2f(state.max - max);
  state.max = max;
  state.sum *= keep;
  for (Quad& out : state.out)
    for (float& element : out.v) element *= keep;
  for (int j = 0; j < Tile::tokens_each; ++j) {
    float const weight = scores[j] == -INFINITY ? 0.0F : exp2f(scores[j] - max);  // a NaN stays one
    state.sum += weight;
    weights[(x + 8 * j) / 4][x % 4] = weight;
  }
}

/// Weights times values.
template <class Tile>
__device__ void multiply_values(Tile const& tile, int y, int x, typename Tile::States& states) {
  for (int t = 0; t < Tile::tokens; t += 4) {
    Quad weights[std::size_t{Tile::rows_each}];
    for (int i = 0; i < Tile::rows_each; ++i) weights[i] = tile.weights[y + 16 * i][t / 4];
    for (int u = 0; u < 4; ++u)
      for (int c = 0; c < Tile::quads_each; ++c) {
        Quad const value = x + 8 * c < Tile::value_quads ? tile.stored[t + u][x + 8 * c] : Quad{};
        for (int i = 0; i < Tile::rows_each; ++i)
          for (int e = 0; e < 4; ++e) states[i].out[c][e] += weights[i][u] * value[e];
      }
  }
}

/// Soft-cap, ALiBi and the tree mask, for the scores of tokens from `first` on. By way of shared memory, so that it is
/// a loop over scores and little code in the loop over tokens that all steps run.
template <class Tile, class Sequence>
__device__ void modify_scores(AttentionParams const& params, PrefillRows const& rows, Sequence const& sequence,
                              std::int32_t first, int y, int x, Tile& tile,
                              Vec<Tile::tokens_each> (&scores)[std::size_t{Tile::rows_each}]) {
  auto const place = [&](int row, int j) -> float& { return tile.weights[row][(x + 8 * j) / 4][x % 4]; };
  for (int i = 0; i < Tile::rows_each; ++i)
    for (int j = 0; j < Tile::tokens_each; ++j) place(y + 16 * i, j) = scores[i][j];
  for (int row = y; row < rows.count * rows.heads_each; row += 16) {
    if (!rows.has(row)) continue;
    ScoreModification const modified(params, rows.head(row));
    TreeMask const tree(params, rows.query(row), sequence.first_query());
    std::int32_t const position = sequence.limit(rows.first + row / rows.heads_each) - 1;
    for (int j = 0; j < Tile::tokens_each; ++j) {
      std::int32_t const token = first + x + 8 * j;
      place(row, j) = tree.hides(token) ? -INFINITY : modified(place(row, j), token - position);
    }
  }
  for (int i = 0; i < Tile::rows_each; ++i)
    for (int j = 0; j < Tile::tokens_each; ++j) scores[i][j] = place(y + 16 * i, j);
}

/// The same where a value may be infinite or no number: of those that a row does not see, nothing must come into it.
template <class Tile>
__device__ void multiply_seen_values(Tile const& tile, GroupShape const& shape, AttentionParams const& params,
                                     PrefillRows const& rows, std::int32_t first_query, std::int32_t first, int y,
                                     int x, typename Tile::States& states) {
  for (int t = 0; t < Tile::tokens; ++t)
    for (int i = 0; i < Tile::rows_each; ++i) {
      int const row = y + 16 * i;
      if (!sees(shape, states[i], first + t)) continue;  // a row that is not there sees nothing
      if (params.tree_mask != nullptr && TreeMask(params, rows.query(row), first_query).hides(first + t)) continue;
      float const weight = tile.weights[row][t / 4][t % 4];
      for (int c = 0; c < Tile::quads_each && x + 8 * c < Tile::value_quads; ++c)
        for (int e = 0; e < 4; ++e) states[i].out[c][e] += weight * tile.stored[t][x + 8 * c][e];
    }
}

/// Takes in the tokens of a range, a tile of them at a time.
template <class Tile, class Sequence, class Arguments>
__device__ void add_tokens(Sequence const& sequence, Arguments const& arguments, PrefillRows const& rows,
                           TokenRange const& range, Tile& tile, typename Tile::States& states) {
  int const y = static_cast<int>(threadIdx.x) / 8, x = static_cast<int>(threadIdx.x) % 8;
  std::int32_t const kv_head = rows.heads.kv_head, end = range.end;
  for (std::int32_t first = range.begin; first < end; first += Tile::tokens) {
    __syncthreads();  // the queries are there, and nobody needs the last tile's values any more
    load_tokens<Tile::key_quads / 2>([&](std::int32_t t) { return sequence.key(kv_head, t); }, first, end, tile);
    __syncthreads();
    Vec<Tile::tokens_each> scores[std::size_t{Tile::rows_each}] = {};
    multiply_keys(tile, y, x, scores);
    if (arguments.modifies_scores) modify_scores(arguments.params, rows, sequence, first, y, x, tile, scores);
    for (int i = 0; i < Tile::rows_each; ++i)
      add_scores<Tile>(sequence.shape(), first, end, x, scores[i], states[i], tile.weights[y + 16 * i]);
    __syncthreads();
    bool const finite = load_tokens<Tile::value_quads / 2>([&](std::int32_t t) { return sequence.value(kv_head, t); },
                                                           first, end, tile);
    if (__syncthreads_and(finite ? 1 : 0) != 0)
      multiply_values(tile, y, x, states);
    else
      multiply_seen_values(tile, sequence.shape(), arguments.params, rows, sequence.first_query(), first, y, x, states);
  }
}

}  // namespace detail

/// Kernel. Attention of a tile of query tokens, for the query heads of one kv head, in layer `index` of `Group`.
///
/// Grid: as ops::prefill computes it; 128 threads; 35 to 48 KiB of shared memory. Arguments as of attend_kernel. Each
/// key and value that a tile sees is read and decoded once for its 64 rows (32 above a dim of 128, 16 above 256): 64
/// flops for a byte of F16, so arithmetic bounds it. Plain multiplications in float from shared memory run everywhere,
/// the host runner included, and are as exact as the host's. Scores load 6 quads for 32 of them, values 20 for 256:
/// about half of the float rate, 30 of an H200's 60 TFLOPS. Tensor cores are ten times as fast, where queries and
/// weights may be rounded to 16 bits: FlashAttention-3 (arXiv:2407.08608).
template <class View, int Group, class T, class Out>
__global__ void __launch_bounds__(detail::prefill_threads, 3)
    prefill_kernel(View view, std::int32_t index, AttendArguments<T, Out> arguments) {
  using Layer = LayerView<View, Group>;
  constexpr std::int32_t key_dim = Layer::known.key_dim, value_dim = Layer::known.value_dim;
  constexpr bool latent = Layer::known.values_in_keys();
  using Tile = detail::PrefillTile<key_dim, value_dim>;
  __shared__ Tile tile;
  detail::PrefillRows const rows(view, view.group(Group).shape.kv_heads, arguments.io.num_query_heads, Tile::rows);
  if (rows.count <= 0) return;
  auto const sequence = view.template sequence_in<Group>(rows.sequence, index);
  AttentionIo<T, Out> const& io = arguments.io;
  AttentionParams const& params = arguments.params;

  // 1. Queries: scaled, and turned to the keys' basis, which is cheaper than turning every key back.
  detail::for_each_row<key_dim, Tile::rows>([&]<class RowLanes>(int row, RowLanes const& lanes) {
    constexpr int n = RowLanes::per_lane;
    Vec<n> part{};
    if (rows.has(row))
      part = load_part<n>(lanes, io.q + rows.query(row) * io.q_stride + std::int64_t{rows.head(row)} * key_dim);
    for (int d = 0; d < n; ++d) part[d] *= params.scale * detail::log2_of_e;
    change_basis_by<Layer::KeyQuantizer::basis>(lanes, part, key_dim);
    store_part<n>(lanes, part, tile.queries[row]->v);
  });

  // 2. Everything that a row of the tile sees. What another row of it must not see has no weight there.
  std::int32_t const position = sequence.limit(rows.first) - 1, last = sequence.limit(rows.first + rows.count - 1) - 1;
  int const y = static_cast<int>(threadIdx.x) / 8, x = static_cast<int>(threadIdx.x) % 8;
  typename Tile::States states;
  for (int i = 0; i < Tile::rows_each; ++i) {
    if (!rows.has(y + 16 * i)) continue;
    states[i].position = sequence.limit(rows.first + (y + 16 * i) / rows.heads_each) - 1;
    states[i].end = detail::visible_end(params, states[i].position, sequence.num_tokens());
    if (params.sink_logits == nullptr) continue;
    states[i].max = params.sink_logits[rows.head(y + 16 * i)] * detail::log2_of_e;
    states[i].sum = x == 0 ? 1.0F : 0.0F;
  }
  detail::VisibleTokens const visible(
      sequence.shape(), detail::tokens_in(view, Group, sequence, rows.first_query - rows.first, arguments), position,
      detail::visible_end(params, last, sequence.num_tokens()));
  if (sequence.shape().sinks > 0) detail::add_tokens(sequence, arguments, rows, visible.sinks, tile, states);
  detail::add_tokens(sequence, arguments, rows, visible.window, tile, states);
  __syncthreads();  // where there were no tokens, the queries are written over, too

  // 3. Results: by way of shared memory, where lanes that hold whole rows turn them back and store them.
  for (int i = 0; i < Tile::rows_each; ++i) {
    int const row = y + 16 * i;
    float sum = states[i].sum;
    for (int d = 1; d < 8; d *= 2) sum += __shfl_xor_sync(detail::whole_warp, sum, d);
    for (int c = 0; c < Tile::quads_each; ++c) {
      for (float& element : states[i].out[c].v) element = sum != 0 ? element / sum : 0.0F;
      if (x + 8 * c < Tile::value_quads) tile.queries[row][x + 8 * c] = states[i].out[c];
    }
    if (io.lse != nullptr && x == 0 && rows.has(row))
      io.lse[std::int64_t{rows.query(row)} * io.num_query_heads + rows.head(row)] =
          sum != 0 ? (states[i].max + log2f(sum)) * detail::ln_of_2 : -INFINITY;
  }
  __syncthreads();
  detail::for_each_row<value_dim, Tile::rows>([&]<class RowLanes>(int row, RowLanes const& lanes) {
    constexpr int n = RowLanes::per_lane;
    auto part = load_part<n>(lanes, tile.queries[row]->v);
    change_basis_by<Layer::ValueQuantizer::basis>(lanes, part, latent ? key_dim : value_dim);
    if (rows.has(row))
      store_part<n>(lanes, part, io.out + rows.query(row) * io.out_stride + std::int64_t{rows.head(row)} * value_dim);
  });
}

namespace detail {

/// Whether rows are short enough for shared memory.
template <class View, int Group>
inline constexpr bool prefill_fits =
    sizeof(PrefillTile<LayerView<View, Group>::known.key_dim, LayerView<View, Group>::known.value_dim>) <= 48 * 1024;

/// `arguments`: checked.
template <class View, int Group, class T, class Out>
void launch_prefill_kernel(View const& view, std::int32_t index, AttendArguments<T, Out> const& arguments,
                           cudaStream_t stream) {
  using Tile = PrefillTile<LayerView<View, Group>::known.key_dim, LayerView<View, Group>::known.value_dim>;
  std::int32_t const kv_heads = view.group(Group).shape.kv_heads, heads = arguments.io.num_query_heads / kv_heads;
  std::int32_t const heads_each = std::min(heads, std::int32_t{Tile::rows}), tokens = Tile::rows / heads_each;
  dim3 const grid(static_cast<unsigned>(view.num_query_tokens() / tokens + view.num_sequences()),
                  static_cast<unsigned>(kv_heads * ((heads + heads_each - 1) / heads_each)));
  launch(prefill_kernel<View, Group, T, Out>, grid, prefill_threads, 0, stream, view, index, arguments);
}
/// The same over the step's own tokens.
template <class View, int Group, class T, class Out>
void launch_own_prefill(View const& view, std::int32_t index, AttendArguments<T, Out> const& arguments,
                        cudaStream_t stream) {
  launch_prefill_kernel<OwnView<View, T>, Group>(OwnView<View, T>(view, arguments.io), index, arguments, stream);
}

}  // namespace detail

}  // namespace folio::ops
