// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Where threads meet: the barriers of a block and the operations of a warp.
#include <algorithm>
#include <bit>
#include <cstdio>

#include "block.hpp"
#include "memory.hpp"

namespace simt::detail {
namespace {

bool same_place(Call const& a, Call const& b) { return a.operation == b.operation && a.where == b.where; }

/// What a waiting lane needs of another that its mask names.
bool matches(Call const& a, Call const& b) {
  bool const at_same_place = a.operation == Operation::syncwarp || a.where == b.where;
  return a.operation == b.operation && a.mask == b.mask && at_same_place;
}

Thread& at(int number) { return runner.threads[static_cast<std::size_t>(number)]; }

void wait(State state) {
  Thread& self = *runner.current;
  if (self.state == state) {
    Fiber::suspend();
  } else if (runner.plan->seed != 0 && draw(2) == 0) {
    Fiber::suspend();  // it came last, but shall not always be the first to go on
  }
}

void release(Thread& thread, std::uint64_t result) {
  thread.result = result;
  thread.state = State::ready;
  runner.atomics_since_progress = 0;
}

/// The lanes of a warp that a block of this size has.
std::uint32_t existing_lanes(int warp) {
  int const num_lanes = runner.num_threads - warp * warp_size;
  return num_lanes >= warp_size ? 0xffffffff : (std::uint32_t{1} << num_lanes) - 1;
}

std::uint32_t returned_lanes(int warp) {
  std::uint32_t lanes = 0;
  for (int i = 0; i < warp_size && warp * warp_size + i < runner.num_threads; ++i)
    if (at(warp * warp_size + i).state == State::returned) lanes |= std::uint32_t{1} << i;
  return lanes;
}

std::string hexadecimal(std::uint32_t mask) {
  char text[16];
  std::snprintf(text, sizeof(text), "0x%08x", mask);
  return text;
}

/// Calls visit(thread) for the lanes of a warp.
template <class Visit>
void for_lanes(int warp, std::uint32_t lanes, Visit visit) {
  for (; lanes != 0; lanes &= lanes - 1) visit(at(warp * warp_size + std::countr_zero(lanes)));
}

/// What a vote or a reduction of the `lanes` gives to all of them.
std::uint64_t combined(Operation operation, int warp, std::uint32_t lanes) {
  std::uint32_t ballot = 0, sum = 0, all_bits = 0xffffffff, any_bits = 0, odd_bits = 0, least = 0xffffffff, most = 0;
  std::int32_t least_signed = INT32_MAX, most_signed = INT32_MIN;
  for_lanes(warp, lanes, [&](Thread const& thread) {
    auto const value = static_cast<std::uint32_t>(thread.call.value);
    auto const signed_value = static_cast<std::int32_t>(value);
    if (value != 0) ballot |= std::uint32_t{1} << thread.lane();
    sum += value, all_bits &= value, any_bits |= value, odd_bits ^= value;
    least = std::min(least, value), most = std::max(most, value);
    least_signed = std::min(least_signed, signed_value), most_signed = std::max(most_signed, signed_value);
  });
  switch (operation) {
    case Operation::ballot:
      return ballot;
    case Operation::any:
      return ballot != 0 ? 1 : 0;
    case Operation::all:
      return ballot == lanes ? 1 : 0;
    case Operation::reduce_add:
      return sum;
    case Operation::reduce_and:
      return all_bits;
    case Operation::reduce_or:
      return any_bits;
    case Operation::reduce_xor:
      return odd_bits;
    case Operation::reduce_min:
      return least;
    case Operation::reduce_max:
      return most;
    case Operation::reduce_min_signed:
      return static_cast<std::uint32_t>(least_signed);
    case Operation::reduce_max_signed:
      return static_cast<std::uint32_t>(most_signed);
    default:
      return 0;
  }
}

/// The lanes whose value is `value`.
std::uint32_t matching(int warp, std::uint32_t lanes, std::uint64_t value) {
  std::uint32_t found = 0;
  for_lanes(warp, lanes, [&](Thread const& thread) {
    if (thread.call.value == value) found |= std::uint32_t{1} << thread.lane();
  });
  return found;
}

/// The value that a shuffle gives to `thread`.
std::uint64_t shuffled(Thread const& thread, std::uint32_t lanes) {
  Call const& call = thread.call;
  std::uint32_t const source = std::uint32_t{1} << call.source_lane;
  if ((lanes & source) != 0) return at(thread.warp() * warp_size + call.source_lane).call.value;
  fail(Fault::shuffle, thread, [&] {
    std::string const why = (call.mask & source) == 0
                                ? "the mask " + hexadecimal(call.mask) + " does not name that lane"
                            : (existing_lanes(thread.warp()) & source) == 0 ? "the block has no such thread"
                                                                            : "that thread has returned";
    return std::string("reads from lane ") + std::to_string(call.source_lane) + " in " + to_string(call.operation) +
           " at " + to_string(call.where) + ", but " + why + ": the value is undefined";
  });
}

/// All of `lanes` are there: gives each its result.
void complete_warp_operation(Call const& call, int warp, std::uint32_t lanes) {
  bool const is_shuffle = call.operation >= Operation::shfl && call.operation <= Operation::shfl_xor;
  std::uint64_t const shared_result = is_shuffle ? 0 : combined(call.operation, warp, lanes);
  std::uint64_t results[warp_size];
  for_lanes(warp, lanes, [&](Thread const& thread) {
    std::uint64_t& result = results[thread.lane()];
    result = is_shuffle ? shuffled(thread, lanes) : shared_result;
    if (call.operation == Operation::match_any) result = matching(warp, lanes, thread.call.value);
    if (call.operation == Operation::match_all && matching(warp, lanes, thread.call.value) == lanes) result = lanes;
  });
  if (call.operation == Operation::syncwarp) memory_warp_barrier(warp, lanes);
  runner.waiting[static_cast<std::size_t>(warp)] &= ~lanes;
  for_lanes(warp, lanes, [&](Thread& thread) { release(thread, results[thread.lane()]); });
}

}  // namespace

bool try_barrier() {
  int const num_arrived = runner.num_at_barrier + (runner.plan->allow_early_exit ? runner.num_returned : 0);
  if (num_arrived < runner.num_threads || runner.num_at_barrier == 0) return false;
  Call const* call = nullptr;
  std::uint64_t count = 0;
  for (int i = 0; i < runner.num_threads; ++i) {
    if (at(i).state != State::at_barrier) continue;
    if (call == nullptr) call = &at(i).call;
    if (!same_place(*call, at(i).call)) return false;  // then nobody can go on, which fail_stuck() explains
    count += at(i).call.value;
  }
  std::uint64_t result = count;
  if (call->operation == Operation::syncthreads_and)
    result = count == static_cast<std::uint64_t>(runner.num_at_barrier) ? 1 : 0;
  if (call->operation == Operation::syncthreads_or) result = count != 0 ? 1 : 0;
  memory_barrier();
  runner.num_at_barrier = 0;
  for (int i = 0; i < runner.num_threads; ++i)
    if (at(i).state == State::at_barrier) release(at(i), result);
  return true;
}

bool try_warp_operation(Thread const& thread) {
  int const warp = thread.warp();
  std::uint32_t lanes = thread.call.mask & existing_lanes(warp);
  if (runner.plan->allow_early_exit) lanes &= ~returned_lanes(warp);
  if ((runner.waiting[static_cast<std::size_t>(warp)] & lanes) != lanes) return false;
  bool all_match = true;
  for_lanes(warp, lanes, [&](Thread const& other) { all_match = all_match && matches(thread.call, other.call); });
  if (all_match) complete_warp_operation(Call(thread.call), warp, lanes);
  return all_match;
}

std::uint64_t block_operation(Call const& call) {
  Thread& self = calling_thread("__syncthreads");
  self.call = call;
  self.has_called = true;
  self.state = State::at_barrier;
  ++runner.num_at_barrier;
  try_barrier();
  wait(State::at_barrier);
  return self.result;
}

std::uint64_t warp_operation(Call const& call) {
  Thread& self = calling_thread(to_string(call.operation));
  if ((call.mask >> self.lane() & 1U) == 0)
    fail(Fault::shuffle, [&] {
      return std::string("calls ") + to_string(call.operation) + " at " + to_string(call.where) + " with the mask " +
             hexadecimal(call.mask) + ", which does not name its own lane " + std::to_string(self.lane());
    });
  self.call = call;
  self.has_called = true;
  self.state = State::at_warp_operation;
  runner.waiting[static_cast<std::size_t>(self.warp())] |= std::uint32_t{1} << self.lane();
  try_warp_operation(self);
  wait(State::at_warp_operation);
  return self.result;
}

int source_lane(Operation operation, int operand, int width, Where where) {
  int const lane = calling_thread(to_string(operation)).lane();
  if (width < 1 || width > warp_size || !std::has_single_bit(static_cast<unsigned>(width)))
    fail(Fault::shuffle, [&] {
      return std::string("calls ") + to_string(operation) + " at " + to_string(where) + " with the width " +
             std::to_string(width) + "; it must be 1, 2, 4, 8, 16 or 32";
    });
  int const first = lane & ~(width - 1), last = first + width - 1;
  // A lane outside of the segment stands for the caller's own; 64-bit because an unsigned delta may be large.
  std::int64_t source = lane;
  switch (operation) {
    case Operation::shfl:
      source = first + (operand & (width - 1));
      break;
    case Operation::shfl_up:
      source = lane - std::int64_t{static_cast<unsigned>(operand)};
      break;
    case Operation::shfl_down:
      source = lane + std::int64_t{static_cast<unsigned>(operand)};
      break;
    default:
      source = lane ^ operand;
      break;
  }
  if (operation == Operation::shfl_up) return static_cast<int>(source < first ? lane : source);
  return static_cast<int>(source > last || source < 0 ? lane : source);
}

}  // namespace simt::detail
