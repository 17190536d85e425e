// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Prefix keys: a digest of a prefix that means the same to other processes, if they have the secret. Host only.

#include <array>
#include <cstddef>
#include <cstdint>
#include <folio/containers/sip_hash.hpp>
#include <folio/eviction/eviction.hpp>
#include <span>
#include <string_view>

namespace folio {

/// The 16 bytes of a key, as they are sent and stored: `low` first, each word little-endian.
[[nodiscard]] constexpr std::array<std::byte, 16> bytes_of(PrefixKey const& key) noexcept {
  std::array<std::byte, 16> bytes{};
  for (std::size_t i = 0; i < 8; ++i) {
    bytes[i] = static_cast<std::byte>(key.low >> 8 * i);
    bytes[8 + i] = static_cast<std::byte>(key.high >> 8 * i);
  }
  return bytes;
}
/// The key with these bytes.
[[nodiscard]] constexpr PrefixKey prefix_key_of(std::span<std::byte const, 16> bytes) noexcept {
  KeySecret const words = KeySecret::of(bytes);
  return {words.low, words.high};
}

/// What the numbers of scopes and of symbols below 0 stand for: KeyTable (prefix/key_table.hpp).
class PrefixNames {
 public:
  /// The bytes of number n, of a scope or of the symbol -n; empty where it was not handed out, or is forgotten. Good
  /// until the table changes.
  [[nodiscard]] virtual std::string_view name_of(std::int64_t number) const noexcept = 0;

 protected:
  PrefixNames() = default;
  PrefixNames(PrefixNames const&) = default;
  PrefixNames& operator=(PrefixNames const&) = default;
  ~PrefixNames() = default;
};

/// Prefix keys under a secret: the keys of scopes, and of units one after the other. Whoever has the secret, the size
/// of units and the same names gets the same keys, whatever the numbers that stand for names; whoever has not the
/// secret can neither foresee a key, nor make two prefixes of one.
///
/// PRF(m) is SipHash-2-4 of the bytes m under the secret, 128 bits. Numbers are little-endian, of 4 bytes; keys are of
/// 16 (bytes_of). The topmost bit of each key says whether it is local, whatever the PRF gives there.
///
///   name(n)            PRF(the bytes that the KeyTable has for number n, 'n')
///   scope 0            PRF(tokens in a unit, 's')
///   any other scope    PRF(tokens in a unit, name(scope), 's')
///   a unit             PRF(key of the unit before, or of the scope; each symbol; 'u')
///   symbol t >= 0      t
///   symbol t < 0       0x80000000, name(-t)
///
/// Different things are different bytes m: what m is of is its last byte, its fields come in a fixed order, and each
/// symbol says how long it is. A number without a name is, in place of a name, itself, 12 bytes of 0 after it, the
/// local bit set; a key that builds on one is local.
///
/// Host only; immutable, but the names may change: no other thread may change them meanwhile. Nothing throws. Cost:
/// about 2.5 ns for each token, and 0.7 ns for each byte of a name.
class PrefixKeys {
 public:
  explicit PrefixKeys(KeySecret const& secret, std::int32_t unit_tokens, PrefixNames const* names = nullptr) noexcept
      : secret_(secret), unit_tokens_(unit_tokens), names_(names) {}

  [[nodiscard]] KeySecret const& secret() const noexcept { return secret_; }
  [[nodiscard]] std::int32_t unit_tokens() const noexcept { return unit_tokens_; }

  /// The key of a scope: what the keys of its first units build on.
  [[nodiscard]] PrefixKey scope(std::int32_t scope) const noexcept {
    SipHash hash(secret_);
    hash.add(static_cast<std::uint32_t>(unit_tokens_), 4);
    if (scope == 0) return finish(hash, 's', false);
    PrefixKey const name = name_key(scope, scope);
    add(hash, name);
    return finish(hash, 's', name.is_local());
  }
  /// The key of a unit of symbols after the unit, or the scope, with key `before`.
  [[nodiscard]] PrefixKey unit(PrefixKey const& before, std::span<std::int32_t const> symbols) const noexcept {
    SipHash hash(secret_);
    hash.add_aligned(before.low);
    hash.add_aligned(before.high);
    bool is_local = before.is_local();
    std::size_t num_tokens = 0;  // that are plain, in twos
    for (; num_tokens + 1 < symbols.size() && (symbols[num_tokens] | symbols[num_tokens + 1]) >= 0; num_tokens += 2)
      hash.add_aligned(static_cast<std::uint32_t>(symbols[num_tokens]) |
                       std::uint64_t{static_cast<std::uint32_t>(symbols[num_tokens + 1])} << 32);
    for (std::int32_t const symbol : symbols.subspan(num_tokens)) {
      hash.add(symbol < 0 ? 0x80000000U : static_cast<std::uint32_t>(symbol), 4);
      if (symbol >= 0) continue;
      PrefixKey const name = name_key(-std::int64_t{symbol}, symbol);
      add(hash, name);
      is_local = is_local || name.is_local();
    }
    return finish(hash, 'u', is_local);
  }

 private:
  /// Of a number without a name, the number as it is given.
  [[nodiscard]] PrefixKey name_key(std::int64_t number, std::int32_t as_given) const noexcept {
    std::string_view const bytes = names_ != nullptr ? names_->name_of(number) : std::string_view();
    if (bytes.empty()) return {static_cast<std::uint32_t>(as_given), PrefixKey::local_bit};
    SipHash hash(secret_);
    hash.add(bytes);
    return finish(hash, 'n', false);
  }
  static void add(SipHash& hash, PrefixKey const& key) noexcept {
    hash.add(key.low, 8);
    hash.add(key.high, 8);
  }
  static PrefixKey finish(SipHash hash, char what, bool is_local) noexcept {
    hash.add(static_cast<std::uint8_t>(what), 1);
    auto const [low, high] = hash.digest();
    return {low, (high & ~PrefixKey::local_bit) | (is_local ? PrefixKey::local_bit : 0)};
  }

  KeySecret secret_;
  std::int32_t unit_tokens_;
  PrefixNames const* names_;
};

}  // namespace folio
