// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What goes wrong, as types that carry the facts. Host only: nothing that a kernel includes throws.

#include <cstdint>
#include <stdexcept>
#include <string>

namespace folio {

/// Bad input or misuse. The message says what was wrong and what would be right; nothing was changed.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Out of blocks: none is free for what was asked. A normal event in a full cache: `try_extend` gives it as a value
/// instead.
class OutOfBlocks : public Error {
 public:
  /// `asked` new blocks of list `group`, of which only `free` were left, and `evictable` held prefixes that could have
  /// been evicted. `what`: "layer group", whose number its list has, or "second list", of what a group demotes.
  OutOfBlocks(int group, std::int64_t asked, std::int64_t free, std::int64_t evictable = 0,
              char const* what = "layer group")
      : Error(std::string("folio: out of blocks in ") + what + " " + std::to_string(group) + ": asked for " +
              std::to_string(asked) + ", free are " + std::to_string(free) +
              (evictable > 0 ? ", evictable " + std::to_string(evictable) + " more" : "") +
              "; release or truncate a sequence, or give the cache more memory"),
        group_(group),
        asked_(asked),
        free_(free),
        evictable_(evictable) {}

  /// The list that is short: a layer group's has its number, and what it demotes KvCache::second_list.
  [[nodiscard]] int group() const noexcept { return group_; }
  [[nodiscard]] std::int64_t asked() const noexcept { return asked_; }
  [[nodiscard]] std::int64_t free() const noexcept { return free_; }
  [[nodiscard]] std::int64_t evictable() const noexcept { return evictable_; }

 private:
  int group_;
  std::int64_t asked_, free_, evictable_;
};

/// Out of memory: the machine gave none for the blocks.
class OutOfMemory : public Error {
 public:
  OutOfMemory(char const* allocator, std::int64_t asked_bytes, std::string const& why)
      : Error(std::string("folio: the ") + allocator + " allocator could not get " + std::to_string(asked_bytes) +
              " bytes: " + why + "; ask for fewer blocks"),
        asked_bytes_(asked_bytes) {}

  [[nodiscard]] std::int64_t asked_bytes() const noexcept { return asked_bytes_; }

 private:
  std::int64_t asked_bytes_;
};

/// For a layer that there is not.
[[nodiscard]] inline Error no_such_layer(std::int32_t layer) {
  return Error("folio: the model has no layer " + std::to_string(layer));
}

/// Throws Error unless `group` is the number of one of `num_groups` layer groups.
inline void check_group(int group, int num_groups) {
  if (group < 0 || group >= num_groups)
    throw Error("folio: the model has no layer group " + std::to_string(group) + "; it has " +
                std::to_string(num_groups) + ", counted from 0");
}

/// Throws Error unless `list` is the number of one of `num_lists` lists: of layer groups, and then of what they demote.
inline void check_list(int list, int num_lists, int num_groups) {
  if (num_lists == num_groups) return check_group(list, num_groups);
  if (list < 0 || list >= num_lists)
    throw Error("folio: the cache has no list " + std::to_string(list) + "; it has " + std::to_string(num_lists) +
                ", counted from 0: those of its " + std::to_string(num_groups) +
                " layer groups, and then those of what they demote");
}

}  // namespace folio
