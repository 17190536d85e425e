// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which precision has a token? Sinks and the newest tokens are in one cache, older ones in another that takes less
// memory. Layers with a window are in a third one. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/kv_cache.hpp>
#include <folio/ops/demote.hpp>
#include <folio/precision/layer_parts.hpp>
#include <folio/precision/mixed_batch.hpp>
#include <folio/precision/mixed_sequence.hpp>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace folio {

/// What is known only at run time.
struct MixedPrecisionConfig {
  /// Each cache's memory, for the layer groups without a window; what the model leaves dynamic is given to each.
  CacheConfig hot = {}, compressed = {};
  std::int32_t sinks = 0;          ///< tokens at the front that are never demoted, rounded up to whole hot blocks
  std::int32_t recent_window = 0;  ///< the last so many tokens of a sequence are not demoted
  CacheConfig windows = {};        ///< the same for the groups with a window, where the model has them
};

/// A snapshot of all caches.
struct MixedPrecisionStats {
  Stats hot, compressed;
  std::int64_t num_demotions = 0;       ///< calls that demoted something, since the beginning
  std::int64_t num_demoted_tokens = 0;  ///< since the beginning
  std::int64_t bytes_saved = 0;         ///< what the demoted tokens would take in the hot cache, less what they take
  std::int32_t recent_window = 0;       ///< the recent window now
  Stats windows = {};                   ///< of the layers with a window; empty where the model has none
};

/// Mixed-precision KV cache: one for one model in two formats, made of two caches: sinks and newest tokens in `Hot`,
/// those between them in `Compressed`. (KIVI, arXiv 2402.02750, keeps a tail in f16 so; sinks: StreamingLLM, arXiv
/// 2309.17453.)
///
/// New tokens go to the hot cache. demote() reads whole tiles of tokens that have left the recent window,
/// encodes them once into the compressed cache, and gives their hot blocks back. Demoted tokens are never encoded
/// again. A step is appended, attended and gathered by the operations of mixed_ops.hpp; attention is exact over what
/// both caches decode. How a prompt was cut into steps and demotions decides which tokens a query met in which format.
///
/// Hybrid models: layers with a window are never demoted, because windows bound their memory already. A plain cache of
/// the hot format holds them, with the same bits and blocks as if it held the model alone. It is beside the other two,
/// which hold only the layers without a window, full and latent; so neither `recent_window` nor `sinks` need cover
/// windows or their sinks, and the compressed cache has no memory for such layers. A model of nothing but windows is
/// refused.
///
/// `Hot` and `Compressed` are KvCache types of the same model, with any layouts, block sizes and allocators that the
/// host reads. `Hot` stores keys and values in 16 bits or more; neither keeps prefixes. Tokens are demoted in units of
/// `demotion_granularity` tokens, the least number that is whole blocks in both caches, of the groups without a window.
/// Groups have their numbers in the model here and in OutOfBlocks, and in each part their own. Host only, not
/// thread-safe: one owner thread; demoting shares its work over threads.
template <class Hot, class Compressed>
class MixedPrecisionCache {
  static_assert(std::is_same_v<typename Hot::ModelType, typename Compressed::ModelType>,
                "folio::MixedPrecisionCache: both caches are for the same model");
  static_assert(
      !Hot::has_prefixes && !Compressed::has_prefixes,
      "folio::MixedPrecisionCache: tokens move from cache to cache, so that neither can keep prefixes: take the "
      "eviction policy out of both");
  static_assert(
      has_part(Hot::model, LayerPart::without_window),
      "folio::MixedPrecisionCache: all layers of this model have a window, which bounds their memory, so that no token "
      "is left to demote: serve it from one cache");

 public:
  static constexpr ModelConfig model = Hot::model;
  static constexpr bool has_windows = has_part(model, LayerPart::with_window);
  /// `Hot` and `Compressed` for the layers without a window, and `Hot` for those with one.
  using HotCache = CachePart<Hot, LayerPart::without_window>;
  using CompressedCache = CachePart<Compressed, LayerPart::without_window>;
  using WindowCache = std::conditional_t<has_windows, CachePart<Hot, LayerPart::with_window>, NoWindows>;
  using Batch = MixedPrecisionBatch<typename Hot::ModelType, HotCache, CompressedCache, WindowCache>;
  using View = typename Batch::View;

