// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <folio/eviction/indexed_heap.hpp>

namespace folio {

/// LRU: evicts what was used longest ago; of one request's blocks the deepest first.
///
/// Host only, not thread-safe, O(log leaves). The choice where nothing is known of the traffic. Use S3FifoEviction
/// where scans are frequent, AdaptiveEviction where memory is short.
class LruEviction {
 public:
  static constexpr char const* name = "lru";
  static constexpr PrefixEvents hears = PrefixEvents::none;

  void reserve(std::size_t) noexcept {}
  void add(EvictionEntry& entry) noexcept { queue_.push(entry, static_cast<double>(entry.order)); }
  void remove(EvictionEntry& entry) noexcept { queue_.erase(entry); }
  void shrunk(EvictionEntry&) noexcept {}
  [[nodiscard]] EvictionEntry* victim(double) const noexcept { return queue_.first(); }

 private:
  IndexedHeap queue_;
};
static_assert(EvictionPolicy<LruEviction>);

}  // namespace folio
