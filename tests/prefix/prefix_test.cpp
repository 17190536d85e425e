// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What a cache that keeps prefixes finds, on real bytes. What it evicts: eviction_test.cpp.
#include <cstring>
#include <folio/folio.hpp>
#include <folio/prefix/key_table.hpp>
#include <string>
#include <vector>

#include "prefix/prefix_programs.hpp"
#include "support/catch.hpp"
#include "support/model_sequence.hpp"

using namespace folio;
using folio::test::accounts_close;
using folio::test::contains;
using folio::test::count_from;
using folio::test::first_of;
using folio::test::FullPrefixCache;
using folio::test::HybridPrefixCache;
using folio::test::PrefixModelSequence;
using folio::test::run;
using folio::test::serve;
using folio::test::Symbols;
using folio::test::operator+;

namespace {

using Cache = FullPrefixCache<F32>;
using Hybrid = HybridPrefixCache<F32>;  // blocks of 4, 2 and 6 tokens: a unit is 12; a window of 7 and 3 sinks

template <class C>
std::vector<std::byte> bytes_of(C const& cache, BlockId block, int group = 0) {
  std::byte const* const begin = cache.pool(group) + to_int(block) * cache.block_bytes(group);
  return {begin, begin + cache.block_bytes(group)};
}

}  // namespace

TEMPLATE_TEST_CASE("a prompt begins with the whole blocks that an earlier sequence inserted", "", F32, Int8PerToken) {
  FullPrefixCache<TestType> cache({.num_blocks = {20}});
  folio::test::poison(cache);
  Symbols const prompt = count_from(1, 10);
  CHECK(serve(cache, prompt) == 0);
  CHECK(cache.num_cached_tokens(prompt) == 8);
  CHECK(cache.stats().cached == 2);
  auto const again = run(cache, prompt + Symbols{7, 7, 7});
  CHECK(again.sequence().num_cached_tokens() == 8);
  CHECK(again.difference() == "");
  CHECK(accounts_close(cache));
}

TEMPLATE_TEST_CASE("a prompt that is cached to its end leaves one token to compute", "", F32, Int8PerToken) {
  FullPrefixCache<TestType> cache({.num_blocks = {20}});
  folio::test::poison(cache);
  Symbols const prompt = count_from(1, 8);
  auto const first = [&] {
    auto story = run(cache, prompt);
    CHECK(story.insert() == 8);
    return story;
  }();
  BlockId const cached = first.sequence().blocks()[1];
  auto const before = bytes_of(cache, cached);
  PrefixModelSequence<FullPrefixCache<TestType>> second(cache, prompt);
  CHECK(second.sequence().num_tokens() == 7);
  CHECK(second.sequence().blocks()[1] == cached);
  second.extend({99});  // into the partly taken block: a copy of it
  CHECK(second.sequence().blocks()[1] != cached);
  CHECK(bytes_of(cache, cached) == before);
  CHECK(first.difference() == "");
  CHECK(second.difference() == "");
  CHECK(cache.num_cached_tokens(prompt + Symbols{1}) == 8);
}

TEMPLATE_TEST_CASE("a prompt that ends its match inside a block takes a part of it", "", F32, Int8PerToken) {
  FullPrefixCache<TestType> cache({.num_blocks = {20}});
  folio::test::poison(cache);
  serve(cache, count_from(1, 12));
  for (std::int32_t const same : {1, 3, 4, 5, 7, 8, 11}) {
    auto const story = run(cache, first_of(count_from(1, 12), same) + Symbols{100, 101, 102});
    CHECK(story.sequence().num_cached_tokens() == same);
    CHECK(story.difference() == "");
    CHECK(run(cache, count_from(1, 13)).difference() == "");
  }
}

