// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One step's tables: which blocks each sequence has, how long it is, and where its new tokens go. Host only.

#include <cstdint>
#include <folio/sequence.hpp>
#include <folio/view.hpp>
#include <limits>
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
  std::int32_t row_blocks = 1;        ///< rows of block tables are a multiple of this many blocks
};

/// The tables of a step as plain arrays. Every row, padding included, is written anew each time.
class BatchTables {
 public:
  explicit BatchTables(int num_groups) : blocks_(static_cast<std::size_t>(num_groups)), slots_(blocks_.size()) {
    widths_.assign(blocks_.size(), 0);
  }

  /// Writes the tables of `items`. Throws Error, and changes nothing, for an empty handle, another cache's sequence, or
  /// more queries than the sequence has tokens in memory. Cost: O(blocks + query tokens); no allocation once the
  /// vectors have grown to the size of a step.
  void fill(SequenceStore const& store, std::span<BatchItem const> items, BatchPadding const& padding = {}) {
    std::int64_t total = 0;
    for (BatchItem const& item : items) total += checked_queries(store, item);
    if (total > std::numeric_limits<std::int32_t>::max())
      throw Error("folio: a batch has at most 2147483647 query tokens, not " + std::to_string(total));
    num_query_tokens_ = std::max(padding.num_query_tokens, static_cast<std::int32_t>(total));
    num_sequences_ = std::max(padding.num_sequences, static_cast<std::int32_t>(items.size()));
    fill_lengths(items);
    for (int g = 0; g < store.num_groups(); ++g) {
      fill_blocks(g, items, padding.row_blocks);
      fill_slots(store.shape(g), g, items);
    }
  }

  [[nodiscard]] std::int32_t num_sequences() const noexcept { return num_sequences_; }
  [[nodiscard]] std::int32_t num_query_tokens() const noexcept { return num_query_tokens_; }
  /// [num_sequences] tokens of each sequence, its queries included.
  [[nodiscard]] std::span<std::int32_t const> lengths() const noexcept { return lengths_; }
  /// [num_sequences + 1] where each sequence's query tokens begin among those of the batch.
  [[nodiscard]] std::span<std::int32_t const> query_starts() const noexcept { return query_starts_; }
  /// [num_sequences][table_width(group)] block ids of layer group `group`; 0, the null block, where there is none.
  [[nodiscard]] std::span<std::int32_t const> block_table(int group = 0) const { return blocks_.at(index(group)); }
  [[nodiscard]] std::int32_t table_width(int group = 0) const { return widths_.at(index(group)); }
  /// [num_query_tokens] the slot of each query token in layer group `group`; -1 for padding.
  [[nodiscard]] std::span<std::int64_t const> slots(int group = 0) const { return slots_.at(index(group)); }

 private:
  static std::size_t index(int group) { return static_cast<std::size_t>(group); }

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
      // Blocks are given back from the end of the sinks' on, so the first one behind those tells.
      std::int32_t const first = std::max(shape.window_begin(s.num_tokens() - n) / shape.block_size,
                                          blocks_for(shape.sinks, shape.block_size));
      std::span<BlockId const> const blocks = s.blocks(g);
      if (index(first) < blocks.size() && blocks[index(first)] == null_block)
        throw Error("folio: the first query token of sequence " + std::to_string(to_int(s.id())) +
                    " sees tokens that layer group " + std::to_string(g) + " gave back behind its window; " +
                    "take fewer query tokens");
    }
    return n;
  }

  void fill_lengths(std::span<BatchItem const> items) {
    lengths_.assign(index(num_sequences_), 0);
    query_starts_.assign(index(num_sequences_) + 1, 0);
    std::int32_t start = 0;
    for (std::size_t i = 0; i < lengths_.size(); ++i) {
      if (i < items.size()) {
        lengths_[i] = items[i].sequence->num_tokens();
        start += num_queries(items[i]);
      }
      query_starts_[i + 1] = start;
    }
  }

  void fill_blocks(int g, std::span<BatchItem const> items, std::int32_t row_blocks) {
    std::size_t longest = 1;
    for (BatchItem const& item : items) longest = std::max(longest, item.sequence->blocks(g).size());
    auto const step = static_cast<std::size_t>(std::max(row_blocks, 1));
    std::size_t const width = (longest + step - 1) / step * step;
    widths_[index(g)] = static_cast<std::int32_t>(width);
    std::vector<std::int32_t>& table = blocks_[index(g)];
    table.assign(index(num_sequences_) * width, to_int(null_block));
    for (std::size_t i = 0; i < items.size(); ++i) {
      std::span<BlockId const> const blocks = items[i].sequence->blocks(g);
      for (std::size_t b = 0; b < blocks.size(); ++b) table[i * width + b] = to_int(blocks[b]);
    }
  }

  void fill_slots(GroupShape const& shape, int g, std::span<BatchItem const> items) {
    std::vector<std::int64_t>& slots = slots_[index(g)];
    slots.assign(index(num_query_tokens_), to_int(no_slot));
    std::size_t at = 0;
    for (BatchItem const& item : items) {
      std::span<BlockId const> const blocks = item.sequence->blocks(g);
      std::int32_t const length = item.sequence->num_tokens();
      for (std::int32_t token = length - num_queries(item); token < length; ++token) {
        BlockId const block = blocks[static_cast<std::size_t>(token / shape.block_size)];
        slots[at++] = to_int(slot_of(block, token % shape.block_size, shape.block_size));
      }
    }
  }

  std::int32_t num_sequences_ = 0, num_query_tokens_ = 0;
  std::vector<std::int32_t> lengths_, query_starts_;
  std::vector<std::vector<std::int32_t>> blocks_;  // by group
  std::vector<std::vector<std::int64_t>> slots_;   // by group
  std::vector<std::int32_t> widths_;               // by group
};

/// A step's tables and the memory that they point into: what makes a view. Made by KvCache::batch.
///
/// Host only. The view points into the batch: it is good until the batch is filled again or goes, and as long as the
/// sequences in it are not changed.
template <class View>
class Batch : public BatchTables {
 public:
  /// `pools[g]`: the memory of group g's blocks. `owner` keeps it.
  Batch(std::shared_ptr<void const> owner, std::span<std::byte* const> pools, std::vector<GroupShape> shapes)
      : BatchTables(View::num_groups),
        owner_(std::move(owner)),
        pools_(pools.begin(), pools.end()),
        shapes_(std::move(shapes)) {}

  [[nodiscard]] View view() const {
    GroupTable groups[View::num_groups];
    for (int g = 0; g < View::num_groups; ++g) {
      auto const i = static_cast<std::size_t>(g);
      groups[g] = {pools_[i], block_table(g).data(), slots(g).data(), table_width(g), shapes_[i]};
    }
    return View(groups, lengths().data(), query_starts().data(), num_sequences(), num_query_tokens());
  }

 private:
  std::shared_ptr<void const> owner_;
  std::vector<std::byte*> pools_;
  std::vector<GroupShape> shapes_;
};

}  // namespace folio
