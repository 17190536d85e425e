// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What docs/quickstart.md shows of an engine's own threads, and that it does what is said there.

#include <atomic>
#include <condition_variable>
#include <deque>
#include <folio/folio.hpp>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace {

constexpr folio::ModelConfig model{.layers = 2, .kv_heads = 2, .head_dim = 64};
using Cache = folio::KvCache<folio::Model<model>, folio::BlockSize<16>, folio::Int8PerToken>;

/// An engine's pool, as engines have them: jobs in, futures out.
class EnginePool {
 public:
  explicit EnginePool(int num_threads) {
    for (int i = 0; i < num_threads; ++i) threads_.emplace_back([this] { work(); });
  }
  EnginePool(EnginePool const&) = delete;
  EnginePool& operator=(EnginePool const&) = delete;
  ~EnginePool() {
    for (std::size_t i = 0; i < threads_.size(); ++i) submit({}).wait();
    for (std::thread& thread : threads_) thread.join();
  }
  [[nodiscard]] int size() const { return static_cast<int>(threads_.size()); }
  /// Runs `job` on one of the threads; an empty one ends a thread.
  std::future<void> submit(std::function<void()> job) {
    bool const ends = job == nullptr;
    std::packaged_task<void()> task(ends ? [] {} : std::move(job));
    std::future<void> done = task.get_future();
    {
      std::lock_guard const lock(mutex_);
      jobs_.emplace_back(std::move(task), ends);
    }
    wake_.notify_one();
    return done;
  }

 private:
  void work() {
    for (bool ends = false; !ends;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return !jobs_.empty(); });
      auto job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      ends = job.second;
      job.first();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::pair<std::packaged_task<void()>, bool>> jobs_;
  std::vector<std::thread> threads_;
};

// [openmp]
/// OpenMP's threads, lent to Folio's operations.
struct OpenMpThreads {
  static int num_threads() { return 4; }
  static void run(std::int64_t n, folio::Executor::Task task) {
#pragma omp parallel for num_threads(4) schedule(dynamic)
    for (std::int64_t i = 0; i < n; ++i) task(i);
  }
};
// [/openmp]

// [own_pool]
/// The threads of a pool that runs jobs and gives futures.
struct PoolThreads {
  EnginePool& pool;
  [[nodiscard]] int num_threads() const { return pool.size(); }
  void run(std::int64_t n, folio::Executor::Task task) const {
    std::atomic<std::int64_t> next{0};
    std::vector<std::future<void>> jobs;
    for (int i = 0; i < pool.size(); ++i)
      jobs.push_back(pool.submit([&] {
        for (std::int64_t k = next++; k < n; k = next++) task(k);
      }));
    for (std::future<void>& job : jobs) job.wait();
  }
};
// [/own_pool]

}  // namespace

TEST_CASE("quickstart: an engine's threads, and a step planned once") {
  Cache cache(folio::CacheConfig{.num_blocks = {256}});
  folio::Sequence sequence = cache.create(3000);
  auto const batch = cache.batch({&sequence});
  auto const rows = folio::test::random_floats(std::int64_t{3000} * 2 * 64, 1);
  for (std::int32_t layer = 0; layer < model.layers; ++layer)
    folio::ops::append(batch.view(), layer, rows.data(), rows.data());
  folio::Batch<Cache::View> const last = cache.batch({{&sequence, 1}});
  auto const view = last.view();
  auto const q = folio::test::random_floats(4 * 64, 2);
  std::vector<float> expected(q.size()), out(q.size());
  folio::ops::attend(view, 1, folio::AttentionIo{q.data(), 4, expected.data()});

  EnginePool engine_pool(3);
  PoolThreads pool_threads{engine_pool};
  for (int round = 0; round < 3; ++round) {
    // [lend]
    OpenMpThreads open_mp;
    folio::ops::attend(view, 1, folio::AttentionIo{q.data(), 4, out.data()}, {}, {.threads = &open_mp});
    // [/lend]
    REQUIRE(out == expected);
    folio::ops::attend(view, 1, folio::AttentionIo{q.data(), 4, out.data()}, {}, {.threads = &pool_threads});
    REQUIRE(out == expected);
  }

  folio::ThreadPool threads(2);
  auto const* const new_rows = rows.data() + (rows.size() - 2 * 64);
  // [plan]
  folio::AttentionWorkspace workspace;  // kept from step to step: then a step takes nothing from the heap
  folio::AttentionPlan const plan =
      folio::ops::plan_attention(view, 4, {}, {.threads = &threads, .workspace = &workspace});
  for (std::int32_t layer = 0; layer < model.layers; ++layer) {
    folio::ops::append(view, layer, new_rows, new_rows, &threads);
    folio::ops::attend(plan, layer, folio::AttentionIo{q.data(), 4, out.data()});
  }
  // [/plan]
  REQUIRE(out == expected);
}
