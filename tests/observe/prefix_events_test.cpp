// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <ctime>
#include <folio/kv_cache.hpp>
#include <folio/observe/ideal_hit_rate.hpp>
#include <folio/observe/prefix_events.hpp>
#include <folio/prefix/key_table.hpp>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "conformance/event_sink_suite.hpp"
#include "support/prefix_ledger.hpp"

using namespace folio;
using folio::test::below;
using folio::test::count_from;
using folio::test::group_of;
using folio::test::PrefixLedger;
using folio::test::RandomRequests;
using folio::test::Symbols;
using folio::test::test_secret;

namespace {

template <class Tree>
std::int32_t whole_units(PrefixLedger<Tree> const& ledger, Prefix const& prompt) {
  return ledger.tree.find(prompt.scope, prompt.symbols, prompt.size()).num_symbols / ledger.tree.unit() *
         ledger.tree.unit();
}

/// The mirror says of every prompt what the tree has.
template <class Ledger, class Requests>
void require_alike(Ledger const& ledger, PrefixMirror const& mirror, Requests& requests) {
  REQUIRE(mirror.in_step());
  REQUIRE(mirror.num_units() == ledger.gauges().all.units);
  for (int i = 0; i < 4; ++i) {
    Symbols const prompt = requests.prompt();
    Prefix const prefix(prompt, below(requests.random(), 2));
    REQUIRE(mirror.num_tokens(prefix) == whole_units(ledger, prefix));
  }
}

using Tree = PrefixIndex<LruEviction, PrefixRecorder>;

/// Says that it hears an event, and has no member, or one of another name.
template <PrefixEvents event>
struct Misspelt {
  static constexpr PrefixEvents hears = event;
  void stores(PrefixStored const&) noexcept {}
  void remove(PrefixRemoved const&) noexcept {}
  void clear(PrefixCleared const&) noexcept {}
  void lookup(PrefixLookup const&) noexcept {}
  void insert(PrefixInserted const&) noexcept {}
  void evict(PrefixEvicting const&) noexcept {}
  void set_time(double) noexcept {}
};
static_assert(EventSink<Misspelt<PrefixEvents::none>>);
static_assert(!EventSink<Misspelt<PrefixEvents::stored>> && !EventSink<Misspelt<PrefixEvents::removed>>);
static_assert(!EventSink<Misspelt<PrefixEvents::cleared>> && !EventSink<Misspelt<PrefixEvents::looked_up>>);
static_assert(!EventSink<Misspelt<PrefixEvents::inserted>> && !EventSink<Misspelt<PrefixEvents::time_set>>);
static_assert(!EventSink<Misspelt<PrefixEvents::evicting>>);
// What only policies hear.
static_assert(!EventSink<Misspelt<PrefixEvents::hit>> && !EventSink<Misspelt<PrefixEvents::prepare>>);
static_assert(!EventSink<Misspelt<PrefixEvents::over_quota>>);

}  // namespace

TEST_CASE("a recorder is a sink of events, and keeps each") {
  std::int64_t num_events = 0;
  folio::test::event_sink_suite([](auto&) { return std::make_unique<PrefixRecorder>(); },
                                [&](auto& ledger, PrefixRecorder& recorder) {
                                  for (PrefixEvent const& event : recorder.take()) REQUIRE(event.number > 0);
                                  auto const& heard = ledger.tree.sink().protocol;
                                  num_events = heard.num_stored + heard.num_removed + heard.num_cleared;
                                },
                                true);
  CHECK(num_events > 0);
}

TEST_CASE("a mirror is a sink of events, and as large as the index") {
  folio::test::event_sink_suite([](auto&) { return std::make_unique<PrefixMirror>(test_secret); },
                                [](auto& ledger, PrefixMirror const& mirror) {
                                  REQUIRE(mirror.in_step());
                                  REQUIRE(mirror.num_units() == ledger.gauges().all.units);
                                },
                                true);
}

TEST_CASE("several sinks are a sink of events") {
  using Sinks = EventSinks<NoEvents, PrefixMirror, IdealHitRate>;
  folio::test::event_sink_suite(
      [](auto&) { return std::make_unique<Sinks>(NoEvents(), PrefixMirror(test_secret), IdealHitRate()); },
      [](auto& ledger, Sinks& sinks) {
        REQUIRE(sinks.template get<PrefixMirror>().num_units() == ledger.gauges().all.units);
      },
      true);
}

