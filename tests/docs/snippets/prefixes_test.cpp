// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What docs/reuse_prefixes.md shows, and that it does what is said there.

// [cache]
#include <folio/folio.hpp>

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};
using Cache = folio::KvCache<folio::Model<model>, folio::Int8PerToken, folio::LruEviction>;
// [/cache]

#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/fair.hpp>
#include <folio/observe/ideal_hit_rate.hpp>
#include <folio/observe/prefix_events.hpp>
#include <folio/prefix/batched_lookup.hpp>
#include <folio/prefix/key_table.hpp>
#include <folio/prefix/prompt_registry.hpp>
#include <folio/prefix/tenants.hpp>
#include <numeric>
#include <span>
#include <vector>

#include "support/catch.hpp"

namespace {

std::vector<std::int32_t> tokens_from(std::int32_t first, std::size_t count) {
  std::vector<std::int32_t> tokens(count);
  std::iota(tokens.begin(), tokens.end(), first);
  return tokens;
}

template <class AnyCache>
void compute(AnyCache& cache, folio::Sequence const& sequence) {
  auto const batch = cache.batch({&sequence});
  std::vector<float> const rows(static_cast<std::size_t>(batch.num_query_tokens()) * 2 * 64, 1.0F);
  for (std::int32_t layer = 0; layer < model.layers; ++layer)
    folio::ops::append(batch.view(), layer, rows.data(), rows.data());
}

// [serve]
/// Returns how many tokens of the prompt needed no computing.
std::int32_t serve(Cache& cache, std::vector<std::int32_t> const& prompt) {
  folio::Sequence sequence = cache.create(prompt);  // begins with what the cache has, at most all but the last token
  std::int32_t const found = sequence.num_tokens();
  sequence.extend(static_cast<std::int32_t>(prompt.size()) - found);  // evicts what nobody holds, if it must
  compute(cache, sequence);                                           // the new tokens are the step's queries
  cache.insert(sequence, prompt);                                     // keeps its whole blocks for others from now on
  // ... generate; then insert again, with the prompt and its answer, for the conversation's next turn
  return found;
}
// [/serve]

}  // namespace

TEST_CASE("reuse_prefixes: what one request leaves the next one finds") {
  Cache cache({.num_blocks = {100}});
  std::vector<std::int32_t> const prompt = tokens_from(1, 100);
  CHECK(serve(cache, prompt) == 0);
  CHECK(serve(cache, prompt) == 96);  // six whole blocks of 16
  std::vector<std::int32_t> other = prompt;
  other[70] = 5000;
  CHECK(serve(cache, other) == 70);
}

TEST_CASE("reuse_prefixes: blocks are free, live or cached") {
  Cache cache({.num_blocks = {100}});
  std::vector<std::int32_t> const prompt = tokens_from(1, 100);
  // [accounting]
  serve(cache, prompt);  // 100 tokens: seven blocks, of which the tree keeps the six whole ones
  folio::Stats const after = cache.stats();
  folio::Sequence again = cache.create(prompt);  // finds 96 tokens
  folio::Stats const held = cache.stats();
  REQUIRE((after.free == 94 && after.live == 0 && after.cached == 6));
  REQUIRE((held.free == 94 && held.live == 6 && held.cached == 0));
  // [/accounting]
  CHECK(held.total == 100);
  again.release();
  CHECK(cache.stats().cached == 6);
}

TEST_CASE("reuse_prefixes: a part of a prompt is kept") {
  Cache cache({.num_blocks = {100}});
  std::vector<std::int32_t> const prompt = tokens_from(1, 100);
  folio::Sequence sequence = cache.create(100);
  compute(cache, sequence);
  std::size_t const system_tokens = 50;
  // [part]
  cache.insert(sequence, folio::Prefix(std::span(prompt).first(system_tokens)));  // whole blocks of these
  // [/part]
  CHECK(cache.num_cached_tokens(prompt) == 48);

  // What the index has stays shared, whoever holds it.
  CHECK(sequence.num_shared_blocks(0, 100) == 3);
  cache.release_lease(sequence);
  CHECK(sequence.num_shared_blocks(0, 100) == 3);
  CHECK(sequence.num_shared_blocks(48, 100) == 0);
}

