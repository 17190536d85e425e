// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <folio/allocator/allocator.hpp>

struct Mine {
  static constexpr char const* name = "mine";
  static constexpr folio::Accessibility accessibility = folio::Accessibility::host;
  std::byte* allocate(std::int64_t, std::int64_t) { return nullptr; }
#ifdef FOLIO_EXPECT_OK
  void deallocate(std::byte*, std::int64_t) noexcept {}
#else
  void deallocate(std::byte*, std::int64_t) {}
#endif
};
// expected-error: deallocate
static_assert(folio::AllocatorPolicy<Mine>);
