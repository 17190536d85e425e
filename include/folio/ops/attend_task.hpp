// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One thread's share of a step's attention: finds the rows of its tiles and runs them through the kernels. Host only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/ops/attend_work.hpp>
#include <folio/ops/rows.hpp>
#include <folio/ops/thread_pool.hpp>
#include <folio/ops/tile_attention.hpp>
#include <folio/simd/row_format.hpp>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace folio::ops {

struct AttendOptions {
  float scale = 0;                     ///< of the scores; 0: 1 / sqrt(key dim), which a latent layer must not rely on
  bool causal = true;                  ///< false: every query sees all tokens (a window still counts back from it)
  float const* sink_logits = nullptr;  ///< [num_query_heads] a score that takes part in the softmax without a value
  std::int32_t token_begin = 0;  ///< only tokens [token_begin, token_end): a part, to be merged by merge_attention
  std::int32_t token_end = std::numeric_limits<std::int32_t>::max();
  ThreadPool* threads = nullptr;
};

namespace detail {

/// Where a block has the rows of each slot in one kv head: the same in every block.
struct PlaneOffsets {
  std::vector<std::int64_t> codes, params;
  std::int64_t tile = 0;  ///< the parameters of the whole block, where the format has those
};
struct RowOffsets {
  PlaneOffsets keys, values;
};

/// What all tasks of a call share.
struct AttendCall {
  GroupShape shape;
  std::int32_t num_query_heads, heads;  ///< heads: query heads of a kv head
  AttendOptions const& options;
  std::vector<RowOffsets> offsets;  ///< of each kv head
};

/// Works, one after another, with the memory that takes: for each, some kv heads of a few query tokens of one sequence.
/// All query heads of a kv head are worked on at once, so that each key and value is read once for them; and kv heads
/// tile by tile in turn, because they are neighbours in memory.
template <class View, class Sequence>
class AttendTask {
  static constexpr bool latent = Sequence::Layer::known.values_in_keys();
  using KeyQuantizer = typename View::KeyQuantizer;
  using ValueQuantizer = std::conditional_t<latent, KeyQuantizer, typename View::ValueQuantizer>;
  static constexpr bool keys_in_place = simd::reads_in_place<KeyQuantizer, typename View::Layout>(Plane::key);
  static constexpr bool values_in_place =
      simd::reads_in_place<ValueQuantizer, typename View::Layout>(latent ? Plane::key : Plane::value);
  static constexpr simd::RowFormat key_format = keys_in_place ? simd::row_format<KeyQuantizer> : simd::float_rows;
  static constexpr simd::RowFormat value_format = values_in_place ? simd::row_format<ValueQuantizer> : simd::float_rows;

 public:
  explicit AttendTask(AttendCall const& call) : call_(call), shape_(call.shape), options_(call.options) {}

  template <class Layer>
  [[nodiscard]] static std::vector<RowOffsets> find_offsets(Layer const& layer, GroupShape const& shape) {
    std::vector<RowOffsets> all(to_size(shape.kv_heads));
    for (std::int32_t head = 0; head < shape.kv_heads; ++head)
      for (std::int32_t slot = 0; slot < shape.block_size; ++slot) {
        auto const add = [&layer](auto const& row, PlaneOffsets& plane, simd::RowParams params) {
          plane.codes.push_back(row.codes() - layer.base());
          if (simd::are_of_tile(params))
            plane.tile = row.param_bytes() - layer.base();
          else if (params != simd::RowParams::none)
            plane.params.push_back(row.param_bytes() - layer.base());
        };
        RowOffsets& offsets = all[to_size(head)];
        add(layer.key(BlockId{0}, head, slot), offsets.keys, key_format.params);
        add(layer.value(BlockId{0}, head, slot), offsets.values, value_format.params);
      }
    return all;
  }

  /// Makes ready for a work; nothing where it is the one before. `q` begins at the work's first query token.
  void begin(Sequence const& sequence, AttendWork const& work, float const* q) {
    if (work_ == &work) return;
    AttentionShape const shape{shape_.key_dim, shape_.value_dim, work.count, call_.heads};
    if (!attention_.has_value() || shape.rows() != rows_) {
      bool const many_rows = shape.rows() > few_rows;
      queries_.clear();
      attention_.emplace(simd::row_kernels<key_format>(many_rows), simd::row_kernels<value_format>(many_rows), shape,
                         keys_in_place ? code_bytes<KeyQuantizer>(shape_.key_dim) : 0,
                         values_in_place && !latent ? code_bytes<ValueQuantizer>(shape_.value_dim) : 0);
      rows_ = shape.rows();
    }
    sequence_.emplace(sequence);
    work_ = &work;
    load_queries(q);
  }

