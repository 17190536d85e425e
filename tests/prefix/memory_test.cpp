// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Host memory that runs out: in random programs, each allocation of each operation fails once. Nothing has changed
// then, and the program ends as one whose memory never failed, to the last block, for every eviction policy.
#include <folio/eviction/adaptive.hpp>
#include <folio/eviction/cost_aware.hpp>
#include <folio/eviction/fair.hpp>
#include <folio/eviction/lfu.hpp>
#include <folio/eviction/priority_ttl.hpp>
#include <folio/eviction/s3fifo.hpp>
#include <folio/eviction/slru.hpp>
#include <folio/observe/ideal_hit_rate.hpp>
#include <folio/observe/prefix_events.hpp>
#include <folio/prefix/prompt_registry.hpp>

#include "prefix/prefix_programs.hpp"
#include "support/catch.hpp"
#include "support/failing_new.hpp"

namespace {

using namespace folio;
using namespace folio::test;

struct FailEach {
  template <class Operation, class Check>
  static std::int64_t run(Operation&& operation, Check&& check) {
    static std::int64_t num_runs = 0;
    return for_every_failure(operation, check, 1 + num_runs++ % 8);
  }
};

/// Programs with failures beside the same ones without. Seeds that are multiples of 8 would be ample.
template <class Cache>
void run_programs(std::vector<std::int64_t> const& num_blocks, unsigned count) {
  PrefixProgramCounts counts, none;
  std::int64_t const live_before = HostHeap::num_live();
  for (unsigned seed = 1; seed <= count; ++seed) {
    PrefixProgram<Cache> steady(num_blocks, seed, false, 4);
    PrefixProgram<Cache, FailEach> failing(num_blocks, seed, false, 4);
    steady.run(60, none);
    failing.run(60, counts);
    if (steady.seen() != failing.seen())
      throw std::logic_error("seed " + std::to_string(seed) + ": a program ended otherwise because memory failed once");
  }
  std::int64_t const live_after = HostHeap::num_live();
  CHECK(live_after - live_before < 100);  // the fixture's own lists, which are kept; each program had thousands
  CHECK(counts.failures > 10 * count);
  CHECK(counts.evictions > 0);
}

}  // namespace

TEMPLATE_TEST_CASE("each allocation of each operation fails once: one group", "", LruEviction, LfuEviction,
                   SlruEviction, S3FifoEviction, PriorityTtlEviction, CostAwareEviction, AdaptiveEviction,
                   FairEviction<LruEviction>, FairEviction<AdaptiveEviction>) {
  run_programs<EvictingPrefixCache<TestType>>({16}, 12);
}

TEMPLATE_TEST_CASE("each allocation of each operation fails once: windows, sinks and unlike block sizes", "",
                   LruEviction, S3FifoEviction, AdaptiveEviction) {
  run_programs<KvCache<Model<prefix_hybrid>, BlockSizes<4, 2, 6>, F32, TestType>>({20, 24, 14}, 12);
}

TEST_CASE("each allocation of each operation fails once: copies wait for the next step") {
  run_programs<FullPrefixCache<F32, SharedHostMemory>>({16}, 8);
}

TEST_CASE("an insertion that finds no memory and is not tried again leaves nothing in the tree") {
  for (std::int64_t k = 1; k < 100; ++k) {
    KvCache<Model<prefix_model>, BlockSize<4>, S3FifoEviction> cache({.num_blocks = {40}});
    Symbols const symbols = count_from(0, 24);
    Sequence sequence = cache.create(24);
    bool failed = false;
    try {
      RefuseAllocation const refusal(k);
      cache.insert(sequence, symbols);
    } catch (std::bad_alloc const&) {
      failed = true;
    }
    if (!failed) {
      CHECK(k > 5);
      return;
    }
    CHECK(cache.prefixes().num_nodes() == 0);
    CHECK(cache.num_cached_tokens(Prefix(symbols)) == 0);
    sequence.release();
    CHECK(cache.num_free_blocks() == 40);
  }
  FAIL("an insertion made more allocations than it can");
}

TEST_CASE("each allocation of each operation fails once: somebody listens") {
  run_programs<KvCache<Model<prefix_model>, BlockSize<4>, F32, LruEviction, IdealHitRate>>({16}, 12);
}

TEST_CASE("a registry of prompts that runs out of memory keeps what it had") {
  KvCache<Model<prefix_model>, BlockSize<4>, LruEviction> cache({.num_blocks = {40}});
  auto& tree = cache.prefixes();
  Symbols const first = count_from(0, 16), second = count_from(100, 20);
  for (Symbols const* prompt : {&first, &second}) {
    Sequence sequence = cache.create(static_cast<std::int32_t>(prompt->size()));
    cache.insert(sequence, *prompt);
  }
  PromptRegistry registry(tree, 1 << 20);
  std::string const name = "a name that is too long to be kept without an allocation", other = name + ", the other";
  std::int64_t const failures = for_every_failure(
      [&] { registry.put(name, first); },
      [&](std::int64_t) {
        if (registry.contains(name) || registry.pinned_bytes() != 0 || cache.prefix_gauges().all.pinned_units != 0)
          throw std::logic_error("a prompt was put halfway");
      });
  CHECK(failures > 2);
  CHECK(cache.prefix_gauges().all.pinned_units == 4);
  std::int64_t const replacing = for_every_failure(
      [&] { registry.put(name, Prefix(std::span(second).first(9))); },
      [&](std::int64_t) {
        if (registry.pinned_bytes() != 4 * tree.unit_bytes() || cache.prefix_gauges().all.pinned_units != 4)
          throw std::logic_error("a prompt was replaced halfway");
      });
  CHECK(replacing > 0);
  CHECK(cache.prefix_gauges().all.pinned_units == 2);
  registry.put(other, Prefix(std::span(second).first(5)), {.pinned = false});
  static_cast<void>(for_every_failure([&] { registry.pin(other); },
                                      [&](std::int64_t) {
                                        if (registry.is_pinned(other))
                                          throw std::logic_error("a prompt was pinned halfway");
                                      }));
  CHECK(registry.is_pinned(other));
}
