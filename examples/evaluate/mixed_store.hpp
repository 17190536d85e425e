// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Stores in two formats: sinks and newest tokens in f16, the others in fewer bits.

#include <cstdint>
#include <folio/precision/mixed_cache.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <span>
#include <vector>

#include "bad_input.hpp"
#include "store.hpp"

namespace evaluate {

/// Which tokens stay in f16.
struct Region {
  std::int32_t sinks = 16, recent_window = 64;
};

/// A folio::MixedPrecisionCache in host memory. Tokens are demoted after each step, as in an engine.
template <class Cache>
class MixedStore final : public Store {
 public:
  MixedStore(StoreRequest const& request, Region region)
      : cache_(make_config(request, region)),
        batch_(cache_.batch({})),
        num_query_heads_(request.model.heads),
        elements_per_token_(2.0 * request.model.layers * request.model.kv_heads * request.model.head_dim),
        threads_(request.threads) {}

  /// Of the longest sequence so far, sinks and newest tokens included.
  [[nodiscard]] double bits_per_element() const override { return bits_per_element_; }
  /// A prompt that is read in few large steps would meet more of itself in f16 than one that grows token by token.
  [[nodiscard]] std::int32_t step_tokens() const override { return 16; }

  void restart(std::int32_t num_sequences) override {
    sequences_.clear();
    for (std::int32_t i = 0; i < num_sequences; ++i) sequences_.push_back(cache_.create());
  }

  void begin_step(std::span<std::int32_t const> num_new) override {
    std::vector<folio::MixedPrecisionItem> items;
    for (std::size_t i = 0; i < num_new.size(); ++i) {
      if (num_new[i] == 0) continue;
      folio::MixedPrecisionSequence& sequence = sequences_[i];
      cache_.demote(sequence, sequence.num_tokens(), threads_);
      sequence.extend(num_new[i]);
      items.emplace_back(&sequence);
      note_bits(sequence);
    }
    cache_.batch(items, batch_);
  }

  void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) override {
    folio::ops::append(batch_.view(), layer, k, v, threads_);
    folio::ops::attend(batch_.view(), layer, folio::AttentionIo{q, num_query_heads_, out}, {}, {.threads = threads_});
  }

 private:
  static folio::MixedPrecisionConfig make_config(StoreRequest const& request, Region region) {
    if (request.model.window < request.max_tokens)
      throw serve::BadInput("The model has a sliding window of " + std::to_string(request.model.window) +
                            " tokens; formats with sinks and tail need a model whose layers see everything: name other "
                            "--formats.");
    folio::CacheConfig one;
    one.layers = request.model.layers;
    one.kv_heads = request.model.kv_heads;
    folio::MixedPrecisionConfig config{one, one, region.sinks, region.recent_window};
    std::int32_t const tokens = request.max_tokens + Cache::demotion_granularity;
    config.hot.num_blocks = {request.num_sequences * folio::blocks_for(tokens, Cache::HotCache::Blocks::block_size(0))};
    config.compressed.num_blocks = {request.num_sequences *
                                    folio::blocks_for(tokens, Cache::CompressedCache::Blocks::block_size(0))};
    return config;
  }

  void note_bits(folio::MixedPrecisionSequence const& sequence) {
    if (sequence.num_tokens() <= longest_) return;
    longest_ = sequence.num_tokens();
    std::int32_t const compressed = sequence.num_demoted();
    double const bytes =
        (longest_ - compressed) * cache_.hot().bytes_per_token() + compressed * cache_.compressed().bytes_per_token();
    bits_per_element_ = 8 * bytes / (longest_ * elements_per_token_);
  }

  Cache cache_;
  typename Cache::Batch batch_;
  std::vector<folio::MixedPrecisionSequence> sequences_;
  std::int32_t num_query_heads_;
  double elements_per_token_, bits_per_element_ = 16;
  std::int32_t longest_ = 0;
  folio::ThreadPool* threads_;
};

}  // namespace evaluate
