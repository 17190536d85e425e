// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The child table against a map, under keys that were chosen against it, and how it grows.
#include <algorithm>
#include <array>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/prefix/detail/child_table.hpp>
#include <map>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/random.hpp"

using folio::ChildHash;
using folio::ChildTable;
using folio::HashSecret;
using folio::KeyedHash;
using folio::LinearTable;
using folio::test::below;
using folio::test::HostHeap;

namespace {

using Key = std::pair<std::int32_t, std::int32_t>;

/// The hash that all knew: keys that it sends to a few of many places can be computed.
std::uint64_t public_hash(Key key) {
  std::uint64_t const both = std::uint64_t{static_cast<std::uint32_t>(key.first)} << 32 |
                             std::uint64_t{static_cast<std::uint32_t>(key.second)};
  std::uint64_t const mixed = (both ^ both >> 29) * 0x9E3779B97F4A7C15U;
  return mixed ^ mixed >> 32;
}

/// Children of one parent whose places are the same by `hash`, in a table of 2^16 places.
template <class H>
std::vector<Key> crafted(std::size_t count, H hash) {
  std::vector<Key> keys;
  for (std::int32_t symbol = 0; keys.size() < count; ++symbol)
    if ((hash(Key(3, symbol)) & 0xFFFF) < 16) keys.emplace_back(3, symbol);
  return keys;
}
std::vector<Key> any_keys(std::size_t count) {
  std::mt19937 random(1);
  std::vector<Key> keys;
  for (std::size_t i = 0; i < count; ++i)
    keys.emplace_back(static_cast<std::int32_t>(random()), static_cast<std::int32_t>(random()));
  return keys;
}

/// Counts how often keys are compared, which is what long chains cost.
struct Counted {
  std::int32_t parent = 0, symbol = 0;
  static inline std::int64_t num_compared = 0;
  [[nodiscard]] bool operator==(Counted const& other) const {
    ++num_compared;
    return parent == other.parent && symbol == other.symbol;
  }
};
template <class H>
struct HashOf {
  H hash;
  static inline std::int64_t num_calls = 0;
  [[nodiscard]] auto operator()(Counted const& key) const {
    ++num_calls;
    return hash(key.parent, key.symbol);
  }
};

/// Comparisons for putting all in, finding all, and taking all out.
template <class H>
std::int64_t comparisons(std::vector<Key> const& keys, H hash) {
  LinearTable<Counted, HashOf<H>> table({hash});
  Counted::num_compared = 0;
  std::int32_t number = 0;
  for (auto const& [parent, symbol] : keys) table.insert({parent, symbol}, number++);
  for (auto const& [parent, symbol] : keys)
    if (table.find({parent, symbol}) < 0) throw folio::Error("a key is lost");
  for (auto const& [parent, symbol] : keys) table.erase({parent, symbol});
  return Counted::num_compared;
}
struct Public {
  std::uint64_t operator()(std::int32_t parent, std::int32_t symbol) const { return public_hash({parent, symbol}); }
};

}  // namespace

TEST_CASE("a child table is a map: every key is found until it is erased") {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 random(seed);
    ChildTable<> table(ChildHash{HashSecret{seed, 2, 3}});
    std::map<Key, std::int32_t> map;
    for (int step = 0; step < 3000; ++step) {
      Key const key(below(random, 30), below(random, 30));
      bool const grows = step < 1500 ? below(random, 4) != 0 : below(random, 4) == 0;
      if (auto const found = map.find(key); found == map.end() && grows) {
        map[key] = step;
        table.insert(key.first, key.second, step);
      } else if (found != map.end() && !grows) {
        map.erase(found);
        table.erase(key.first, key.second);
      }
      REQUIRE(table.size() == map.size());
      Key const asked(below(random, 30), below(random, 30));
      auto const there = map.find(asked);
      REQUIRE(table.find(asked.first, asked.second) == (there == map.end() ? -1 : there->second));
    }
    for (auto const& [key, child] : map) REQUIRE(table.find(key.first, key.second) == child);
  }
}

