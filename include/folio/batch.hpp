// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One step's tables: which blocks each sequence has, how long it is, and where its new tokens go. Host only.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/cache_state.hpp>
#include <folio/error.hpp>
#include <folio/sequence.hpp>
#include <folio/table_buffer.hpp>
#include <folio/view.hpp>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// One sequence of a step, and how many of its last tokens are queries.
struct BatchItem {
  static constexpr std::int32_t last_append = -1;

  BatchItem(Sequence const* s, std::int32_t queries = last_append) : sequence(s), num_query_tokens(queries) {}

  Sequence const* sequence;
  std::int32_t num_query_tokens;  ///< `last_append`: the tokens of the sequence's last append
};

/// Fixed sizes for tables that must not change shape from step to step (captured graphs). 0 or 1: as small as they can
/// be.
struct BatchPadding {
  std::int32_t num_sequences = 0;     ///< rows up to this number are empty: length 0, all blocks null
  std::int32_t num_query_tokens = 0;  ///< slots up to this number are -1: nothing is written
  std::int32_t num_tokens = 0;        ///< rows of block tables have room for sequences of this many tokens
  std::int32_t row_blocks = 1;        ///< rows of block tables are a multiple of this many blocks
};

/// The tables of a step, all in one buffer, so that one copy takes them to a device.
///
/// The buffer holds the slots of each group, the lengths, the query starts, and the block table of each group. Where
/// each begins follows from the numbers of sequences, query tokens and blocks of a row alone: with a padding that fixes
/// them, every step's buffer is alike. Then what a smaller step leaves of a larger one is made padding again, and
/// nothing else of the padding is touched.
///
/// A row of a block table holds a sequence's blocks in their order; in a group with a window those of the sinks and
/// those from the window of the step's first query on, without the hidden_blocks between them.
class BatchTables {
 public:
  explicit BatchTables(int num_groups) : num_groups_(num_groups) {}

  /// Writes the tables of `items`. Throws Error, and changes nothing, for an empty handle, another cache's sequence,
  /// one that is given twice, or more queries than the sequence has tokens in memory; std::bad_alloc. Cost: O(blocks of
  /// the sequences + query tokens), and O(buffer) where the last step's was another; no allocation once the buffer has
  /// grown to the size of a step, and to the cache's number of sequences.
  ///
  /// `changes` is told which words of the buffer changed: see TableBuffer. It is told nothing where the buffer is
  /// another one than before.
  template <class Changes = NoChanges>
  void fill(SequenceStore const& store, std::span<BatchItem const> items, BatchPadding const& padding = {},
            Changes&& changes = {}) {
    Places const places = prepared(store, items, padding);
    if (!is_at(places)) move_to(places);
    fill_slots(store, items, changes);
    fill_lengths(items, changes);
    for (int g = 0; g < num_groups_; ++g) fill_blocks(store.shape(g), g, items, changes);
    num_items_ = items.size();
    sources_.clear();
    for (BatchItem const& item : items)
      sources_.push_back({&item.sequence->state(), item.sequence->state().generation});
  }

  /// Whether a sequence gave back, copied or exchanged a block since the tables were written: by append, truncate,
  /// erase, release or KvCache::insert. Somebody else may have that block now, so make the tables anew. Cost:
  /// O(sequences).
  [[nodiscard]] bool is_stale() const noexcept {
    return std::any_of(sources_.begin(), sources_.end(),
                       [](Source const& one) { return one.state->generation != one.generation; });
  }

  /// Throws what `fill` would, and takes the memory that it needs, so that it cannot fail then: for tables that are
  /// filled together or not at all. What was filled before stays, where it is.
  void prepare(SequenceStore const& store, std::span<BatchItem const> items, BatchPadding const& padding = {}) {
    static_cast<void>(prepared(store, items, padding));
  }

  /// The query tokens of `items` together. Throws as fill does.
  [[nodiscard]] static std::int32_t count_queries(SequenceStore const& store, std::span<BatchItem const> items) {
    std::int64_t total = 0;
    for (BatchItem const& item : items) total += checked_queries(store, item);
    if (total > std::numeric_limits<std::int32_t>::max())
      throw Error("folio: a batch has at most 2147483647 query tokens, not " + std::to_string(total));
    return static_cast<std::int32_t>(total);
  }

