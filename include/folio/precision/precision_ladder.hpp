// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How much is demoted when memory runs short? Steps of a smaller and smaller recent window. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <folio/sequence.hpp>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// While less than `free_below` of the hot blocks can be had, only the last `recent_window` tokens of a sequence stay
/// hot.
struct LadderStep {
  double free_below;  ///< share of the blocks, above 0 and at most 1; of the group without a window that has the least
  std::int32_t recent_window;  ///< tokens
};

/// What a ladder did, since it was made.
struct LadderStats {
  int step = 0;  ///< now; 0: no pressure
  std::int64_t num_steps_down = 0, num_steps_up = 0;
  std::int64_t num_demoted_tokens = 0;  ///< by its calls of demote
  std::int64_t num_refused = 0;         ///< demotions that found too few blocks in a second list
};

/// Precision under memory pressure: the rule by which the recent window of a cache that demotes shrinks with the free
/// blocks of its own format, the hot ones, and grows again. What can be evicted counts as free: memory is not short
/// because prefixes that nobody needs fill it.
///
/// Steps go down at once to the last one whose `free_below` the free share is below, and up again only when the share
/// is at least `hysteresis` above the step's threshold, so that a step's own effect does not undo it. What was demoted
/// stays so: going up only lets newer tokens stay longer. Deterministic: it looks at nothing but the pools. Those of
/// layers with a window do not count, because demoting frees nothing there: give them what the sequences that run at
/// once can hold (KvCache::bytes_per_sequence).
/// Host only, not thread-safe, used by the thread that owns the cache.
class PrecisionLadder {
 public:
  /// `recent_window`: the region without pressure. Throws Error unless `steps` have ever smaller thresholds, within (0,
  /// 1], and ever smaller regions below `recent_window`, and the hysteresis is from 0 to 1.
  PrecisionLadder(std::int32_t recent_window, std::vector<LadderStep> steps, double hysteresis = 0.1)
      : recent_window_(recent_window), steps_(std::move(steps)), hysteresis_(hysteresis) {
    double share = 1;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      bool const first = i == 0;
      if (!(steps_[i].free_below > 0 && (first ? steps_[i].free_below <= share : steps_[i].free_below < share)) ||
          steps_[i].recent_window < 0 || steps_[i].recent_window >= recent_window)
        throw Error(
            "folio: step " + std::to_string(i) + " of a ladder has free_below " + std::to_string(steps_[i].free_below) +
            " and recent window " + std::to_string(steps_[i].recent_window) +
            "; shares go down from at most 1 to above 0, and recent windows down from below that of the step before");
      share = steps_[i].free_below;
      recent_window = steps_[i].recent_window;
    }
    if (recent_window_ < 0 || !(hysteresis >= 0 && hysteresis <= 1))
      throw Error("folio: a ladder has a recent window of at least 0 tokens and a hysteresis from 0 to 1, not " +
                  std::to_string(recent_window_) + " and " + std::to_string(hysteresis));
  }

  /// Takes the step that the cache's free blocks ask for, and sets its recent window. Nothing is demoted yet: each
  /// demote() that follows does. Cost: O(layer groups).
  template <class Cache>
  void update(Cache& cache) {
    double const share = free_share(cache);
    auto const limit = [&](int step) { return steps_[static_cast<std::size_t>(step - 1)].free_below; };
    int step = stats_.step;
    while (step > 0 && share >= limit(step) + hysteresis_) --step;
    while (step < num_steps() && share < limit(step + 1)) ++step;
    go_to(step, cache);
  }

  /// update, and then a demotion of each of `sequences`, in this order. Blocks of a second list that are missing are
  /// counted, and that sequence stays as it is. Returns how many tokens were demoted. `accepted[i]`: as in
  /// DemotionOperations::demote, or empty for all. Throws Error, before anything changes, for numbers of accepted
  /// tokens that are not one for each sequence, or a sequence that is null or empty. Where a demotion throws anything
  /// else, those before it are done, and counted.
  template <class Cache>
  std::int64_t relieve(Cache& cache, std::span<Sequence* const> sequences, std::span<std::int32_t const> accepted = {},
                       Executor threads = {}) {
    check(sequences, accepted);
    update(cache);
    return demote(cache, sequences, accepted, threads);
  }

  /// Goes down step by step, demoting all of `sequences` at each, until `enough()` says so or no step is left: for an
  /// append that found too few blocks of a group without a window. Returns whether it is enough. Blocks that a fork
  /// shares come back when the last of its holders is demoted. Throws as `relieve` does.
  template <class Cache, class Enough>
  bool relieve_until(Enough const& enough, Cache& cache, std::span<Sequence* const> sequences,
                     std::span<std::int32_t const> accepted = {}, Executor threads = {}) {
    check(sequences, accepted);
    update(cache);
    for (;;) {
      if (enough()) return true;
      demote(cache, sequences, accepted, threads);
      if (enough()) return true;
      if (stats_.step == num_steps()) return false;
      go_to(stats_.step + 1, cache);
    }
  }

  [[nodiscard]] int num_steps() const noexcept { return static_cast<int>(steps_.size()); }
  /// The recent window of the step that the ladder is at.
  [[nodiscard]] std::int32_t recent_window() const { return recent_window(stats_.step); }
  [[nodiscard]] LadderStats const& stats() const noexcept { return stats_; }

  /// The share of hot blocks that are free, or are of prefixes that can be evicted, in the layer group without a window
  /// that has the least.
  template <class Cache>
  [[nodiscard]] static double free_share(Cache const& cache) {
    double share = 1;
    for (int g = 0; g < Cache::num_groups; ++g)
      if (cache.shape(g).window == 0 && cache.num_blocks(g) > 0)  // a group without layers has none
        share = std::min(
            share, static_cast<double>(cache.num_obtainable_blocks(g)) / static_cast<double>(cache.num_blocks(g)));
    return share;
  }

 private:
  [[nodiscard]] std::int32_t recent_window(int step) const {
    return step == 0 ? recent_window_ : steps_[static_cast<std::size_t>(step - 1)].recent_window;
  }

  template <class Cache>
  void go_to(int step, Cache& cache) {
    cache.set_recent_window(recent_window(step));  // refuses what is too large for it
    stats_.num_steps_down += std::max(0, step - stats_.step);
    stats_.num_steps_up += std::max(0, stats_.step - step);
    stats_.step = step;
  }

  static void check(std::span<Sequence* const> sequences, std::span<std::int32_t const> accepted) {
    if (!accepted.empty() && accepted.size() != sequences.size())
      throw Error("folio: a ladder needs a number of accepted tokens for each of " + std::to_string(sequences.size()) +
                  " sequences, or none, not " + std::to_string(accepted.size()));
    for (Sequence const* const sequence : sequences)
      if (sequence == nullptr || !*sequence) throw Error("folio: a ladder was given an empty Sequence");
  }

  template <class Cache>
  std::int64_t demote(Cache& cache, std::span<Sequence* const> sequences, std::span<std::int32_t const> accepted,
                      Executor threads) {
    std::int64_t const before = stats_.num_demoted_tokens;
    for (std::size_t i = 0; i < sequences.size(); ++i) {
      try {
        stats_.num_demoted_tokens += cache.demote(*sequences[i], accepted.empty() ? all_tokens : accepted[i], threads);
      } catch (OutOfBlocks const&) {
        ++stats_.num_refused;
      }
    }
    return stats_.num_demoted_tokens - before;
  }

  std::int32_t recent_window_;
  std::vector<LadderStep> steps_;
  double hysteresis_;
  LadderStats stats_;
};

}  // namespace folio
