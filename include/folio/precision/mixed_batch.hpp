// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// One step over mixed sequences: the tables of each cache, and the view that the operations take. Host only.

#include <cstdint>
#include <folio/batch.hpp>
#include <folio/precision/layer_parts.hpp>
#include <folio/precision/mixed_sequence.hpp>
#include <folio/view.hpp>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace folio {

/// Both parts of a step's sequences: two ordinary views whose sequence i is the same, with the same query tokens. In
/// `hot` these are the sequence's last tokens, as ever, after its sinks and newest tokens. In `compressed` they are
/// none of its tokens: all of those come before every query, which sees them all (AttentionParams::causal = false).
///
/// Layers of the model `M` that have a window are in neither: `windows` is the view of a plain cache of those layers,
/// with all tokens that the windows keep. A layer's number in a part is layer_in_part's.
template <class Hot, class Compressed, class Windows = NoWindows, class M = typename Hot::ModelType>
struct MixedPrecisionView {
  static constexpr ModelConfig model = M::config;
  static constexpr bool has_windows = !std::is_same_v<Windows, NoWindows>;

  Hot hot;
  Compressed compressed;
  std::int32_t sinks = 0;    ///< tokens before the compressed ones, where a sequence has compressed ones
  bool any_demoted = false;  ///< whether a sequence of the step has
  [[no_unique_address]] Windows windows;

  /// Layers of both parts.
  [[nodiscard]] std::int32_t num_layers() const {
    std::int32_t layers = 0;
    for (int g = 0; g < Hot::num_groups; ++g) layers += hot.group(g).shape.layers;
    if constexpr (has_windows)
      for (int g = 0; g < Windows::num_groups; ++g) layers += windows.group(g).shape.layers;
    return layers;
  }
  [[nodiscard]] std::int32_t num_sequences() const { return hot.num_sequences(); }
  [[nodiscard]] std::int32_t num_query_tokens() const { return hot.num_query_tokens(); }
  [[nodiscard]] std::int32_t query_start(std::int32_t i) const { return hot.query_start(i); }
  /// Tokens of sequence `i`, of both caches.
  [[nodiscard]] std::int32_t num_tokens(std::int32_t i) const { return num_hot(i) + num_demoted(i); }
  [[nodiscard]] std::int32_t num_hot(std::int32_t i) const { return hot.template sequence_in<0>(i, 0).num_tokens(); }
  [[nodiscard]] std::int32_t num_demoted(std::int32_t i) const {
    return compressed.template sequence_in<0>(i, 0).num_tokens();
  }
};

/// One sequence of a step, and how many of its last tokens are queries: none of them may be demoted.
struct MixedPrecisionItem {
  MixedPrecisionItem(MixedPrecisionSequence const* s, std::int32_t queries = BatchItem::last_extension)
      : sequence(s), num_query_tokens(queries) {}

  MixedPrecisionSequence const* sequence;
  std::int32_t num_query_tokens;  ///< BatchItem::last_extension: the tokens of the last append
};

/// A step's tables in all caches. Made by MixedPrecisionCache::batch. As a Batch it is good until it is filled again or
/// goes, and as long as its sequences are not changed. `M`: the whole model; `WindowCache`: NoWindows where it has
/// none.
template <class M, class HotCache, class CompressedCache, class WindowCache>
class MixedPrecisionBatch {
  static constexpr bool has_windows = !std::is_same_v<WindowCache, NoWindows>;

 public:
  using View =
      MixedPrecisionView<typename HotCache::View, typename CompressedCache::View, typename WindowCache::View, M>;

  MixedPrecisionBatch(HotCache const& hot, CompressedCache const& compressed, WindowCache const& windows)
      : hot_(hot.state()), compressed_(compressed.state()), windows_(tables_for(windows)) {}