  [[nodiscard]] std::int32_t num_sequences() const noexcept { return places_.num_sequences; }
  [[nodiscard]] std::int32_t num_query_tokens() const noexcept { return places_.num_query_tokens; }
  /// [num_sequences] tokens of each sequence, its queries included.
  [[nodiscard]] std::span<std::int32_t const> lengths() const noexcept {
    return array<std::int32_t>(places_.lengths, num_sequences());
  }
  /// [num_sequences + 1] where each sequence's query tokens begin among those of the batch.
  [[nodiscard]] std::span<std::int32_t const> query_starts() const noexcept {
    return array<std::int32_t>(places_.query_starts, std::int64_t{num_sequences()} + 1);
  }
  /// [num_sequences][table_width(group)] block ids of layer group `group`; 0, the null block, where there is none. With
  /// a window without the hidden ones: see above.
  [[nodiscard]] std::span<std::int32_t const> block_table(int group = 0) const {
    Group const& g = checked_group(group);
    return array<std::int32_t>(g.blocks, std::int64_t{num_sequences()} * g.width);
  }
  [[nodiscard]] std::int32_t table_width(int group = 0) const { return checked_group(group).width; }
  /// [num_query_tokens] the slot of each query token in layer group `group`; -1 for padding.
  [[nodiscard]] std::span<std::int64_t const> slots(int group = 0) const {
    return array<std::int64_t>(checked_group(group).slots, num_query_tokens());
  }

  /// The whole buffer, aligned to 8 bytes.
  [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return buffer_.bytes(); }

  /// A view over a copy of the buffer that begins at `begin`, aligned to 8 bytes.
  template <class View>
  [[nodiscard]] View view_over(std::byte const* begin, CacheState const& cache) const {
    GroupTable tables[View::num_groups];
    for (std::size_t g = 0; g < std::size_t{View::num_groups}; ++g)
      tables[g] = {cache.pools[g], at<std::int32_t>(begin, places_.groups[g].blocks),
                   at<std::int64_t>(begin, places_.groups[g].slots), places_.groups[g].width, cache.shapes[g]};
    return View(tables, at<std::int32_t>(begin, places_.lengths), at<std::int32_t>(begin, places_.query_starts),
                num_sequences(), num_query_tokens());
  }

 private:
  /// One group's arrays: bytes from the buffer's beginning, and blocks in a row.
  struct Group {
    std::int64_t slots = 0, blocks = 0;
    std::int32_t width = 0;
  };
  /// Where in the buffer each array begins, in bytes, and how large they are.
  struct Places {
    std::int32_t num_sequences = 0, num_query_tokens = 0;
    std::int64_t lengths = 0, query_starts = 0;
    std::array<Group, max_groups> groups;
    std::int64_t num_words = 2;  // of the buffer: query_starts has one entry from the start
  };

  [[nodiscard]] Group const& checked_group(int group) const {
    check_group(group, num_groups_);
    return places_.groups[index(group)];
  }
  /// A sequence as it was.
  struct Source {
    SequenceState const* state;  // lives as long as the store
    std::uint64_t generation;
  };

  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  template <class T>
  static T const* at(std::byte const* begin, std::int64_t offset) {
    return reinterpret_cast<T const*>(begin + offset);
  }
  template <class T>
  [[nodiscard]] std::span<T const> array(std::int64_t offset, std::int64_t size) const {
    return {at<T>(bytes().data(), offset), index(size)};
  }
  static std::int32_t num_queries(BatchItem const& item) {
    return item.num_query_tokens == BatchItem::last_append ? item.sequence->num_new_tokens() : item.num_query_tokens;
  }

  static std::int32_t checked_queries(SequenceStore const& store, BatchItem const& item) {
    if (item.sequence == nullptr || !*item.sequence) throw Error("folio: a batch item is an empty Sequence");
    Sequence const& s = *item.sequence;
    if (s.store() != &store)
      throw Error("folio: sequence " + std::to_string(to_int(s.id())) + " of the batch belongs to another cache");
    std::int32_t const n = num_queries(item);
    if (n < 0 || n > s.num_tokens())
      throw Error("folio: sequence " + std::to_string(to_int(s.id())) + " has " + std::to_string(s.num_tokens()) +
                  " tokens, so it cannot have " + std::to_string(n) + " query tokens");
    for (int g = 0; n > 0 && g < store.num_groups(); ++g) {
      GroupShape const& shape = store.shape(g);
      // Blocks are given back from the end of the sinks' on, so the first one after those tells.
      std::int32_t const first = std::max(shape.window_begin(s.num_tokens() - n) / shape.block_size,
                                          blocks_for(shape.sinks, shape.block_size));
      std::span<BlockId const> const blocks = s.blocks(g);
      if (index(first) < blocks.size() && blocks[index(first)] == null_block)
        throw Error("folio: the first query token of sequence " + std::to_string(to_int(s.id())) +
                    " sees tokens that layer group " + std::to_string(g) + " gave back when they left its window; " +
                    "take fewer query tokens");
    }
    return n;
  }

