// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <folio/eviction/detail/ghost_cache.hpp>
#include <span>
#include <vector>

#include "support/catch.hpp"

using namespace folio;

namespace {

/// What would go from now on, until `capacity` keys are left: the depths and hits of units, which a key is known by.
struct Gone {
  std::vector<std::int32_t> depths, hits;
};
Gone trim(GhostCache& ghosts, std::size_t capacity) {
  Gone gone;
  ghosts.trim(capacity, [&](EvictionEntry const& e) {
    gone.depths.push_back(e.depth);
    gone.hits.push_back(e.hits);
  });
  return gone;
}

}  // namespace

TEST_CASE("a ghost cache finds what a request shares with those before, from its beginning on") {
  GhostCache ghosts;
  ghosts.reserve(100);
  std::vector<PrefixKey> const first{{1, 0}, {2, 0}, {3, 0}}, second{{1, 0}, {2, 0}, {9, 0}, {3, 0}};
  CHECK(ghosts.serve({.keys = first, .order = 1}, {}) == 0);
  CHECK(ghosts.serve({.keys = second, .order = 2}, {}) == 2);  // the 3 comes after one that is missing
  CHECK(ghosts.size() == 4);
  CHECK(ghosts.serve({.keys = second, .order = 3}, {}) == 4);
}

TEST_CASE("units that were told of when the sequence was shorter are not served again") {
  GhostCache ghosts;
  ghosts.reserve(100);
  std::vector<PrefixKey> const keys{{1, 0}, {2, 0}, {3, 0}, {4, 0}};
  CHECK(ghosts.serve({.keys = std::span(keys).first(2), .order = 1}, {}) == 0);
  CHECK(ghosts.serve({.keys = keys, .told = 2, .order = 2}, {}) == 0);
  CHECK(ghosts.size() == 4);
  Gone const gone = trim(ghosts, 0);
  CHECK(gone.hits == std::vector<std::int32_t>{0, 0, 0, 0});
  CHECK(gone.depths == std::vector<std::int32_t>{1, 0, 3, 2});  // least recently used, the deepest first
}

TEST_CASE("a ghost cache without memory drops the first to go, and forgets what leaves the sample") {
  GhostCache ghosts;
  std::vector<PrefixKey> const keys{{1, 0}, {2, 0}, {3, 0}, {4, 0}};
  CHECK(ghosts.serve({.keys = keys, .order = 1}, {}) == 0);
  CHECK(ghosts.size() == 0);
  ghosts.reserve(100);
  CHECK(ghosts.serve({.keys = keys, .order = 2}, {}) == 0);
  KeySample const sample{KeySample::digest(4)};
  REQUIRE((!sample.has(1) && sample.has(2) && !sample.has(3) && sample.has(4)));
  ghosts.keep(sample);
  CHECK(ghosts.size() == 2);
  CHECK(ghosts.serve({.keys = keys, .order = 3}, sample) == 2);
}
