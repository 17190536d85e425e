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

/// Global memory without a type, for an allocator that a test hands to the code it tests: aligned to 256 bytes, filled
/// with bytes 0xff, between red zones. `element_bytes` is the unit in which messages count.
std::byte* allocate(std::size_t bytes, std::string name, std::size_t element_bytes = 1);
void deallocate(std::byte* memory) noexcept;

/// Global memory: `size` elements between red zones. Fresh ones hold bytes 0xff (NaN as floats, -1 as ints).
/// The host reads and writes it through data(), span() and []; a kernel gets data().
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>, "simt::Buffer: memory of a GPU holds trivially copyable types");

 public:
  explicit Buffer(std::size_t size, std::string name = "a buffer")
      : data_(reinterpret_cast<T*>(allocate(size * sizeof(T), std::move(name), sizeof(T)))), size_(size) {}
  explicit Buffer(std::span<T const> values, std::string name = "a buffer") : Buffer(values.size(), std::move(name)) {
    std::uninitialized_copy(values.begin(), values.end(), data_);
  }
  explicit Buffer(std::vector<T> const& values, std::string name = "a buffer")
      : Buffer(std::span<T const>(values), std::move(name)) {}
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { deallocate(reinterpret_cast<std::byte*>(data_)); }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<T> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::vector<T> to_vector() const { return {data_, data_ + size_}; }
  T& operator[](std::size_t index) const noexcept { return data_[index]; }

 private:
  T* data_;
  std::size_t size_;
};

/// Bytes of global memory that no kernel may touch until they are allowed again, such as the blocks of a pool that no
/// table names. A kernel that does so ends with an Error under the shadow memory, and ends the program under the
/// address sanitizer, whose rule is coarser: it knows the first and the last 8 bytes only roughly. Without both nothing
/// happens.
void forbid(void const* memory, std::size_t bytes);
void allow(void const* memory, std::size_t bytes);

}  // namespace simt
