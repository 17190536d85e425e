// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <folio/eviction/fair.hpp>
#include <folio/kv_cache.hpp>
#include <folio/prefix/key_table.hpp>
#include <folio/prefix/prompt_registry.hpp>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "conformance/event_sink_suite.hpp"
#include "support/prefix_ledger.hpp"

using namespace folio;
using folio::test::below;
using folio::test::contains;
using folio::test::count_from;
using folio::test::group_of;
using folio::test::PrefixLedger;
using folio::test::RandomRequests;
using folio::test::Symbols;

namespace {

using Ledger = PrefixLedger<PrefixIndex<>>;
constexpr std::int64_t unit_bytes = Ledger::block_bytes;

/// Other prompts until everything that can go is gone.
template <class B>
void flood(B& ledger, int requests = 100) {
  static std::int32_t next = 1'000'000;
  for (int i = 0; i < requests; ++i, next += 20) REQUIRE(ledger.serve(count_from(next, 20)));
}

/// Whole units of a set of prefixes, each counted once.
template <class Prefixes>
std::int64_t different_units(Prefixes const& prefixes, std::int32_t unit) {
  std::set<std::pair<std::int32_t, Symbols>> all;
  for (auto const& [scope, symbols] : prefixes)
    for (auto end = static_cast<std::size_t>(unit); end <= symbols.size(); end += static_cast<std::size_t>(unit))
      all.emplace(scope, Symbols(symbols.begin(), symbols.begin() + static_cast<std::ptrdiff_t>(end)));
  return static_cast<std::int64_t>(all.size());
}

}  // namespace

TEST_CASE("a registry is a sink of events: what it pins is there from the first insertion on, until all is cleared") {
  using folio::test::SinkLedger;
  std::int64_t num_there = 0;
  folio::test::event_sink_suite(
      [](SinkLedger& ledger) {
        auto registry = std::make_unique<PromptRegistry<SinkLedger::Tree>>(ledger.tree, 1'000'000);
        registry->put("opening", count_from(1, 8));
        registry->put("soon over", count_from(1, 16), {.time_to_live = 50});
        return registry;
      },
      [&](SinkLedger&, PromptRegistry<SinkLedger::Tree>& registry) {
        num_there += registry.is_there("opening") ? 1 : 0;
        REQUIRE(registry.is_pinned("opening"));
      },
      true);
  CHECK(num_there > 1000);
}

TEST_CASE("a pinned prefix survives whatever splits, joins and evicts around it, and only it does") {
  std::int64_t num_pins = 0, num_joined = 0;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    Ledger ledger(60);
    RandomRequests requests(ledger, seed);
    std::vector<std::pair<PrefixPin, std::pair<std::int32_t, Symbols>>> pinned;  // with scope and symbols
    for (int step = 0; step < 400; ++step) {
      requests.step();
      Symbols prompt = requests.prompt();
      std::int32_t const scope = below(requests.random(), 2);
      PrefixMatch const match = ledger.tree.find(scope, prompt, static_cast<std::int32_t>(prompt.size()));
      if (match.num_symbols >= 4 && pinned.size() < 5 && step % 3 == 0) {
        std::int32_t const size = match.num_symbols / 4 * 4;
        prompt.resize(static_cast<std::size_t>(size));
        pinned.emplace_back(ledger.tree.pin(match, size + below(requests.random(), match.num_symbols - size + 1)),
                            std::pair(scope, prompt));
        ++num_pins;
      } else if (!pinned.empty() && step % 7 == 0) {
        auto const i = below(requests.random(), static_cast<std::int32_t>(pinned.size()));
        pinned.erase(pinned.begin() + i);
      }
      std::vector<std::pair<std::int32_t, Symbols>> prefixes;
      for (auto const& [pin, prefix] : pinned) {
        prefixes.push_back(prefix);
        REQUIRE(ledger.kept({prefix.second, prefix.first}) == static_cast<std::int32_t>(prefix.second.size()));
      }
      REQUIRE(ledger.gauges().all.pinned_units == different_units(prefixes, 4));
    }
    requests.finish();
    ledger.tree.evict_all();
    std::vector<std::pair<std::int32_t, Symbols>> prefixes;
    for (auto const& [pin, prefix] : pinned) prefixes.push_back(prefix);
    REQUIRE(ledger.gauges().all.units == different_units(prefixes, 4));  // nothing else stayed
    std::int64_t const nodes = ledger.tree.num_nodes();
    pinned.clear();
    for (auto const& prefix : prefixes)  // a use of each joins what a pin kept apart
      for (int use = 0; use < 4; ++use) ledger.store.release(*ledger.run({prefix.second, prefix.first}));
    num_joined += nodes > ledger.tree.num_nodes() ? 1 : 0;
    ledger.tree.evict_all();
    REQUIRE(ledger.tree.num_nodes() == 0);
    REQUIRE(ledger.store.pool(0).num_free() == 60);
  }
  CHECK(num_pins > 500);
  CHECK(num_joined > 5);
}