TEST_CASE("events say what was stored below what, and what went") {
  PrefixLedger<Tree> ledger(100);
  auto const first = count_from(1, 12);
  auto second = count_from(1, 6);
  for (std::int32_t const symbol : {70, 71, 72, 73, 74, 75}) second.push_back(symbol);
  REQUIRE(ledger.serve({first, 3}, 5));
  REQUIRE(ledger.serve({second, 3}, 6));
  ledger.tree.evict_all();
  ledger.tree.clear();
  auto const events = ledger.tree.sink().take();
  CHECK(ledger.tree.sink().events().empty());
  REQUIRE(events.size() == 8);
  for (std::size_t i = 0; i < events.size(); ++i) CHECK(events[i].number == static_cast<std::int64_t>(i) + 1);
  CHECK(events[0].kind == PrefixEvent::Kind::stored);
  CHECK(events[0].parent == ledger.tree.keys().scope(3));
  CHECK(events[0].symbols == first);
  CHECK(events[0].keys.size() == 3);
  CHECK(events[0].unit_tokens == 4);
  CHECK(std::tuple(events[0].tenant, events[0].tier) == std::tuple(5, 0));
  CHECK(events[1].parent == events[0].keys[0]);  // they part inside the second unit
  CHECK(events[1].symbols == Symbols(second.begin() + 4, second.end()));
  CHECK(events[1].tenant == 6);
  for (std::size_t i = 2; i < 7; ++i) CHECK(events[i].kind == PrefixEvent::Kind::removed);
  CHECK(events[2].keys == std::vector{events[0].keys[2]});  // the deepest of the older one first
  CHECK(events[7].kind == PrefixEvent::Kind::cleared);
}

TEST_CASE("only a tree that is cleared is told to be clear: evicting all leaves what runs, and clearing does not") {
  PrefixLedger<Tree> ledger(100);
  auto const prompt = count_from(1, 8);
  SequenceState* const running = ledger.run(prompt);
  ledger.tree.insert(*running, 0, prompt);
  ledger.tree.evict_all();
  CHECK(ledger.tree.sink().take().size() == 1);
  ledger.tree.clear();
  auto const events = ledger.tree.sink().take();
  REQUIRE(events.size() == 3);
  CHECK(events[1].kind == PrefixEvent::Kind::removed);
  CHECK(events[2].kind == PrefixEvent::Kind::cleared);
  ledger.store.release(*running);
  CHECK(ledger.tree.sink().take().empty());
}

TEST_CASE("a lease whose edge lost its last unit to another prefix ends without an event, and the mirror agrees") {
  PrefixLedger<Tree> ledger(200);
  auto const prompt_to = [](std::int32_t same, std::int32_t other) {
    auto prompt = count_from(1, same);
    while (prompt.size() < 20) prompt.push_back(other);
    return prompt;
  };
  REQUIRE(ledger.serve(prompt_to(14, 70)));
  REQUIRE(ledger.serve(prompt_to(14, 80)));  // they part after 14, so an edge ends there
  auto const opening = count_from(1, 12);
  SequenceState* const running = ledger.run(opening);
  CHECK(ledger.tree.insert(*running, 0, opening) == 12);  // a lease on that edge, for 12
  REQUIRE(ledger.serve(prompt_to(13, 90)));               // which is cut after 13: the lease is on the 14th token
  ledger.tree.evict_all();
  CHECK(ledger.gauges().all.units == 3);
  ledger.store.release(*running);
  CHECK(ledger.gauges().all.units == 3);
  ledger.tree.evict_all();
  CHECK(ledger.tree.num_nodes() == 0);
  PrefixMirror mirror(test_secret);
  for (PrefixEvent const& event : ledger.tree.sink().take()) tell(event, mirror);
  CHECK(mirror.in_step());
  CHECK(mirror.num_units() == 0);
}

TEST_CASE("a mirror that hears everything is always like the tree: one group, several, windows") {
  std::vector<std::pair<std::vector<GroupShape>, std::vector<std::int64_t>>> const caches{
      {{group_of(4)}, {40}},
      {{group_of(1)}, {90}},
      {{group_of(4), group_of(2, 7, 3), group_of(8), group_of(4, 5)}, {60, 60, 30, 40}}};
  for (auto const& [shapes, num_blocks] : caches)
    for (unsigned seed = 1; seed <= 20; ++seed) {
      PrefixLedger<Tree> ledger(shapes, num_blocks);
      RandomRequests requests(ledger, seed);
      PrefixMirror mirror(test_secret);
      for (int step = 0; step < 300; ++step) {
        requests.step();
        if (step % 100 == 99) ledger.tree.evict_all();
        for (PrefixEvent const& event : ledger.tree.sink().take()) tell(event, mirror);
        require_alike(ledger, mirror, requests);
      }
      REQUIRE(ledger.tree.counters().evicted_units > 0);
    }
}