TEST_CASE("reuse_prefixes: a request that waits, admission, new weights") {
  Cache cache({.num_blocks = {100}});
  std::vector<std::int32_t> const prompt = tokens_from(1, 100);
  serve(cache, prompt);
  // [waiting]
  std::int32_t const would_find = cache.num_cached_tokens(prompt);  // changes nothing, counts nothing
  folio::Sequence sequence = cache.create(prompt);                  // holds what it found
  std::int32_t const rest = static_cast<std::int32_t>(prompt.size()) - sequence.num_tokens();
  bool const fits = sequence.can_extend(rest);  // with what is free, and what can be evicted
  if (fits) sequence.extend(rest);              // now the use counts
  // [/waiting]
  CHECK(would_find == 96);
  CHECK(fits);
  CHECK(cache.stats().prefixes.lookups == 2);
  // [clear]
  cache.prefixes().clear();  // nothing of before is found any more
  // [/clear]
  CHECK(cache.num_cached_tokens(prompt) == 0);
  CHECK(cache.insert(sequence, prompt) == 0);
}

TEST_CASE("reuse_prefixes: a sequence lets go of what it found") {
  Cache cache({.num_blocks = {100}});
  std::vector<std::int32_t> const prompt = tokens_from(1, 100);
  serve(cache, prompt);
  folio::Sequence sequence = cache.create(prompt);
  // [release_lease]
  cache.release_lease(sequence);
  // [/release_lease]
  while (cache.prefixes().evict_unit()) {
  }
  CHECK(cache.num_cached_tokens(prompt) == 0);
  CHECK(sequence.num_tokens() == 96);
  CHECK(cache.stats().live == 6);
}

TEST_CASE("reuse_prefixes: keys") {
  Cache cache({.num_blocks = {100}});
  std::vector<std::int32_t> const tokens = tokens_from(1, 40);
  // [keys]
  folio::KeyTable keys;  // one for each cache
  std::int32_t const scope = keys.scope({.model = "llama-3.1-8b", .adapter = "sql-lora"});
  using Kind = folio::PrefixAttribute::Kind;
  std::vector<folio::PrefixAttribute> const image = {{Kind::media, "the SHA-256 of its pixels", 4, 16}};
  std::vector<std::int32_t> const symbols = keys.symbols(tokens, image);  // tokens 4 to 19 stand for the image
  folio::Sequence sequence = cache.create(folio::Prefix(symbols, scope));
  // [/keys]
  sequence.extend(40);
  compute(cache, sequence);
  CHECK(cache.insert(sequence, {symbols, scope}) == 32);
  CHECK(cache.num_cached_tokens({symbols, scope}) == 32);
  CHECK(cache.num_cached_tokens(tokens) == 0);

  // [tenant]
  folio::TenantSpace const tenant{folio::Isolation::public_opening, "the tenant's secret"};
  folio::OwnedPrefix const prompt = folio::tenant_prefix(keys, tenant, tokens, 16);  // 16 tokens are the public ones
  folio::Sequence of_tenant = cache.create(prompt, 7);                               // counts for tenant 7
  // [/tenant]
  CHECK(of_tenant.num_tokens() == 0);
}

