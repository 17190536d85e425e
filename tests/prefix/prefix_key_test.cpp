// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <bit>
#include <cstdint>
#include <folio/prefix/key_table.hpp>
#include <folio/prefix/prefix_key.hpp>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

using folio::KeySecret;
using folio::KeyTable;
using folio::PrefixAttribute;
using folio::PrefixKey;
using folio::PrefixKeys;
using folio::test::below;
using Symbols = std::vector<std::int32_t>;

namespace {

std::array<std::byte, 16> counted_bytes() {
  std::array<std::byte, 16> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  return bytes;
}
KeySecret const secret = KeySecret::of(counted_bytes());

std::string hex(PrefixKey const& key) {
  std::string text;
  for (std::byte const byte : bytes_of(key))
    for (int const shift : {4, 0}) text += "0123456789abcdef"[std::to_integer<int>(byte) >> shift & 15];
  return text;
}

/// Names of numbers, as a table of another kind may have them.
struct Names final : folio::PrefixNames {
  std::map<std::int64_t, std::string> all;
  [[nodiscard]] std::string_view name_of(std::int64_t number) const noexcept override {
    auto const found = all.find(number);
    return found == all.end() ? std::string_view() : std::string_view(found->second);
  }
};

// The same once more, from the documentation alone, byte by byte.

std::string le(std::uint64_t value, int num_bytes) {
  std::string bytes;
  for (int i = 0; i < num_bytes; ++i) bytes += static_cast<char>(value >> 8 * i & 0xFF);
  return bytes;
}

std::string slow_sip_hash(std::string message) {
  auto const word = [](std::string const& bytes, std::size_t at) {
    std::uint64_t value = 0;
    for (std::size_t i = 8; i > 0; --i) value = value * 256 + static_cast<std::uint8_t>(bytes[at + i - 1]);
    return value;
  };
  std::uint64_t const k0 = secret.low, k1 = secret.high;
  std::uint64_t v[4] = {k0 ^ 0x736f6d6570736575U, k1 ^ 0x646f72616e646f6dU ^ 0xee, k0 ^ 0x6c7967656e657261U,
                        k1 ^ 0x7465646279746573U};
  auto const mix = [&](std::size_t a, std::size_t b, int bits) {
    v[a] += v[b];
    v[b] = std::rotl(v[b], bits) ^ v[a];
  };
  auto const rounds = [&](int n) {
    for (; n > 0; --n) {
      mix(0, 1, 13);
      mix(2, 3, 16);
      v[0] = std::rotl(v[0], 32);
      mix(2, 1, 17);
      mix(0, 3, 21);
      v[2] = std::rotl(v[2], 32);
    }
  };
  std::size_t const size = message.size();
  message.resize(size / 8 * 8 + 7, '\0');
  message += static_cast<char>(size & 0xFF);
  for (std::size_t at = 0; at < message.size(); at += 8) {
    v[3] ^= word(message, at);
    rounds(2);
    v[0] ^= word(message, at);
  }
  std::string digest;
  for (std::uint64_t const end : {std::uint64_t{0xEE}, std::uint64_t{0xDD}}) {
    v[end == 0xEE ? 2 : 1] ^= end;
    rounds(4);
    digest += le(v[0] ^ v[1] ^ v[2] ^ v[3], 8);
  }
  return digest;
}

bool is_local(std::string const& key) { return (static_cast<std::uint8_t>(key[15]) & 0x80) != 0; }

std::string slow_key(std::string const& fields, char what, bool local) {
  std::string key = slow_sip_hash(fields + what);
  key[15] = static_cast<char>((key[15] & 0x7F) | (local ? 0x80 : 0));
  return key;
}
std::string slow_name(Names const& names, std::int64_t number, std::int32_t as_given) {
  if (auto const found = names.all.find(number); found != names.all.end()) return slow_key(found->second, 'n', false);
  return le(static_cast<std::uint32_t>(as_given), 4) + std::string(11, '\0') + '\x80';
}
std::string slow_scope(Names const& names, std::int32_t unit_tokens, std::int32_t scope) {
  std::string const name = scope == 0 ? std::string() : slow_name(names, scope, scope);
  return slow_key(le(static_cast<std::uint32_t>(unit_tokens), 4) + name, 's', scope != 0 && is_local(name));
}
std::string slow_unit(Names const& names, std::string const& before, std::span<std::int32_t const> symbols) {
  std::string fields = before;
  bool local = is_local(before);
  for (std::int32_t const symbol : symbols) {
    if (symbol >= 0) {
      fields += le(static_cast<std::uint32_t>(symbol), 4);
      continue;
    }
    std::string const name = slow_name(names, -std::int64_t{symbol}, symbol);
    fields += le(0x80000000U, 4) + name;
    local = local || is_local(name);
  }
  return slow_key(fields, 'u', local);
}

std::string as_bytes(PrefixKey const& key) {
  std::string bytes;
  for (std::byte const byte : bytes_of(key)) bytes += static_cast<char>(byte);
  return bytes;
}

}  // namespace

