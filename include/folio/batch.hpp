// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One step's tables: which blocks each sequence has, how long it is, and where its new tokens go. Host only.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/detail/batch_item.hpp>
#include <folio/detail/cache_state.hpp>
#include <folio/detail/table_buffer.hpp>
#include <folio/detail/table_places.hpp>
#include <folio/error.hpp>
#include <folio/sequence.hpp>
#include <folio/view.hpp>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Attention metadata: a step's block tables, lengths, query starts and slots, in one buffer that is copied at once.
///
/// The buffer holds the block table of each list, the end positions, the lengths of each list, the query starts, the
/// limits of each group where the step has any, and the slots of each group. Lists: those of the groups, and then the
/// second ones of what is demoted (KvCache::second_list). Where each begins follows from the numbers of sequences,
/// query tokens and blocks of a row, and from whether there are limits: with a padding that fixes them, every step's
/// buffer is alike. Then what a smaller step leaves of a larger one is made padding again, and nothing else of it is
/// touched.
///
/// Rows are kept from step to step: where a row is of the same sequence as before, only blocks that its list has got or
/// exchanged since are written. So give each sequence the same place in every step.
///
/// A row of a block table holds a sequence's blocks in their order; in a group with a window those of the sinks and
/// those from the window of the step's first query on, without the hidden_blocks between them.
class BatchTables {
 public:
  /// Of sequences with so many lists, of which the groups' are the first.
  BatchTables(int num_lists, int num_groups) : num_lists_(num_lists), num_groups_(num_groups) {}

  /// Writes the tables of `items`. Throws Error, and changes nothing, for an empty handle, another cache's sequence,
  /// one that is given twice, more queries than the sequence has tokens in memory, last tokens that begin before the
  /// end of a gap that cut or keep made, positions and limits that BatchItem does not allow, more than 2^31 - 1 query
  /// tokens, or tables that no memory could hold; std::bad_alloc. Every step's `store` is the same, and lives as long
  /// as the tables are used.
  ///
  /// Cost: O(sequences + query tokens + blocks that are new in a row). A row is new as a whole in the place of another
  /// sequence, where its list changed twice before its end, and in tables whose rows got wider or, but for those of
  /// group 0, more. No allocation once the buffer has grown to the size of a step, and to the cache's number of
  /// sequences.
  ///
  /// `changes` is told which words of the buffer changed: see TableBuffer. It is told nothing where the buffer is
  /// another one than before.
  template <class Changes = NoChanges>
  void fill(SequenceStore const& store, std::span<BatchItem const> items, BatchPadding const& padding = {},
            Changes&& changes = {}) {
    TablePlaces const& places = prepared(store, items, padding);
    if (&places != &places_ || buffer_.num_words() == 0) move_to(places);  // there is none after it was moved from
    for (int l = 0; l < num_lists_; ++l) fill_blocks(store.shape(l), l, changes);
    fill_lengths(changes);
    for (int g = 0; places_.has_limits && g < num_groups_; ++g) fill_limits(g, changes);
    for (int g = 0; g < num_groups_; ++g) fill_slots(store.shape(g).block_size, g, changes);
    num_live_queries_ = static_cast<std::size_t>(query_starts()[items.size()]);
    sources_.swap(next_sources_);
  }

  /// Whether a sequence gave back, copied or exchanged a block since the tables were written: by extend, truncate, cut,
  /// keep, demote, release or KvCache::insert. Somebody else may have that block now. Cost: O(sequences).
  [[nodiscard]] bool is_stale() const noexcept {
    return std::any_of(sources_.begin(), sources_.end(),
                       [](StepQueries const& one) { return one.state->generation != one.generation; });
  }

  /// Throws what `fill` would, and takes the memory that it needs, so that it cannot fail then.
  template <class Store>
  void prepare(Store const& store, std::span<BatchItem const> items, BatchPadding const& padding = {}) {
    static_cast<void>(prepared(store, items, padding));
  }

  /// The query tokens of `items` together. Throws as fill does.
  template <class Store>
  [[nodiscard]] static std::int32_t count_queries(Store const& store, std::span<BatchItem const> items) {
    std::int64_t total = 0;
    for (BatchItem const& item : items) total += StepQueries(store, state_of(store, item), item).num_queries;
    return checked_total(total);
  }

