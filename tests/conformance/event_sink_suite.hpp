// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every event sink is called with, in which order, and what it must bear. A sink's test calls
// `event_sink_suite(make, check)` once, and tests by itself only what it makes of what it hears.

#include <cstddef>
#include <cstdint>
#include <folio/observe/prefix_events.hpp>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/prefix_ledger.hpp"

namespace folio::test {

/// The contract of an index towards its sinks, as a sink: hears everything, and knows from what came before whether an
/// event may come now.
class EventProtocol {
 public:
  void stored(PrefixStored const& e) {
    number(e.number);
    unit(e.unit_tokens);
    if (e.keys.empty() || e.symbols.size() != e.keys.size() * static_cast<std::size_t>(e.unit_tokens))
      return fail("units without keys, or symbols of other units");
    if (!is_scope(e.parent) && !units_.contains(e.parent)) fail("units below what is not there");
    PrefixKey key = e.parent;
    for (std::size_t i = 0; i < e.keys.size(); ++i) {
      PrefixKey const parent = std::exchange(key, keys().unit(key, unit_of(e.symbols, i)));
      if (key != e.keys[i]) fail("a key that is not of its symbols");
      if (!units_.emplace(key, Unit{parent, e.tenant}).second) fail("a unit is stored that is there");
      ++children_[parent];
    }
    ++num_stored;
  }
  void removed(PrefixRemoved const& e) {
    number(e.number);
    if (is_evicting_ && e.key != evicting_) fail("another unit goes than was said");
    is_evicting_ = false;
    auto const found = units_.find(e.key);
    if (found == units_.end()) return fail("a unit goes that is not there");
    if (children_[e.key] != 0) fail("a unit goes before those below it");
    if (found->second.tenant != e.tenant) fail("a unit goes that was another tenant's");
    --children_[found->second.parent];
    units_.erase(found);
    ++num_removed;
  }
  void evicting(PrefixEvicting const& e) {
    if (is_evicting_) fail("a unit is evicted, and did not go");
    auto const found = units_.find(e.key);
    if (found == units_.end()) return fail("a unit is evicted that is not there");
    if (found->second.parent != e.parent || found->second.tenant != e.tenant) fail("another unit's parent or tenant");
    unit(static_cast<std::int32_t>(e.symbols.size()));
    if (keys().unit(e.parent, e.symbols) != e.key) fail("a unit is evicted with another one's symbols");
    if (e.blocks.empty() || e.hits < 0 || e.priority < 0 || e.priority > 100) fail("a unit is evicted with no blocks");
    std::int32_t num_blocks = 0;
    for (auto const& list : e.blocks)
      for (BlockId const block : list) num_blocks += block != null_block ? 1 : 0;
    if (num_blocks == 0) fail("a unit is evicted that holds nothing");
    evicting_ = e.key;
    is_evicting_ = true;
    ++num_evicting;
  }
  void cleared(PrefixCleared const& e) {
    number(e.number);
    if (!units_.empty()) fail("cleared, and units were not removed");
    ++num_cleared;
  }
  void looked_up(PrefixLookup const& e) {
    unit(e.unit_tokens);
    if (e.num_tokens < 0 || e.num_tokens >= e.prompt.size()) fail("a look-up takes the last token, or none there is");
    ++num_looked_up;
  }
  void inserted(PrefixInserted const& e) {
    if (e.symbols.empty() || e.symbols.size() % static_cast<std::size_t>(unit_) != 0) return fail("parts of units");
    PrefixKey key = keys().scope(e.scope);
    for (std::size_t i = 0; i < e.symbols.size() / static_cast<std::size_t>(unit_); ++i)
      if (!units_.contains(key = keys().unit(key, unit_of(e.symbols, i)))) fail("inserted, and not stored before");
    if (e.tenant != units_[key].tenant) fail("inserted for another tenant than its last unit's");
    if (e.told < 0 || e.found < 0 || e.order < last_order_) fail("numbers that go back");
    last_order_ = e.order;
    ++num_inserted;
    num_told += e.told > 0 ? 1 : 0;
  }
  void time_set(double now) {
    if (now < now_) fail("the clock goes back");
    now_ = now;
    ++num_time_set;
  }

  /// What was wrong first.
  [[nodiscard]] std::string const& problem() const { return problem_; }
  [[nodiscard]] std::int64_t num_units() const { return static_cast<std::int64_t>(units_.size()); }

  std::int64_t num_stored = 0, num_removed = 0, num_cleared = 0, num_looked_up = 0, num_inserted = 0, num_told = 0,
               num_time_set = 0, num_evicting = 0;

