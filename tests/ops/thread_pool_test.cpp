// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <folio/ops/thread_pool.hpp>
#include <numeric>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using folio::parallel_for;
using folio::ThreadPool;
using folio::test::contains;

namespace {

/// How often each index was met.
std::vector<int> meet(ThreadPool* threads, std::int64_t n) {
  std::vector<std::atomic<int>> met(static_cast<std::size_t>(n > 0 ? n : 0));
  parallel_for(threads, n, [&](std::int64_t i) { ++met.at(static_cast<std::size_t>(i)); });
  return {met.begin(), met.end()};
}

}  // namespace

TEST_CASE("every index is met once") {
  for (int const num_threads : {1, 2, 3, 8}) {
    ThreadPool threads(num_threads);
    for (std::int64_t const n : {0, 1, 2, 3, 7, 1000})
      CHECK(meet(&threads, n) == std::vector<int>(static_cast<std::size_t>(n), 1));
  }
  CHECK(meet(nullptr, 100) == std::vector<int>(100, 1));
}

TEST_CASE("no indices are no calls") {
  ThreadPool threads(3);
  int calls = 0;
  for (std::int64_t const n : {0, -1}) {
    parallel_for(&threads, n, [&](std::int64_t) { ++calls; });
    parallel_for(nullptr, n, [&](std::int64_t) { ++calls; });
  }
  CHECK(calls == 0);
}

TEST_CASE("a pool needs a thread, and counts the caller's") {
  for (int const n : {0, -1, -100}) {
    REQUIRE_THROWS_AS(ThreadPool(n), folio::Error);
    REQUIRE_THROWS_WITH(ThreadPool(n), contains("at least 1 thread, not " + std::to_string(n)));
  }
  CHECK(ThreadPool(1).num_threads() == 1);
  CHECK(ThreadPool(5).num_threads() == 5);
}

TEST_CASE("one thread is the caller's") {
  ThreadPool threads(1);
  auto const caller_id = std::this_thread::get_id();
  bool mine = true;
  parallel_for(&threads, 50, [&](std::int64_t) { mine = mine && std::this_thread::get_id() == caller_id; });
  CHECK(mine);
}

TEST_CASE("several threads work at the same time") {
  ThreadPool threads(3);
  std::atomic<int> inside{0};
  parallel_for(&threads, 3, [&](std::int64_t) {  // each waits for the others: one after the other it would never end
    ++inside;
    while (inside < 3) std::this_thread::yield();
  });
  CHECK(inside == 3);
}

TEST_CASE("what a body throws is thrown to the caller, and the pool goes on") {
  for (int const num_threads : {1, 2, 4}) {
    ThreadPool threads(num_threads);
    for (std::int64_t const bad : {0, 17, 99}) {
      auto const body = [&](std::int64_t i) {
        if (i == bad) throw std::runtime_error("index " + std::to_string(i));
      };
      REQUIRE_THROWS_WITH(threads.parallel_for(100, body), "index " + std::to_string(bad));
      CHECK(meet(&threads, 100) == std::vector<int>(100, 1));
    }
  }
}

TEST_CASE("when every body throws, one exception comes out") {
  ThreadPool threads(4);
  for (int round = 0; round < 100; ++round)
    REQUIRE_THROWS_AS(threads.parallel_for(20, [](std::int64_t) { throw std::logic_error("all"); }), std::logic_error);
}

TEST_CASE("a pool can be used thousands of times") {
  ThreadPool threads(4);
  std::atomic<std::int64_t> sum{0};
  for (int round = 0; round < 5000; ++round) threads.parallel_for(7, [&](std::int64_t i) { sum += i; });
  CHECK(sum == 5000 * 21);
}

TEST_CASE("loops see what the loops before them wrote") {
  ThreadPool threads(4);
  std::vector<std::int64_t> values(256);
  for (int round = 0; round < 200; ++round) {
    std::vector<std::int64_t> const before = values;
    threads.parallel_for(256, [&](std::int64_t i) {
      values[static_cast<std::size_t>(i)] = before[static_cast<std::size_t>(255 - i)] + 1;
    });
  }
  CHECK(values == std::vector<std::int64_t>(256, 200));
}

TEST_CASE("pools come and go") {
  for (int round = 0; round < 200; ++round) {
    ThreadPool threads(1 + round % 4);
    if (round % 3 != 0) CHECK(meet(&threads, 5) == std::vector<int>(5, 1));
  }
}