  /// Writes the tables of `items`, in all caches or, where that is refused or host memory runs out, in none. Throws
  /// Error as KvCache::batch does, and for query tokens that are demoted.
  void fill(HotCache& hot, CompressedCache& compressed, WindowCache& windows, std::span<MixedPrecisionItem const> items,
            std::int32_t sinks, BatchPadding const& padding = {}) {
    hot_items_.clear();
    compressed_items_.clear();
    window_items_.clear();
    bool any_demoted = false;
    for (MixedPrecisionItem const& item : items) {
      if (item.sequence == nullptr || !*item.sequence)
        throw Error("folio: a batch item is an empty MixedPrecisionSequence");
      std::int32_t const queries = checked_queries(item);
      hot_items_.emplace_back(&item.sequence->hot(), queries);
      compressed_items_.emplace_back(&item.sequence->compressed(), 0);
      window_items_.emplace_back(&item.sequence->windows(), queries);
      any_demoted = any_demoted || item.sequence->num_demoted() > 0;
    }
    BatchPadding const compressed_padding{.num_sequences = padding.num_sequences, .row_blocks = padding.row_blocks};
    if constexpr (has_windows)
      detail::with_groups_of(M::config, LayerPart::with_window,
                             [&] { windows_.prepare(windows.state()->store, window_items_, padding); });
    hot_.prepare(hot.state()->store, hot_items_, padding);
    compressed_.prepare(compressed.state()->store, compressed_items_, compressed_padding);
    // Nothing fails from here on.
    if constexpr (has_windows) windows.batch(window_items_, windows_, padding);
    hot.batch(hot_items_, hot_, padding);
    compressed.batch(compressed_items_, compressed_, compressed_padding);
    any_demoted_ = any_demoted;
    sinks_ = sinks;
  }

  [[nodiscard]] View view() const {
    using Compressed = typename CompressedCache::View;
    Compressed const tables = compressed_.view();
    GroupTable groups[std::size_t{Compressed::num_groups}];
    for (int g = 0; g < Compressed::num_groups; ++g) groups[g] = tables.group(g);
    return {hot_.view(),
            Compressed(groups, compressed_.end_positions().data(), hot_.query_starts().data(), hot_.num_sequences(),
                       hot_.num_query_tokens()),
            sinks_, any_demoted_, window_view()};
  }

  [[nodiscard]] Batch<typename HotCache::View> const& hot() const noexcept { return hot_; }
  [[nodiscard]] Batch<typename CompressedCache::View> const& compressed() const noexcept { return compressed_; }
  [[nodiscard]] auto const& windows() const noexcept requires has_windows { return windows_; }

 private:
  using WindowTables = std::conditional_t<has_windows, Batch<typename WindowCache::View>, NoWindows>;
  static WindowTables tables_for([[maybe_unused]] WindowCache const& windows) {
    if constexpr (has_windows)
      return WindowTables(windows.state());
    else
      return {};
  }
  [[nodiscard]] typename WindowCache::View window_view() const {
    if constexpr (has_windows)
      return windows_.view();
    else
      return {};
  }

  /// How many queries: the same in every cache. A demotion may have left fewer new tokens in the hot one than windows
  /// have.
  static std::int32_t checked_queries(MixedPrecisionItem const& item) {
    MixedPrecisionSequence const& s = *item.sequence;
    bool const last = item.num_query_tokens == BatchItem::last_extension;
    std::int32_t const n = last ? s.num_new_tokens() : item.num_query_tokens;
    if (s.num_demoted() > 0 && n > s.num_tokens() - s.first_newest())
      throw Error("folio: " + std::to_string(n) + " query tokens of a mixed sequence reach into its demoted tokens, " +
                  "which end at " + std::to_string(s.first_newest()) + " of " + std::to_string(s.num_tokens()) +
                  "; take fewer, or demote after the step");
    return n;
  }

  Batch<typename HotCache::View> hot_;
  Batch<typename CompressedCache::View> compressed_;
  [[no_unique_address]] WindowTables windows_;
  std::vector<BatchItem> hot_items_, compressed_items_, window_items_;
  std::int32_t sinks_ = 0;
  bool any_demoted_ = false;
};

}  // namespace folio
