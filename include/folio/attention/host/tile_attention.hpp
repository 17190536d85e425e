// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention of a few query rows over one stretch of tokens after another, tile by tile, whatever the cache. Host only.
//
// A tile goes through: scores of all rows -> running softmax -> weights -> weighted values. Tokens are cut into parts
// of 1,024 by their position alone. Each part is summed by itself, and parts are merged in their order: so the bits are
// the same whether one thread works through them or many do.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <folio/attention/host/packed_queries.hpp>
#include <folio/attention/host/token_tile.hpp>
#include <folio/attention/host/visible_tiles.hpp>
#include <vector>

namespace folio::ops::detail {

/// What attention makes of scores before their softmax.
struct ScoreShapes {
  float soft_cap = 0;
  float const* slopes = nullptr;            ///< of each row, or null
  std::int32_t const* positions = nullptr;  ///< of each query
};

/// A tile's keys and values in one kv head, and floats for rows that have no kernels of their own.
struct TilePlanes {
  attention::TokenTileRows keys, values;
  std::int32_t seen_end = 0, rows_end = 0;  ///< tokens up to the last that is seen, and those that have rows
  std::vector<float> decoded_keys, decoded_values;
};

struct AttentionShape {
  std::int32_t key_dim, value_dim, queries, heads;
  [[nodiscard]] std::int32_t rows() const { return queries * heads; }
};

/// Sums of weighted values with the state of their softmax, for all rows: what parts leave.
struct AttentionAccumulator {
  std::int32_t rows = 0, columns = 0;
  std::vector<attention::SoftmaxState> states;
  AlignedVector<float> sums;  ///< [rows][columns]; the kernels read up to a block of rows from any row

  void reserve(std::int32_t num_rows, std::int32_t num_columns) {
    states.reserve(to_size(num_rows));
    sums.reserve(to_size(num_rows + attention::block_rows) * to_size(num_columns));
  }
  /// Of rows that saw nothing: their sums say nothing, until a tile or a part is added.
  void clear(std::int32_t num_rows, std::int32_t num_columns) {
    rows = num_rows;
    columns = num_columns;
    states.assign(to_size(rows), {attention::hidden_score, 0.0F});
    sums.resize(to_size(rows + attention::block_rows) * to_size(columns));
  }
  [[nodiscard]] float* row(std::int32_t i) { return sums.data() + to_size(i) * to_size(columns); }

  /// Takes in the sums of the tokens that follow. A part in which a row saw nothing changes nothing.
  void merge(AttentionAccumulator const& next) {
    for (std::int32_t i = 0; i < rows; ++i) {
      attention::SoftmaxState& mine = states[to_size(i)];
      attention::SoftmaxState const other = next.states[to_size(i)];
      if (other.empty()) continue;
      float* const sum = row(i);
      float const* const add = next.sums.data() + to_size(i) * to_size(columns);
      if (mine.empty()) {
        mine = other;
        std::copy_n(add, columns, sum);
        continue;
      }
      float const max = mine.max > other.max ? mine.max : other.max;
      float const rescale = std::exp(mine.max - max), take = std::exp(other.max - max);
      mine = {max, mine.sum * rescale + other.sum * take};
      for (std::int32_t p = 0; p < columns; ++p) sum[p] = sum[p] * rescale + add[p] * take;
    }
  }
};

/// What a TileAttention is for.
struct TileAttentionSetup {
  attention::PlaneRows keys, values;
  AttentionShape shape;
};

/// Runs tiles through the kernels, with the memory that takes. Not for several threads at once.
template <class = void>
class TileAttention {
 public:
  TileAttention() = default;
  explicit TileAttention(TileAttentionSetup const& setup) { begin(setup); }
  TileAttention(TileAttention const&) = delete;
  TileAttention& operator=(TileAttention const&) = delete;

