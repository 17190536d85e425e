// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Attention over paged, quantized keys and values: decode, chunked prefill and anything between. Host only.
//
// attend() cuts the work into tasks; a task finds the rows of its tiles (here) and runs them through the kernels of the
// formats on this machine (tile_attention.hpp, simd/kernels.hpp); the parts of a long sequence are merged at the end.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <folio/ops/attend_work.hpp>
#include <folio/ops/rows.hpp>
#include <folio/ops/thread_pool.hpp>
#include <folio/ops/tile_attention.hpp>
#include <folio/ops/with_group.hpp>
#include <folio/simd/row_format.hpp>
#include <limits>
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

/// Whether attend reads this view's rows in place, by kernels of their formats. Else a plane whose format has none, or
/// whose rows the layout cuts into runs, is decoded to floats tile by tile first, which takes several times as long.
template <class View>
inline constexpr bool has_fast_attend =
    simd::reads_in_place<typename View::KeyQuantizer, typename View::Layout>(Plane::key) &&
    simd::reads_in_place<typename View::ValueQuantizer, typename View::Layout>(Plane::value);

namespace detail {

inline float dot(float const* a, float const* b, std::int32_t n) {
  float lanes[8] = {};  // a fixed order of additions, which vectorizes: n is a multiple of 8
  for (std::int32_t i = 0; i < n; i += 8)
    for (int j = 0; j < 8; ++j) lanes[j] += a[i + j] * b[i + j];
  return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

/// Some kv heads of a few query tokens of one sequence. All query heads of a kv head are worked on at once, so that
/// each key and value is read once for them; and its kv heads tile by tile in turn, because they are neighbours in
/// memory.
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
  AttendTask(Sequence const& sequence, AttendWork const& work, std::int32_t num_query_heads,
             AttendOptions const& options)
      : sequence_(sequence),
        shape_(sequence.shape()),
        work_(work),
        num_query_heads_(num_query_heads),
        heads_(num_query_heads / shape_.kv_heads),
        options_(options),
        attention_(simd::row_kernels<key_format>(work.count * heads_ > few_rows),
                   simd::row_kernels<value_format>(work.count * heads_ > few_rows),
                   {shape_.key_dim, shape_.value_dim, work.count, heads_}) {}

  /// The sums of one part of the tokens, or those of all with part -1, for each kv head. `q` begins at the work's first
  /// query token.
  void sum(float const* q, std::int32_t part, std::vector<PartialSums>& sums) {
    load_queries(q);
    if (part >= 0) {
      for (PartialSums& head : sums) attention_.clear(head);
      add_tiles(part * part_tokens, (part + 1) * part_tokens, sums, [](std::int32_t) {});
      return;
    }
    std::vector<PartialSums> parts(sums.size());
    std::int32_t current = -1;
    start(sums);
    add_tiles(0, std::numeric_limits<std::int32_t>::max(), parts, [&](std::int32_t first) {
      if (first / part_tokens == current) return;
      if (current >= 0) merge(sums, parts.data());
      for (PartialSums& head : parts) attention_.clear(head);
      current = first / part_tokens;
    });
    if (current >= 0) merge(sums, parts.data());
  }

  /// What the parts are merged into: nothing, or the sinks' share.
  void start(std::vector<PartialSums>& total) const {
    for (std::int32_t h = 0; h < work_.kv_heads; ++h) {
      attention_.clear(total[to_size(h)]);
      for (std::int32_t row = 0; options_.sink_logits != nullptr && row < work_.count * heads_; ++row)
        total[to_size(h)].states[to_size(row)] = {options_.sink_logits[(work_.first_head + h) * heads_ + row % heads_],
                                                  1.0F};
    }
  }
  static void merge(std::vector<PartialSums>& total, PartialSums const* part) {
    for (PartialSums& head : total) head.merge(*part++);
  }

  /// `out` and `lse` begin where `q` does.
  void store(std::vector<PartialSums>& total, float* out, float* lse) const {
    std::vector<float> value(to_size(shape_.value_dim));
    for (std::int32_t h = 0; h < work_.kv_heads; ++h)
      for (std::int32_t row = 0; row < work_.count * heads_; ++row) {
        simd::RowState const state = total[to_size(h)].states[to_size(row)];
        float const norm = state.sum > 0 ? 1.0F / state.sum : 0.0F;  // a query that saw nothing gives zeros
        attention_.read_row(total[to_size(h)], row, norm, value.data());
        change_value_basis<View>(shape_, value.data());
        std::int64_t const to = row_of(h, row);
        std::copy(value.begin(), value.end(), out + to * shape_.value_dim);
        if (lse != nullptr)
          lse[to] = state.sum > 0 ? state.max + std::log(state.sum) : -std::numeric_limits<float>::infinity();
      }
  }

 private:
  /// Where a block has the rows of each slot in one kv head: the same in every block.
  struct PlaneOffsets {
    std::vector<std::int64_t> codes, params;
  };
  struct RowOffsets {
    PlaneOffsets keys, values;
  };

  [[nodiscard]] std::int32_t position(std::int32_t query) const {
    return sequence_.first_query() + work_.first + query;
  }
  [[nodiscard]] std::int64_t row_of(std::int32_t kv_head, std::int32_t row) const {
    return std::int64_t{row / heads_} * num_query_heads_ + (work_.first_head + kv_head) * heads_ + row % heads_;
  }

  void load_queries(float const* q) {
    float const scale = options_.scale != 0 ? options_.scale : 1.0F / std::sqrt(static_cast<float>(shape_.key_dim));
    for (std::int32_t h = 0; h < work_.kv_heads; ++h) {
      QueryStore& queries = queries_.emplace_back(attention_.make_queries());
      offsets_.push_back(find_offsets(work_.first_head + h));
      for (std::int32_t row = 0; row < work_.count * heads_; ++row) {
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
    std::int32_t const last_seen = options_.causal ? position(work_.count - 1) : sequence_.num_tokens() - 1;
    end = std::min({end, std::max(0, options_.token_end), last_seen + 1});
    begin = std::max(begin, std::max(0, options_.token_begin)) / simd::tile_tokens * simd::tile_tokens;
    constexpr int ahead = 2;
    Item items[ahead + 1];
    int found = find_tile(begin, end, items[0].tile) ? 1 : 0;
    if (found != 0) find_rows(items[0]);
    for (int i = 0; i < found; ++i) {
      for (bool more = true; more && found <= i + ahead; found += more ? 1 : 0)
        more = find_next(items[(found - 1) % (ahead + 1)], end, items[found % (ahead + 1)]);
      Item const& item = items[i % (ahead + 1)];
      if (item.kv_head == 0) before(item.tile.first);
      attention_.add(item.tile, item.planes, i + ahead < found ? &items[(i + ahead) % (ahead + 1)].planes : nullptr,
                     queries_[to_size(item.kv_head)], sums[to_size(item.kv_head)]);
    }
  }

  /// What comes after `last`, if there is anything: the next kv head, or the next tile.
  bool find_next(Item const& last, std::int32_t end, Item& next) const {
    next.kv_head = last.kv_head + 1 < work_.kv_heads ? last.kv_head + 1 : 0;
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
    tile.visible.resize(to_size(work_.count));
    for (std::int32_t i = 0; i < work_.count; ++i) {
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
      BlockId const block = sequence_.block_id(token);
      RowOffsets const& offsets = offsets_[to_size(item.kv_head)];
      std::byte const* const base = sequence_.layer().base() + to_int(block) * sequence_.layer().map().block_bytes();
      add_plane<keys_in_place>(base, offsets.keys, slot, n, t, item.planes.keys);
      add_plane<values_in_place>(base, offsets.values, slot, n, t, item.planes.values);
      for (std::int32_t i = 0; i < n && !(keys_in_place && values_in_place); ++i) decode(block, slot + i, t + i, item);
      t += n;
    }
  }

  template <bool in_place>
  static void add_plane(std::byte const* base, PlaneOffsets const& offsets, std::int32_t slot, std::int32_t n,
                        std::int32_t t, simd::TileRows& rows) {
    if constexpr (in_place) {
      for (std::int32_t i = 0; i < n; ++i) rows.codes[t + i] = base + offsets.codes[to_size(slot + i)];
      for (std::int32_t i = 0; i < n; ++i) rows.params[t + i] = base + offsets.params[to_size(slot + i)];
    }
  }

  /// Rows that have no kernels of their own, as floats.
  void decode(BlockId block, std::int32_t slot, std::int32_t t, Item& item) const {
    std::int32_t const head = work_.first_head + item.kv_head;
    auto const decode_one = [t](auto const& row, std::int32_t dim, simd::TileRows& rows, std::vector<float>& floats) {
      std::size_t const stride = to_size((dim + 15) / 16 * 16);
      floats.resize(to_size(simd::tile_tokens) * stride);
      load_row(row, dim, floats.data() + to_size(t) * stride);
      rows.codes[t] = reinterpret_cast<std::byte const*>(floats.data() + to_size(t) * stride);
    };
    if constexpr (!keys_in_place)
      decode_one(sequence_.layer().key(block, head, slot), shape_.key_dim, item.planes.keys, item.planes.decoded_keys);
    if constexpr (!values_in_place)
      decode_one(sequence_.layer().value(block, head, slot), shape_.value_dim, item.planes.values,
                 item.planes.decoded_values);
  }

  [[nodiscard]] RowOffsets find_offsets(std::int32_t head) const {
    RowOffsets offsets;
    std::byte const* const base = sequence_.layer().base();
    auto const add = [base](auto const& row, PlaneOffsets& plane) {
      plane.codes.push_back(row.codes() - base);
      plane.params.push_back(row.param_bytes() - base);
    };
    for (std::int32_t slot = 0; slot < shape_.block_size; ++slot) {
      add(sequence_.layer().key(BlockId{0}, head, slot), offsets.keys);
      add(sequence_.layer().value(BlockId{0}, head, slot), offsets.values);
    }
    return offsets;
  }

  Sequence sequence_;
  GroupShape shape_;
  AttendWork const& work_;
  std::int32_t num_query_heads_, heads_;  // heads_: query heads of a kv head
  AttendOptions const& options_;
  TileAttention attention_;
  std::vector<QueryStore> queries_;  // of each kv head
  std::vector<RowOffsets> offsets_;  // of each kv head
};

}  // namespace detail

/// Softmax attention of a step's query tokens over everything their sequences have stored in one layer.
///
/// `q`: [view.num_query_tokens()][num_query_heads][key_dim], `out`: [..][num_query_heads][value_dim], `lse` (or null):
/// [..][num_query_heads] natural logarithm of the sum of exponentiated scores. num_query_heads is a multiple of
/// kv_heads; query head h reads kv head h / (num_query_heads / kv_heads): MHA, GQA, MQA, and MLA with the absorbed
/// query of rank + rope dims. Causal: the query at position p sees tokens up to p, in a window layer those of its
/// window and the sinks. A query that sees nothing gives zeros and an lse of -infinity, which merge_attention takes.
/// The result of a query does not depend on the other queries, on how a prompt was cut into steps, or on `threads`. It
/// does on the machine's instructions, in the last bits.
///
/// Each key and value is read once for all query heads of its kv head and up to 32 query tokens. Integer formats
/// (Int8PerToken, BasicIntRotated) are not decoded: queries and weights become integers of 23 and 15 bits, relative to
/// their row's largest, and are multiplied with the codes; sums are exact, scales and minima are applied to them. So
/// the scores are as precise as by floats, and a value's weight is off by at most 2e-5 of the largest of 64 tokens'.
/// Floating-point formats are widened in registers. `has_fast_attend` tells which views that holds for.
/// Throws Error, before anything is written, for a layer or head count that does not fit.
template <HostReadableView View>
void attend(View const& view, std::int32_t layer, float const* q, std::int32_t num_query_heads, float* out,
            float* lse = nullptr, AttendOptions const& options = {}) {
  with_group(view, layer, [&](auto group, std::int32_t index) {
    GroupShape const shape = LayerView<View, group()>(view.group(group()), index).shape();
    if (num_query_heads < 1 || num_query_heads % shape.kv_heads != 0)
      throw Error("folio: " + std::to_string(num_query_heads) + " query heads cannot share " +
                  std::to_string(shape.kv_heads) + " kv heads; give a multiple");
    auto const tokens_of = [&](std::int32_t sequence) {
      return std::min(view.template sequence_in<group()>(sequence, index).num_tokens(), options.token_end);
    };
    auto works = detail::share_out(view, shape.kv_heads, num_query_heads / shape.kv_heads,
                                   options.threads != nullptr ? options.threads->num_threads() : 1, tokens_of);
    auto const run = [&](detail::AttendWork& work, std::int32_t part) {
      auto const sequence = view.template sequence_in<group()>(work.sequence, index);
      std::int64_t const row = std::int64_t{view.query_start(work.sequence) + work.first} * num_query_heads;
      detail::AttendTask<View, std::remove_const_t<decltype(sequence)>> task(sequence, work, num_query_heads, options);
      if (part >= 0) return task.sum(q + row * shape.key_dim, part, work.sums[detail::to_size(part)]);
      std::vector<detail::PartialSums> total(detail::to_size(work.kv_heads));
      if (work.sums.empty()) task.sum(q + row * shape.key_dim, -1, total);
      if (!work.sums.empty()) task.start(total);
      for (auto const& sums : work.sums) task.merge(total, sums.data());
      task.store(total, out + row * shape.value_dim, lse != nullptr ? lse + row : nullptr);
    };
    auto const pieces = detail::pieces_of(works);
    parallel_for(options.threads, static_cast<std::int64_t>(pieces.size()), [&](std::int64_t i) {
      run(works[pieces[static_cast<std::size_t>(i)].work], pieces[static_cast<std::size_t>(i)].part);
    });
    parallel_for(options.threads, static_cast<std::int64_t>(works.size()), [&](std::int64_t i) {
      if (!works[static_cast<std::size_t>(i)].sums.empty()) run(works[static_cast<std::size_t>(i)], -1);
    });
  });
}

/// attend, for those who rely on its speed: does not compile where a plane has no kernels that read it in place.
template <HostReadableView View>
void attend_fast(View const& view, std::int32_t layer, float const* q, std::int32_t num_query_heads, float* out,
                 float* lse = nullptr, AttendOptions const& options = {}) {
  static_assert(has_fast_attend<View>,
                "folio: attend has no fast kernels for this view: take a layout that keeps rows whole, and quantizers "
                "with a row_format, or ops::attend, which decodes other rows first");
  attend(view, layer, q, num_query_heads, out, lse, options);
}

}  // namespace folio::ops