  /// As a number of accepted tokens: every one.
  static constexpr std::int32_t all_tokens = std::numeric_limits<std::int32_t>::max();
  /// Tokens are demoted in multiples of this.
  static constexpr std::int32_t demotion_granularity = [] {
    std::int32_t common = 1;
    for (int g = 0; g < HotCache::num_groups; ++g)
      common = std::lcm(std::lcm(common, HotCache::Blocks::block_size(g)), CompressedCache::Blocks::block_size(g));
    return common;
  }();

  /// Allocates the blocks of all caches; layers with a window take a copy of `hot_allocator`. Throws as KvCache does,
  /// and Error for negative numbers of tokens, and for configs that are not for the same layers.
  explicit MixedPrecisionCache(MixedPrecisionConfig const& config, typename Hot::Allocator hot_allocator = {},
                               typename Compressed::Allocator compressed_allocator = {})
      : sinks_(whole_blocks(config.sinks)),
        recent_window_(checked("MixedPrecisionConfig::recent_window", config.recent_window)),
        windows_(make_windows(config, hot_allocator)),
        hot_(part_config(LayerPart::without_window, "hot", config.hot), std::move(hot_allocator)),
        compressed_(part_config(LayerPart::without_window, "compressed", config.compressed),
                    std::move(compressed_allocator)),
        hot_step_(hot_.state()),
        compressed_step_(compressed_.state()) {
    bool alike = true;
    for (int g = 0; g < HotCache::num_groups; ++g)
      alike = alike && hot_.shape(g).layers == compressed_.shape(g).layers &&
              hot_.shape(g).kv_heads == compressed_.shape(g).kv_heads;
    if constexpr (has_windows)
      for (CacheConfig const* const other : {&config.compressed, &config.windows})
        alike = alike && (model.layers != dynamic || other->layers == config.hot.layers) &&
                (model.kv_heads != dynamic || other->kv_heads == config.hot.kv_heads);
    if (!alike) throw Error("folio: the caches of a MixedPrecisionCache need the same layers and kv heads");
  }

  /// A new sequence without tokens, or with slots for some.
  [[nodiscard]] MixedPrecisionSequence create() {
    Sequence hot = hot_.create(), compressed = compressed_.create();
    if constexpr (has_windows)
      return {std::move(hot), std::move(compressed), sinks_, tile_, windows_.create(), &model};
    else
      return {std::move(hot), std::move(compressed), sinks_, tile_};
  }
  [[nodiscard]] MixedPrecisionSequence create(std::int32_t num_tokens) {
    MixedPrecisionSequence sequence = create();
    sequence.extend(num_tokens);
    return sequence;
  }

  /// The tables of a step over these sequences, in this order. Throws Error as KvCache::batch does, and for query
  /// tokens that are demoted.
  [[nodiscard]] Batch batch(std::span<MixedPrecisionItem const> items, BatchPadding const& padding = {}) {
    Batch tables(hot_, compressed_, windows_);
    tables.fill(hot_, compressed_, windows_, items, sinks_, padding);
    return tables;
  }
  [[nodiscard]] Batch batch(std::initializer_list<MixedPrecisionItem> items, BatchPadding const& padding = {}) {
    return batch(std::span(items.begin(), items.size()), padding);
  }
  /// The same into an existing batch of this cache, whose memory is used again.
  void batch(std::span<MixedPrecisionItem const> items, Batch& tables, BatchPadding const& padding = {}) {
    tables.fill(hot_, compressed_, windows_, items, sinks_, padding);
  }

