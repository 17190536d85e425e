// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/allocator/host.hpp>

#include "conformance/allocator_suite.hpp"
#include "support/catch.hpp"

TEST_CASE("HostAllocator is an allocator") {
  folio::test::allocator_suite([] { return folio::HostAllocator(); });
}

TEST_CASE("HostAllocator promises memory that it does not touch") {
  folio::HostAllocator allocator;
  std::int64_t const bytes = std::int64_t{6} << 30;  // touched, it would not fit small machines
  folio::test::Allocation<folio::HostAllocator> const memory(allocator, bytes, 64);
  memory.begin()[0] = memory.begin()[bytes - 1] = std::byte{1};
  CHECK(memory.begin()[bytes - 1] == std::byte{1});
}