TEST_CASE("an empty prompt, one token and an unknown prompt find nothing") {
  Cache cache({.num_blocks = {20}});
  serve(cache, count_from(1, 8));
  CHECK(cache.create(Prefix(Symbols{})).num_tokens() == 0);
  CHECK(cache.create(Prefix(Symbols{1})).num_tokens() == 0);
  CHECK(cache.create(Prefix(count_from(50, 9))).num_tokens() == 0);
  CHECK(run(cache, count_from(1, 3)).insert() == 0);  // no whole block
}

TEST_CASE("num_cached_tokens says what create would find, and changes nothing") {
  Cache cache({.num_blocks = {20}});
  serve(cache, count_from(1, 12));
  auto const before = folio::test::snapshot(cache.state()->store);
  std::int64_t const lookups = cache.stats().prefixes.lookups, nodes = cache.prefixes().num_nodes();
  CHECK(cache.num_cached_tokens(first_of(count_from(1, 12), 6)) == 5);
  CHECK(folio::test::snapshot(cache.state()->store) == before);
  CHECK(cache.stats().prefixes.lookups == lookups);
  CHECK(cache.prefixes().num_nodes() == nodes);
}

TEST_CASE(
    "create takes at most as many tokens as it is told, and what it computes anew is given back at its insertion") {
  Cache cache({.num_blocks = {20}});
  serve(cache, count_from(1, 12));
  Symbols const symbols = count_from(1, 12);
  Prefix const prompt(symbols);
  for (std::int32_t const most : {0, 3, 4, 6, 8, 11, 12, all_tokens}) {
    INFO(most);
    CHECK(cache.num_cached_tokens(prompt, most) == std::min(most, 11));
    Sequence sequence = cache.create(prompt, 0, most);
    REQUIRE(sequence.num_tokens() == std::min(most, 11));
    sequence.extend(12 - sequence.num_tokens());
    CHECK(cache.insert(sequence, prompt) == 12);
    CHECK(cache.stats().live + cache.stats().cached == 3);  // one of each block
  }
  CHECK_THROWS_WITH(cache.create(prompt, 0, -1), contains("at most -1 tokens of a prompt are to be found"));
  CHECK_THROWS_AS(cache.num_cached_tokens(prompt, -1), folio::Error);
}

TEST_CASE("the whole blocks of a running sequence serve others while it goes on") {
  Cache cache({.num_blocks = {20}});
  auto first = run(cache, count_from(1, 6));
  CHECK(first.insert() == 4);
  auto const second = run(cache, count_from(1, 5) + Symbols{50});
  CHECK(second.sequence().num_cached_tokens() == 4);
  CHECK(second.sequence().blocks()[0] == first.sequence().blocks()[0]);
  first.extend(count_from(7, 5));
  CHECK(first.insert() == 8);
  CHECK(cache.num_cached_tokens(count_from(1, 12)) == 8);
  CHECK(first.difference() == "");
  CHECK(second.difference() == "");
}

TEMPLATE_TEST_CASE("blocks that two sequences computed alike are merged", "", F32, Int8PerToken) {
  FullPrefixCache<TestType> cache({.num_blocks = {20}});
  auto first = run(cache, count_from(1, 9)), second = run(cache, count_from(1, 9));
  CHECK(cache.stats().live == 6);
  first.insert();
  CHECK(second.insert() == 8);
  CHECK(cache.stats().prefixes.merged_blocks == 2);
  CHECK(cache.stats().prefixes.stored_units == 2);
  CHECK(cache.stats().live == 4);
  CHECK(second.sequence().blocks()[1] == first.sequence().blocks()[1]);
  CHECK(first.difference() == "");
  CHECK(second.difference() == "");
  CHECK(second.insert() == 8);  // again: nothing to do
  CHECK(cache.stats().prefixes.merged_blocks == 2);
}

