// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Whether this program runs under a sanitizer that cannot hold what some tests do.

#if defined(__SANITIZE_ADDRESS__)
#define FOLIO_TEST_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FOLIO_TEST_ADDRESS_SANITIZER 1
#endif
#endif

namespace folio::test {

#if defined(FOLIO_TEST_ADDRESS_SANITIZER)
inline constexpr bool address_sanitizer = true;
#else
inline constexpr bool address_sanitizer = false;
#endif

}  // namespace folio::test
