// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <folio/eviction/indexed_heap.hpp>
#include <limits>

namespace folio {

/// Priorities with time to live: evicts the lowest priority first, 0 to 100; of equal ones what was used longest ago,
/// of one request's blocks the deepest first. At its time `expires` a priority becomes the default, 35, whether it was
/// higher or lower, and the entry stands where its last use puts it. Exact: at every call of `victim(now)` each
/// priority is what it is at `now`.
///
/// Priorities are given by `PrefixIndex::retain`, by ranges of tokens, and by `Sequence::set_retention`. Without any it
/// is lru. Only leaves compete: what lies above a prefix of high priority stays with it.
///
/// Host only, not thread-safe. O(log leaves), also for each priority that expires. Take it where the caller knows what
/// comes back: system prompts, a conversation whose user types for a minute, a prompt that is never asked again (0).
///
/// Source: the retention of TensorRT-LLM's KV cache manager (priority and duration by token range).
class PriorityTtlEviction {
 public:
  static constexpr char const* name = "priority_ttl";
  static constexpr PrefixEvents hears = PrefixEvents::none;
  static constexpr std::int32_t default_priority = EvictionEntry().priority;

  void reserve(std::size_t) noexcept {}
  void add(EvictionEntry& entry) noexcept {
    queue_.push(entry, entry.priority);
    if (entry.priority != default_priority && entry.expires < std::numeric_limits<double>::infinity())
      deadlines_.push(entry);
  }
  void remove(EvictionEntry& entry) noexcept {
    queue_.erase(entry);
    if (deadlines_.has(entry)) deadlines_.erase(entry);
  }
  void shrunk(EvictionEntry&) noexcept {}

  [[nodiscard]] EvictionEntry* victim(double now) noexcept {
    while (!deadlines_.empty() && deadlines_.first()->expires <= now) {
      EvictionEntry& entry = *deadlines_.first();
      deadlines_.erase(entry);
      queue_.change(entry, default_priority);
    }
    return queue_.first();
  }

 private:
  /// All whose time has come leave at once, so that nothing else decides.
  struct Sooner {
    bool operator()(EvictionEntry const& a, EvictionEntry const& b) const noexcept { return a.expires < b.expires; }
  };

  IndexedHeap queue_;
  EntryHeap<1, Sooner> deadlines_;
};
static_assert(EvictionPolicy<PriorityTtlEviction>);

}  // namespace folio