  /// Makes ready for other kernels, dims or rows. Takes from the heap only what is more than ever before.
  void begin(TileAttentionSetup const& setup) {
    AttentionShape const& shape = setup.shape;
    attention::RowKernels const &keys = setup.keys.kernels, &values = setup.values.kernels;
    bool const same = key_kernels_ == keys && value_kernels_ == values && shape_.key_dim == shape.key_dim &&
                      shape_.value_dim == shape.value_dim && keys_.basis == setup.keys.basis &&
                      values_.basis == setup.values.basis && values_.row_dim == setup.values.row_dim;
    shape_ = shape;
    row_bytes_[0] = setup.keys.code_bytes;
    row_bytes_[1] = setup.values.code_bytes;
    if (same) return;
    key_kernels_ = {};  // ready for none, should there be no memory
    columns_ = values.value_columns(shape.value_dim);
    keys_ = {};
    keys_.dim = shape.key_dim;
    keys_.row_dim = setup.keys.row_dim;
    keys_.basis = setup.keys.basis;
    keys_.scales = keys.load_key_params != nullptr ? key_scales_ : nullptr;
    keys_.offsets = key_offsets_;
    values_ = {};
    values_.dim = shape.value_dim;
    values_.row_dim = setup.values.row_dim;
    values_.basis = setup.values.basis;
    values_.scales = values.load_value_params != nullptr ? value_scales_ : nullptr;
    values_.offsets = value_offsets_;
    std::fill_n(key_offsets_, attention::tile_tokens, 0.0F);
    std::fill_n(value_offsets_, attention::tile_tokens, 0.0F);
    wide_keys_.used = wide_values_.used = false;
    if (keys.prepare_keys != nullptr)
      make_room(keys, keys.key_columns(shape.key_dim), keys_, unpacked_keys_, wide_keys_);
    if (values.prepare_values != nullptr) make_room(values, columns_, values_, unpacked_values_, wide_values_);
    value_dims_.resize(to_size(columns_));
    for (std::int32_t column = 0; column < columns_; ++column)
      value_dims_[to_size(column)] = values.value_dim_at(column, shape.value_dim);
    key_dims_.resize(to_size(keys.is_integer ? keys.key_columns(shape.key_dim) : 0));
    keys_in_order_ = true;
    for (std::size_t column = 0; column < key_dims_.size(); ++column) {
      auto const at = static_cast<std::int32_t>(column);
      key_dims_[column] = keys.key_dim_at(at, shape.key_dim);
      keys_in_order_ =
          keys_in_order_ && (at < shape.key_dim ? key_dims_[column] == at : key_dims_[column] >= shape.key_dim);
    }
    if (keys.has_channels) make_channels(key_dims_, keys_, key_channels_);
    if (values.has_channels) make_channels(value_dims_, values_, value_channels_);
    if (keys.shuffle_bits != 0) {
      key_shuffle_.make(shape.key_dim, keys.shuffle_bits);
      keys_.byte_shuffle = &key_shuffle_;
    }
    if (values.shuffle_bits != 0) {
      value_shuffle_.make(shape.value_dim, values.shuffle_bits);
      values_.byte_shuffle = &value_shuffle_;
    }
    key_kernels_ = keys;
    value_kernels_ = values;
  }

  void begin(PackedQueries<>& queries) const {
    queries.begin(key_kernels_, key_dims_.data(), keys_in_order_, shape_.rows(), shape_.key_dim);
  }
  void reserve(AttentionAccumulator& sums) const { sums.reserve(padded_rows(), columns_); }
  void clear(AttentionAccumulator& sums) const { sums.clear(padded_rows(), columns_); }

  /// The sums of a row times `norm`, in the order of the dims.
  void read_row(AttentionAccumulator& sums, std::int32_t row, float norm, float* out) const {
    value_kernels_.read_sums(sums.row(row), shape_.value_dim, norm, out);
  }

  /// What a thread has while it adds tiles: the processor made ready. One at a time in a thread.
  class KernelScope {
   public:
    explicit KernelScope(TileAttention const& attention) : leave_(attention.key_kernels_.leave) {
      if (leave_ == nullptr) leave_ = attention.value_kernels_.leave;
      for (attention::RowKernels const& kernels : {attention.key_kernels_, attention.value_kernels_})
        if (kernels.enter != nullptr) kernels.enter();
    }
    ~KernelScope() {
      if (leave_ != nullptr) leave_();
    }
    KernelScope(KernelScope const&) = delete;
    KernelScope& operator=(KernelScope const&) = delete;

   private:
    void (*leave_)();
  };

  /// Takes a tile into the sums; `next`, or null, is fetched into the caches meanwhile. `shapes`: null where scores
  /// stay as they are.
  void add(KernelScope const&, TileTokens const& tile, TilePlanes const& planes, TilePlanes const* next,
           ScoreShapes const* shapes, PackedQueries<>& queries, AttentionAccumulator& sums) {
    keys_.tokens = values_.tokens = std::max(tile.all.sinks, tile.all.end);
    attention::PrefetchRows ahead;
    if (next != nullptr) ahead = {&next->keys, &next->values, row_bytes_[0], row_bytes_[1], next->seen_end};
    keys_.ahead = values_.ahead = next != nullptr ? &ahead : nullptr;
    prepare(keys_, key_kernels_.load_key_params, key_kernels_.prepare_keys, planes.keys, wide_keys_);
    prepare(values_, value_kernels_.load_value_params, value_kernels_.prepare_values, planes.values, wide_values_);
    for (std::int32_t row = 0; row < shape_.rows(); row += attention::block_rows)
      add_block(tile, row, shapes, queries, sums);
  }

