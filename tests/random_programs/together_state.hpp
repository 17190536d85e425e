// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What random programs of together_program.hpp are made of: a cache, its sequences and what they should hold, dice, and
// the checks. What is stored is compared bit by bit. What is refused changes nothing.

#include <cstdint>
#include <cstring>
#include <folio/folio.hpp>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "random_programs/together_contents.hpp"
#include "support/random.hpp"

namespace folio::test {

/// Host memory that can be resized in place, and is NaN in every float format until it is written.
struct RoomyMemory {
  static constexpr char const* name = "roomy";
  static constexpr Accessibility accessibility = Accessibility::host;
  static constexpr std::int64_t reserved = 1 << 18;

  std::byte* allocate(std::int64_t bytes, std::int64_t alignment) {
    if (bytes > reserved) throw OutOfMemory(name, bytes, "more than is reserved");
    std::byte* const memory = host.allocate(reserved, alignment);
    std::memset(memory, 0xFF, static_cast<std::size_t>(reserved));
    return memory;
  }
  void deallocate(std::byte* memory, std::int64_t) noexcept { host.deallocate(memory, reserved); }
  void resize(std::byte*, std::int64_t, std::int64_t new_bytes) {
    if (new_bytes > reserved) throw OutOfMemory(name, new_bytes, "more than is reserved");
  }
  HostAllocator host;
};

/// What programs met.
struct TogetherCounts {
  std::int64_t steps = 0, found_exact = 0, found_demoted = 0, evictions = 0, demoted_tokens = 0, canceled = 0, gaps = 0;
  std::int64_t compactions = 0, shared_blocks = 0, refused = 0, out_of_blocks = 0, reserved = 0, resized = 0;
  std::int64_t resized_second = 0, attended = 0, given_positions = 0, given_limits = 0, rewritten = 0;
};

template <class Cache>
class TogetherState {
 protected:
  using Running = TogetherSequence<Cache>;
  static constexpr int num_groups = Cache::num_groups;

  TogetherState(CacheConfig const& config, unsigned seed, TogetherCounts& counts)
      : cache_(config), seed_(seed), random_(seed), counts_(counts) {}

  // ---- what is drawn

  std::int32_t any(std::int32_t n) { return below(random_, n); }
  bool one_in(std::int32_t n) { return any(n) == 0; }
  Running& any_sequence() { return *all_[static_cast<std::size_t>(any(static_cast<std::int32_t>(all_.size())))]; }
  [[noreturn]] void fail(std::string const& what) const {
    throw std::logic_error("seed " + std::to_string(seed_) + ", step " + std::to_string(step_) + ", " + what_ + ": " +
                           what);
  }
  void expect(bool ok, char const* what) const {
    if (!ok) fail(what);
  }

  // ---- what is there

  [[nodiscard]] bool has_window(int g) const { return cache_.shape(g).window != 0; }
  [[nodiscard]] bool has_windows() const {
    for (int g = 0; g < num_groups; ++g)
      if (has_window(g)) return true;
    return false;
  }
  [[nodiscard]] std::int32_t sinks() const { return cache_.sinks(); }
  [[nodiscard]] std::int32_t unit() const { return cache_.demotion_unit(); }
  /// Which blocks every list has, and how many are free, live and cached.
  [[nodiscard]] std::vector<std::int64_t> snapshot() const {
    std::vector<std::int64_t> all;
    for (GroupStats const& list : cache_.stats().groups) all.insert(all.end(), {list.free, list.live, list.cached});
    for (auto const& one : all_) {
      Sequence const& s = one->sequence;
      all.insert(all.end(), {s.num_tokens(), s.num_new_tokens(), s.num_demoted_tokens(), s.num_cached_tokens()});
      for (BlockList const& list : s.state().lists) {
        all.insert(all.end(), {list.num_tokens, list.gap_begin, list.gap_end});
        for (BlockId const block : list.blocks) all.push_back(to_int(block));
      }
    }
    return all;
  }
  /// f(), which throws an Error exactly if it is not `possible`, and nothing has changed then. Returns whether it did
  /// it.
  template <class F>
  bool attempt(bool possible, F const& f) {
    return attempt(possible, !possible, f);
  }
  /// The same, where it is not known of everything whether it is possible.
  template <class F>
  bool attempt(bool is_possible, bool is_impossible, F const& f) {
    auto const before = snapshot();
    try {
      f();
    } catch (Error const& refused) {
      if (is_possible) fail(std::string("refused: ") + refused.what());
      expect(snapshot() == before, "what was refused changed something");
      ++counts_.refused;
      return false;
    }
    expect(!is_impossible, "was not refused");
    return true;
  }

