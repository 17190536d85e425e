// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/eviction/ghost_keys.hpp>
#include <folio/eviction/indexed_heap.hpp>
#include <span>
#include <string>

namespace folio {

/// S3-FIFO: three queues, first in first out: a small one for what is new, a main one for what was found in it at least
/// twice, and ghosts: the keys of what went from the small one unfound. What comes back while its key is a ghost goes
/// to the main queue at once. Evicts from the small queue while that has more than its share, else from the main one,
/// where an entry goes round once more for each hit since the last round, three at most.
///
/// A leaf counts as known when at least half of its units are ghosts. Ghosts are as many as units are kept.
///
/// Host only, not thread-safe. O(log leaves), amortized over the moves that hits have paid for; inserting looks up the
/// key of each new unit. About 60 bytes for each ghost. Take it where scans and prompts that come once are frequent:
/// they pass through a tenth of the cache. Where a conversation comes back once, after the small queue has gone
/// through, lru keeps it and this does not.
///
/// Source: S3-FIFO (Yang, Zhang, Qiu, Yue and Rashmi, SOSP 2023).
class S3FifoEviction {
 public:
  static constexpr char const* name = "s3fifo";
  static constexpr PrefixEvents hears = PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::prepare;
  static constexpr bool wants_keys = true;

  /// The share of the units that can be evicted which the small queue may have. Throws Error outside of 0 to 1.
  explicit S3FifoEviction(double small_share = 0.1) : share_(small_share) {
    if (!(share_ >= 0 && share_ <= 1))
      throw Error("folio: s3fifo cannot have a small queue of " + std::to_string(share_) + "; it is from 0 to 1");
  }

  void reserve(std::size_t) noexcept {}
  void prepare(std::int32_t, std::int32_t num_units) {
    ghosts_.reserve(kept_ + static_cast<std::size_t>(num_units) + 1);
  }
  void add(EvictionEntry& entry) noexcept {
    if (entry.rank == 0) entry.rank = static_cast<double>(++entered_);  // else it keeps its turn
    put(entry, entry.rank);
  }
  void remove(EvictionEntry& entry) noexcept {
    queues_[entry.queue].erase(entry);
    units_[entry.queue] -= entry.units;
  }
  void shrunk(EvictionEntry& entry) noexcept { --units_[entry.queue]; }

  [[nodiscard]] EvictionEntry* victim(double) noexcept {
    while (true) {
      bool const from_small = queues_[main].empty() || static_cast<double>(units_[small]) >
                                                           share_ * static_cast<double>(units_[small] + units_[main]);
      EvictionEntry* const first = queues_[from_small ? small : main].first();
      if (first == nullptr) return nullptr;
      std::int32_t const found = std::min(first->hits - first->mark, most_found);
      if (found < (from_small ? 2 : 1)) return first;
      enter_main(*first, from_small ? 0 : found - 1);
    }
  }

  void stored(EvictionEntry& entry, std::span<PrefixKey const> keys) noexcept {
    kept_ += keys.size();
    std::size_t known = 0;
    for (PrefixKey const& key : keys)
      if (ghosts_.take(key.low)) ++known;
    if (2 * known >= keys.size() && known > 0) entry.queue = main;
  }
  void removed(EvictionEntry const& entry, PrefixKey const& key) noexcept {
    kept_ -= std::min<std::size_t>(kept_, 1);
    if (entry.queue == small) ghosts_.put(key.low);
    ghosts_.trim(kept_);
  }

  /// Keys that are remembered.
  [[nodiscard]] std::size_t num_ghosts() const noexcept { return ghosts_.size(); }

 private:
  static constexpr std::int8_t small = 0, main = 1;
  static constexpr std::int32_t most_found = 3;

  void put(EvictionEntry& entry, double rank) {
    queues_[entry.queue].push(entry, rank);
    units_[entry.queue] += entry.units;
  }
  /// At the end of the main queue, with so many hits that are still to its credit.
  void enter_main(EvictionEntry& entry, std::int32_t found) {
    remove(entry);
    entry.queue = main;
    entry.mark = entry.hits - found;
    put(entry, static_cast<double>(++entered_));
  }

  IndexedHeap queues_[2];  // by the number under which an entry came
  std::int64_t units_[2] = {0, 0};
  std::int64_t entered_ = 0;
  double share_;
  std::size_t kept_ = 0;  // units in the tree
  GhostKeys ghosts_;
};
static_assert(EvictionPolicy<S3FifoEviction>);

}  // namespace folio
