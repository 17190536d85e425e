// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a prefix tree tells, kept, sent on and followed from afar: a recorder, a mirror, several sinks as one. Host
// only.

#include <cstddef>
#include <cstdint>
#include <deque>
#include <folio/containers/keyed_hash.hpp>
#include <folio/prefix/events.hpp>
#include <new>
#include <span>
#include <tuple>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

namespace folio {

/// An event as a value: PrefixStored, PrefixRemoved or PrefixCleared by its kind. What does not belong to it is empty.
struct PrefixEvent {
  enum class Kind : std::uint8_t { stored, removed, cleared };

  Kind kind = Kind::cleared;
  std::int32_t tenant = 0, tier = 0, unit_tokens = 0;
  std::int64_t number = 0;
  PrefixKey parent;
  std::vector<PrefixKey> keys;        ///< of a removed one: one
  std::vector<std::int32_t> symbols;  ///< [keys][unit_tokens]
};

/// Tells `sink` an event.
template <EventSink S>
void tell(PrefixEvent const& e, S& sink) {
  if (e.kind == PrefixEvent::Kind::stored)
    sink.stored({e.number, e.parent, e.keys, e.symbols, e.unit_tokens, e.tenant, e.tier});
  else if (e.kind == PrefixEvent::Kind::removed)
    sink.removed({e.number, e.keys.front(), e.tenant, e.tier});
  else
    sink.cleared({e.number});
}

/// Event buffer: keeps the last events until somebody takes them, to send them to a router for example. Of more than
/// `max_events` the oldest are lost, and so is one for which there is no memory, which their numbers show.
class PrefixRecorder {
 public:
  static constexpr PrefixEvents hears = PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::cleared;

  explicit PrefixRecorder(std::size_t max_events = std::size_t{1} << 16) : max_events_(max_events) {}

  void stored(PrefixStored const& e) noexcept {
    add([&] {
      return PrefixEvent{
          PrefixEvent::Kind::stored, e.tenant, e.tier, e.unit_tokens, e.number, e.parent, to_vector(e.keys),
          to_vector(e.symbols)};
    });
  }
  void removed(PrefixRemoved const& e) noexcept {
    add([&] { return PrefixEvent{PrefixEvent::Kind::removed, e.tenant, e.tier, 0, e.number, {}, {e.key}, {}}; });
  }
  void cleared(PrefixCleared const& e) noexcept {
    add([&] { return PrefixEvent{PrefixEvent::Kind::cleared, 0, 0, 0, e.number, {}, {}, {}}; });
  }

  [[nodiscard]] std::deque<PrefixEvent> const& events() const noexcept { return events_; }
  /// The events since the last take.
  [[nodiscard]] std::deque<PrefixEvent> take() { return std::exchange(events_, {}); }

 private:
  template <class T>
  static std::vector<T> to_vector(std::span<T const> all) {
    return {all.begin(), all.end()};
  }
  template <class F>
  void add(F make_event) noexcept {
    try {
      events_.push_back(make_event());
    } catch (std::bad_alloc const&) {
      return;  // lost
    }
    if (events_.size() > max_events_) events_.pop_front();
  }

  std::size_t max_events_;
  std::deque<PrefixEvent> events_;
};

/// Remote prefix index: what another cache has, from its events alone: what a router asks before it sends a request
/// there.
///
/// Events come in order; one that is lost or late shows by the numbers. From then on the mirror is out of step and
/// changes no more until it hears what there is: PrefixIndex::tell, whose events go the same way as all others. Until
/// then it answers by what it knew last. A stored or removed one that comes twice is heard once; a
/// cleared one that comes again empties the mirror until it hears what there is.
///
/// Answers are by keys, in whole units, and in groups with windows an upper limit. So a mirror has the secret of the
/// cache, and names of its own for scopes and symbols below 0, where the cache has names, too: what it has no name for
/// it does not find. Without names numbers are those of the cache. Plain tokens of scope 0 need none. Not thread-safe.
/// Cost: O(units) of an event or a question; 24 bytes and a hash table's node for each unit.
class PrefixMirror {
 public:
  /// Of a cache with this CacheConfig::key_secret, or whose prefixes().keys().secret() it is. `names` outlive it.
  explicit PrefixMirror(KeySecret const& secret, PrefixNames const* names = nullptr) : secret_(secret), names_(names) {}

  static constexpr PrefixEvents hears = PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::cleared;

  void stored(PrefixStored const& e) noexcept {
    if (!follows(e.number)) return;
    unit_tokens_ = e.unit_tokens;
    auto const tier = static_cast<std::size_t>(e.tier);
    try {
      if (tier >= tiers_.size()) tiers_.resize(tier + 1);
      for (PrefixKey const& key : e.keys) ++tiers_[tier][key];
    } catch (std::bad_alloc const&) {
      in_step_ = false;  // as if the event were lost
    }
  }
  void removed(PrefixRemoved const& e) noexcept {
    auto const tier = static_cast<std::size_t>(e.tier);
    if (!follows(e.number) || tier >= tiers_.size()) return;
    auto const found = tiers_[tier].find(e.key);
    if (found != tiers_[tier].end() && --found->second == 0) tiers_[tier].erase(found);
  }
  void cleared(PrefixCleared const& e) noexcept {
    tiers_.clear();
    last_ = e.number;
    in_step_ = true;
  }

