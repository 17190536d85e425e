// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a slot of a test's sequence holds: a number that follows from the whole prefix up to it, as real keys and values
// do, so that a block of another prefix shows.

#include <cstdint>
#include <span>

namespace folio::test {

/// Of no token yet, below a scope.
inline std::uint64_t scope_digest(std::int32_t scope) {
  std::uint64_t const mixed = (static_cast<std::uint32_t>(scope) + 0x9E3779B97F4A7C15U) * 0xBF58476D1CE4E5B9U;
  return mixed ^ mixed >> 31;
}

/// Of the symbols after those of digest `before`.
inline std::uint64_t content_digest(std::uint64_t before, std::span<std::int32_t const> symbols) {
  std::uint64_t digest = before;
  for (std::int32_t const symbol : symbols) {
    digest = (digest ^ static_cast<std::uint32_t>(symbol)) * 0x9FB21C651E98DF25U;
    digest ^= digest >> 32;
  }
  return digest;
}

}  // namespace folio::test
