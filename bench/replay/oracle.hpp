// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The bound that nobody reaches: eviction by a look into the future.

#include <algorithm>
#include <cstddef>
#include <folio/eviction/indexed_heap.hpp>
#include <folio/prefix/detail/nodes.hpp>
#include <limits>
#include <memory>
#include <unordered_map>
#include <vector>

#include "trace.hpp"

namespace folio::bench {

/// Evicts the leaf whose last block is needed again furthest in the future (Belady 1966), which is best for leaves of
/// equal size. Only for a replay: a block's id is its last symbol.
class OracleEviction {
 public:
  static constexpr char const* name = "oracle";
  static constexpr PrefixEvents hears = PrefixEvents::none;

  /// Must be called once before the replay.
  void read(Trace const& trace) {
    uses_ = std::make_unique<Uses>();
    for (std::size_t i = 0; i < trace.size(); ++i)
      for (std::int32_t const id : trace[i].ids) (*uses_)[id].push_back(static_cast<std::int32_t>(i));
  }
  /// The request that is being served.
  void set_request(std::int32_t request) { request_ = request; }

  void reserve(std::size_t) noexcept {}
  void add(EvictionEntry& entry) noexcept { queue_.push(entry, rank(entry)); }
  void remove(EvictionEntry& entry) noexcept { queue_.erase(entry); }
  void shrunk(EvictionEntry& entry) noexcept { queue_.change(entry, rank(entry)); }
  [[nodiscard]] EvictionEntry* victim(double) const noexcept { return queue_.first(); }

 private:
  using Uses = std::unordered_map<std::int32_t, std::vector<std::int32_t>>;

  [[nodiscard]] double rank(EvictionEntry const& entry) const {
    std::vector<std::int32_t> const& uses = uses_->at(static_cast<PrefixNode const&>(entry).symbols.back());
    auto const next = std::upper_bound(uses.begin(), uses.end(), request_);
    return next == uses.end() ? -std::numeric_limits<double>::infinity() : -static_cast<double>(*next);
  }

  IndexedHeap queue_;
  std::unique_ptr<Uses> uses_;
  std::int32_t request_ = -1;
};
static_assert(EvictionPolicy<OracleEviction>);

}  // namespace folio::bench