  /// False when events were lost: ask the cache to tell() what it has.
  [[nodiscard]] bool in_step() const noexcept { return in_step_; }
  /// The number of the last event that was heard.
  [[nodiscard]] std::int64_t last_event() const noexcept { return last_; }
  /// Units in tiers 0 to `last_tier`.
  [[nodiscard]] std::int64_t num_units(std::int32_t last_tier = 0) const {
    std::int64_t sum = 0;
    for (std::size_t tier = 0; tier < tiers_.size() && tier <= static_cast<std::size_t>(last_tier); ++tier)
      sum += static_cast<std::int64_t>(tiers_[tier].size());
    return sum;
  }

  /// How many tokens of `prompt` the cache has in its tiers up to `last_tier`, in whole units.
  [[nodiscard]] std::int32_t num_tokens(Prefix const& prompt, std::int32_t last_tier = 0) const {
    PrefixKeys const keys(secret_, unit_tokens_, names_);
    PrefixKey key = keys.scope(prompt.scope);
    std::int32_t found = 0;
    while (unit_tokens_ > 0 && prompt.size() - found >= unit_tokens_) {
      key = keys.unit(key,
                      prompt.symbols.subspan(static_cast<std::size_t>(found), static_cast<std::size_t>(unit_tokens_)));
      if ((names_ != nullptr && key.is_local()) || !has(key, last_tier)) break;
      found += unit_tokens_;
    }
    return found;
  }

 private:
  /// Whether an event is the next one.
  [[nodiscard]] bool follows(std::int64_t number) {
    if (number > last_ + 1) in_step_ = false;
    if (!in_step_ || number <= last_) return false;
    last_ = number;
    return true;
  }
  [[nodiscard]] bool has(PrefixKey const& key, std::int32_t last_tier) const {
    for (std::size_t tier = 0; tier < tiers_.size() && tier <= static_cast<std::size_t>(last_tier); ++tier)
      if (tiers_[tier].contains(key)) return true;
    return false;
  }

  struct HashOfKey : KeyedHash {
    [[nodiscard]] std::size_t operator()(PrefixKey const& key) const noexcept { return KeyedHash::operator()(key.low); }
  };

  KeySecret secret_;
  PrefixNames const* names_;
  /// How often each key is there: once, unless events come from several caches. Whoever chooses keys chooses nothing
  /// that collides.
  std::vector<std::unordered_map<PrefixKey, std::int32_t, HashOfKey>> tiers_;
  std::int64_t last_ = 0;
  std::int32_t unit_tokens_ = 0;
  bool in_step_ = true;
};

/// Event fan-out, several sinks that hear the same: `EventSinks<PrefixRecorder, IdealHitRate>`.
template <EventSink... Sinks>
class EventSinks {
 public:
  static constexpr PrefixEvents hears = (PrefixEvents::none | ... | Sinks::hears);

  EventSinks() = default;
  explicit EventSinks(Sinks... sinks) requires(sizeof...(Sinks) > 0) : sinks_(std::move(sinks)...) {}

  template <class S>
  [[nodiscard]] S& get() noexcept {
    return std::get<S>(sinks_);
  }

  void stored(PrefixStored const& e) noexcept requires((hears & PrefixEvents::stored) != PrefixEvents::none) {
    each<PrefixEvents::stored>([&](auto& sink) { sink.stored(e); });
  }
  void removed(PrefixRemoved const& e) noexcept requires((hears & PrefixEvents::removed) != PrefixEvents::none) {
    each<PrefixEvents::removed>([&](auto& sink) { sink.removed(e); });
  }
  void cleared(PrefixCleared const& e) noexcept requires((hears & PrefixEvents::cleared) != PrefixEvents::none) {
    each<PrefixEvents::cleared>([&](auto& sink) { sink.cleared(e); });
  }
  void looked_up(PrefixLookup const& e) noexcept requires((hears & PrefixEvents::looked_up) != PrefixEvents::none) {
    each<PrefixEvents::looked_up>([&](auto& sink) { sink.looked_up(e); });
  }
  void inserted(PrefixInserted const& e) noexcept requires((hears & PrefixEvents::inserted) != PrefixEvents::none) {
    each<PrefixEvents::inserted>([&](auto& sink) { sink.inserted(e); });
  }
  void evicting(PrefixEvicting const& e) noexcept requires((hears & PrefixEvents::evicting) != PrefixEvents::none) {
    each<PrefixEvents::evicting>([&](auto& sink) { sink.evicting(e); });
  }
  void time_set(double e) noexcept requires((hears & PrefixEvents::time_set) != PrefixEvents::none) {
    each<PrefixEvents::time_set>([&](auto& sink) { sink.time_set(e); });
  }

 private:
  /// Calls f(sink) for every sink that hears an event.
  template <PrefixEvents event, class F>
  void each(F f) noexcept {
    std::apply(
        [&](auto&... sink) {
          auto const tell = [&](auto& one) {
            if constexpr (folio::hears<std::remove_reference_t<decltype(one)>>(event)) f(one);
          };
          (tell(sink), ...);
        },
        sinks_);
  }

  std::tuple<Sinks...> sinks_;
};

static_assert(EventSink<PrefixRecorder> && EventSink<PrefixMirror> && EventSink<EventSinks<NoEvents, PrefixMirror>>);

}  // namespace folio
