// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The shadow memory: for each byte that kernels share, who wrote and read it last.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

namespace simt::detail {

/// When a thread did something. Blocks run one after another, so phases, which begin with each block and each barrier,
/// name both. Within a phase, a lane's clock counts the warp barriers that it passed. Phase 0 is: never.
struct Stamp {
  std::uint32_t phase = 0;
  std::uint32_t thread : 10 = 0;
  std::uint32_t clock : 21 = 0;
  std::uint32_t atomic : 1 = 0;

  friend bool operator==(Stamp const&, Stamp const&) = default;
};

/// What is known of one byte. Three readers since the last write are kept, of different warps if possible: enough to
/// find that some reader is another thread than the next writer, and not ordered before it.
struct Cell {
  Stamp write;
  std::array<Stamp, 3> reads;

  friend bool operator==(Cell const&, Cell const&) = default;
};
static_assert(sizeof(Cell) == 32, "arena.cpp reserves 32 bytes of shadow for each byte");

/// A change reads and writes. Volatile accesses count as atomic: that is how kernels look at what others change.
enum class Access : std::uint8_t { read, write, atomic_read, atomic_change };

/// One allocation of the arena.
struct Region {
  std::uintptr_t begin = 0, end = 0;
  std::size_t element_bytes = 1;
  std::string name;
  bool live = true;
  bool shared = false;
  bool has_forbidden = false;
};

/// Where shared and global memory live; see arena.cpp.
struct Arena {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  Cell* cells = nullptr;
  bool* of_device = nullptr;  // by page: the host may not touch it
};
inline constexpr std::size_t page = 4096;
extern Arena arena;

/// Thread-local storage of the program, which is where `__shared__` variables are.
struct StaticShared {
  std::uintptr_t begin = 0;
  std::size_t bytes = 0;
  Cell* cells = nullptr;
};
extern StaticShared static_shared;
void find_static_shared();  // of the calling OS thread

/// The region that holds all of an access to the arena; fails when there is none.
Region const& region_of(std::uintptr_t address, std::size_t bytes, Access access);
/// "element 5 of 'out'", "byte 12 of the shared memory".
std::string describe(std::uintptr_t address);
char const* verb(Access access);

/// Ends the program: the host may not touch an address.
[[noreturn]] void refuse_to_host(std::uintptr_t address, std::size_t bytes, Access access);
/// Checks an access of a kernel, and remembers it. Of the host's accesses, only those to memory of the device count.
void check_access(void const* memory, std::size_t bytes, Access access);
/// The same for an access that the compiler instrumented, which counts.
void on_access(void const* memory, std::size_t bytes, Access access);
/// The compiler instrumented a function: a launch that goes through none is an error.
void on_function();

}  // namespace simt::detail
