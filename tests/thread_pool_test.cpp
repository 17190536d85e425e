// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <folio/thread_pool.hpp>
#include <memory>
#include <numeric>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
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

TEST_CASE("one thread does what many do when bodies throw: the others run, and the least index is what comes out") {
  for (int const num_threads : {0, 1, 2, 4}) {
    CAPTURE(num_threads);
    std::optional<ThreadPool> pool;
    if (num_threads > 0) pool.emplace(num_threads);
    ThreadPool* const threads = pool ? &*pool : nullptr;
    for (int round = 0; round < 100; ++round) {
      std::vector<std::atomic<int>> met(20);
      auto const body = [&](std::int64_t i) {
        ++met[static_cast<std::size_t>(i)];
        if (i % 5 == 3) throw std::logic_error("index " + std::to_string(i));
      };
      REQUIRE_THROWS_WITH(parallel_for(threads, 20, body), "index 3");
      REQUIRE(std::all_of(met.begin(), met.end(), [](int times) { return times == 1; }));
      REQUIRE_THROWS_WITH(parallel_for(threads, 1, [](std::int64_t) { throw std::logic_error("alone"); }), "alone");
    }
  }
}

TEST_CASE("the least index comes out where another one threw before it") {
  ThreadPool threads(2);
  for (int round = 0; round < 20; ++round) {
    std::atomic<bool> thrown{false};
    struct Later {  // gone when the exception has left its body
      std::atomic<bool>& thrown;
      ~Later() { thrown = true; }
    };
    auto const body = [&](std::int64_t i) {
      if (i == 1) {
        Later const later{thrown};
        throw std::logic_error("the first in time");
      }
      while (!thrown) std::this_thread::yield();
      throw std::logic_error("the first in order");
    };
    REQUIRE_THROWS_WITH(threads.parallel_for(2, body), "the first in order");
  }
}

#if defined(__GLIBC__)
TEST_CASE("threads that the system does not start are an Error that says how many there were") {
  pthread_attr_t usual, huge;
  REQUIRE(pthread_getattr_default_np(&usual) == 0);
  REQUIRE(pthread_attr_init(&huge) == 0);
  REQUIRE(pthread_attr_setstacksize(&huge, std::size_t{1} << 50) == 0);  // more than a process can address
  REQUIRE(pthread_setattr_default_np(&huge) == 0);
  std::string sentence;
  try {
    ThreadPool const threads(4);
  } catch (folio::Error const& error) {
    sentence = error.what();
  }
  REQUIRE(pthread_setattr_default_np(&usual) == 0);
  CHECK_THAT(sentence, contains("of a pool's 4 threads the system started 1, the caller's among them"));
  CHECK(meet(std::make_unique<ThreadPool>(4).get(), 10) == std::vector<int>(10, 1));
}
#endif

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
