// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <folio/folio.hpp>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/model_sequence.hpp"
#include "support/random.hpp"
#include "support/strangers.hpp"

using namespace folio::literals;
using folio::CacheConfig;
using folio::KvCache;
using folio::Model;
using folio::ModelConfig;
using folio::Sequence;
using folio::test::contains;
using folio::test::LedgerAllocator;
using folio::test::ModelSequence;

namespace {

constexpr ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 8};
constexpr ModelConfig hybrid{.layers = 4,
                             .kv_heads = 1,
                             .head_dim = 8,
                             .groups = {folio::full_attention(), folio::sliding_window(4)},
                             .pattern = folio::repeat_groups({0, 1, 1, 1})};
constexpr ModelConfig open_model{.head_dim = 8, .groups = {folio::sliding_window(folio::dynamic)}};

using TinyCache = KvCache<Model<tiny>, folio::BlockSize<4>, folio::F32>;
using HybridCache = KvCache<Model<hybrid>, folio::BlockSizes<4, 2>, folio::F32>;
using OpenCache = KvCache<Model<open_model>>;

/// Counts who asks, and has no memory.
struct CountingAllocator : folio::HostAllocator {
  static inline int asked = 0;
  [[nodiscard]] std::byte* allocate(std::int64_t bytes, std::int64_t) {
    ++asked;
    throw folio::OutOfMemory("counting", bytes, "it counts");
  }
};

}  // namespace

TEST_CASE("the order of policies makes the same view") {
  using A = KvCache<Model<tiny>, folio::BlockSize<8>, folio::Int8PerToken, folio::LayoutNhd, folio::HostAllocator>;
  using B = KvCache<folio::HostAllocator, folio::LayoutNhd, folio::Int8PerToken, folio::BlockSize<8>, Model<tiny>>;
  STATIC_REQUIRE(std::is_same_v<A::View, B::View>);
}

namespace {

/// An allocator, an eviction policy and a sink with state, and without a default constructor.
struct NamedAllocator : folio::HostAllocator {
  explicit NamedAllocator(int n) : number(n) {}
  int number;
};
struct LruOf : folio::LruEviction {
  explicit LruOf(int n) : number(n) {}
  LruOf(LruOf&&) = default;  // only moved
  LruOf& operator=(LruOf&&) = default;
  int number;
};
struct SinkOf {
  static constexpr folio::PrefixEvents hears = folio::PrefixEvents::cleared;
  explicit SinkOf(std::vector<int>* numbers) : cleared_at(numbers) {}
  void cleared(folio::PrefixCleared const&) noexcept { ++*cleared_at->begin(); }
  std::vector<int>* cleared_at;
};
using StatefulCache = KvCache<Model<tiny>, NamedAllocator, LruOf, SinkOf>;

template <class... Given>
void check_given(Given... given) {
  StatefulCache cache({.num_blocks = {4}}, std::move(given)...);
  CHECK(cache.allocator().number == 7);
  CHECK(cache.prefixes().eviction().number == 8);
  cache.prefixes().clear();
}

}  // namespace

TEST_CASE("policies with state are given to the constructor, in any order") {
  std::vector<int> clearings{0};
  check_given(NamedAllocator(7), LruOf(8), SinkOf(&clearings));
  check_given(SinkOf(&clearings), LruOf(8), NamedAllocator(7));
  check_given(LruOf(8), NamedAllocator(7), SinkOf(&clearings));
  CHECK(clearings.front() == 3);
  using SomeCache = KvCache<Model<tiny>, folio::LruEviction, NamedAllocator>;  // the others have defaults
  CHECK(SomeCache({.num_blocks = {4}}, NamedAllocator(3)).allocator().number == 3);
  STATIC_REQUIRE(std::is_constructible_v<TinyCache, CacheConfig, folio::HostAllocator>);
  STATIC_REQUIRE(!std::is_constructible_v<TinyCache, CacheConfig, folio::LruEviction>);  // it keeps no prefixes
  STATIC_REQUIRE(!std::is_constructible_v<SomeCache, CacheConfig, folio::HugePageAllocator>);
}

