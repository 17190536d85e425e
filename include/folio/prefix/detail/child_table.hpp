// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a node and a symbol to the child that begins with it. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/containers/keyed_hash.hpp>
#include <folio/containers/linear_table.hpp>
#include <folio/containers/sip_hash.hpp>
#include <utility>

namespace folio {

/// Hashes a parent and a symbol under a secret. Prompts are chosen by strangers: under a hash that they know they would
/// choose such as lie in one chain, and everybody's look-ups would go through it.
struct ChildHash {
  HashSecret secret = HashSecret::random();

  /// A hash whose secret follows from that of keys, and tells nothing of it.
  [[nodiscard]] static ChildHash of(KeySecret const& secret) noexcept {
    auto const word = [&](std::uint64_t number) {
      SipHash hash(secret);
      hash.add(number, 1);
      hash.add('h', 1);
      return hash.digest()[0];
    };
    return {{word(0), word(1), word(2)}};
  }

  [[nodiscard]] std::uint32_t operator()(std::int32_t parent, std::int32_t symbol) const noexcept {
    return keyed_hash(secret, std::uint64_t{static_cast<std::uint32_t>(parent)} << 32 |
                                  std::uint64_t{static_cast<std::uint32_t>(symbol)});
  }
};

/// A hash table of (parent, symbol) -> child. A key is in the table once. Keys are compared exactly,
/// so any hash is right. Finding allocates nothing. Costs as LinearTable says.
template <class Hash = ChildHash>
class ChildTable {
 public:
  static constexpr std::int32_t none = -1;

  explicit ChildTable(Hash hash = Hash()) : table_({std::move(hash)}) {}

  [[nodiscard]] std::size_t size() const noexcept { return table_.size(); }

  /// The child, or none.
  [[nodiscard]] std::int32_t find(std::int32_t parent, std::int32_t symbol) const noexcept {
    return table_.find({parent, symbol});
  }

  /// Room for so many children in all, so that inserting them allocates nothing.
  void reserve(std::size_t num_children) { table_.reserve(num_children); }

  /// Adds a key that is not there. Throws std::bad_alloc where there is no room.
  void insert(std::int32_t parent, std::int32_t symbol, std::int32_t child) { table_.insert({parent, symbol}, child); }

  /// Removes a key that is there.
  void erase(std::int32_t parent, std::int32_t symbol) noexcept { table_.erase({parent, symbol}); }

 private:
  struct Key {
    std::int32_t parent = none, symbol = 0;
    [[nodiscard]] bool operator==(Key const&) const = default;
  };
  struct HashOfKey {
    [[no_unique_address]] Hash hash;
    [[nodiscard]] auto operator()(Key const& key) const noexcept { return hash(key.parent, key.symbol); }
  };

  LinearTable<Key, HashOfKey> table_;
};

}  // namespace folio