TEST_CASE("a mirror knows that it lost an event, and is like the tree again when it was told what there is") {
  int num_gaps = 0, num_lost_snapshots = 0;
  for (unsigned seed = 1; seed <= 30; ++seed) {
    PrefixLedger<Tree> ledger(40);
    RandomRequests requests(ledger, seed);
    PrefixMirror mirror(test_secret);
    std::int64_t last = 0;  // event of the tree
    bool lost = false;      // one since they were last alike
    for (int step = 0; step < 300; ++step) {
      requests.step();
      for (PrefixEvent const& event : ledger.tree.sink().take()) {
        last = event.number;
        bool const loses = below(requests.random(), 20) == 0;
        bool const repeats = below(requests.random(), 20) == 0 && event.kind != PrefixEvent::Kind::cleared;
        lost = lost || loses;
        for (int times = loses ? 0 : repeats ? 2 : 1; times > 0; --times) tell(event, mirror);
      }
      if (mirror.in_step()) {
        if (mirror.last_event() == last) require_alike(ledger, mirror, requests);
        continue;  // or what was lost was the last event: the next one shows it
      }
      ++num_gaps;
      REQUIRE(lost);
      PrefixRecorder snapshot;
      ledger.tree.tell(snapshot);
      bool arrived = true;
      for (PrefixEvent const& event : snapshot.take()) {
        bool const loses = below(requests.random(), 40) == 0;
        arrived = arrived && !loses;
        if (!loses) tell(event, mirror);
      }
      num_lost_snapshots += arrived ? 0 : 1;
      if (arrived) require_alike(ledger, mirror, requests);
      lost = !arrived;
    }
  }
  CHECK(num_gaps > 300);
  CHECK(num_lost_snapshots > 30);
}

TEST_CASE("a tree without listeners can tell what it has, and events go on from there") {
  PrefixLedger<PrefixIndex<>> silent(40);
  RandomRequests requests(silent, 1);
  for (int step = 0; step < 300; ++step) {
    requests.step();
    PrefixMirror mirror(test_secret);
    silent.tree.tell(mirror);
    require_alike(silent, mirror, requests);
  }

  PrefixLedger<Tree> ledger(40);
  REQUIRE(ledger.serve(count_from(1, 40)));
  REQUIRE(ledger.serve(count_from(50, 40)));
  PrefixMirror late(test_secret);
  ledger.tree.tell(late);  // it came when there was something already
  CHECK(late.last_event() == ledger.tree.sink().take().back().number);
  REQUIRE(ledger.serve(count_from(100, 100)));
  for (PrefixEvent const& event : ledger.tree.sink().take()) tell(event, late);
  CHECK(late.in_step());
  CHECK(late.num_units() == ledger.gauges().all.units);
  CHECK(late.num_tokens(count_from(100, 100)) == 100);
  ledger.tree.tell(late);  // for somebody else: it does no harm
  CHECK(late.in_step());
  CHECK(late.num_units() == ledger.gauges().all.units);
}

TEST_CASE("a recorder that nobody empties loses the oldest, which shows") {
  PrefixRecorder recorder(3);
  PrefixMirror mirror(test_secret);
  PrefixKey const key{7, 8};
  Symbols const symbols{1, 2};
  for (std::int64_t number = 1; number <= 5; ++number) recorder.stored({number, {}, {&key, 1}, symbols, 2, 0});
  CHECK(recorder.events().size() == 3);
  for (PrefixEvent const& event : recorder.take()) tell(event, mirror);
  CHECK_FALSE(mirror.in_step());
  CHECK(mirror.num_units() == 0);
}

TEST_CASE("a mirror knows in which tier a unit is") {
  PrefixMirror mirror(test_secret);
  Symbols const symbols{1, 2, 3, 4};
  PrefixKeys const make(test_secret, 2);
  PrefixKey const first = make.unit(make.scope(0), std::span(symbols).first(2));
  PrefixKey const second = make.unit(first, std::span(symbols).subspan(2));
  std::vector<PrefixKey> const keys{first, second};
  mirror.stored({1, make.scope(0), keys, symbols, 2, 0, 0});
  mirror.stored({2, first, {&second, 1}, std::span(symbols).subspan(2), 2, 0, 2});
  mirror.removed({3, second, 0, 0});
  CHECK(mirror.num_tokens(symbols) == 2);
  CHECK(mirror.num_tokens(symbols, 1) == 2);
  CHECK(mirror.num_tokens(symbols, 2) == 4);
  mirror.removed({4, second, 0, 1});  // of a tier that never had it
  mirror.removed({5, second, 0, 7});
  CHECK(mirror.in_step());
  CHECK(mirror.num_tokens(symbols, 2) == 4);
}

