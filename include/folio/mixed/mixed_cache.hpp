// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Which precision has a token? Sinks and the newest tokens are in one cache, older ones in another that takes less
// memory. Host only.

#include <algorithm>
#include <cstdint>
#include <folio/kv_cache.hpp>
#include <folio/mixed/mixed_batch.hpp>
#include <folio/mixed/mixed_sequence.hpp>
#include <folio/ops/seal.hpp>
#include <initializer_list>
#include <limits>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

namespace folio {

/// What is known only at run time.
struct MixedConfig {
  CacheConfig hot = {}, cold = {};  ///< each cache's memory; what the model leaves dynamic is given to both
  std::int32_t sinks = 0;           ///< tokens at the front that are never demoted, rounded up to whole hot blocks
  std::int32_t newest = 0;          ///< the last so many tokens of a sequence are not demoted
};

/// A snapshot of both caches.
struct MixedStats {
  Stats hot, cold;
  std::int64_t num_seals = 0;           ///< calls that demoted something, since the beginning
  std::int64_t num_demoted_tokens = 0;  ///< since the beginning
  std::int64_t bytes_saved = 0;  ///< what the tokens in the cold cache would take in the hot one, less what they take
  std::int32_t newest = 0;       ///< the newest region now
};

/// A cache for one model in two formats, made of two caches: sinks and newest tokens in `Hot`, those between them in
/// `Cold`. (KIVI, arXiv 2402.02750, keeps a tail in f16 so; sinks: StreamingLLM, arXiv 2309.17453.)
///
/// New tokens go to the hot cache. seal() demotes: it reads whole tiles of tokens that have left the newest region,
/// encodes them once into the cold cache, and gives their hot blocks back. Sealed tokens are never encoded again. A
/// step is appended, attended and gathered by the operations of mixed_ops.hpp; attention is exact over what both caches
/// decode. How a prompt was cut into steps and seals decides which tokens a query met in which format.
///
/// `Hot` and `Cold` are KvCache types of the same model, with any layouts, block sizes and allocators that the host
/// reads. `Hot` stores keys and values in 16 bits or more; neither keeps prefixes. Models whose layers have windows are
/// refused: their windows bound memory already. Tokens are demoted in units of `tile` tokens, the least number that is
/// whole blocks in both caches. Host only, not thread-safe: one owner thread; sealing shares its work over threads.
template <class Hot, class Cold>
class MixedCache {
  static_assert(std::is_same_v<typename Hot::ModelType, typename Cold::ModelType>,
                "folio::MixedCache: both caches are for the same model");
  static_assert(!Hot::has_prefixes && !Cold::has_prefixes,
                "folio::MixedCache: tokens move from cache to cache, so that neither can keep prefixes: take the "
                "eviction policy out of both");
  [[nodiscard]] static constexpr bool has_window() {
    for (int g = 0; g < Hot::num_groups; ++g)
      if (Hot::model.groups[g].window != 0) return true;
    return false;
  }
  static_assert(!has_window(),
                "folio::MixedCache: a layer with a window gives old tokens back and needs no second precision: serve "
                "models that have such layers from one cache");

 public:
  using HotCache = Hot;
  using ColdCache = Cold;
  using Batch = MixedBatch<Hot, Cold>;
  using View = typename Batch::View;
  static constexpr ModelConfig model = Hot::model;

  /// As a number of accepted tokens: every one.
  static constexpr std::int32_t all_tokens = std::numeric_limits<std::int32_t>::max();
  /// Tokens are demoted in multiples of this.
  static constexpr std::int32_t tile = [] {
    std::int32_t common = 1;
    for (int g = 0; g < Hot::num_groups; ++g)
      common = std::lcm(std::lcm(common, Hot::Blocks::block_size(g)), Cold::Blocks::block_size(g));
    return common;
  }();

  /// Allocates the blocks of both caches. Throws as KvCache does, and Error for negative numbers of tokens.
  explicit MixedCache(MixedConfig const& config, typename Hot::Allocator hot_allocator = {},
                      typename Cold::Allocator cold_allocator = {})
      : sinks_(whole_blocks(config.sinks)),
        newest_(checked("MixedConfig::newest", config.newest)),
        hot_(config.hot, std::move(hot_allocator)),
        cold_(config.cold, std::move(cold_allocator)),
        hot_step_(hot_.state()),
        cold_step_(cold_.state()) {
    for (int g = 0; g < Hot::num_groups; ++g)
      if (hot_.shape(g).layers != cold_.shape(g).layers || hot_.shape(g).kv_heads != cold_.shape(g).kv_heads)
        throw Error("folio: the hot and the cold cache of a MixedCache need the same layers and kv heads");
  }

  /// A new sequence without tokens, or with slots for some.
  [[nodiscard]] MixedSequence create() {
    Sequence hot = hot_.create();
    return {std::move(hot), cold_.create(), sinks_, cut_};
  }
  [[nodiscard]] MixedSequence create(std::int32_t num_tokens) {
    MixedSequence sequence = create();
    sequence.append(num_tokens);
    return sequence;
  }

  /// The tables of a step over these sequences, in this order. Throws Error as KvCache::batch does, and for query
  /// tokens that are sealed.
  [[nodiscard]] Batch batch(std::span<MixedItem const> items, BatchPadding const& padding = {}) const {
    Batch tables(hot_, cold_);
    tables.fill(hot_, cold_, items, sinks_, padding);
    return tables;
  }
  [[nodiscard]] Batch batch(std::initializer_list<MixedItem> items, BatchPadding const& padding = {}) const {
    return batch(std::span(items.begin(), items.size()), padding);
  }
  /// The same into an existing batch of this cache, whose memory is used again.
  void batch(std::span<MixedItem const> items, Batch& tables, BatchPadding const& padding = {}) const {
    tables.fill(hot_, cold_, items, sinks_, padding);
  }

