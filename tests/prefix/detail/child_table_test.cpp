// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The child table against a map, and how it grows. What keys that were chosen against it cost: keyed_hash_test.cpp.
#include <algorithm>
#include <array>
#include <cstdint>
#include <folio/prefix/detail/child_table.hpp>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/random.hpp"

using folio::ChildHash;
using folio::ChildTable;
using folio::HashSecret;
using folio::LinearTable;
using folio::test::below;
using folio::test::HostHeap;

namespace {

using Key = std::pair<std::int32_t, std::int32_t>;

struct Child {
  std::int32_t parent = 0, symbol = 0;
  [[nodiscard]] bool operator==(Child const&) const = default;
};
/// Counts how often keys are hashed.
struct CountedHash {
  ChildHash hash;
  static inline std::int64_t num_calls = 0;
  [[nodiscard]] auto operator()(Child const& key) const {
    ++num_calls;
    return hash(key.parent, key.symbol);
  }
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

TEST_CASE("a child's hash is the keyed hash of its parent and its symbol, under a secret of each table's own") {
  HashSecret const secret{1, 2, 3};
  CHECK(ChildHash{secret}(3, -2) == folio::keyed_hash(secret, 0x3FFFFFFFEU));
  CHECK(ChildHash().secret != ChildHash().secret);
}

TEST_CASE("the hash of a secret of keys: the same each time, and none of its numbers is another's") {
  HashSecret const first = ChildHash::of({1, 2}).secret, other = ChildHash::of({1, 3}).secret;
  CHECK(first == ChildHash::of({1, 2}).secret);
  std::set<std::uint64_t> numbers{1, 2, 3};
  for (HashSecret const& secret : {first, other}) numbers.insert({secret.high, secret.low, secret.offset});
  CHECK(numbers.size() == 9);
}

TEST_CASE("a table that has room asks for nothing, and one that is refused is as it was") {
  auto const make = [] {
    auto table = std::make_unique<ChildTable<>>();
    for (std::int32_t i = 0; i < 100; ++i) table->insert(0, i, i);
    return table;
  };
  auto const reserve = [](ChildTable<>& table) { table.reserve(5000); };
  auto const failures = folio::test::for_every_failure_anew(make, reserve, [&](ChildTable<>& table, std::int64_t) {
    for (std::int32_t i = 0; i < 100; ++i) REQUIRE(table.find(0, i) == i);
    REQUIRE(table.size() == 100);
  });
  CHECK(failures > 2);
  auto const made = make();
  ChildTable<>& table = *made;
  reserve(table);
  std::int64_t const before = HostHeap::of_this_thread().num_allocations;
  for (std::int32_t i = 100; i < 5000; ++i) table.insert(0, i, i);
  for (std::int32_t i = 0; i < 5000; i += 2) table.erase(0, i);
  for (std::int32_t i = 0; i < 5000; i += 2) table.insert(1, i, i);
  std::int64_t const after = HostHeap::of_this_thread().num_allocations;
  CHECK(after == before);
}

TEST_CASE("no insertion moves the table: what a key costs does not grow with the table") {
  std::int64_t most = 0, most_hashed = 0;
  LinearTable<Child, CountedHash> table;
  folio::SegmentedArray<std::array<char, 64>> array;
  array.emplace_back();
  void const* const first = &array[0];
  for (std::int32_t i = 0; i < 200'000; ++i) {
    std::int64_t const before = HostHeap::of_this_thread().num_allocations;
    CountedHash::num_calls = 0;
    table.insert({7, i}, i);
    most_hashed = std::max(most_hashed, CountedHash::num_calls);
    array.emplace_back();
    most = std::max(most, HostHeap::of_this_thread().num_allocations - before);
  }
  CHECK(most <= 12);         // segments of three arrays, and the lists of these
  CHECK(most_hashed <= 40);  // itself, and the two chains that are split
  CHECK(first == &array[0]);
  CHECK(array.size() == 200'001);
}
