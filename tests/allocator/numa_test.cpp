// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/allocator/numa.hpp>
#include <folio/kv_cache.hpp>

#include "conformance/allocator_suite.hpp"
#include "support/catch.hpp"

using folio::NumaAllocator;
using folio::test::contains;

namespace {

/// Some kernels, and most containers, have no NUMA support: the allocator's only duty there is to say so.
bool has_numa() { return ::numa_available() >= 0; }
constexpr char const* no_numa = "this kernel has no NUMA support";

constexpr folio::ModelConfig tiny{.layers = 2, .kv_heads = 2, .head_dim = 16};
using Cache = folio::KvCache<folio::Model<tiny>, NumaAllocator>;

}  // namespace

TEST_CASE("without NUMA support NumaAllocator says what to use instead") {
  if (has_numa()) FOLIO_SKIP("this kernel has NUMA support");
  REQUIRE_THROWS_AS(NumaAllocator(), folio::Error);
  REQUIRE_THROWS_WITH(NumaAllocator(0), contains("use HostAllocator"));
}

TEST_CASE("NumaAllocator is an allocator") {
  if (!has_numa()) FOLIO_SKIP(no_numa);
  folio::test::allocator_suite([] { return NumaAllocator(); });
  folio::test::allocator_suite([] { return NumaAllocator(0); });
}

TEST_CASE("a node that does not exist is refused with those that do") {
  if (!has_numa()) FOLIO_SKIP(no_numa);
  int const past = ::numa_max_node() + 1;
  REQUIRE_THROWS_WITH(NumaAllocator(past), contains("NUMA node " + std::to_string(past) + " does not exist"));
  REQUIRE_THROWS_WITH(NumaAllocator(-2), contains("nodes are 0 to"));
}

TEST_CASE("an allocator knows its node") {
  if (!has_numa()) FOLIO_SKIP(no_numa);
  CHECK(NumaAllocator().node() == NumaAllocator::interleaved);
  CHECK(NumaAllocator(0).node() == 0);
}

TEST_CASE("an alignment over a page is refused") {
  if (!has_numa()) FOLIO_SKIP(no_numa);
  NumaAllocator allocator;
  REQUIRE_THROWS_AS((void)allocator.allocate(1 << 20, 1 << 20), folio::OutOfMemory);
}

TEST_CASE("a cache takes its blocks from NUMA nodes, all of them or one") {
  if (!has_numa()) FOLIO_SKIP(no_numa);
  Cache spread({.num_blocks = {4}});
  Cache beside({.num_blocks = {4}}, NumaAllocator(0));
  CHECK(spread.create(40).num_tokens() == 40);
  CHECK(beside.create(40).num_tokens() == 40);
  CHECK(beside.allocator().node() == 0);
}