  /// How many tokens demote() would demote: whole tiles of those that are accepted and have left the recent window.
  [[nodiscard]] std::int32_t num_due(MixedPrecisionSequence const& sequence,
                                     std::int32_t num_accepted = all_tokens) const {
    std::int32_t const recent_window = std::max(0, sequence.num_tokens() - recent_window_);
    std::int32_t const due = std::min(num_accepted, recent_window) - (sinks_ + sequence.num_demoted());
    return due <= 0 ? 0 : due / demotion_granularity * demotion_granularity;
  }

  /// Demotes what is due, once for good, in all layers without a window. `num_accepted`: tokens from there on may yet
  /// be taken back (speculative decoding) and stay. The keys and values of the tokens must be written. Returns how many
  /// tokens moved.
  ///
  /// Throws OutOfBlocks when the compressed cache has too few blocks, Error for another cache's sequence,
  /// std::bad_alloc, and what a format throws; nothing is changed then. Cost: num_due() tokens decoded and encoded in
  /// each of these layers, shared over `threads`; nothing but a few comparisons where nothing is due. Call it after
  /// each step.
  std::int32_t demote(MixedPrecisionSequence& sequence, std::int32_t num_accepted = all_tokens, Executor threads = {}) {
    std::int32_t const due = num_due(sequence, num_accepted), before = sequence.num_demoted();
    if (sequence.hot().store() != &hot_.state()->store || sequence.compressed().store() != &compressed_.state()->store)
      throw Error("folio: demote needs a sequence of this cache");
    if (due == 0) return 0;
    Sequence& compressed = sequence.compressed_;
    SequenceStore::Mark const mark = compressed.store_->mark(compressed.state());
    sequence.in_model(LayerPart::without_window, [&] { compressed.extend(due); });
    try {
      encode(sequence, before, due, threads);
    } catch (...) {
      compressed.store_->undo_extend(compressed.own_state(), mark);
      throw;
    }
    sequence.hot_.erase(sinks_, due);
    ++num_demotions_;
    num_demoted_tokens_ += due;
    return due;
  }

  /// Makes the recent window larger or smaller, from the next demotion on. Demoted tokens stay demoted.
  void set_recent_window(std::int32_t num_tokens) { recent_window_ = checked("the recent window", num_tokens); }
  [[nodiscard]] std::int32_t recent_window() const noexcept { return recent_window_; }
  [[nodiscard]] std::int32_t sinks() const noexcept { return sinks_; }

  /// The caches, for their accounting and shapes. Tokens are moved by this class only.
  [[nodiscard]] HotCache const& hot() const noexcept { return hot_; }
  [[nodiscard]] CompressedCache const& compressed() const noexcept { return compressed_; }
  [[nodiscard]] WindowCache const& windows() const noexcept requires has_windows { return windows_; }
  /// The shape of a layer group of the model; its block size is the hot format's.
  [[nodiscard]] GroupShape const& shape(int group = 0) const {
    check_group(group, model.num_groups());
    PartPlace const at = group_in_part(model, group);
    if constexpr (has_windows)
      if (at.part == LayerPart::with_window) return windows_.shape(at.number);
    return hot_.shape(at.number);
  }
  [[nodiscard]] std::int64_t memory_bytes() const {
    std::int64_t bytes = hot_.memory_bytes() + compressed_.memory_bytes();
    if constexpr (has_windows) bytes += windows_.memory_bytes();
    return bytes;
  }

  /// Gauges and counters. Cost: O(sequences * log).
  [[nodiscard]] MixedPrecisionStats stats() const {
    MixedPrecisionStats stats{
        hot_.stats(), compressed_.stats(), num_demotions_, num_demoted_tokens_, 0, recent_window_, {}};
    if constexpr (has_windows) stats.windows = windows_.stats();
    for (std::size_t g = 0; g < stats.compressed.groups.size(); ++g) {
      GroupStats const& compressed = stats.compressed.groups[g];
      std::int64_t const hot_block_size = hot_.shape(static_cast<int>(g)).block_size;
      stats.bytes_saved +=
          (compressed.slots_held - compressed.slots_empty) * stats.hot.groups[g].block_bytes / hot_block_size -
          compressed.live * compressed.block_bytes;
    }
    return stats;
  }

