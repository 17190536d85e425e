// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Serves a trace from the real prefix tree, without the bytes of blocks, and counts what was found.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <folio/detail/sequence_store.hpp>
#include <folio/eviction/none.hpp>
#include <folio/prefix/prefix_index.hpp>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "trace.hpp"

namespace folio::bench {

/// What a replay found.
struct ReplayResult {
  std::int64_t hit_blocks = 0, total_blocks = 0, evictions = 0, requests = 0;
  double seconds = 0;                                ///< of the whole replay
  std::vector<float> match_us, insert_us, evict_us;  ///< of each operation
  [[nodiscard]] double hit_rate() const {
    return total_blocks == 0 ? 0 : static_cast<double>(hit_blocks) / static_cast<double>(total_blocks);
  }
};

/// A cache of `capacity_blocks` blocks of `block_size` tokens, without memory, and its prefix tree.
template <class Policy>
class Replay {
 public:
  using Tree = PrefixIndex<Policy>;

  /// The capacity is of what is kept; the request that is being served, of at most `longest` blocks, comes on top.
  Replay(std::int64_t capacity_blocks, std::int64_t longest, std::int32_t block_size)
      : capacity_blocks_(capacity_blocks),
        block_size_(block_size),
        blocks_{capacity_blocks + longest},
        store_({shape(block_size)}, blocks_, copies_),
        tree_(store_.pools(), std::vector<std::int64_t>{std::int64_t{block_size} * 2048},
              KeySecret()) {  // so that a policy that samples keys does the same in each run
    if (Tree::evicts) store_.set_reclaimer(&tree_);
  }
  Replay(Replay const&) = delete;
  Replay& operator=(Replay const&) = delete;
  ~Replay() { store_.release_all(); }
  [[nodiscard]] Tree& tree() { return tree_; }

  /// Serves the requests one after the other: each finds its prefix, takes blocks for the rest, is kept and goes;
  /// then what is more than the capacity is evicted, of the new blocks as of the old.
  [[nodiscard]] ReplayResult run(Trace const& trace) {
    ReplayResult result;
    auto const start = Clock::now();
    for (std::size_t i = 0; i < trace.size(); ++i) {
      if constexpr (requires { tree_.eviction().set_request(0); })
        tree_.eviction().set_request(static_cast<std::int32_t>(i));
      tree_.set_time(trace[i].seconds);
      serve(trace[i], result);
    }
    result.seconds = microseconds_since(start) * 1e-6;
    result.requests = static_cast<std::int64_t>(trace.size());
    result.evictions = tree_.counters().evicted_units;
    return result;
  }

 private:
  using Clock = std::chrono::steady_clock;
  static double microseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
  }
  static GroupShape shape(std::int32_t block_size) {
    GroupShape shape;
    shape.kind = AttentionKind::full;
    shape.block_size = block_size;
    return shape;
  }

  void serve(Request const& request, ReplayResult& result) {
    auto const blocks = static_cast<std::int64_t>(request.ids.size());
    auto const size = static_cast<std::int32_t>(blocks * block_size_);
    symbols_.resize(static_cast<std::size_t>(size));
    for (std::size_t b = 0; b < request.ids.size(); ++b)
      std::fill_n(symbols_.begin() + static_cast<std::ptrdiff_t>(b * static_cast<std::size_t>(block_size_)),
                  block_size_, request.ids[b]);
    SequenceState& state = store_.create();
    auto start = Clock::now();
    tree_.take(tree_.find(0, symbols_, size), state, symbols_);
    result.match_us.push_back(static_cast<float>(microseconds_since(start)));
    result.hit_blocks += state.num_tokens / block_size_;
    result.total_blocks += blocks;
    if (!store_.try_extend(state, size - state.num_tokens)) throw Error("the replay's pool is too small");
    start = Clock::now();
    tree_.insert(state, 0, std::span<std::int32_t const>(symbols_).first(kept_of(symbols_.size())));
    result.insert_us.push_back(static_cast<float>(microseconds_since(start)));
    store_.release(state);
    while (store_.pool(0).num_cached() > capacity_blocks_) {
      start = Clock::now();
      if (!tree_.evict_unit()) throw Error("the replay's cache has nothing to evict");
      result.evict_us.push_back(static_cast<float>(microseconds_since(start)));
    }
  }

  /// Where nothing is evicted, what does not fit is not kept. The request's own blocks are not counted as cached.
  [[nodiscard]] std::size_t kept_of(std::size_t num_tokens) const {
    if (!std::is_same_v<Policy, NoEviction>) return num_tokens;
    auto const room = static_cast<std::size_t>((capacity_blocks_ - store_.pool(0).num_cached()) * block_size_);
    return std::min(num_tokens, room);
  }

  std::int64_t capacity_blocks_;
  std::int32_t block_size_;
  std::vector<std::int64_t> blocks_;
  NoCopies copies_;
  SequenceStore store_;
  Tree tree_;
  std::vector<std::int32_t> symbols_;
};

}  // namespace folio::bench
