// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Entries in the order of their rank: what most eviction policies are made of. Host only.

#include <algorithm>
#include <cstddef>
#include <folio/eviction/eviction.hpp>
#include <utility>
#include <vector>

namespace folio {

/// A binary heap of entries that know their places, so that any can leave. The smallest rank is first; among equal
/// ranks the one used least lately. O(log entries) for each change.
class RankedQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return heap_.empty(); }
  [[nodiscard]] std::size_t size() const noexcept { return heap_.size(); }
  [[nodiscard]] EvictionEntry* first() const noexcept { return heap_.empty() ? nullptr : heap_.front(); }

  /// Room for `num_entries`, so that pushing them allocates nothing.
  void reserve(std::size_t num_entries) {
    if (num_entries > heap_.capacity()) heap_.reserve(std::max(num_entries, 2 * heap_.capacity()));
  }

  void push(EvictionEntry& entry, double rank) noexcept {
    entry.rank = rank;
    entry.place = static_cast<std::int32_t>(heap_.size());
    heap_.push_back(&entry);
    rise(heap_.size() - 1);
  }

  void erase(EvictionEntry& entry) noexcept {
    auto const place = static_cast<std::size_t>(entry.place);
    entry.place = -1;
    EvictionEntry* const last = heap_.back();
    heap_.pop_back();
    if (last == &entry) return;
    put(*last, place);
    rise(place);
    sink(static_cast<std::size_t>(last->place));
  }

  void change(EvictionEntry& entry, double rank) noexcept {
    entry.rank = rank;
    rise(static_cast<std::size_t>(entry.place));
    sink(static_cast<std::size_t>(entry.place));
  }

  /// Ranks every entry anew, by rank_of(entry). O(entries).
  template <class F>
  void rerank(F rank_of) noexcept {
    for (EvictionEntry* const entry : heap_) entry->rank = rank_of(std::as_const(*entry));
    for (std::size_t place = heap_.size() / 2; place-- > 0;) sink(place);
  }

 private:
  static bool before(EvictionEntry const& a, EvictionEntry const& b) {
    return a.rank != b.rank ? a.rank < b.rank : a.order != b.order ? a.order < b.order : a.depth > b.depth;
  }
  void put(EvictionEntry& entry, std::size_t place) {
    heap_[place] = &entry;
    entry.place = static_cast<std::int32_t>(place);
  }
  void rise(std::size_t place) {
    EvictionEntry& entry = *heap_[place];
    for (; place > 0 && before(entry, *heap_[(place - 1) / 2]); place = (place - 1) / 2)
      put(*heap_[(place - 1) / 2], place);
    put(entry, place);
  }
  void sink(std::size_t place) {
    EvictionEntry& entry = *heap_[place];
    for (std::size_t child = 2 * place + 1; child < heap_.size(); child = 2 * place + 1) {
      if (child + 1 < heap_.size() && before(*heap_[child + 1], *heap_[child])) ++child;
      if (!before(*heap_[child], entry)) break;
      put(*heap_[child], place);
      place = child;
    }
    put(entry, place);
  }

  std::vector<EvictionEntry*> heap_;
};

}  // namespace folio