TEST_CASE("a pin keeps one node from being joined, and nothing above it") {
  Ledger ledger(100);
  auto const prompt = count_from(1, 40);
  REQUIRE(ledger.serve(prompt));
  for (int use = 0; use < 4; ++use) ledger.store.release(*ledger.run(std::span(prompt).first(21)));
  CHECK(ledger.tree.num_nodes() == 3);  // the root, what was used, and the rest
  PrefixPin pin = ledger.tree.pin(ledger.tree.find(0, prompt, 32), 32);
  CHECK(ledger.tree.num_nodes() == 4);
  for (int use = 0; use < 5; ++use) ledger.store.release(*ledger.run(prompt));
  CHECK(ledger.tree.num_nodes() == 4);  // up to 32 it is one now; 36 were found at the most, and end there
  pin.release();
  for (int use = 0; use < 5; ++use) ledger.store.release(*ledger.run(prompt));
  CHECK(ledger.tree.num_nodes() == 3);
}

TEST_CASE("a pin is of whole units of what was found") {
  Ledger ledger(60);
  auto const prompt = count_from(1, 40);
  REQUIRE(ledger.serve(prompt));
  PrefixMatch const match = ledger.tree.find(0, std::span(prompt).first(30), 30);
  CHECK_THROWS_WITH(ledger.tree.pin(match, 31),
                    contains("folio: cannot pin 31 tokens of a prefix of which 30 are cached, in units of 4"));
  CHECK_THROWS_WITH(ledger.tree.pin(match, 3),
                    contains("folio: cannot pin 3 tokens of a prefix of which 30 are cached, in units of 4"));
  CHECK_THROWS_WITH(ledger.tree.pin({}, 4),
                    contains("folio: cannot pin 4 tokens of a prefix of which 0 are cached, in units of 4"));
  PrefixPin pin = ledger.tree.pin(match, 30);
  ledger.tree.evict_all();
  CHECK(ledger.kept(prompt) == 28);
  pin.release();
  ledger.tree.evict_all();
  CHECK(ledger.kept(prompt) == 0);
}

TEST_CASE("a prompt that is there is pinned at once, one that is not as soon as somebody inserts it") {
  Ledger ledger(100);
  PromptRegistry registry(ledger.tree, 1000 * unit_bytes);
  auto const there = count_from(1, 42), later = count_from(101, 42);
  REQUIRE(ledger.serve(there));
  registry.put("there", there);
  registry.put("later", later);
  CHECK(registry.is_there("there"));
  CHECK_FALSE(registry.is_there("later"));
  auto const missing = registry.missing();
  REQUIRE(missing.size() == 1);
  CHECK(missing[0].name == "later");
  CHECK(Symbols(missing[0].prefix.symbols.begin(), missing[0].prefix.symbols.end()) == later);
  CHECK(missing[0].num_cached_tokens == 0);
  flood(ledger);
  CHECK(ledger.kept(there) == 40);

  REQUIRE(ledger.serve(count_from(101, 20)));  // a part of it: not yet
  REQUIRE(registry.missing().size() == 1);
  CHECK(registry.missing()[0].num_cached_tokens == 20);
  flood(ledger);
  CHECK(ledger.kept(later) == 0);

  auto longer = later;
  for (int i = 0; i < 30; ++i) longer.push_back(7);
  REQUIRE(ledger.serve(longer));  // it, and what a request had after it
  CHECK(registry.missing().empty());
  flood(ledger);
  CHECK(ledger.kept(there) == 40);
  CHECK(ledger.kept(longer) == 40);  // of which only the prompt stays
  CHECK(ledger.gauges().all.pinned_units == 20);
  CHECK(registry.pinned_bytes() == 20 * unit_bytes);
}

