// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A pseudorandom function of byte strings: digests that only who has the secret can compute or foresee. Host only.

#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/containers/keyed_hash.hpp>
#include <span>
#include <string_view>

namespace folio {

/// Key of a keyed digest, 128 bits. Whoever has the same one computes the same digests; random() is another one for
/// each call. The default is known to everybody, and good for tests alone.
struct KeySecret {
  std::uint64_t low = 0, high = 0;

  /// Of the system's random bits.
  [[nodiscard]] static KeySecret random() { return {random_word(), random_word()}; }
  /// Of 16 bytes, as they are in a file or in a message: `low` first, each little-endian.
  [[nodiscard]] static constexpr KeySecret of(std::span<std::byte const, 16> bytes) noexcept {
    KeySecret secret;
    for (std::size_t i = 0; i < 8; ++i) {
      secret.low |= std::uint64_t{std::to_integer<std::uint8_t>(bytes[i])} << 8 * i;
      secret.high |= std::uint64_t{std::to_integer<std::uint8_t>(bytes[8 + i])} << 8 * i;
    }
    return secret;
  }
  [[nodiscard]] bool operator==(KeySecret const&) const = default;
};

/// SipHash-2-4 with 128 bits of output, of bytes that are given piece by piece: for whoever does not know the secret,
/// the digests of different bytes are independent random numbers. The same on every host, whatever its byte order.
/// Cost: about 0.4 ns a byte that is aligned, 0.7 else, and 10 ns.
///
/// Source: SipHash (Aumasson and Bernstein, INDOCRYPT 2012), and its authors' reference for 128 bits.
class SipHash {
 public:
  explicit constexpr SipHash(KeySecret const& secret) noexcept
      : v0_(secret.low ^ 0x736F6D6570736575U),
        v1_(secret.high ^ 0x646F72616E646F6DU ^ 0xEEU),
        v2_(secret.low ^ 0x6C7967656E657261U),
        v3_(secret.high ^ 0x7465646279746573U) {}

  /// Adds the eight bytes of `word`, little-endian, after a multiple of eight.
  constexpr void add_aligned(std::uint64_t word) noexcept {
    absorb(word);
    size_ += 8;
  }
  /// Adds the first `num_bytes` bytes of `value`, 1 to 8, little-endian. Those above are 0.
  constexpr void add(std::uint64_t value, std::uint32_t num_bytes) noexcept {
    std::uint32_t const filled = size_ % 8;
    size_ += num_bytes;
    rest_ |= value << 8 * filled;
    if (filled + num_bytes < 8) return;
    absorb(rest_);
    rest_ = filled == 0 ? 0 : value >> 8 * (8 - filled);
  }
  constexpr void add(std::string_view bytes) noexcept {
    auto const word = [](std::string_view all, std::size_t n) {
      std::uint64_t value = 0;
      for (std::size_t i = 0; i < n; ++i) value |= std::uint64_t{static_cast<std::uint8_t>(all[i])} << 8 * i;
      return value;
    };
    for (; bytes.size() >= 8; bytes.remove_prefix(8)) add(word(bytes, 8), 8);
    if (!bytes.empty()) add(word(bytes, bytes.size()), static_cast<std::uint32_t>(bytes.size()));
  }

  /// The digest of all bytes so far: its first eight, and its last eight, little-endian.
  [[nodiscard]] constexpr std::array<std::uint64_t, 2> digest() const noexcept {
    SipHash end = *this;
    end.absorb(rest_ | std::uint64_t{size_} << 56);
    end.v2_ ^= 0xEE;
    for (int i = 0; i < 4; ++i) end.round();
    std::uint64_t const first = end.v0_ ^ end.v1_ ^ end.v2_ ^ end.v3_;
    end.v1_ ^= 0xDD;
    for (int i = 0; i < 4; ++i) end.round();
    return {first, end.v0_ ^ end.v1_ ^ end.v2_ ^ end.v3_};
  }

 private:
  static constexpr std::uint64_t rotate(std::uint64_t x, int bits) noexcept { return x << bits | x >> (64 - bits); }
  constexpr void absorb(std::uint64_t word) noexcept {
    v3_ ^= word;
    round();
    round();
    v0_ ^= word;
  }
  constexpr void round() noexcept {
    v0_ += v1_;
    v1_ = rotate(v1_, 13) ^ v0_;
    v0_ = rotate(v0_, 32);
    v2_ += v3_;
    v3_ = rotate(v3_, 16) ^ v2_;
    v0_ += v3_;
    v3_ = rotate(v3_, 21) ^ v0_;
    v2_ += v1_;
    v1_ = rotate(v1_, 17) ^ v2_;
    v2_ = rotate(v2_, 32);
  }

  std::uint64_t v0_, v1_, v2_, v3_;
  std::uint64_t rest_ = 0;  // bytes that fill no word yet
  std::uint32_t size_ = 0;  // modulo 2^32, of which the last byte counts
};

}  // namespace folio
