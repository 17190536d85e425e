// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which block goes when none is free? The contract of eviction policies. Host only.

#include <compare>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>

namespace folio {

/// Eviction candidate: what a policy knows of a leaf of the prefix tree: blocks that can be evicted, the last unit
/// first. A unit is the smallest number of tokens that fills whole blocks of every list.
struct EvictionEntry {
  double last_use = 0;         ///< seconds of the cache's clock, which the caller sets
  double created = 0;          ///< likewise
  std::int64_t order = 0;      ///< counts uses of the cache: breaks ties, so that equal runs evict alike
  std::int32_t hits = 0;       ///< how many requests found it
  std::int32_t depth = 0;      ///< units before the leaf's last one, from the beginning of the prefix
  std::int32_t hit_depth = 0;  ///< units that the request which used it last had found
  std::int32_t units = 0;      ///< units that the leaf itself holds
  std::int32_t unit_tokens = 0;
  std::int64_t unit_bytes = 0;                               ///< of the leaf's last unit, which may be demoted
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

/// What happens in an index of prefixes, by one name for all who hear of it: eviction policies, sinks of events
/// (prefix/events.hpp), and what is attached to an index. Who hears an event has a member of its name, noexcept but for
/// `prepare`.
enum class PrefixEvents : std::uint32_t {
  none = 0,
  hit = 1,           ///< a request found units of an entry: policies
  stored = 2,        ///< units are new: policies and sinks
  removed = 4,       ///< a unit is going: policies and sinks
  cleared = 8,       ///< nothing is there: sinks
  looked_up = 16,    ///< a request's look-up counts: sinks
  inserted = 32,     ///< a sequence was inserted, what was new of it or not: policies and sinks
  time_set = 64,     ///< the clock moved: sinks
  prepare = 128,     ///< units may be stored: policies
  over_quota = 256,  ///< memory is not short, and does anything go all the same? Policies
  evicting = 512,    ///< a unit is going, and its blocks still hold it: sinks
};
[[nodiscard]] constexpr PrefixEvents operator|(PrefixEvents a, PrefixEvents b) noexcept {
  return PrefixEvents{static_cast<std::uint32_t>(a) | static_cast<std::uint32_t>(b)};
}
[[nodiscard]] constexpr PrefixEvents operator&(PrefixEvents a, PrefixEvents b) noexcept {
  return PrefixEvents{static_cast<std::uint32_t>(a) & static_cast<std::uint32_t>(b)};
}
/// Whether a policy or a sink says that it hears any of these.
template <class Listener>
[[nodiscard]] consteval bool hears(PrefixEvents events) {
  return (Listener::hears & events) != PrefixEvents::none;
}

/// Key of a prefix: a 128-bit digest of it up to the end of a unit, under a secret (prefix/prefix_key.hpp). Two
/// prefixes of one key are the same, but for a chance of 2^-127 that nobody without the secret can improve. Which is
/// before which means nothing; {} stands for no key. As bytes: `low` first, each word little-endian.
struct PrefixKey {
  std::uint64_t low = 0, high = 0;  ///< either is 64 random bits, but for the topmost one of `high`

  /// Whether it is of this process alone, where another prefix may have the same in another one: never to be sent, nor
  /// kept for later. It depends on a number for which there was no name.
  [[nodiscard]] constexpr bool is_local() const noexcept { return (high & local_bit) != 0; }
  static constexpr std::uint64_t local_bit = std::uint64_t{1} << 63;