  /// The state of an item's sequence. Throws Error where it has none, or one of another store.
  template <class Store>
  [[nodiscard]] static auto const& state_of(Store const& store, BatchItem const& item) {
    if (item.sequence == nullptr || !*item.sequence) throw Error("folio: a batch item is an empty Sequence");
    Sequence const& s = *item.sequence;
    if (s.store() != &store)
      throw Error("folio: sequence " + std::to_string(to_int(s.id())) + " of the batch belongs to another cache");
    return s.state();
  }

  /// The sequences of the tables, in their places, without padding. What an item's arrays held is not to be read.
  [[nodiscard]] std::span<StepQueries const> sources() const noexcept { return {sources_.data(), sources_.size()}; }
  /// Rows of the tables and, below, rows of q: padding included.
  [[nodiscard]] std::int32_t num_sequences() const noexcept { return places_.num_sequences; }
  [[nodiscard]] std::int32_t num_query_tokens() const noexcept { return places_.num_query_tokens; }
  /// [num_sequences] positions of each sequence, its queries included: where it ends.
  [[nodiscard]] std::span<std::int32_t const> end_positions() const noexcept {
    return array<std::int32_t>(places_.end_positions, num_sequences());
  }
  /// [num_sequences] tokens of each sequence in list `list`, in a group's list its queries included.
  [[nodiscard]] std::span<std::int32_t const> lengths(int list = 0) const {
    return array<std::int32_t>(checked(list, num_lists_).lengths, num_sequences());
  }
  /// [num_query_tokens] how many tokens that layer group `group` stores each query sees, its own included; 0 for
  /// padding. Empty where all queries are the last tokens of their sequences, and the padding asks for no limits.
  [[nodiscard]] std::span<std::int32_t const> limits(int group = 0) const {
    return array<std::int32_t>(checked(group, num_groups_).limits, places_.has_limits ? num_query_tokens() : 0);
  }
  /// [num_sequences + 1] where each sequence's query tokens begin among those of the batch.
  [[nodiscard]] std::span<std::int32_t const> query_starts() const noexcept {
    return array<std::int32_t>(places_.query_starts, std::int64_t{num_sequences()} + 1);
  }
  /// [num_sequences][table_width(list)] block ids of list `list`, but for hidden ones; null blocks where there is none.
  [[nodiscard]] std::span<std::int32_t const> block_table(int list = 0) const {
    List const& places = checked(list, num_lists_);
    return array<std::int32_t>(places.blocks, std::int64_t{num_sequences()} * places.width);
  }
  /// Blocks in a row of block_table(list): those of its longest row, or what the padding asks for; at least 1.
  [[nodiscard]] std::int32_t table_width(int list = 0) const { return checked(list, num_lists_).width; }
  /// Slot mapping: [num_query_tokens] the slot of each query token in layer group `group`, block id * block size +
  /// offset in the block; -1 for padding, and for queries whose tokens are stored elsewhere.
  [[nodiscard]] std::span<std::int64_t const> slots(int group = 0) const {
    return array<std::int64_t>(checked(group, num_groups_).slots, num_query_tokens());
  }

  /// The whole buffer, aligned to 8 bytes.
  [[nodiscard]] std::span<std::byte const> bytes() const noexcept { return buffer_.bytes(); }

  /// A view over a copy of the buffer that begins at `begin`, aligned to 8 bytes. Second lists have no slots or limits.
  template <class View>
  [[nodiscard]] View view_over(std::byte const* begin, CacheState const& cache) const {
    GroupTable tables[View::num_lists];
    for (std::size_t l = 0; l < std::size_t{View::num_lists}; ++l)
      tables[l] = {cache.pools[l],
                   at<std::int32_t>(begin, places_.lists[l].blocks),
                   at<std::int64_t>(begin, places_.lists[l].slots),
                   places_.lists[l].width,
                   cache.shapes[l],
                   at<std::int32_t>(begin, places_.lists[l].lengths),
                   at<std::int32_t>(begin, places_.lists[l].limits)};
    return View(tables, at<std::int32_t>(begin, places_.end_positions), at<std::int32_t>(begin, places_.query_starts),
                num_sequences(), num_query_tokens(), cache.pattern);
  }

