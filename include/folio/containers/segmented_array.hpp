// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// An array that grows without moving what it has. Host only.

#include <bit>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

namespace folio {

/// A segmented array: its elements stay where they are in memory, since it grows by segments, each as long as all
/// before it. So growing by one element costs O(1) each time, not only on average: nothing is moved, and memory that is
/// not yet used is not touched. An element is reached by two loads from memory that is in a cache, and its own.
///
/// Not thread-safe. A move leaves the other one empty.
template <class T>
class SegmentedArray {
 public:
  SegmentedArray() = default;
  SegmentedArray(SegmentedArray&& other) noexcept
      : segments_(std::move(other.segments_)), size_(std::exchange(other.size_, 0)) {
    other.segments_.clear();
  }
  SegmentedArray& operator=(SegmentedArray&& other) noexcept {
    if (this == &other) return *this;
    release();
    segments_ = std::move(other.segments_);
    size_ = std::exchange(other.size_, 0);
    other.segments_.clear();
    return *this;
  }
  ~SegmentedArray() { release(); }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return length_of(segments_.size()) - first_length; }

  [[nodiscard]] T& operator[](std::size_t i) noexcept { return *place(i); }
  [[nodiscard]] T const& operator[](std::size_t i) const noexcept { return *place(i); }

  /// Room for `size` elements. Throws std::bad_alloc, and then has changed nothing that shows.
  void reserve(std::size_t size) {
    while (capacity() < size) {
      if (segments_.size() == segments_.capacity()) segments_.reserve(2 * segments_.size() + 4);
      segments_.push_back(Allocator().allocate(length_of(segments_.size())));
    }
  }

  /// A new element at the end, T(). Throws nothing, and allocates nothing, where there is room and T() throws nothing.
  T& emplace_back() {
    reserve(size_ + 1);
    T& element = *std::construct_at(place(size_));
    ++size_;
    return element;
  }

 private:
  using Allocator = std::allocator<T>;
  static constexpr std::size_t first_bits = 4, first_length = std::size_t{1} << first_bits;

  static constexpr std::size_t length_of(std::size_t segment) noexcept { return first_length << segment; }

  [[nodiscard]] T* place(std::size_t i) const noexcept {
    i += first_length;  // its highest bit tells the segment, and the others the place in it
    auto const highest = static_cast<std::size_t>(std::bit_width(i)) - 1;
    return segments_[highest - first_bits] + (i ^ std::size_t{1} << highest);
  }

  void release() noexcept {
    while (size_ > 0) std::destroy_at(place(--size_));
    for (std::size_t s = segments_.size(); s-- > 0;) Allocator().deallocate(segments_[s], length_of(s));
    segments_.clear();
  }

  std::vector<T*> segments_;
  std::size_t size_ = 0;
};

}  // namespace folio
