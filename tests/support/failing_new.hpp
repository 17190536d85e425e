// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Fault injection for the host's heap: operator new is replaced, counts, and fails at the k-th allocation. For programs
// that failing_new.cpp is a source of, which defines the operators.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <stdexcept>

namespace folio::test {

/// What this thread asked of the heap, and when it is refused. `operator new(std::nothrow)` is counted, never refused:
/// who calls it (std::stable_sort) can do without.
struct HostHeap {
  std::int64_t num_allocations = 0;
  std::int64_t refuse_in = 0;  ///< the so-manieth allocation from now throws std::bad_alloc; 0: none

  static HostHeap& of_this_thread() noexcept {
    static thread_local HostHeap heap;
    return heap;
  }
  /// Allocations of all threads that were not given back.
  static std::atomic<std::int64_t>& num_live() noexcept {
    static std::atomic<std::int64_t> live{0};
    return live;
  }
};

/// The n-th allocation of this thread throws, as long as this lives and once.
class RefuseAllocation {
 public:
  explicit RefuseAllocation(std::int64_t n) noexcept { HostHeap::of_this_thread().refuse_in = n; }
  RefuseAllocation(RefuseAllocation const&) = delete;
  RefuseAllocation& operator=(RefuseAllocation const&) = delete;
  ~RefuseAllocation() { HostHeap::of_this_thread().refuse_in = 0; }
};

/// Runs operation() with its first allocation failing, then its second, and so on until it succeeds, and calls check(k)
/// after each failure: there the state must be what it was before. The last run is the retry, with memory enough.
/// Gives the number of failures; an operation that goes on without the memory it was refused ends the loop, too.
///
/// No test macro inside `operation`: it would be refused memory itself. To see a leak, compare HostHeap::num_live()
/// before all is made and after all is gone, with no macro between, for macros keep memory.
///
/// What an attempt keeps the next one does not ask for. `first`: the allocation that fails first, another in each call
/// where a program goes on and cannot be made anew: what comes after it fails in some of them.
template <class Operation, class Check>
std::int64_t for_every_failure(Operation&& operation, Check&& check, std::int64_t first = 1) {
  for (std::int64_t k = first; k < 100'000; ++k) {
    try {
      RefuseAllocation const refusal(k);
      operation();
      return k - first;
    } catch (std::bad_alloc const&) {
    }
    check(k);
  }
  throw std::runtime_error("an operation failed 100,000 times for want of memory: it leaks, or starts again");
}

/// The same, each time of what `make()` gives anew, a pointer: operation(it), check(it, k). For operations that keep
/// memory when they fail: then the next attempt asks for less, and for_every_failure passes over allocations that come
/// after what was kept.
template <class Make, class Operation, class Check>
std::int64_t for_every_failure_anew(Make&& make, Operation&& operation, Check&& check) {
  for (std::int64_t k = 1; k < 100'000; ++k) {
    auto const made = make();
    try {
      RefuseAllocation const refusal(k);
      operation(*made);
      return k - 1;
    } catch (std::bad_alloc const&) {
    }
    check(*made, k);
  }
  throw std::runtime_error("an operation failed 100,000 times for want of memory");
}

inline void* allocate_or_null(std::size_t size, std::size_t alignment) noexcept {
  ++HostHeap::of_this_thread().num_allocations;
  std::size_t const rounded = (size + alignment) / alignment * alignment;  // never 0
  void* const p = alignment > alignof(std::max_align_t) ? std::aligned_alloc(alignment, rounded) : std::malloc(rounded);
  if (p != nullptr) ++HostHeap::num_live();
  return p;
}
inline void* allocate_or_throw(std::size_t size, std::size_t alignment) {
  std::int64_t& refuse_in = HostHeap::of_this_thread().refuse_in;
  if (refuse_in > 0 && --refuse_in == 0) throw std::bad_alloc();
  if (void* const p = allocate_or_null(size, alignment)) return p;
  throw std::bad_alloc();
}
inline void give_back(void* p) noexcept {
  if (p != nullptr) --HostHeap::num_live();
  std::free(p);
}

}  // namespace folio::test