 private:
  using List = TablePlaces::List;

  /// The places of one of the first `count` lists: of all, or of those that tokens are appended to.
  [[nodiscard]] List const& checked(int list, int count) const {
    check_list(list, count, num_groups_);
    return places_.lists[index(list)];
  }
  /// What is in a row of a block table before its padding.
  struct Row {
    std::int32_t size = 0, num_hidden = 0;
  };

  static std::size_t index(std::int64_t i) { return static_cast<std::size_t>(i); }

  template <class T>
  static T const* at(std::byte const* begin, std::int64_t offset) {
    return offset == TablePlaces::none ? nullptr : aligned_cast<T const>(begin + offset);
  }
  template <class T>
  [[nodiscard]] std::span<T const> array(std::int64_t offset, std::int64_t size) const {
    return {at<T>(bytes().data(), offset), index(size)};
  }
  static std::int32_t checked_total(std::int64_t num_queries) {
    if (num_queries > std::numeric_limits<std::int32_t>::max())
      throw Error("folio: a batch has at most 2147483647 query tokens, not " + std::to_string(num_queries));
    return static_cast<std::int32_t>(num_queries);
  }
  /// Checks all, and has memory for it. Leaves the step's sequences in next_sources_. Returns places_ where it stays.
  template <class Store>
  [[nodiscard]] TablePlaces const& prepared(Store const& store, std::span<BatchItem const> items,
                                            BatchPadding const& padding) {
    reserve(sources_, items.size());
    reserve(next_sources_, items.size());
    next_sources_.clear();
    for (BatchItem const& item : items) next_sources_.emplace_back(store, state_of(store, item), item);
    TablePlaces const& places = place(store, padding);
    check_once();
    buffer_.prepare(places.num_words);
    reserve(rows_, num_rows(places));
    return places;
  }

  /// Where the tables of next_sources_ are: places_, or next_places_.
  template <class Store>
  [[nodiscard]] TablePlaces const& place(Store const& store, BatchPadding const& padding) {
    std::int64_t queries = 0;
    bool has_limits = padding.has_limits;
    for (StepQueries const& source : next_sources_) queries += source.num_queries, has_limits |= source.has_limits();
    std::int32_t const num_queries = std::max(padding.num_query_tokens, checked_total(queries));
    std::array<std::int64_t, max_lists> widths{};
    for (int l = 0; l < num_lists_; ++l) {
      GroupShape const& shape = store.shape(l);
      std::int64_t longest = 0;
      for (StepQueries const& source : next_sources_)
        longest = std::max<std::int64_t>(
            longest, std::ssize(source.state->lists[l].blocks) - source.num_hidden_blocks(shape, l));
      widths[index(l)] = row_width(shape, padding, num_queries, longest);
    }
    std::int64_t const rows = std::max<std::int64_t>(padding.num_sequences, std::ssize(next_sources_));
    std::span const of_lists = std::span(widths).first(index(num_lists_));
    if (places_.are_of(rows, num_queries, has_limits, of_lists)) return places_;
    return next_places_ = {rows, num_queries, has_limits, of_lists, num_groups_};
  }

  template <class T>
  static void reserve(std::vector<T>& v, std::size_t size) {
    if (size > v.capacity()) v.reserve(std::max(size, 2 * v.capacity()));
  }

  /// Two rows of one sequence would be written by two threads at once.
  void check_once() {
    if (++round_ == 0) std::fill(met_.begin(), met_.end(), round_++);
    for (StepQueries const& source : next_sources_) {
      std::size_t const id = index(to_int(source.state->id));
      if (id >= met_.size()) met_.resize(id + 1 + id / 2);
      if (std::exchange(met_[id], round_) == round_)
        throw Error("folio: sequence " + std::to_string(id) +
                    " is in the batch twice; give it once, with all its query tokens");
    }
  }

