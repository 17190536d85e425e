// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/detail/ghost_cache.hpp>
#include <span>

namespace folio {

/// Adaptive eviction by ghost caches: evicts by the rule that would have found the most of late: lru, or one that keeps
/// longer what was found often, what belongs to conversations that go on, and the shallow part of what was new
/// (RewardRule).
///
/// The rules differ in how long a hit keeps an entry, against the age at which lru evicts: not at all (lru), or at most
/// 0.7, 1.4 or 2.8 times as long; and the longer, the more does the place in a prefix count beside hits. The first rule
/// that rewards is as mild as what is seen allows: a hit keeps an entry for 1.7 times the mean time between the uses of
/// what is found, which the policy learns from 0 on, in as many hits as the cache has units. There is no constant in
/// seconds, bytes or blocks.
///
/// Each rule has a ghost cache over the same sample of the units served, as small against the sample as the tree is
/// against all units, which sees every request from the first on, whatever the tree evicts. What chance does is judged
/// by how the hits of single requests differ: a lead is clear when it is 1.4 of their deviations.
/// - It begins with the mild rule, on trial. All trials together may fall under lru by 0.1 of the cache's units, times
///   the square of the share that lru misses, since what a trial has let go costs the more after its end, the more lru
///   finds. Lru is followed when that is used up, unless the rule is ahead by 0.7 deviations; and when one more
///   request, of the mean size, could use it up, unless the rule is ahead at all. While none could, the mild rule is
///   taken again as soon as it is ahead.
/// - Another rule is taken when its ghosts are clearly ahead of the one followed in about the last 32 turnovers (in a
///   turnover as many units are asked for as the cache holds), and ahead in the last two as well; one that rewards more
///   than the mild one not before the third turnover. While trials are used up, or one more request could use them up,
///   it must be clearly ahead of lru, too.
/// - Lru is taken when it is clearly ahead, in the last 32 turnovers or in the last two.
///
/// Host only, not thread-safe. Entries: O(log leaves). A request: O(log) for each unit in the sample and each rule. A
/// change of rule, or of what was learned by a tenth, ranks all leaves and ghosts anew, 32 of each cache with each
/// request, and the sample shrinks as slowly: no request pays for all. Memory: about 4 MiB at most, whatever the
/// cache's size. Takes the keys of units, a digest of each new token. Deterministic for one CacheConfig::key_secret.
///
/// Take it where memory is short, or traffic changes. Where everything fits, it is lru, and costs more.
///
/// Sources: choosing by ghosts from ARC (Megiddo and Modha, FAST 2003) and CACHEUS (Rodriguez et al., FAST 2021); a
/// sample of keys instead of all from SHARDS (Waldspurger et al., FAST 2015; miniature simulations, ATC 2017); a bound
/// on what a trial may lose from conservative bandits (Wu, Shariff, Lattimore and Szepesvari, ICML 2016).
class AdaptiveEviction {
 public:
  static constexpr char const* name = "adaptive";
  static constexpr PrefixEvents hears =
      PrefixEvents::hit | PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::inserted | PrefixEvents::prepare;
  static constexpr bool wants_keys = true;
  static constexpr std::size_t num_rules = 4;

  /// Chooses among all rules; or follows one alone, lru (0) or one of those that reward, to see what that is worth.
  explicit AdaptiveEviction(std::size_t only_rule = num_rules)
      : chosen_(only_rule < num_rules ? only_rule : 1), only_(only_rule) {}

  void reserve(std::size_t) noexcept {}
  void prepare(std::int32_t, std::int32_t num_units) {
    for (GhostCache& ghost : caches_)
      ghost.reserve(std::clamp(2 * (ghost.size() + static_cast<std::size_t>(num_units)), fewest_ghosts, most_ghosts));
  }
  void add(EvictionEntry& entry) noexcept { queue_.push(entry); }
  void remove(EvictionEntry& entry) noexcept { queue_.erase(entry); }
  void shrunk(EvictionEntry& entry) noexcept { queue_.change(entry); }
  [[nodiscard]] EvictionEntry* victim(double) const noexcept { return queue_.first(); }

  /// The rule that is followed; its scale is 0 while that is lru.
  [[nodiscard]] RewardRule const& rule() const noexcept { return queue_.rule(); }

