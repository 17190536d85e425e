// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What the library asks of the host's heap: nothing while a step is repeated, and nothing is lost when the heap is
// empty. A program of its own, because it replaces operator new.
#include <folio/folio.hpp>
#include <folio/growth.hpp>
#include <vector>

#include "support/catch.hpp"
#include "support/failing_new.hpp"
#include "support/story.hpp"
#include "support/strangers.hpp"

using folio::test::for_every_failure;
using folio::test::HostHeap;

namespace {

std::int64_t num_allocations() { return HostHeap::of_this_thread().num_allocations; }

constexpr folio::ModelConfig hybrid{.layers = 4,
                                    .kv_heads = 1,
                                    .head_dim = 8,
                                    .groups = {folio::full_attention(), folio::sliding_window(5, 1)},
                                    .pattern = folio::repeat_groups({0, 1, 1, 1})};
using Cache = folio::KvCache<folio::Model<hybrid>, folio::BlockSizes<4, 2>, folio::F32, folio::test::LedgerAllocator>;

/// Everything that the store of a cache knows, and what it counts as held ahead.
template <class AnyCache>
std::vector<std::int64_t> everything(AnyCache const& cache) {
  folio::SequenceStore const& store = cache.state()->store;
  std::vector<std::int64_t> all = folio::test::snapshot(store);
  for (int g = 0; g < store.num_groups(); ++g) all.push_back(store.num_reserved(g));
  return all;
}

}  // namespace

TEST_CASE("filling a batch again allocates nothing once it has been as large") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {64, 64}}, folio::test::LedgerAllocator(ledger));
  folio::Sequence a = cache.create(9), b = cache.create(3);
  folio::BatchItem const items[] = {&a, &b};
  folio::BatchPadding const padding{.num_sequences = 4, .num_query_tokens = 16, .row_blocks = 32};
  auto batch = cache.batch(items, padding);
  a.append(2);
  b.append(4);
  auto const before = num_allocations();
  cache.batch(items, batch, padding);
  cache.batch(std::span(items, 1), batch, padding);
  auto const view = batch.view();
  auto const after = num_allocations();
  CHECK(after == before);
  CHECK(view.num_sequences() == 4);
}

TEST_CASE("block pools allocate nothing after they are made") {
  folio::BlockPool pool(100);
  std::vector<folio::BlockId> blocks(100);
  auto const before = num_allocations();
  bool const taken = pool.allocate(blocks);
  for (folio::BlockId const block : blocks) pool.retain(block);
  for (int round = 0; round < 2; ++round)
    for (folio::BlockId const block : blocks) pool.release(block);
  auto const after = num_allocations();
  CHECK(taken);
  CHECK(after == before);
}

TEST_CASE("truncating and releasing allocate nothing, so they cannot fail for want of memory") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {64, 64}}, folio::test::LedgerAllocator(ledger));
  std::vector<folio::Sequence> sequences;
  for (std::int32_t i = 0; i < 20; ++i) sequences.push_back(cache.create(1));
  for (int i = 0; i < 11; ++i) sequences[0].append(1);
  auto const before = num_allocations();
  sequences[0].truncate(11);
  sequences.clear();
  auto const after = num_allocations();
  CHECK(after == before);
}

TEST_CASE("a cache that runs out of host memory while it is made gives everything back") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  std::int64_t live = 0;
  auto const make = [&] {
    live = HostHeap::num_live();
    Cache const cache({.num_blocks = {4, 4}}, folio::test::LedgerAllocator(ledger));
  };
  auto const failures = for_every_failure(make, [&](std::int64_t k) {
    bool const leaked = HostHeap::num_live() != live;  // before a macro allocates
    INFO("allocation " << k);
    CHECK_FALSE(leaked);
    CHECK(ledger->live == 0);
  });
  CHECK(failures > 3);
}

