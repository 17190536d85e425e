// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The state of the launch that is running: its current block, that block's threads, and what each waits for.

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <vector>

#include "fiber.hpp"
#include "simt/detail.hpp"
#include "simt/runner.hpp"

namespace simt::detail {

inline constexpr int warp_size = 32;

enum class State : std::uint8_t { ready, at_barrier, at_warp_operation, returned };

struct Thread {
  Fiber fiber;
  int number = 0;  // in the block: x runs fastest
  State state = State::ready;
  Call call;  // the operation that it waits in, or the last that it passed
  bool has_called = false;
  std::uint64_t result = 0;

  [[nodiscard]] int warp() const { return number / warp_size; }
  [[nodiscard]] int lane() const { return number % warp_size; }
};

struct Runner {
  Plan const* plan = nullptr;  // of the running launch
  void (*body)(void const*) = nullptr;
  void const* argument = nullptr;
  std::byte* shared = nullptr;

  std::deque<Thread> threads;  // those of the largest block so far; fibers are kept
  int num_threads = 0;         // of the running block
  int num_returned = 0;
  int num_at_barrier = 0;
  std::vector<std::uint32_t> waiting;  // by warp: lanes in a warp operation
  Thread* current = nullptr;           // whose fiber runs; none outside of kernels

  std::uint64_t random = 0;
  std::uint64_t atomics_since_progress = 0;
  std::optional<Error> failure;
};
extern Runner runner;

Index3 unravel(std::uint64_t number, Index3 const& extent);
std::uint64_t volume(Index3 const& extent);
/// A number below `bound`, from the launch's seed.
std::uint64_t draw(std::uint64_t bound);

std::string to_string(Index3 const& index);
std::string to_string(Where const& where);
char const* to_string(Operation operation);

/// Keeps the failure of a launch: `what` follows the names of kernel, block and thread.
void record_failure(Fault fault, Thread const& thread, std::string const& what);

/// Ends the launch with the sentence that `compose()` makes. The current thread's fiber is left for good, which works
/// also in code that cannot throw. Nothing that is on its stack is destroyed, hence a function that leaves nothing
/// there.
template <class Compose>
[[noreturn]] void fail(Fault fault, Thread const& thread, Compose const& compose) {
  record_failure(fault, thread, compose());
  for (;;) Fiber::suspend();
}
template <class Compose>
[[noreturn]] void fail(Fault fault, Compose const& compose) {
  fail(fault, *runner.current, compose);
}

/// Ends the launch when no thread can go on, with the list of who waits where.
[[noreturn]] void fail_stuck();

/// The calling thread; fails, naming `what` was called, when no kernel runs.
Thread& calling_thread(char const* what);
/// Runs all threads of the block that block_index names.
void run_block(std::vector<int>& order);
/// Releases the barrier, or the warp operation that `thread` waits in, if all whom it needs are there.
bool try_barrier();
bool try_warp_operation(Thread const& thread);

}  // namespace simt::detail
