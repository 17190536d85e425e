// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a prefix tree tells of its changes. Host only.

#include <concepts>
#include <cstdint>
#include <folio/block.hpp>
#include <folio/eviction/eviction.hpp>
#include <folio/prefix/prefix.hpp>
#include <folio/prefix/prefix_key.hpp>
#include <span>

namespace folio {

/// Units that are new in a tree, one after the other below the unit with key `parent`.
struct PrefixStored {
  std::int64_t number;  ///< the event's: one more than the last one's
  PrefixKey parent;
  std::span<PrefixKey const> keys;        ///< of each unit
  std::span<std::int32_t const> symbols;  ///< [units][unit_tokens], good during the call
  std::int32_t unit_tokens;
  std::int32_t tenant;
  std::int32_t tier = 0;  ///< 0: the cache's own memory
};

/// A unit that is in the tree no more. Those below it went before.
struct PrefixRemoved {
  std::int64_t number;
  PrefixKey key;
  std::int32_t tenant;
  std::int32_t tier = 0;
};

/// A unit that is evicted next: its blocks still hold it. The spans are good during the call, the blocks' contents
/// until other tokens are written there: steps that follow on the stream.
struct PrefixEvicting {
  PrefixKey key;
  PrefixKey parent;                       ///< the key of the unit before, or of the scope
  std::span<std::int32_t const> symbols;  ///< of the unit
  /// By list, as many as hold a unit; null where a window has given them back, or the tokens are in a group's other
  /// list. Of a group that demotes one list has all of them.
  std::span<std::span<BlockId const> const> blocks;
  std::int32_t tenant;
  std::int32_t hits;      ///< how many requests found it
  std::int32_t priority;  ///< of its retention (Retention)
  double expires;
};

/// Nothing is in the tree. Whoever missed events knows again what there is.
struct PrefixCleared {
  std::int64_t number;
};

/// A request looked for `prompt`, and takes the first `num_tokens` tokens of it from the cache.
struct PrefixLookup {
  Prefix prompt;
  std::int32_t num_tokens;
  std::int32_t unit_tokens;
  std::int32_t tenant;
};

namespace detail {

/// Meant as a sink of events, whether it is one or not: it hears them, and names no victim.
template <class S>
concept hears_changes = requires {
  S::hears;
}
&&!names_victims<S>;

/// Where an event is said to be heard, there is the member, and where it is not, there is none.
template <class S>
consteval bool sink_hears_what_it_says() {
  if constexpr (!requires { requires std::same_as<decltype(S::hears), PrefixEvents const>; }) {
    return false;
  } else {
    constexpr bool stored = requires(S & s, PrefixStored const& e) { s.stored(e); };
    constexpr bool removed = requires(S & s, PrefixRemoved const& e) { s.removed(e); };
    constexpr bool cleared = requires(S & s, PrefixCleared const& e) { s.cleared(e); };
    constexpr bool looked_up = requires(S & s, PrefixLookup const& e) { s.looked_up(e); };
    constexpr bool inserted = requires(S & s, PrefixInserted const& e) { s.inserted(e); };
    constexpr bool evicting = requires(S & s, PrefixEvicting const& e) { s.evicting(e); };
    constexpr bool time_set = requires(S & s) { s.time_set(0.0); };
    return !hears<S>(PrefixEvents::hit | PrefixEvents::prepare | PrefixEvents::over_quota) &&
           has<S>(
               PrefixEvents::stored, stored,
               requires(S & s, PrefixStored const& e) { requires noexcept(s.stored(e)); }) &&
           has<S>(
               PrefixEvents::removed, removed,
               requires(S & s, PrefixRemoved const& e) { requires noexcept(s.removed(e)); }) &&
           has<S>(
               PrefixEvents::cleared, cleared,
               requires(S & s, PrefixCleared const& e) { requires noexcept(s.cleared(e)); }) &&
           has<S>(
               PrefixEvents::looked_up, looked_up,
               requires(S & s, PrefixLookup const& e) { requires noexcept(s.looked_up(e)); }) &&
           has<S>(
               PrefixEvents::inserted, inserted,
               requires(S & s, PrefixInserted const& e) { requires noexcept(s.inserted(e)); }) &&
           has<S>(
               PrefixEvents::evicting, evicting,
               requires(S & s, PrefixEvicting const& e) { requires noexcept(s.evicting(e)); }) &&
           has<S>(
               PrefixEvents::time_set, time_set, requires(S & s) { requires noexcept(s.time_set(0.0)); });
  }
}

}  // namespace detail

/// Event sink: it hears of what happens in an index of prefixes. `hears`: of which events, PrefixEvents joined by |;
/// for each that it names it has the member, and for no other: what is misspelt does not compile.
/// - `stored(PrefixStored)`, `removed(PrefixRemoved)`: every change. Who hears these makes the index compute keys.
/// - `cleared(PrefixCleared)`: nothing is there any more.
/// - `evicting(PrefixEvicting)`: before each unit that is evicted; not when all is cleared, of which nothing is worth
///   keeping. Needs keys, too.
/// - `looked_up(PrefixLookup)`: once for each request that is served.
/// - `inserted(PrefixInserted)`: whenever a sequence is inserted, what was new of it or not.
/// - `time_set(now)`: the clock, in seconds.
///
/// A key is a digest of a prefix and its scope under the cache's secret, the same in every process that has the secret
/// and the names (prefix/prefix_key.hpp); who sends events away leaves local keys out, and the event's number in. The
/// first three are numbered one by one, so that whoever gets them over a wire knows that some were lost;
/// PrefixIndex::tell says again what is there.
///
/// Nothing of a sink throws: an index tells of what has happened, and cannot take it back. A sink that has no memory
/// for an event loses it, which its number shows.
template <class S>
concept EventSink = std::destructible<S> && detail::sink_hears_what_it_says<S>();

/// Whether a sink's events need the keys of units.
template <EventSink S>
inline constexpr bool wants_keys = hears<S>(PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::evicting);

/// Nobody listens, and nothing is computed.
struct NoEvents {
  static constexpr PrefixEvents hears = PrefixEvents::none;
};
static_assert(EventSink<NoEvents>);

}  // namespace folio
