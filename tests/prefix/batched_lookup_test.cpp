// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Many prompts at once: the order, what the cache has of each, and what the tree looks like afterwards.
#include <folio/folio.hpp>
#include <folio/prefix/batched_lookup.hpp>
#include <vector>

#include "prefix/prefix_programs.hpp"
#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::accounts_close;
using folio::test::below;
using folio::test::count_from;
using folio::test::FullPrefixCache;
using folio::test::HybridPrefixCache;
using folio::test::PrefixModelSequence;
using folio::test::run;
using folio::test::serve;
using folio::test::Symbols;
using folio::test::operator+;

namespace {

std::vector<Prefix> prefixes_of(std::vector<Symbols> const& all) { return {all.begin(), all.end()}; }

/// Prompts of few symbols, so that they meet.
std::vector<Symbols> random_prompts(std::mt19937& random, int count) {
  std::vector<Symbols> prompts;
  for (int i = 0; i < count; ++i) {
    Symbols prompt(static_cast<std::size_t>(1 + below(random, 20)));
    for (std::int32_t& symbol : prompt) symbol = below(random, 8) == 0 ? 1 : 0;
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

}  // namespace

TEST_CASE("prompts with one opening follow each other, the longest first") {
  std::vector<Symbols> const prompts = {{7, 8}, {1, 2, 3}, {7}, {1, 2}, {1, 2, 4}, {7, 8}, {}};
  auto const places = sort_by_prefix(prefixes_of(prompts));
  std::vector<std::size_t> order;
  std::vector<std::int32_t> shared;
  for (PrefixPlace const& place : places) {
    order.push_back(place.prompt);
    shared.push_back(place.num_shared);
  }
  CHECK(order == std::vector<std::size_t>{1, 4, 3, 0, 5, 2, 6});
  CHECK(shared == std::vector<std::int32_t>{0, 2, 2, 0, 2, 1, 0});
  CHECK(sort_by_prefix({}).empty());
}

TEST_CASE("prompts of different scopes share nothing") {
  Symbols const tokens = count_from(1, 8);
  std::vector<Prefix> const prompts = {{tokens, 1}, {tokens, 0}};
  auto const places = sort_by_prefix(prompts);
  CHECK(places[0].prompt == 1);
  CHECK(places[1].num_shared == 0);
}

TEMPLATE_TEST_CASE("what is found for many at once is what is found for each", "", FullPrefixCache<F32>,
                   HybridPrefixCache<F32>) {
  std::mt19937 random(3);
  for (int round = 0; round < 40; ++round) {
    TestType cache({.num_blocks = std::vector<std::int64_t>(TestType::num_groups, 30)});
    for (Symbols const& prompt : random_prompts(random, 8)) serve(cache, prompt, below(random, 2));
    std::vector<Symbols> const symbols = random_prompts(random, 20);
    std::vector<Prefix> prompts;
    for (Symbols const& s : symbols) prompts.emplace_back(s, below(random, 2));
    std::vector<std::int32_t> most(prompts.size());
    for (std::int32_t& limit : most) limit = below(random, 24);
    auto const order = sort_by_prefix(prompts);
    auto const found = num_cached_tokens(cache, prompts, order),
               within = num_cached_tokens(cache, prompts, order, most);
    auto const sequences = create_all(cache, prompts, 0, most);
    for (std::size_t i = 0; i < prompts.size(); ++i) {
      INFO("round " << round << ", prompt " << i);
      REQUIRE(found[i] == cache.num_cached_tokens(prompts[i]));
      REQUIRE(within[i] == cache.num_cached_tokens(prompts[i], most[i]));
      REQUIRE(sequences[i].num_tokens() == within[i]);
    }
  }
}

TEST_CASE("limits that are not one for each prompt, or below 0, are refused before anything is made") {
  FullPrefixCache<F32> cache({.num_blocks = {8}});
  serve(cache, count_from(1, 8));
  std::vector<Symbols> const symbols = {count_from(1, 9), {}};
  auto const prompts = prefixes_of(symbols);
  auto const order = sort_by_prefix(prompts);
  auto const refused = [&](std::vector<std::int32_t> const& most, char const* message) {
    CHECK_THROWS_WITH(num_cached_tokens(cache, prompts, order, most), test::contains(message));
    CHECK_THROWS_WITH(create_all(cache, prompts, 0, most), test::contains(message));
  };
  refused({4}, "for each of 2 prompts, or none, not 1");
  refused({4, 4, 4}, "not 3");
  refused({4, -1}, "at most -1 tokens of a prompt");
  CHECK(cache.stats().counters.created == 1);
  CHECK(num_cached_tokens(cache, prompts, order, std::vector<std::int32_t>{4, 4}) == std::vector<std::int32_t>{4, 0});
  CHECK(create_all(cache, prompts)[1].num_tokens() == 0);  // a prompt without a token
}

TEST_CASE("what many prompts find is held before anything is evicted for one of them") {
  FullPrefixCache<F32> cache({.num_blocks = {4}});
  Symbols const a = count_from(1, 8), b = count_from(50, 8);
  serve(cache, a);
  serve(cache, b);
  std::vector<Symbols> const symbols = {b + count_from(90, 1), a + count_from(90, 1)};
  auto sequences = create_all(cache, prefixes_of(symbols));
  CHECK(sequences[0].num_tokens() == 8);
  CHECK(sequences[1].num_tokens() == 8);
  CHECK_FALSE(sequences[0].try_extend(1));  // the other's blocks are not taken for it
  sequences[1].release();
  CHECK(sequences[0].try_extend(1));
}

TEST_CASE("sequences inserted at once leave the same prefixes in as few nodes as can be") {
  std::vector<Symbols> const symbols = {count_from(1, 4), count_from(1, 12), count_from(1, 8) + count_from(70, 4)};
  FullPrefixCache<F32> one_by_one({.num_blocks = {40}}), at_once({.num_blocks = {40}});
  for (auto* cache : {&one_by_one, &at_once}) {
    std::vector<PrefixModelSequence<FullPrefixCache<F32>>> stories;
    for (Symbols const& s : symbols) stories.push_back(run(*cache, s));
    if (cache == &one_by_one) {
      for (auto& story : stories) story.insert();
    } else {
      std::vector<NamedSequence> all;
      for (auto& story : stories) all.push_back({&story.sequence(), story.symbols()});
      insert_all(*cache, all);
    }
    for (auto& story : stories) CHECK(story.difference() == "");
    stories.clear();
    for (Symbols const& s : symbols)
      CHECK(cache->num_cached_tokens(s + count_from(900, 1)) == static_cast<std::int32_t>(s.size()));
    CHECK(accounts_close(*cache));
  }
  CHECK(one_by_one.prefixes().num_nodes() == 5);
  // Of the scope, the opening, what the two share beyond that was inserted, and the two that part after it.
  CHECK(at_once.prefixes().num_nodes() == 5);
}

TEST_CASE("what a range of tokens is worth can be said, and goes with their blocks") {
  FullPrefixCache<F32> cache({.num_blocks = {8}});
  auto& tree = cache.prefixes();
  Symbols const prompt = count_from(1, 16);
  serve(cache, prompt);
  PrefixMatch const match = tree.find(0, prompt, 16);
  CHECK_THROWS_WITH(tree.retain(match, 0, 20, {}), folio::test::contains("tokens 0 to 20 of a prefix of which 16"));
  CHECK_THROWS_WITH(tree.retain(match, 0, 8, {101, 1.0}),
                    folio::test::contains("folio: a priority of 101 is not known"));
  tree.retain(match, 0, 6, {90, 50.0});  // one whole unit of 4
  tree.retain(tree.find(0, prompt, 16), 6, 12, {10, 70.0});
  CHECK(tree.num_nodes() == 5);  // [0, 4), [4, 8), [8, 12), [12, 16) and the scope
  CHECK(cache.num_cached_tokens(prompt + count_from(90, 1)) == 16);
  CHECK(accounts_close(cache));
}
