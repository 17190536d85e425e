// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <folio/error.hpp>
#include <folio/eviction/detail/greedy_dual_clock.hpp>
#include <folio/eviction/indexed_heap.hpp>
#include <string>

namespace folio {

/// Cost-aware (greedy-dual) eviction: evicts what is cheapest to compute again for the bytes that it holds, weighed by
/// the chance that it is asked for.
///
/// A leaf's last unit, of u tokens after d units, costs
///
///     cost = u * (1 + (d * u + u / 2) / even)
///
/// in the time that one token takes without attention: the matrices of a layer cost the same for every token, attention
/// grows with the tokens before it, and `even` is the position at which both are equal. In a model of P parameters that
/// is 2 P / (4 * layers * query heads * head dim): 30,000 tokens for an 8B Llama. A unit is worth
///
///     value = level + (hits + 1) * cost / bytes
///
/// where `level` is what the last evicted unit was worth at the leaf's last use. So value fades as others are evicted,
/// without a clock. The smallest goes; of equal ones what was used longest ago, then the deepest.
///
/// Host only, not thread-safe, O(log leaves); 64 KiB at most besides the queue. Take it where prompts are long, 10,000
/// tokens and more, and of different lengths: it keeps long documents rather than short ones. It counts what the
/// engine computes, and so may find fewer blocks than lru where those it finds save more.
///
/// Source: GreedyDual-Size-Frequency (Cherkasova 1998), with the cost of prefill.
class CostAwareEviction {
 public:
  static constexpr char const* name = "cost_aware";
  static constexpr PrefixEvents hears = PrefixEvents::none;

  /// The tokens before a token at which attention costs as much as all else. Throws Error unless it is above 0.
  explicit CostAwareEviction(double even_tokens = 32768) : even_(even_tokens) {
    if (!(even_ > 0))
      throw Error("folio: attention cannot cost as much as the rest after " + std::to_string(even_) +
                  " tokens; it is a number above 0");
  }

  /// Of computing the last unit of a leaf, in tokens at the beginning of a prompt.
  [[nodiscard]] double cost(EvictionEntry const& entry) const {
    double const tokens = entry.unit_tokens;
    return tokens * (1 + (entry.depth + 0.5) * tokens / even_);
  }

  void reserve(std::size_t num_entries) { level_.reserve(num_entries); }
  void add(EvictionEntry& entry) noexcept {
    level_.saw(entry.order);
    queue_.push(entry, value(entry));
  }
  void remove(EvictionEntry& entry) noexcept { queue_.erase(entry); }
  void shrunk(EvictionEntry& entry) noexcept { queue_.change(entry, value(entry)); }
  [[nodiscard]] EvictionEntry* victim(double) noexcept {
    EvictionEntry* const first = queue_.first();
    if (first != nullptr) level_.rise(first->rank);
    return first;
  }

 private:
  [[nodiscard]] double value(EvictionEntry const& entry) const {
    return level_.at(entry.order) + (entry.hits + 1.0) * cost(entry) / static_cast<double>(entry.unit_bytes);
  }

  IndexedHeap queue_;
  GreedyDualClock level_;
  double even_;
};
static_assert(EvictionPolicy<CostAwareEviction>);

}  // namespace folio
