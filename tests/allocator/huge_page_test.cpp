// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/allocator/huge_page.hpp>
#include <fstream>

#include "conformance/allocator_suite.hpp"
#include "support/catch.hpp"

using folio::HugePageAllocator;
using folio::test::Allocation;
using folio::test::contains;

TEST_CASE("HugePageAllocator is an allocator") {
  folio::test::allocator_suite([] { return HugePageAllocator(); });
}

TEST_CASE("HugePageAllocator says which pages it got") {
  HugePageAllocator allocator;
  CHECK(allocator.backing() == HugePageAllocator::Backing::none);
  CHECK(allocator.describe() == "nothing allocated yet");
  Allocation<HugePageAllocator> const memory(allocator, 3'000'000, 64);
  CHECK(allocator.backing() != HugePageAllocator::Backing::none);
  CHECK_THAT(allocator.describe(), contains("pages"));
}

#if defined(__linux__)
TEST_CASE("its memory begins at a page of 2 MiB, and can be used up to the last byte") {
  HugePageAllocator allocator;
  for (std::int64_t const bytes : {std::int64_t{1}, HugePageAllocator::page_bytes - 1, HugePageAllocator::page_bytes,
                                   HugePageAllocator::page_bytes + 1, 5 * HugePageAllocator::page_bytes - 7}) {
    CAPTURE(bytes);
    Allocation<HugePageAllocator> memory(allocator, bytes, 64);
    CHECK(memory.is_aligned(HugePageAllocator::page_bytes));
    memory.fill(7);
    CHECK(memory.is_filled(7));
  }
}

TEST_CASE("it gives all of its address space back") {
  auto const mapped_pages = [] {
    std::int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    return pages;
  };
  HugePageAllocator allocator;
  std::int64_t const before = mapped_pages();
  if (before == 0) FOLIO_SKIP("this system has no /proc/self/statm");
  for (int i = 0; i < 500; ++i) (void)Allocation<HugePageAllocator>(allocator, 3'000'000 + i, 64);
  CHECK((mapped_pages() - before) * 4096 < 50 * HugePageAllocator::page_bytes);
}

TEST_CASE("an alignment over 2 MiB is refused") {
  HugePageAllocator allocator;
  REQUIRE_THROWS_AS((void)allocator.allocate(4096, 2 * HugePageAllocator::page_bytes), folio::OutOfMemory);
}
#endif
