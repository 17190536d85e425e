// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Threads at work on a layer's attention: each finds the rows of its tiles and runs them through the kernels. Host
// only.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
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

namespace folio::ops {

struct AttendOptions {
  float scale = 0;                     ///< of the scores; 0: 1 / sqrt(key dim), which a latent layer must not rely on
  bool causal = true;                  ///< false: every query sees all tokens (a window still counts back from it)
  float const* sink_logits = nullptr;  ///< [num_query_heads] a score that takes part in the softmax without a value
  std::int32_t token_begin = 0;  ///< only tokens [token_begin, token_end): a part, to be merged by merge_attention
  std::int32_t token_end = std::numeric_limits<std::int32_t>::max();
  Executor threads = {};
};

namespace detail {

/// What all tasks of a call share.
struct AttendCall {
  AttendLayer layer;
  std::vector<AttendSequence> sequences;
  std::int32_t num_query_heads, heads;  ///< heads: query heads of a kv head
  AttendOptions const& options;
};

/// Works, one after another, with the memory that takes: for each, some kv heads of a few query tokens of one sequence.
/// All query heads of a kv head are worked on at once, so that each key and value is read once for them; and kv heads
/// tile by tile in turn, because they are neighbours in memory.
class AttendTask {
 public:
  explicit AttendTask(AttendCall const& call) : call_(call), shape_(call.layer.shape), options_(call.options) {}

  /// Makes ready for a work; nothing where it is the one before. `q` begins at the work's first query token.
  void begin(AttendWork const& work, float const* q) {
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
    load_queries(q);
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

  /// `out` and `lse` begin where `q` does.
  void store(float* out, float* lse) {
    std::vector<float> value(to_size(shape_.value_dim));
    for (std::int32_t h = 0; h < work_->kv_heads; ++h)
      for (std::int32_t row = 0; row < rows_; ++row) {
        simd::RowState const state = total_[to_size(h)].states[to_size(row)];
        float const norm = state.empty() ? 0.0F : 1.0F / state.sum;  // a query that saw nothing gives zeros
        attention_->read_row(total_[to_size(h)], row, norm, value.data());
        change_value_basis(call_.layer.values.basis, shape_, value.data());
        std::int64_t const to = row_of(h, row);
        std::copy(value.begin(), value.end(), out + to * shape_.value_dim);
        if (lse == nullptr) continue;
        // By the bits: told that there is no infinity, a compiler takes the other of two values.
        float const sum = state.max + std::log(state.sum);
        std::uint32_t const bits = select_bits(state.empty(), 0xFF800000U, to_bits(sum));
        std::memcpy(lse + to, &bits, sizeof(bits));
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
        float* const stored = queries.set_row(row, q + row_of(h, row) * shape_.key_dim, scale);
        change_basis(call_.layer.keys.basis, stored, shape_.key_dim, shape_.key_dim);  // instead of every key
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
    std::int32_t const last_seen = options_.causal ? position(work_->count - 1) : sequence_->num_tokens - 1;
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
  AttendOptions const& options_;
  AttendWork const* work_ = nullptr;
  std::int32_t rows_ = 0;  // query rows of a kv head
  AttendSequence const* sequence_ = nullptr;
  std::optional<TileAttention> attention_;
  std::vector<QueryStore> queries_;         // of each kv head of the work
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

/// The whole call. Pointers as for ops::attend.
inline void attend(AttendCall const& call, float const* q, float* out, float* lse) {
  AttendOptions const& options = call.options;
  GroupShape const& shape = call.layer.shape;
  int const num_threads = options.threads.num_threads();
  auto works = share_out(call.sequences, shape.kv_heads, call.heads, num_threads, options.token_end);
  auto const pieces = pieces_of(works);
  TaskStore tasks;
  parallel_for(options.threads, static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
    AttendPiece const& piece = pieces[static_cast<std::size_t>(i)];
    AttendWork& work = works[piece.work];
    std::int64_t const row =
        std::int64_t{call.sequences[to_size(work.sequence)].first_row + work.first} * call.num_query_heads;
    auto task = tasks.take(work, call);
    task->begin(work, q + row * shape.key_dim);
    bool last = piece.part < 0;
    if (piece.part < 0) {
      task->sum_all();
    } else {
      task->sum_part(piece.part, work.sums[to_size(piece.part)]);
      last = tasks.finish_part(work);
      if (last) task->merge_parts();
    }
    if (last) task->store(out + row * shape.value_dim, lse != nullptr ? lse + row : nullptr);
    tasks.give_back(std::move(task));
  });
}

}  // namespace detail

}  // namespace folio::ops
