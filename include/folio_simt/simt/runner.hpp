// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Runs CUDA kernels on the host, thread by thread. What a test includes, before the kernel's source. See docs/simt.md.

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "simt/buffer.hpp"
#include "simt/cuda.hpp"

namespace simt {

/// What was wrong with a kernel or its launch.
enum class Fault {
  launch,         // the launch asks for what no GPU has, or was not possible
  out_of_bounds,  // memory that no buffer holds, or that a test forbade
  misaligned,     // an access of n bytes at an address that n does not divide
  uninitialized,  // shared memory read before a thread of the block wrote it
  race,           // two threads, one of them writing, and nothing that orders the two
  divergence,     // threads that wait for others which cannot come
  shuffle,        // a warp operation with a mask or a lane that cannot be
  kernel,         // the kernel itself gave up: __trap, or an exception
};

/// Thrown by launch. The sentence names the kernel, the block, the thread, what was wrong and what would be right.
class Error : public std::runtime_error {
 public:
  Error(Fault fault, std::string const& what) : std::runtime_error(what), fault_(fault) {}
  [[nodiscard]] Fault fault() const noexcept { return fault_; }

 private:
  Fault fault_;
};

/// How a kernel is launched, and how its threads take turns.
struct Launch {
  dim3 grid = 1;
  dim3 block = 1;
  std::size_t shared_bytes = 0;   // of dynamic shared memory
  char const* name = "a kernel";  // for messages
  /// 0: blocks and threads run in their order. Else they take turns in an order drawn with this seed.
  std::uint64_t seed = 0;
  /// Of each thread. The address sanitizer's frames are larger, so it gets four times as much.
  std::size_t stack_bytes = 65536;
  /// Newer GPUs let a barrier pass when every thread that has not returned is there. Here that is an error unless
  /// wanted.
  bool allow_early_exit = false;
};

namespace detail {

struct Plan {
  Index3 grid, block;
  std::size_t shared_bytes;
  char const* name;
  std::uint64_t seed;
  std::size_t stack_bytes;
  bool allow_early_exit;
};

void run(Plan const& plan, void (*body)(void const*), void const* argument);

}  // namespace detail

/// Calls `body()` once for each thread of the grid: for kernels whose template parameters the call must deduce.
/// Returns when all threads have; throws the first Error that a thread met, after which the kernel's output means
/// nothing. Blocks run one after another. One launch at a time in a program; not from within a kernel.
template <class Body>
requires std::is_class_v<Body>
void launch(Launch const& how, Body const& body) {
  auto const index = [](dim3 const& extent) { return Index3{extent.x, extent.y, extent.z}; };
  detail::run(
      {index(how.grid), index(how.block), how.shared_bytes, how.name, how.seed, how.stack_bytes, how.allow_early_exit},
      [](void const* argument) { (*static_cast<Body const*>(argument))(); }, &body);
}

/// Launches `kernel(arguments...)`. As in CUDA, each thread has its own copy of the arguments.
template <class... Parameters>
void launch(Launch const& how, void (*kernel)(Parameters...), std::type_identity_t<Parameters>... arguments) {
  static_assert((std::is_trivially_copyable_v<Parameters> && ...),
                "simt::launch: a kernel's parameters are copied to the GPU byte by byte: make them trivially copyable");
  launch(how, [&] { kernel(arguments...); });
}

/// Whether memory accesses are checked one by one: the runtime is the one with the shadow memory.
bool checks_memory() noexcept;
/// How many memory accesses of kernels the shadow memory has looked at.
std::uint64_t num_checked_accesses() noexcept;

/// Bytes of global memory that no kernel may touch until they are allowed again, such as the blocks of a pool that no
/// table names. A kernel that does so ends with an Error under the shadow memory, and ends the program under the
/// address sanitizer, whose rule is coarser: it knows the first and the last 8 bytes only roughly. Without both nothing
/// happens.
void forbid(void const* memory, std::size_t bytes);
void allow(void const* memory, std::size_t bytes);

}  // namespace simt