  /// How many tokens seal() would demote: whole tiles of those that are accepted and have left the newest region.
  [[nodiscard]] std::int32_t num_due(MixedSequence const& sequence, std::int32_t num_accepted = all_tokens) const {
    std::int32_t const newest = std::max(0, sequence.num_tokens() - newest_);
    std::int32_t const due = std::min(num_accepted, newest) - (sinks_ + sequence.num_demoted());
    return due <= 0 ? 0 : due / tile * tile;
  }

  /// Demotes what is due, once for good, in all layers. `num_accepted`: tokens from there on may yet be taken back
  /// (speculative decoding) and stay. The keys and values of the tokens must be written. Returns how many tokens moved.
  ///
  /// Throws OutOfBlocks when the cold cache has too few blocks, and Error for another cache's sequence; nothing is
  /// changed then. Cost: num_due() tokens decoded and encoded in every layer, shared over `threads`; nothing but a few
  /// comparisons where nothing is due. Call it behind each step.
  std::int32_t seal(MixedSequence& sequence, std::int32_t num_accepted = all_tokens, ThreadPool* threads = nullptr) {
    std::int32_t const due = num_due(sequence, num_accepted), before = sequence.num_demoted();
    if (sequence.hot().store() != &hot_.state()->store || sequence.cold().store() != &cold_.state()->store)
      throw Error("folio: seal needs a sequence of this cache");
    if (due == 0) return 0;
    sequence.cold_.append(due);
    try {
      encode(sequence, before, due, threads);
    } catch (...) {
      sequence.cold_.truncate(before);
      throw;
    }
    sequence.hot_.erase(sinks_, due);
    ++num_seals_;
    num_demoted_tokens_ += due;
    return due;
  }

  /// Makes the newest region larger or smaller, from the next seal on. Sealed tokens stay sealed.
  void set_newest(std::int32_t num_tokens) { newest_ = checked("the newest region", num_tokens); }
  [[nodiscard]] std::int32_t newest() const noexcept { return newest_; }
  [[nodiscard]] std::int32_t sinks() const noexcept { return sinks_; }

  /// The two caches, for their accounting and shapes. Tokens are moved by this class only.
  [[nodiscard]] Hot const& hot() const noexcept { return hot_; }
  [[nodiscard]] Cold const& cold() const noexcept { return cold_; }
  /// The shape of a layer group; its block size is the hot cache's.
  [[nodiscard]] GroupShape const& shape(int group = 0) const { return hot_.shape(group); }
  [[nodiscard]] std::int64_t memory_bytes() const { return hot_.memory_bytes() + cold_.memory_bytes(); }

  /// Gauges and counters. Cost: O(sequences * log).
  [[nodiscard]] MixedStats stats() const {
    MixedStats stats{hot_.stats(), cold_.stats(), num_seals_, num_demoted_tokens_, 0, newest_};
    for (std::size_t g = 0; g < stats.cold.groups.size(); ++g) {
      GroupStats const& cold = stats.cold.groups[g];
      std::int64_t const hot_block_size = hot_.shape(static_cast<int>(g)).block_size;
      stats.bytes_saved += (cold.slots_held - cold.slots_empty) * stats.hot.groups[g].block_bytes / hot_block_size -
                           cold.live * cold.block_bytes;
    }
    return stats;
  }

 private:
  /// Where the cold cache has tiles, sequences are cut between them only.
  static constexpr std::int32_t cut_ =
      is_tile_format<typename Cold::KeyQuantizer> || is_tile_format<typename Cold::ValueQuantizer> ? tile : 1;

  static std::int32_t checked(char const* what, std::int32_t num_tokens) {
    if (num_tokens < 0 || num_tokens > all_tokens / 2)
      throw Error(std::string("folio: ") + what + " has 0 to 1073741823 tokens, not " + std::to_string(num_tokens));
    return num_tokens;
  }
  static std::int32_t whole_blocks(std::int32_t sinks) {
    std::int32_t common = 1;
    for (int g = 0; g < Hot::num_groups; ++g) common = std::lcm(common, Hot::Blocks::block_size(g));
    return (checked("MixedConfig::sinks", sinks) + common - 1) / common * common;
  }

  void encode(MixedSequence const& sequence, std::int32_t before, std::int32_t due, ThreadPool* threads) {
    hot_.batch({{&sequence.hot(), 0}}, hot_step_);
    cold_.batch({{&sequence.cold(), 0}}, cold_step_);
    std::int32_t layers = 0;
    for (int g = 0; g < Hot::num_groups; ++g) layers += hot_.shape(g).layers;
    auto const from = hot_step_.view();
    auto const to = cold_step_.view();
    for (std::int32_t layer = 0; layer < layers; ++layer)
      ops::seal(from, 0, layer, sinks_, due, to, 0, before, threads);
  }

  std::int32_t sinks_, newest_;
  Hot hot_;
  Cold cold_;
  folio::Batch<typename Hot::View> hot_step_;
  folio::Batch<typename Cold::View> cold_step_;
  std::int64_t num_seals_ = 0, num_demoted_tokens_ = 0;
};

}  // namespace folio
