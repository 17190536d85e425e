// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A hash table whose every insertion costs the same. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/segmented_array.hpp>
#include <utility>

namespace folio {

/// From keys to places, which are numbers from 0 on, each of one key at most: a hash table by linear hashing (Litwin,
/// VLDB 1980), with chains. A key is in the table once.
///
/// O(1) expected to find, insert and erase; no single call rehashes the table, for with each key that comes two chains
/// are split, if need be. Finding and erasing allocate nothing, nor does inserting after reserve. About 24 bytes for
/// each place, which a table that becomes empty keeps. With a keyed hash nobody can choose keys that share a chain.
///
/// Not thread-safe. A move leaves the other one empty.
template <class Key, class Hash>
class LinearTable {
 public:
  static constexpr std::int32_t none = -1;

  explicit LinearTable(Hash hash = Hash()) : hash_(std::move(hash)) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// The place of `key`, or none.
  [[nodiscard]] std::int32_t find(Key const& key) const noexcept {
    if (size_ == 0) return none;
    std::uint32_t const hash = hash_of(key);
    std::int32_t place = chains_[chain_of(hash)];
    while (place != none && !(at(place).hash == hash && at(place).key == key)) place = at(place).next;
    return place;
  }

  /// Room for the places below `num_places`. Throws std::bad_alloc, and then has changed nothing that shows.
  void reserve(std::size_t num_places) {
    slots_.reserve(num_places);
    chains_.reserve(chains_for_each * num_places);
  }

  /// Adds a key that is not there at a place that has none. Throws std::bad_alloc where there is no room.
  void insert(Key const& key, std::int32_t place) {
    auto const index = static_cast<std::size_t>(place);
    reserve(index + 1);
    while (slots_.size() <= index) slots_.emplace_back();
    if (chains_.size() == 0) add_chain();
    Slot& slot = at(place);
    slot.key = key;
    slot.hash = hash_of(key);
    slot.next = std::exchange(chains_[chain_of(slot.hash)], place);
    ++size_;
    for (int n = 0; n < chains_for_each && chains_.size() < chains_for_each * size_; ++n) split_chain();
  }

  /// Removes the key of a place that has one.
  void erase(std::int32_t place) noexcept {
    std::int32_t* link = &chains_[chain_of(at(place).hash)];
    while (*link != place) link = &at(*link).next;
    *link = at(place).next;
    --size_;
  }

 private:
  struct Slot {
    Key key;
    std::uint32_t hash;
    std::int32_t next;  // of the chain
  };
  static constexpr int chains_for_each = 2;  // key

  [[nodiscard]] Slot& at(std::int32_t place) noexcept { return slots_[static_cast<std::size_t>(place)]; }
  [[nodiscard]] Slot const& at(std::int32_t place) const noexcept { return slots_[static_cast<std::size_t>(place)]; }
  [[nodiscard]] std::uint32_t hash_of(Key const& key) const noexcept {
    return static_cast<std::uint32_t>(static_cast<std::uint64_t>(hash_(key)) >> 32);
  }

  /// Of 2^k to 2^(k + 1) chains each is found by k + 1 bits, or by k while the one with k + 1 is not split off yet.
  [[nodiscard]] std::size_t chain_of(std::uint32_t hash) const noexcept {
    std::size_t const chain = hash & mask_;
    return chain < chains_.size() ? chain : chain & mask_ >> 1;
  }

  void add_chain() {
    chains_.emplace_back() = none;
    mask_ = std::bit_ceil(chains_.size()) - 1;
  }

  /// One chain more: what belongs to it leaves the chain that it was part of.
  void split_chain() {
    std::size_t const added = chains_.size();
    add_chain();
    std::int32_t* from = &chains_[added & mask_ >> 1];
    std::int32_t* to = &chains_[added];
    while (*from != none) {
      Slot& slot = at(*from);
      if ((slot.hash & mask_) == added) {
        *to = std::exchange(*from, slot.next);
        to = &slot.next;
        *to = none;
      } else {
        from = &slot.next;
      }
    }
  }

  SegmentedArray<Slot> slots_;           // by place
  SegmentedArray<std::int32_t> chains_;  // the first place of each
  std::size_t mask_ = 0;                 // a power of two, less one: at least as many as chains, and not twice as many
  std::size_t size_ = 0;
  [[no_unique_address]] Hash hash_;
};

}  // namespace folio
