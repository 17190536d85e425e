// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Threads at work on a layer's attention: each finds the rows of its tiles and runs them through the kernels. Host
// only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <folio/attention/checks.hpp>
#include <folio/attention/params.hpp>
#include <folio/block.hpp>
#include <folio/executor.hpp>
#include <folio/ops/attend_layer.hpp>
#include <folio/ops/attend_work.hpp>
#include <folio/ops/rows.hpp>
#include <folio/ops/tile_attention.hpp>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

namespace folio::ops::detail {

/// An AttentionIo with its types forgotten. Strides count elements, and are not 0.
struct AttendOperands {
  void const* q;
  void (*load)(void const* q, std::int64_t at, std::int32_t n, float* to);  ///< null: q is of floats
  std::int64_t q_stride;
  void* out;
  void (*store)(float const* from, std::int32_t n, void* out, std::int64_t at);
  std::int64_t out_stride;
  float* lse;
};

/// What all tasks of a call share.
struct AttendCall {
  AttendLayer layer;
  std::vector<AttendSequence> sequences;
  std::int32_t num_query_heads, heads;  ///< heads: query heads of a kv head
  AttentionParams const& params;
  AttendOperands io;
};

/// Works, one after another, with the memory that takes: for each, some kv heads of a few query tokens of one sequence.
/// All query heads of a kv head are worked on at once, so that each key and value is read once for them; and kv heads
/// tile by tile in turn, because they are neighbours in memory.
class AttendTask {
 public:
  explicit AttendTask(AttendCall const& call) : call_(call), shape_(call.layer.shape), params_(call.params) {}

  /// Makes ready for a work; nothing where it is the one before.
  void begin(AttendWork const& work) {
    if (work_ == &work) return;
    AttentionShape const shape{shape_.key_dim, shape_.value_dim, work.count, call_.heads};
    if (!attention_.has_value() || shape.rows() != rows_) {
      bool const many_rows = shape.rows() > few_rows;
      queries_.clear();
      AttendPlane const &keys = call_.layer.keys, &values = call_.layer.values;
      attention_.emplace(keys.kernels(many_rows), values.kernels(many_rows), shape, keys.code_bytes, values.code_bytes);
      rows_ = shape.rows();
    }
    sequence_ = &call_.sequences[to_size(work.sequence)];
    work_ = &work;
    load_queries();
    load_shapes();
  }

  [[nodiscard]] bool knows(AttendWork const& work) const { return work_ == &work; }

