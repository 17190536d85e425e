// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <folio/eviction/detail/greedy_dual_clock.hpp>
#include <folio/eviction/indexed_heap.hpp>

namespace folio {

/// LFU with ageing: evicts what was found least often, counted from a level that rises with what is evicted: by one,
/// while all that was used below it goes. So a prefix that was found n times outlives n turnovers of those that nobody
/// found, and then goes, too. Among equals the one used longest ago goes, of one request's blocks the deepest first.
///
/// Host only, not thread-safe, O(log leaves); 64 KiB at most besides the queue. Take it where a few prompts are asked
/// for all the time among many that are not. Where popularity moves lru is better: an old favourite stays for as many
/// turnovers as it had hits.
///
/// Source: LFU with dynamic ageing (Arlitt, Cherkasova, Dilley, Friedrich and Jin, 1999).
class LfuEviction {
 public:
  static constexpr char const* name = "lfu";
  static constexpr PrefixEvents hears = PrefixEvents::none;

  void reserve(std::size_t num_entries) { level_.reserve(num_entries); }
  void add(EvictionEntry& entry) noexcept {
    level_.saw(entry.order);
    queue_.push(entry, level_.at(entry.order) + entry.hits + 1);
  }
  void remove(EvictionEntry& entry) noexcept { queue_.erase(entry); }
  void shrunk(EvictionEntry&) noexcept {}
  [[nodiscard]] EvictionEntry* victim(double) noexcept {
    EvictionEntry* const first = queue_.first();
    if (first != nullptr) level_.rise(first->rank);
    return first;
  }

 private:
  IndexedHeap queue_;
  GreedyDualClock level_;
};
static_assert(EvictionPolicy<LfuEviction>);

}  // namespace folio
