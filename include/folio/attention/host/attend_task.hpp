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
#include <folio/attention/host/attend_layer.hpp>
#include <folio/attention/host/attend_work.hpp>
#include <folio/attention/host/own_tokens.hpp>
#include <folio/attention/host/tile_attention.hpp>
#include <folio/attention/host/visible_tiles.hpp>
#include <folio/attention/own_tokens.hpp>
#include <folio/attention/params.hpp>
#include <folio/block.hpp>
#include <folio/kernels/rows.hpp>
#include <limits>
#include <utility>
#include <vector>

namespace folio::ops::detail {

/// Works, one after another, with the memory that takes: for each, some kv heads of a few query tokens of one sequence.
/// All query heads of a kv head are worked on at once, so that each key and value is read once for them; and kv heads
/// tile by tile in turn, because they are neighbours in memory.
template <class Attention = TileAttention<>>
class AttendTask {
 public:
  /// Takes from the heap what works of `shares` need, so that they take nothing.
  void reserve(AttendLayers const& layers, AttendShares const& shares, std::int32_t heads, bool with_tree) {
    for (std::int32_t const rows : {std::min(shares.most_rows, few_rows), shares.most_rows}) {
      attention_.begin(setup(layers, blocks_for(rows, heads), heads, shares.all_see_few));
      make_heads(shares.most_kv_heads);
      for (std::vector<AttentionAccumulator>* const sums : {&parts_, &total_})
        for (AttentionAccumulator& head : *sums) attention_.reserve(head);
      for (PackedQueries<>& queries : queries_) attention_.begin(queries);
    }
    for (TileTokens& tile : tiles_) {
      tile.visible.reserve(to_size(shares.most_queries));
      tile.bits.reserve(with_tree ? to_size(shares.most_queries) : 0);
    }
    for (Item& item : items_) {
      layers.keys.make_room(layers.shape.key_dim, item.planes.decoded_keys);
      layers.values.make_room(layers.shape.value_dim, item.planes.decoded_values);
    }
    shapes_.reserve(to_size(shares.most_kv_heads));
    slopes_.reserve(to_size(shares.most_kv_heads * shares.most_rows));
    work_ = nullptr;
  }

  /// The same for the step's own tokens, where a call brings some; `converts`: where they are not floats.
  void reserve_own(AttendLayers const& layers, AttendShares const& shares, std::int32_t heads, bool with_tree,
                   bool converts) {
    own_.reserve(layers, shares, heads, with_tree, converts);
  }

  /// Makes ready for a work of a call; nothing where it is the one before.
  void begin(AttendCall const& call, AttendWork const& work) {
    if (knows(work)) return;
    call_ = &call;
    shape_ = call.layers.shape;
    params_ = &call.params;
    sequence_ = &call.sequences[to_size(work.sequence)];
    work_ = &work;
    visible_.begin(shape_, *params_, *sequence_, work.first, work.count);
    rows_ = work.count * call.heads;
    decodes_ = work.sees_few && call.layers.keys.few_tokens.decodes && call.layers.values.few_tokens.decodes;
    make_heads(work.kv_heads);  // there are, unless this is a task for a thread that nobody spoke of
    attention_.begin(setup(call.layers, work.count, call.heads, work.sees_few));
    has_own_ = call.io.k != nullptr && begin_own(call, work);
    if (!has_own_ || !visible_.empty())
      load_queries(attention_, queries_, call.layers.keys.basis_of(work.sees_few), visible_.end());
    load_shapes();
  }

  [[nodiscard]] bool knows(AttendWork const& work) const { return work_ == &work; }
  /// Before another call.
  void forget() { work_ = nullptr; }

