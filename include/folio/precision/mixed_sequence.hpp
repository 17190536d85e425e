// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A sequence in two caches: its sinks and newest tokens in one, those between them in the other; and in a third one for
// layers with a window. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/error.hpp>
#include <folio/precision/layer_parts.hpp>
#include <folio/sequence.hpp>
#include <limits>
#include <string>
#include <utility>

namespace folio {

namespace detail {

/// Runs `f` on one part of a model, whose errors number the part's groups, and says which groups those are.
template <class F>
void with_groups_of(ModelConfig const& model, LayerPart part, F const& f) {
  try {
    f();
  } catch (OutOfBlocks const& full) {
    throw OutOfBlocks(group_of_model(model, part, full.group()), full.asked(), full.free());
  } catch (Error const& error) {
    std::string const what = error.what();
    if (what.find("layer group") == std::string::npos) throw;
    throw Error(what + " (numbered among the groups " + (part == LayerPart::with_window ? "with" : "without") +
                " a window)");
  }
}

}  // namespace detail

/// Mixed-precision sequence, of a MixedPrecisionCache: an owning, movable handle over a sequence of the hot cache and
/// one of the compressed cache.
///
/// Tokens are counted as the model counts them. The first `sinks` of them are in the hot sequence, the next
/// num_demoted() in the compressed one, and the rest follow in the hot one, right after the sinks: with d demoted
/// tokens and s sinks, token t is hot token t for t < s, compressed token t - s for s <= t < s + d, and hot token t - d
/// from there on. Nothing is demoted but by MixedPrecisionCache::demote. Layers with a window have a sequence of their
/// own, in which token t is token t, and which gives back what left the windows as in any cache.
///
/// Host only, not thread-safe. Every operation happens whole or changes nothing. As Sequence, it keeps its caches'
/// memory alive; on an empty handle every operation but destruction, assignment, release and `bool` throws Error.
class MixedPrecisionSequence {
 public:
  MixedPrecisionSequence() = default;
  /// Made by MixedPrecisionCache::create. `tile`: the compressed sequence is truncated to multiples of this only.
  /// `windows`, and the whole model, whose groups errors name: where it has layers with a window.
  MixedPrecisionSequence(Sequence hot, Sequence compressed, std::int32_t sinks, std::int32_t tile,
                         Sequence windows = {}, ModelConfig const* model = nullptr)
      : hot_(std::move(hot)),
        compressed_(std::move(compressed)),
        windows_(std::move(windows)),
        sinks_(sinks),
        tile_(tile),
        model_(model) {}

  [[nodiscard]] explicit operator bool() const noexcept { return static_cast<bool>(hot_); }
  [[nodiscard]] std::int32_t num_tokens() const { return hot_.num_tokens() + compressed_.num_tokens(); }
  /// Tokens in the compressed cache.
  [[nodiscard]] std::int32_t num_demoted() const { return compressed_.num_tokens(); }
  /// The first token after the demoted ones; 0 where none is demoted.
  [[nodiscard]] std::int32_t first_newest() const { return num_demoted() == 0 ? 0 : sinks_ + num_demoted(); }
  /// Sinks: tokens at the front that stay in the hot cache for good.
  [[nodiscard]] std::int32_t num_new_tokens() const { return hot_.num_new_tokens(); }

  /// Slots for `num_tokens` more tokens, in the hot cache and that of the windows. Throws OutOfBlocks, and changes
  /// nothing, when one of them has too few blocks: release a sequence then, or, where it is a group without a window,
  /// demote sequences with a smaller recent window. Likewise std::bad_alloc.
  void extend(std::int32_t num_tokens) {
    if (!prepare_windows(num_tokens)) in_model(LayerPart::with_window, [&] { windows_.extend(num_tokens); });
    in_model(LayerPart::without_window, [&] { hot_.extend(num_tokens); });
    if (windows_) windows_.extend(num_tokens);
  }
  [[nodiscard]] bool try_extend(std::int32_t num_tokens) {
    if (!prepare_windows(num_tokens)) return windows_.try_extend(num_tokens);  // false, and counted
    if (!hot_.try_extend(num_tokens)) return false;
    if (windows_) windows_.extend(num_tokens);
    return true;
  }

