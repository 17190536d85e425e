// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which block goes when none is free? The contract of eviction policies. Host only.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

namespace folio {

/// Eviction candidate: what a policy knows of a leaf of the prefix tree: blocks that can be evicted, the last unit
/// first. A unit is the smallest number of tokens that fills whole blocks of every layer group.
struct EvictionEntry {
  double last_use = 0;         ///< seconds of the cache's clock, which the caller sets
  double created = 0;          ///< likewise
  std::int64_t order = 0;      ///< counts uses of the cache: breaks ties, so that equal runs evict alike
  std::int32_t hits = 0;       ///< how many requests found it
  std::int32_t depth = 0;      ///< units before the leaf's last one, from the beginning of the prefix
  std::int32_t hit_depth = 0;  ///< units that the request which used it last had found
  std::int32_t units = 0;      ///< units that the leaf itself holds
  std::int32_t unit_tokens = 0;
  std::int64_t unit_bytes = 0;
  std::int32_t priority = 35;                                ///< retention: 0 goes first, 100 last
  double expires = std::numeric_limits<double>::infinity();  ///< when `priority` falls back to the default
  std::int32_t tenant = 0;

  // The policy's own, also while the entry is held and in no queue. The parts of an entry that is split share them.
  double rank = 0;
  std::int32_t mark = 0;
  std::int8_t queue = 0;

  /// Where it stands in up to two heaps (EntryHeap), which need no memory besides.
  struct Links {
    EvictionEntry *parent = nullptr, *left = nullptr, *right = nullptr;
    std::int8_t left_height = -1, right_height = -1;  ///< -1: it is in no heap
  } links[2];
};

/// A request that was served, as policies that learn hear of it.
struct ServedRequest {
  std::span<std::uint64_t const> keys;  ///< of its units, in the order of the prefix; good during the call
  std::int32_t told = 0;                ///< of so many it was told before, when the same sequence was shorter
  std::int32_t found = 0;               ///< so many were in the cache when it began
  std::int64_t order = 0;               ///< counts uses of the cache
  std::int32_t tenant = 0;              ///< whose the last unit is
};

namespace detail {

/// Whether nothing throws of what a policy has beyond what it must have.
template <class P>
consteval bool optional_members_throw_nothing() {
  using Entry = EvictionEntry;
  using Keys = std::span<std::uint64_t const>;
  bool ok = true;
  if constexpr (requires(P & p, Entry & e) { p.hit(e, e.units, 0.0); })
    ok = ok&& noexcept(std::declval<P&>().hit(std::declval<Entry&>(), std::declval<std::int32_t&>(), 0.0));
  if constexpr (requires(P & p, Entry & e) { p.stored(e); })
    ok = ok&& noexcept(std::declval<P&>().stored(std::declval<Entry&>()));
  if constexpr (requires(P & p, Entry & e) { p.dropped(e); })
    ok = ok&& noexcept(std::declval<P&>().dropped(std::declval<Entry&>()));
  if constexpr (requires(P & p, Entry & e, Keys const& keys) { p.inserted(e, keys, 0.0); })
    ok = ok&& noexcept(std::declval<P&>().inserted(std::declval<Entry&>(), std::declval<Keys const&>(), 0.0));
  if constexpr (requires(P & p, Entry & e) { p.evicted(e, std::uint64_t{}); })
    ok = ok&& noexcept(std::declval<P&>().evicted(std::declval<Entry&>(), std::uint64_t{}));
  if constexpr (requires(P & p, ServedRequest const& request) { p.served(request); })
    ok = ok&& noexcept(std::declval<P&>().served(std::declval<ServedRequest const&>()));
  if constexpr (requires(P & p) { p.over_quota(0.0); }) ok = ok&& noexcept(std::declval<P&>().over_quota(0.0));
  return ok;
}

/// Meant as a policy of eviction, whether it is one or not.
template <class P>
concept names_victims = requires(P& policy, double now) {
  { policy.victim(now) } -> std::same_as<EvictionEntry*>;
};

}  // namespace detail

/// Eviction policy: which block goes when none is free? Asked when an append finds too few free blocks; one unit at a
/// time.
///
/// `add(e)`: `e` can be evicted from now on. `remove(e)`: no longer (it was found again, is held, or is gone).
/// `victim(now)`: the entry whose last unit goes next, still in the queue, or null when there is none. `shrunk(e)`:
/// that unit went, and `e` has others. Entries stay where they are in memory while they are in the queue.
/// Deterministic: no clock, no address order. Each call should cost O(log entries).
///
/// None of them throws, nor allocates: a cache calls them where it can go neither on nor back. `reserve(n)` is told
/// before there are more entries, of n in all, whether they can be evicted or not, and takes the memory that they may
/// need. It may throw std::bad_alloc, and then has changed nothing that shows. It grows by a factor, so that n that
/// rises by one costs O(1) each time.
///
/// Optional, and noexcept as well: `hit(e, units, now)`: a request found so many units of `e`, told before the entry's
/// own figures change; `stored(e)`: its units are new; `dropped(e)`: one of them is going. For policies that learn from
/// what they evicted, `wants_keys` and `inserted(e, keys, now)`, `evicted(e, key)`: keys are 64-bit digests of whole
/// prefixes, one for each unit. `served(request)`: a sequence was inserted, told once it is in the tree; needs
/// `wants_keys`. `over_quota(now)`: what goes although memory is not short, or null. A policy with a member
/// `evicts_nothing`, as NoEviction, says that `victim` never gives any: then what is cached does not count as
/// evictable.
///
/// Optional, and may throw as reserve: `prepare(tenant, num_units)`, told before a leaf of so many new units is stored
/// for `tenant`: takes the memory that stored, inserted and served may need. The leaf need not come after it.
template <class P>
concept EvictionPolicy =  //
    std::movable<P> && requires {
  requires std::same_as<decltype(P::name), char const* const>;
} && requires(P& policy, EvictionEntry& entry, double now, std::size_t num_entries) {
  { policy.add(entry) } -> std::same_as<void>;
  { policy.remove(entry) } -> std::same_as<void>;
  { policy.shrunk(entry) } -> std::same_as<void>;
  { policy.victim(now) } -> std::same_as<EvictionEntry*>;
  { policy.reserve(num_entries) } -> std::same_as<void>;
  requires noexcept(policy.add(entry));
  requires noexcept(policy.remove(entry));
  requires noexcept(policy.shrunk(entry));
  requires noexcept(policy.victim(now));
  requires detail::optional_members_throw_nothing<P>();
};

}  // namespace folio
