// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Random programs of sequences whose blocks are moved out when they go, beside a model that knows what each block
// holds: a number, in every byte. For any memory: the driver says how blocks are filled, and who makes what is due.

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <deque>
#include <folio/kv_cache.hpp>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/random.hpp"

namespace folio::test {

/// Driver: `Cache& cache`; `std::byte* memory(bytes)`, to move out to; `upload(items)`; `flush()`;
/// `fill(pointer, bytes, value)`, after the last upload; `wait()`, for all that was launched.
template <class Driver>
class MovesProgram {
 public:
  using Cache = typename Driver::Cache;

  MovesProgram(Driver& driver, std::uint32_t seed, std::int64_t num_places)
      : driver_(driver), cache_(driver.cache), random_(seed) {
    for (int l = 0; l < Cache::num_lists; ++l) largest_ = std::max(largest_, cache_.block_bytes(l));
    for (std::int64_t i = 0; i < num_places; ++i) places_.push_back(driver_.memory(largest_));
    cache_.moves().reserve_out(num_places);
    driver_.upload({});
    for (int l = 0; l < Cache::num_lists; ++l)
      for (std::int32_t b = 1; b <= cache_.num_blocks(l); ++b) fill(l, BlockId{b});
  }

  void run(int num_operations) {
    for (int i = 0; i < num_operations; ++i) {
      switch (below(random_, 10)) {
        case 0:
        case 1:
          create();
          break;
        case 2:
        case 3:
        case 4:
          extend();
          break;
        case 5:
        case 6:
          release();
          break;
        case 7:
          upload();
          break;
        case 8:
          driver_.flush();
          break;
        default:
          below(random_, 4) == 0 ? cancel() : look();
      }
    }
    driver_.flush();
    driver_.wait();
    REQUIRE(cache_.moves().due().empty());
    REQUIRE(cache_.moves().passed() == cache_.moves().issued());
    look();
    REQUIRE(moved_.empty());
    for (int l = 0; l < Cache::num_lists; ++l)
      for (std::int32_t b = 1; b <= cache_.num_blocks(l); ++b) check(address(l, BlockId{b}), l, holds_[{l, b}]);
  }

  /// Moves out whose bytes were looked at; blocks that were copied on write; moves of a block that was given out again
  /// before an upload made them.
  [[nodiscard]] int num_checked() const { return num_checked_; }
  [[nodiscard]] int num_copies() const { return num_copies_; }
  [[nodiscard]] int num_reused() const { return num_reused_; }

 private:
  struct Moved {
    std::int64_t tick;
    int list;
    int number;
    std::byte* place;
  };
  using Blocks = std::vector<std::vector<BlockId>>;

  [[nodiscard]] std::byte* address(int l, BlockId b) const {
    return cache_.pool(l) + to_int(b) * cache_.block_bytes(l);
  }
  void fill(int l, BlockId b) {
    int const number = number_++ % 251;
    driver_.fill(address(l, b), cache_.block_bytes(l), number);
    holds_[{l, to_int(b)}] = number;
  }
  void check(std::byte const* memory, int l, int number) {
    std::vector<std::byte> const bytes = driver_.read(memory, cache_.block_bytes(l));
    bool const same =
        std::all_of(bytes.begin(), bytes.end(), [&](std::byte b) { return static_cast<int>(b) == number; });
    REQUIRE(same);
  }
  [[nodiscard]] static Blocks blocks_of(Sequence const& s) {
    Blocks all;
    for (int l = 0; l < Cache::num_lists; ++l) all.emplace_back(s.blocks(l).begin(), s.blocks(l).end());
    return all;
  }

