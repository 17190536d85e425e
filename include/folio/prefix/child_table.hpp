// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// From a node and a symbol to the child that begins with it. Host only.

#include <cstddef>
#include <cstdint>
#include <vector>

namespace folio {

/// Mixes a parent and a symbol. Any function is right, since keys are compared exactly; this one is fast.
struct ChildHash {
  [[nodiscard]] std::uint64_t operator()(std::int32_t parent, std::int32_t symbol) const noexcept {
    std::uint64_t const both =
        static_cast<std::uint64_t>(static_cast<std::uint32_t>(parent)) << 32 | static_cast<std::uint32_t>(symbol);
    std::uint64_t const mixed = (both ^ both >> 29) * 0x9E3779B97F4A7C15U;
    return mixed ^ mixed >> 32;
  }
};

/// A hash table of (parent, symbol) -> child, with open addressing and linear probing. A key is in the table once.
/// Finding allocates nothing; O(1) on average.
template <class Hash = ChildHash>
class ChildTable {
 public:
  static constexpr std::int32_t none = -1;

  /// The child, or none.
  [[nodiscard]] std::int32_t find(std::int32_t parent, std::int32_t symbol) const noexcept {
    return slots_.empty() ? none : slots_[place(parent, symbol)].child;
  }

  /// Adds a key that is not there.
  void insert(std::int32_t parent, std::int32_t symbol, std::int32_t child) {
    if (2 * (size_ + 1) > slots_.size()) grow();
    slots_[place(parent, symbol)] = {parent, symbol, child};
    ++size_;
  }

  /// Gives a key that is there another child.
  void replace(std::int32_t parent, std::int32_t symbol, std::int32_t child) noexcept {
    slots_[place(parent, symbol)].child = child;
  }

  /// Removes a key that is there. Later keys of the same run move up, so that none is cut off.
  void erase(std::int32_t parent, std::int32_t symbol) noexcept {
    std::size_t const mask = slots_.size() - 1;
    std::size_t hole = place(parent, symbol);
    for (std::size_t i = (hole + 1) & mask; slots_[i].child != none; i = (i + 1) & mask) {
      std::size_t const home = hash_(slots_[i].parent, slots_[i].symbol) & mask;
      if (((i - home) & mask) < ((i - hole) & mask)) continue;  // it may not go before its home
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = {};
    --size_;
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
  struct Entry {
    std::int32_t parent = 0, symbol = 0, child = none;
  };

  /// Where the key is, or where it would go. At least half of the places are empty, so this ends.
  [[nodiscard]] std::size_t place(std::int32_t parent, std::int32_t symbol) const noexcept {
    std::size_t const mask = slots_.size() - 1;
    std::size_t i = hash_(parent, symbol) & mask;
    while (slots_[i].child != none && (slots_[i].parent != parent || slots_[i].symbol != symbol)) i = (i + 1) & mask;
    return i;
  }

  void grow() {
    std::vector<Entry> before(slots_.empty() ? 16 : 2 * slots_.size());
    before.swap(slots_);
    for (Entry const& entry : before)
      if (entry.child != none) slots_[place(entry.parent, entry.symbol)] = entry;
  }

  std::vector<Entry> slots_;  // a power of two
  std::size_t size_ = 0;
  [[no_unique_address]] Hash hash_;
};

}  // namespace folio