TEST_CASE("keys that were chosen to collide cost what any keys cost") {
  std::size_t const count = 3000;
  std::vector<Key> const chosen = crafted(count, public_hash), random_ones = any_keys(count);
  std::vector<Key> in_a_row;
  for (std::size_t i = 0; i < count; ++i) in_a_row.emplace_back(1, static_cast<std::int32_t>(i) << 8);
  CHECK(comparisons(chosen, Public()) > 20 * comparisons(random_ones, Public()));  // they are what they should be
  for (int repeat = 0; repeat < 5; ++repeat) {
    ChildHash const hash;  // of a secret that nobody has chosen
    INFO("secret " << hash.secret.high << ' ' << hash.secret.low << ' ' << hash.secret.offset);
    auto const usual = static_cast<double>(comparisons(random_ones, hash));
    CHECK(static_cast<double>(comparisons(chosen, hash)) < 2 * usual);
    CHECK(static_cast<double>(comparisons(in_a_row, hash)) < 2 * usual);
  }
  CHECK(ChildHash().secret != ChildHash().secret);
}

TEST_CASE("what is crafted against one secret is nothing to another: each cache has its own") {
  ChildHash const known{HashSecret{1, 2, 3}};
  auto const chosen = crafted(1000, [](Key key) {
    return folio::keyed_hash(HashSecret{1, 2, 3},
                             std::uint64_t(std::uint32_t(key.first)) << 32 | std::uint32_t(key.second));
  });
  auto const usual = comparisons(any_keys(1000), ChildHash());
  CHECK(comparisons(chosen, known) > 10 * usual);
  CHECK(comparisons(chosen, ChildHash()) < 2 * usual);
}

TEST_CASE("the keyed hash is the function that is written, whatever computes it") {
  HashSecret const secret{0x0123456789ABCDEFU, 0xFEDCBA9876543210U, 0x0F1E2D3C4B5A6978U};
  std::uint64_t const word = 0x8000000100000002U;
  std::uint64_t const sum = 0x0123456789ABCDEFU * 0x80000001U + 0xFEDCBA9876543210U * 2 + 0x0F1E2D3C4B5A6978U;
  CHECK(folio::keyed_hash(secret, word) == sum >> 32);
  CHECK(KeyedHash{secret}(word) == folio::keyed_hash(secret, word));
}

TEST_CASE("a table that has room asks for nothing, and one that is refused is as it was") {
  ChildTable<> table;
  for (std::int32_t i = 0; i < 100; ++i) table.insert(0, i, i);
  std::int64_t failed = 0;
  folio::test::for_every_failure([&] { table.reserve(5000); },
                                 [&](std::int64_t) {
                                   ++failed;
                                   for (std::int32_t i = 0; i < 100; ++i) REQUIRE(table.find(0, i) == i);
                                   REQUIRE(table.size() == 100);
                                 });
  CHECK(failed > 2);
  std::int64_t const before = HostHeap::of_this_thread().num_allocations;
  for (std::int32_t i = 100; i < 5000; ++i) table.insert(0, i, i);
  for (std::int32_t i = 0; i < 5000; i += 2) table.erase(0, i);
  for (std::int32_t i = 0; i < 5000; i += 2) table.insert(1, i, i);
  std::int64_t const after = HostHeap::of_this_thread().num_allocations;
  CHECK(after == before);
}

TEST_CASE("no insertion moves the table: what a key costs does not grow with the table") {
  std::int64_t most = 0, most_hashed = 0;
  LinearTable<Counted, HashOf<ChildHash>> table;
  folio::SegmentedArray<std::array<char, 64>> array;
  array.emplace_back();
  void const* const first = &array[0];
  for (std::int32_t i = 0; i < 200'000; ++i) {
    std::int64_t const before = HostHeap::of_this_thread().num_allocations;
    HashOf<ChildHash>::num_calls = 0;
    table.insert({7, i}, i);
    most_hashed = std::max(most_hashed, HashOf<ChildHash>::num_calls);
    array.emplace_back();
    most = std::max(most, HostHeap::of_this_thread().num_allocations - before);
  }
  CHECK(most <= 12);         // segments of three arrays, and the lists of these
  CHECK(most_hashed <= 40);  // itself, and the two chains that are split
  CHECK(first == &array[0]);
  CHECK(array.size() == 200'001);
}
