// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "block.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "memory.hpp"

namespace simt::detail {

Runner runner;
Index3 thread_index, block_index, block_extent, grid_extent;

std::uint64_t volume(Index3 const& extent) { return std::uint64_t{extent.x} * extent.y * extent.z; }

Index3 unravel(std::uint64_t number, Index3 const& extent) {
  return {static_cast<unsigned>(number % extent.x), static_cast<unsigned>(number / extent.x % extent.y),
          static_cast<unsigned>(number / extent.x / extent.y)};
}

std::uint64_t draw(std::uint64_t bound) {  // splitmix64
  std::uint64_t x = runner.random += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return (x ^ (x >> 31)) % bound;
}

namespace {

// More atomics than this with no thread returning and no barrier passing is a wait that does not end.
constexpr std::uint64_t max_atomics_without_progress = std::uint64_t{1} << 22;

constexpr std::size_t shared_alignment = 128;  // under nvcc too, see cuda.hpp

/// What a fiber runs.
void run_thread() {
  std::string problem;
  try {
    runner.body(runner.argument);
  } catch (std::exception const& error) {
    problem = error.what();
  } catch (...) {
    problem = "not a std::exception";
  }
  if (!problem.empty())
    fail(Fault::kernel,
         [&] { return "throws an exception, which a GPU does not have: " + std::exchange(problem, {}); });

  Thread& self = *runner.current;
  self.state = State::returned;
  ++runner.num_returned;
  runner.atomics_since_progress = 0;
  if (!runner.plan->allow_early_exit) return;
  try_barrier();
  int const first = self.warp() * warp_size;
  for (int i = first; i < std::min(first + warp_size, runner.num_threads); ++i) {
    Thread const& other = runner.threads[static_cast<std::size_t>(i)];
    if (other.state == State::at_warp_operation) try_warp_operation(other);
  }
}

void begin_block() {
  runner.num_returned = 0;
  runner.num_at_barrier = 0;
  runner.atomics_since_progress = 0;
  runner.waiting.assign(static_cast<std::size_t>(runner.num_threads + warp_size - 1) / warp_size, 0);
  for (int i = 0; i < runner.num_threads; ++i) {
    Thread& thread = runner.threads[static_cast<std::size_t>(i)];
    thread.number = i;
    thread.state = State::ready;
    thread.has_called = false;
    thread.fiber.start(runner.plan->stack_bytes, run_thread);
  }
}

/// Gives a turn to each thread that is ready; false when none was.
bool take_turns(std::vector<int> const& order) {
  bool any = false;
  for (int const i : order) {
    Thread& thread = runner.threads[static_cast<std::size_t>(i)];
    if (thread.state != State::ready) continue;
    any = true;
    runner.current = &thread;
    thread_index = unravel(static_cast<std::uint64_t>(i), block_extent);
    thread.fiber.resume();
    runner.current = nullptr;
    if (runner.failure) return true;
  }
  return any;
}

}  // namespace

void run_block(std::vector<int>& order) {
  begin_block();
  while (runner.num_returned < runner.num_threads && !runner.failure) {
    if (runner.plan->seed != 0)
      for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[draw(i)]);
    if (!take_turns(order)) fail_stuck();
  }
}

Thread& calling_thread(char const* what) {
  if (runner.current == nullptr)
    throw Error(Fault::kernel, std::string("simt: ") + what + " is for kernels: call it in what simt::launch runs");
  return *runner.current;
}

unsigned lane() { return static_cast<unsigned>(calling_thread("__activemask").lane()); }

void yield() {
  calling_thread("__nanosleep");
  if (++runner.atomics_since_progress > max_atomics_without_progress)
    fail(Fault::divergence, [] {
      return "waits for something that no other thread of its block does; blocks run one after another here, so a "
             "kernel must not wait for another block";
    });
  Fiber::suspend();
}

void before_atomic(void const* address, std::size_t bytes, bool changes) {
  calling_thread("an atomic");
  // Others get a turn before some atomics, so that their order varies, and a loop that waits for them can end.
  bool const turn = runner.plan->seed != 0 ? draw(4) == 0 : runner.atomics_since_progress % 8 == 7;
  if (turn) {
    yield();
  } else {
    ++runner.atomics_since_progress;
  }
  memory_atomic(address, bytes, changes);
}

void fence(Scope scope) {
  calling_thread("__threadfence");
  memory_fence(scope);
}

std::byte* shared_memory(std::size_t bytes, std::size_t alignment) {
  calling_thread("simt::shared_memory");
  if (bytes > runner.plan->shared_bytes)
    fail(Fault::launch, [&] {
      return "needs " + std::to_string(bytes) + " bytes of shared memory, but the launch gave it " +
             std::to_string(runner.plan->shared_bytes) + " (Launch::shared_bytes)";
    });
  if (alignment > shared_alignment)
    fail(Fault::misaligned, [&] {
      return "needs shared memory aligned to " + std::to_string(alignment) + " bytes; it is to " +
             std::to_string(shared_alignment);
    });
  return runner.shared;
}

void trap(Where where) {
  calling_thread("__trap");
  fail(Fault::kernel, [&] { return "calls __trap() at " + to_string(where); });
}

}  // namespace simt::detail