 private:
  [[nodiscard]] std::int32_t padded_rows() const {
    return (shape_.rows() + attention::block_rows - 1) / attention::block_rows * attention::block_rows;
  }

  struct Wide {
    attention::TokenTileRows rows;
    bool used = false;
  };

  /// For a tile laid out anew: a byte for each code, or rows of floats. Those of few tokens take no more than codes do.
  static void make_room(attention::RowKernels const& kernels, std::int32_t columns, attention::TokenTile& tile,
                        AlignedVector<std::byte>& unpacked, Wide& wide) {
    std::int32_t const row_bytes = columns * (kernels.is_integer ? 1 : 4);
    std::int32_t const rows = kernels.decodes ? attention::row_group : attention::tile_tokens;
    unpacked.resize(to_size(rows) * to_size(row_bytes));
    tile.unpacked = unpacked.data();
    wide.used = !kernels.is_integer;
    for (std::int32_t t = 0; wide.used && t < rows; ++t)
      wide.rows.codes[t] = unpacked.data() + std::int64_t{t} * row_bytes;
  }

  static void make_channels(std::vector<std::int32_t> const& dims, attention::TokenTile& tile,
                            AlignedVector<float>& channels) {
    channels.resize(2 * dims.size());
    tile.channel_scales = channels.data();
    tile.channel_offsets = channels.data() + dims.size();
    tile.column_dims = dims.data();
    tile.columns = static_cast<std::int32_t>(dims.size());
  }

  using Kernel = void (*)(attention::TokenTile const&);
  static void prepare(attention::TokenTile& to, Kernel load_params, Kernel lay_out,
                      attention::TokenTileRows const& rows, Wide const& wide) {
    to.rows = &rows;
    if (load_params != nullptr) load_params(to);
    if (lay_out == nullptr) return;
    lay_out(to);
    if (wide.used) to.rows = &wide.rows;
  }

  void add_block(TileTokens const& tile, std::int32_t row, ScoreShapes const* shapes, PackedQueries<>& queries,
                 AttentionAccumulator& sums) {
    std::int32_t const rows = std::min(attention::block_rows, shape_.rows() - row);
    keys_.tokens = 0;  // after the last token that one of these rows sees, scores are not needed
    for (std::int32_t r = 0; r < rows; ++r)
      if (VisibleRanges const& seen = visible(tile, row + r); !seen.none())
        keys_.tokens = std::max({keys_.tokens, seen.sinks, seen.end});
    if (keys_.tokens == 0) return;
    alignas(64) float scores[attention::block_rows][attention::tile_tokens];
    attention::WeightIntegers integers;
    alignas(16) float rescale[attention::block_rows];
    score(queries.block(row, keys_), scores);
    for (std::int32_t r = 0; r < attention::block_rows; ++r) {
      std::int32_t const as_row = row + std::min(r, rows - 1);
      if (shapes != nullptr) shape_scores(*shapes, tile.first, as_row, scores[r]);
      hide(tile, as_row, scores[r]);
    }
    key_kernels_.online_softmax(values_, scores[0], sums.states.data() + row,
                                rescale);  // all of the tile that has weights
    if (value_kernels_.prepare_weights != nullptr) value_kernels_.prepare_weights(values_, scores[0], integers);
    attention::WeightRows weights;
    weights.weights = scores[0];
    weights.words = integers.words;
    weights.scales = integers.scales;
    weights.shifts = integers.shifts;
    weights.zero_point_corrections = integers.zero_point_corrections;
    weights.rescale = rescale;
    weights.out = sums.row(row);
    weights.out_stride = columns_;
    add_values(tile, row, rows, weights);
  }

  using Scores = float[attention::block_rows][attention::tile_tokens];
  void score(attention::QueryBlock const& queries, Scores& scores) const {
    key_kernels_.score(keys_, queries.rows, scores[0]);
    if (queries.outliers == 0) return;
    alignas(64) Scores rest;
    key_kernels_.score(keys_, queries.rest, rest[0]);
    for (std::int32_t r = 0; r < attention::block_rows; ++r)
      for (std::int32_t t = 0; t < keys_.tokens && (queries.outliers >> r & 1U) != 0; ++t) scores[r][t] += rest[r][t];
  }

  void shape_scores(ScoreShapes const& shapes, std::int32_t first, std::int32_t row, float* scores) const {
    std::int32_t const position = shapes.positions[query_of(row)];
    float const slope = shapes.slopes != nullptr ? shapes.slopes[row] : 0.0F;
    key_kernels_.shape_scores(keys_, {shapes.soft_cap, slope, first - position}, scores);
  }