 private:
  struct Unit {
    PrefixKey parent;
    std::int32_t tenant;
  };

  void fail(char const* what) {
    if (problem_.empty()) problem_ = std::string(what) + ", after event " + std::to_string(last_number_);
  }
  void number(std::int64_t n) {
    if (n != last_number_ + 1) fail("a number is left out or comes twice");
    last_number_ = n;
  }
  void unit(std::int32_t tokens) {
    if (tokens <= 0 || (unit_ != 0 && tokens != unit_)) fail("units of another size");
    unit_ = tokens;
  }
  [[nodiscard]] std::span<std::int32_t const> unit_of(std::span<std::int32_t const> symbols, std::size_t i) const {
    return symbols.subspan(i * static_cast<std::size_t>(unit_), static_cast<std::size_t>(unit_));
  }
  /// RandomRequests' scopes.
  [[nodiscard]] bool is_scope(PrefixKey const& key) const { return key == keys().scope(0) || key == keys().scope(1); }

  [[nodiscard]] PrefixKeys keys() const { return PrefixKeys(test_secret, unit_); }

  PrefixKey evicting_;
  bool is_evicting_ = false;
  std::map<PrefixKey, Unit> units_;
  std::map<PrefixKey, std::int64_t> children_;
  std::string problem_;
  double now_ = 0;
  std::int64_t last_number_ = 0, last_order_ = 0;
  std::int32_t unit_ = 0;
};

/// A sink that is tested, whatever its type.
class TestedSink {
 public:
  TestedSink() = default;
  TestedSink(TestedSink const&) = delete;
  TestedSink& operator=(TestedSink const&) = delete;
  virtual ~TestedSink() = default;
  virtual void stored(PrefixStored const&) noexcept {}
  virtual void removed(PrefixRemoved const&) noexcept {}
  virtual void cleared(PrefixCleared const&) noexcept {}
  virtual void looked_up(PrefixLookup const&) noexcept {}
  virtual void inserted(PrefixInserted const&) noexcept {}
  virtual void evicting(PrefixEvicting const&) noexcept {}
  virtual void time_set(double) noexcept {}
};

template <EventSink Sink>
class TestedSinkOf final : public TestedSink {
 public:
  explicit TestedSinkOf(Sink& sink) : sink_(sink) {}
  void stored([[maybe_unused]] PrefixStored const& e) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::stored)) sink_.stored(e);
  }
  void removed([[maybe_unused]] PrefixRemoved const& e) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::removed)) sink_.removed(e);
  }
  void cleared([[maybe_unused]] PrefixCleared const& e) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::cleared)) sink_.cleared(e);
  }
  void looked_up([[maybe_unused]] PrefixLookup const& e) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::looked_up)) sink_.looked_up(e);
  }
  void inserted([[maybe_unused]] PrefixInserted const& e) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::inserted)) sink_.inserted(e);
  }
  void evicting([[maybe_unused]] PrefixEvicting const& e) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::evicting)) sink_.evicting(e);
  }
  void time_set([[maybe_unused]] double now) noexcept override {
    if constexpr (hears<Sink>(PrefixEvents::time_set)) sink_.time_set(now);
  }

 private:
  Sink& sink_;
};

/// Hears everything: the protocol's check first, then the sink. What an event's spans point to is there during the call
/// alone; where it is `short_of_memory`, one of the call's first allocations is refused.
class EventConductor {
 public:
  static constexpr PrefixEvents hears = PrefixEvents::stored | PrefixEvents::removed | PrefixEvents::cleared |
                                        PrefixEvents::looked_up | PrefixEvents::inserted | PrefixEvents::time_set |
                                        PrefixEvents::evicting;

