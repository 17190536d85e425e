// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Races and uninitialized shared memory. Two accesses to a byte, by two threads, at least one of them a write and at
// least one not atomic, are a race unless one comes before the other: by a barrier of the block, by a __syncwarp of
// both, or by a fence and an atomic after the first access and an atomic of the same variable before the second.
#include "shadow.hpp"

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "block.hpp"
#include "memory.hpp"

namespace simt {
namespace detail {
namespace {

using Clocks = std::array<std::uint32_t, warp_size>;  // by lane: the last clock of that lane that is known

/// What a thread had done, and knew of its warp, when it called a fence.
struct Fence {
  Stamp at;  // never: at.phase is 0
  std::uint32_t block_phase = 0;
  Scope scope = Scope::block;
  Clocks clocks{};
};

/// A fence that the thread `by` learned of by an atomic.
struct Acquired {
  Fence fence;
  Stamp by;
};

struct Key {  // of a fence, or of a fence and who learned of it
  std::uint32_t phase, thread, by;
  friend auto operator<=>(Key const&, Key const&) = default;
};
using Fences = std::map<Key, Fence>;

struct Shadow {
  std::uint32_t phase = 1;         // never goes back: stamps of earlier launches are older than launch_phase
  std::uint32_t launch_phase = 1;  // the first of this launch
  std::uint32_t block_phase = 1;   // the first of this block
  std::array<Clocks, 1024> clocks{};
  std::array<Fence, 1024> fences{};
  std::map<std::uintptr_t, Fences> released;                    // by atomic variable, of this launch
  std::map<Key, Acquired> acquired;                             // by this block
  std::vector<std::pair<std::uint32_t, std::uint64_t>> blocks;  // of this launch: first phase, number
  std::uint64_t num_accesses = 0;
  bool is_instrumented = false;  // code that was instrumented has run in this launch
};
Shadow shadow;

Clocks& clocks_of(std::uint32_t thread) { return shadow.clocks[thread]; }

Stamp now(Access access) {
  auto const thread = static_cast<std::uint32_t>(runner.current->number);
  constexpr std::uint32_t last = 0x1fffff;  // of 21 bits; later warp barriers of a phase are not told apart
  std::uint32_t const clock = std::min(clocks_of(thread)[thread % warp_size], last);
  return {shadow.phase, thread & 0x3ff, clock & last,
          access == Access::atomic_read || access == Access::atomic_change ? 1U : 0U};
}

/// Within the block: `a` is over for the thread of `b` when `b` happens.
bool comes_before(Stamp const& a, Stamp const& b) {
  if (a.phase < shadow.block_phase) return false;
  if (a.phase < b.phase || a.thread == b.thread) return true;
  return a.thread / warp_size == b.thread / warp_size && a.clock <= clocks_of(b.thread)[a.thread % warp_size];
}

bool covers(Fence const& fence, Stamp const& a) {
  if (a.phase < fence.block_phase || a.phase > fence.at.phase) return false;
  if (fence.scope == Scope::block && fence.block_phase != shadow.block_phase) return false;
  if (a.phase < fence.at.phase || a.thread == fence.at.thread) return true;
  return a.thread / warp_size == fence.at.thread / warp_size && a.clock <= fence.clocks[a.thread % warp_size];
}

bool ordered(Stamp const& a, Stamp const& b) {
  if (comes_before(a, b)) return true;
  return std::any_of(shadow.acquired.begin(), shadow.acquired.end(), [&](auto const& entry) {
    return covers(entry.second.fence, a) && comes_before(entry.second.by, b);
  });
}

std::string thread_name(Stamp const& stamp) {
  std::string const thread = "thread " + to_string(unravel(stamp.thread, block_extent));
  if (stamp.phase >= shadow.block_phase) return thread;
  auto const after = std::upper_bound(shadow.blocks.begin(), shadow.blocks.end(), stamp.phase,
                                      [](std::uint32_t phase, auto const& block) { return phase < block.first; });
  return "block " + to_string(unravel(std::prev(after)->second, grid_extent)) + ", " + thread;
}

std::string remedy(Stamp const& other, Stamp const& self) {
  if (other.phase < shadow.block_phase) return "blocks of one launch run in no order: use an atomic, or another launch";
  if (other.thread / warp_size == self.thread / warp_size)
    return "lanes of a warp are ordered by a __syncwarp() or a __syncthreads() in between";
  return "threads of different warps are ordered by a __syncthreads() in between";
}

[[noreturn]] void fail_race(std::uintptr_t address, Access access, Stamp const& other, bool other_wrote) {
  fail(Fault::race, [&] {
    std::string text = std::string(verb(access)) + " " + describe(address) + ", which " + thread_name(other) +
                       (other.atomic != 0 ? " atomically" : "") + (other_wrote ? " wrote" : " read") +
                       ", and nothing orders the two; " + remedy(other, now(access));
    Thread const& self = *runner.current;
    if (self.has_called)
      text +=
          std::string(" (its last was ") + to_string(self.call.operation) + " at " + to_string(self.call.where) + ")";
    return text;
  });
}

[[noreturn]] void fail_uninitialized(std::uintptr_t address, std::size_t bytes) {
  fail(Fault::uninitialized, [&] {
    return "reads " + std::to_string(bytes) + " bytes at " + describe(address) +
           ", which no thread of the block has written yet; is a barrier missing, or is it never written?";
  });
}

/// Keeps a reader in the place of one whose read is over for it, or of another lane of a warp that is kept twice.
void keep_reader(Cell& cell, Stamp const& self, std::uint32_t oldest) {
  for (Stamp& read : cell.reads) {
    if (read.phase < oldest || comes_before(read, self)) {
      read = self;
      return;
    }
  }
  auto const warp = [](Stamp const& stamp) { return stamp.thread / warp_size; };
  auto& [first, second, third] = cell.reads;
  if (warp(first) == warp(self) || warp(second) == warp(self) || warp(third) == warp(self)) return;
  if (warp(first) == warp(second) || warp(second) == warp(third)) {
    second = self;
  } else if (warp(first) == warp(third)) {
    third = self;
  }
}

struct Touch {
  Access access;
  Stamp self;
  bool shared;
  std::uint32_t oldest;  // stamps of earlier phases mean nothing
};

bool is_race(Stamp const& other, Touch const& t) {
  if (other.phase < t.oldest) return false;
  return (other.atomic == 0 || t.self.atomic == 0) && !ordered(other, t.self);
}

void touch(Cell& cell, std::uintptr_t address, std::size_t bytes, Touch const& t) {
  if (t.shared && t.access != Access::write && cell.write.phase < t.oldest) fail_uninitialized(address, bytes);
  if (is_race(cell.write, t)) fail_race(address, t.access, cell.write, true);
  if (t.access == Access::read || t.access == Access::atomic_read) return keep_reader(cell, t.self, t.oldest);
  for (Stamp const& read : cell.reads)
    if (is_race(read, t)) fail_race(address, t.access, read, false);
  cell = {t.self, {}};
}

// Most accesses are to a thread's own variables, and end in check_access. What the others need stays out of it.

[[gnu::noinline]] void check_host(std::uintptr_t address, std::size_t bytes, Access access) {
  bool const of_device = address - arena.begin < arena.bytes && arena.of_device[(address - arena.begin) / page];
  if (of_device && !host_touches_device_memory) refuse_to_host(address, bytes, access);
}

[[gnu::noinline]] void remember(Cell* cells, std::uintptr_t address, std::size_t bytes, Access access, bool shared) {
  if (bytes == 0) return;
  Touch const t{access, now(access), shared, shared ? shadow.block_phase : shadow.launch_phase};
  Cell const before = cells[0];
  touch(cells[0], address, bytes, t);
  for (std::size_t i = 1; i < bytes; ++i) {
    if (cells[i] == before) {  // nearly always: what happened to one byte of an element happened to all
      cells[i] = cells[0];
    } else {
      touch(cells[i], address + i, bytes, t);
    }
  }
}

[[noreturn, gnu::noinline]] void fail_null(std::uintptr_t address, std::size_t bytes, Access access) {
  fail(Fault::out_of_bounds, [&] {
    return std::string(verb(access)) + " " + std::to_string(bytes) + " bytes at " +
           (address == 0 ? "the null pointer" : "address " + std::to_string(address) + ", next to the null pointer");
  });
}

}  // namespace

void on_access(void const* memory, std::size_t bytes, Access access) {
  if (runner.current != nullptr) ++shadow.num_accesses;
  check_access(memory, bytes, access);
}

void on_function() { shadow.is_instrumented = shadow.is_instrumented || runner.current != nullptr; }

void check_access(void const* memory, std::size_t bytes, Access access) {
  auto const address = reinterpret_cast<std::uintptr_t>(memory);
  if (runner.current == nullptr) {
    check_host(address, bytes, access);
  } else if (address - arena.begin < arena.bytes) {
    bool const shared = region_of(address, bytes, access).shared;
    remember(arena.cells + (address - arena.begin), address, bytes, access, shared);
  } else if (address - static_shared.begin < static_shared.bytes) {
    std::size_t const rest = static_shared.begin + static_shared.bytes - address;
    remember(static_shared.cells + (address - static_shared.begin), address, std::min(bytes, rest), access, true);
  } else if (address < page) {
    fail_null(address, bytes, access);
  }
}

void memory_launch_begins() {
  find_static_shared();
  shadow.launch_phase = ++shadow.phase;
  shadow.blocks.clear();
  shadow.released.clear();
  shadow.is_instrumented = false;
}

void memory_block_begins(std::uint64_t block) {
  shadow.block_phase = ++shadow.phase;
  shadow.blocks.emplace_back(shadow.phase, block);
  shadow.acquired.clear();
  for (int i = 0; i < runner.num_threads; ++i) {
    auto const thread = static_cast<std::size_t>(i);
    shadow.clocks[thread] = {};
    shadow.clocks[thread][thread % warp_size] = 1;
    shadow.fences[thread] = {};
  }
  std::fill_n(runner.shared, runner.plan->shared_bytes, std::byte{0xff});
}

void memory_block_ends() {
  if (!shadow.is_instrumented)
    throw Error(Fault::launch,
                std::string("kernel '") + runner.plan->name +
                    "': its memory accesses were not seen, so none was checked; compile the source "
                    "that launches it with -fsanitize=thread, or link the runtime without shadow memory");
}

void memory_barrier() { ++shadow.phase; }

void memory_warp_barrier(int warp, std::uint32_t lanes) {
  auto const first = static_cast<std::uint32_t>(warp * warp_size);
  Clocks joined{};
  for (std::uint32_t i = 0; i < warp_size; ++i)
    if ((lanes >> i & 1U) != 0)
      for (std::size_t lane = 0; lane < warp_size; ++lane)
        joined[lane] = std::max(joined[lane], clocks_of(first + i)[lane]);
  for (std::uint32_t i = 0; i < warp_size; ++i) {
    if ((lanes >> i & 1U) == 0) continue;
    clocks_of(first + i) = joined;
    ++clocks_of(first + i)[i];
  }
}

void memory_fence(Scope scope) {
  Stamp const at = now(Access::read);
  shadow.fences[at.thread] = {at, shadow.block_phase, scope, clocks_of(at.thread)};
}

void memory_atomic(void const* address, std::size_t bytes, bool changes) {
  Access const access = changes ? Access::atomic_change : Access::atomic_read;
  check_access(address, bytes, access);
  Stamp const self = now(access);
  Fences& released = shadow.released[reinterpret_cast<std::uintptr_t>(address)];
  Fence const& own = shadow.fences[self.thread];
  if (changes && own.at.phase != 0) {
    released.insert_or_assign({own.at.phase, own.at.thread, 0}, own);
    for (auto const& [key, known] : shadow.acquired)  // and what the thread knew when it called the fence
      if (comes_before(known.by, own.at)) released.insert_or_assign({key.phase, key.thread, 0}, known.fence);
  }
  for (auto const& [key, fence] : released)
    if (fence.at.thread != self.thread || fence.block_phase != shadow.block_phase)
      shadow.acquired.try_emplace({key.phase, key.thread, self.thread}, Acquired{fence, self});
}

}  // namespace detail

bool checks_memory() noexcept { return true; }
std::uint64_t num_checked_accesses() noexcept { return detail::shadow.num_accesses; }

}  // namespace simt
