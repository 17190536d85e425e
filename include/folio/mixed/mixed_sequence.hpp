// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A sequence in two caches: its sinks and newest tokens in one, those between them in the other. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/sequence.hpp>
#include <limits>
#include <string>
#include <utility>

namespace folio {

/// A sequence of a MixedCache: an owning, movable handle over a sequence of the hot cache and one of the cold cache.
///
/// Tokens are counted as the model counts them. The first `sinks` of them are in the hot sequence, the next
/// num_demoted() in the cold one, and the rest follow in the hot one, right behind the sinks: with d demoted tokens and
/// s sinks, token t is hot token t for t < s, cold token t - s for s <= t < s + d, and hot token t - d from there on.
/// Nothing is demoted but by MixedCache::seal.
///
/// Host only, not thread-safe. Every operation happens whole or changes nothing. As Sequence, it keeps its caches'
/// memory alive; on an empty handle every operation but destruction, assignment, release and `bool` throws Error.
class MixedSequence {
 public:
  MixedSequence() = default;
  /// Made by MixedCache::create. `tile`: the cold sequence is cut at multiples of this only.
  MixedSequence(Sequence hot, Sequence cold, std::int32_t sinks, std::int32_t tile)
      : hot_(std::move(hot)), cold_(std::move(cold)), sinks_(sinks), tile_(tile) {}

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(hot_); }
  [[nodiscard]] std::int32_t num_tokens() const { return hot_.num_tokens() + cold_.num_tokens(); }
  /// Tokens in the cold cache.
  [[nodiscard]] std::int32_t num_demoted() const { return cold_.num_tokens(); }
  /// The first token behind the demoted ones; 0 where none is demoted.
  [[nodiscard]] std::int32_t first_newest() const { return num_demoted() == 0 ? 0 : sinks_ + num_demoted(); }
  /// Sinks: tokens at the front that stay in the hot cache for good.
  [[nodiscard]] std::int32_t num_sinks() const noexcept { return sinks_; }
  [[nodiscard]] std::int32_t num_new_tokens() const { return hot_.num_new_tokens(); }

  /// Slots for `num_tokens` more tokens, in the hot cache. Throws OutOfBlocks, and changes nothing, when it has too few
  /// blocks: seal sequences with a smaller newest region then, or release one.
  void append(std::int32_t num_tokens) {
    check_length(num_tokens);
    hot_.append(num_tokens);
  }
  [[nodiscard]] bool try_append(std::int32_t num_tokens) {
    check_length(num_tokens);
    return hot_.try_append(num_tokens);
  }

  /// A second sequence with the same tokens, whose blocks are shared. What is sealed later is sealed in each of both:
  /// the same bytes twice. Cost: O(blocks).
  [[nodiscard]] MixedSequence fork() const {
    Sequence hot = hot_.fork();
    return {std::move(hot), cold_.fork(), sinks_, tile_};
  }

  /// Keeps the first `num_tokens` tokens. Sealed tokens can be cut, and are never decoded to be sealed again: where the
  /// cold format stores rows by themselves anywhere, else between tiles. Throws Error, and changes nothing, for a
  /// length that there is not, or one inside a tile.
  void truncate(std::int32_t num_tokens) {
    std::int32_t const demoted = num_demoted(), length = this->num_tokens();
    if (num_tokens < 0 || num_tokens > length)
      throw Error("folio: cannot truncate a sequence of " + std::to_string(length) + " tokens to " +
                  std::to_string(num_tokens) + "; give a length from 0 to that");
    if (num_tokens >= first_newest()) return hot_.truncate(num_tokens - demoted);
    std::int32_t const keep = std::max(0, num_tokens - sinks_);
    if (keep % tile_ != 0)
      throw Error("folio: cannot truncate to " + std::to_string(num_tokens) + " tokens: those up to " +
                  std::to_string(sinks_ + demoted) + " are sealed in tiles of " + std::to_string(tile_) +
                  "; truncate to " + std::to_string(num_tokens - keep % tile_) + " or " +
                  std::to_string(num_tokens - keep % tile_ + tile_) + ", or seal accepted tokens only");
    cold_.truncate(keep);  // neither can fail from here on: groups have no windows
    hot_.truncate(std::min(num_tokens, sinks_));
  }

  void release() noexcept {
    hot_.release();
    cold_.release();
  }

  /// Its parts, for batches and statistics.
  [[nodiscard]] Sequence const& hot() const noexcept { return hot_; }
  [[nodiscard]] Sequence const& cold() const noexcept { return cold_; }

 private:
  template <class Hot, class Cold>
  friend class MixedCache;

  void check_length(std::int32_t n) const {
    if (n > std::numeric_limits<std::int32_t>::max() - num_tokens())
      throw Error("folio: cannot append " + std::to_string(n) + " tokens to a sequence of " +
                  std::to_string(num_tokens()) + "; a sequence has at most 2147483647");
  }

  Sequence hot_, cold_;
  std::int32_t sinks_ = 0, tile_ = 1;
};

}  // namespace folio