  /// Keys that the ghost caches hold.
  [[nodiscard]] std::size_t num_ghosts() const {
    std::size_t count = 0;
    for (GhostCache const& ghost : caches_) count += ghost.size();
    return count;
  }

  void hit(EvictionEntry const& entry, std::int32_t units, double) noexcept {
    if (num_units_ <= 0) return;
    auto const gap = static_cast<double>(std::max<std::int64_t>(1, now_ + 1 - entry.order));
    gap_ += (gap - gap_) * std::min(1.0, units / static_cast<double>(num_units_));
  }
  void stored(EvictionEntry const&, std::span<PrefixKey const> keys) noexcept {
    num_units_ += static_cast<std::int64_t>(keys.size());
  }
  void removed(EvictionEntry const&, PrefixKey const&) noexcept { units_when_full_ = --num_units_; }

  void inserted(PrefixInserted const& request) noexcept {
    now_ = request.order;
    learn_sizes(request);
    auto const new_keys = request.keys.subspan(static_cast<std::size_t>(request.told));
    double const asked = static_cast<double>(
        std::count_if(new_keys.begin(), new_keys.end(), [this](PrefixKey const& key) { return sample_.has(key.low); }));
    Hits hits;
    for (std::size_t r = 0; r < num_rules; ++r) hits[r] = static_cast<double>(caches_[r].serve(request, sample_));
    double const turnover = capacity_ > 0 ? sampled_capacity() : most_sampled;
    lately_.add(hits, asked, turnover);
    long_.add(hits, asked, turnover);
    fall_ = std::max(fall_ + (hits[0] - hits[chosen_]) / turnover, 0.0);
    fit_sample(asked);
    if (capacity_ > 0) trim(request.order);
    if (capacity_ > 0) choose(asked);
    for (GhostCache& ghost : caches_) ghost.settle(most_settled);
    queue_.settle(most_settled);
    if (queue_.is_settled() && rule() != caches_[chosen_].rule()) queue_.follow(caches_[chosen_].rule());
  }

 private:
  using Hits = std::array<double, num_rules>;

  /// What was asked for and found by the rules' ghosts, and how the requests' hits differed; a thing counts for 1/e
  /// after so many turnovers.
  struct Memory {
    double turnovers, asked = 0;
    Hits hits{};
    std::array<Hits, num_rules> squares{};  // of differences, added up

    void add(Hits const& more, double asked_since, double turnover) noexcept {
      double const decay = turnovers / (turnovers + asked_since / turnover);
      asked = asked * decay + asked_since;
      for (std::size_t r = 0; r < num_rules; ++r) {
        hits[r] = hits[r] * decay + more[r];
        for (std::size_t other = 0; other < num_rules; ++other)
          squares[r][other] = squares[r][other] * decay + (more[r] - more[other]) * (more[r] - more[other]);
      }
    }
    /// Of a rule over another one, in standard deviations of what chance does.
    [[nodiscard]] double lead(std::size_t rule, std::size_t other) const noexcept {
      return (hits[rule] - hits[other]) / std::sqrt(std::max(squares[rule][other], 1.0));
    }
  };

  static constexpr std::array<double, num_rules> scales{0, 0.7, 1.4, 2.8};  // ages of what lru evicts
  static constexpr double mild = 1.7;                                       // mean gaps, of the first that rewards
  static constexpr double most_sampled = 2048;                              // units that each ghost cache keeps
  static constexpr std::size_t fewest_ghosts = 256, most_ghosts = 4096;  // for which each has room, of one request too
  static constexpr double clear = 1.4, kept = 0.7;                       // deviations, see choose()
  static constexpr double most_fall = 0.1, early = 2;                    // turnovers
  static constexpr double drift = 0.1;                                   // of what was learned, that ranks may lag
  static constexpr int most_settled = 32;  // entries that a request ranks anew, in each cache

  static void learn(double& mean, double value, double share) {
    mean = mean == 0 ? value : mean + (value - mean) * share;
  }

  void learn_sizes(PrefixInserted const& request) {
    auto const units = static_cast<double>(request.keys.size());
    learn(asked_units_, std::max(units - request.told, 1.0), 1.0 / 128);
    learn(new_units_, std::max(units - std::max(request.told, request.found), 1.0), 1.0 / 128);
    if (units_when_full_ > 0) learn(capacity_, static_cast<double>(units_when_full_), 1.0 / 8);
    units_when_full_ = 0;
  }