TEST_CASE("an insertion that is refused changes nothing") {
  Cache cache({.num_blocks = {8}}), other({.num_blocks = {8}});
  auto story = run(cache, count_from(1, 6));
  auto const before = folio::test::snapshot(cache.state()->store);
  CHECK_THROWS_WITH(cache.insert(story.sequence(), count_from(1, 7)), contains("cannot insert 7 tokens"));
  CHECK_THROWS_WITH(other.insert(story.sequence(), count_from(1, 6)),
                    contains("folio: insert needs a sequence of this cache"));
  Sequence none;
  CHECK_THROWS_AS(cache.insert(none, count_from(1, 6)), Error);
  CHECK(folio::test::snapshot(cache.state()->store) == before);
  CHECK(cache.prefixes().num_nodes() == 0);
  CHECK(cache.stats().prefixes.stored_units == 0);
}

TEST_CASE("scopes never share") {
  Cache cache({.num_blocks = {20}});
  serve(cache, count_from(1, 9), 1);
  CHECK(cache.num_cached_tokens({count_from(1, 9), 1}) == 8);
  CHECK(cache.num_cached_tokens({count_from(1, 9), 2}) == 0);
  CHECK(cache.num_cached_tokens(count_from(1, 9)) == 0);
  CHECK(serve(cache, count_from(1, 9), 2) == 0);
  CHECK(cache.stats().cached == 4);
}

TEST_CASE("tenants with salts of their own share nothing") {
  Cache cache({.num_blocks = {20}});
  KeyTable keys;
  Symbols const tokens = count_from(1, 9);
  std::int32_t const ours = keys.scope({.salt = "ours"}), theirs = keys.scope({.salt = "theirs"});
  serve(cache, keys.symbols(tokens), ours, 1);
  CHECK(cache.num_cached_tokens({keys.symbols(tokens), theirs}) == 0);
  CHECK(serve(cache, keys.symbols(tokens), keys.scope({.salt = "ours"}), 1) == 8);
}

TEST_CASE("a shared opening is shared, and the private rest is not") {
  Cache cache({.num_blocks = {20}});
  KeyTable keys;
  Symbols const tokens = count_from(1, 16);
  auto const of = [&](std::string const& salt) {
    PrefixAttribute const own{.kind = PrefixAttribute::Kind::salt, .bytes = salt, .first_token = 6};
    return keys.symbols(tokens, {&own, 1});
  };
  serve(cache, of("a"));
  CHECK(cache.num_cached_tokens(of("a")) == 15);
  CHECK(cache.num_cached_tokens(of("b")) == 6);
  auto const story = run(cache, of("b"));
  CHECK(story.difference() == "");
  CHECK(cache.num_cached_tokens(tokens) == 6);
}

TEST_CASE("images of the same tokens are told apart") {
  Cache cache({.num_blocks = {20}});
  KeyTable keys;
  Symbols const tokens(12, 5);
  auto const with = [&](std::string const& digest) {
    PrefixAttribute const image{
        .kind = PrefixAttribute::Kind::media, .bytes = digest, .first_token = 4, .num_tokens = 4};
    return keys.symbols(tokens, {&image, 1});
  };
  serve(cache, with("cat"));
  CHECK(cache.num_cached_tokens(with("dog")) == 4);
  CHECK(cache.num_cached_tokens(with("cat")) == 11);
}

TEST_CASE("with a window, a prompt is found where the window before its end is there") {
  Hybrid cache({.num_blocks = {40, 60, 30}});
  folio::test::poison(cache);
  Symbols const tokens = count_from(1, 60);
  {
    PrefixModelSequence<Hybrid> story(cache, tokens);
    for (std::int32_t t = 0; t < 36; ++t) story.extend({tokens[static_cast<std::size_t>(t)]});
    CHECK(story.insert() == 36);  // the window group has the sinks and tokens from 16 on
  }
  auto const whole = run(cache, first_of(tokens, 40));
  CHECK(whole.sequence().num_cached_tokens() == 36);
  CHECK(whole.difference() == "");
  auto const cut = run(cache, first_of(tokens, 20) + Symbols{99});
  CHECK(cut.sequence().num_cached_tokens() == 4);  // where the sinks' blocks end
  CHECK(cut.difference() == "");
  CHECK(cache.num_cached_tokens(first_of(tokens, 36)) == 35);  // sees from token 29 on
  CHECK(cache.num_cached_tokens(first_of(tokens, 24)) == 23);  // from 17 on, which is in a block that is there
  CHECK(cache.num_cached_tokens(first_of(tokens, 23)) == 22);  // from 16 on, likewise
  CHECK(cache.num_cached_tokens(first_of(tokens, 22)) == 4);   // from 15 on, which is not
  CHECK(accounts_close(cache));
}

