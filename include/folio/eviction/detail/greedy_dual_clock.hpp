// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

// How much has been evicted since an entry was used: the ageing of policies that count or weigh uses. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/eviction.hpp>
#include <vector>

namespace folio {

/// A level that rises to the value of what is evicted, and what it was at earlier uses of the cache. An entry that is
/// worth v above the level of its last use goes when the level has risen by v, so old fame fades without any clock and
/// without touching the entries (the L of GreedyDual: Young 1994; Cao and Irani, USITS 1997).
///
/// O(log steps) to ask, amortized O(1) to rise. 64 KiB at most: when there are too many steps, every other one is
/// forgotten, and entries between them count as a little older.
class GreedyDualClock {
 public:
  /// Memory for what is remembered where there are so many entries. Throws std::bad_alloc, and then has changed nothing
  /// that shows. Without any memory the level stays at 0.
  void reserve(std::size_t num_entries) {
    std::size_t const wanted = std::clamp(4 * num_entries, fewest_steps, most_steps);
    if (wanted > steps_.capacity()) steps_.reserve(std::min(most_steps, std::max(wanted, 2 * steps_.capacity())));
  }

  /// The entry was used when uses counted `order`.
  void saw(std::int64_t order) noexcept { newest_ = std::max(newest_, order); }

  /// The value of what is evicted now.
  void rise(double value) noexcept {
    if (value <= (steps_.empty() ? 0 : steps_.back().level) || steps_.capacity() == 0) return;
    if (!steps_.empty() && steps_.back().order == newest_)
      steps_.back().level = value;
    else
      steps_.push_back({newest_, value});
    if (steps_.size() == steps_.capacity()) thin();
  }

  /// The level when uses counted `order`; what was evicted after that use does not count.
  [[nodiscard]] double at(std::int64_t order) const noexcept {
    auto const after = std::lower_bound(steps_.begin(), steps_.end(), order,
                                        [](Step const& step, std::int64_t o) { return step.order < o; });
    return after == steps_.begin() ? 0 : (after - 1)->level;
  }

 private:
  struct Step {
    std::int64_t order;  // of the last use before
    double level;
  };
  static constexpr std::size_t fewest_steps = 64, most_steps = 4096;

  void thin() noexcept {
    for (std::size_t i = 0; 2 * i + 1 < steps_.size(); ++i) steps_[i] = steps_[2 * i + 1];  // the last one stays
    steps_.resize(steps_.size() / 2);
  }

  std::vector<Step> steps_;
  std::int64_t newest_ = 0;
};

}  // namespace folio
