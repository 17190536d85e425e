// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a prefix tree tells of its changes. Host only.

#include <concepts>
#include <cstdint>
#include <folio/prefix/prefix.hpp>
#include <span>

namespace folio {

/// Units that are new in a tree, one after the other below the unit with key `parent`.
struct PrefixStored {
  std::int64_t number;  ///< the event's: one more than the last one's
  std::uint64_t parent;
  std::span<std::uint64_t const> keys;    ///< of each unit
  std::span<std::int32_t const> symbols;  ///< [units][unit_tokens], good during the call
  std::int32_t unit_tokens;
  std::int32_t tenant;
  std::int32_t tier = 0;  ///< 0: the cache's own memory
};

/// A unit that is in the tree no more. Those below it went before.
struct PrefixRemoved {
  std::int64_t number;
  std::uint64_t key;
  std::int32_t tenant;
  std::int32_t tier = 0;
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

/// Meant as a sink of events, whether it is one or not.
template <class S>
concept hears_changes = requires(S& sink, PrefixStored const& stored, PrefixRemoved const& removed) {
  S::wants_keys;
  sink.stored(stored);
  sink.removed(removed);
};

}  // namespace detail

/// Event sink: it hears of every change of a prefix tree. `wants_keys`: whether keys are to be computed at all. A key
/// is a 64-bit digest of a prefix and its scope; it finds, and decides nothing. Events are numbered one by one, so that
/// whoever gets them over a wire knows that some were lost; PrefixIndex::tell says again what is there.
///
/// Nothing of a sink throws: a tree tells of what has happened, and cannot take it back. A sink that has no memory for
/// an event loses it, which its number shows.
///
/// Optional, and noexcept as well: `looked_up(PrefixLookup const&)`.
template <class S>
concept EventSink =  //
    std::movable<S> && requires {
  requires std::same_as<decltype(S::wants_keys), bool const>;
} && requires(S& sink, PrefixStored const& stored, PrefixRemoved const& removed, PrefixCleared const& cleared) {
  sink.stored(stored);
  sink.removed(removed);
  sink.cleared(cleared);
  requires noexcept(sink.stored(stored));
  requires noexcept(sink.removed(removed));
  requires noexcept(sink.cleared(cleared));
} && !requires(S & sink, PrefixLookup const& lookup) {
  sink.looked_up(lookup);
  requires !noexcept(sink.looked_up(lookup));
};

/// Nobody listens, and nothing is computed.
struct NoEvents {
  static constexpr bool wants_keys = false;
  void stored(PrefixStored const&) noexcept {}
  void removed(PrefixRemoved const&) noexcept {}
  void cleared(PrefixCleared const&) noexcept {}
};
static_assert(EventSink<NoEvents>);

/// The key of a scope: what the keys of its first units build on.
[[nodiscard]] inline std::uint64_t scope_key(std::int32_t scope) {
  std::uint64_t const mixed = (static_cast<std::uint32_t>(scope) + 0x9E3779B97F4A7C15U) * 0xBF58476D1CE4E5B9U;
  return mixed ^ mixed >> 31;
}

/// The key of a unit of symbols after the unit with key `before`.
[[nodiscard]] inline std::uint64_t unit_key(std::uint64_t before, std::span<std::int32_t const> symbols) {
  std::uint64_t key = before;
  for (std::int32_t const symbol : symbols) {
    key = (key ^ static_cast<std::uint32_t>(symbol)) * 0x9FB21C651E98DF25U;
    key ^= key >> 32;
  }
  return key;
}

}  // namespace folio
