// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A hash that only who has its secret can compute, so that nobody chooses what collides. Host only.

#include <cstdint>

#if defined(__linux__)
#include <unistd.h>
#else
#include <random>
#endif

namespace folio {

/// 64 of the system's random bits.
[[nodiscard]] inline std::uint64_t random_word() {
#if defined(__linux__)
  std::uint64_t word = 0;
  static_cast<void>(::getentropy(&word, sizeof word));  // never fails for so few bytes
  return word;
#else
  std::random_device device;
  std::uint64_t const high = device();
  return high << 32 | device();
#endif
}

/// What a keyed hash depends on. Given, runs are the same to the last table; random() is another one for each call.
/// Which it is changes no result, only which keys take longer to find.
struct HashSecret {
  std::uint64_t high = 0x9E3779B97F4A7C15U, low = 0xBF58476D1CE4E5B9U, offset = 0x94D049BB133111EBU;

  /// Of the system's random bits.
  [[nodiscard]] static HashSecret random() { return {random_word(), random_word(), random_word()}; }
  [[nodiscard]] bool operator==(HashSecret const&) const = default;
};

/// 32 bits of a 64-bit word. Strongly universal: for whoever does not know the secret, the hashes of any two words are
/// two random numbers. So any set of keys, however it was chosen, costs a table with chains what a random set does, as
/// an expected value: for one secret in a hundred, keys in a row have chains of some three times the usual cost. Two
/// multiplications.
///
/// Source: vector multiply-shift (Dietzfelbinger 1996; theorem 4.2 of Thorup, "High speed hashing for integers and
/// strings", 2015).
[[nodiscard]] constexpr std::uint32_t keyed_hash(HashSecret const& secret, std::uint64_t word) noexcept {
  std::uint64_t const sum = secret.high * (word >> 32) + secret.low * (word & 0xFFFFFFFFU) + secret.offset;
  return static_cast<std::uint32_t>(sum >> 32);
}

/// Hashes 64-bit keys, digests of prefixes for example.
struct KeyedHash {
  HashSecret secret = HashSecret::random();
  [[nodiscard]] std::uint32_t operator()(std::uint64_t key) const noexcept { return keyed_hash(secret, key); }
};

}  // namespace folio