  /// Sums one part of the tokens for each kv head.
  void sum_part(std::int32_t part, AttentionAccumulator* sums) {
    for (std::int32_t h = 0; h < work_->kv_heads; ++h) attention_.clear(sums[h]);
    std::int32_t const first = part * part_tokens;
    add_tiles(first, first + std::min(part_tokens, std::numeric_limits<std::int32_t>::max() - first), sums,
              [](std::int32_t) {});
  }
  /// Takes together what was summed part by part, in `sums` [part][kv head].
  void merge_parts(AttentionAccumulator const* sums) {
    start();
    for (std::int32_t part = 0; part < work_->parts; ++part) merge(sums + part * work_->kv_heads);
  }

  /// Sums all tokens, part after part.
  void sum_all() {
    std::int32_t current = -1;
    start();
    bool fresh = params_->sink_logits == nullptr;
    auto const finish = [&] {
      if (fresh)
        for (std::int32_t h = 0; h < work_->kv_heads; ++h) std::swap(total_[to_size(h)], parts_[to_size(h)]);
      else
        merge(parts_.data());
      fresh = false;
    };
    add_tiles(0, std::numeric_limits<std::int32_t>::max(), parts_.data(), [&](std::int32_t first) {
      if (first / part_tokens == current) return;
      if (current >= 0) finish();
      for (std::int32_t h = 0; h < work_->kv_heads; ++h) attention_.clear(parts_[to_size(h)]);
      current = first / part_tokens;
    });
    if (current >= 0) finish();
  }

  void store() {
    AttendOperands const& io = call_->io;
    AttendPlane const& values = call_->layers.values;
    Basis const basis = values.basis_of(work_->sees_few);
    std::int32_t const dim = shape_.value_dim;
    if (has_own_) own_.sum(shapes_.empty() ? nullptr : shapes_.data());
    for (std::int32_t h = 0; h < work_->kv_heads; ++h)
      for_each_row(
          h, [&, &total = total_[to_size(h)] ](std::int32_t row, std::int64_t token,
                                               std::int32_t head) __attribute__((always_inline)) {
            attention::SoftmaxState state = total.states[to_size(row)];
            std::int64_t const at = token * io.out_stride + std::int64_t{head} * dim;
            float room[max_row_dim], *const value = io.store == nullptr ? static_cast<float*>(io.out) + at : room;
            if (has_own_) {
              state = read_both(h, row, value);
            } else if (state.empty()) {  // a query that saw nothing gives zeros
              std::fill_n(value, dim, 0.0F);
            } else {
              attention_.read_row(total, row, 1.0F / state.sum, value);
              if (basis != Basis::model) values.few_rows.change_basis(basis, value, dim, values.row_dim);
            }
            if (io.store != nullptr) io.store(value, dim, io.out, at);
            if (io.lse == nullptr) return;
            // By the bits: told that there is no infinity, a compiler takes the other of two values.
            float const sum = state.max + std::log(state.sum);
            std::uint32_t const bits = select_bits(state.empty(), 0xFF800000U, to_bits(sum));
            std::memcpy(io.lse + token * call_->num_query_heads + head, &bits, sizeof(bits));
          });
  }

 private:
  /// Divides what the work's queries see between the cache and the step's own tokens. False where it has none.
  bool begin_own(AttendCall const& call, AttendWork const& work) {
    std::int32_t const first = call.first_own(work.sequence);
    if (first == no_own_tokens) return false;
    visible_.end_at(first);
    own_.begin(call, work, first);
    load_queries(own_.attention(), own_.queries(), Basis::model, own_.end());
    return true;
  }
  /// A row of stored and own values, each by its share of the softmax. Returns the state of both.
  attention::SoftmaxState read_both(std::int32_t h, std::int32_t row, float* value) {
    AttentionAccumulator& total = total_[to_size(h)];
    attention::SoftmaxState const stored = total.states[to_size(row)], own = own_.state(h, row);
    attention::SoftmaxState const both = stored.joined(own);
    std::fill_n(value, shape_.value_dim, 0.0F);
    if (!stored.empty()) {
      AttendPlane const& plane = call_->layers.values;
      Basis const from = plane.basis_of(work_->sees_few);
      attention_.read_row(total, row, stored.share_of(both), value);
      if (from != Basis::model) plane.few_rows.change_basis(from, value, shape_.value_dim, plane.row_dim);
    }
    if (!own.empty()) own_.add_row(h, row, own.share_of(both), value);
    return both;
  }

