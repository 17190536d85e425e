// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A hash table whose every insertion costs the same. Host only.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <folio/containers/segmented_array.hpp>
#include <utility>

namespace folio {

/// Hash table by linear hashing (Litwin, VLDB 1980), from keys to numbers from 0 on. Its buckets have one key each
/// and chains for more. A key is in the table once.
///
/// O(1) expected to find, insert and erase. No call rehashes the table: with each key that comes two buckets are split,
/// if need be. Finding and erasing allocate nothing, nor does inserting after reserve. About 40 bytes for each key of
/// 8 bytes, which a table that becomes empty keeps. With a keyed hash nobody can choose keys that share a bucket.
///
/// Not thread-safe. What was moved from can be assigned and destroyed.
template <class Key, class Hash>
class LinearTable {
 public:
  static constexpr std::int32_t none = -1;

  explicit LinearTable(Hash hash = Hash()) : hash_(std::move(hash)) {}

  [[nodiscard]] std::size_t size() const noexcept { return size_; }

  /// The number of `key`, or none.
  [[nodiscard]] std::int32_t find(Key const& key) const noexcept {
    if (size_ == 0) return none;
    Slot const* slot = &buckets_[bucket_of(key)];
    while (!(slot->key == key && slot->number != none)) {
      if (slot->next == none) return none;
      slot = &chained(slot->next);
    }
    return slot->number;
  }

  /// Room for so many keys. Throws std::bad_alloc, and then has changed nothing that shows.
  void reserve(std::size_t num_keys) {
    chained_.reserve(num_keys);
    buckets_.reserve(buckets_for_each * num_keys);
  }

  /// Adds a key that is not there. Throws std::bad_alloc where there is no room.
  void insert(Key const& key, std::int32_t number) {
    reserve(size_ + 1);
    if (buckets_.size() == 0) add_bucket();
    put(key, number);
    ++size_;
    for (int n = 0; n < buckets_for_each && buckets_.size() < buckets_for_each * size_; ++n) split_bucket();
  }

  /// Removes a key that is there.
  void erase(Key const& key) noexcept {
    Slot& bucket = buckets_[bucket_of(key)];
    std::int32_t* link = &bucket.next;
    if (bucket.key == key && bucket.number != none) {
      if (*link == none) {
        bucket.number = none;
      } else {  // the first of the chain moves up
        bucket.key = chained(*link).key;
        bucket.number = chained(*link).number;
      }
    } else {
      while (!(chained(*link).key == key)) link = &chained(*link).next;
    }
    if (*link != none) give_back(std::exchange(*link, chained(*link).next));
    --size_;
  }

 private:
  struct Slot {
    Key key{};
    std::int32_t number = none;  // none: a bucket without keys, and so without a chain
    std::int32_t next = none;    // of the chain
  };
  static constexpr int buckets_for_each = 2;  // key

  [[nodiscard]] Slot& chained(std::int32_t i) noexcept { return chained_[static_cast<std::size_t>(i)]; }
  [[nodiscard]] Slot const& chained(std::int32_t i) const noexcept { return chained_[static_cast<std::size_t>(i)]; }

  /// Of 2^k to 2^(k + 1) buckets each is found by k + 1 bits, or by k while the one with k + 1 is not split off yet.
  [[nodiscard]] std::size_t bucket_of(Key const& key) const noexcept {
    std::size_t const bucket = static_cast<std::size_t>(hash_(key)) & mask_;
    return bucket < buckets_.size() ? bucket : bucket & (mask_ >> 1);
  }

  void add_bucket() {
    buckets_.emplace_back();
    mask_ = std::bit_ceil(buckets_.size()) - 1;
  }

  void put(Key const& key, std::int32_t number) {
    Slot& bucket = buckets_[bucket_of(key)];
    if (bucket.number == none) {
      bucket.key = key;
      bucket.number = number;
      return;
    }
    std::int32_t added = unused_;
    if (added == none) {
      added = static_cast<std::int32_t>(chained_.size());
      chained_.emplace_back();
    } else {
      unused_ = chained(added).next;
    }
    chained(added) = {key, number, std::exchange(bucket.next, added)};
  }
  void give_back(std::int32_t i) noexcept { chained(i).next = std::exchange(unused_, i); }

  /// One bucket more: what belongs to it leaves the one that it was part of.
  void split_bucket() {
    add_bucket();
    Slot const whole = std::exchange(buckets_[(buckets_.size() - 1) & (mask_ >> 1)], Slot());
    if (whole.number != none) put(whole.key, whole.number);
    for (std::int32_t i = whole.next; i != none;) {
      Slot const slot = chained(i);
      give_back(i);  // before it is put where it belongs, which may need it
      put(slot.key, slot.number);
      i = slot.next;
    }
  }

  SegmentedArray<Slot> buckets_, chained_;
  std::int32_t unused_ = none;  // of those that can be chained
  std::size_t mask_ = 0;        // a power of two, less one: at least as many as buckets, and not twice as many
  std::size_t size_ = 0;
  [[no_unique_address]] Hash hash_;
};

}  // namespace folio