  [[nodiscard]] bool knows(AttendWork const& work) const { return work_ == &work; }

  /// Sums one part of the tokens for each kv head.
  void sum_part(std::int32_t part, std::vector<PartialSums>& sums) {
    for (PartialSums& head : sums) attention_->clear(head);
    add_tiles(part * part_tokens, (part + 1) * part_tokens, sums, [](std::int32_t) {});
  }
  /// Takes together what was summed part by part.
  void merge_parts() {
    start();
    for (std::vector<PartialSums> const& part : work_->sums) merge(part);
  }

  /// Sums all tokens, part after part.
  void sum_all() {
    std::int32_t current = -1;
    start();
    parts_.resize(to_size(work_->kv_heads));
    add_tiles(0, std::numeric_limits<std::int32_t>::max(), parts_, [&](std::int32_t first) {
      if (first / part_tokens == current) return;
      if (current >= 0) merge(parts_);
      for (PartialSums& head : parts_) attention_->clear(head);
      current = first / part_tokens;
    });
    if (current >= 0) merge(parts_);
  }

  /// `out` and `lse` begin where `q` does.
  void store(float* out, float* lse) {
    std::vector<float> value(to_size(shape_.value_dim));
    for (std::int32_t h = 0; h < work_->kv_heads; ++h)
      for (std::int32_t row = 0; row < rows_; ++row) {
        simd::RowState const state = total_[to_size(h)].states[to_size(row)];
        float const norm = state.sum > 0 ? 1.0F / state.sum : 0.0F;  // a query that saw nothing gives zeros
        attention_->read_row(total_[to_size(h)], row, norm, value.data());
        change_value_basis<View>(shape_, value.data());
        std::int64_t const to = row_of(h, row);
        std::copy(value.begin(), value.end(), out + to * shape_.value_dim);
        if (lse != nullptr)
          lse[to] = state.sum > 0 ? state.max + std::log(state.sum) : -std::numeric_limits<float>::infinity();
      }
  }

 private:
  /// What the parts are merged into: nothing, or the sinks' share.
  void start() {
    total_.resize(to_size(work_->kv_heads));
    for (std::int32_t h = 0; h < work_->kv_heads; ++h) {
      attention_->clear(total_[to_size(h)]);
      for (std::int32_t row = 0; options_.sink_logits != nullptr && row < rows_; ++row)
        total_[to_size(h)].states[to_size(row)] = {
            options_.sink_logits[(work_->first_head + h) * call_.heads + row % call_.heads], 1.0F};
    }
  }
  void merge(std::vector<PartialSums> const& part) {
    for (std::size_t head = 0; head < total_.size(); ++head) total_[head].merge(part[head]);
  }

  [[nodiscard]] std::int32_t position(std::int32_t query) const {
    return sequence_->first_query() + work_->first + query;
  }
  [[nodiscard]] std::int64_t row_of(std::int32_t kv_head, std::int32_t row) const {
    return std::int64_t{row / call_.heads} * call_.num_query_heads + (work_->first_head + kv_head) * call_.heads +
           row % call_.heads;
  }

  void load_queries(float const* q) {
    float const scale = options_.scale != 0 ? options_.scale : 1.0F / std::sqrt(static_cast<float>(shape_.key_dim));
    while (queries_.size() < to_size(work_->kv_heads)) queries_.push_back(attention_->make_queries());
    for (std::int32_t h = 0; h < work_->kv_heads; ++h) {
      QueryStore& queries = queries_[to_size(h)];
      for (std::int32_t row = 0; row < rows_; ++row) {
        float const* const from = q + row_of(h, row) * shape_.key_dim;
        float* const to = queries.row(row);
        for (std::int32_t d = 0; d < shape_.key_dim; ++d) to[d] = from[d] * scale;
        change_basis(KeyQuantizer::basis, to, shape_.key_dim, shape_.key_dim);  // instead of turning every key back
      }
      queries.finish();
    }
  }

  /// A tile in one of the kv heads.
  struct Item {
    TileTokens tile;
    TilePlanes planes;
    std::int32_t kv_head = 0;
  };

