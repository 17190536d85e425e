// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which tokens does each query see? Limits, windows and sinks, tree masks, ranges. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/host/token_tile.hpp>
#include <folio/attention/params.hpp>
#include <folio/model.hpp>
#include <vector>

namespace folio::ops::detail {

/// The tokens of a tile that a query sees, [begin, sinks) and [window, end), counted from the tile's first.
struct VisibleRanges {
  std::int32_t begin = 0, sinks = 0, window = 0, end = 0;
  [[nodiscard]] bool none() const { return begin >= sinks && window >= end; }
  [[nodiscard]] bool all() const { return window == begin && begin == 0 && end == attention::tile_tokens; }
  friend bool operator==(VisibleRanges, VisibleRanges) = default;
};

/// A tile, and which of its tokens are seen.
struct TileTokens {
  std::int32_t first = 0;
  VisibleRanges all;                   ///< by any query
  std::vector<VisibleRanges> visible;  ///< by each query
  /// Of each query, the tokens of its stretches that it sees, as bits; empty where it sees all of them. For tree masks.
  std::vector<std::uint64_t> bits;
};

/// The most query tokens of a work.
inline constexpr std::int32_t most_together = 32;

/// One sequence of a step in the layer at work.
struct AttendSequence {
  std::int32_t const* blocks;                 ///< its row of the block table
  std::int32_t num_tokens, num_query_tokens;  ///< tokens: that some query may see
  std::int32_t first_row;                     ///< the row of q at which its query tokens begin
  std::int32_t num_hidden;                    ///< blocks after those of the sinks that the row of the table leaves out
  std::int32_t const* limits = nullptr;       ///< of its queries, or null: they are its last tokens
  /// The number of query `i` among the stored tokens.
  [[nodiscard]] std::int32_t position(std::int32_t i) const {
    return limits != nullptr ? limits[i] - 1 : num_tokens - num_query_tokens + i;
  }
};

/// What the queries of a work see, tile by tile. Their numbers among the stored tokens are computed once. A template,
/// as tasks are, for the compiler.
template <class Sequence = AttendSequence>
class VisibleTiles {
 public:
  /// Of queries [first, first + count) of a sequence. A tree mask stays until the next work.
  void begin(GroupShape const& shape, AttentionParams const& params, Sequence const& sequence, std::int32_t first,
             std::int32_t count) {
    shape_ = shape;
    count_ = count;
    for (std::int32_t i = 0; i < count; ++i) positions_[i] = sequence.position(first + i);
    is_causal_ = params.causal && params.tree_mask == nullptr;
    tree_ = params.tree_mask == nullptr ? nullptr : params.tree_mask + sequence.first_row + first;
    first_draft_ = sequence.position(0);
    begin_ = std::max(0, params.token_begin);
    std::int32_t const last_seen = is_causal_ ? positions_[count - 1] : sequence.num_tokens - 1;
    end_ = std::min(std::max(0, params.token_end), last_seen + 1);
  }

  /// Leaves out tokens before `first`, or from `end` on.
  void begin_at(std::int32_t first) { begin_ = std::max(begin_, first); }
  void end_at(std::int32_t end) { end_ = std::min(end_, end); }

  /// [count of the work] each query's number among the stored tokens.
  [[nodiscard]] std::int32_t const* positions() const { return positions_; }
  /// All that the queries see is in [begin(), end()).
  [[nodiscard]] std::int32_t begin() const { return begin_; }
  [[nodiscard]] std::int32_t end() const { return end_; }
  [[nodiscard]] bool empty() const { return begin_ >= end_; }

  /// Whether some query sees a tile from `first` on and before `end`, and which is the first one. A tile after the last
  /// may begin at 2^31.
  bool find_tile(std::int64_t first, std::int32_t end, TileTokens& tile) const {
    std::int64_t const window = shape_.window_begin(positions_[0]) / attention::tile_tokens * attention::tile_tokens;
    for (; first < end; first += attention::tile_tokens) {
      if (shape_.window != 0 && first >= shape_.sinks) first = std::max(first, window);
      if (first < end && find_visible(static_cast<std::int32_t>(first), end, tile)) return true;
    }
    return false;
  }

 private:
  /// A window and the sinks leave at most two stretches of a tile visible.
  bool find_visible(std::int32_t first, std::int32_t end, TileTokens& tile) const {
    std::int32_t const begin = std::clamp(begin_ - first, 0, attention::tile_tokens);
    VisibleRanges all{attention::tile_tokens, 0, attention::tile_tokens, 0};
    tile.visible.resize(to_size(count_));
    // Draft tokens: those of this step, from bit `draft` on.
    std::int32_t const draft = first_draft_ - first;
    tile.bits.resize(tree_ != nullptr && draft < attention::tile_tokens ? to_size(count_) : 0);
    for (std::int32_t i = 0; i < count_; ++i) {
      std::int32_t const at = positions_[i];
      VisibleRanges& v = tile.visible[to_size(i)];
      v.begin = begin;
      v.end = std::min(end - first, attention::tile_tokens);
      if (is_causal_) v.end = std::min(v.end, at + 1 - first);
      v.end = std::max(v.end, begin);
      v.window = std::clamp(shape_.window_begin(at) - first, begin, v.end);
      v.sinks = std::clamp(shape_.sinks - first, begin, v.window);
      if (!tile.bits.empty()) {
        tile.bits[to_size(i)] = stretch_bits(v) & tree_bits(i, draft);
        if (tile.bits[to_size(i)] == 0) v = {begin, begin, begin, begin};
      }
      all.begin = std::min(all.begin, v.begin);
      all.sinks = std::max(all.sinks, v.sinks);
      if (v.window < v.end) all.window = std::min(all.window, v.window);
      all.end = std::max(all.end, v.end);
    }
    tile.first = first;
    tile.all = all;
    return !all.none();
  }

  [[nodiscard]] static std::uint64_t stretch_bits(VisibleRanges const& v) {
    auto const below = [](std::int32_t n) {
      return n < attention::tile_tokens ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0};
    };
    return (below(v.sinks) & ~below(v.begin)) | (below(v.end) & ~below(v.window));
  }
  /// The tokens of a tile that the tree mask leaves query `i` of the work; bit `draft` is the step's first token.
  [[nodiscard]] std::uint64_t tree_bits(std::int32_t i, std::int32_t draft) const {
    std::uint64_t const word = tree_[i];
    if (draft < 0) return -draft < attention::tile_tokens ? word >> -draft : 0;
    return word << draft | ((std::uint64_t{1} << draft) - 1);
  }

  GroupShape shape_;
  bool is_causal_ = true;
  std::uint64_t const* tree_ = nullptr;  // of each query, or null
  std::int32_t first_draft_ = 0, begin_ = 0, end_ = 0, count_ = 0;
  std::int32_t positions_[std::size_t{most_together}] = {};
};

}  // namespace folio::ops::detail