  void make_heads(std::int32_t n) {
    if (queries_.size() >= to_size(n)) return;
    parts_.resize(to_size(n));
    total_.resize(to_size(n));
    queries_.resize(to_size(n));
  }

  [[nodiscard]] static TileAttentionSetup setup(AttendLayers const& layers, std::int32_t queries, std::int32_t heads,
                                                bool sees_few) {
    GroupShape const& shape = layers.shape;
    bool const many = queries * heads > few_rows;
    return {layers.keys.rows(sees_few, many),
            layers.values.rows(sees_few, many),
            {shape.key_dim, shape.value_dim, queries, heads}};
  }

  /// What the parts are merged into: nothing, or the sinks' share.
  void start() {
    for (std::int32_t h = 0; h < work_->kv_heads; ++h) {
      AttentionAccumulator& total = total_[to_size(h)];
      attention_.clear(total);
      if (params_->sink_logits == nullptr) continue;
      std::fill(total.sums.begin(), total.sums.end(), 0.0F);
      for_each_row(h, [&](std::int32_t row, std::int64_t, std::int32_t head) {
        total.states[to_size(row)] = {params_->sink_logits[head], 1.0F};
      });
    }
  }
  void merge(AttentionAccumulator const* part) {
    for (std::int32_t h = 0; h < work_->kv_heads; ++h) total_[to_size(h)].merge(part[h]);
  }

  /// Calls f(row, token of the step, query head) for the query rows of a kv head.
  template <class F>
  [[gnu::always_inline]] void for_each_row(std::int32_t kv_head, F const& f) const {
    std::int64_t const token = std::int64_t{sequence_->first_row} + work_->first;
    std::int32_t const head = (work_->first_head + kv_head) * call_->heads;
    for (std::int32_t query = 0, row = 0; query < work_->count; ++query)
      for (std::int32_t i = 0; i < call_->heads; ++i, ++row) f(row, token + query, head + i);
  }

  /// The work's queries in `basis`, as `attention` takes them, for tokens before `tokens`.
  void load_queries(Attention const& attention, std::vector<PackedQueries<>>& to, Basis basis, std::int32_t tokens) {
    AttendOperands const& io = call_->io;
    float const scale = folio::detail::score_scale(shape_, params_->scale);
    std::int32_t const dim = shape_.key_dim;
    for (std::int32_t h = 0; h < work_->kv_heads; ++h) {
      PackedQueries<>& queries = to[to_size(h)];
      attention.begin(queries);
      std::int64_t at = (std::int64_t{sequence_->first_row} + work_->first) * io.q_stride +
                        std::int64_t{work_->first_head + h} * call_->heads * dim;
      auto const* const q = io.load == nullptr ? static_cast<float const*>(io.q) : nullptr;
      if (q != nullptr && work_->count == 1 && queries.can_use(q + at, tokens))
        queries.use_rows(q + at);
      else
        for (std::int32_t row = 0; row < rows_; row += call_->heads, at += io.q_stride) load_rows(queries, row, at);
      queries.prepare(basis);
      if (h > 0) to[to_size(h - 1)].finish(scale);  // not at once: it waits for what `prepare` finds
    }
    to[to_size(work_->kv_heads - 1)].finish(scale);
  }
  /// The rows of a query token, which are at `at` of the operand.
  void load_rows(PackedQueries<>& queries, std::int32_t row, std::int64_t at) const {
    AttendOperands const& io = call_->io;
    if (io.load == nullptr) return queries.set_rows(row, call_->heads, static_cast<float const*>(io.q) + at);
    for (std::int32_t i = 0; i < call_->heads; ++i) {
      float converted[max_row_dim];
      io.load(io.q, at + std::int64_t{i} * shape_.key_dim, shape_.key_dim, converted);
      queries.set_rows(row + i, 1, converted);
    }
  }

