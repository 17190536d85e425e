// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whose threads work? An executor lends a thread pool to the bulk operations: folio::ThreadPool, or an engine's own.
// Host only.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <mutex>
#include <utility>

namespace folio {

/// Executor: a loop over indices on the threads of a pool that it refers to. Two pointers and a number, passed by
/// value.
///
/// Made from a pointer to any pool that has
/// - `int num_threads()`: how many threads run tasks at the same time at most, the caller's among them if it does;
/// - `void run(std::int64_t n, Executor::Task task)`: calls task(i) once for each i in [0, n), on any thread, in any
///   order, and returns when all have returned.
/// A null pointer, and an executor made from nothing: the calling thread. The pool must outlive the operations.
///
/// Never call an operation with it from a job of the same pool, unless `run` works in the calling thread too and can be
/// asked again meanwhile: where all threads wait in `run`, nobody works. ThreadPool is asked for one loop at a time.
class Executor {
 public:
  /// What a pool is given to run. Two pointers. It does not throw: parallel_for keeps what a body throws.
  class Task {
   public:
    Task(void* loop, void (*call)(void*, std::int64_t) noexcept) noexcept : loop_(loop), call_(call) {}
    void operator()(std::int64_t i) const noexcept { call_(loop_, i); }

   private:
    void* loop_;
    void (*call_)(void*, std::int64_t) noexcept;
  };

  Executor() = default;
  Executor(std::nullptr_t) noexcept {}
  template <class Pool>
  requires requires(Pool& pool, Task task) {
    { pool.num_threads() } -> std::convertible_to<int>;
    pool.run(std::int64_t{1}, task);
  }
  Executor(Pool* pool)
      : pool_(const_cast<void*>(static_cast<void const*>(pool))),
        run_([](void* p, std::int64_t n, Task task) { static_cast<Pool*>(p)->run(n, task); }),
        num_threads_(pool != nullptr ? static_cast<int>(pool->num_threads()) : 1) {}

  [[nodiscard]] int num_threads() const noexcept { return num_threads_; }
  /// As of a pool. In order, where only the calling thread works.
  void run(std::int64_t n, Task task) const {
    if (num_threads_ > 1 && n > 1) return run_(pool_, n, task);
    for (std::int64_t i = 0; i < n; ++i) task(i);
  }

 private:
  void* pool_ = nullptr;
  void (*run_)(void*, std::int64_t, Task) = nullptr;
  int num_threads_ = 1;
};

namespace detail {

/// A loop with its body's type forgotten, and what its bodies threw.
class Loop {
 public:
  template <class Body>
  explicit Loop(Body& body) noexcept
      : body_(const_cast<void*>(static_cast<void const*>(&body))),  // called as what it is, const or not
        call_([](void* b, std::int64_t i) { (*static_cast<Body*>(b))(i); }) {}

  void run(Executor threads, std::int64_t n) {
    threads.run(n, {this, [](void* loop, std::int64_t i) noexcept { static_cast<Loop*>(loop)->call(i); }});
    if (error_) std::rethrow_exception(std::move(error_));
  }

 private:
  void call(std::int64_t i) noexcept {
    try {
      call_(body_, i);
    } catch (...) {
      std::lock_guard const lock(mutex_);
      if (i > failed_) return;
      failed_ = i;
      error_ = std::current_exception();
    }
  }

  void* body_;
  void (*call_)(void*, std::int64_t);
  std::mutex mutex_;                                                // of what follows
  std::int64_t failed_ = std::numeric_limits<std::int64_t>::max();  // the least index whose body threw
  std::exception_ptr error_;
};

}  // namespace detail

/// Calls body(i) once for each i in [0, n), in any order, and returns when all are done. When bodies throw, the others
/// still run, and the exception of the least index comes out, with any number of threads.
template <class Body>
void parallel_for(Executor threads, std::int64_t n, Body&& body) {
  detail::Loop(body).run(threads, n);
}

}  // namespace folio
