// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What would a rule of eviction have found? A cache of a sample of keys, without what they stand for. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/containers/keyed_hash.hpp>
#include <folio/containers/linear_table.hpp>
#include <folio/containers/segmented_array.hpp>
#include <folio/eviction/detail/reward_queue.hpp>
#include <limits>
#include <utility>

namespace folio {

/// A share of all keys, the same at all times: those whose digest is at most `last`. A smaller one is part of it.
struct KeySample {
  std::uint32_t last = std::numeric_limits<std::uint32_t>::max();

  [[nodiscard]] static std::uint32_t digest(std::uint64_t key) noexcept {
    return static_cast<std::uint32_t>((key * 0x9E3779B97F4A7C15U) >> 32);  // also of keys that are no digests
  }
  [[nodiscard]] bool has(std::uint64_t key) const noexcept { return digest(key) <= last; }
  [[nodiscard]] double share() const noexcept { return (last + 1.0) / 0x1p32; }
  /// A sample `factor` times as large, at most everything.
  [[nodiscard]] KeySample times(double factor) const noexcept {
    return {static_cast<std::uint32_t>(std::clamp((last + 1.0) * factor - 1, 0.0, 0x1p32 - 1))};
  }
};

/// A ghost cache: it keeps keys as a cache under `rule` would keep units, and so knows what that would have found.
///
/// Host only, not thread-safe. O(log size) for each key served. Deterministic. About 200 bytes for each key, of which
/// reserve takes the memory: where there is none, the first to go makes room. A copy has the rule, and no ghosts.
class GhostCache {
 public:
  GhostCache() = default;
  GhostCache(GhostCache const& other) : queue_(other.queue_) {}
  GhostCache(GhostCache&&) = default;
  GhostCache& operator=(GhostCache&&) = default;
  ~GhostCache() = default;

  [[nodiscard]] std::size_t size() const noexcept { return queue_.size(); }

  /// Room for so many keys. Throws std::bad_alloc, and then has changed nothing that shows.
  void reserve(std::size_t num_keys) {
    ghosts_.reserve(num_keys);
    places_.reserve(ghosts_.capacity());  // which is rounded up, and is filled
  }

  /// Serves a request's units that are in the sample and were not told before, the shallowest first. Returns how many
  /// of them it finds, from the first on.
  std::int64_t serve(PrefixInserted const& request, KeySample sample) noexcept {
    std::int64_t hits = 0;
    std::int32_t found = 0, missing = request.told;  // the first that is in the sample and is not there
    for (; missing < size_of(request); ++missing) {
      if (!sample.has(key_of(request, missing))) continue;
      if (places_.find(key_of(request, missing)) == none) break;
      ++hits;
      found = missing + 1;
    }
    if (request.told != 0) found = request.found;  // of a sequence that grows, when it began
    for (std::int32_t i = request.told; i < size_of(request); ++i) {
      if (!sample.has(key_of(request, i))) continue;
      Ghost* const ghost = ghost_of(key_of(request, i));
      if (ghost == nullptr) return hits;
      ghost->depth = i;
      // After the first one that is missing none can be used.
      ghost->hits = i < missing ? std::min(ghost->hits + 1, RewardRule::most_hits) : 0;
      ghost->order = request.order;
      ghost->hit_depth = found;
      if (RewardQueue::has(*ghost))
        queue_.change(*ghost);
      else
        enter(*ghost);
    }
    return hits;
  }

  /// Evicts until at most `capacity` keys are left. Calls f(entry) for each before it goes.
  template <class F>
  void trim(std::size_t capacity, F f) noexcept {
    while (queue_.size() > capacity) {
      f(*queue_.first());
      drop(as_ghost(*queue_.first()));
    }
  }

  /// The rule by which it evicts, at first lru, and how far a change of it has come: see RewardQueue.
  [[nodiscard]] RewardRule const& rule() const noexcept { return queue_.rule(); }
  [[nodiscard]] bool is_settled() const noexcept { return queue_.is_settled(); }
  void follow(RewardRule const& rule) noexcept { queue_.follow(rule); }
  void settle(std::int64_t most) noexcept { queue_.settle(most); }

  /// Forgets what is not in the sample. O(log size) for each.
  void keep(KeySample sample) noexcept {
    while (!by_digest_.empty() && !sample.has(as_ghost(*by_digest_.first()).key)) drop(as_ghost(*by_digest_.first()));
  }

 private:
  static constexpr std::int32_t none = -1;
  struct Ghost : EvictionEntry {
    std::uint64_t key = 0;
    std::int32_t place = none;  // of an unused one: the next one's
  };
  /// The digests that leave a sample first.
  struct Higher {
    bool operator()(EvictionEntry const& a, EvictionEntry const& b) const noexcept {
      return KeySample::digest(as_ghost(a).key) > KeySample::digest(as_ghost(b).key);
    }
  };

  static std::int32_t size_of(PrefixInserted const& request) noexcept {
    return static_cast<std::int32_t>(request.keys.size());
  }
  static std::uint64_t key_of(PrefixInserted const& request, std::int32_t i) noexcept {
    return request.keys[static_cast<std::size_t>(i)].low;
  }
  [[nodiscard]] Ghost& at(std::int32_t place) noexcept { return ghosts_[static_cast<std::size_t>(place)]; }
  static Ghost& as_ghost(EvictionEntry& entry) noexcept { return static_cast<Ghost&>(entry); }
  static Ghost const& as_ghost(EvictionEntry const& entry) noexcept { return static_cast<Ghost const&>(entry); }

  /// The ghost of a key, a new one if need be; null where there is no room at all.
  [[nodiscard]] Ghost* ghost_of(std::uint64_t key) noexcept {
    std::int32_t place = places_.find(key);
    if (place != none) return &at(place);
    if (unused_ == none && ghosts_.size() == ghosts_.capacity() && !queue_.empty()) drop(as_ghost(*queue_.first()));
    if (unused_ != none) {
      place = std::exchange(unused_, at(unused_).place);
      at(place) = Ghost();
    } else if (ghosts_.size() < ghosts_.capacity()) {
      place = static_cast<std::int32_t>(ghosts_.size());
      ghosts_.emplace_back();
    } else {
      return nullptr;
    }
    at(place).key = key;
    at(place).place = place;
    places_.insert(key, place);
    return &at(place);
  }
  void enter(Ghost& ghost) noexcept {
    queue_.push(ghost);
    by_digest_.push(ghost);
  }
  void drop(Ghost& ghost) noexcept {
    queue_.erase(ghost);
    by_digest_.erase(ghost);
    places_.erase(ghost.key);
    unused_ = std::exchange(ghost.place, unused_);
  }

  SegmentedArray<Ghost> ghosts_;  // which stay where they are
  LinearTable<std::uint64_t, KeyedHash> places_;
  std::int32_t unused_ = none;
  RewardQueue queue_;
  EntryHeap<1, Higher> by_digest_;
};

}  // namespace folio