TEST_CASE("the keys of plain tokens, as they are on every host") {
  PrefixKeys const keys(secret, 4);
  PrefixKey key = keys.scope(0);
  CHECK(hex(key) == "4270aee73278f698ea5031032e2cd809");
  for (auto const& [token, expected] : std::map<std::int32_t, std::string>{{1, "633663c04ac709f498ae02069f882568"},
                                                                           {5, "1086e40f48d37b38484e68555d61803e"},
                                                                           {9, "fd8f4eb14f38670ae215bae7a4581b64"}}) {
    key = keys.unit(key, Symbols{token, token + 1, token + 2, token + 3});
    CHECK(hex(key) == expected);
    CHECK_FALSE(key.is_local());
  }
  PrefixKeys const odd(secret, 3);
  CHECK(hex(odd.scope(0)) == "ed4e004e6323dde6bbc23b1efe41d115");
  CHECK(hex(odd.unit(odd.scope(0), Symbols{7, 8, 2147483647})) == "5aec7e73d0f7cdb11508756807d7017a");
}

TEST_CASE("the keys of what has a name, as they are on every host, whatever its number") {
  for (int num_before = 0; num_before < 3; ++num_before) {
    KeyTable table;
    for (int i = 0; i < num_before; ++i) static_cast<void>(table.scope({.model = std::to_string(i)}));
    std::int32_t const scope = table.scope({.model = "m", .salt = "salt"});
    auto const symbols = table.symbols(Symbols{1, 5, 5, 9},
                                       std::vector<PrefixAttribute>{{PrefixAttribute::Kind::media, "pixels", 1, 2}});
    CHECK(scope == num_before + 1);
    CHECK(symbols == Symbols{1, -num_before - 2, 5, 9});
    PrefixKeys const keys(secret, 4, &table);
    CHECK(hex(keys.scope(scope)) == "061c2aa66840d9e51e412a3e31017121");
    CHECK(hex(keys.unit(keys.scope(scope), symbols)) == "f410b813727bfc320705290ad230332f");
  }
}

TEST_CASE("without a name a key is local, and so is every key that builds on it") {
  PrefixKeys const keys(secret, 4);
  PrefixKey const local = keys.unit(keys.scope(0), Symbols{1, 2, -3, 3});
  CHECK(hex(local) == "6229cc7ef4d2e3d4244c9942583c0de5");
  CHECK(local.is_local());
  CHECK(hex(keys.unit(local, Symbols{1, 2, 3, 4})) == "ceb337e9529f697891e94f76f6152cae");
  CHECK(hex(keys.scope(7)) == "78baab6c547054f33ebb52afe07c04f2");
  CHECK(keys.scope(7).is_local());
  KeyTable table(2);
  std::int32_t const scope = table.scope({.salt = "a"});
  PrefixKeys const named(secret, 4, &table);
  PrefixKey const before = named.scope(scope);
  CHECK_FALSE(before.is_local());
  CHECK(named.scope(scope + 1).is_local());  // of another table
  CHECK(named.scope(-1).is_local());
  for (char const* other : {"b", "c"}) static_cast<void>(table.scope({.salt = other}));
  CHECK(named.scope(scope).is_local());  // forgotten
  CHECK(named.unit(before, Symbols{1, 2, 3, std::numeric_limits<std::int32_t>::min()}).is_local());
}

