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
  [[nodiscard]] static bool has(EvictionEntry const& entry) noexcept { return entry.links[slot].right_height >= 0; }

  /// Adds an entry that is in no heap by this slot.
  void push(EvictionEntry& entry) noexcept {
    links(entry) = single;
    set_root(merge(root_, &entry));
    ++size_;
  }

  /// Takes out an entry that is in this heap; what it was ordered by may have changed.
  void erase(EvictionEntry& entry) noexcept {
    EvictionEntry* const below = merge(links(entry).left, links(entry).right);
    EvictionEntry* const above = links(entry).parent;
    if (above == nullptr) {
      set_root(below);
    } else {
      if (below != nullptr) links(*below).parent = above;
      (links(*above).left == &entry ? links(*above).left : links(*above).right) = below;
      update_heights(above, below);
    }
    links(entry) = {};
    --size_;
  }

 private:
  static constexpr EvictionEntry::Links single{nullptr, nullptr, nullptr, 0, 0};

  static EvictionEntry::Links& links(EvictionEntry& entry) noexcept { return entry.links[slot]; }
  /// Of the way down on the right; of nothing, 0.
  static std::int8_t height(EvictionEntry::Links const& l) noexcept {
    return static_cast<std::int8_t>(l.right_height + 1);
  }

  void set_root(EvictionEntry* root) noexcept {
    root_ = root;
    if (root != nullptr) links(*root).parent = nullptr;
  }

  /// Puts the higher one of two parts on the left, so that the way down on the right is short: at most log2(size).
  static void settle(EvictionEntry::Links& l) noexcept {
    if (l.left_height >= l.right_height) return;
    std::swap(l.left, l.right);
    std::swap(l.left_height, l.right_height);
  }

  /// From an entry on upwards, of which `below` is a part that has become another one.
  static void update_heights(EvictionEntry* entry, EvictionEntry* below) noexcept {
    std::int8_t below_height = below == nullptr ? std::int8_t{0} : height(links(*below));
    while (entry != nullptr) {
      EvictionEntry::Links& l = links(*entry);
      std::int8_t const before = l.right_height;
      (l.left == below ? l.left_height : l.right_height) = below_height;
      settle(l);
      if (l.right_height == before) return;
      below_height = height(l);
      below = entry;
      entry = l.parent;
    }
  }

  /// One heap of two: their ways down on the right become one, in order. Whose parent its first entry has is the
  /// caller's to say.
  static EvictionEntry* merge(EvictionEntry* a, EvictionEntry* b) noexcept {
    if (a == nullptr || b == nullptr) return a == nullptr ? b : a;
    if (Before()(*b, *a)) std::swap(a, b);
    EvictionEntry *const top = a, *lowest = a;
    for (a = links(*a).right; a != nullptr; a = links(*a).right) {
      if (Before()(*b, *a)) std::swap(a, b);
      links(*lowest).right = a;
      links(*a).parent = lowest;
      lowest = a;
    }
    links(*lowest).right = b;
    links(*b).parent = lowest;
    for (std::int8_t right_height = height(links(*b));; lowest = links(*lowest).parent) {
      EvictionEntry::Links& l = links(*lowest);
      l.right_height = right_height;
      settle(l);
      right_height = height(l);
      if (lowest == top) return top;
    }
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

/// Indexed heap of entries by rank: the smallest is first; among equal ranks the one used least lately, then the
/// deepest. O(log entries) for each change, and no memory.
class IndexedHeap : public EntryHeap<0, detail::RanksBefore> {
 public:
  void push(EvictionEntry& entry, double rank) noexcept {
    entry.rank = rank;
    EntryHeap::push(entry);
  }

  void change(EvictionEntry& entry, double rank) noexcept {
    erase(entry);
    push(entry, rank);
  }
};

}  // namespace folio