TEST_CASE("create, append and fork that run out of host memory change nothing") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {64, 64}}, folio::test::LedgerAllocator(ledger));
  folio::test::Story story(cache);
  story.append(6);
  int const what = GENERATE(0, 1, 2);
  auto const before = cache.stats();
  auto const tokens = story->num_tokens();
  folio::Sequence made;
  auto const operation = [&] {
    if (what == 0) made = cache.create();
    if (what == 1) story->append(40);
    if (what == 2) made = story->fork();
  };
  auto const failures = for_every_failure(operation, [&](std::int64_t k) {
    CAPTURE(what, k);
    CHECK(story->num_tokens() == tokens);
    CHECK(story.difference() == "");
    auto const after = cache.stats();
    CHECK(after.live == before.live);
    CHECK(after.shared == before.shared);
    CHECK(after.num_sequences == before.num_sequences);
    CHECK(after.counters.created - after.counters.released == after.num_sequences);
  });
  CHECK(failures > 0);
}

TEST_CASE("a thread pool for which the host has no memory ends the threads that it started") {
  bool leaked = false;
  std::int64_t live = 0;
  auto const make = [&] {
    live = HostHeap::num_live();
    folio::ThreadPool const threads(4);
  };
  auto const failures = for_every_failure(make, [&](std::int64_t) { leaked = leaked || HostHeap::num_live() != live; });
  CHECK(failures >= 6);  // three threads, and the list of them
  CHECK_FALSE(leaked);
}

TEST_CASE("a batch that finds no memory for a larger step keeps the tables that it had") {
  Cache cache({.num_blocks = {64, 64}},
              folio::test::LedgerAllocator(std::make_shared<folio::test::LedgerAllocator::Ledger>()));
  folio::Sequence a = cache.create(3), b = cache.create(40), c = cache.create(7);
  folio::BatchItem const small[] = {&a}, large[] = {&a, &b, &c};
  auto batch = cache.batch(small);
  std::vector<std::byte> const before(batch.bytes().begin(), batch.bytes().end());
  auto const* const begin = batch.bytes().data();
  auto const failures =
      for_every_failure([&] { cache.batch(large, batch); },
                        [&](std::int64_t k) {
                          CAPTURE(k);
                          CHECK(batch.num_sequences() == 1);
                          CHECK(batch.num_query_tokens() == 3);
                          CHECK(batch.bytes().data() == begin);  // views still point into it
                          CHECK(std::vector<std::byte>(batch.bytes().begin(), batch.bytes().end()) == before);
                        });
  CHECK(failures == 2);  // the buffer, and which sequences were met
  CHECK(batch.bytes().size() == cache.batch(large).bytes().size());
  CHECK(batch.lengths()[1] == 40);
  batch.prepare(cache.state()->store, large, {.num_sequences = 9, .num_tokens = 300});
  CHECK(batch.num_sequences() == 3);
  auto const allocations = num_allocations();
  cache.batch(large, batch, {.num_sequences = 9, .num_tokens = 300});
  bool const prepared = num_allocations() == allocations;
  CHECK(prepared);
  CHECK(batch.num_sequences() == 9);
}

TEST_CASE("a reservation that runs out of host memory holds what it held, and does what was asked when there is some") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  Cache cache({.num_blocks = {64, 64}}, folio::test::LedgerAllocator(ledger));
  folio::Sequence sequence = cache.create(6), sibling = sequence.fork();  // so that the next append copies a block
  folio::Reservation ahead;
  auto const run = [&](auto const& operation) {
    auto const before = everything(cache);
    std::int64_t const held[] = {ahead.num_blocks(0), ahead.num_blocks(1)};
    auto const failures = for_every_failure(operation, [&](std::int64_t k) {
      CAPTURE(k);
      CHECK(everything(cache) == before);
      CHECK((ahead.num_blocks(0) == held[0] && ahead.num_blocks(1) == held[1]));
    });
    CHECK(everything(cache) != before);
    return failures;
  };
  CHECK(run([&] { static_cast<void>(ahead.try_reserve(sequence, 100, 9)); }) == 2);
  CHECK(ahead.num_blocks(0) == 26);
  CHECK(run([&] { static_cast<void>(ahead.try_append(sequence, 90)); }) >= 2);
  CHECK(sequence.num_tokens() == 96);
  CHECK(run([&] { static_cast<void>(ahead.try_reserve(sequence, 140, 9)); }) > 0);
  ahead.release();
  CHECK(cache.stats().reserved == 0);
}