  /// Checks all, and has memory for it.
  [[nodiscard]] Places prepared(SequenceStore const& store, std::span<BatchItem const> items,
                                BatchPadding const& padding) {
    Places const places = place(store, items, padding);
    check_once(items);
    buffer_.prepare(places.num_words);
    live_.reserve(num_rows(places));
    if (items.size() > sources_.capacity()) sources_.reserve(std::max(items.size(), 2 * sources_.capacity()));
    return places;
  }

  /// Slots come first, since they need 8-byte alignment.
  [[nodiscard]] Places place(SequenceStore const& store, std::span<BatchItem const> items,
                             BatchPadding const& padding) const {
    constexpr std::int64_t most = std::numeric_limits<std::int32_t>::max(), most_bytes = std::int64_t{1} << 62;
    Places p;
    std::int64_t const rows = std::max(std::int64_t{padding.num_sequences}, static_cast<std::int64_t>(items.size()));
    p.num_query_tokens = std::max(padding.num_query_tokens, count_queries(store, items));
    p.num_sequences = static_cast<std::int32_t>(std::min(rows, most));
    std::int64_t end = 0;
    auto const take = [&](std::int64_t count, std::int64_t each) {
      if (rows > most || count > (most_bytes - end) / each)
        throw Error("folio: the tables of a step of " + std::to_string(rows) + " sequences and " +
                    std::to_string(p.num_query_tokens) + " query tokens would take more than 2^62 bytes; make steps " +
                    "smaller");
      return std::exchange(end, end + count * each);
    };
    for (int g = 0; g < num_groups_; ++g) p.groups[index(g)].slots = take(p.num_query_tokens, 8);
    p.lengths = take(p.num_sequences, 4);
    p.query_starts = take(std::int64_t{p.num_sequences} + 1, 4);
    for (int g = 0; g < num_groups_; ++g) {
      GroupShape const& shape = store.shape(g);
      std::int64_t longest = std::max<std::int64_t>(1, padded_row(shape, padding, p.num_query_tokens));
      for (BatchItem const& item : items)
        longest = std::max(longest, static_cast<std::int64_t>(item.sequence->blocks(g).size()) - hidden(shape, item));
      std::int64_t const step = std::max(padding.row_blocks, 1), width = (longest + step - 1) / step * step;
      if (width > most)
        throw Error("folio: a row of a block table has at most 2147483647 blocks, not " + std::to_string(width));
      p.groups[index(g)].width = static_cast<std::int32_t>(width);
      p.groups[index(g)].blocks = take(std::int64_t{p.num_sequences} * width, 4);
    }
    p.num_words = end / 4;
    return p;
  }

  /// Two rows of one sequence would be written by two threads at once.
  void check_once(std::span<BatchItem const> items) {
    if (++round_ == 0) std::fill(met_.begin(), met_.end(), round_++);
    for (BatchItem const& item : items) {
      std::size_t const id = index(to_int(item.sequence->id()));
      if (id >= met_.size()) met_.resize(id + 1 + id / 2);
      if (std::exchange(met_[id], round_) == round_)
        throw Error("folio: sequence " + std::to_string(id) +
                    " is in the batch twice; give it once, with all its query tokens");
    }
  }

  /// The blocks of a row that has room for any sequence of padding.num_tokens tokens: with a window those of the sinks,
  /// and those that hold the step's query tokens and the window before the first of them.
  static std::int64_t padded_row(GroupShape const& shape, BatchPadding const& padding, std::int32_t num_query_tokens) {
    std::int64_t const all = blocks_for(padding.num_tokens, shape.block_size);
    if (shape.window == 0) return all;
    std::int64_t const seen = std::int64_t{shape.window} - 1 + num_query_tokens;
    return std::min(all,
                    blocks_for(shape.sinks, shape.block_size) + (seen + shape.block_size - 2) / shape.block_size + 1);
  }

  static std::int32_t hidden(GroupShape const& shape, BatchItem const& item) {
    return hidden_blocks(shape, item.sequence->num_tokens() - num_queries(item));
  }

  [[nodiscard]] std::size_t num_rows(Places const& places) const {
    return index(num_groups_) * index(places.num_sequences);
  }

  [[nodiscard]] bool is_at(Places const& places) const {
    bool same = is_filled_ && num_sequences() == places.num_sequences && num_query_tokens() == places.num_query_tokens;
    for (int g = 0; g < num_groups_; ++g)
      same = same && places_.groups[index(g)].width == places.groups[index(g)].width;
    return same;
  }