TEST_CASE("the allocator is no part of the view's type") {
  using A = KvCache<Model<tiny>, folio::HostAllocator>;
  using B = KvCache<Model<tiny>, folio::HugePageAllocator>;
  STATIC_REQUIRE(std::is_same_v<A::View, B::View>);
}

TEST_CASE("defaults make a cache of f16 rows in blocks of 16 tokens") {
  KvCache<Model<tiny>> const cache({.num_blocks = {3}});
  CHECK(cache.shape().block_size == 16);
  CHECK(cache.block_bytes() == 2 * 2 * 16 * (16 + 16) * 2 / 2);  // layers, heads, slots, (key + value) rows of 8 halves
  CHECK(cache.num_blocks() == 3);
}

TEST_CASE("worked example: 24 layers of 16 heads of 64 dims hold 4096 tokens of f16 in 402,653,184 bytes") {
  constexpr ModelConfig model{.layers = 24, .kv_heads = 16, .head_dim = 64};
  KvCache<Model<model>> const cache({.num_blocks = {1}});
  CHECK(cache.bytes_per_sequence(4096) == 402'653'184);
  CHECK(cache.bytes_per_token() * 4096 == 402'653'184);
}

TEST_CASE("worked example: 32 layers of 32 heads of 128 dims hold 2048 tokens of f16 in 1,073,741,824 bytes") {
  constexpr ModelConfig model{.layers = 32, .kv_heads = 32, .head_dim = 128};
  KvCache<Model<model>> const cache({.num_blocks = {1}});
  CHECK(cache.bytes_per_sequence(2048) == 1'073'741'824);
  CHECK(cache.bytes_per_token() * 2048 == 1'073'741'824);
}

TEST_CASE("worked example: int8 of rows within -2 and 2 has the scale 2/127 and errors up to half of it") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 128};
  KvCache<Model<model>, folio::Int8PerToken> cache({.num_blocks = {1}});
  Sequence s = cache.create(1);
  std::vector<float> key = folio::test::random_floats(128, 1, 2.0F), value = folio::test::random_floats(128, 2, 2.0F);
  key[5] = 2.0F;
  value[77] = -2.0F;
  auto const batch = cache.batch({&s});
  folio::ops::append(batch.view(), 0, key.data(), value.data());
  std::vector<float> found_key(128), found_value(128);
  folio::ops::gather(batch.view(), 0, {0, 0, 1}, found_key.data(), found_value.data());
  CHECK(batch.view().sequence(0, 0).key(0, 0).params().scale == 2.0F / 127);
  CHECK(batch.view().sequence(0, 0).value(0, 0).params().scale == 2.0F / 127);
  for (std::size_t i = 0; i < 128; ++i) {
    CHECK(std::fabs(key[i] - found_key[i]) <= 1.0F / 127 * 1.0001F);
    CHECK(std::fabs(value[i] - found_value[i]) <= 1.0F / 127 * 1.0001F);
  }
}

