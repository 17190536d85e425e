// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The memory of a step's tables, which can tell what a new step changed in it. Host only.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace folio {

/// Who does not ask what changed.
struct NoChanges {};

/// Words of 4 bytes. What is written goes through `put` and `fill`, which call `changes(words, first, count)` for words
/// [first, first + count) that are not what they were, in ascending order; `words` is the whole buffer, as it is now.
/// Cost: O(what is given), a comparison of each word where `changes` is not NoChanges.
class TableBuffer {
 public:
  [[nodiscard]] std::span<std::byte const> bytes() const noexcept {
    return {reinterpret_cast<std::byte const*>(words_.data()), words_.size() * sizeof words_[0]};
  }

  /// How many there are; none after it was moved from.
  [[nodiscard]] std::int64_t num_words() const noexcept { return 2 * static_cast<std::int64_t>(words_.size()); }

  /// Takes the memory that `resize` needs, so that it cannot fail. Throws std::bad_alloc; what is there stays, where it
  /// is.
  void prepare(std::int64_t num_words) {
    std::size_t const size = doubles(num_words), now = words_.capacity();
    if (size > now && size > next_.capacity()) next_.reserve(std::max(size, now + now / 2));
  }

  /// The buffer becomes the first `num_kept` words that it has, which are no more than it has and than `num_words`, and
  /// zeros after them.
  void resize(std::int64_t num_words, std::int64_t num_kept) {
    std::size_t const size = doubles(num_words), kept = doubles(num_kept);
    if (size > words_.capacity()) {
      next_.assign(words_.begin(), words_.begin() + static_cast<std::ptrdiff_t>(kept));
      words_ = std::exchange(next_, {});
    }
    words_.resize(kept);
    words_.resize(size);
    if (num_kept % 2 != 0) std::memset(at(num_kept), 0, std::size_t{word_bytes});
  }

  /// Words from `first` on become the `count` at `from`.
  template <class Changes>
  void put(Changes& changes, std::int64_t first, void const* from, std::int64_t count) {
    constexpr bool whole = std::is_same_v<Changes, NoChanges>;
    std::int64_t const at_once = whole ? std::max<std::int64_t>(count, 1) : piece;
    for (std::int64_t done = 0; done < count; done += at_once)
      put_piece(changes, first + done, static_cast<std::byte const*>(from) + done * word_bytes,
                std::min(at_once, count - done));
  }
  /// `count` words from `first` on become `value`.
  template <class Changes>
  void fill(Changes& changes, std::int64_t first, std::int64_t count, std::int32_t value) {
    std::int32_t values[std::size_t{piece}];
    std::fill_n(values, std::min(piece, std::max<std::int64_t>(count, 0)), value);
    for (std::int64_t done = 0; done < count; done += piece)
      put_piece(changes, first + done, reinterpret_cast<std::byte const*>(values), std::min(piece, count - done));
  }

  /// Puts numbers one after another: where changes are told, a few at a time, and what is left by `flush`.
  template <class T, class Changes>
  class Writer {
   public:
    Writer(TableBuffer& buffer, Changes& changes, std::int64_t first)
        : buffer_(buffer), changes_(changes), first_(first), to_(buffer.at(first)) {}
    void add(T value) {
      if constexpr (std::is_same_v<Changes, NoChanges>) {
        std::memcpy(to_, &value, sizeof value);
        to_ += sizeof value;
      } else {
        values_[count_++] = value;
        if (count_ == capacity) flush();
      }
    }
    void flush() {
      auto const words = static_cast<std::int64_t>(count_ * sizeof(T)) / word_bytes;
      buffer_.put(changes_, first_, values_, words);
      first_ += words;
      count_ = 0;
    }

   private:
    static constexpr std::size_t capacity = 64;
    TableBuffer& buffer_;
    Changes& changes_;
    std::int64_t first_;
    std::byte* to_;
    std::size_t count_ = 0;
    T values_[capacity];
  };

 private:
  static constexpr std::int64_t word_bytes = 4, piece = 64;

  static std::size_t doubles(std::int64_t num_words) { return static_cast<std::size_t>((num_words + 1) / 2); }
  [[nodiscard]] std::byte* at(std::int64_t word) noexcept {
    return reinterpret_cast<std::byte*>(words_.data()) + word * word_bytes;
  }

  template <class Changes>
  void put_piece(Changes& changes, std::int64_t first, std::byte const* from, std::int64_t count) {
    std::byte* const to = at(first);
    auto const bytes = static_cast<std::size_t>(count * word_bytes);
    if constexpr (std::is_same_v<Changes, NoChanges>) {
      std::memcpy(to, from, bytes);
    } else {
      if (std::memcmp(to, from, bytes) == 0) return;
      auto const differs = [&](std::int64_t i) {
        return std::memcmp(to + i * word_bytes, from + i * word_bytes, std::size_t{word_bytes}) != 0;
      };
      std::int64_t begin = 0, end = count;
      while (!differs(begin)) ++begin;
      while (!differs(end - 1)) --end;
      std::memcpy(to, from, bytes);
      changes(at(0), first + begin, end - begin);
    }
  }

  std::vector<std::int64_t> words_{0};  // of 8 bytes each, for alignment
  std::vector<std::int64_t> next_;      // where a reset needs a larger one
};

}  // namespace folio