TEST_CASE("what was given back when it left a window comes with the next sequence that has it") {
  Hybrid cache({.num_blocks = {40, 60, 30}});
  folio::test::poison(cache);
  Symbols const tokens = count_from(1, 60);
  {
    PrefixModelSequence<Hybrid> story(cache, tokens);
    for (std::int32_t t = 0; t < 36; ++t) story.extend({tokens[static_cast<std::size_t>(t)]});
    story.insert();
  }
  CHECK(cache.num_cached_tokens(first_of(tokens, 21)) == 4);
  {
    PrefixModelSequence<Hybrid> story(cache, first_of(tokens, 25));
    story.finish(first_of(tokens, 25));  // at once: it has the window of every token
    CHECK(story.insert(24) == 24);
    CHECK(story.difference() == "");
  }
  CHECK(cache.num_cached_tokens(first_of(tokens, 25)) == 24);
  auto const story = run(cache, first_of(tokens, 25) + Symbols{99});
  CHECK(story.difference() == "");
  CHECK(run(cache, first_of(tokens, 37)).difference() == "");
}

TEMPLATE_TEST_CASE("a sequence that turns back into a cached block writes into a copy", "", F32, Int8PerToken) {
  FullPrefixCache<TestType> cache({.num_blocks = {20}});
  folio::test::poison(cache);
  auto story = run(cache, count_from(1, 12));
  CHECK(story.insert() == 12);
  BlockId const cached = story.sequence().blocks()[1];
  auto const before = bytes_of(cache, cached);
  story.truncate(6);
  story.extend({70, 71, 72, 73});
  CHECK(story.sequence().blocks()[1] != cached);
  CHECK(bytes_of(cache, cached) == before);
  CHECK(story.insert() == 8);
  CHECK(story.difference() == "");
  auto const old_way = run(cache, count_from(1, 13)), new_way = run(cache, story.symbols() + Symbols{1});
  CHECK(old_way.sequence().num_cached_tokens() == 12);
  CHECK(new_way.sequence().num_cached_tokens() == 8);
  CHECK(old_way.difference() == "");
  CHECK(new_way.difference() == "");
}

TEMPLATE_TEST_CASE("forks insert what they share and what they do not", "", F32, Int8PerToken) {
  FullPrefixCache<TestType> cache({.num_blocks = {20}});
  auto parent = run(cache, count_from(1, 6));
  parent.insert();
  auto child = parent.fork();
  parent.extend({10, 11, 12});
  child.extend({20, 21, 22});
  CHECK(parent.insert() == 8);
  CHECK(child.insert() == 8);
  CHECK(cache.stats().prefixes.stored_units == 3);
  CHECK(parent.difference() == "");
  CHECK(child.difference() == "");
  CHECK(cache.num_cached_tokens(child.symbols()) == 8);
  CHECK(cache.num_cached_tokens(parent.symbols()) == 8);
}

TEST_CASE("the stats count look-ups, and blocks add up") {
  Cache cache({.num_blocks = {20}});
  serve(cache, count_from(1, 10));
  CHECK(accounts_close(cache));
  auto const story = run(cache, count_from(1, 10));
  Stats const stats = cache.stats();
  CHECK(stats.prefixes.lookups == 2);
  CHECK(stats.prefixes.hit_tokens == 8);
  CHECK(stats.prefixes.missed_tokens == 12);
  CHECK_THAT(to_json(stats), contains("\"hit_rate\":0.4,"));
  CHECK(stats.free + stats.live + stats.cached == stats.total);
  CHECK(stats.cached == 0);
  CHECK(stats.live == 3);
}
