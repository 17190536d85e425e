// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <folio/eviction/fair.hpp>
#include <folio/kv_cache.hpp>
#include <folio/prefix/tenants.hpp>
#include <string>
#include <vector>

#include "support/prefix_ledger.hpp"

using namespace folio;
using folio::test::below;
using folio::test::contains;
using folio::test::count_from;
using folio::test::PrefixLedger;
using folio::test::Symbols;

namespace {

/// How many tokens the second tenant finds of a prompt that the first one left.
std::int32_t found(TenantSpace const& first, TenantSpace const& second, std::int32_t num_public,
                   Symbols const& tokens = count_from(1, 64), PrefixScope const& scope = {}) {
  KeyTable keys;
  PrefixLedger<PrefixIndex<>> ledger(100);
  auto const left = tenant_prefix(keys, first, tokens, num_public, scope);
  REQUIRE(ledger.serve(left));
  CHECK(ledger.kept(left) == 64);
  return ledger.kept(tenant_prefix(keys, second, tokens, num_public, scope));
}

constexpr Isolation levels[] = {Isolation::own_space, Isolation::public_opening, Isolation::all_shared};

}  // namespace

TEST_CASE("each level of isolation shares what it says, and with the same level only more") {
  CHECK(found({Isolation::own_space, "a"}, {Isolation::own_space, "b"}, 24) == 0);
  CHECK(found({Isolation::own_space, "a"}, {Isolation::own_space, "a"}, 24) == 64);
  CHECK(found({Isolation::public_opening, "a"}, {Isolation::public_opening, "b"}, 24) == 24);
  CHECK(found({Isolation::public_opening, "a"}, {Isolation::public_opening, "b"}, 22) == 22);  // inside a block
  CHECK(found({Isolation::public_opening, "a"}, {Isolation::public_opening, "b"}, 0) == 0);
  CHECK(found({Isolation::public_opening, "a"}, {Isolation::public_opening, "b"}, 63) == 63);
  CHECK(found({Isolation::public_opening, "a"}, {Isolation::public_opening, "b"}, 64) == 64);
  CHECK(found({Isolation::public_opening, "a"}, {Isolation::public_opening, "a"}, 24) == 64);
  CHECK(found({Isolation::all_shared}, {Isolation::all_shared}, 0) == 64);
  CHECK(found({Isolation::all_shared}, {Isolation::public_opening, "a"}, 24) == 24);
  CHECK(found({Isolation::public_opening, "a"}, {Isolation::all_shared}, 24) == 24);
  CHECK(found({Isolation::own_space, "a"}, {Isolation::all_shared}, 64) == 0);
  CHECK(found({Isolation::own_space, "a"}, {Isolation::public_opening, "a"}, 24) == 0);
}

TEST_CASE("whatever two tenants are called, they share no more than both allow") {
  // Names that other systems took for something else: an adapter's, a prefix of another name, bytes of an encoding.
  std::string const zeros(8, '\0');
  std::vector<std::string_view> const names{"a", "ab", "lora", "s", zeros, "1"};
  PrefixScope const scope{.adapter = "lora"};
  for (Isolation const x : levels)
    for (Isolation const y : levels)
      for (std::string_view const a : names)
        for (std::string_view const b : names) {
          bool const same = x == y && (a == b || x == Isolation::all_shared);
          bool const apart = x == Isolation::own_space || y == Isolation::own_space;
          for (std::int32_t const num_public : {0, 5, 64})
            REQUIRE(found({x, a}, {y, b}, num_public, count_from(1, 64), scope) == (same    ? 64
                                                                                    : apart ? 0
                                                                                            : num_public));
        }
}

