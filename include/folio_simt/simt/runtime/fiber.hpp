// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Fibers: functions with a stack of their own that give control back in the middle. All of them share one OS thread.

#include <cstddef>

namespace simt::detail {

/// One stack, used for one call after another.
///
/// A switch costs a few nanoseconds on x86-64 and AArch64, where it is a dozen instructions of our own, and two system
/// calls elsewhere (ucontext). The page below the stack is not mapped, so an overflow ends the program at once.
/// A fiber that is dropped in the middle is never unwound: the destructors of what is on its stack do not run.
class Fiber {
 public:
  Fiber() = default;
  Fiber(Fiber const&) = delete;
  Fiber& operator=(Fiber const&) = delete;
  ~Fiber();

  /// The next resume() calls `entry` from its beginning, whatever was on the stack before. `entry` does not throw.
  void start(std::size_t stack_bytes, void (*entry)());
  /// Runs the fiber until it suspends or returns. Called from outside of fibers.
  void resume();
  /// Leaves the running fiber for the resume() that entered it. Called from inside of a fiber.
  static void suspend();

 private:
  void map(std::size_t stack_bytes);
  void prepare();
  static void main() noexcept;

  std::byte* stack_ = nullptr;  // its lowest byte; the guard page is below
  std::size_t stack_bytes_ = 0;
  void (*entry_)() = nullptr;
  void* context_ = nullptr;     // x86-64, AArch64: the saved stack pointer; elsewhere a ucontext_t
  void* fake_stack_ = nullptr;  // the address sanitizer's
  bool at_rest_ = false;        // its entry returned: the next one can be called without a new context
};

}  // namespace simt::detail
