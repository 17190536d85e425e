// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What every allocator must show, whoever wrote it. An allocator's test calls `allocator_suite(make)` once, with a
// function that makes a new one, and tests by itself only what is special about it. Where the host cannot touch the
// bytes, `allocator_suite<Access>(make)` says how they are written and read.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <folio/allocator/allocator.hpp>
#include <folio/error.hpp>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/sanitizers.hpp"

namespace folio::test {

/// How the suite touches the bytes of an allocator that the host can read: by itself.
struct HostAccess {
  /// Up to this alignment memory must be served; blocks need 64. Beyond it, aligned or refused with OutOfMemory.
  static constexpr std::int64_t largest_alignment = 4096;

  static void fill(std::byte* memory, int value, std::int64_t bytes) {
    std::memset(memory, value, static_cast<std::size_t>(bytes));
  }
  static void read(std::byte const* memory, std::span<std::byte> to) { std::memcpy(to.data(), memory, to.size()); }
};

/// Memory of one allocation, given back at the end of its life.
template <AllocatorPolicy A, class Access = HostAccess>
class Allocation {
 public:
  Allocation(A& allocator, std::int64_t bytes, std::int64_t alignment)
      : allocator_(&allocator), begin_(allocator.allocate(bytes, alignment)), bytes_(bytes) {}
  Allocation(Allocation&& other) noexcept
      : allocator_(other.allocator_), begin_(std::exchange(other.begin_, nullptr)), bytes_(other.bytes_) {}
  Allocation(Allocation const&) = delete;
  Allocation& operator=(Allocation const&) = delete;
  ~Allocation() {
    if (begin_ != nullptr) allocator_->deallocate(begin_, bytes_);
  }

  [[nodiscard]] std::byte* begin() const { return begin_; }
  [[nodiscard]] bool is_aligned(std::int64_t alignment) const {
    return reinterpret_cast<std::uintptr_t>(begin_) % static_cast<std::uintptr_t>(alignment) == 0;
  }
  void fill(int value) { Access::fill(begin_, value, bytes_); }
  [[nodiscard]] bool is_filled(int value) const {
    std::vector<std::byte> bytes(static_cast<std::size_t>(bytes_));
    Access::read(begin_, bytes);
    return std::count(bytes.begin(), bytes.end(), static_cast<std::byte>(value)) == bytes_;
  }

 private:
  A* allocator_;
  std::byte* begin_;
  std::int64_t bytes_;
};

/// The bytes that an OutOfMemory of this request tells; fails the test when another thing happens.
template <AllocatorPolicy A>
std::int64_t refused_bytes(A& allocator, std::int64_t bytes) {
  try {
    allocator.deallocate(allocator.allocate(bytes, 64), bytes);
  } catch (OutOfMemory const& error) {
    return error.asked_bytes();
  }
  FAIL("a request of " << bytes << " bytes was served");
  return 0;
}

/// Memory of that alignment, or nothing where the allocator has none and says so as it must. One request only: an
/// allocator that promises less alignment can have it by chance once and not the next time.
template <AllocatorPolicy A, class Access>
std::optional<Allocation<A, Access>> aligned_or_refused(A& allocator, std::int64_t bytes, std::int64_t alignment) {
  try {
    return std::optional<Allocation<A, Access>>(std::in_place, allocator, bytes, alignment);
  } catch (OutOfMemory const& error) {
    REQUIRE(alignment > Access::largest_alignment);
    REQUIRE(error.asked_bytes() == bytes);
    return std::nullopt;
  }
}

/// Runs all of it. `make()` gives a new allocator. Call it inside a TEST_CASE.
template <class Access = HostAccess, class Make>
void allocator_suite(Make const& make) {
  using A = decltype(make());
  using Memory = Allocation<A, Access>;
  static_assert(AllocatorPolicy<A>);
  INFO("allocator " << A::name);
  REQUIRE(std::string(A::name) != "");

  A allocator = make();
  for (std::int64_t const alignment : {1, 16, 64, 256, 4096})
    for (std::int64_t const bytes : {1, 63, 64, 4095, 4096, 100'000, 3'000'000}) {
      CAPTURE(alignment, bytes);
      auto memory = aligned_or_refused<A, Access>(allocator, bytes, alignment);
      if (!memory) continue;
      REQUIRE(memory->begin() != nullptr);
      REQUIRE(memory->is_aligned(alignment));
      memory->fill(0x5A);
      REQUIRE(memory->is_filled(0x5A));
    }

  {  // several at a time, given back in another order than they came
    std::vector<Memory> all;
    for (int i = 0; i < 8; ++i) {
      all.emplace_back(allocator, 5000 + 1000 * i, 64);
      all.back().fill(i);
    }
    for (int i = 0; i < 8; ++i) REQUIRE(all[static_cast<std::size_t>(i)].is_filled(i));
    { Memory const first = std::move(all.front()); }
    for (int i = 1; i < 8; ++i) REQUIRE(all[static_cast<std::size_t>(i)].is_filled(i));
  }

  {  // an allocator that was moved takes back what it gave before
    A first = make();
    std::byte* const memory = first.allocate(4096, 64);
    Access::fill(memory, 1, 4096);
    A second = std::move(first);
    second.deallocate(memory, 4096);
    Memory(second, 4096, 64).fill(2);
    A third = make();
    third = std::move(second);
    Memory(third, 4096, 64).fill(3);
  }

  // A sanitizer ends the program where the C library would give nothing.
  if (!address_sanitizer)
    for (std::int64_t const bytes : {std::int64_t{1} << 60, std::numeric_limits<std::int64_t>::max()})
      REQUIRE(refused_bytes(allocator, bytes) == bytes);
  REQUIRE(refused_bytes(allocator, 0) == 0);
  REQUIRE(refused_bytes(allocator, -1) == -1);
  Memory(allocator, 64, 64).fill(4);  // a refusal does no harm
}

}  // namespace folio::test
