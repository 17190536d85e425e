// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the headers of the runner ask of its compiled part (runtime/). No kernel and no test names these.

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace simt {

/// An index or an extent in three dimensions: threadIdx, blockIdx, blockDim, gridDim.
struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

/// A place in a kernel's source. As a default argument it is the place of the call.
struct Where {
  char const* file = "";
  int line = 0;

  static constexpr Where here(char const* file = __builtin_FILE(), int line = __builtin_LINE()) { return {file, line}; }
  friend bool operator==(Where const& a, Where const& b) {
    return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
  }
};

namespace detail {

extern Index3 thread_index, block_index, block_extent, grid_extent;

/// runtime/failure.cpp knows their names, in this order.
enum class Operation : std::uint8_t {
  syncthreads,
  syncthreads_count,
  syncthreads_and,
  syncthreads_or,
  syncwarp,
  shfl,
  shfl_up,
  shfl_down,
  shfl_xor,
  ballot,
  any,
  all,
  match_any,
  match_all,
  reduce_add,
  reduce_min,
  reduce_min_signed,
  reduce_max,
  reduce_max_signed,
  reduce_and,
  reduce_or,
  reduce_xor,
};

/// One thread's part in an operation of several.
struct Call {
  Operation operation = Operation::syncthreads;
  std::uint32_t mask = 0xffffffff;
  std::uint64_t value = 0;  // what it gives to the others
  int source_lane = 0;      // shuffles: whose value it takes
  Where where;
};

/// Wait for the other threads of the block, or lanes of the warp, and return the calling thread's result.
std::uint64_t block_operation(Call const& call);
std::uint64_t warp_operation(Call const& call);
/// The lane whose value a shuffle takes, by the rules of PTX's shfl; fails when `width` is no width.
int source_lane(Operation operation, int operand, int width, Where where);
unsigned lane();

/// Goes before every atomic access: lets other threads run first, by chance, and checks the address.
void before_atomic(void const* address, std::size_t bytes, bool changes = true);
enum class Scope : std::uint8_t { block, device };
void fence(Scope scope);
/// Lets other threads run.
void yield();

std::byte* shared_memory(std::size_t bytes, std::size_t alignment);
[[noreturn]] void trap(Where where);

}  // namespace detail
}  // namespace simt