  void stored(PrefixStored const& e) noexcept {
    protocol.stored(e);
    std::vector<PrefixKey> keys(e.keys.begin(), e.keys.end());
    Symbols symbols(e.symbols.begin(), e.symbols.end());
    PrefixStored lent = e;
    lent.keys = keys;
    lent.symbols = symbols;
    call([&] { sink->stored(lent); });
    keys.assign(keys.size(), {~std::uint64_t{0}, 0});
    symbols.assign(symbols.size(), -1);
  }
  void removed(PrefixRemoved const& e) noexcept {
    protocol.removed(e);
    call([&] { sink->removed(e); });
  }
  void cleared(PrefixCleared const& e) noexcept {
    protocol.cleared(e);
    call([&] { sink->cleared(e); });
  }
  void looked_up(PrefixLookup const& e) noexcept {
    protocol.looked_up(e);
    Symbols symbols(e.prompt.symbols.begin(), e.prompt.symbols.end());
    PrefixLookup const lent{{symbols, e.prompt.scope}, e.num_tokens, e.unit_tokens, e.tenant};
    call([&] { sink->looked_up(lent); });
    symbols.assign(symbols.size(), -1);
  }
  void inserted(PrefixInserted const& e) noexcept {
    protocol.inserted(e);
    Symbols symbols(e.symbols.begin(), e.symbols.end());
    PrefixInserted lent = e;
    lent.symbols = symbols;
    call([&] { sink->inserted(lent); });
    symbols.assign(symbols.size(), -1);
  }
  void evicting(PrefixEvicting const& e) noexcept {
    protocol.evicting(e);
    Symbols symbols(e.symbols.begin(), e.symbols.end());
    std::vector<std::vector<BlockId>> blocks;
    for (auto const& list : e.blocks) blocks.emplace_back(list.begin(), list.end());
    std::vector<std::span<BlockId const>> const lists(blocks.begin(), blocks.end());
    PrefixEvicting lent = e;
    lent.symbols = symbols;
    lent.blocks = lists;
    call([&] { sink->evicting(lent); });
    symbols.assign(symbols.size(), -1);
    for (auto& list : blocks) list.assign(list.size(), null_block);
  }
  void time_set(double now) noexcept {
    protocol.time_set(now);
    call([&] { sink->time_set(now); });
  }

  EventProtocol protocol;
  TestedSink* sink = nullptr;
  bool short_of_memory = false;
  std::int64_t num_refusals = 0;

 private:
  template <class F>
  void call(F f) {
    if (sink == nullptr) return;
    if (!short_of_memory) return f();
    RefuseAllocation const refusal(1 + ++num_calls_ % 4);
    f();
    num_refusals += HostHeap::of_this_thread().refuse_in == 0 ? 1 : 0;
  }

  std::int64_t num_calls_ = 0;
};
static_assert(EventSink<EventConductor>);

using SinkLedger = PrefixLedger<PrefixIndex<LruEviction, EventConductor>>;

/// Random requests over an index, with one group of layers and with windows: every event that the sink hears is one
/// that the contract allows, each kind comes, no span outlives its call, and a sink that is refused memory goes on. The
/// allocator of the test finds what it loses (sanitizers). `make(ledger)` gives a std::unique_ptr to a new sink, which
/// goes before the ledger; `check(ledger, sink)` is called from time to time, where it was refused nothing. Of a sink
/// that takes memory when it hears of something, `allocates` is true. Call it inside a TEST_CASE.
template <class Make, class Check>
void event_sink_suite(Make const& make, Check const& check, bool allocates) {
  using Sink = typename decltype(make(std::declval<SinkLedger&>()))::element_type;
  static_assert(EventSink<Sink>);
  std::vector<std::pair<std::vector<GroupShape>, std::vector<std::int64_t>>> const caches{
      {{group_of(4)}, {40}}, {{group_of(4), group_of(2, 7, 3), group_of(8)}, {60, 60, 30}}};
  std::int64_t num_refusals = 0, num_cleared = 0, num_told = 0;
  for (auto const& [shapes, num_blocks] : caches)
    for (unsigned seed = 1; seed <= 20; ++seed) {
      INFO("seed " << seed);
      SinkLedger ledger(shapes, num_blocks);
      EventConductor& conductor = ledger.tree.sink();
      {
        RandomRequests requests(ledger, seed, 3);
        auto const sink = make(ledger);
        TestedSinkOf<Sink> tested(*sink);
        conductor.sink = &tested;
        conductor.short_of_memory = seed % 2 == 0;
        for (int step = 0; step < 300; ++step) {
          requests.step();
          if (step % 7 == 0) ledger.tree.set_time(step - 20 * (step % 5));
          if (step % 100 == 99) ledger.tree.evict_all();
          if (step % 150 == 149) ledger.tree.clear();
          REQUIRE(conductor.protocol.problem() == "");
          REQUIRE(conductor.protocol.num_units() == ledger.gauges().all.units);
          if (!conductor.short_of_memory) check(ledger, *sink);
        }
        conductor.sink = nullptr;
      }
      EventProtocol const& heard = conductor.protocol;
      REQUIRE((heard.num_stored > 0 && heard.num_removed > 0 && heard.num_looked_up > 0 && heard.num_inserted > 0 &&
               heard.num_time_set > 0 && heard.num_evicting > 0));
      num_refusals += conductor.num_refusals;
      num_cleared += heard.num_cleared;
      num_told += heard.num_told;
    }
  REQUIRE((num_cleared > 0 && num_told > 0));
  REQUIRE((num_refusals > 0) == allocates);
}

}  // namespace folio::test
