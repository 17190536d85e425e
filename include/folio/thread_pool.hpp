// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Threads that stay: the bulk operations and the examples share their work over them. Host only.

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/executor.hpp>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

namespace folio {

/// Thread pool: a fixed number of threads that run loops together with the thread that asks.
///
/// One loop at a time, asked for by one thread; a loop's body must not ask for another on the same pool. Which thread
/// runs which index is open, so a body's result must not depend on it. Cost: to wake a sleeping thread takes tens of
/// microseconds, so threads stay awake for about as long after a loop, unless there are more of them than processors.
class ThreadPool {
 public:
  /// `num_threads` threads in all, the caller's among them. Throws Error when it is less than 1, or when the system
  /// starts no more threads; those that were started have ended then.
  explicit ThreadPool(int num_threads) {
    if (num_threads < 1)
      throw Error("folio: a thread pool needs at least 1 thread, not " + std::to_string(num_threads));
    if (static_cast<unsigned>(num_threads) > std::thread::hardware_concurrency()) awake_ = 0;
    try {
      while (this->num_threads() < num_threads) workers_.emplace_back([this] { work(); });
    } catch (std::system_error const& error) {
      int const started = this->num_threads();
      end();
      throw Error("folio: of a pool's " + std::to_string(num_threads) + " threads the system started " +
                  std::to_string(started) + ", the caller's among them: " + error.what() + "; ask for fewer");
    } catch (...) {
      end();
      throw;
    }
  }
  ThreadPool(ThreadPool const&) = delete;
  ThreadPool& operator=(ThreadPool const&) = delete;
  ~ThreadPool() { end(); }

  [[nodiscard]] int num_threads() const noexcept { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(i) once for each i in [0, n): folio::parallel_for on these threads.
  template <class Body>
  void parallel_for(std::int64_t n, Body&& body) {
    folio::parallel_for(Executor(this), n, body);
  }

  /// Calls task(i) once for each i in [0, n), by this thread and those that wake in time, and returns when all are
  /// done.
  void run(std::int64_t n, Executor::Task task) noexcept {
    Loop loop{n, task};
    if (n <= 1 || workers_.empty()) return run(loop);
    {
      std::lock_guard const lock(mutex_);
      loop_ = &loop;
      ++generation_;
    }
    wake_.notify_all();
    run(loop);
    {
      std::lock_guard const lock(mutex_);
      loop_ = nullptr;  // a worker that wakes only now finds nothing to do
    }
    stay_awake([&] { return loop.helpers.load(std::memory_order_relaxed) == 0; });
    std::unique_lock lock(mutex_);
    done_.wait(lock, [&] { return loop.helpers == 0; });
  }

 private:
  struct Loop {
    std::int64_t end;
    Executor::Task task;
    std::atomic<std::int64_t> next{0};
    std::atomic<int> helpers{0};  // workers inside; changed under the pool's mutex
  };

  static void run(Loop& loop) noexcept {
    // Relaxed: indices order nothing, the mutexes do, and the thread sanitizer sees what bodies do not order
    // themselves.
    for (std::int64_t i = 0; (i = loop.next.fetch_add(1, std::memory_order_relaxed)) < loop.end;) loop.task(i);
  }

  void end() noexcept {
    {
      std::lock_guard const lock(mutex_);
      stop_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  template <class Done>
  void stay_awake(Done const& done) const {
    for (int i = 0; i < awake_ && !done(); ++i) {
#if defined(__x86_64__) && defined(__GNUC__)
      asm volatile("pause");
#else
      std::this_thread::yield();
#endif
    }
  }

  void work() {
    std::uint64_t seen = 0;
    std::unique_lock lock(mutex_);
    while (true) {
      lock.unlock();
      stay_awake([&] { return generation_.load(std::memory_order_relaxed) != seen; });
      lock.lock();
      wake_.wait(lock, [&] { return stop_ || generation_ != seen; });
      if (stop_) return;
      seen = generation_;
      Loop* const loop = loop_;
      if (loop == nullptr) continue;
      ++loop->helpers;
      lock.unlock();
      run(*loop);
      lock.lock();
      if (--loop->helpers == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  Loop* loop_ = nullptr;
  std::atomic<std::uint64_t> generation_{0};  // changed under the mutex
  int awake_ = 1000;  // looks at what it waits for before a thread sleeps; tens of nanoseconds each
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace folio
