// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A hash that only who has its secret can compute, so that nobody chooses what collides. Host only.

#include <atomic>
#include <bit>
#include <cstdint>

#if defined(__linux__)
#include <unistd.h>
#else
#include <random>
#endif

namespace folio {

namespace detail {

/// Bits that cannot be guessed; of the clock of nobody, and not reproducible.
[[nodiscard]] inline std::uint64_t entropy() {
#if defined(__linux__)
  std::uint64_t bits = 0;
  if (::getentropy(&bits, sizeof bits) != 0) bits = reinterpret_cast<std::uintptr_t>(&bits);  // an old kernel
  return bits;
#else
  std::random_device device;
  return std::uint64_t{device()} << 32 | device();
#endif
}

}  // namespace detail

/// What a keyed hash depends on. Given, runs are the same to the last table; random() is another one for each call.
/// Which it is changes no result, only which keys are slow to find.
struct HashSecret {
  std::uint64_t first = 0, second = 0;

  [[nodiscard]] static HashSecret random();
  [[nodiscard]] bool operator==(HashSecret const&) const = default;
};

/// SipHash-1-3 (Aumasson and Bernstein, 2012) of one 64-bit word, without the length that all words share. About 5 ns.
[[nodiscard]] inline std::uint64_t keyed_hash(HashSecret secret, std::uint64_t word) noexcept {
  std::uint64_t a = secret.first ^ 0x736F6D6570736575U, b = secret.second ^ 0x646F72616E646F6DU;
  std::uint64_t c = secret.first ^ 0x6C7967656E657261U, d = secret.second ^ 0x7465646279746573U;
  auto const round = [&] {
    a += b, b = std::rotl(b, 13) ^ a, a = std::rotl(a, 32);
    c += d, d = std::rotl(d, 16) ^ c;
    a += d, d = std::rotl(d, 21) ^ a;
    c += b, b = std::rotl(b, 17) ^ c, c = std::rotl(c, 32);
  };
  d ^= word;
  round();
  a ^= word;
  c ^= 0xFF;
  round();
  round();
  round();
  return a ^ b ^ c ^ d;
}

inline HashSecret HashSecret::random() {
  static HashSecret const seed{detail::entropy(), detail::entropy()};  // the system is asked once
  static std::atomic<std::uint64_t> count{0};
  std::uint64_t const number = 2 * count.fetch_add(1, std::memory_order_relaxed);
  return {keyed_hash(seed, number), keyed_hash(seed, number + 1)};
}

/// Hashes 64-bit keys, digests of prefixes for example.
struct KeyedHash {
  HashSecret secret = HashSecret::random();
  [[nodiscard]] std::uint64_t operator()(std::uint64_t key) const noexcept { return keyed_hash(secret, key); }
};

}  // namespace folio