  [[nodiscard]] constexpr bool operator==(PrefixKey const&) const = default;
  [[nodiscard]] constexpr auto operator<=>(PrefixKey const&) const = default;
};

/// A sequence that is in the index, whether any of it is new or not.
struct PrefixInserted {
  /// Of its whole units in the order of the prefix, for policies that want keys; good during the call.
  std::span<PrefixKey const> keys = {};
  std::int32_t told = 0;    ///< units of which was told before, when the same sequence was shorter
  std::int32_t found = 0;   ///< so many units were there when it began
  std::int64_t order = 0;   ///< counts uses of the index
  std::int32_t tenant = 0;  ///< whose the last unit is
  std::int32_t scope = 0;
  std::span<std::int32_t const> symbols = {};  ///< of its whole units; good during the call
};

namespace detail {

/// Meant as a policy of eviction, whether it is one or not.
template <class P>
concept names_victims = requires(P& policy, double now) {
  { policy.victim(now) } -> std::convertible_to<EvictionEntry*>;
};

/// Where an event is said to be heard, there is the member, and where it is not, there is none.
template <class P>
consteval bool has(PrefixEvents event, bool is_member, bool fits) {
  return hears<P>(event) ? is_member && fits : !is_member;
}
// A member of the name, whatever its arguments, cannot be asked for; so it is asked for with those that it must have.
template <class P>
consteval bool hears_what_it_says() {
  using Entry = EvictionEntry;
  using Keys = std::span<PrefixKey const>;
  if constexpr (!requires { requires std::same_as<decltype(P::hears), PrefixEvents const>; }) {
    return false;
  } else {
    constexpr bool hit = requires(P & p, Entry & e) { p.hit(e, e.units, 0.0); };
    constexpr bool stored = requires(P & p, Entry & e, Keys const& keys) { p.stored(e, keys); };
    constexpr bool removed = requires(P & p, Entry & e) { p.removed(e, PrefixKey{}); };
    constexpr bool inserted = requires(P & p, PrefixInserted const& event) { p.inserted(event); };
    constexpr bool prepare = requires(P & p, std::int32_t number) { p.prepare(number, number); };
    constexpr bool over_quota = requires(P & p) { p.over_quota(0.0); };
    bool ok =
        !hears<P>(PrefixEvents::cleared | PrefixEvents::looked_up | PrefixEvents::time_set | PrefixEvents::evicting);
    ok = ok && has<P>(
                   PrefixEvents::hit, hit, requires(P & p, Entry & e) { requires noexcept(p.hit(e, e.units, 0.0)); });
    ok = ok && has<P>(
                   PrefixEvents::stored, stored,
                   requires(P & p, Entry & e, Keys const& keys) { requires noexcept(p.stored(e, keys)); });
    ok = ok && has<P>(
                   PrefixEvents::removed, removed,
                   requires(P & p, Entry & e) { requires noexcept(p.removed(e, PrefixKey{})); });
    ok = ok && has<P>(
                   PrefixEvents::inserted, inserted,
                   requires(P & p, PrefixInserted const& event) { requires noexcept(p.inserted(event)); });
    ok = ok && has<P>(PrefixEvents::prepare, prepare, true);
    ok = ok && has<P>(
                   PrefixEvents::over_quota, over_quota, requires(P & p) {
                     { p.over_quota(0.0) }
                     noexcept->std::same_as<EvictionEntry*>;
                   });
    return ok;
  }
}
/// Who may be given keys says whether it wants them.
template <class P>
consteval bool says_whether_it_wants_keys() {
  if constexpr (requires { P::wants_keys; })
    return std::is_same_v<decltype(P::wants_keys), bool const>;
  else
    return !hears<P>(PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::inserted);
}

}  // namespace detail

/// Eviction policy: which block goes when none is free? Asked when an extension finds too few free blocks; one unit at
/// a time.
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
/// `hears`: which events it hears, PrefixEvents of these joined by |. For each that it names it has the member, and for
/// no other: what is misspelt does not compile. All but `prepare` are noexcept as well.
/// - `hit(e, units, now)`: a request found so many units of `e`, told before the entry's own figures change.
/// - `stored(e, keys)`: the units of `e` are new.
/// - `removed(e, key)`: the last unit of `e` is going.
/// - `inserted(PrefixInserted)`: a sequence was inserted; told once it is in the index.
/// - `prepare(tenant, num_units)`: a leaf of so many new units may be stored for `tenant`; it need not come. Takes the
///   memory that stored and inserted may need, and may throw as reserve.
/// - `over_quota(now)`: what goes although memory is not short, or null.
///
/// `wants_keys`, true or false, of a policy that hears stored, removed or inserted: whether it is given keys, digests
/// of whole prefixes, one for each unit; `low` where 64 bits do. Else there are none, and `key` is {}.
///
/// A policy whose `victim` returns std::nullptr_t, as NoEviction's, never evicts: then what is cached does not count as
/// evictable.
template <class P>
concept EvictionPolicy =  //
    std::movable<P> && requires {
  requires std::same_as<decltype(P::name), char const* const>;
} && requires(P& policy, EvictionEntry& entry, double now, std::size_t num_entries) {
  { policy.add(entry) } -> std::same_as<void>;
  { policy.remove(entry) } -> std::same_as<void>;
  { policy.shrunk(entry) } -> std::same_as<void>;
  { policy.victim(now) } -> std::convertible_to<EvictionEntry*>;
  { policy.reserve(num_entries) } -> std::same_as<void>;
  requires noexcept(policy.add(entry));
  requires noexcept(policy.remove(entry));
  requires noexcept(policy.shrunk(entry));
  requires noexcept(policy.victim(now));
  requires detail::hears_what_it_says<P>();
  requires detail::says_whether_it_wants_keys<P>();
};

/// Whether a policy ever names a victim.
template <class P>
inline constexpr bool evicts = !std::is_same_v<decltype(std::declval<P&>().victim(0.0)), std::nullptr_t>;

/// Whether the index has to keep keys for a policy.
template <EvictionPolicy P>
[[nodiscard]] consteval bool policy_wants_keys() {
  if constexpr (requires { P::wants_keys; })
    return P::wants_keys;
  else
    return false;
}

}  // namespace folio
