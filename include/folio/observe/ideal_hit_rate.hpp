// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// How many hits are there to be had, and how many did eviction cost? Sinks of a prefix tree. Host only.

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/ghost_keys.hpp>
#include <folio/observe/stats.hpp>
#include <folio/prefix/events.hpp>
#include <limits>
#include <numbers>
#include <string>

namespace folio {

/// HyperLogLog: counts different 64-bit keys in 4 KiB: an estimate with a standard error of 1.6%, unbiased up to 10^15
/// of them.
///
/// HyperLogLog with 2^12 registers (Flajolet et al., 2007) and the corrected raw estimator of Ertl ("New cardinality
/// estimation algorithms for HyperLogLog sketches", 2017, algorithm 6), which needs no tables and no ranges.
class HyperLogLog {
 public:
  static constexpr int index_bits = 12, value_bits = 64 - index_bits;

  void add(std::uint64_t key) noexcept {
    std::uint64_t const hash = mix(key);
    auto& largest = registers_[static_cast<std::size_t>(hash >> value_bits)];
    int const zeros = std::countl_zero(hash << index_bits | std::uint64_t{1} << (index_bits - 1));
    largest = std::max(largest, static_cast<std::uint8_t>(zeros + 1));
  }

  /// Cost: O(registers).
  [[nodiscard]] double estimate() const {
    constexpr double m = 1 << index_bits;
    std::array<double, value_bits + 2> count{};
    for (std::uint8_t const value : registers_) ++count[value];
    double z = 0;  // Ertl's term for registers that are full matters from 2^52 keys on
    for (std::size_t k = value_bits + 1; k > 0; --k) z = (z + count[k]) / 2;
    z += m * sigma(count[0] / m);
    return m * m / (2 * std::numbers::ln2 * z);
  }

 private:
  /// Keys of a tree are digests already; others may be numbers in a row.
  static std::uint64_t mix(std::uint64_t key) noexcept {
    key += 0x9E3779B97F4A7C15U;
    key = (key ^ key >> 30) * 0xBF58476D1CE4E5B9U;
    key = (key ^ key >> 27) * 0x94D049BB133111EBU;
    return key ^ key >> 31;
  }
  static double sigma(double x) {
    if (x == 1) return std::numeric_limits<double>::infinity();
    double y = 1, z = x;
    for (double before = -1; z != before; y += y) {
      before = z;
      x *= x;
      z += x * y;
    }
    return z;
  }

  std::array<std::uint8_t, std::size_t{1} << index_bits> registers_{};
};

/// Ideal hit rate: the share of prompts that a cache without limits would have found: r* = (N - U) / N, of N units
/// looked up U different ones. A sink that hears look-ups only.
///
/// Beside it the share that was found. Both in whole units; what a request leaves after its prompt counts once it is
/// looked up. Cost: a digest of every prompt, about 2.5 ns for each token, and O(1) memory.
class IdealHitRate {
 public:
  static constexpr PrefixEvents hears = PrefixEvents::looked_up;

  void looked_up(PrefixLookup const& e) noexcept {
    PrefixKeys const keys({}, e.unit_tokens);
    PrefixKey key = keys.scope(e.prompt.scope);
    auto const unit = static_cast<std::size_t>(e.unit_tokens);
    for (std::size_t end = unit; end <= e.prompt.symbols.size(); end += unit) {
      key = keys.unit(key, e.prompt.symbols.subspan(end - unit, unit));
      different_.add(key.low);
      ++num_units_;
    }
    num_hits_ += e.num_tokens / e.unit_tokens;
  }

  [[nodiscard]] std::int64_t num_units() const noexcept { return num_units_; }
  [[nodiscard]] double num_different_units() const { return std::min(different_.estimate(), double(num_units_)); }
  /// From 0 to 1; 0 when nothing was looked up.
  [[nodiscard]] double ceiling() const { return share(double(num_units_) - num_different_units()); }
  [[nodiscard]] double hit_rate() const { return share(double(num_hits_)); }

 private:
  [[nodiscard]] double share(double units) const { return num_units_ > 0 ? units / double(num_units_) : 0.0; }

  HyperLogLog different_;
  std::int64_t num_units_ = 0, num_hits_ = 0;
};
static_assert(EventSink<IdealHitRate>);

/// How many of the units that were stored had been evicted lately, so that more memory or a better choice would have
/// saved computing them again. A sink.
///
/// Remembers the keys of the last `max_ghosts` units that were evicted. Cost: O(1) and about 60 bytes for each, taken
/// at once.
class ReuseAfterEviction {
 public:
  static constexpr PrefixEvents hears = PrefixEvents::stored | PrefixEvents::removed;

  explicit ReuseAfterEviction(std::size_t max_ghosts = std::size_t{1} << 16) : max_ghosts_(max_ghosts) {
    ghosts_.reserve(max_ghosts);
  }

  void stored(PrefixStored const& e) noexcept {
    num_stored_ += static_cast<std::int64_t>(e.keys.size());
    for (PrefixKey const& key : e.keys)
      if (ghosts_.take(key.low)) ++num_reused_;
  }
  void removed(PrefixRemoved const& e) noexcept {
    ++num_evicted_;
    ghosts_.put(e.key.low);
    ghosts_.trim(max_ghosts_);
  }

  [[nodiscard]] std::int64_t num_stored() const noexcept { return num_stored_; }
  [[nodiscard]] std::int64_t num_evicted() const noexcept { return num_evicted_; }
  [[nodiscard]] std::int64_t num_reused() const noexcept { return num_reused_; }

 private:
  std::size_t max_ghosts_;
  GhostKeys ghosts_;
  std::int64_t num_stored_ = 0, num_evicted_ = 0, num_reused_ = 0;
};
static_assert(EventSink<ReuseAfterEviction>);

[[nodiscard]] inline std::string to_json(IdealHitRate const& c) {
  detail::JsonObject o;
  o.add("units", c.num_units()).add("different_units", c.num_different_units());
  return o.add("hit_ceiling", c.ceiling()).add("hit_rate", c.hit_rate()).text();
}
[[nodiscard]] inline std::string to_json(ReuseAfterEviction const& r) {
  detail::JsonObject o;
  return o.add("stored_units", r.num_stored())
      .add("evicted_units", r.num_evicted())
      .add("reused_units", r.num_reused())
      .text();
}

}  // namespace folio
