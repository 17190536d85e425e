// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include "support/failing_new.hpp"

// Not inlined: a compiler that sees free() after delete warns of a mismatch with new.
[[gnu::noinline]] void* operator new(std::size_t size) { return folio::test::allocate_or_throw(size, 1); }
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  return folio::test::allocate_or_throw(size, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void* operator new(std::size_t size, std::nothrow_t const&) noexcept {
  return folio::test::allocate_or_null(size, 1);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { folio::test::give_back(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { folio::test::give_back(p); }
[[gnu::noinline]] void operator delete(void* p, std::align_val_t) noexcept { folio::test::give_back(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t, std::align_val_t) noexcept { folio::test::give_back(p); }
