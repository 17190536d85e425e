// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The keys of what was evicted lately. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/containers/keyed_hash.hpp>
#include <folio/containers/linear_table.hpp>
#include <folio/containers/segmented_array.hpp>
#include <utility>

namespace folio {

/// Ghost list: keys in the order in which they came, the oldest of which are forgotten. Looks up a key in O(1). A key
/// that is taken out leaves a gap, which counts until it is the oldest. A copy is empty.
///
/// Only reserve allocates, about 60 bytes for each key. Not thread-safe.
class GhostKeys {
 public:
  GhostKeys() = default;
  GhostKeys(GhostKeys const&) : GhostKeys() {}
  GhostKeys(GhostKeys&&) = default;
  GhostKeys& operator=(GhostKeys&&) = default;
  ~GhostKeys() = default;

  /// Keys that are remembered.
  [[nodiscard]] std::size_t size() const noexcept { return places_.size(); }

  /// Room for so many keys and gaps. Throws std::bad_alloc, and then has changed nothing that shows.
  void reserve(std::size_t num_keys) {
    ghosts_.reserve(num_keys);
    places_.reserve(ghosts_.capacity());  // which is rounded up, and is filled
  }

  /// Takes a key out. Returns whether it was there.
  bool take(std::uint64_t key) noexcept {
    std::int32_t const place = places_.find(key);
    if (place == none) return false;
    places_.erase(key);
    at(place).is_gap = true;
    return true;
  }

  /// Adds a key as the newest. Where there is no room the oldest makes it; without any, the key is not remembered.
  void put(std::uint64_t key) noexcept {
    take(key);
    if (unused_ == none && ghosts_.size() == ghosts_.capacity()) forget_oldest();
    std::int32_t const place = new_place();
    if (place == none) return;
    at(place).key = key;
    places_.insert(key, place);
    (newest_ == none ? oldest_ : at(newest_).next) = place;
    newest_ = place;
    ++length_;
  }

  /// Forgets the oldest until at most so many keys and gaps are left.
  void trim(std::size_t most) noexcept {
    while (length_ > most) forget_oldest();
  }

 private:
  static constexpr std::int32_t none = -1;
  struct Ghost {
    std::uint64_t key = 0;
    std::int32_t next = none;  // younger, or unused as well
    bool is_gap = false;
  };

  [[nodiscard]] Ghost& at(std::int32_t place) noexcept { return ghosts_[static_cast<std::size_t>(place)]; }

  [[nodiscard]] std::int32_t new_place() noexcept {
    if (unused_ == none) {
      if (ghosts_.size() == ghosts_.capacity()) return none;
      ghosts_.emplace_back();
      return static_cast<std::int32_t>(ghosts_.size() - 1);
    }
    std::int32_t const place = std::exchange(unused_, at(unused_).next);
    at(place) = {};
    return place;
  }

  void forget_oldest() noexcept {
    if (oldest_ == none) return;
    std::int32_t const place = oldest_;
    if (!at(place).is_gap) places_.erase(at(place).key);
    oldest_ = at(place).next;
    if (oldest_ == none) newest_ = none;
    at(place).next = std::exchange(unused_, place);
    --length_;
  }

  SegmentedArray<Ghost> ghosts_;
  LinearTable<std::uint64_t, KeyedHash> places_;
  std::int32_t oldest_ = none, newest_ = none, unused_ = none;
  std::size_t length_ = 0;
};

}  // namespace folio