  [[nodiscard]] double sampled_capacity() const { return capacity_ * sample_.share(); }

  /// A request that asks for so many units of the sample makes it smaller by as many and a few more, at most. Before
  /// anything was evicted, nobody knows how much fits.
  void fit_sample(double asked) {
    double const size = capacity_ > 0 ? sampled_capacity() : static_cast<double>(caches_[0].size());
    if (size > most_sampled) {
      sample_ = sample_.times(std::max(most_sampled / size, 1 - (most_settled + asked) / size));
      for (GhostCache& ghost : caches_) ghost.keep(sample_);
    } else if (size < most_sampled / 8) {
      sample_ = sample_.times(2);
    }
  }

  void trim(std::int64_t now) {
    auto const capacity = static_cast<std::size_t>(std::max(1.0, sampled_capacity()));
    caches_[0].trim(capacity, [&](EvictionEntry const& entry) {
      learn(age_, static_cast<double>(std::max<std::int64_t>(1, now - entry.order)), 1.0 / 256);
    });
    auto const differ = [](double learned, double ranked) { return std::abs(learned - ranked) > drift * ranked; };
    bool const has_drifted =
        differ(age_, ranked_age_) || differ(gap_, ranked_gap_) || differ(new_units_, ranked_new_units_);
    if (has_drifted && std::all_of(caches_.begin(), caches_.end(), [](auto const& s) { return s.is_settled(); }))
      rescale();
    for (std::size_t r = 1; r < num_rules; ++r) caches_[r].trim(capacity, [](EvictionEntry const&) {});
  }

  void rescale() {
    ranked_age_ = age_;
    ranked_gap_ = gap_;
    ranked_new_units_ = new_units_;
    for (std::size_t r = 1; r < num_rules; ++r) {
      double const ages = r == 1 ? std::min(scales[r], mild * gap_ / age_) : scales[r];
      caches_[r].follow({ages * age_, ages * ages, new_units_});
    }
  }

  /// A rule that has failed is taken again when clearly ahead, and kept by half of that: chance changes less.
  void choose(double asked) noexcept {
    judged_ += asked;
    std::size_t next = chosen_;
    if (chosen_ == 0 && std::min(long_.lead(1, 0), lately_.lead(1, 0)) > 0) next = 1;
    double most = clear;
    for (std::size_t r = 1; r < num_rules; ++r) {
      double const lead = long_.lead(r, chosen_);
      if (lead <= most || lately_.lead(r, chosen_) <= 0) continue;
      if (r > 1 && judged_ < early * sampled_capacity()) continue;
      most = lead;
      next = r;
    }
    double const missed = 1 - long_.hits[0] / std::max(long_.asked, 1.0);
    double const bound = most_fall * missed * missed;
    bool const is_judged = fall_ + asked_units_ / capacity_ > bound;
    if (next != chosen_ && is_judged && long_.lead(next, 0) <= clear) next = chosen_;
    bool const has_failed = is_judged && long_.lead(next, 0) <= (fall_ > bound ? kept : 0);
    if (has_failed || std::max(long_.lead(0, next), lately_.lead(0, next)) > clear) next = 0;
    chosen_ = only_ < num_rules ? only_ : next;
  }

  RewardQueue queue_;
  std::array<GhostCache, num_rules> caches_;  // lru first
  std::size_t chosen_, only_;
  Memory lately_{2}, long_{32};
  double judged_ = 0;     // sampled units since the first eviction
  double fall_ = 0;       // turnovers by which what was followed is under lru
  std::int64_t now_ = 0;  // the last request's order
  KeySample sample_;
  std::int64_t num_units_ = 0, units_when_full_ = 0;
  double capacity_ = 0, age_ = 0, gap_ = 0, asked_units_ = 0, new_units_ = 0;  // learned; 0 is not known
  double ranked_age_ = 0, ranked_gap_ = 0, ranked_new_units_ = 0;              // by which was ranked
};
static_assert(EvictionPolicy<AdaptiveEviction>);

}  // namespace folio