TEST_CASE("two units of one key are there until both are gone") {
  PrefixMirror mirror(test_secret);
  Symbols const symbols{1, 2};
  PrefixKeys const make(test_secret, 2);
  PrefixKey const scope = make.scope(0), key = make.unit(scope, symbols);
  mirror.stored({1, scope, {&key, 1}, symbols, 2, 0});
  mirror.stored({2, scope, {&key, 1}, symbols, 2, 0});
  mirror.removed({3, key, 0});
  CHECK(mirror.num_tokens(symbols) == 2);
  mirror.removed({4, key, 0});
  CHECK(mirror.num_tokens(symbols) == 0);
}

TEST_CASE("several sinks hear the same, look-ups too, and a cache takes them as one policy") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 8};
  using Sinks = EventSinks<PrefixMirror, IdealHitRate>;
  static_assert(wants_keys<Sinks> && !wants_keys<EventSinks<IdealHitRate, NoEvents>>);
  using Cache = KvCache<Model<model>, BlockSize<4>, LruEviction, Sinks>;
  Cache cache(CacheConfig{.num_blocks = {16}, .key_secret = test_secret},
              Sinks(PrefixMirror(test_secret), IdealHitRate()));
  auto const prompt = count_from(1, 18);
  for (std::int32_t const cached : {0, 16}) {
    auto sequence = cache.create(prompt);
    CHECK(sequence.num_cached_tokens() == cached);
    sequence.extend(18 - cached);
    cache.insert(sequence, prompt);
    CHECK(cache.prefixes().sink().get<PrefixMirror>().num_tokens(prompt) == 16);
  }
  IdealHitRate& ceiling = cache.prefixes().sink().get<IdealHitRate>();
  CHECK(ceiling.num_units() == 8);
  CHECK(ceiling.ceiling() == Approx(0.5).margin(0.01));
  CHECK(ceiling.hit_rate() == 0.5);
}

TEST_CASE("a mirror with names does not take a number without one for the same number of the cache") {
  static constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 8};
  using Cache = KvCache<Model<model>, BlockSize<4>, LruEviction, PrefixMirror>;
  KeyTable names(2), others(2);  // which forget all but the last two
  Cache cache(CacheConfig{.num_blocks = {16}, .key_secret = test_secret}, PrefixMirror(test_secret));
  cache.prefixes().set_names(names);
  std::int32_t const scope = names.scope({.adapter = "first"}), other = others.scope({.adapter = "other"});
  for (KeyTable* const table : {&names, &others})
    for (char const* const later : {"a", "b", "c"}) static_cast<void>(table->scope({.adapter = later}));
  REQUIRE(scope == other);
  auto const tokens = count_from(1, 9);
  Sequence sequence = cache.create(9);
  REQUIRE(cache.insert(sequence, {tokens, scope}) == 8);
  PrefixMirror mirror(test_secret, &others);
  cache.prefixes().tell(mirror);
  CHECK(mirror.num_units() == 2);
  CHECK(mirror.num_tokens({tokens, other}) == 0);
  CHECK(cache.prefixes().sink().num_tokens({tokens, scope}) == 8);  // whose numbers are those of the cache
}

TEST_CASE("keys that were chosen to collide cost a mirror what any keys cost") {
  constexpr std::size_t count = 10'000;
  std::unordered_map<std::uint64_t, std::int32_t> usual;  // of whose buckets all know which keys are in them
  usual.reserve(count);
  std::vector<PrefixKey> chosen, any;
  for (std::uint64_t i = 0; i < count; ++i) {
    chosen.push_back({i * usual.bucket_count(), 0});
    any.push_back({i * 0x9E3779B97F4A7C15U, 0});
  }
  auto const seconds = [&](std::vector<PrefixKey> const& keys) {
    PrefixMirror mirror(test_secret);
    std::vector<std::int32_t> const symbols(keys.size());
    std::clock_t const begin = std::clock();
    mirror.stored({1, {}, keys, symbols, 1, 0});
    std::int64_t number = 1;
    for (PrefixKey const& key : keys) mirror.removed({++number, key, 0});
    if (mirror.num_units() != 0) FAIL("a key is lost");
    return std::clock() - begin;
  };
  std::clock_t chosen_time = seconds(chosen), any_time = seconds(any);
  for (int repeat = 0; repeat < 3; ++repeat) {
    chosen_time = std::min(chosen_time, seconds(chosen));
    any_time = std::min(any_time, seconds(any));
  }
  CHECK(chosen_time < 5 * any_time + CLOCKS_PER_SEC / 1000);  // and 100 times as long, where they collide
}