 private:
  /// Where the compressed cache has tiles, sequences are truncated between them only.
  static constexpr std::int32_t tile_ =
      is_tile_format<typename Compressed::KeyQuantizer> || is_tile_format<typename Compressed::ValueQuantizer>
          ? demotion_granularity
          : 1;

  static std::int32_t checked(char const* what, std::int32_t num_tokens) {
    if (num_tokens < 0 || num_tokens > all_tokens / 2)
      throw Error(std::string("folio: ") + what + " has 0 to 1073741823 tokens, not " + std::to_string(num_tokens));
    return num_tokens;
  }
  static std::int32_t whole_blocks(std::int32_t sinks) {
    std::int64_t common = 1;
    for (int g = 0; g < HotCache::num_groups; ++g) common = std::lcm(common, HotCache::Blocks::block_size(g));
    std::int64_t const rounded = (checked("MixedPrecisionConfig::sinks", sinks) + common - 1) / common * common;
    if (rounded > all_tokens)
      throw Error("folio: MixedPrecisionConfig::sinks in whole hot blocks has at most 2147483647 tokens, not " +
                  std::to_string(rounded));
    return static_cast<std::int32_t>(rounded);
  }

  /// `config` for the cache of one part: with the part's layers, and as many groups.
  static CacheConfig part_config(LayerPart part, char const* name, CacheConfig config) {
    if constexpr (has_windows) {
      std::string const words = part == LayerPart::with_window ? "with a window" : "without a window";
      std::size_t const groups = static_cast<std::size_t>(layers_of(model, part).num_groups());
      if (!config.num_blocks.empty() && config.num_blocks.size() != groups)
        throw Error(std::string("folio: MixedPrecisionConfig::") + name + ".num_blocks has " +
                    std::to_string(config.num_blocks.size()) + " entries; the model has " + std::to_string(groups) +
                    " layer groups " + words + ", which need one each");
      if (model.layers != dynamic && config.layers != 0 && config.layers != model.layers)
        throw Error(std::string("folio: MixedPrecisionConfig::") + name + ".layers is " +
                    std::to_string(config.layers) + ", but the model says " + std::to_string(model.layers) +
                    "; leave it 0");
      std::int32_t const all = model.layers != dynamic ? 0 : config.layers;
      config.layers = all > 0 ? num_layers_of(model, part, all) : all;
      if (all > 0 && config.layers == 0)
        throw Error("folio: of " + std::to_string(all) + " layers none is " + words + "; give as many as the model's " +
                    "pattern is long");
    }
    return config;
  }
  static WindowCache make_windows(MixedPrecisionConfig const& config,
                                  [[maybe_unused]] typename Hot::Allocator const& allocator) {
    if constexpr (has_windows) {
      return WindowCache(part_config(LayerPart::with_window, "windows", config.windows), allocator);
    } else {
      if (config.windows.memory_bytes != 0 || !config.windows.num_blocks.empty())
        throw Error("folio: no layer of this model has a window; leave MixedPrecisionConfig::windows empty");
      return {};
    }
  }

  void encode(MixedPrecisionSequence const& sequence, std::int32_t before, std::int32_t due, Executor threads) {
    hot_.batch({{&sequence.hot(), 0}}, hot_step_);
    compressed_.batch({{&sequence.compressed(), 0}}, compressed_step_);
    std::int32_t layers = 0;
    for (int g = 0; g < HotCache::num_groups; ++g) layers += hot_.shape(g).layers;
    auto const from = hot_step_.view();
    auto const to = compressed_step_.view();
    for (std::int32_t layer = 0; layer < layers; ++layer)
      ops::demote(from, layer, {0, sinks_, due}, to, {0, before, due}, threads);
  }

  std::int32_t sinks_, recent_window_;
  [[no_unique_address]] WindowCache windows_;
  HotCache hot_;
  CompressedCache compressed_;
  folio::Batch<typename HotCache::View> hot_step_;
  folio::Batch<typename CompressedCache::View> compressed_step_;
  std::int64_t num_demotions_ = 0, num_demoted_tokens_ = 0;
};

}  // namespace folio