  /// Sums one part of the tokens for each kv head.
  void sum_part(std::int32_t part, std::vector<PartialSums>& sums) {
    for (PartialSums& head : sums) attention_->clear(head);
    std::int32_t const first = part * part_tokens;
    add_tiles(first, first + std::min(part_tokens, std::numeric_limits<std::int32_t>::max() - first), sums,
              [](std::int32_t) {});
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

  void store() {
    for (std::int32_t h = 0; h < work_->kv_heads; ++h)
      for (std::int32_t row = 0; row < rows_; ++row) {
        simd::RowState const state = total_[to_size(h)].states[to_size(row)];
        float const norm = state.empty() ? 0.0F : 1.0F / state.sum;  // a query that saw nothing gives zeros
        float value[max_row_dim];
        attention_->read_row(total_[to_size(h)], row, norm, value);
        change_value_basis(call_.layer.values.basis, shape_, value);
        std::int32_t const head = query_head(h, row);
        call_.io.store(value, shape_.value_dim, call_.io.out,
                       query_token(row) * call_.io.out_stride + std::int64_t{head} * shape_.value_dim);
        if (call_.io.lse == nullptr) continue;
        // By the bits: told that there is no infinity, a compiler takes the other of two values.
        float const sum = state.max + std::log(state.sum);
        std::uint32_t const bits = select_bits(state.empty(), 0xFF800000U, to_bits(sum));
        std::memcpy(call_.io.lse + query_token(row) * call_.num_query_heads + head, &bits, sizeof(bits));
      }
  }

 private:
  /// What the parts are merged into: nothing, or the sinks' share.
  void start() {
    total_.resize(to_size(work_->kv_heads));
    for (std::int32_t h = 0; h < work_->kv_heads; ++h) {
      attention_->clear(total_[to_size(h)]);
      for (std::int32_t row = 0; params_.sink_logits != nullptr && row < rows_; ++row)
        total_[to_size(h)].states[to_size(row)] = {params_.sink_logits[query_head(h, row)], 1.0F};
    }
  }
  void merge(std::vector<PartialSums> const& part) {
    for (std::size_t head = 0; head < total_.size(); ++head) total_[head].merge(part[head]);
  }

  [[nodiscard]] std::int32_t position(std::int32_t query) const {
    return sequence_->first_query() + work_->first + query;
  }
  /// Of the step.
  [[nodiscard]] std::int64_t query_token(std::int32_t row) const {
    return std::int64_t{sequence_->first_row} + work_->first + row / call_.heads;
  }
  [[nodiscard]] std::int32_t query_head(std::int32_t kv_head, std::int32_t row) const {
    return (work_->first_head + kv_head) * call_.heads + row % call_.heads;
  }

  void load_queries() {
    float const scale = folio::detail::score_scale(shape_, params_.scale);
    while (queries_.size() < to_size(work_->kv_heads)) queries_.push_back(attention_->make_queries());
    for (std::int32_t h = 0; h < work_->kv_heads; ++h) {
      QueryStore& queries = queries_[to_size(h)];
      for (std::int32_t row = 0; row < rows_; ++row) {
        float converted[max_row_dim];
        float* const stored = queries.set_row(row, query(h, row, converted), scale);
        change_basis(call_.layer.keys.basis, stored, shape_.key_dim, shape_.key_dim);  // instead of every key
      }
      queries.finish();
    }
  }
  /// Where it is, or put into `room` as floats.
  [[nodiscard]] float const* query(std::int32_t kv_head, std::int32_t row, float* room) const {
    std::int64_t const at =
        query_token(row) * call_.io.q_stride + std::int64_t{query_head(kv_head, row)} * shape_.key_dim;
    if (call_.io.load == nullptr) return static_cast<float const*>(call_.io.q) + at;
    call_.io.load(call_.io.q, at, shape_.key_dim, room);
    return room;
  }

  void load_shapes() {
    shapes_.clear();
    if (params_.logit_soft_cap == 0 && params_.alibi_slopes == nullptr) return;
    slopes_.clear();
    for (std::int32_t h = 0; params_.alibi_slopes != nullptr && h < work_->kv_heads; ++h)
      for (std::int32_t row = 0; row < rows_; ++row) slopes_.push_back(params_.alibi_slopes[query_head(h, row)]);
    for (std::int32_t h = 0; h < work_->kv_heads; ++h)
      shapes_.push_back({params_.logit_soft_cap, slopes_.empty() ? nullptr : slopes_.data() + h * rows_, position(0)});
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
    std::int32_t const last_seen =
        params_.causal && params_.tree_mask == nullptr ? position(work_->count - 1) : sequence_->num_tokens - 1;
    end = std::min({end, std::max(0, params_.token_end), last_seen + 1});
    begin = std::max(begin, std::max(0, params_.token_begin)) / simd::tile_tokens * simd::tile_tokens;
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
                      shapes_.empty() ? nullptr : &shapes_[to_size(item.kv_head)], queries_[to_size(item.kv_head)],
                      sums[to_size(item.kv_head)]);
    }
  }