  /// Without a division where steps are decoded.
  [[nodiscard]] std::int32_t query_of(std::int32_t row) const { return shape_.queries == 1 ? 0 : row / shape_.heads; }
  [[nodiscard]] VisibleRanges const& visible(TileTokens const& tile, std::int32_t row) const {
    return tile.visible[to_size(query_of(row))];
  }

  void hide(TileTokens const& tile, std::int32_t row, float* scores) const {
    VisibleRanges const& seen = visible(tile, row);
    std::int32_t const end = values_.rows_end();
    if (!tile.bits.empty()) {
      std::uint64_t const bits = tile.bits[to_size(query_of(row))];
      for (std::int32_t t = 0; t < end; ++t)
        if ((bits >> t & 1U) == 0) scores[t] = attention::hidden_score;
      return;
    }
    if (seen.all()) return;
    std::fill(scores, scores + seen.begin, attention::hidden_score);
    std::fill(scores + seen.sinks, scores + seen.window, attention::hidden_score);
    for (std::int32_t group = seen.end / attention::row_group * attention::row_group; group < end;
         group += attention::row_group)
      for (std::int32_t t = group; t < group + attention::row_group; ++t)  // of constant length, which vectorizes
        scores[t] = t < seen.end ? scores[t] : attention::hidden_score;
  }

  /// Integers of hidden tokens weigh nothing; a stored NaN would. So floats are read where they are seen: at once where
  /// all rows see the same, else row by row.
  void add_values(TileTokens const& tile, std::int32_t row, std::int32_t rows, attention::WeightRows& weights) {
    bool same = tile.bits.empty();
    for (std::int32_t r = 1; r < rows && shape_.queries > 1; ++r)
      same = same && visible(tile, row + r) == visible(tile, row);
    if (value_kernels_.is_integer) {
      weights.end = values_.tokens;
      value_kernels_.add(values_, weights);
    } else if (same) {
      add_ranges(visible(tile, row), weights);
    } else {
      for (std::int32_t r = 0; r < rows; ++r) {
        float one[attention::block_rows][attention::tile_tokens] = {},
              rescale[attention::block_rows] = {weights.rescale[r]};
        std::copy_n(weights.weights + r * attention::tile_tokens, attention::tile_tokens, one[0]);
        attention::WeightRows single = weights;
        single.weights = one[0];
        single.rescale = rescale;
        single.num_rows = 1;
        single.out = weights.out + std::int64_t{r} * columns_;
        if (tile.bits.empty())
          add_ranges(visible(tile, row + r), single);
        else
          add_bits(tile.bits[to_size(query_of(row + r))], single);
      }
    }
  }

  void add_ranges(VisibleRanges const& visible, attention::WeightRows& weights) {
    add_stretch(visible.begin, visible.sinks, weights);
    add_stretch(visible.window, visible.end, weights);
  }
  /// Stretch by stretch of neighbouring tokens.
  void add_bits(std::uint64_t bits, attention::WeightRows& weights) {
    for (std::int32_t end = 0; bits != 0;) {
      std::int32_t const begin = std::countr_zero(bits);
      end = begin + std::countr_one(bits >> begin);
      add_stretch(begin, end, weights);
      bits = end < attention::tile_tokens ? bits >> end << end : 0;
    }
  }
  /// What the sums so far are multiplied by is done by the first stretch that is not empty.
  void add_stretch(std::int32_t begin, std::int32_t end, attention::WeightRows& weights) {
    static constexpr float no_rescale[attention::block_rows] = {1.0F, 1.0F, 1.0F, 1.0F};
    if (end <= begin) return;
    weights.begin = begin;
    weights.end = end;
    value_kernels_.add(values_, weights);
    weights.rescale = no_rescale;
  }

  std::int32_t row_bytes_[2] = {};
  attention::RowKernels key_kernels_, value_kernels_;
  AttentionShape shape_{};
  std::int32_t columns_ = 0;
  bool keys_in_order_ = false;
  std::vector<std::int32_t> key_dims_, value_dims_;  // of the columns
  attention::TokenTile keys_, values_;
  AlignedVector<std::byte> unpacked_keys_, unpacked_values_;
  Wide wide_keys_, wide_values_;
  attention::ByteShuffle key_shuffle_, value_shuffle_;
  AlignedVector<float> key_channels_, value_channels_;
  alignas(64) float key_scales_[attention::tile_tokens], key_offsets_[attention::tile_tokens];
  alignas(64) float value_scales_[attention::tile_tokens], value_offsets_[attention::tile_tokens];
};

}  // namespace folio::ops::detail