TEST_CASE("another scope's prompt of the same tokens is another prompt") {
  Ledger ledger(100);
  PromptRegistry registry(ledger.tree, 1000 * unit_bytes);
  auto const prompt = count_from(1, 20);
  registry.put("mine", {prompt, 1});
  REQUIRE(ledger.serve({prompt, 2}));
  CHECK_FALSE(registry.is_there("mine"));
  REQUIRE(ledger.serve({prompt, 1}));
  flood(ledger);
  CHECK(registry.is_there("mine"));
  CHECK(ledger.kept({prompt, 2}) == 0);
}

TEST_CASE("what is unpinned, forgotten or expired is as any other prompt") {
  for (std::string const how : {"unpin", "erase", "expire", "put unpinned", "put another", "registry gone"}) {
    Ledger ledger(100);
    auto registry = std::make_unique<PromptRegistry<PrefixIndex<>>>(ledger.tree, 1000 * unit_bytes);
    auto const prompt = count_from(1, 40), other = count_from(201, 40);
    ledger.tree.set_time(100);
    REQUIRE(ledger.serve(prompt));
    registry->put("p", prompt, {.time_to_live = 50});
    ledger.tree.set_time(149.5);
    flood(ledger);
    INFO(how);
    REQUIRE(ledger.kept(prompt) == 40);
    if (how == "unpin") registry->unpin("p");
    if (how == "erase") CHECK(registry->erase("p"));
    if (how == "put unpinned") registry->put("p", prompt, {.pinned = false});
    if (how == "put another") registry->put("p", other);
    if (how == "registry gone") registry = nullptr;
    if (how == "expire") ledger.tree.set_time(150);
    CHECK(ledger.kept(prompt) == 40);  // nothing goes before memory is short
    CHECK(ledger.gauges().all.pinned_units == 0);
    flood(ledger);
    CHECK(ledger.kept(prompt) == 0);
    if (registry == nullptr) continue;
    CHECK(registry->pinned_bytes() == (how == "put another" ? 10 * unit_bytes : 0));
    CHECK(registry->contains("p") == (how == "unpin" || how == "put unpinned" || how == "put another"));
    CHECK_FALSE(registry->erase("nobody"));
    if (how != "unpin") continue;
    registry->pin("p");
    REQUIRE(ledger.serve(prompt));
    flood(ledger);
    CHECK(ledger.kept(prompt) == 40);
    ledger.tree.set_time(151);  // its time to live went on
    CHECK_FALSE(registry->contains("p"));
  }
}

TEST_CASE("each prompt has a time to live of its own, in whatever order they end") {
  Ledger ledger(100);
  PromptRegistry registry(ledger.tree, 1000 * unit_bytes);
  registry.put("for good", count_from(401, 8));
  registry.put("third", count_from(301, 8), {.time_to_live = 30});
  registry.put("first", count_from(1, 8), {.time_to_live = 10});
  registry.put("second", count_from(101, 8), {.time_to_live = 20});
  registry.put("with the second", count_from(201, 8), {.time_to_live = 20});
  for (double const now : {9.5, 10.0, 15.0, 20.0, 29.5, 30.0, 1e9}) {
    ledger.tree.set_time(now);
    INFO(now);
    CHECK(registry.contains("first") == (now < 10));
    CHECK(registry.contains("second") == (now < 20));
    CHECK(registry.contains("with the second") == (now < 20));
    CHECK(registry.contains("third") == (now < 30));
    CHECK(registry.contains("for good"));
  }
}

TEST_CASE("a prompt that is put again stays pinned meanwhile, quotas or not") {
  PrefixLedger<PrefixIndex<FairEviction<LruEviction>>> ledger(100);
  ledger.tree.eviction().set_share(0, {.quota_units = 5});
  PromptRegistry registry(ledger.tree, 1000 * unit_bytes);
  auto const prompt = count_from(1, 40);
  registry.put("p", prompt);
  REQUIRE(ledger.serve(prompt));
  CHECK(ledger.kept(prompt) == 40);  // above the quota, but pinned
  registry.put("p", prompt, {.priority = 50});
  CHECK(ledger.kept(prompt) == 40);
  registry.put("p", count_from(1, 32));
  CHECK(ledger.kept(prompt) == 32);
  registry.unpin("p");
  CHECK(ledger.kept(prompt) == 20);
}