  [[nodiscard]] std::size_t num_rows(TablePlaces const& places) const {
    return index(num_lists_) * index(places.num_sequences);
  }
  [[nodiscard]] Row& row(std::size_t i, int l) { return rows_[i * index(num_lists_) + index(l)]; }

  /// Makes the buffer one of padding alone, but for rows that are where they were, with the memory that `prepared`
  /// took.
  void move_to(TablePlaces const& places) {
    rows_.resize(num_rows(places));
    bool stays = buffer_.num_words() > 0;  // everything up to here
    std::int64_t num_kept = 0;
    for (int l = 0; l < num_lists_; ++l) {
      List const &from = places_.lists[index(l)], &to = places.lists[index(l)];
      stays = stays && from.blocks == to.blocks && from.width == to.width;
      std::int32_t const staying = stays ? std::min(num_sequences(), places.num_sequences) : 0;
      if (stays) num_kept = to.blocks / 4 + std::int64_t{staying} * to.width;
      for (std::int32_t i = staying; i < places.num_sequences; ++i) row(index(i), l) = {};
    }
    buffer_.resize(places.num_words, num_kept);
    places_ = places;
    NoChanges unseen;
    buffer_.fill(unseen, places.lists[0].slots / 4, std::int64_t{2} * num_groups_ * num_query_tokens(),
                 static_cast<std::int32_t>(to_int(no_slot)));
    if (sources_.size() > index(num_sequences())) sources_.erase(sources_.begin() + num_sequences(), sources_.end());
    num_live_queries_ = 0;
  }

  template <class Changes>
  void fill_blocks(GroupShape const& shape, int l, Changes& changes) {
    List const& list = places_.lists[index(l)];
    for (std::size_t i = 0; i < std::max(next_sources_.size(), sources_.size()); ++i) {
      std::int64_t const begin = list.blocks / 4 + static_cast<std::int64_t>(i) * list.width;
      Row const now = i < next_sources_.size() ? fill_row(shape, l, i, begin, changes) : Row{};
      Row const before = std::exchange(row(i, l), now);
      if (now.size < before.size) buffer_.fill(changes, begin + now.size, before.size - now.size, to_int(null_block));
    }
  }

  /// Writes what is new in row `i`, which begins at word `begin`, up to its padding.
  template <class Changes>
  Row fill_row(GroupShape const& shape, int l, std::size_t i, std::int64_t begin, Changes& changes) {
    StepQueries const& source = next_sources_[i];
    if (shape.layers == 0) return {};
    std::vector<BlockId> const& blocks = source.state->lists[l].blocks;
    std::int32_t const hidden = source.num_hidden_blocks(shape, l);
    std::int32_t const sinks = hidden > 0 ? blocks_for(shape.sinks, shape.block_size) : 0;
    Row const now{static_cast<std::int32_t>(blocks.size()) - hidden, hidden};
    Row const& before = row(i, l);
    std::int32_t done = 0;
    if (i < sources_.size() && sources_[i].state == source.state && before.num_hidden == hidden) {
      std::int32_t const unchanged = source.state->num_unchanged_since(sources_[i].generation, l);
      done = std::min(before.size, std::max(std::min(unchanged, sinks), unchanged - hidden));
    }
    if (done < sinks) buffer_.put(changes, begin + done, blocks.data() + done, sinks - done);
    done = std::max(done, sinks);
    if (done < now.size) buffer_.put(changes, begin + done, blocks.data() + hidden + done, now.size - done);
    return now;
  }

  template <class Changes>
  void fill_lengths(Changes& changes) {
    auto const fill = [&](std::int64_t place, auto const& length_of) {
      TableBuffer::Writer<std::int32_t, Changes> lengths(buffer_, changes, place / 4);
      for (StepQueries const& source : next_sources_) lengths.add(length_of(*source.state));
      for (std::size_t i = next_sources_.size(); i < sources_.size(); ++i) lengths.add(0);
      lengths.flush();
    };
    fill(places_.end_positions, [](SequenceState const& state) { return state.num_tokens; });
    for (int l = 0; l < num_lists_; ++l)
      fill(places_.lists[index(l)].lengths, [l](SequenceState const& state) { return state.lists[l].num_tokens; });
    TableBuffer::Writer<std::int32_t, Changes> query_starts(buffer_, changes, places_.query_starts / 4);
    std::int32_t start = 0;
    query_starts.add(start);
    for (StepQueries const& source : next_sources_) query_starts.add(start += source.num_queries);
    for (std::size_t i = next_sources_.size(); i < index(num_sequences()); ++i) query_starts.add(start);
    query_starts.flush();
  }

