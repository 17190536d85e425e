// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What would a rule of eviction have found? A cache of a sample of keys, without what they stand for. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/ranked_queue.hpp>
#include <folio/keyed_hash.hpp>
#include <folio/linear_table.hpp>
#include <folio/segmented_array.hpp>
#include <limits>
#include <utility>

namespace folio {

/// Ranks an entry by its last use, and rewards what promises another one: how often it was found, up to most_hits; the
/// share of the prefix up to it that its request found, which is high where a conversation goes on; and less the deeper
/// it lies in what was new to its request, since deep units are found only with all above them. Time is counted in uses
/// of the cache, and depth against what is new to a request on average, so that neither load nor the size of blocks
/// matters.
struct RewardRule {
  static constexpr std::int32_t most_hits = 4;  ///< more are alike

  double scale = 0;      ///< how many uses later a reward of 1 makes an entry go; 0: lru
  double new_units = 1;  ///< of a request, on average

  [[nodiscard]] double rank(EvictionEntry const& entry) const noexcept {
    double const length = entry.depth + 1.0, found = std::min<double>(entry.hit_depth, length);
    double const reward = std::min(entry.hits, most_hits) + found / length - (length - found) / (2 * new_units);
    return static_cast<double>(entry.order) + scale * reward;
  }
};

/// A share of 2^-shift of all keys, the same at all times.
struct KeySample {
  int shift = 0;
  [[nodiscard]] bool has(std::uint64_t key) const noexcept {
    return ((key * 0x9E3779B97F4A7C15U) >> 32) >> (32 - shift) == 0;  // keys of one prefix are not independent
  }
};

/// A ghost cache: it keeps keys as a cache under `rule` would keep units, and so knows what that would have found.
///
/// Host only, not thread-safe. O(log size) for each key served. Deterministic. About 200 bytes for each key, of which
/// reserve takes the memory: where there is none, the first to go makes room. A copy has the rule, and no ghosts.
class ShadowCache {
 public:
  ShadowCache() = default;
  ShadowCache(ShadowCache const& other) : rule(other.rule) {}
  ShadowCache(ShadowCache&&) = default;
  ShadowCache& operator=(ShadowCache&&) = default;
  ~ShadowCache() = default;

  RewardRule rule;

  [[nodiscard]] std::size_t size() const noexcept { return queue_.size(); }

  /// Room for so many keys. Throws std::bad_alloc, and then has changed nothing that shows.
  void reserve(std::size_t num_keys) {
    ghosts_.reserve(num_keys);
    places_.reserve(num_keys);
  }

  /// Serves a request's units that are in the sample and were not told before, the shallowest first. Returns how many
  /// of them it finds, from the first on.
  std::int64_t serve(ServedRequest const& request, KeySample sample) noexcept {
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
      if (queue_.has(*ghost))
        queue_.change(*ghost, rule.rank(*ghost));
      else
        queue_.push(*ghost, rule.rank(*ghost));
    }
    return hits;
  }

  /// Evicts until at most `capacity` keys are left. Calls f(entry) for each before it goes.
  template <class F>
  void trim(std::size_t capacity, F f) noexcept {
    while (queue_.size() > capacity) {
      f(*queue_.first());
      drop(first());
    }
  }

  /// To be called when `rule` has changed. O(size).
  void rerank() noexcept {
    queue_.rerank([this](EvictionEntry const& entry) { return rule.rank(entry); });
  }

  /// Forgets what is not in the sample. O(size log size).
  void keep(KeySample sample) noexcept {
    queue_.rerank([&](EvictionEntry const& entry) {
      bool const stays = sample.has(static_cast<Ghost const&>(entry).key);
      return stays ? rule.rank(entry) : -std::numeric_limits<double>::infinity();
    });
    while (!queue_.empty() && !sample.has(first().key)) drop(first());
  }

 private:
  static constexpr std::int32_t none = -1;
  struct Ghost : EvictionEntry {
    std::uint64_t key = 0;
    std::int32_t place = none;  // of an unused one: the next one's
  };

  static std::int32_t size_of(ServedRequest const& request) noexcept {
    return static_cast<std::int32_t>(request.keys.size());
  }
  static std::uint64_t key_of(ServedRequest const& request, std::int32_t i) noexcept {
    return request.keys[static_cast<std::size_t>(i)];
  }
  [[nodiscard]] Ghost& at(std::int32_t place) noexcept { return ghosts_[static_cast<std::size_t>(place)]; }
  [[nodiscard]] Ghost& first() noexcept { return static_cast<Ghost&>(*queue_.first()); }

  /// The ghost of a key, a new one if need be; null where there is no room at all.
  [[nodiscard]] Ghost* ghost_of(std::uint64_t key) noexcept {
    std::int32_t place = places_.find(key);
    if (place != none) return &at(place);
    if (unused_ == none && ghosts_.size() == ghosts_.capacity() && !queue_.empty()) drop(first());
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
  void drop(Ghost& ghost) noexcept {
    queue_.erase(ghost);
    places_.erase(ghost.key);
    unused_ = std::exchange(ghost.place, unused_);
  }

  SegmentedArray<Ghost> ghosts_;  // which stay where they are
  LinearTable<std::uint64_t, KeyedHash> places_;
  std::int32_t unused_ = none;
  RankedQueue queue_;
};

}  // namespace folio