  void load_shapes() {
    shapes_.clear();
    if (params_->logit_soft_cap == 0 && params_->alibi_slopes == nullptr) return;
    slopes_.clear();
    for (std::int32_t h = 0; params_->alibi_slopes != nullptr && h < work_->kv_heads; ++h)
      for_each_row(
          h, [&](std::int32_t, std::int64_t, std::int32_t head) { slopes_.push_back(params_->alibi_slopes[head]); });
    for (std::int32_t h = 0; h < work_->kv_heads; ++h)
      shapes_.push_back(
          {params_->logit_soft_cap, slopes_.empty() ? nullptr : slopes_.data() + h * rows_, visible_.positions()});
  }

  /// A tile in one of the kv heads.
  struct Item {
    TileTokens const* tile = nullptr;
    TilePlanes planes;
    std::int32_t kv_head = 0;
  };

  /// Runs the tiles of tokens [begin, end) that some query sees; `before(first)` is told of each. Rows are found two
  /// items ahead, and the kernels prefetch them.
  template <class F>
  void add_tiles(std::int32_t begin, std::int32_t end, AttentionAccumulator* sums, F const& before) {
    end = std::min(end, visible_.end());
    begin = std::max(begin, visible_.begin()) / attention::tile_tokens * attention::tile_tokens;
    if (!visible_.find_tile(begin, end, tiles_[0])) return;
    int found = 1;
    items_[0].tile = tiles_;
    items_[0].kv_head = 0;
    find_rows(items_[0]);
    typename Attention::KernelScope const entered(attention_);
    for (int i = 0; i < found; ++i) {
      for (bool more = true; more && found <= i + ahead; found += more ? 1 : 0)
        more = find_next(items_[(found - 1) % (ahead + 1)], end, items_[found % (ahead + 1)]);
      Item const& item = items_[i % (ahead + 1)];
      if (item.kv_head == 0) before(item.tile->first);
      attention_.add(entered, *item.tile, item.planes,
                     i + ahead < found ? &items_[(i + ahead) % (ahead + 1)].planes : nullptr,
                     shapes_.empty() ? nullptr : &shapes_[to_size(item.kv_head)], queries_[to_size(item.kv_head)],
                     sums[to_size(item.kv_head)]);
    }
  }

  /// What comes after `last`, if there is anything: the next kv head, or the next tile.
  bool find_next(Item const& last, std::int32_t end, Item& next) {
    next.kv_head = last.kv_head + 1 < work_->kv_heads ? last.kv_head + 1 : 0;
    next.tile = last.tile;
    if (next.kv_head == 0) {
      TileTokens& tile = tiles_[(last.tile - tiles_ + 1) % (ahead + 1)];
      if (!visible_.find_tile(std::int64_t{last.tile->first} + attention::tile_tokens, end, tile)) return false;
      next.tile = &tile;
    }
    find_rows(next);
    return true;
  }

  /// Where the tokens' rows are; tokens that nobody sees are given those of one that is there, to the end of a group.
  void find_rows(Item& item) const {
    VisibleRanges const& all = item.tile->all;
    std::int32_t const end = std::max(all.sinks, all.end);
    item.planes.seen_end = end;
    item.planes.rows_end = (end + attention::row_group - 1) / attention::row_group * attention::row_group;
    add_rows(all.begin, all.sinks, item);
    add_rows(all.window, all.end, item);
    if (all.all()) return;
    std::int32_t const seen = all.sinks > all.begin ? all.begin : all.window;
    auto const fill = [&](std::int32_t from, std::int32_t to) {
      if (from >= to) return;
      for (attention::TokenTileRows* const rows : {&item.planes.keys, &item.planes.values}) {
        std::fill(rows->codes + from, rows->codes + to, rows->codes[seen]);
        if (rows->params[seen] != nullptr) std::fill(rows->params + from, rows->params + to, rows->params[seen]);
      }
    };
    fill(0, all.begin);
    fill(std::max(all.begin, all.sinks), std::min(all.window, item.planes.rows_end));
    if (!decodes_) fill(end, item.planes.rows_end);  // else nobody reads them
  }

