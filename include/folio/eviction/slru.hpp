// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/eviction/indexed_heap.hpp>
#include <string>

namespace folio {

/// Segmented LRU: two segments in the order of use: what was never found is on probation, what was found is protected.
/// Evicts from probation what was used longest ago, and from the protected segment only when there is nothing else.
/// When the protected segment has more than its share of the units that can be evicted, what was used in it longest ago
/// goes back on probation, as if used now. So a scan drives out other newcomers, and nothing that was found.
///
/// Host only, not thread-safe, O(log leaves), amortized over the moves that hits have paid for. Take it where scans are
/// frequent and what is found once is found again. Under bursts, where everything is found often and then never, it is
/// worse than lru.
///
/// Source: segmented LRU (Karedla, Love and Wherry, Computer 27(3), 1994).
class SlruEviction {
 public:
  static constexpr char const* name = "slru";
  static constexpr PrefixEvents hears = PrefixEvents::none;

  /// The share of units in the protected segment, at most. Throws Error when it is not from 0 to 1.
  explicit SlruEviction(double protected_share = 0.8) : share_(protected_share) {
    if (!(share_ >= 0 && share_ <= 1))
      throw Error("folio: slru cannot protect a share of " + std::to_string(share_) + "; it is from 0 to 1");
  }

  void reserve(std::size_t) noexcept {}
  void add(EvictionEntry& entry) noexcept {
    newest_ = std::max(newest_, entry.order);
    auto const order = static_cast<double>(entry.order);
    if (order > entry.rank) {  // it was used since it was ranked; one that went back on probation ranks as used later
      entry.rank = order;
      entry.queue = entry.hits > 0 ? kept : probation;
    }
    put(entry, entry.rank);
    while (static_cast<double>(units_[kept]) > share_ * static_cast<double>(units_[kept] + units_[probation])) {
      EvictionEntry& oldest = *queues_[kept].first();
      remove(oldest);
      oldest.queue = probation;
      put(oldest, static_cast<double>(newest_));
    }
  }
  void remove(EvictionEntry& entry) noexcept {
    queues_[entry.queue].erase(entry);
    units_[entry.queue] -= entry.units;
  }
  void shrunk(EvictionEntry& entry) noexcept { --units_[entry.queue]; }
  [[nodiscard]] EvictionEntry* victim(double) const noexcept {
    return queues_[probation].empty() ? queues_[kept].first() : queues_[probation].first();
  }

 private:
  static constexpr std::int8_t probation = 0, kept = 1;

  void put(EvictionEntry& entry, double rank) {
    queues_[entry.queue].push(entry, rank);
    units_[entry.queue] += entry.units;
  }

  IndexedHeap queues_[2];
  std::int64_t units_[2] = {0, 0};
  std::int64_t newest_ = 0;  // of all uses seen
  double share_;
};
static_assert(EvictionPolicy<SlruEviction>);

}  // namespace folio
