// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <folio/eviction/indexed_heap.hpp>
#include <random>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using namespace folio;
using folio::test::below;

namespace {

struct Wanted {
  bool operator()(EvictionEntry const* a, EvictionEntry const* b) const {
    auto const key = [](EvictionEntry const& e) { return std::tuple(e.rank, e.order, -e.depth); };
    return key(*a) < key(*b);
  }
};

}  // namespace

TEST_CASE("a heap of entries has the first of a sorted set, whatever comes, leaves and changes its rank") {
  std::mt19937 random(1);
  std::vector<EvictionEntry> entries(200);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].order = static_cast<std::int64_t>(i / 3);
    entries[i].depth = static_cast<std::int32_t>(i % 3);
  }
  IndexedHeap heap;
  std::set<EvictionEntry*, Wanted> wanted;
  for (int step = 0; step < 20'000; ++step) {
    EvictionEntry& e = entries[static_cast<std::size_t>(below(random, 200))];
    double const rank = below(random, 20);
    if (!IndexedHeap::has(e)) {
      heap.push(e, rank);
      wanted.insert(&e);
    } else if (wanted.erase(&e); below(random, 2) == 0) {
      heap.change(e, rank);
      wanted.insert(&e);
    } else {
      heap.erase(e);
    }
    if (step % 1000 == 0) {  // a heap that was moved is the same heap
      IndexedHeap other = std::move(heap);
      REQUIRE(heap.empty());
      heap = std::move(other);
    }
    REQUIRE(heap.size() == wanted.size());
    REQUIRE(heap.first() == (wanted.empty() ? nullptr : *wanted.begin()));
  }
  for (; !wanted.empty(); wanted.erase(wanted.begin())) {
    REQUIRE(heap.first() == *wanted.begin());
    heap.erase(**wanted.begin());
  }
  CHECK(heap.empty());
}

TEST_CASE("an entry stands in one heap by each slot, and a copy of a heap is empty") {
  struct ByOrder {
    bool operator()(EvictionEntry const& a, EvictionEntry const& b) const noexcept { return a.order < b.order; }
  };
  EvictionEntry a, b;
  a.order = 2, b.order = 1;
  IndexedHeap by_rank;
  EntryHeap<1, ByOrder> by_order;
  by_rank.push(a, 1), by_rank.push(b, 2);
  by_order.push(a), by_order.push(b);
  CHECK(by_rank.first() == &a);
  CHECK(by_order.first() == &b);
  IndexedHeap const copy = by_rank;
  CHECK(copy.empty());
  by_rank.erase(a);
  CHECK_FALSE(IndexedHeap::has(a));
  CHECK(EntryHeap<1, ByOrder>::has(a));
  CHECK(by_rank.size() == 1);
  CHECK(by_order.size() == 2);
}
