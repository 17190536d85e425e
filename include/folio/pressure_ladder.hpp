// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What is done when memory runs short, and in which order? Rungs of a ladder, each a function. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace folio {

/// The share of a cache's blocks that are free, or are of prefixes that can be evicted, in the layer group without a
/// window that has the least. Layers with a window do not count: a window bounds what they take. What can be evicted
/// counts, because memory is not short where prefixes that nobody needs fill it. Cost: O(layer groups).
template <class Cache>
[[nodiscard]] double free_share(Cache const& cache) {
  double share = 1;
  for (int g = 0; g < Cache::num_groups; ++g)
    if (cache.shape(g).window == 0 && cache.num_blocks(g) > 0)  // a group without layers has none
      share = std::min(share,
                       static_cast<double>(cache.num_obtainable_blocks(g)) / static_cast<double>(cache.num_blocks(g)));
  return share;
}

/// Rung: one relief for while memory is short: demote more, keep less, park a request.
struct PressureRung {
  std::string name;   ///< for logs and gauges
  double free_below;  ///< while less than this share of the blocks is free; above 0 and at most 1
  /// Frees what it can, or some of it, and says how much, in a unit of its own; 0: nothing is left. It is called again
  /// until it says so, or it is enough.
  std::function<std::int64_t()> relieve;
  /// The rung begins, true, or ends, false: to change what holds as long as it lasts. Or nothing.
  std::function<void(bool)> set = {};
};

/// Gauges of a rung, since its ladder was made.
struct RungStats {
  bool is_on = false;                         ///< now
  std::int64_t num_begun = 0, num_ended = 0;  ///< times that it began, and ended
  std::int64_t num_calls = 0;                 ///< of relieve
  std::int64_t relieved = 0;                  ///< what these said, together
};

/// Pressure ladder: reliefs in one order, each for less memory than the one before; demoting more comes before keeping
/// less, and that before parking requests. Deterministic: it looks at nothing but the share of free blocks that it is
/// given, folio::free_share(cache) or another.
///
/// Rungs begin at once when the share is below theirs, in their order, and end, the last one first, only when it is at
/// least `hysteresis` above, or all blocks are free: so what a rung frees does not end it. Whatever a rung throws goes
/// to the caller; rungs before it are done, and counted, and the one that threw is not begun, or is on and not counted.
///
/// Host only, not thread-safe, used by the thread that owns the cache.
class PressureLadder {
 public:
  /// Throws Error unless every rung has a relief and a share above 0 and at most 1, none a larger share than the one
  /// before, and the hysteresis is from 0 to 1.
  explicit PressureLadder(std::vector<PressureRung> rungs, double hysteresis = 0.1)
      : rungs_(std::move(rungs)), stats_(rungs_.size()), hysteresis_(hysteresis) {
    double most = 1;
    for (PressureRung const& rung : rungs_) {
      if (!(rung.free_below > 0 && rung.free_below <= most))
        throw Error("folio: rung \"" + rung.name + "\" of a ladder has free_below " + std::to_string(rung.free_below) +
                    "; give shares above 0, and at most " + std::to_string(most) + " after the rungs before it");
      if (rung.relieve == nullptr) throw Error("folio: rung \"" + rung.name + "\" of a ladder has no relief");
      most = rung.free_below;
    }
    if (!(hysteresis >= 0 && hysteresis <= 1))
      throw Error("folio: a ladder has a hysteresis from 0 to 1, not " + std::to_string(hysteresis));
  }

  /// Begins and ends the rungs that `free_share` asks for. Nothing is freed yet.
  void update(double free_share) {
    int rung = num_on_;
    while (rung > 0 && free_share >= std::min(1.0, at(rung).free_below + hysteresis_)) --rung;
    while (rung < num_rungs() && free_share < at(rung + 1).free_below) ++rung;
    go_to(rung);
  }

  /// update, and then each rung that is on, in order, once: for every step. Returns how many of them freed anything.
  int relieve(double free_share) {
    update(free_share);
    int count = 0;
    for (int rung = 1; rung <= num_on_; ++rung) count += call(rung) > 0 ? 1 : 0;
    return count;
  }

  /// update, and then rung after rung, those that are not on yet, too, each as long as it frees anything, until
  /// `enough()` says so: for an extension that found too few blocks. Returns whether it is enough.
  template <class Enough>
  bool relieve_until(Enough const& enough, double free_share) {
    update(free_share);
    if (enough()) return true;
    for (int rung = 1; rung <= num_rungs(); ++rung) {
      if (rung > num_on_) go_to(rung);
      while (call(rung) > 0)
        if (enough()) return true;
    }
    return false;
  }

  [[nodiscard]] int num_rungs() const noexcept { return static_cast<int>(rungs_.size()); }
  /// How many rungs are on: the first ones. 0: no pressure.
  [[nodiscard]] int num_on() const noexcept { return num_on_; }
  /// The rungs, in order, and the gauges of each.
  [[nodiscard]] std::vector<PressureRung> const& rungs() const noexcept { return rungs_; }
  [[nodiscard]] std::vector<RungStats> const& stats() const noexcept { return stats_; }

 private:
  /// Rungs are counted from 1 here: 0 is the ground.
  [[nodiscard]] PressureRung const& at(int rung) const { return rungs_[static_cast<std::size_t>(rung - 1)]; }

  void go_to(int rung) {
    while (num_on_ < rung) begin(num_on_ + 1);
    while (num_on_ > rung) end(num_on_);
  }
  void begin(int rung) {
    if (at(rung).set != nullptr) at(rung).set(true);
    RungStats& stats = stats_[static_cast<std::size_t>(rung - 1)];
    stats.is_on = true;
    ++stats.num_begun;
    num_on_ = rung;
  }
  void end(int rung) {
    if (at(rung).set != nullptr) at(rung).set(false);
    RungStats& stats = stats_[static_cast<std::size_t>(rung - 1)];
    stats.is_on = false;
    ++stats.num_ended;
    num_on_ = rung - 1;
  }
  std::int64_t call(int rung) {
    std::int64_t const freed = at(rung).relieve();
    RungStats& stats = stats_[static_cast<std::size_t>(rung - 1)];
    ++stats.num_calls;
    stats.relieved += freed;
    return freed;
  }

  std::vector<PressureRung> rungs_;
  std::vector<RungStats> stats_;
  int num_on_ = 0;
  double hysteresis_;
};

/// The rung that demotes more: while it is on, no more than the newest `recent_window` tokens of a sequence stay in the
/// first format of `cache`, which demotes. `demote` demotes the sequences, for example by Cache::demote_all, and says
/// how many tokens; what was demoted stays so. When the rung ends, the recent window is again what it was. The cache
/// must stay where it is. Throws Error for a window below 0 or above 2^30.
template <class Cache>
[[nodiscard]] PressureRung demotion_rung(Cache& cache, double free_below, std::int32_t recent_window,
                                         std::function<std::int64_t()> demote) {
  Cache::Demotion::checked("a rung's recent window", recent_window);
  return {"demote all but " + std::to_string(recent_window), free_below, std::move(demote),
          [&cache, recent_window, before = std::int32_t{0}](bool is_on) mutable {
            std::int32_t const now = cache.recent_window();
            cache.set_recent_window(is_on ? std::min(now, recent_window) : before);
            before = now;
          }};
}

}  // namespace folio