  void create() {
    if (sequences_.size() == 4) return;
    Sequence s = cache_.create();
    if (s.try_extend(1 + below(random_, 11))) sequences_.push_back(std::move(s));
    note_reuse();
  }
  /// Of a fork, half of the time: then the last block of each list is copied where it is partly filled.
  void extend() {
    if (sequences_.empty()) return;
    std::size_t i = pick();
    if (below(random_, 2) == 0 && sequences_.size() < 4) {
      sequences_.push_back(sequences_[i].fork());
      if (below(random_, 2) == 0) i = sequences_.size() - 1;
    }
    Blocks const before = blocks_of(sequences_[i]);
    if (!sequences_[i].try_extend(1 + below(random_, 5))) return;
    Blocks const after = blocks_of(sequences_[i]);
    for (int l = 0; l < Cache::num_lists; ++l) {
      auto const &old = before[static_cast<std::size_t>(l)], &now = after[static_cast<std::size_t>(l)];
      if (old.empty() || now.size() < old.size() || now[old.size() - 1] == old.back() || old.back() == null_block ||
          now[old.size() - 1] == null_block)
        continue;
      holds_[{l, to_int(now[old.size() - 1])}] = holds_[{l, to_int(old.back())}];
      ++num_copies_;
    }
    note_reuse();
  }
  /// As a prefix that is evicted: each block is moved out as long as there are places, and given back at once.
  void release() {
    if (sequences_.empty()) return;
    std::size_t const i = pick();
    Blocks const all = blocks_of(sequences_[i]);
    for (int l = 0; l < Cache::num_lists; ++l)
      for (BlockId const b : all[static_cast<std::size_t>(l)])
        if (b != null_block && !places_.empty()) {
          std::byte* const place = places_.front();
          places_.pop_front();
          std::int64_t const tick = cache_.moves().move_out(l, b, place);
          REQUIRE(tick >= cache_.moves().issued());
          moved_.push_back({tick, l, holds_[{l, to_int(b)}], place});
        }
    if (below(random_, 5) != 0) sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  /// A step: some of the sequences, and kernels that write blocks which nobody else has.
  void upload() {
    std::vector<BatchItem> items;
    for (Sequence const& s : sequences_) items.emplace_back(&s, 0);
    driver_.upload(items);
    for (Sequence const& s : sequences_)
      for (int l = 0; l < Cache::num_lists; ++l)
        for (BlockId const b : s.blocks(l))
          if (b != null_block && cache_.state()->store.pool(l).ref_count(b) == 1 && below(random_, 2) == 0) fill(l, b);
  }
  /// Takes some moves back that no upload has made.
  void cancel() {
    for (auto m = moved_.begin(); m != moved_.end();) {
      if (m->tick <= cache_.moves().issued() || below(random_, 3) != 0) {
        ++m;
        continue;
      }
      cache_.moves().cancel_out(m->place, largest_);
      places_.push_back(m->place);
      m = moved_.erase(m);
    }
  }
  /// Looks at what is there by now.
  void look() {
    std::int64_t const passed = cache_.moves().passed();
    REQUIRE(passed >= passed_);
    REQUIRE(passed <= cache_.moves().issued());
    passed_ = passed;
    for (auto m = moved_.begin(); m != moved_.end();) {
      if (m->tick > passed) {
        ++m;
        continue;
      }
      check(m->place, m->list, m->number);
      ++num_checked_;
      places_.push_back(m->place);
      m = moved_.erase(m);
    }
  }
  /// Counts the blocks that are moved out and have a new owner already.
  void note_reuse() {
    for (BlockMove const& out : cache_.moves().due()) {
      if (!out.is_out()) continue;
      for (BlockMove const& copy : cache_.moves().due())
        num_reused_ += !copy.is_out() && copy.list == out.list && copy.to == out.from ? 1 : 0;
    }
  }

  std::size_t pick() { return static_cast<std::size_t>(below(random_, static_cast<std::int32_t>(sequences_.size()))); }

  Driver& driver_;
  Cache& cache_;
  std::mt19937 random_;
  std::int64_t largest_ = 0;
  std::deque<std::byte*> places_;
  std::map<std::pair<int, std::int32_t>, int> holds_;
  std::vector<Sequence> sequences_;
  std::vector<Moved> moved_;
  std::int64_t passed_ = 0;
  int number_ = 0, num_checked_ = 0, num_copies_ = 0, num_reused_ = 0;
};

}  // namespace folio::test