  template <class Changes>
  void fill_slots(std::int32_t block_size, int g, Changes& changes) {
    TableBuffer::Writer<std::int64_t, Changes> slots(buffer_, changes, places_.lists[index(g)].slots / 4);
    std::size_t n = 0;
    for (StepQueries const& source : next_sources_) {
      n += index(source.num_queries);
      if (source.has_limits()) {
        for (std::int32_t q = 0; q < source.num_queries; ++q) slots.add(to_int(source.slot(g, q, block_size)));
        continue;
      }
      std::vector<BlockId> const& blocks = source.state->lists[g].blocks;
      std::size_t block = blocks.size() - 1;  // if the queries begin there, as they mostly do: without a division
      std::int32_t const first = source.first_query(g);
      std::int32_t slot = first - static_cast<std::int32_t>(block) * block_size;
      if (slot < 0) {
        block = index(first / block_size);
        slot = first % block_size;
      }
      for (std::int32_t left = source.num_queries; left > 0; --left, ++slot) {
        if (slot == block_size) {
          slot = 0;
          ++block;
        }
        slots.add(to_int(slot_of(blocks[block], slot, block_size)));
      }
    }
    for (; n < num_live_queries_; ++n) slots.add(to_int(no_slot));
    slots.flush();
  }

  template <class Changes>
  void fill_limits(int g, Changes& changes) {
    TableBuffer::Writer<std::int32_t, Changes> limits(buffer_, changes, places_.lists[index(g)].limits / 4);
    std::size_t n = 0;
    for (StepQueries const& source : next_sources_) {
      for (std::int32_t q = 0; q < source.num_queries; ++q) limits.add(source.limit(g, q));
      n += index(source.num_queries);
    }
    for (; n < num_live_queries_; ++n) limits.add(0);
    limits.flush();
  }

  int num_lists_, num_groups_;
  TablePlaces places_, next_places_;
  std::vector<StepQueries> sources_, next_sources_;  // by item: of the last step, and of the one that is being made
  TableBuffer buffer_;
  std::size_t num_live_queries_ = 0;  // of the last step: slots that are no padding
  std::vector<Row> rows_;             // [sequence][list]
  std::vector<std::uint32_t> met_;    // by sequence: the round in which it was met last
  std::uint32_t round_ = 0;
};

/// Batch: a step's tables and the memory that they point into: what makes a view. Made by KvCache::batch.
///
/// Host only, not thread-safe: filled by the thread that owns the cache. Its views may be read by any number of
/// threads. The view points into the batch: it is good until the batch is filled again or goes, and as long as the
/// sequences in it keep their blocks (BatchTables::is_stale). Where NDEBUG is not defined, `view` throws Error for a
/// batch that is stale.
template <class View>
class Batch : public BatchTables {
 public:
  /// Whether it was made for this cache.
  [[nodiscard]] bool is_of(CacheState const& cache) const noexcept { return cache_.get() == &cache; }

  explicit Batch(std::shared_ptr<CacheState const> cache)
      : BatchTables(View::num_lists, View::num_groups), cache_(std::move(cache)) {}

  [[nodiscard]] View view() const {
#ifndef NDEBUG
    if (is_stale())
      throw Error(
          "folio: this batch is stale: one of its sequences gave back, copied or exchanged a block since; make "
          "the batch after extend, truncate, cut, keep, demote, release and insert");
#endif
    if constexpr (requires { typename View::StoredView; })
      return View{view_over<typename View::StoredView>(bytes().data(), *cache_), cache_->rotation};
    else
      return view_over<View>(bytes().data(), *cache_);
  }

 private:
  std::shared_ptr<CacheState const> cache_;
};

}  // namespace folio