  /// What comes after `last`, if there is anything: the next kv head, or the next tile.
  bool find_next(Item const& last, std::int32_t end, Item& next) const {
    next.kv_head = last.kv_head + 1 < work_->kv_heads ? last.kv_head + 1 : 0;
    if (next.kv_head != 0)
      next.tile = last.tile;
    else if (!find_tile(std::int64_t{last.tile.first} + simd::tile_tokens, end, next.tile))
      return false;
    find_rows(next);
    return true;
  }

  /// Whether some query sees a tile from `first` on, and which is the first one. A tile after the last may begin at
  /// 2^31.
  bool find_tile(std::int64_t first, std::int32_t end, TileTokens& tile) const {
    std::int64_t const window = shape_.window_begin(position(0)) / simd::tile_tokens * simd::tile_tokens;
    for (; first < end; first += simd::tile_tokens) {
      if (shape_.window != 0 && first >= shape_.sinks) first = std::max(first, window);
      if (first < end && find_visible(static_cast<std::int32_t>(first), end, tile)) return true;
    }
    return false;
  }

  /// A window and the sinks leave at most two stretches of a tile visible.
  bool find_visible(std::int32_t first, std::int32_t end, TileTokens& tile) const {
    std::int32_t const begin = std::clamp(std::max(0, params_.token_begin) - first, 0, simd::tile_tokens);
    TileStretches all{simd::tile_tokens, 0, simd::tile_tokens, 0};
    tile.visible.resize(to_size(work_->count));
    // Draft tokens: those of this step, from bit `draft` on.
    std::int32_t const draft = sequence_->first_query() - first;
    tile.bits.resize(params_.tree_mask != nullptr && draft < simd::tile_tokens ? to_size(work_->count) : 0);
    for (std::int32_t i = 0; i < work_->count; ++i) {
      std::int32_t const at = position(i);
      TileStretches& v = tile.visible[to_size(i)];
      v.begin = begin;
      v.end = std::min(end - first, simd::tile_tokens);
      if (params_.causal && params_.tree_mask == nullptr) v.end = std::min(v.end, at + 1 - first);
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

  [[nodiscard]] static std::uint64_t stretch_bits(TileStretches const& v) {
    auto const below = [](std::int32_t n) {
      return n < simd::tile_tokens ? (std::uint64_t{1} << n) - 1 : ~std::uint64_t{0};
    };
    return (below(v.sinks) & ~below(v.begin)) | (below(v.end) & ~below(v.window));
  }
  /// The tokens of a tile that the tree mask leaves query `i` of the work; bit `draft` is the step's first token.
  [[nodiscard]] std::uint64_t tree_bits(std::int32_t i, std::int32_t draft) const {
    std::uint64_t const word = params_.tree_mask[sequence_->first_row + work_->first + i];
    if (draft < 0) return -draft < simd::tile_tokens ? word >> -draft : 0;
    return word << draft | ((std::uint64_t{1} << draft) - 1);
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
    AttendLayer const& layer = call_.layer;
    for (std::int32_t t = begin; t < end;) {
      std::int32_t const token = item.tile.first + t, index = token / shape_.block_size;
      std::int32_t const slot = token - index * shape_.block_size;
      bool const is_sink = token < shape_.sinks;  // the blocks between the sinks and the window are not in the row
      BlockId const block{sequence_->blocks[is_sink ? index : index - sequence_->num_hidden]};
      SlotRange const slots{block, work_->first_head + item.kv_head, slot, std::min(shape_.block_size - slot, end - t)};
      std::byte const* const base = layer.base + to_int(block) * layer.block_bytes;
      add_plane(layer.keys, base, slots, shape_.key_dim, t, item.planes.keys, item.planes.decoded_keys);
      add_plane(layer.values, base, slots, shape_.value_dim, t, item.planes.values, item.planes.decoded_values);
      t += slots.count;
    }
  }

  /// The rows of some slots, which are the tile's from token `t` on.
  void add_plane(AttendPlane const& plane, std::byte const* base, SlotRange const& slots, std::int32_t dim,
                 std::int32_t t, simd::TileRows& rows, std::vector<float>& decoded) const {
    if (plane.decode != nullptr) {
      std::int32_t const stride = (dim + 15) / 16 * 16;
      decoded.resize(to_size(simd::tile_tokens) * to_size(stride));
      float* const to = decoded.data() + to_size(t) * to_size(stride);
      plane.decode(call_.layer.table, call_.layer.index, slots, to, stride);
      for (std::int32_t i = 0; i < slots.count; ++i)
        rows.codes[t + i] = reinterpret_cast<std::byte const*>(to + std::int64_t{i} * stride);
      return;
    }
    RowOffsets const& offsets = plane.offsets[to_size(slots.head)];
    add_offsets(base, offsets.codes.data() + slots.first, slots.count, rows.codes + t);
    if (!offsets.params.empty()) add_offsets(base, offsets.params.data() + slots.first, slots.count, rows.params + t);
    if (are_of_tile(plane.params)) {  // all tokens of the tile are in this block
      std::byte const* const stored = base + offsets.tile;
      rows.tokens = stored + (slots.first - t) * token_param_bytes(plane.params);
      rows.channels = stored + shape_.block_size * token_param_bytes(plane.params);
    }
  }

  static void add_offsets(std::byte const* base, std::int64_t const* offsets, std::int32_t n, std::byte const** to) {
    std::int32_t i = 0;
    for (; i + 8 <= n; i += 8)  // a constant number, which vectorizes
      for (int j = 0; j < 8; ++j) to[i + j] = base + offsets[i + j];
    for (; i < n; ++i) to[i] = base + offsets[i];
  }

  AttendCall const& call_;
  GroupShape const& shape_;
  AttentionParams const& params_;
  AttendWork const* work_ = nullptr;
  std::int32_t rows_ = 0;  // query rows of a kv head
  AttendSequence const* sequence_ = nullptr;
  std::optional<TileAttention> attention_;
  std::vector<QueryStore> queries_;  // of each kv head of the work
  std::vector<ScoreShapes> shapes_;  // the same, or empty
  std::vector<float> slopes_;
  std::vector<PartialSums> parts_, total_;  // of each kv head
  static constexpr int ahead = 2;
  Item items_[ahead + 1];
};

/// Tasks between two works. A thread takes one that knows its work, or one that knows another, or a new one.
class TaskStore {
 public:
  [[nodiscard]] std::unique_ptr<AttendTask> take(AttendWork const& work, AttendCall const& call) {
    std::lock_guard const lock(mutex_);
    if (idle_.empty()) return std::make_unique<AttendTask>(call);
    auto at = std::find_if(idle_.begin(), idle_.end(), [&](auto const& task) { return task->knows(work); });
    if (at == idle_.end()) --at;
    std::unique_ptr<AttendTask> task = std::move(*at);
    idle_.erase(at);
    return task;
  }
  void give_back(std::unique_ptr<AttendTask> task) {
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
  std::vector<std::unique_ptr<AttendTask>> idle_;
};

/// The whole call.
inline void run_attend(AttendCall const& call, Executor threads) {
  auto works =
      share_out(call.sequences, call.layer.shape.kv_heads, call.heads, threads.num_threads(), call.params.token_end);
  auto const pieces = pieces_of(works);
  TaskStore tasks;
  parallel_for(threads, static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
    AttendPiece const& piece = pieces[static_cast<std::size_t>(i)];
    AttendWork& work = works[piece.work];
    auto task = tasks.take(work, call);
    task->begin(work);
    bool last = piece.part < 0;
    if (piece.part < 0) {
      task->sum_all();
    } else {
      task->sum_part(piece.part, work.sums[to_size(piece.part)]);
      last = tasks.finish_part(work);
      if (last) task->merge_parts();
    }
    if (last) task->store();
    tasks.give_back(std::move(task));
  });
}

}  // namespace folio::ops::detail
