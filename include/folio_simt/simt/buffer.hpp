// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Global memory that a test owns. Whoever runs kernels, the host or a GPU, defines allocate and deallocate.

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace simt {

/// Global memory without a type, for an allocator that a test hands to the code it tests: aligned to 256 bytes, filled
/// with bytes 0xff, between red zones. `element_bytes` is the unit in which messages count.
std::byte* allocate(std::size_t bytes, std::string name, std::size_t element_bytes = 1);
void deallocate(std::byte* memory) noexcept;

/// Global memory: `size` elements between red zones. Fresh ones hold bytes 0xff (NaN as floats, -1 as ints).
/// The host reads and writes it through data(), span() and []; a kernel gets data().
template <class T>
class Buffer {
  static_assert(std::is_trivially_copyable_v<T>, "simt::Buffer: memory of a GPU holds trivially copyable types");

 public:
  explicit Buffer(std::size_t size, std::string name = "a buffer")
      : data_(reinterpret_cast<T*>(allocate(size * sizeof(T), std::move(name), sizeof(T)))), size_(size) {}
  explicit Buffer(std::span<T const> values, std::string name = "a buffer") : Buffer(values.size(), std::move(name)) {
    std::uninitialized_copy(values.begin(), values.end(), data_);
  }
  explicit Buffer(std::vector<T> const& values, std::string name = "a buffer")
      : Buffer(std::span<T const>(values), std::move(name)) {}
  Buffer(Buffer&& other) noexcept : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Buffer() { deallocate(reinterpret_cast<std::byte*>(data_)); }

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<T> span() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::vector<T> to_vector() const { return {data_, data_ + size_}; }
  T& operator[](std::size_t index) const noexcept { return data_[index]; }

 private:
  T* data_;
  std::size_t size_;
};

}  // namespace simt