TEST_CASE("pinning beyond the budget is refused with numbers, and shared openings count once") {
  Ledger ledger(100);
  PromptRegistry registry(ledger.tree, 20 * unit_bytes);
  auto const opening = count_from(1, 40);
  auto a = opening, b = opening;
  for (int i = 0; i < 20; ++i) {
    a.push_back(1000 + i);
    b.push_back(2000 + i);
  }
  registry.put("a", a);
  registry.put("b", b);
  CHECK(registry.pinned_bytes() == 20 * unit_bytes);
  CHECK_THROWS_WITH(registry.put("c", count_from(500, 4)),
                    contains("prompt c takes 64 bytes") && contains("budget of 1280 bytes 1280 are pinned"));
  CHECK_FALSE(registry.contains("c"));
  CHECK_THROWS_WITH(registry.put("a", count_from(500, 64)),
                    contains("folio: pinning the prompt a takes 1024 bytes") &&
                        contains("folio: pinning the prompt a takes 1024 bytes; of a budget of 1280 bytes 960 are "
                                 "pinned otherwise; unpin something, or give a larger budget"));
  CHECK(registry.pinned_bytes() == 20 * unit_bytes);
  registry.put("c", count_from(500, 64), {.pinned = false});
  CHECK_THROWS_WITH(registry.pin("c"), contains("prompt c takes 1024"));
  CHECK_FALSE(registry.is_pinned("c"));
  registry.put("o", opening);  // takes nothing more
  registry.unpin("b");
  CHECK(registry.pinned_bytes() == 15 * unit_bytes);
  CHECK(registry.is_pinned("a"));
  registry.put("a", count_from(500, 40));
  CHECK(registry.pinned_bytes() == 20 * unit_bytes);
  CHECK_THROWS_WITH(registry.pin("b"), contains("folio: pinning the prompt b takes 320 bytes"));
}

TEST_CASE("the budget is exact for random prompts, and holds what the tree pins") {
  for (unsigned seed = 1; seed <= 40; ++seed) {
    Ledger ledger(400);
    PromptRegistry registry(ledger.tree, 60 * unit_bytes);
    std::mt19937 random(seed);
    std::map<std::string, std::pair<std::int32_t, Symbols>> pinned;
    for (int step = 0; step < 200; ++step) {
      ledger.tree.set_time(step);
      std::string const name(1, static_cast<char>('a' + below(random, 8)));
      Symbols symbols;
      for (int n = 4 + below(random, 50); n > 0; --n) symbols.push_back(below(random, 12) == 0 ? 1 : 0);
      std::int32_t const scope = below(random, 2);
      int const what = below(random, 6);
      if (what < 3) {
        auto next = pinned;
        next[name] = {scope, symbols};
        std::vector<std::pair<std::int32_t, Symbols>> all, before;
        for (auto const& [n, p] : next) all.push_back(p);
        bool const fits = different_units(all, 4) <= 60;
        try {
          registry.put(name, {symbols, scope});
          if (!fits) FAIL("a prompt beyond the budget was pinned");
          pinned = next;
        } catch (Error const&) {
          if (fits) FAIL("a prompt within the budget was refused");
        }
      } else if (what == 3) {
        if (registry.contains(name)) registry.unpin(name);
        pinned.erase(name);
      } else if (what == 4) {
        registry.erase(name);
        pinned.erase(name);
      } else {
        REQUIRE(ledger.serve({symbols, scope}));
        if (!pinned.empty()) REQUIRE(ledger.serve({pinned.begin()->second.second, pinned.begin()->second.first}));
      }
      std::vector<std::pair<std::int32_t, Symbols>> all, there;
      for (auto const& [n, p] : pinned) {
        all.push_back(p);
        if (registry.is_there(n)) there.push_back(p);
      }
      REQUIRE(registry.pinned_bytes() == different_units(all, 4) * unit_bytes);
      REQUIRE(ledger.gauges().all.pinned_units == different_units(there, 4));
    }
  }
}