  /// Makes the buffer one of padding alone, with the memory that `prepared` took.
  void move_to(Places const& places) {
    buffer_.reset(places.num_words);
    NoChanges unseen;
    buffer_.fill(unseen, 0, places.lengths / 4, static_cast<std::int32_t>(to_int(no_slot)));  // the slots come first
    live_.assign(num_rows(places), 0);
    places_ = places;
    num_items_ = num_live_queries_ = 0;
    is_filled_ = true;
  }

  template <class Changes>
  void fill_slots(SequenceStore const& store, std::span<BatchItem const> items, Changes& changes) {
    std::size_t n = 0;
    for (int g = 0; g < num_groups_; ++g) {
      GroupShape const& shape = store.shape(g);
      TableBuffer::Writer<std::int64_t, Changes> slots(buffer_, changes, places_.groups[index(g)].slots / 4);
      n = 0;
      for (BatchItem const& item : items) {
        std::span<BlockId const> const blocks = item.sequence->blocks(g);
        std::int32_t const length = item.sequence->num_tokens();
        for (std::int32_t token = length - num_queries(item); token < length; ++token, ++n)
          slots.add(
              to_int(slot_of(blocks[index(token / shape.block_size)], token % shape.block_size, shape.block_size)));
      }
      for (std::size_t i = n; i < num_live_queries_; ++i) slots.add(to_int(no_slot));
      slots.flush();
    }
    num_live_queries_ = n;
  }

  template <class Changes>
  void fill_lengths(std::span<BatchItem const> items, Changes& changes) {
    TableBuffer::Writer<std::int32_t, Changes> lengths(buffer_, changes, places_.lengths / 4);
    for (std::size_t i = 0; i < std::max(items.size(), num_items_); ++i)
      lengths.add(i < items.size() ? items[i].sequence->num_tokens() : 0);
    lengths.flush();
    TableBuffer::Writer<std::int32_t, Changes> query_starts(buffer_, changes, places_.query_starts / 4);
    std::int32_t start = 0;
    for (std::size_t i = 0; i <= index(num_sequences()); ++i) {
      query_starts.add(start);
      start += i < items.size() ? num_queries(items[i]) : 0;
    }
    query_starts.flush();
  }

  template <class Changes>
  void fill_blocks(GroupShape const& shape, int g, std::span<BatchItem const> items, Changes& changes) {
    Group const& group = places_.groups[index(g)];
    std::int32_t* const live = live_.data() + g * std::int64_t{num_sequences()};
    for (std::size_t i = 0; i < std::max(items.size(), num_items_); ++i) {
      std::int64_t const row = group.blocks / 4 + static_cast<std::int64_t>(i) * group.width;
      std::int32_t size = 0;
      if (i < items.size()) {
        std::span<BlockId const> const blocks = items[i].sequence->blocks(g);
        std::int32_t const left_out = hidden(shape, items[i]);
        std::int32_t const sinks = left_out > 0 ? blocks_for(shape.sinks, shape.block_size) : 0;
        size = static_cast<std::int32_t>(blocks.size()) - left_out;
        buffer_.put(changes, row, blocks.data(), sinks);
        buffer_.put(changes, row + sinks, blocks.data() + sinks + left_out, size - sinks);
      }
      buffer_.fill(changes, row + size, live[i] - size, to_int(null_block));
      live[i] = size;
    }
  }

  int num_groups_;
  Places places_;
  std::vector<Source> sources_;  // by item
  TableBuffer buffer_;
  bool is_filled_ = false;
  std::size_t num_items_ = 0, num_live_queries_ = 0;  // of the last step: what is no padding
  std::vector<std::int32_t> live_;                    // [group][sequence] blocks of a row that are no padding
  std::vector<std::uint32_t> met_;                    // by sequence: the round in which it was met last
  std::uint32_t round_ = 0;
};

/// A step's tables and the memory that they point into: what makes a view. Made by KvCache::batch.
///
/// Host only. The view points into the batch: it is good until the batch is filled again or goes, and as long as the
/// sequences in it keep their blocks (BatchTables::is_stale). Where NDEBUG is not defined, `view` throws Error for a
/// batch that is stale.
template <class View>
class Batch : public BatchTables {
 public:
  /// Whether it was made for this cache.
  [[nodiscard]] bool is_of(CacheState const& cache) const noexcept { return cache_.get() == &cache; }

  explicit Batch(std::shared_ptr<CacheState const> cache) : BatchTables(View::num_groups), cache_(std::move(cache)) {}

  [[nodiscard]] View view() const {
#ifndef NDEBUG
    if (is_stale())
      throw Error(
          "folio: this batch is stale: one of its sequences gave back, copied or exchanged a block since; make "
          "the batch after append, truncate, release and insert");
#endif
    return view_over<View>(bytes().data(), *cache_);
  }

 private:
  std::shared_ptr<CacheState const> cache_;
};

}  // namespace folio
