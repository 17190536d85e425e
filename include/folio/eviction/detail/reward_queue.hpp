// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Entries in the order of a rule that may change, without ever ranking all of them at once. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/indexed_heap.hpp>

namespace folio {

/// Ranks an entry by its last use, and rewards what promises another one: how often it was found, up to most_hits; and
/// by `place`, the share of the prefix up to it that its request found, which is high where a conversation goes on,
/// less how deep it lies in what was new to its request, since deep units are found only with all above them. Time is
/// counted in uses of the cache, and depth against what is new to a request on average, so that neither load nor the
/// size of blocks matters.
struct RewardRule {
  static constexpr std::int32_t most_hits = 6;  ///< more are alike

  double scale = 0;      ///< how many uses later a hit makes an entry go; 0: lru
  double place = 1;      ///< what the place in a prefix counts for, of what a hit does
  double new_units = 1;  ///< of a request, on average

  [[nodiscard]] bool operator==(RewardRule const&) const = default;
  [[nodiscard]] double rank(EvictionEntry const& entry) const noexcept {
    double const length = entry.depth + 1.0, found = std::min<double>(entry.hit_depth, length);
    double const at = found / length - (length - found) / (2 * new_units);
    return static_cast<double>(entry.order) + scale * (std::min(entry.hits, most_hits) + place * at);
  }
};

/// Entries by the rank that a rule gives them. When the rule changes, entries keep the rank that they have until
/// `settle` comes to them, those first that the rule before would have evicted first. So a change costs O(log entries)
/// for each entry, in parts as small as the caller likes.
///
/// Like IndexedHeap it has no memory besides the entries, and a copy has the rule, and is empty. It uses an entry's
/// `queue`.
class RewardQueue {
 public:
  [[nodiscard]] RewardRule const& rule() const noexcept { return rule_; }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return queues_[0].size() + queues_[1].size(); }
  [[nodiscard]] static bool has(EvictionEntry const& entry) noexcept { return IndexedHeap::has(entry); }

  /// Whether every entry has the rank of the rule.
  [[nodiscard]] bool is_settled() const noexcept { return queues_[1 - current_].empty(); }

  /// From now on `rule` ranks. All entries must be settled. O(1).
  void follow(RewardRule const& rule) noexcept {
    rule_ = rule;
    current_ = static_cast<std::int8_t>(1 - current_);
  }

  /// Ranks up to `most` entries by the rule that have not been yet. O(log entries) for each.
  void settle(std::int64_t most) noexcept {
    for (IndexedHeap& before = queues_[1 - current_]; most > 0 && !before.empty(); --most) {
      EvictionEntry& entry = *before.first();
      before.erase(entry);
      push(entry);
    }
  }

  void push(EvictionEntry& entry) noexcept {
    entry.queue = current_;
    queues_[current_].push(entry, rule_.rank(entry));
  }
  void erase(EvictionEntry& entry) noexcept { queues_[entry.queue].erase(entry); }
  /// To be called when what the rule goes by has changed.
  void change(EvictionEntry& entry) noexcept {
    erase(entry);
    push(entry);
  }

  /// The lower one, by the rule, of the first that has its rank and the first that has not; null where there is none.
  [[nodiscard]] EvictionEntry* first() const noexcept {
    EvictionEntry *const ranked = queues_[current_].first(), *const unsettled = queues_[1 - current_].first();
    if (ranked == nullptr || unsettled == nullptr) return ranked == nullptr ? unsettled : ranked;
    return rule_.rank(*unsettled) < ranked->rank ? unsettled : ranked;
  }

 private:
  RewardRule rule_;
  IndexedHeap queues_[2];  // the current one, and that of entries which the rule before has ranked
  std::int8_t current_ = 0;
};

}  // namespace folio
