// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <folio/executor.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/catch.hpp"

using folio::Executor;
using folio::parallel_for;

namespace {

/// An engine's pool, which starts a thread for each task, last index first.
struct OwnThreads {
  int threads = 4;
  std::vector<std::int64_t> asked = {};

  [[nodiscard]] int num_threads() const { return threads; }
  void run(std::int64_t n, Executor::Task task) {
    asked.push_back(n);
    std::vector<std::thread> all;
    for (std::int64_t i = n; i-- > 0;) all.emplace_back([task, i] { task(i); });
    for (std::thread& thread : all) thread.join();
  }
};

/// The same as a const object, in the calling thread, backwards.
struct Backwards {
  [[nodiscard]] static int num_threads() { return 2; }
  void run(std::int64_t n, Executor::Task task) const {
    while (n-- > 0) task(n);
  }
};

std::vector<int> meet(Executor threads, std::int64_t n) {
  std::vector<std::atomic<int>> met(static_cast<std::size_t>(n));
  parallel_for(threads, n, [&](std::int64_t i) { ++met.at(static_cast<std::size_t>(i)); });
  return {met.begin(), met.end()};
}

}  // namespace

TEST_CASE("an engine's own pool runs every index once") {
  OwnThreads own;
  Backwards const backwards;
  for (std::int64_t const n : {0, 1, 2, 9}) {
    CHECK(meet(&own, n) == std::vector<int>(static_cast<std::size_t>(n), 1));
    CHECK(meet(&backwards, n) == std::vector<int>(static_cast<std::size_t>(n), 1));
  }
  CHECK(own.asked == std::vector<std::int64_t>{2, 9});  // what one thread does needs no other
  CHECK(Executor(&own).num_threads() == 4);
}

TEST_CASE("no pool is the calling thread, in order") {
  OwnThreads one{.threads = 1};
  OwnThreads* const none = nullptr;
  for (Executor const threads : {Executor(), Executor(nullptr), Executor(none), Executor(&one)}) {
    CHECK(threads.num_threads() == 1);
    std::vector<std::int64_t> order;
    parallel_for(threads, 3, [&](std::int64_t i) { order.push_back(i); });
    CHECK(order == std::vector<std::int64_t>{0, 1, 2});
  }
  CHECK(one.asked.empty());
}

TEST_CASE("what bodies throw in an engine's pool comes out: of the least index, after all have run") {
  OwnThreads own;
  Backwards const backwards;
  for (Executor const threads : {Executor(&own), Executor(&backwards), Executor()}) {
    std::atomic<int> calls{0};
    auto const body = [&](std::int64_t i) {
      ++calls;
      if (i % 3 == 1) throw std::runtime_error("index " + std::to_string(i));
    };
    REQUIRE_THROWS_WITH(parallel_for(threads, 8, body), "index 1");
    CHECK(calls == 8);
  }
}