  /// Runs the tiles of tokens [begin, end) that some query sees; `before(first)` is told of each. Rows are found two
  /// items ahead, and the kernels ask memory for them.
  template <class F>
  void add_tiles(std::int32_t begin, std::int32_t end, std::vector<PartialSums>& sums, F const& before) {
    std::int32_t const last_seen = options_.causal ? position(work_->count - 1) : sequence_->num_tokens() - 1;
    end = std::min({end, std::max(0, options_.token_end), last_seen + 1});
    begin = std::max(begin, std::max(0, options_.token_begin)) / simd::tile_tokens * simd::tile_tokens;
    int found = find_tile(begin, end, items_[0].tile) ? 1 : 0;
    if (found == 0) return;
    items_[0].kv_head = 0;
    find_rows(items_[0]);
    TileAttention::Entered const entered(*attention_);
    for (int i = 0; i < found; ++i) {
      for (bool more = true; more && found <= i + ahead; found += more ? 1 : 0)
        more = find_next(items_[(found - 1) % (ahead + 1)], end, items_[found % (ahead + 1)]);
      Item const& item = items_[i % (ahead + 1)];
      if (item.kv_head == 0) before(item.tile.first);
      attention_->add(entered, item.tile, item.planes,
                      i + ahead < found ? &items_[(i + ahead) % (ahead + 1)].planes : nullptr,
                      queries_[to_size(item.kv_head)], sums[to_size(item.kv_head)]);
    }
  }

  /// What comes after `last`, if there is anything: the next kv head, or the next tile.
  bool find_next(Item const& last, std::int32_t end, Item& next) const {
    next.kv_head = last.kv_head + 1 < work_->kv_heads ? last.kv_head + 1 : 0;
    if (next.kv_head != 0)
      next.tile = last.tile;
    else if (!find_tile(last.tile.first + simd::tile_tokens, end, next.tile))
      return false;
    find_rows(next);
    return true;
  }

  /// Whether some query sees a tile from `first` on, and which is the first one.
  bool find_tile(std::int32_t first, std::int32_t end, TileTokens& tile) const {
    for (; first < end; first += simd::tile_tokens) {
      if (shape_.window != 0 && first >= shape_.sinks)
        first = std::max(first, shape_.window_begin(position(0)) / simd::tile_tokens * simd::tile_tokens);
      if (first < end && find_visible(first, end, tile)) return true;
    }
    return false;
  }

  /// A window and the sinks leave at most two stretches of a tile visible.
  bool find_visible(std::int32_t first, std::int32_t end, TileTokens& tile) const {
    std::int32_t const begin = std::clamp(std::max(0, options_.token_begin) - first, 0, simd::tile_tokens);
    TileStretches all{simd::tile_tokens, 0, simd::tile_tokens, 0};
    tile.visible.resize(to_size(work_->count));
    for (std::int32_t i = 0; i < work_->count; ++i) {
      std::int32_t const at = position(i);
      TileStretches& v = tile.visible[to_size(i)];
      v.begin = begin;
      v.end = std::min(end - first, simd::tile_tokens);
      if (options_.causal) v.end = std::min(v.end, at + 1 - first);
      v.end = std::max(v.end, begin);
      v.window = std::clamp(shape_.window_begin(at) - first, begin, v.end);
      v.sinks = std::clamp(shape_.sinks - first, begin, v.window);
      all.begin = std::min(all.begin, v.begin);
      all.sinks = std::max(all.sinks, v.sinks);
      if (v.window < v.end) all.window = std::min(all.window, v.window);
      all.end = std::max(all.end, v.end);
    }
    tile.first = first;
    tile.all = all;
    return !all.none();
  }

  /// Where the tokens' rows are; tokens that nobody sees are given those of one that is there.
  void find_rows(Item& item) const {
    TileStretches const& all = item.tile.all;
    add_rows(all.begin, all.sinks, item);
    add_rows(all.window, all.end, item);
    if (all.all()) return;
    std::int32_t const seen = all.sinks > all.begin ? all.begin : all.window;
    for (std::int32_t t = 0; t < simd::tile_tokens; ++t)
      if ((t < all.begin || t >= all.sinks) && (t < all.window || t >= all.end))
        for (simd::TileRows* const rows : {&item.planes.keys, &item.planes.values}) {
          rows->codes[t] = rows->codes[seen];
          rows->params[t] = rows->params[seen];
        }
  }