TEST_CASE("reuse_prefixes: keys that mean the same elsewhere") {
  std::vector<std::int32_t> const tokens = tokens_from(1, 40);
  std::array<std::byte, 16> const shared_bytes{std::byte{7}};
  // [outside]
  folio::KeySecret const secret = folio::KeySecret::of(shared_bytes);  // the 16 bytes that all have
  folio::KeyTable names;                                               // goes after the cache
  folio::KvCache<folio::Model<model>, folio::LruEviction, folio::PrefixRecorder> cache(
      {.num_blocks = {100}, .key_secret = secret});
  cache.prefixes().set_names(names);  // before the first insertion
  std::int32_t const scope = names.scope({.adapter = "sql-lora"});

  folio::KeyTable router_names;  // in another process, where the adapter has another number
  folio::PrefixMirror router(secret, &router_names);
  // [/outside]
  static_cast<void>(router_names.scope({.adapter = "another"}));
  folio::Sequence sequence = cache.create(folio::Prefix(tokens, scope));
  sequence.extend(40);
  cache.insert(sequence, {tokens, scope});
  for (folio::PrefixEvent const& event : cache.prefixes().sink().take()) tell(event, router);
  CHECK(router.num_tokens({tokens, router_names.scope({.adapter = "sql-lora"})}) == 32);
  CHECK(router.num_tokens(tokens) == 0);
  CHECK(cache.prefixes().counters().local_units == 0);
}

TEST_CASE("reuse_prefixes: names, pins and retention") {
  Cache cache({.num_blocks = {100}});
  std::vector<std::int32_t> const system = tokens_from(1, 32), prompt = tokens_from(1, 48);
  // [registry]
  auto& tree = cache.prefixes();
  folio::PromptRegistry prompts(tree, 64 << 20);  // at most 64 MiB are pinned
  prompts.put("assistant", system, {.pinned = true, .time_to_live = 3600});
  for (folio::MissingPrompt const& missing : prompts.missing()) {  // warm-up: what is not there yet
    folio::Sequence sequence = cache.create(missing.prefix);
    sequence.extend(missing.prefix.size() - sequence.num_tokens());
    compute(cache, sequence);
    cache.insert(sequence, missing.prefix);
  }
  // [/registry]
  CHECK(prompts.is_there("assistant"));
  CHECK(serve(cache, prompt) == 32);
  // [retain]
  tree.set_time(12.5);  // seconds, of whatever clock you have
  std::int32_t const scope = 0, most_tokens = 48;
  folio::PrefixMatch const found = tree.find(scope, prompt, most_tokens);
  tree.retain(found, 32, 48, {.priority = 80, .expires = 600});  // tokens 32 to 47, for ten minutes
  // [/retain]
  cache.prefixes().evict_all();
  CHECK(cache.num_cached_tokens(tokens_from(1, 49)) == 32);  // what is pinned stays
}

TEST_CASE("reuse_prefixes: fairness, events and gauges") {
  // [fair]
  using Sinks = folio::EventSinks<folio::PrefixRecorder, folio::IdealHitRate, folio::ReuseAfterEviction>;
  folio::KvCache<folio::Model<model>, folio::FairEviction<folio::LruEviction>, Sinks> cache({.num_blocks = {100}});
  cache.prefixes().eviction().set_share(7, {.weight = 2.0, .quota_units = 40});
  // [/fair]
  std::vector<std::int32_t> const prompt = tokens_from(1, 48);
  folio::Sequence sequence = cache.create(prompt, 7);
  sequence.extend(48);
  compute(cache, sequence);
  CHECK(cache.insert(sequence, prompt) == 48);
  CHECK(cache.prefix_gauges().all.kept_blocks == 3);
  CHECK(cache.stats().prefixes.missed_tokens == 48);
}

TEST_CASE("reuse_prefixes: many at once") {
  Cache cache({.num_blocks = {100}});
  std::vector<std::vector<std::int32_t>> const waiting = {tokens_from(1, 40), tokens_from(500, 40), tokens_from(1, 48)};
  // [many]
  std::vector<folio::Prefix> const prompts(waiting.begin(), waiting.end());
  auto const order = folio::sort_by_prefix(prompts);                           // those with one opening side by side
  auto const found = folio::num_cached_tokens(cache, prompts, order);          // a scheduler may prefer much
  std::vector<folio::Sequence> sequences = folio::create_all(cache, prompts);  // holds what any of them found
  // [/many]
  CHECK(order[0].prompt == 2);
  CHECK(order[1].num_shared == 40);
  CHECK(found == std::vector<std::int32_t>{0, 0, 0});
  CHECK(sequences.size() == 3);
}
