// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
//
// Shared and global memory, when accesses are checked: one reserved range of addresses, in which every byte that is not
// of a live buffer is out of bounds. Addresses are not used again while any buffer lives, so an access to a freed one
// is found too. After each buffer comes a red zone as large as itself, for the wrong stride as well as the wrong end.
#include <link.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "block.hpp"
#include "memory.hpp"
#include "shadow.hpp"

namespace simt {
namespace detail {

Arena arena;
StaticShared static_shared;

namespace {

constexpr std::size_t largest_arena = std::size_t{16} << 30, smallest_arena = std::size_t{1} << 28;
constexpr std::size_t smallest_red_zone = 65536;

struct Regions {
  std::vector<Region> all;  // in the order of their addresses
  std::size_t num_live = 0;
  std::uintptr_t next = 0;
  std::size_t last_found = 0;
  std::map<std::uintptr_t, std::uintptr_t> forbidden;  // begin to end; they do not overlap
};
Regions regions;

void* reserve(std::size_t bytes) {
  int const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  madvise(memory, bytes, MADV_NOHUGEPAGE);  // it is touched here and there
  return memory;
}

/// Reserves addresses, which costs no memory until they are touched. Smaller where the system limits addresses.
void make_arena() {
  for (std::size_t bytes = largest_arena; bytes >= smallest_arena; bytes /= 2) {
    void* const memory = reserve(bytes);
    void* const cells = memory != nullptr ? reserve(bytes * sizeof(Cell) + bytes / page) : nullptr;
    if (cells != nullptr) {
      auto* const first = static_cast<Cell*>(cells);
      arena = {reinterpret_cast<std::uintptr_t>(memory), bytes, first, reinterpret_cast<bool*>(first + bytes)};
      regions.next = arena.begin + smallest_red_zone;
      return;
    }
    if (memory != nullptr) munmap(memory, bytes);
  }
  throw Error(Fault::launch,
              "simt: the system reserves no addresses for the shadow memory; is there a limit (ulimit -v)?");
}

std::uintptr_t round_up(std::uintptr_t value, std::size_t unit) { return (value + unit - 1) / unit * unit; }

Region& add_region(std::size_t bytes, std::string name, std::size_t element_bytes) {
  if (arena.bytes == 0) make_arena();
  std::uintptr_t const begin = regions.next, end = begin + bytes;
  std::size_t const red_zone = std::max(bytes, smallest_red_zone);
  if (bytes > arena.bytes || end + red_zone > arena.begin + arena.bytes)
    throw Error(Fault::launch, "simt: no room for '" + name + "' of " + std::to_string(bytes) +
                                   " bytes: the arena has " + std::to_string(arena.bytes) +
                                   ", and addresses return when all buffers are gone");
  regions.next = round_up(end + red_zone, page);
  ++regions.num_live;
  regions.all.push_back({begin, end, std::max<std::size_t>(element_bytes, 1), std::move(name)});
  return regions.all.back();
}

std::byte* fill(Region const& region) {
  auto* const begin = reinterpret_cast<std::byte*>(region.begin);
  std::fill_n(begin, region.end - region.begin, std::byte{0xff});
  return begin;
}

/// Allocations begin with a page, and a red zone is larger than one.
void set_of_device(Region const& region, bool value) {
  std::size_t const first = (region.begin - arena.begin) / page;
  std::fill_n(arena.of_device + first, (region.end - region.begin + page - 1) / page, value);
}

/// The region at or below the address, else the first one.
std::size_t index_near(std::uintptr_t address) {
  auto const above = std::upper_bound(regions.all.begin(), regions.all.end(), address,
                                      [](std::uintptr_t a, Region const& region) { return a < region.begin; });
  auto const index = static_cast<std::size_t>(above - regions.all.begin());
  return index == 0 ? 0 : index - 1;
}

/// The region that an address outside of all was most likely meant for: kernels run past an end more often than they
/// stop short of a beginning.
Region const* nearest(std::uintptr_t address) {
  if (regions.all.empty()) return nullptr;
  std::size_t const below = index_near(address);
  bool const has_above = below + 1 < regions.all.size() && address >= regions.all[below].end;
  return &regions.all[has_above && regions.all[below + 1].begin - address < page ? below + 1 : below];
}

std::string quoted(Region const& region) { return region.shared ? "the shared memory" : "'" + region.name + "'"; }

/// "element 5" or "byte 20", from the beginning of a region, also before it or after it.
std::string position(Region const& region, std::uintptr_t address) {
  auto const offset = static_cast<std::intptr_t>(address - region.begin);
  auto const unit = static_cast<std::intptr_t>(region.element_bytes);
  bool const whole = unit > 1 && offset % unit == 0;
  return whole ? "element " + std::to_string(offset / unit) : "byte " + std::to_string(offset);
}

std::string extent(Region const& region) {
  std::size_t const bytes = region.end - region.begin;
  if (region.element_bytes > 1 && bytes % region.element_bytes == 0)
    return "has " + std::to_string(bytes / region.element_bytes) + " elements";
  return "has " + std::to_string(bytes) + " bytes";
}

std::string out_of_bounds(std::uintptr_t address, std::size_t bytes, Access access) {
  std::string const text = std::string(verb(access)) + " " + std::to_string(bytes) + " bytes at ";
  Region const* const region = nearest(address);
  if (region == nullptr) return text + "an address that no buffer holds";
  std::string const what = text + position(*region, address) + " of " + quoted(*region) + ", which ";
  return what + (region->live ? extent(*region) : "is gone");
}

bool is_forbidden(std::uintptr_t begin, std::uintptr_t end) {
  auto above = regions.forbidden.lower_bound(end);
  return above != regions.forbidden.begin() && (--above)->second > begin;
}

/// Gives the pages of [begin, end) back, whose bytes are then 0.
void release_pages(std::uintptr_t begin, std::uintptr_t end) {
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

}  // namespace

char const* verb(Access access) {
  switch (access) {
    case Access::read:
      return "reads";
    case Access::write:
      return "writes";
    case Access::atomic_read:
      return "atomically reads";
    case Access::atomic_change:
      return "atomically writes";
  }
  return "";
}

Region const& region_of(std::uintptr_t address, std::size_t bytes, Access access) {
  auto const holds = [&](Region const& r) { return r.begin <= address && address + bytes <= r.end && r.live; };
  if (regions.last_found >= regions.all.size() || !holds(regions.all[regions.last_found]))
    regions.last_found = index_near(address);
  if (regions.all.empty() || !holds(regions.all[regions.last_found]))
    fail(Fault::out_of_bounds, [&] { return out_of_bounds(address, bytes, access); });
  Region const& region = regions.all[regions.last_found];
  if (region.has_forbidden && is_forbidden(address, address + bytes))
    fail(Fault::out_of_bounds, [&] {
      return std::string(verb(access)) + " " + std::to_string(bytes) + " bytes at " + position(region, address) +
             " of " + quoted(region) + ", which the test forbade";
    });
  return region;
}

std::string describe(std::uintptr_t address) {
  if (address - static_shared.begin < static_shared.bytes) return "a __shared__ variable";
  Region const* const region = address - arena.begin < arena.bytes ? nearest(address) : nullptr;
  if (region == nullptr) return "memory that is no buffer";
  return position(*region, address) + " of " + quoted(*region);
}

std::byte* allocate_shared(std::size_t bytes) {
  Region& region = add_region(bytes, "shared memory", 1);
  region.shared = true;
  return fill(region);
}

std::byte* reserve_memory(std::size_t bytes, std::string name) {
  return reinterpret_cast<std::byte*>(add_region(bytes, std::move(name), 1).begin);
}

void keep_from_host(std::byte const* memory) {
  set_of_device(regions.all[index_near(reinterpret_cast<std::uintptr_t>(memory))], true);
}

void refuse_to_host(std::uintptr_t address, std::size_t bytes, Access access) {
  std::fflush(nullptr);
  std::fprintf(stderr, "simt: the host %s %zu bytes at %s, which only the device can: copy them to the host first\n",
               verb(access), bytes, describe(address).c_str());
  std::_Exit(1);
}

void find_static_shared() {
  StaticShared found;
  auto const visit = [](dl_phdr_info* info, std::size_t, void* result) {
    for (int i = 0; i < info->dlpi_phnum; ++i)
      if (info->dlpi_phdr[i].p_type == PT_TLS && info->dlpi_tls_data != nullptr)
        *static_cast<StaticShared*>(result) = {reinterpret_cast<std::uintptr_t>(info->dlpi_tls_data),
                                               info->dlpi_phdr[i].p_memsz, nullptr};
    return 1;  // the program is the first; what comes next are libraries
  };
  dl_iterate_phdr(visit, &found);
  if (found.begin == static_shared.begin) return;
  delete[] static_shared.cells;
  static_shared = found;
  if (found.bytes > 0) static_shared.cells = new Cell[found.bytes];
}

}  // namespace detail

using detail::arena, detail::regions;

std::byte* allocate(std::size_t bytes, std::string name, std::size_t element_bytes) {
  return detail::fill(detail::add_region(bytes, std::move(name), element_bytes));
}

void deallocate(std::byte* memory) noexcept {
  auto const address = reinterpret_cast<std::uintptr_t>(memory);
  if (memory == nullptr) return;
  detail::Region& region = regions.all[detail::index_near(address)];
  region.live = false;
  detail::set_of_device(region, false);
  auto const cells = reinterpret_cast<std::uintptr_t>(arena.cells);
  std::uintptr_t const end = detail::round_up(region.end, detail::page);
  detail::release_pages(region.begin, end);
  detail::release_pages(cells + (region.begin - arena.begin) * sizeof(detail::Cell),
                        cells + (end - arena.begin) * sizeof(detail::Cell));
  allow(memory, region.end - region.begin);
  if (--regions.num_live > 0) return;
  regions.all.clear();
  regions.next = arena.begin + detail::smallest_red_zone;
}

void forbid(void const* memory, std::size_t bytes) {
  allow(memory, bytes);
  auto const begin = reinterpret_cast<std::uintptr_t>(memory);
  if (bytes == 0 || regions.all.empty()) return;
  regions.all[detail::index_near(begin)].has_forbidden = true;
  regions.forbidden.emplace(begin, begin + bytes);
}

void allow(void const* memory, std::size_t bytes) {
  auto const begin = reinterpret_cast<std::uintptr_t>(memory);
  std::uintptr_t const end = begin + bytes;
  auto& forbidden = regions.forbidden;
  auto it = forbidden.lower_bound(end);
  while (it != forbidden.begin() && std::prev(it)->second > begin) {
    auto const [old_begin, old_end] = *--it;
    it = forbidden.erase(it);
    if (old_end > end) it = forbidden.emplace(end, old_end).first;
    if (old_begin < begin) forbidden.emplace(old_begin, begin);
  }
}

}  // namespace simt
