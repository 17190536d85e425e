// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What attend_kernel.cuh reads: which tokens a query sees, and their rows on the way to registers. Device code.

#include <cstdint>
#include <folio/attention/device/visible.cuh>
#include <folio/quantizer/detail/unpack.hpp>
#include <folio/view.hpp>
#include <type_traits>

namespace folio::ops::detail {

/// The sequence whose query tokens hold `query`: the last one that starts at or before it.
template <class View>
__device__ std::int32_t sequence_of(View const& view, std::int32_t query) {
  // Where every sequence has one query token there is no search, which is a chain of loads.
  if (query < view.num_sequences() && view.query_start(query) == query && view.query_start(query + 1) == query + 1)
    return query;
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

/// Cuts tokens into aligned steps of `tokens` tokens, of which part `part` of `parts` keeps its share.
__device__ inline void keep_part(VisibleTokens& visible, std::int32_t tokens, unsigned part, unsigned parts) {
  auto const first_step = [&](TokenRange const& range) { return range.begin / tokens; };
  auto const steps = [&](TokenRange const& range) {
    return range.end > range.begin ? (range.end + tokens - 1) / tokens - first_step(range) : 0;
  };
  auto const cut = [&](TokenRange& range, std::int32_t begin, std::int32_t end) {
    range = {larger(range.begin, begin * tokens), smaller(range.end, end * tokens)};
  };
  std::int32_t const sink_steps = steps(visible.sinks);
  std::int64_t const all = std::int64_t{sink_steps} + steps(visible.window);
  auto const begin = static_cast<std::int32_t>(all * part / parts);
  auto const end = static_cast<std::int32_t>(all * (part + 1) / parts);
  std::int32_t const to_sinks = first_step(visible.sinks), to_window = first_step(visible.window) - sink_steps;
  cut(visible.sinks, begin + to_sinks, smaller(end, sink_steps) + to_sinks);
  cut(visible.window, larger(begin, sink_steps) + to_window, end + to_window);
}

/// Step `i`: tokens from i * Tokens on. Which of them are to be seen, and where they are stored: one look-up in the
/// block table, where a block holds whole steps.
template <int Tokens, std::int32_t BlockSize>
class DecodeStep {
 public:
  template <class Sequence>
  __device__ DecodeStep(Sequence const& sequence, TokenRange const& range, std::int32_t i) : first_(i * Tokens) {
    for (int u = 0; u < Tokens; ++u)
      if (first_ + u >= range.begin && first_ + u < range.end) seen_ |= 1U << u;
    for (int u = 0; u < (one_block ? 1 : Tokens); ++u)
      blocks_[u] = (one_block ? seen_ != 0 : sees(u)) ? sequence.block_id(first_ + u) : null_block;
  }

  [[nodiscard]] __device__ unsigned seen() const { return seen_; }  ///< a bit for each token
  /// Leaves out what a tree mask hides.
  __device__ void hide(TreeMask const& tree) { seen_ &= tree.seen_from(first_); }
  [[nodiscard]] __device__ bool sees(int u) const { return (seen_ >> u & 1U) != 0; }
  [[nodiscard]] __device__ BlockId block(int u) const { return blocks_[one_block ? 0 : u]; }
  [[nodiscard]] __device__ std::int32_t slot(int u) const {
    return one_block ? first_ % BlockSize + u : (first_ + u) % BlockSize;  // neighbours at constant distances
  }

 private:
  static constexpr bool one_block = BlockSize % Tokens == 0;
  std::int32_t first_;
  unsigned seen_ = 0;
  BlockId blocks_[std::size_t{one_block ? 1 : Tokens}];
};

inline constexpr int chunk_dim = 8;  ///< elements of a row that a lane reads in one piece

/// A lane's share of a row, as it is stored: codes are loaded early and decoded late, so that the loads of several rows
/// are on their way while others are worked on. Chunk c of the row is lane c % Count's, so neighbours load neighbours.
template <class RowType, std::int32_t Dim, int Count>
class StoredPart;

template <class Quantizer, class Layout, Plane plane, std::int32_t Dim, int Count>
class StoredPart<Row<Quantizer, Layout, plane>, Dim, Count> {
 public:
  static constexpr int row_chunks = Dim / chunk_dim, chunks = (row_chunks + Count - 1) / Count;
  static constexpr int bytes = code_bytes<Quantizer>(chunk_dim);
  static constexpr int piece =
      common_divisor(bytes, Layout::run_bytes(plane) == whole_row ? bytes : Layout::run_bytes(plane));
  static constexpr bool row_params = params_dim<Quantizer> >= max_row_dim;  // one set of parameters for the row
  static constexpr int group = row_params ? chunk_dim : common_divisor(chunk_dim, params_dim<Quantizer>);
  static constexpr int groups = chunk_dim / group;  // sets of parameters for a chunk
  static constexpr int num_params = row_params ? 1 : chunks * groups;
  static constexpr int registers =
      chunks * ((bytes + 3) / 4) + (std::is_empty_v<typename Quantizer::Params>
                                        ? 0
                                        : num_params * static_cast<int>(sizeof(typename Quantizer::Params)) / 4);

  [[nodiscard]] __device__ static bool has(int c) {
    return row_chunks % Count == 0 || static_cast<int>(threadIdx.x) % Count + c * Count < row_chunks;
  }
  /// Which chunk of the row this lane's `c`th is; the first one where the row has no more.
  [[nodiscard]] __device__ static int chunk(int c) {
    return has(c) ? static_cast<int>(threadIdx.x) % Count + c * Count : 0;
  }

  __device__ void load(Row<Quantizer, Layout, plane> const& row) {
    for (int p = 0; p < num_params; ++p)
      params_[p] = row.params(row_params ? 0 : chunk(p / groups) * chunk_dim + p % groups * group);
    for (int c = 0; c < chunks; ++c)
      for (int b = 0; b < bytes; b += piece) {
        auto const words = load_words<piece>(row.codes(chunk(c) * bytes + b));
        for (int w = 0; w < (piece + 3) / 4; ++w) codes_[c][b / 4 + w] = words[w];
      }
  }

  [[nodiscard]] __device__ Vec<chunk_dim> decode(int c) const {
    auto const* const codes = reinterpret_cast<std::byte const*>(codes_[c].v);
    Vec<chunk_dim> elements;
    for (int g = 0; g < groups; ++g)
      Quantizer::template decode<group>(codes + code_bytes<Quantizer>(g * group),
                                        params_[row_params ? 0 : c * groups + g], elements.v + g * group);
    if (!has(c)) elements = {};
    return elements;
  }

 private:
  alignas(16) Pack<std::uint32_t, (bytes + 3) / 4> codes_[std::size_t{chunks}];
  typename Quantizer::Params params_[std::size_t{num_params}];
};

/// Loads the rows that the query sees. What is in other slots is not known to be numbers, and not touched.
template <int Tokens, std::int32_t BlockSize, class RowOf, class Stored>
__device__ void load_step(DecodeStep<Tokens, BlockSize> const& step, RowOf const& row_of,
                          Stored (&rows)[std::size_t{Tokens}]) {
  for (int u = 0; u < Tokens; ++u)
    if (step.sees(u)) rows[u].load(row_of(step.block(u), step.slot(u)));
}

}  // namespace folio::ops::detail
