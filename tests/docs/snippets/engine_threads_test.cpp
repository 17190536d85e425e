// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What docs/quickstart.md shows of an engine's own threads, and that it does what is said there.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <functional>
#include <future>
#include <limits>
#include <memory>
#include <mutex>
#include <stdexcept>
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
  /// From so many jobs on it throws.
  void accept(int jobs) { accepts_ = jobs; }
  /// Runs `job` on one of the threads; an empty one ends a thread.
  std::future<void> submit(std::function<void()> job) {
    bool const ends = job == nullptr;
    if (!ends && accepts_-- <= 0) throw std::runtime_error("the queue is full");
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
  std::atomic<int> accepts_{std::numeric_limits<int>::max()};
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
/// The threads of a pool that runs jobs. `run` may be called from one of its jobs.
struct PoolThreads {
  struct Loop {
    folio::Executor::Task task;
    std::int64_t n;
    std::atomic<std::int64_t> next{0}, done{0};
    void work() {
      for (std::int64_t i = next++; i < n; i = next++) {
        task(i);
        if (++done == n) done.notify_all();
      }
    }
  };

  EnginePool& pool;
  [[nodiscard]] int num_threads() const { return pool.size() + 1; }  // the calling thread works, too
  void run(std::int64_t n, folio::Executor::Task task) const {
    std::shared_ptr<Loop> const loop(new Loop{task, n});  // a job that begins when all is done still reads it
    try {
      for (int i = 0; i < pool.size(); ++i) pool.submit([loop] { loop->work(); });
    } catch (...) {  // the pool takes no more jobs: those that it took and this thread do the work
    }
    loop->work();
    for (std::int64_t done = loop->done; done < n; done = loop->done) loop->done.wait(done);
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
  std::int32_t const num_query_heads = 4, layer = 1;
  folio::ops::attend(view, layer, folio::AttentionIo{q.data(), num_query_heads, expected.data()});
  folio::AttentionIo const io{q.data(), num_query_heads, out.data()};

  EnginePool engine_pool(3);
  PoolThreads pool_threads{engine_pool};
  for (int round = 0; round < 3; ++round) {
    // [lend]
    OpenMpThreads open_mp;
    folio::ops::attend(view, layer, io, {}, {.threads = &open_mp});
    // [/lend]
    REQUIRE(out == expected);
    folio::ops::attend(view, layer, io, {}, {.threads = &pool_threads});
    REQUIRE(out == expected);
  }

  // Every thread of the pool has a job that waits for others of the same pool.
  std::vector<std::vector<float>> outs(6, std::vector<float>(q.size()));
  std::vector<std::future<void>> jobs;
  for (std::vector<float>& mine : outs)
    jobs.push_back(engine_pool.submit([&] {
      folio::ops::attend(view, layer, folio::AttentionIo{q.data(), num_query_heads, mine.data()}, {},
                         {.threads = &pool_threads});
    }));
  for (std::future<void>& job : jobs) job.get();
  for (std::vector<float> const& mine : outs) REQUIRE(mine == expected);

  for (int const accepted : {0, 1, 2}) {
    engine_pool.accept(accepted);
    std::fill(out.begin(), out.end(), 0.0F);
    folio::ops::attend(view, layer, io, {}, {.threads = &pool_threads});
    REQUIRE(out == expected);
  }

  folio::ThreadPool threads(2);
  auto const* const new_rows = rows.data() + (rows.size() - 2 * 64);
  // [plan]
  folio::AttentionWorkspace workspace;  // kept from step to step: then a step takes nothing from the heap
  folio::AttentionPlan const plan =
      folio::ops::plan_attention(view, num_query_heads, {}, {.threads = &threads, .workspace = &workspace});
  for (std::int32_t i = 0; i < model.layers; ++i) {
    folio::ops::append(view, i, new_rows, new_rows, &threads);
    folio::ops::attend(plan, i, io);
  }
  // [/plan]
  REQUIRE(out == expected);
  // [plan_params]
  folio::AttentionParams capped = plan.params();  // all of them, for what is given takes the place of all
  capped.logit_soft_cap = 0.25F;
  folio::ops::attend(plan, layer, io, capped);
  // [/plan_params]
  REQUIRE(out != expected);
  folio::ops::attend(view, layer, folio::AttentionIo{q.data(), num_query_heads, expected.data()}, capped);
  REQUIRE(out == expected);
}