TEST_CASE("popularity is the rate of uses, and halves in a half-life") {
  Ledger ledger(10);
  PromptRegistry registry(ledger.tree, 0, 60);
  registry.put("p", count_from(1, 8), {.pinned = false});
  CHECK(registry.uses_per_second("p") == 0);
  CHECK(registry.chance_of_use("p", 1e9) == 0);
  for (int i = 1; i <= 4000; ++i) {
    ledger.tree.set_time(i * 0.25);
    CHECK(registry.use("p").size() == 8);
  }
  double const rate = registry.uses_per_second("p");
  CHECK(rate == Approx(4).epsilon(0.01));
  CHECK(registry.chance_of_use("p", 0.1) == Approx(1 - std::exp(-0.1 * rate)));
  ledger.tree.set_time(1060);
  CHECK(registry.uses_per_second("p") == Approx(rate / 2));
  ledger.tree.set_time(1180);
  CHECK(registry.uses_per_second("p") == Approx(rate / 8));
  registry.put("p", count_from(1, 12), {.pinned = false});
  CHECK(registry.uses_per_second("p") == Approx(rate / 8));  // a new version of it is as popular
}

TEST_CASE("what is worth prefetching: p > cost / (saved + cost)") {
  CHECK(worth_prefetching(0.26, 3, 1));
  CHECK_FALSE(worth_prefetching(0.25, 3, 1));
  CHECK_FALSE(worth_prefetching(0.24, 3, 1));
  CHECK(worth_prefetching(0.01, 3, 0));
  CHECK_FALSE(worth_prefetching(1, 0, 0));
  CHECK_FALSE(worth_prefetching(0, 3, 0));
  for (double const number : {std::nan(""), std::numeric_limits<double>::infinity(), 1e308, -1e-9}) {
    CAPTURE(number);
    for (auto const& [p, saved, cost] : {std::tuple(number, 1.0, 1.0), {0.5, number, 1.0}, {0.5, 1.0, number}})
      CHECK_THROWS_WITH(worth_prefetching(p, saved, cost), contains("from 0 to 1, what it saves or costs"));
  }

  Ledger ledger(100);
  PromptRegistry registry(ledger.tree, 1000 * unit_bytes, 60);
  registry.put("never", count_from(1, 40), {.pinned = false});
  registry.put("often", count_from(101, 40), {.pinned = false});
  registry.put("there", count_from(201, 40), {.pinned = false});
  registry.put("seldom", count_from(301, 40), {.pinned = false});
  registry.put("pinned low", count_from(401, 40), {.priority = 10});
  registry.put("pinned high", count_from(501, 40), {.priority = 90});
  REQUIRE(ledger.serve(count_from(201, 40)));
  registry.use("seldom");
  for (int i = 0; i < 50; ++i) registry.use("often");
  for (int i = 0; i < 50; ++i) registry.use("there");
  std::vector<std::string> names;
  for (MissingPrompt const& prompt : registry.missing()) names.emplace_back(prompt.name);
  CHECK(names == std::vector<std::string>{"pinned high", "pinned low", "often", "seldom", "never"});
  double const p = registry.chance_of_use("seldom", 10);
  CHECK(registry.chance_of_use("often", 10) > 0.99);
  for (double const factor : {0.9, 1.1}) {
    // The cost at which the threshold is just below, or above, the chance of the seldom one.
    auto const ahead = registry.to_prefetch(
        10, [](MissingPrompt const& prompt) { return prompt.prefix.size() * 1.0; },
        [&](MissingPrompt const&) { return factor * 40 * p / (1 - p); });
    names.clear();
    for (MissingPrompt const& prompt : ahead) names.emplace_back(prompt.name);
    CHECK(names == (factor < 1 ? std::vector<std::string>{"often", "seldom"} : std::vector<std::string>{"often"}));
  }
}

TEST_CASE("an image that many prompts show goes through the same door") {
  Ledger ledger(100);
  KeyTable keys;
  PromptRegistry registry(ledger.tree, 1000 * unit_bytes);
  auto const tokens = count_from(1, 24);
  PrefixAttribute const logo{PrefixAttribute::Kind::media, "digest of the logo", 2, 16};
  PrefixAttribute const other{PrefixAttribute::Kind::media, "digest of another", 2, 16};
  auto const shows_logo = keys.symbols(tokens, {&logo, 1}), shows_other = keys.symbols(tokens, {&other, 1});
  registry.put("logo", std::span(shows_logo).first(20));
  REQUIRE(ledger.serve(shows_other));
  CHECK_FALSE(registry.is_there("logo"));
  REQUIRE(ledger.serve(shows_logo));
  flood(ledger);
  CHECK(ledger.kept(shows_logo) == 20);
  CHECK(ledger.kept(shows_other) == 2);  // the tokens before the image
}