  /// A second sequence with the same tokens, whose blocks are shared. What is demoted later is demoted in each of both:
  /// the same bytes twice. Cost: O(blocks).
  [[nodiscard]] MixedPrecisionSequence fork() const {
    Sequence hot = hot_.fork(), compressed = compressed_.fork();
    return {std::move(hot), std::move(compressed), sinks_, tile_, windows_ ? windows_.fork() : Sequence(), model_};
  }

  /// Keeps the first `num_tokens` tokens. Demoted tokens can be truncated, and are never decoded to be demoted again:
  /// where the compressed format stores rows by themselves anywhere, else between tiles. Throws Error, and changes
  /// nothing, for a length that there is not, or one inside a tile, or when a window no longer has what the next token
  /// would see.
  void truncate(std::int32_t num_tokens) {
    std::int32_t const demoted = num_demoted(), length = this->num_tokens();
    if (num_tokens < 0 || num_tokens > length)
      throw Error("folio: cannot truncate a sequence of " + std::to_string(length) + " tokens to " +
                  std::to_string(num_tokens) + "; give a length from 0 to that");
    bool const in_compressed = num_tokens < first_newest();
    std::int32_t const keep = std::max(0, num_tokens - sinks_);
    if (in_compressed && keep % tile_ != 0)
      throw Error("folio: cannot truncate to " + std::to_string(num_tokens) + " tokens: those up to " +
                  std::to_string(sinks_ + demoted) + " are demoted in tiles of " + std::to_string(tile_) +
                  "; truncate to " + std::to_string(num_tokens - keep % tile_) + " or " +
                  std::to_string(num_tokens - keep % tile_ + tile_) + ", or demote accepted tokens only");
    if (windows_) in_model(LayerPart::with_window, [&] { windows_.truncate(num_tokens); });
    if (in_compressed) compressed_.truncate(keep);  // neither can fail from here on: these groups have no windows
    hot_.truncate(in_compressed ? std::min(num_tokens, sinks_) : num_tokens - demoted);
  }

  void release() noexcept {
    hot_.release();
    compressed_.release();
    windows_.release();
  }

  /// Its parts, for batches and statistics.
  [[nodiscard]] Sequence const& hot() const noexcept { return hot_; }
  [[nodiscard]] Sequence const& compressed() const noexcept { return compressed_; }
  /// An empty handle where the model has no layers with a window.
  [[nodiscard]] Sequence const& windows() const noexcept { return windows_; }

 private:
  template <class Hot, class Compressed>
  friend class MixedPrecisionCache;

  void check_length(std::int32_t n) const {
    if (n > std::numeric_limits<std::int32_t>::max() - num_tokens())
      throw Error("folio: cannot append " + std::to_string(n) + " tokens to a sequence of " +
                  std::to_string(num_tokens()) + "; a sequence has at most 2147483647");
  }

  /// Before anything is extended anywhere, because an extension cannot be taken back once a window has moved. False
  /// where blocks are missing; else an extension of the windows cannot fail.
  [[nodiscard]] bool prepare_windows(std::int32_t n) {
    check_length(n);
    if (!windows_) return true;
    SequenceStore const& store = *windows_.store();
    for (int g = 0; g < store.num_groups(); ++g)
      if (windows_.num_blocks_to_extend(n, g) > store.pool(g).num_free()) return false;
    windows_.prepare_extend(n);
    return true;
  }

  template <class F>
  void in_model(LayerPart part, F const& f) const {
    if (model_ == nullptr) return f();
    detail::with_groups_of(*model_, part, f);
  }

  Sequence hot_, compressed_, windows_;
  std::int32_t sinks_ = 0, tile_ = 1;
  ModelConfig const* model_ = nullptr;
};

}  // namespace folio
