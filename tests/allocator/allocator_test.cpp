// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/allocator/allocator.hpp>
#include <folio/allocator/huge_page.hpp>

#include "conformance/allocator_suite.hpp"
#include "support/catch.hpp"
#include "support/strangers.hpp"

namespace {

struct Unnamed {
  std::byte* allocate(std::int64_t, std::int64_t);
  void deallocate(std::byte*, std::int64_t) noexcept;
};

struct ThrowsOnTheWayBack {
  static constexpr char const* name = "throws";
  static constexpr folio::Accessibility accessibility = folio::Accessibility::host;
  std::byte* allocate(std::int64_t, std::int64_t);
  void deallocate(std::byte*, std::int64_t);
};

struct GivesVoid {
  static constexpr char const* name = "void";
  static constexpr folio::Accessibility accessibility = folio::Accessibility::host;
  void* allocate(std::int64_t, std::int64_t);
  void deallocate(std::byte*, std::int64_t) noexcept;
};

struct SaysNotWhoReads {
  static constexpr char const* name = "somebody";
  std::byte* allocate(std::int64_t, std::int64_t);
  void deallocate(std::byte*, std::int64_t) noexcept;
};

}  // namespace

TEST_CASE("a stranger's allocator runs the suite") {
  auto const ledger = std::make_shared<folio::test::LedgerAllocator::Ledger>();
  folio::test::allocator_suite([&] { return folio::test::LedgerAllocator(ledger); });
  CHECK(ledger->live == 0);
  CHECK(ledger->live_bytes == 0);
}

TEST_CASE("what is not quite an allocator is none") {
  STATIC_REQUIRE(folio::AllocatorPolicy<folio::test::LedgerAllocator>);
  STATIC_REQUIRE_FALSE(folio::AllocatorPolicy<Unnamed>);
  STATIC_REQUIRE_FALSE(folio::AllocatorPolicy<ThrowsOnTheWayBack>);
  STATIC_REQUIRE_FALSE(folio::AllocatorPolicy<GivesVoid>);
  STATIC_REQUIRE_FALSE(folio::AllocatorPolicy<SaysNotWhoReads>);
  STATIC_REQUIRE_FALSE(folio::AllocatorPolicy<int>);
}
