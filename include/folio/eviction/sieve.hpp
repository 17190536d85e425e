// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <folio/eviction/indexed_heap.hpp>
#include <utility>

namespace folio {

/// SIEVE: one queue in the order of insertion, and a hand that moves through it from the oldest to the newest and then
/// begins again. What was found since the hand last came by, it passes; what was not is evicted. A hit moves nothing,
/// so what stays keeps its place, and what is new is on trial from where it came in: a scan goes out before what was
/// found.
///
/// An entry that is held keeps its place. When it comes back, the hand meets it in this round or the next, as if it had
/// been there.
///
/// Host only, not thread-safe. O(log leaves), amortized over the hits that let an entry pass. No memory of its own.
/// Take it where most prompts come once, and nothing is known besides; S3FifoEviction has a longer memory, of keys that
/// went. Where a conversation comes back once after a long time, lru keeps it, and this does not.
///
/// Source: SIEVE (Zhang, Yang, Yue, Vigfusson and Rashmi, NSDI 2024).
class SieveEviction {
 public:
  static constexpr char const* name = "sieve";
  static constexpr PrefixEvents hears = PrefixEvents::none;

  void reserve(std::size_t) noexcept {}
  void add(EvictionEntry& entry) noexcept {
    if (entry.rank == 0) entry.rank = static_cast<double>(++entered_);  // else it keeps its place
    put(entry, entry.rank > hand_ ? ahead_ : passed());
  }
  void remove(EvictionEntry& entry) noexcept { queues_[entry.queue].erase(entry); }
  void shrunk(EvictionEntry&) noexcept {}

  [[nodiscard]] EvictionEntry* victim(double) noexcept {
    while (true) {
      if (queues_[ahead_].empty()) {  // the newest was passed: the next round begins
        ahead_ = passed();
        hand_ = 0;
        if (queues_[ahead_].empty()) return nullptr;
      }
      EvictionEntry& entry = *queues_[ahead_].first();
      hand_ = entry.rank;
      if (std::exchange(entry.mark, entry.hits) == entry.hits) return &entry;
      remove(entry);
      put(entry, passed());
    }
  }

 private:
  [[nodiscard]] std::int8_t passed() const noexcept { return static_cast<std::int8_t>(1 - ahead_); }
  void put(EvictionEntry& entry, std::int8_t queue) noexcept {
    entry.queue = queue;
    queues_[queue].push(entry, entry.rank);
  }

  IndexedHeap queues_[2];  // what the hand comes to in this round, and what it has passed: by the number of insertion
  std::int8_t ahead_ = 0;  // which of them is ahead of the hand
  double hand_ = 0;        // the number that it is at
  std::int64_t entered_ = 0;
};
static_assert(EvictionPolicy<SieveEviction>);

}  // namespace folio