TEST_CASE("in a cache with windows a pinned prompt can be taken, or counts as missing") {
  PrefixLedger<PrefixIndex<>> ledger({group_of(4), group_of(4, 6)}, {200, 200});
  PromptRegistry registry(ledger.tree, 100'000);
  auto const prompt = count_from(1, 40);
  registry.put("p", prompt);
  // A sequence that grew token by token has given the prompt's window back before it is inserted.
  auto longer = prompt;
  for (int i = 0; i < 40; ++i) longer.push_back(7);
  SequenceState* const state = ledger.run(Prefix(std::span(longer).first(1)));
  for (int i = 1; i < 80; ++i) REQUIRE(ledger.store.try_extend(*state, 1));
  ledger.tree.insert(*state, 0, longer);
  ledger.store.release(*state);
  CHECK(ledger.kept(longer) == 80);
  CHECK_FALSE(registry.is_there("p"));
  REQUIRE(registry.missing().size() == 1);
  REQUIRE(ledger.serve(prompt));
  CHECK(registry.is_there("p"));
  flood(ledger, 200);
  CHECK(registry.is_there("p"));
  CHECK(ledger.kept(longer) == 40);
}

TEST_CASE("warming up a cache: computing what is missing, in order, fills it") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 8};
  KvCache<Model<model>, BlockSize<4>, LruEviction> cache(CacheConfig{.num_blocks = {64}});
  PromptRegistry registry(cache.prefixes(), 40 * cache.block_bytes());
  registry.put("a", count_from(1, 30));
  registry.put("b", count_from(1, 50), {.priority = 70});
  int computed = 0;
  for (auto missing = registry.missing(); !missing.empty(); missing = registry.missing()) {
    Prefix const prompt = missing.front().prefix;
    auto sequence = cache.create(prompt);
    sequence.extend(prompt.size() - sequence.num_tokens());
    cache.insert(sequence, prompt);
    ++computed;
  }
  CHECK(computed == 1);  // b holds a
  CHECK(cache.num_cached_tokens(count_from(1, 50)) == 48);
  CHECK(registry.pinned_bytes() == 12 * cache.block_bytes());
}

TEST_CASE("what a registry cannot do is refused in a sentence, and changes nothing") {
  Ledger ledger(10);
  CHECK_THROWS_WITH(PromptRegistry(ledger.tree, -1),
                    contains("folio: a registry of prompts needs a budget of at least 0 bytes and a half-life above 0 "
                             "seconds, up to 1e100, not -1 and 600.000000"));
  CHECK_THROWS_WITH(PromptRegistry(ledger.tree, 0, 0.0), contains("half-life above 0"));
  PromptRegistry registry(ledger.tree, 1000);
  registry.put("used", count_from(1, 8), {.pinned = false});
  registry.use("used");
  for (double const number : {std::nan(""), std::numeric_limits<double>::infinity(), 1e308, -1e-9}) {
    CHECK_THROWS_WITH(PromptRegistry(ledger.tree, 0, number), contains("half-life above 0 seconds, up to 1e100"));
    CHECK_THROWS_WITH(registry.chance_of_use("used", number), contains("from 0 to 1e100 seconds"));
  }
  registry.erase("used");
  auto const prompt = count_from(1, 8);
  CHECK_THROWS_WITH(registry.put("p", count_from(1, 3)),
                    contains("folio: the prompt p has 3 tokens; the cache keeps whole units of 4"));
  CHECK_THROWS_WITH(registry.put("p", prompt, {.priority = 101}),
                    contains("folio: the prompt p has a priority of 101 and inf seconds to live"));
  CHECK_THROWS_WITH(registry.put("p", prompt, {.time_to_live = 0}), contains("time to live is above 0"));
  for (auto const& refused : {registry.contains("p"), registry.pinned_bytes() != 0}) CHECK_FALSE(refused);
  CHECK_THROWS_WITH(registry.pin("p"), contains("no prompt is called p"));
  CHECK_THROWS_WITH(registry.unpin("p"), contains("no prompt is called p"));
  CHECK_THROWS_WITH(registry.use("p"), contains("no prompt is called p"));
  CHECK_THROWS_WITH(registry.is_there("p"), contains("no prompt is called p"));
  CHECK_THROWS_WITH(registry.uses_per_second("p"), contains("no prompt is called p"));
}
