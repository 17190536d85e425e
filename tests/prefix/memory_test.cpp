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
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>

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
  using Cache = KvCache<Model<prefix_model>, BlockSize<4>, LruEviction>;
  static Symbols const first = count_from(0, 16), second = count_from(100, 20);
  static std::string const name = "a name that is too long to be kept without an allocation", other = name + ", other";
  struct Trial {
    Cache cache{{.num_blocks = {40}}};
    PromptRegistry<std::remove_reference_t<decltype(cache.prefixes())>> registry{cache.prefixes(), 1 << 20};
    [[nodiscard]] bool pins(std::int64_t units) {
      return registry.pinned_bytes() == units * cache.prefixes().unit_bytes() &&
             cache.prefix_gauges().all.pinned_units == units;
    }
  };
  auto const put = [](Trial& trial) { trial.registry.put(name, first); };
  auto const replace = [](Trial& trial) { trial.registry.put(name, Prefix(std::span(second).first(9))); };
  auto const pin = [](Trial& trial) { trial.registry.pin(other); };
  auto const empty = [] {
    auto trial = std::make_unique<Trial>();
    for (Symbols const* prompt : {&first, &second}) {
      Sequence sequence = trial->cache.create(static_cast<std::int32_t>(prompt->size()));
      trial->cache.insert(sequence, *prompt);
    }
    return trial;
  };
  auto const with_first = [&] {
    auto trial = empty();
    put(*trial);
    return trial;
  };
  auto const with_unpinned = [&] {
    auto trial = empty();
    trial->registry.put(other, Prefix(std::span(second).first(5)), {.pinned = false});
    return trial;
  };
  std::int64_t const putting = for_every_failure_anew(empty, put, [&](Trial& trial, std::int64_t) {
    if (trial.registry.contains(name) || !trial.pins(0)) throw std::logic_error("a prompt was put halfway");
    put(trial);
    if (!trial.pins(4)) throw std::logic_error("a prompt was not put");
  });
  CHECK(putting > 2);
  std::int64_t const replacing = for_every_failure_anew(with_first, replace, [&](Trial& trial, std::int64_t) {
    if (!trial.pins(4)) throw std::logic_error("a prompt was replaced halfway");
    replace(trial);
    if (!trial.pins(2)) throw std::logic_error("a prompt was not replaced");
  });
  CHECK(replacing > 0);
  static_cast<void>(for_every_failure_anew(with_unpinned, pin, [&](Trial& trial, std::int64_t) {
    if (trial.registry.is_pinned(other)) throw std::logic_error("a prompt was pinned halfway");
    pin(trial);
    if (!trial.registry.is_pinned(other)) throw std::logic_error("a prompt was not pinned");
  }));
}
