// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/eviction/ghost_keys.hpp>
#include <random>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/random.hpp"

using folio::GhostKeys;
using folio::test::below;

TEST_CASE("ghosts are the keys that came last, as an obvious model has them") {
  std::mt19937 random(1);
  struct Ghost {
    std::uint64_t key;
    bool is_gap;
  };
  std::vector<Ghost> model;  // the oldest first
  auto const find = [&](std::uint64_t key) {
    return std::find_if(model.begin(), model.end(), [&](Ghost const& g) { return g.key == key && !g.is_gap; });
  };
  GhostKeys ghosts;
  ghosts.reserve(1000);
  for (int step = 0; step < 20'000; ++step) {
    auto const key = static_cast<std::uint64_t>(below(random, 80));
    auto const found = find(key);
    bool const is_there = found != model.end();
    switch (below(random, 4)) {
      case 0:
        REQUIRE(ghosts.take(key) == is_there);
        if (is_there) found->is_gap = true;
        break;
      case 1: {
        auto const most = static_cast<std::size_t>(below(random, 60));
        ghosts.trim(most);
        if (model.size() > most) model.erase(model.begin(), model.end() - static_cast<std::ptrdiff_t>(most));
        break;
      }
      default:
        ghosts.put(key);
        if (is_there) found->is_gap = true;
        model.push_back({key, false});
    }
    REQUIRE(ghosts.size() == static_cast<std::size_t>(
                                 std::count_if(model.begin(), model.end(), [](Ghost const& g) { return !g.is_gap; })));
  }
}

TEST_CASE("ghosts take memory when room is reserved, and none later") {
  for (std::size_t const n : {std::size_t{1}, std::size_t{24}, std::size_t{56}, std::size_t{1000}}) {
    CAPTURE(n);
    GhostKeys ghosts;
    ghosts.reserve(n);
    std::int64_t const before = folio::test::HostHeap::of_this_thread().num_allocations;
    for (std::uint64_t key = 0; key < 4 * n; ++key) ghosts.put(key);
    CHECK(folio::test::HostHeap::of_this_thread().num_allocations == before);
  }
}

TEST_CASE("ghosts that have no more room forget the oldest, and without any remember nothing") {
  GhostKeys ghosts;
  ghosts.put(1);
  CHECK(ghosts.size() == 0);
  ghosts.reserve(1);
  for (std::uint64_t key = 0; key < 1000; ++key) ghosts.put(key);
  std::size_t const room = ghosts.size();
  CHECK(room >= 1);
  CHECK(room < 1000);
  CHECK_FALSE(ghosts.take(999 - room));
  CHECK(ghosts.take(1000 - room));
  CHECK(ghosts.take(999));
  GhostKeys const copy = ghosts;
  CHECK(copy.size() == 0);
  GhostKeys moved = std::move(ghosts);
  CHECK(moved.size() == room - 2);
  CHECK(moved.take(998));
}