  /// Tokens [begin, end) of the tile, block by block.
  void add_rows(std::int32_t begin, std::int32_t end, Item& item) const {
    AttendLayers const& layers = call_->layers;
    for (std::int32_t t = begin; t < end;) {
      std::int32_t const token = item.tile->first + t, index = token / shape_.block_size;
      std::int32_t const slot = token - index * shape_.block_size;
      bool const is_sink = token < shape_.sinks;  // the blocks between the sinks and the window are not in the row
      BlockId const block{sequence_->blocks[is_sink ? index : index - sequence_->num_hidden]};
      SlotRange const slots{block, work_->first_head + item.kv_head, slot, std::min(shape_.block_size - slot, end - t)};
      std::byte const* const base = call_->base + to_int(block) * layers.block_bytes;
      add_plane(layers.keys, base, slots, shape_.key_dim, t, item.planes.keys, item.planes.decoded_keys);
      add_plane(layers.values, base, slots, shape_.value_dim, t, item.planes.values, item.planes.decoded_values);
      t += slots.count;
    }
  }

  /// The rows of some slots, which are the tile's from token `t` on.
  void add_plane(AttendPlane const& plane, std::byte const* base, SlotRange const& slots, std::int32_t dim,
                 std::int32_t t, attention::TokenTileRows& rows, std::vector<float>& decoded) const {
    if (plane.decode != nullptr) {
      std::int32_t const stride = AttendPlane::decoded_stride(dim);
      plane.make_room(dim, decoded);
      float* const to = decoded.data() + to_size(t) * to_size(stride);
      plane.decode(call_->layers.table, call_->index, slots, to, stride);
      for (std::int32_t i = 0; i < slots.count; ++i)
        rows.codes[t + i] = reinterpret_cast<std::byte const*>(to + std::int64_t{i} * stride);
      return;
    }
    std::size_t const first = to_size(slots.head) * to_size(shape_.block_size) + to_size(slots.first);
    add_offsets(base, plane.codes.data() + first, slots.count, rows.codes + t);
    if (!plane.slot_params.empty()) add_offsets(base, plane.slot_params.data() + first, slots.count, rows.params + t);
    if (!plane.tile_params.empty()) {  // all tokens of the tile are in this block
      std::byte const* const stored = base + plane.tile_params[to_size(slots.head)];
      rows.tokens = stored + (slots.first - t) * token_param_bytes(plane.params);
      rows.channels = stored + shape_.block_size * token_param_bytes(plane.params);
    }
  }

  AttendCall const* call_ = nullptr;
  GroupShape shape_;
  AttentionParams const* params_ = nullptr;
  AttendWork const* work_ = nullptr;
  std::int32_t rows_ = 0;  // query rows of a kv head
  bool decodes_ = false;   // keys and values, which reads the rows of tokens and no more
  AttendSequence const* sequence_ = nullptr;
  VisibleTiles<> visible_;
  Attention attention_;
  OwnTokens<Attention> own_;
  bool has_own_ = false;                  // the work, of the call's own tokens
  std::vector<PackedQueries<>> queries_;  // of each kv head of the work
  std::vector<ScoreShapes> shapes_;       // the same, or empty
  std::vector<float> slopes_;
  std::vector<AttentionAccumulator> parts_, total_;  // of each kv head
  static constexpr int ahead = 2;
  TileTokens tiles_[ahead + 1];
  Item items_[ahead + 1];
};

}  // namespace folio::ops::detail