TEST_CASE("a window makes long sequences cheaper, and bytes_per_sequence knows") {
  constexpr ModelConfig model{.layers = 1, .kv_heads = 1, .head_dim = 8, .groups = {folio::sliding_window(32)}};
  KvCache<Model<model>> const cache({.num_blocks = {1}});
  CHECK(cache.bytes_per_sequence(16) == cache.block_bytes());
  CHECK(cache.bytes_per_sequence(100'000) == 3 * cache.block_bytes());
}

TEST_CASE("a budget without bounds is a sentence at once, before any table is built") {
  using Counting = KvCache<Model<hybrid>, CountingAllocator>;
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  CHECK_THROWS_WITH(TinyCache({.memory_bytes = most}), contains("more than a process can address"));
  CHECK_THROWS_WITH(HybridCache({.memory_bytes = most, .tokens_per_sequence = 4096}),
                    contains("more than a process can address"));
  CHECK_THROWS_WITH(Counting({.num_blocks = {1, most}}),
                    contains("1 to 2147483646 blocks, not " + std::to_string(most)));
  CHECK(CountingAllocator::asked == 0);
  // Tables for all these ids would take 17 GB and seconds: the memory of the blocks is asked for before.
  CHECK_THROWS_AS(Counting({.num_blocks = {0x7ffffffe, 0x7ffffffe}}), folio::OutOfMemory);
  CHECK(CountingAllocator::asked == 1);
}

TEST_CASE("layers and kv heads beyond what 64 bits address are refused") {
  constexpr std::int32_t most = std::numeric_limits<std::int32_t>::max();
  using AnyCache = KvCache<Model<ModelConfig{}>>;
  CHECK_THROWS_WITH(AnyCache({.num_blocks = {1}, .layers = most, .kv_heads = most}),
                    contains("a block of 2147483647 layers with 2147483647 kv heads has 2^62 bytes or more"));
  CHECK_THROWS_WITH(AnyCache({.num_blocks = {0x7ffffffe}, .layers = 100'000, .kv_heads = 100'000}),
                    contains("2^63 bytes or more"));
  TinyCache const cache({.num_blocks = {1}});
  CHECK(cache.bytes_per_sequence(most) == std::int64_t{536'870'912} * cache.block_bytes());
  CHECK_THROWS_WITH(cache.bytes_per_sequence(-1), contains("at least 0 tokens"));
}

TEST_CASE("a layer group that there is not is the same sentence from everybody") {
  HybridCache cache({.num_blocks = {8, 8}});
  Sequence sequence = cache.create(5);
  for (int const group : {-1, 2, 4, std::numeric_limits<int>::max(), std::numeric_limits<int>::min()}) {
    CAPTURE(group);
    std::string const sentence = "the model has no layer group " + std::to_string(group) + "; it has 2, counted from 0";
    CHECK_THROWS_WITH(cache.shape(group), contains(sentence));
    CHECK_THROWS_WITH(cache.num_blocks(group), contains(sentence));
    CHECK_THROWS_WITH(cache.num_free_blocks(group), contains(sentence));
    CHECK_THROWS_WITH(cache.block_bytes(group), contains(sentence));
    CHECK_THROWS_WITH(cache.pool(group), contains(sentence));
    CHECK_THROWS_WITH(sequence.blocks(group), contains(sentence));
    CHECK_THROWS_WITH(sequence.num_blocks_to_extend(1, group), contains(sentence));
  }
  CHECK(sequence.blocks(1).size() == 3);
}

TEST_CASE("a budget is filled and never exceeded") {
  for (std::int64_t const budget : {10'000, 65'536, 1'000'001}) {
    TinyCache const cache({.memory_bytes = budget});
    CHECK(cache.memory_bytes() <= budget);
    CHECK(cache.memory_bytes() + cache.block_bytes() > budget);
    CHECK(cache.memory_bytes() == (cache.num_blocks() + 1) * cache.block_bytes());
    HybridCache const two({.memory_bytes = budget, .tokens_per_sequence = 100});
    CHECK(two.memory_bytes() <= budget);
    CHECK(two.memory_bytes() + two.block_bytes(0) + two.block_bytes(1) > budget);
    CHECK(two.num_blocks(0) > two.num_blocks(1));
  }
}

TEST_CASE("a CacheConfig that says too little, too much or nonsense is refused in one sentence") {
  REQUIRE_THROWS_WITH(TinyCache(CacheConfig{}), contains("either memory_bytes or num_blocks"));
  REQUIRE_THROWS_WITH(TinyCache({.memory_bytes = 1_MiB, .num_blocks = {4}}), contains("and not both"));
  REQUIRE_THROWS_WITH(TinyCache({.memory_bytes = 100}), contains("a budget of 100 bytes is too small"));
  REQUIRE_THROWS_WITH(TinyCache({.memory_bytes = -1}), contains("a budget of -1 bytes is too small"));
  REQUIRE_THROWS_WITH(
      TinyCache({.num_blocks = {4, 4}}),
      contains("folio: CacheConfig::num_blocks has 2 entries; the model has 1 layer groups, which need one each"));
  REQUIRE_THROWS_WITH(
      HybridCache({.num_blocks = {4}}),
      contains("folio: CacheConfig::num_blocks has 1 entries; the model has 2 layer groups, which need one each"));
  REQUIRE_THROWS_WITH(TinyCache({.num_blocks = {0}}), contains("1 to 2147483646 blocks, not 0"));
  REQUIRE_THROWS_WITH(TinyCache({.num_blocks = {-1}}), contains("1 to 2147483646 blocks, not -1"));
  REQUIRE_THROWS_WITH(TinyCache({.num_blocks = {4}, .layers = 3}), contains("layers is 3, but the model says 2"));
  REQUIRE_THROWS_WITH(TinyCache({.num_blocks = {4}, .kv_heads = 1}), contains("kv_heads is 1, but the model says 2"));
  REQUIRE_THROWS_WITH(TinyCache({.num_blocks = {4}, .window = 8}), contains("no window of the model is dynamic"));
  REQUIRE_THROWS_WITH(HybridCache({.num_blocks = {4, 4}, .window = 4}), contains("no window of the model is dynamic"));
}

TEST_CASE("every CacheConfig that is refused is refused with folio::Error") {
  REQUIRE_THROWS_AS(TinyCache(CacheConfig{}), folio::Error);
  REQUIRE_THROWS_AS(TinyCache({.memory_bytes = 100}), folio::Error);
  REQUIRE_THROWS_AS(HybridCache({.num_blocks = {4, 0}}), folio::Error);
  REQUIRE_THROWS_AS(OpenCache({.num_blocks = {4}}), folio::Error);
}

TEST_CASE("what the model repeats may be given again") {
  TinyCache const cache({.num_blocks = {4}, .layers = 2, .kv_heads = 2});
  CHECK(cache.shape().layers == 2);
}

TEST_CASE("what the model leaves dynamic must be given") {
  REQUIRE_THROWS_WITH(OpenCache({.num_blocks = {4}, .kv_heads = 2, .window = 8}), contains("leaves layers dynamic"));
  REQUIRE_THROWS_WITH(OpenCache({.num_blocks = {4}, .layers = 2, .window = 8}), contains("leaves kv_heads dynamic"));
  REQUIRE_THROWS_WITH(OpenCache({.num_blocks = {4}, .layers = 2, .kv_heads = 2}), contains("leaves window dynamic"));
  REQUIRE_THROWS_WITH(OpenCache({.num_blocks = {4}, .layers = -3, .kv_heads = 2, .window = 8}),
                      contains("folio: the model leaves layers dynamic: give CacheConfig::layers, at least 1"));
  OpenCache const cache({.num_blocks = {4}, .layers = 3, .kv_heads = 2, .window = 8});
  CHECK(cache.shape().layers == 3);
  CHECK(cache.shape().kv_heads == 2);
  CHECK(cache.shape().window == 8);
  CHECK(cache.block_bytes() == 3 * 2 * 2 * 16 * 16);
}

TEST_CASE("shapes can be resolved without a cache") {
  auto const shapes = OpenCache::resolve({.layers = 3, .kv_heads = 2, .window = 8});
  REQUIRE(shapes.size() == 1);
  CHECK(shapes[0].layers == 3);
  REQUIRE_THROWS_AS(OpenCache::resolve({}), folio::Error);
}

TEST_CASE("a model of latent layers only does not ask for kv_heads, of which they have one") {
  constexpr ModelConfig model{.layers = 2, .groups = {folio::latent(16, 8)}};
  KvCache<Model<model>> const cache({.num_blocks = {2}});
  CHECK(cache.shape().kv_heads == 1);
}

TEST_CASE("the null block is zero, whatever the memory held, and pools begin at cache lines") {
  using Cache = KvCache<Model<hybrid>, folio::BlockSizes<4, 2>, folio::F32, LedgerAllocator>;
  Cache const cache({.num_blocks = {5, 3}}, LedgerAllocator(std::make_shared<LedgerAllocator::Ledger>()));
  for (int g = 0; g < 2; ++g) {
    CHECK(reinterpret_cast<std::uintptr_t>(cache.pool(g)) % 64 == 0);
    CHECK(cache.block_bytes(g) % 64 == 0);
    CHECK(
        std::all_of(cache.pool(g), cache.pool(g) + cache.block_bytes(g), [](std::byte b) { return b == std::byte{}; }));
  }
}

TEST_CASE("creating with more tokens than there are slots leaves no sequence") {
  TinyCache cache({.num_blocks = {2}});
  REQUIRE_THROWS_AS(cache.create(9), folio::OutOfBlocks);
  CHECK(cache.num_free_blocks() == 2);
  CHECK(cache.stats().num_sequences == 0);
  CHECK(cache.create(8).num_tokens() == 8);
}

namespace {

template <class Cache>
concept MakesBatches = requires(Cache& cache, std::span<folio::BatchItem const> items) {
  cache.batch(items);
};
template <class Cache>
concept FillsBatches = requires(Cache& cache, folio::Batch<typename Cache::View>& tables,
                                std::span<folio::BatchItem const> items) {
  cache.batch(items, tables);
};
template <class Cache>
concept CreatesSequences = requires(Cache& cache) {
  cache.create();
};
template <class Cache>
concept Inserts = requires(Cache& cache, Sequence& sequence, folio::Prefix const& tokens) {
  cache.insert(sequence, tokens);
};
template <class Cache>
concept ReleasesLeases = requires(Cache& cache, Sequence& sequence) {
  cache.release_lease(sequence);
};
template <class Cache>
concept Resizes = requires(Cache& cache) {
  cache.resize(1);
};
template <class Cache>
concept Evicts = requires(Cache& cache) {
  cache.prefixes().evict_unit();
};
template <class Cache>
concept MovesBlocks = requires(Cache& cache) {
  cache.moves();
};
template <class Cache>
concept Reads = requires(Cache& cache, folio::Prefix const& tokens) {
  cache.stats();
  cache.num_cached_tokens(tokens);
  cache.num_obtainable_blocks();
};

template <class Cache>
concept Changes = MakesBatches<Cache> || FillsBatches<Cache> || CreatesSequences<Cache> || Inserts<Cache> ||
    ReleasesLeases<Cache> || Resizes<Cache> || Evicts<Cache> || MovesBlocks<Cache>;
template <class Cache>
concept ChangesEach = MakesBatches<Cache> && FillsBatches<Cache> && CreatesSequences<Cache> && Inserts<Cache> &&
    ReleasesLeases<Cache> && Resizes<Cache> && Evicts<Cache> && MovesBlocks<Cache>;

}  // namespace

TEST_CASE("a cache that is const can be read, and nothing that changes sequences, prefixes or pending work is there") {
  using PrefixCache = KvCache<Model<tiny>, folio::LruEviction>;
  STATIC_REQUIRE(ChangesEach<PrefixCache>);
  STATIC_REQUIRE_FALSE(Changes<PrefixCache const>);
  STATIC_REQUIRE(Reads<PrefixCache const>);
  // The books that sequences and batches share are its own, whoever asks.
  STATIC_REQUIRE(
      std::is_same_v<decltype(std::declval<PrefixCache&>().state()), std::shared_ptr<folio::CacheState const>>);
}

TEST_CASE("a cache can be moved, and its sequences and batches go on") {
  TinyCache first({.num_blocks = {8}});
  ModelSequence story(first);
  story.extend(5);
  auto const batch = first.batch({&story.sequence()});
  TinyCache second(std::move(first));
  ModelSequence other(second);
  other.extend(6);
  story->extend(1);
  CHECK(second.stats().num_sequences == 2);
  CHECK(second.num_free_blocks() == 8 - 4);
  TinyCache third({.num_blocks = {1}});
  third = std::move(second);
  CHECK(third.num_blocks() == 8);
  CHECK(third.stats().num_sequences == 2);
  CHECK(batch.view().sequence(0, 0).num_tokens() == 5);
}

TEST_CASE("memory goes when the cache and everything made from it has gone") {
  auto const ledger = std::make_shared<LedgerAllocator::Ledger>();
  using Cache = KvCache<Model<hybrid>, LedgerAllocator>;
  {
    Sequence survivor;
    {
      Cache cache({.num_blocks = {2, 3}}, LedgerAllocator(ledger));
      CHECK(ledger->live == 2);
      CHECK(ledger->live_bytes == cache.memory_bytes());
      survivor = cache.create(3);
    }
    CHECK(ledger->live == 2);
    survivor.extend(1);
    CHECK(survivor.num_tokens() == 4);
  }
  CHECK(ledger->live == 0);
  CHECK(ledger->live_bytes == 0);
}

TEST_CASE("a batch keeps the memory that its view reads") {
  auto const ledger = std::make_shared<LedgerAllocator::Ledger>();
  using Cache = KvCache<Model<tiny>, LedgerAllocator>;
  {
    auto const [batch, view] = [&] {
      Cache cache({.num_blocks = {2}}, LedgerAllocator(ledger));
      Sequence const s = cache.create(3);
      auto tables = cache.batch({&s});
      auto const before = tables.view();
      return std::pair(std::move(tables), before);
    }();
    CHECK(ledger->live == 1);
    std::vector<float> keys(2 * 8);
    folio::ops::gather(view, 1, {0, 2, 1}, keys.data(), nullptr);
  }
  CHECK(ledger->live == 0);
}

TEST_CASE("when the memory of a later group is refused, that of the groups before is given back") {
  using Cache = KvCache<Model<hybrid>, LedgerAllocator>;
  for (int const fail_at : {1, 2}) {
    auto const ledger = std::make_shared<LedgerAllocator::Ledger>();
    ledger->fail_at = fail_at;
    REQUIRE_THROWS_AS(Cache({.num_blocks = {2, 3}}, LedgerAllocator(ledger)), folio::OutOfMemory);
    CHECK(ledger->requests == fail_at);
    CHECK(ledger->live == 0);
  }
}

TEST_CASE("a refused allocation tells the bytes that the group asked for") {
  using Cache = KvCache<Model<hybrid>, folio::BlockSizes<4, 2>, folio::F32, LedgerAllocator>;
  auto const ledger = std::make_shared<LedgerAllocator::Ledger>();
  ledger->fail_at = 2;
  try {
    Cache const cache({.num_blocks = {2, 3}}, LedgerAllocator(ledger));
    FAIL("the cache was made");
  } catch (folio::OutOfMemory const& error) {
    CHECK(error.asked_bytes() == 4 * HybridCache({.num_blocks = {1, 1}}).block_bytes(1));
  }
}

TEST_CASE("each group's copies stay in its pool") {
  HybridCache cache({.num_blocks = {8, 12}});
  folio::test::poison(cache);
  ModelSequence parent(cache);
  parent.extend(5);
  ModelSequence child = parent.fork();
  child.extend(1);
  parent.extend(2);
  CHECK(parent.difference() == "");
  CHECK(child.difference() == "");
  CHECK(cache.stats().counters.copies == 2);  // one in each group, by the child; then the parent was alone
}

namespace {

/// Host memory that a device is said to read as well, and that can be resized in place.
class SharedMemory {
 public:
  static constexpr char const* name = "shared";
  static constexpr folio::Accessibility accessibility = folio::Accessibility::both;
  static constexpr std::int64_t reserved = 1 << 20;

  std::byte* allocate(std::int64_t, std::int64_t alignment) { return memory_.allocate(reserved, alignment); }
  void deallocate(std::byte* pointer, std::int64_t) noexcept { memory_.deallocate(pointer, reserved); }
  void resize(std::byte*, std::int64_t, std::int64_t new_bytes) {
    if (new_bytes > reserved) throw folio::OutOfMemory(name, new_bytes, "more than was reserved");
  }

 private:
  folio::HostAllocator memory_;
};

using SharedCache = KvCache<Model<tiny>, folio::BlockSize<4>, folio::F32, SharedMemory>;

}  // namespace

TEST_CASE("where a device may still be writing, a copy on write waits for the next batch") {
  SharedCache cache({.num_blocks = {6}});
  Sequence parent = cache.create(6);
  auto const bytes = static_cast<std::size_t>(cache.block_bytes());
  auto const block = [&](Sequence const& s, std::size_t i) {
    return cache.pool() + to_int(s.blocks()[i]) * cache.block_bytes();
  };
  std::memset(block(parent, 1), 7, bytes);
  Sequence child = parent.fork();
  child.extend(1);
  std::memset(block(child, 1), 1, bytes);
  std::memset(block(parent, 1), 8, bytes);  // an earlier step that has only now run
  Sequence grandchild = child.fork();
  grandchild.extend(1);
  CHECK(*block(child, 1) == std::byte{1});
  auto const batch = cache.batch({&child});
  CHECK(std::memcmp(block(child, 1), block(parent, 1), bytes) == 0);
  CHECK(std::memcmp(block(grandchild, 1), block(parent, 1), bytes) == 0);  // in their order
  CHECK(*cache.pool() == std::byte{0});                                    // so is the null block
  CHECK(cache.stats().counters.copies == 2);
}

TEST_CASE("a pool grows and shrinks in place, and says why it cannot") {
  SharedCache cache({.num_blocks = {2}});
  auto* const pool = cache.pool();
  std::vector<Sequence> sequences;
  for (int i = 0; i < 2; ++i) sequences.push_back(cache.create(4));
  CHECK_FALSE(cache.create().try_extend(1));
  cache.resize(4);
  CHECK(cache.pool() == pool);
  CHECK(cache.num_blocks() == 4);
  CHECK(cache.memory_bytes() == 5 * cache.block_bytes());
  for (int i = 0; i < 2; ++i) sequences.push_back(cache.create(4));

  CHECK_THROWS_WITH(cache.resize(3), contains("block 4 is in use"));
  CHECK_THROWS_AS(cache.resize(1 << 20), folio::OutOfMemory);
  CHECK_THROWS_WITH(cache.resize(0), contains("folio: a pool has 1 to 2147483646 blocks, not 0"));
  CHECK(cache.num_blocks() == 4);
  CHECK(cache.memory_bytes() == 5 * cache.block_bytes());

  sequences.resize(2);
  cache.resize(2);
  CHECK(cache.num_blocks() == 2);
  CHECK(cache.num_free_blocks() == 0);
  CHECK(cache.memory_bytes() == 3 * cache.block_bytes());
}

TEST_CASE("block sizes without a common multiple that prefixes could be kept in are refused") {
  using Cache = KvCache<Model<hybrid>, folio::BlockSizes<65536, 65535>, folio::F32, folio::LruEviction>;
  CHECK_THROWS_WITH(Cache({.num_blocks = {2, 2}}), contains("there is none of at most 2^30 tokens"));
}