  /// Tokens [begin, end) of the tile, block by block.
  void add_rows(std::int32_t begin, std::int32_t end, Item& item) const {
    for (std::int32_t t = begin; t < end;) {
      std::int32_t const token = item.tile.first + t, slot = token % shape_.block_size;
      std::int32_t const n = std::min(shape_.block_size - slot, end - t);
      BlockId const block = sequence_->block_id(token);
      RowOffsets const& offsets = call_.offsets[to_size(work_->first_head + item.kv_head)];
      std::byte const* const base = sequence_->layer().base() + to_int(block) * sequence_->layer().map().block_bytes();
      add_plane<keys_in_place>(base, offsets.keys, slot, n, t, item.planes.keys);
      add_plane<values_in_place>(base, offsets.values, slot, n, t, item.planes.values);
      add_tile_params<key_format.params>(base + offsets.keys.tile, slot - t, item.planes.keys);
      add_tile_params<value_format.params>(base + offsets.values.tile, slot - t, item.planes.values);
      for (std::int32_t i = 0; i < n && !(keys_in_place && values_in_place); ++i) decode(block, slot + i, t + i, item);
      t += n;
    }
  }

  static void add_offsets(std::byte const* base, std::int64_t const* offsets, std::int32_t n, std::byte const** to) {
    std::int32_t i = 0;
    for (; i + 8 <= n; i += 8)  // a constant number, which vectorizes
      for (int j = 0; j < 8; ++j) to[i + j] = base + offsets[i + j];
    for (; i < n; ++i) to[i] = base + offsets[i];
  }

  template <bool in_place>
  static void add_plane(std::byte const* base, PlaneOffsets const& offsets, std::int32_t slot, std::int32_t n,
                        std::int32_t t, simd::TileRows& rows) {
    if constexpr (in_place) {
      add_offsets(base, offsets.codes.data() + slot, n, rows.codes + t);
      if (!offsets.params.empty()) add_offsets(base, offsets.params.data() + slot, n, rows.params + t);
    }
  }

  /// `slot`: of the tile's first token; all of them are in one block.
  template <simd::RowParams params>
  void add_tile_params(std::byte const* stored, std::int32_t slot, simd::TileRows& rows) const {
    if constexpr (simd::are_of_tile(params)) {
      rows.tokens = stored + slot * simd::token_param_bytes(params);
      rows.channels = stored + shape_.block_size * simd::token_param_bytes(params);
    }
  }

  /// Rows that have no kernels of their own, as floats.
  void decode(BlockId block, std::int32_t slot, std::int32_t t, Item& item) const {
    std::int32_t const head = work_->first_head + item.kv_head;
    auto const decode_one = [t](auto const& row, std::int32_t dim, simd::TileRows& rows, std::vector<float>& floats) {
      std::size_t const stride = to_size((dim + 15) / 16 * 16);
      floats.resize(to_size(simd::tile_tokens) * stride);
      load_row(row, dim, floats.data() + to_size(t) * stride);
      rows.codes[t] = reinterpret_cast<std::byte const*>(floats.data() + to_size(t) * stride);
    };
    if constexpr (!keys_in_place)
      decode_one(sequence_->layer().key(block, head, slot), shape_.key_dim, item.planes.keys, item.planes.decoded_keys);
    if constexpr (!values_in_place)
      decode_one(sequence_->layer().value(block, head, slot), shape_.value_dim, item.planes.values,
                 item.planes.decoded_values);
  }

  AttendCall const& call_;
  GroupShape const& shape_;
  AttendOptions const& options_;
  AttendWork const* work_ = nullptr;
  std::int32_t rows_ = 0;  // query rows of a kv head
  std::optional<Sequence> sequence_;
  std::optional<TileAttention> attention_;
  std::vector<QueryStore> queries_;         // of each kv head of the work
  std::vector<PartialSums> parts_, total_;  // of each kv head
  static constexpr int ahead = 2;
  Item items_[ahead + 1];
};

/// Tasks between two works. A thread takes one that knows its work, or one that knows another, or a new one.
template <class Task>
class TaskStore {
 public:
  [[nodiscard]] std::unique_ptr<Task> take(AttendWork const& work, AttendCall const& call) {
    std::lock_guard const lock(mutex_);
    if (idle_.empty()) return std::make_unique<Task>(call);
    auto at = std::find_if(idle_.begin(), idle_.end(), [&](auto const& task) { return task->knows(work); });
    if (at == idle_.end()) --at;
    std::unique_ptr<Task> task = std::move(*at);
    idle_.erase(at);
    return task;
  }
  void give_back(std::unique_ptr<Task> task) {
    std::lock_guard const lock(mutex_);
    idle_.push_back(std::move(task));
  }

  /// Whether that was the last of a work's parts: whoever is told so merges them.
  [[nodiscard]] bool finish_part(AttendWork& work) {
    std::lock_guard const lock(mutex_);
    return ++work.parts_done == static_cast<std::int32_t>(work.sums.size());
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Task>> idle_;
};

}  // namespace detail

}  // namespace folio::ops
