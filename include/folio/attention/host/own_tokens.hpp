// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over a step's own tokens, whose keys and values are the caller's and not the cache's. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/attention/host/attend_layer.hpp>
#include <folio/attention/host/attend_work.hpp>
#include <folio/attention/host/tile_attention.hpp>
#include <folio/attention/host/visible_tiles.hpp>
#include <folio/quantizer/basis.hpp>
#include <utility>
#include <vector>

namespace folio::ops::detail {

/// The step's own tokens in a work: rows of floats, or of what becomes floats, tile by tile after the stored tokens. In
/// sums of their own, because those of stored values may be in another basis and order. A template, as tasks are, for
/// the compiler.
template <class Attention = TileAttention<>>
class OwnTokens {
 public:
  /// Takes from the heap what works of `shares` need; `converts`: where rows are not of floats.
  void reserve(AttendLayers const& layers, AttendShares const& shares, std::int32_t heads, bool with_tree,
               bool converts) {
    attention_.begin(setup(layers, shares.most_queries, heads));
    make_heads(shares.most_kv_heads);
    for (AttentionAccumulator& sums : sums_) attention_.reserve(sums);
    for (PackedQueries<>& queries : queries_) attention_.begin(queries);
    tile_.visible.reserve(to_size(shares.most_queries));
    tile_.bits.reserve(with_tree ? to_size(shares.most_queries) : 0);
    if (converts) make_room(layers.shape);
  }

  /// Makes ready for the queries of a work. `first`: the number of the first own token.
  void begin(AttendCall const& call, AttendWork const& work, std::int32_t first) {
    AttendSequence const& sequence = call.sequences[to_size(work.sequence)];
    call_ = &call;
    first_ = first;
    last_ = first + sequence.num_query_tokens - 1;
    first_row_ = sequence.first_row;
    first_head_ = work.first_head;
    num_heads_ = work.kv_heads;
    visible_.begin(call.layers.shape, call.params, sequence, work.first, work.count);
    visible_.begin_at(first);
    make_heads(num_heads_);
    attention_.begin(setup(call.layers, work.count, call.heads));
    if (call.io.load != nullptr) make_room(call.layers.shape);
  }

  [[nodiscard]] Attention const& attention() const { return attention_; }
  /// Of each kv head of the work, to be loaded after begin.
  [[nodiscard]] std::vector<PackedQueries<>>& queries() { return queries_; }
  [[nodiscard]] std::int32_t end() const { return visible_.end(); }

  /// Sums all own tokens that the queries see. `shapes`: of each kv head, or null.
  void sum(ScoreShapes const* shapes) {
    for (std::int32_t h = 0; h < num_heads_; ++h) attention_.clear(sums_[to_size(h)]);
    std::int64_t first = visible_.begin() / attention::tile_tokens * attention::tile_tokens;
    typename Attention::KernelScope const entered(attention_);
    for (; visible_.find_tile(first, visible_.end(), tile_); first = tile_.first + std::int64_t{attention::tile_tokens})
      for (std::int32_t h = 0; h < num_heads_; ++h) {
        find_rows(h);
        attention_.add(entered, tile_, planes_, nullptr, shapes != nullptr ? shapes + h : nullptr, queries_[to_size(h)],
                       sums_[to_size(h)]);
      }
  }

  [[nodiscard]] attention::SoftmaxState state(std::int32_t head, std::int32_t row) const {
    return sums_[to_size(head)].states[to_size(row)];
  }
  /// Adds the sums of a row times `norm`.
  void add_row(std::int32_t head, std::int32_t row, float norm, float* to) {
    std::int32_t const dim = call_->layers.shape.value_dim;
    float own[folio::max_row_dim];
    attention_.read_row(sums_[to_size(head)], row, norm, own);
    for (std::int32_t d = 0; d < dim; ++d) to[d] += own[d];
  }

 private:
  [[nodiscard]] static TileAttentionSetup setup(AttendLayers const& layers, std::int32_t queries, std::int32_t heads) {
    GroupShape const& shape = layers.shape;
    return {{layers.own_rows, 0, shape.key_dim, Basis::model},
            {layers.own_rows, 0, shape.value_dim, Basis::model},
            {shape.key_dim, shape.value_dim, queries, heads}};
  }
  void make_heads(std::int32_t n) {
    if (queries_.size() >= to_size(n)) return;
    sums_.resize(to_size(n));
    queries_.resize(to_size(n));
  }
  void make_room(GroupShape const& shape) {
    for (auto const& [dim, rows] :
         {std::pair{shape.key_dim, &planes_.decoded_keys}, std::pair{shape.value_dim, &planes_.decoded_values}})
      if (std::size_t const floats = to_size(attention::tile_tokens) * to_size(dim); rows->size() < floats)
        rows->resize(floats);
  }

  /// Where the tile's rows of kv head `h` of the work are. Tokens that are not among the own ones are given the row of
  /// the nearest.
  void find_rows(std::int32_t h) {
    GroupShape const& shape = call_->layers.shape;
    AttendOperands const& io = call_->io;
    planes_.seen_end = std::max(tile_.all.sinks, tile_.all.end);
    planes_.rows_end = (planes_.seen_end + attention::row_group - 1) / attention::row_group * attention::row_group;
    find_plane({io.k, io.k_stride, shape.key_dim}, h, planes_.decoded_keys, planes_.keys);
    if (shape.values_in_keys())
      planes_.values = planes_.keys;
    else
      find_plane({io.v, io.v_stride, shape.value_dim}, h, planes_.decoded_values, planes_.values);
  }
  struct Plane {
    void const* rows;
    std::int64_t stride;
    std::int32_t dim;
  };
  void find_plane(Plane const& plane, std::int32_t h, std::vector<float>& converted, attention::TokenTileRows& to) {
    std::int32_t const begin = std::max(0, first_ - tile_.first);
    std::int32_t const end = std::min(planes_.seen_end, last_ - tile_.first + 1);
    for (std::int32_t t = begin; t < end; ++t) {
      std::int64_t const row = std::int64_t{first_row_} + (tile_.first + t - first_);
      std::int64_t const at = row * plane.stride + std::int64_t{first_head_ + h} * plane.dim;
      float const* floats = static_cast<float const*>(plane.rows) + at;
      if (call_->io.load != nullptr) {
        float* const place = converted.data() + std::int64_t{t} * plane.dim;
        call_->io.load(plane.rows, at, plane.dim, place);
        floats = place;
      }
      to.codes[t] = reinterpret_cast<std::byte const*>(floats);
    }
    std::fill(to.codes, to.codes + begin, to.codes[begin]);
    std::fill(to.codes + end, to.codes + std::max(end, planes_.rows_end), to.codes[end - 1]);
  }

  AttendCall const* call_ = nullptr;
  std::int32_t first_ = 0, last_ = 0;  // own tokens, by their numbers among the stored ones
  std::int32_t first_row_ = 0;         // of the operands
  std::int32_t first_head_ = 0, num_heads_ = 0;
  VisibleTiles<> visible_;
  Attention attention_;
  std::vector<PackedQueries<>> queries_;    // of each kv head of the work
  std::vector<AttentionAccumulator> sums_;  // the same
  TileTokens tile_;
  TilePlanes planes_;
};

}  // namespace folio::ops::detail