  // ---- what is checked

  /// Every stored token of a sequence that its windows keep.
  void check(Running const& one) {
    Sequence const& s = one.sequence;
    expect(s.num_tokens() == one.length(), "another length");
    expect(s.num_demoted_tokens() == one.num_demoted, "another number of demoted tokens");
    expect(s.num_exact_tokens() == one.num_exact(), "another number of exact tokens");
    for (int g = 0; g < num_groups; ++g) {
      expect(s.num_stored_tokens(g) == one.num_stored(g) - one.num_demoted_in(g), "another number of stored tokens");
      expect(s.state().lists[g].gap_begin == one.group(g).gap_begin, "the gap begins elsewhere");
      expect(s.state().lists[g].gap_end == one.group(g).gap_end, "the gap ends elsewhere");
    }
    if (one.length() == 0) return;
    cache_.batch({{&s}}, read_batch_);
    for (std::int32_t layer = 0; layer < Cache::model.layers; ++layer) {
      GroupShape const& shape = cache_.shape(contents_.group_of(layer));
      std::int32_t const n = one.num_stored(contents_.group_of(layer));
      std::int32_t const first_in_window =
          shape.window == 0 ? 0 : std::max(0, n - s.num_new_tokens() - shape.window + 1);
      std::int32_t const kept_first = shape.window == 0 ? 0 : std::min(n, shape.sinks);
      check_rows(one, layer, 0, kept_first);
      check_rows(one, layer, std::max(first_in_window, kept_first), n);
    }
  }
  void check_all() {
    for (auto const& one : all_) check(*one);
  }
  void check_rows(Running const& one, std::int32_t layer, std::int32_t first, std::int32_t last) {
    if (first >= last) return;
    LayerRows const wanted = contents_.rows_of(one, layer, first, last);
    LayerRows read{std::vector<float>(wanted.keys.size()), std::vector<float>(wanted.values.size())};
    ops::gather(read_batch_.view(), layer, {0, first, last - first}, read.keys.data(),
                read.values.empty() ? nullptr : read.values.data());
    if (!same_bits(read.keys, wanted.keys)) fail("other keys in layer " + std::to_string(layer));
    if (!same_bits(read.values, wanted.values)) fail("other values in layer " + std::to_string(layer));
  }
  static bool same_bits(std::vector<float> const& a, std::vector<float> const& b) {
    return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
  }
  void check_sums() {
    Stats const stats = cache_.stats();
    for (int l = 0; l < Cache::num_lists; ++l) {
      GroupStats const& list = stats.groups[static_cast<std::size_t>(l)];
      std::set<BlockId> held;
      for (auto const& one : all_)
        for (BlockId const block : one->sequence.state().lists[l].blocks)
          if (block != null_block) held.insert(block);
      expect(list.free + list.live + list.cached == list.total, "free + live + cached is not all");
      expect(list.live == static_cast<std::int64_t>(held.size()) + list.reserved, "live is not what is held");
      expect(list.slots_empty >= 0 && list.slots_empty <= list.slots_held, "more empty slots than there are");
      expect(cache_.num_obtainable_blocks(l) <= list.total, "more blocks can be had than there are");
      counts_.shared_blocks += list.shared;
    }
    expect(stats.num_sequences == static_cast<std::int64_t>(all_.size()), "another number of sequences");
  }

  /// Writes tokens through the view of a batch whose queries they are.
  void write(Running const& one, std::vector<std::int32_t> const& positions, typename Cache::StepView const& view) {
    for (std::int32_t layer = 0; layer < Cache::model.layers; ++layer) {
      LayerRows rows;
      for (std::int32_t const p : positions) {
        LayerRows const token = contents_.written_rows(one.tokens[static_cast<std::size_t>(p)], layer);
        rows.keys.insert(rows.keys.end(), token.keys.begin(), token.keys.end());
        rows.values.insert(rows.values.end(), token.values.begin(), token.values.end());
      }
      ops::append(view, layer, rows.keys.data(), rows.values.empty() ? nullptr : rows.values.data());
    }
  }

  Cache cache_;
  TogetherContents<Cache> contents_{cache_};
  unsigned seed_;
  std::mt19937 random_;
  int step_ = 0;
  char const* what_ = "";  // the operation
  TogetherCounts& counts_;
  std::vector<std::unique_ptr<Running>> all_;

 private:
  Batch<typename Cache::StepView> read_batch_ = cache_.batch(std::span<BatchItem const>{});
};

}  // namespace folio::test
