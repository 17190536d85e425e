// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What would a rule of eviction have found? A cache of a sample of keys, without what they stand for. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/ranked_queue.hpp>
#include <limits>
#include <span>
#include <unordered_map>

namespace folio {

/// Ranks an entry by its last use, and rewards what promises another one: how often it was found, up to 4; the share of
/// the prefix up to it that its request found, which is high where a conversation goes on; and less the deeper it lies
/// in what was new to its request, since deep units are found only with all above them. Time is counted in uses of the
/// cache, and depth against what is new to a request on average, so that neither load nor the size of blocks matters.
struct RewardRule {
  double scale = 0;      ///< how many uses later a reward of 1 makes an entry go; 0: lru
  double new_units = 1;  ///< of a request, on average

  [[nodiscard]] double rank(EvictionEntry const& entry) const {
    double const length = entry.depth + 1.0, found = std::min<double>(entry.hit_depth, length);
    double const reward = std::min(entry.hits, 4) + found / length - (length - found) / (2 * new_units);
    return static_cast<double>(entry.order) + scale * reward;
  }
};

/// A share of 2^-shift of all keys, the same at all times.
struct KeySample {
  int shift = 0;
  [[nodiscard]] bool has(std::uint64_t key) const {
    return ((key * 0x9E3779B97F4A7C15U) >> 32) >> (32 - shift) == 0;  // keys of one prefix are not independent
  }
};

/// A unit of a request: the key of the prefix that ends with it, and how many units are before it.
struct SampledUnit {
  std::uint64_t key;
  std::int32_t depth;
};

/// A ghost cache: it keeps keys as a cache under `rule` would keep units, and so knows what that would have found.
///
/// Host only, not thread-safe. O(log size) for each key served. Deterministic. About 200 bytes for each key.
class ShadowCache {
 public:
  RewardRule rule;

  [[nodiscard]] std::size_t size() const { return queue_.size(); }

  /// Serves a request's units that are in the sample and were not told before, the shallowest first. Returns how many
  /// of them it finds, from the first on.
  std::int64_t serve(std::span<SampledUnit const> units, ServedRequest const& request) {
    std::size_t hits = 0;
    while (hits < units.size() && ghosts_.contains(units[hits].key)) ++hits;
    std::int32_t found = request.found;  // of a sequence that grows, when it began
    if (request.told == 0) found = hits == 0 ? 0 : units[hits - 1].depth + 1;
    for (std::size_t i = 0; i < units.size(); ++i) {
      Ghost& ghost = ghosts_[units[i].key];
      ghost.key = units[i].key;
      ghost.depth = units[i].depth;
      ghost.hits = i < hits ? ghost.hits + 1 : 0;  // behind the first one that is missing none can be used
      ghost.order = request.order;
      ghost.hit_depth = found;
      if (ghost.place < 0)
        queue_.push(ghost, rule.rank(ghost));
      else
        queue_.change(ghost, rule.rank(ghost));
    }
    return static_cast<std::int64_t>(hits);
  }

  /// Evicts until at most `capacity` keys are left. Calls f(entry) for each before it goes.
  template <class F>
  void trim(std::size_t capacity, F f) {
    while (queue_.size() > capacity) {
      f(*queue_.first());
      drop(first());
    }
  }

  /// To be called when `rule` has changed. O(size).
  void rerank() {
    queue_.rerank([this](EvictionEntry const& entry) { return rule.rank(entry); });
  }

  /// Forgets what is not in the sample. O(size log size).
  void keep(KeySample sample) {
    queue_.rerank([&](EvictionEntry const& entry) {
      bool const stays = sample.has(static_cast<Ghost const&>(entry).key);
      return stays ? rule.rank(entry) : -std::numeric_limits<double>::infinity();
    });
    while (!queue_.empty() && !sample.has(first().key)) drop(first());
  }

 private:
  struct Ghost : EvictionEntry {
    std::uint64_t key = 0;
  };

  [[nodiscard]] Ghost& first() { return static_cast<Ghost&>(*queue_.first()); }
  void drop(Ghost& ghost) {
    queue_.erase(ghost);
    ghosts_.erase(ghosts_.find(ghost.key));
  }

  std::unordered_map<std::uint64_t, Ghost> ghosts_;  // which stay where they are; never iterated
  RankedQueue queue_;
};

}  // namespace folio