TEST_CASE("random chains are what the documentation says, byte by byte") {
  std::mt19937 random(1);
  Names names;
  for (int n = 1; n <= 6; ++n)
    names.all[n] =
        std::string(static_cast<std::size_t>(below(random, 40) + 1), 'a') + le(static_cast<std::uint64_t>(n), 1);
  for (int chain = 0; chain < 300; ++chain) {
    std::int32_t const unit = 1 + below(random, 33), scope = below(random, 10) - 1;
    PrefixKeys const keys(secret, unit, &names);
    PrefixKey key = keys.scope(scope);
    std::string expected = slow_scope(names, unit, scope);
    REQUIRE(as_bytes(key) == expected);
    for (int u = 0; u < 4; ++u) {
      Symbols symbols;
      for (std::int32_t i = 0; i < unit; ++i)
        symbols.push_back(below(random, 8) == 0 ? -1 - below(random, 9) : below(random, 1 << 30));
      key = keys.unit(key, symbols);
      expected = slow_unit(names, expected, symbols);
      REQUIRE(as_bytes(key) == expected);
    }
  }
}

TEST_CASE("different things have different keys: scopes, symbols, lengths, units") {
  Names names;
  names.all = {{1, "a"}, {2, "as"}, {3, "b"}, {4, std::string(1, '\0')}, {5, std::string(2, '\0')}};
  std::set<PrefixKey> all;
  std::size_t count = 0;
  auto const add = [&](PrefixKey const& key) {
    all.insert(key);
    ++count;
  };
  for (std::int32_t unit = 1; unit <= 4; ++unit) {
    PrefixKeys const keys(secret, unit, &names);
    for (std::int32_t scope = 0; scope <= 7; ++scope) {
      PrefixKey const root = keys.scope(scope);
      add(root);
      std::int32_t const values[] = {0, 1, -1, -2, -4, -5, -9, std::numeric_limits<std::int32_t>::min()};
      int total = 1;
      for (std::int32_t i = 0; i < unit; ++i) total *= 8;
      for (int code = 0; code < total; ++code) {
        Symbols symbols;
        for (int rest = code, i = 0; i < unit; ++i, rest /= 8) symbols.push_back(values[rest % 8]);
        add(keys.unit(root, symbols));
      }
    }
  }
  CHECK(all.size() == count);
}

TEST_CASE("another secret gives other keys, and the same one the same") {
  PrefixKeys const first({1, 2}, 4), second({1, 3}, 4), third({2, 2}, 4), again({1, 2}, 4);
  std::set<PrefixKey> all;
  for (PrefixKeys const* keys : {&first, &second, &third, &again}) {
    all.insert(keys->scope(0));
    all.insert(keys->unit({}, Symbols{1, 2, 3, 4}));
  }
  CHECK(all.size() == 6);
}

TEST_CASE("a key and its bytes") {
  PrefixKey const key{0x0706050403020100U, 0x0F0E0D0C0B0A0908U};
  CHECK(bytes_of(key) == counted_bytes());
  CHECK(folio::prefix_key_of(counted_bytes()) == key);
  CHECK((PrefixKey{1, 2} < PrefixKey{2, 1}));
  CHECK((PrefixKey{1, 2} != PrefixKey{1, 3}));
  CHECK(PrefixKey{} == PrefixKey{0, 0});
}