TEST_CASE("nobody's adapter or image that is called like a tenant's salt finds the tenant's private part") {
  KeyTable keys;
  PrefixLedger<PrefixIndex<>> ledger(100);
  auto const tokens = count_from(1, 64);
  REQUIRE(ledger.serve(tenant_prefix(keys, {Isolation::public_opening, "a"}, tokens, 24)));
  using Kind = PrefixAttribute::Kind;
  for (Kind const kind : {Kind::media, Kind::embeddings, Kind::adapter}) {
    PrefixAttribute const attribute{kind, "a", 24};
    auto const prompt = tenant_prefix(keys, {Isolation::all_shared}, tokens, 0, {}, {&attribute, 1});
    CHECK(ledger.kept(prompt) == 24);
  }
}

TEST_CASE("a tenant's image is its own after the public opening") {
  KeyTable keys;
  auto const tokens = count_from(1, 32);
  PrefixAttribute const image{PrefixAttribute::Kind::media, "digest", 16, 8};
  auto const a = tenant_prefix(keys, {Isolation::public_opening, "a"}, tokens, 16, {}, {&image, 1});
  auto const b = tenant_prefix(keys, {Isolation::public_opening, "b"}, tokens, 16, {}, {&image, 1});
  CHECK(std::equal(a.symbols.begin(), a.symbols.begin() + 16, b.symbols.begin()));
  CHECK(a.symbols[16] < 0);
  CHECK(a.symbols[16] != b.symbols[16]);
  CHECK(a.symbols == tenant_prefix(keys, {Isolation::public_opening, "a"}, tokens, 16, {}, {&image, 1}).symbols);
}

TEST_CASE("a tenant that cannot be kept apart is refused in a sentence") {
  KeyTable keys;
  auto const tokens = count_from(1, 8);
  CHECK_THROWS_WITH(tenant_prefix(keys, {Isolation::own_space, ""}, tokens), contains("needs a salt"));
  CHECK_THROWS_WITH(tenant_prefix(keys, {Isolation::public_opening, ""}, tokens, 4), contains("needs a salt"));
  CHECK_THROWS_WITH(tenant_prefix(keys, {Isolation::public_opening, "a"}, tokens, 9),
                    contains("folio: a prompt of 8 tokens cannot begin with 9 public ones"));
  CHECK_THROWS_WITH(tenant_prefix(keys, {Isolation::public_opening, "a"}, tokens, -1), contains("-1 public"));
  CHECK_THROWS_WITH(tenant_prefix(keys, {Isolation::own_space, "a"}, tokens, 0, {.salt = "b"}), contains("already"));
  CHECK_THROWS_WITH(tenant_prefix(keys, {Isolation::all_shared}, tokens, 0, {.salt = "b"}), contains("already"));
  CHECK(keys.size() == 0);
}

TEST_CASE("what a cache's sequences and their forks leave counts for their tenant") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 8};
  using Cache = KvCache<Model<model>, BlockSize<4>, FairEviction<LruEviction>>;
  Cache cache(CacheConfig{.num_blocks = {64}});
  KeyTable keys;
  auto const tokens = count_from(1, 16);
  auto const prompt = tenant_prefix(keys, {Isolation::own_space, "seven"}, tokens);
  auto sequence = cache.create(prompt, 7);
  sequence.extend(16);
  CHECK(cache.insert(sequence, prompt) == 16);
  auto child = sequence.fork();
  child.extend(8);
  auto longer = prompt;
  for (std::int32_t i = 0; i < 8; ++i) longer.symbols.push_back(i);
  CHECK(cache.insert(child, longer) == 24);
  CHECK(cache.prefixes().eviction().kept_units(7) == 6);
  CHECK(cache.prefixes().eviction().kept_units(0) == 0);
  sequence.release();
  child.release();
  cache.prefixes().eviction().set_share(7, {.quota_units = 2});
  auto other = cache.create(Prefix(tokens));
  CHECK(other.num_cached_tokens() == 0);
  other.extend(16);
  CHECK(cache.insert(other, Prefix(tokens)) == 16);
  CHECK(cache.prefixes().eviction().kept_units(0) == 4);
  CHECK(cache.prefixes().eviction().kept_units(7) == 2);
}
