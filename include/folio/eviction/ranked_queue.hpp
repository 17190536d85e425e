// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Entries in the order of their rank: what most eviction policies are made of. Host only.

#include <cstddef>
#include <cstdint>
#include <folio/eviction/eviction.hpp>
#include <utility>

namespace folio {

/// A leftist heap (Crane 1972) whose memory is the entries themselves, so that nothing it does can fail: they link to
/// each other, by `links[slot]`. `Before(a, b)`: a comes out first. Any entry can leave. O(log entries) for each
/// change, at worst.
///
/// Entries stay where they are in memory while they are in it. A move leaves the other one empty; a copy is empty, for
/// an entry stands in one heap by each slot.
template <int slot, class Before>
class EntryHeap {
 public:
  EntryHeap() = default;
  EntryHeap(EntryHeap const&) noexcept : EntryHeap() {}
  EntryHeap(EntryHeap&& other) noexcept
      : root_(std::exchange(other.root_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  EntryHeap& operator=(EntryHeap&& other) noexcept {
    root_ = std::exchange(other.root_, nullptr);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }
  ~EntryHeap() = default;

  [[nodiscard]] bool empty() const noexcept { return root_ == nullptr; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] EvictionEntry* first() const noexcept { return root_; }

  /// Whether `entry` is in a heap by this slot.
  [[nodiscard]] static bool has(EvictionEntry const& entry) noexcept { return entry.heights[slot] != 0; }

  /// Adds an entry that is in no heap by this slot.
  void push(EvictionEntry& entry) noexcept {
    entry.links[slot] = {};
    entry.heights[slot] = 1;
    set_root(merge(root_, &entry));
    ++size_;
  }

  /// Takes out an entry that is in this heap; what it was ordered by may have changed.
  void erase(EvictionEntry& entry) noexcept {
    EvictionEntry* const below = merge(left(entry), right(entry));
    EvictionEntry* above = parent(entry);
    if (above == nullptr) {
      set_root(below);
    } else {
      if (below != nullptr) parent(*below) = above;
      (left(*above) == &entry ? left(*above) : right(*above)) = below;
      while (above != nullptr && settle(*above)) above = parent(*above);
    }
    entry.heights[slot] = 0;
    entry.links[slot] = {};
    --size_;
  }

  /// Calls f(entry) for every entry, which may change what it is ordered by. O(entries).
  template <class F>
  void reorder(F f) noexcept {
    if (root_ == nullptr) return;
    EvictionEntry* last = root_;  // all in a line, each one's next one in the place of its parent
    for (EvictionEntry* entry = root_; entry != nullptr; entry = parent(*entry)) {
      for (EvictionEntry* const child : {left(*entry), right(*entry)}) {
        if (child == nullptr) continue;
        parent(*last) = child;
        last = child;
      }
      parent(*last) = nullptr;
      f(*entry);
      entry->heights[slot] = 1;
      left(*entry) = right(*entry) = nullptr;
    }
    EvictionEntry* first = root_;
    while (first != last) {  // the first two become one at the end, until there is one
      EvictionEntry* const second = parent(*first);
      EvictionEntry* const rest = parent(*second);
      EvictionEntry* const merged = merge(first, second);
      parent(*merged) = nullptr;
      if (rest != nullptr) parent(*last) = merged;
      first = rest != nullptr ? rest : merged;
      last = merged;
    }
    root_ = first;
  }

 private:
  static EvictionEntry*& parent(EvictionEntry& entry) noexcept { return entry.links[slot].parent; }
  static EvictionEntry*& left(EvictionEntry& entry) noexcept { return entry.links[slot].left; }
  static EvictionEntry*& right(EvictionEntry& entry) noexcept { return entry.links[slot].right; }
  static std::int8_t height(EvictionEntry const* entry) noexcept {
    return entry == nullptr ? std::int8_t{0} : entry->heights[slot];
  }

  void set_root(EvictionEntry* root) noexcept {
    root_ = root;
    if (root != nullptr) parent(*root) = nullptr;
  }

  /// Puts the higher one of its two parts on the left, so that the way down on the right is short: at most log2(size).
  /// Returns whether the height of `entry` has changed.
  static bool settle(EvictionEntry& entry) noexcept {
    if (height(left(entry)) < height(right(entry))) std::swap(left(entry), right(entry));
    auto const before = std::exchange(entry.heights[slot], static_cast<std::int8_t>(height(right(entry)) + 1));
    return entry.heights[slot] != before;
  }

  /// One heap of two: their ways down on the right become one, in order. Whose parent its first entry has is the
  /// caller's to say.
  static EvictionEntry* merge(EvictionEntry* a, EvictionEntry* b) noexcept {
    if (a == nullptr || b == nullptr) return a == nullptr ? b : a;
    if (Before()(*b, *a)) std::swap(a, b);
    EvictionEntry *const top = a, *lowest = a;
    for (a = right(*a); a != nullptr; a = right(*a)) {
      if (Before()(*b, *a)) std::swap(a, b);
      right(*lowest) = a;
      parent(*a) = lowest;
      lowest = a;
    }
    right(*lowest) = b;
    parent(*b) = lowest;
    for (; lowest != top; lowest = parent(*lowest)) settle(*lowest);
    settle(*top);
    return top;
  }

  EvictionEntry* root_ = nullptr;
  std::size_t size_ = 0;
};

namespace detail {

struct RanksBefore {
  bool operator()(EvictionEntry const& a, EvictionEntry const& b) const noexcept {
    return a.rank != b.rank ? a.rank < b.rank : a.order != b.order ? a.order < b.order : a.depth > b.depth;
  }
};

}  // namespace detail

/// Entries by rank: the smallest is first; among equal ranks the one used least lately, then the deepest. O(log
/// entries) for each change, and no memory.
class RankedQueue : public EntryHeap<0, detail::RanksBefore> {
 public:
  void push(EvictionEntry& entry, double rank) noexcept {
    entry.rank = rank;
    EntryHeap::push(entry);
  }

  void change(EvictionEntry& entry, double rank) noexcept {
    erase(entry);
    push(entry, rank);
  }

  /// Ranks every entry anew, by rank_of(entry). O(entries).
  template <class F>
  void rerank(F rank_of) noexcept {
    reorder([&](EvictionEntry& entry) { entry.rank = rank_of(std::as_const(entry)); });
  }
};

}  // namespace folio
