// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One step over mixed sequences: the tables of both caches, and the view that the operations take. Host only.

#include <cstdint>
#include <folio/batch.hpp>
#include <folio/mixed/mixed_sequence.hpp>
#include <folio/view.hpp>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// Both parts of a step's sequences: two ordinary views whose sequence i is the same, with the same query tokens. In
/// `hot` these are the sequence's last tokens, as ever, behind its sinks and newest tokens. In `cold` they are none of
/// its tokens: all of those come before every query, which sees them all (AttendOptions::causal = false).
template <class Hot, class Cold>
struct MixedView {
  Hot hot;
  Cold cold;
  std::int32_t sinks = 0;    ///< tokens before the cold ones, where a sequence has cold ones
  bool any_demoted = false;  ///< whether a sequence of the step has

  [[nodiscard]] std::int32_t num_sequences() const { return hot.num_sequences(); }
  [[nodiscard]] std::int32_t num_query_tokens() const { return hot.num_query_tokens(); }
  [[nodiscard]] std::int32_t query_start(std::int32_t i) const { return hot.query_start(i); }
  /// Tokens of sequence `i`, of both caches.
  [[nodiscard]] std::int32_t num_tokens(std::int32_t i) const { return num_hot(i) + num_demoted(i); }
  [[nodiscard]] std::int32_t num_hot(std::int32_t i) const { return hot.template sequence_in<0>(i, 0).num_tokens(); }
  [[nodiscard]] std::int32_t num_demoted(std::int32_t i) const {
    return cold.template sequence_in<0>(i, 0).num_tokens();
  }
};

/// One sequence of a step, and how many of its last tokens are queries: none of them may be sealed.
struct MixedItem {
  MixedItem(MixedSequence const* s, std::int32_t queries = BatchItem::last_append)
      : sequence(s), num_query_tokens(queries) {}

  MixedSequence const* sequence;
  std::int32_t num_query_tokens;  ///< BatchItem::last_append: the tokens of the last append
};

/// A step's tables in both caches. Made by MixedCache::batch. As a Batch it is good until it is filled again or goes,
/// and as long as its sequences are not changed.
template <class HotCache, class ColdCache>
class MixedBatch {
 public:
  using View = MixedView<typename HotCache::View, typename ColdCache::View>;

  MixedBatch(HotCache const& hot, ColdCache const& cold) : hot_(hot.state()), cold_(cold.state()) {}

  /// Writes the tables of `items`. Throws Error as KvCache::batch does, and for query tokens that are sealed.
  void fill(HotCache const& hot, ColdCache const& cold, std::span<MixedItem const> items, std::int32_t sinks,
            BatchPadding const& padding = {}) {
    hot_items_.clear();
    cold_items_.clear();
    any_demoted_ = false;
    sinks_ = sinks;
    for (MixedItem const& item : items) {
      if (item.sequence == nullptr || !*item.sequence) throw Error("folio: a batch item is an empty MixedSequence");
      check_queries(item);
      hot_items_.emplace_back(&item.sequence->hot(), item.num_query_tokens);
      cold_items_.emplace_back(&item.sequence->cold(), 0);
      any_demoted_ = any_demoted_ || item.sequence->num_demoted() > 0;
    }
    hot.batch(hot_items_, hot_, padding);
    cold.batch(cold_items_, cold_, {.num_sequences = padding.num_sequences, .row_blocks = padding.row_blocks});
  }

  [[nodiscard]] View view() const {
    using Cold = typename ColdCache::View;
    Cold const tables = cold_.view();
    GroupTable groups[std::size_t{Cold::num_groups}];
    for (int g = 0; g < Cold::num_groups; ++g) groups[g] = tables.group(g);
    return {
        hot_.view(),
        Cold(groups, cold_.lengths().data(), hot_.query_starts().data(), hot_.num_sequences(), hot_.num_query_tokens()),
        sinks_, any_demoted_};
  }

  [[nodiscard]] Batch<typename HotCache::View> const& hot() const noexcept { return hot_; }
  [[nodiscard]] Batch<typename ColdCache::View> const& cold() const noexcept { return cold_; }

 private:
  static void check_queries(MixedItem const& item) {
    MixedSequence const& s = *item.sequence;
    bool const last = item.num_query_tokens == BatchItem::last_append;
    std::int32_t const n = last ? s.num_new_tokens() : item.num_query_tokens;
    if (s.num_demoted() > 0 && n > s.num_tokens() - s.first_newest())
      throw Error("folio: " + std::to_string(n) + " query tokens of a mixed sequence reach into its sealed tokens, " +
                  "which end at " + std::to_string(s.first_newest()) + " of " + std::to_string(s.num_tokens()) +
                  "; take fewer, or seal behind the step");
  }

  Batch<typename HotCache::View> hot_;
  Batch<typename ColdCache::View> cold_;
  std::vector<BatchItem> hot_items_, cold_items_;
  std::int32_t sinks_ = 0;
  bool any_demoted_ = false;
};

}  // namespace folio
