// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Stores in two formats: sinks and newest tokens in f16, the others in fewer bits.

#include <cstdint>
#include <folio/precision/demote.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <folio/thread_pool.hpp>
#include <span>
#include <vector>

#include "bad_input.hpp"
#include "store.hpp"

namespace evaluate {

/// Which tokens stay in f16.
struct Region {
  std::int32_t sinks = 16, recent_window = 64;
};

/// A folio::KvCache that demotes, in host memory. Tokens are demoted after each step, as in an engine.
template <class Cache>
class MixedStore final : public Store {
 public:
  MixedStore(StoreRequest const& request, Region region, folio::CacheConfig const& config)
      : cache_(with_blocks(request, region, config)),
        steps_(cache_, request.model.heads, request.own_tokens, request.threads),
        step_tokens_(request.step_tokens > 0 ? request.step_tokens : 16),
        elements_per_token_(2.0 * request.model.layers * request.model.kv_heads * request.model.head_dim),
        threads_(request.threads) {}

  /// Of the longest sequence so far, sinks and newest tokens included.
  [[nodiscard]] double bits_per_element() const override { return bits_per_element_; }
  /// A prompt that is read in few large steps would meet more of itself in f16 than one that grows token by token.
  [[nodiscard]] std::int32_t step_tokens() const override { return step_tokens_; }

  void restart(std::int32_t num_sequences) override {
    sequences_.clear();
    for (std::int32_t i = 0; i < num_sequences; ++i) sequences_.push_back(cache_.create());
  }

  void begin_step(std::span<std::int32_t const> num_new) override {
    std::vector<folio::BatchItem> items;
    for (std::size_t i = 0; i < num_new.size(); ++i) {
      if (num_new[i] == 0) continue;
      folio::Sequence& sequence = sequences_[i];
      cache_.demote(sequence, sequence.num_tokens(), threads_);
      sequence.extend(num_new[i]);
      items.emplace_back(&sequence);
      note_bits(sequence);
    }
    steps_.begin(items);
  }

  void append(std::int32_t layer, float const* k, float const* v) override { steps_.append(layer, k, v); }

  void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) override {
    steps_.attend(layer, q, k, v, out);
  }

 private:
  static folio::CacheConfig with_blocks(StoreRequest const& request, Region region, folio::CacheConfig config) {
    if (request.model.window < request.max_tokens)
      throw serve::BadInput("The model has a sliding window of " + std::to_string(request.model.window) +
                            " tokens; formats with sinks and tail need a model whose layers see everything: name other "
                            "--formats.");
    using Second = typename Cache::Demotion::template BlocksOf<typename Cache::Blocks>;
    std::int64_t const n = request.num_sequences;
    config.num_blocks = {n * folio::blocks_for(request.max_tokens, Cache::Blocks::block_size(0)), 0};
    config.demotion = {.sinks = region.sinks,
                       .recent_window = region.recent_window,
                       .num_blocks = {n * folio::blocks_for(request.max_tokens, Second::block_size(0))}};
    return config;
  }

  void note_bits(folio::Sequence const& sequence) {
    if (sequence.num_tokens() <= longest_) return;
    longest_ = sequence.num_tokens();
    std::int32_t const demoted = sequence.num_demoted_tokens();
    auto const token_bytes = [&](int list) {
      return static_cast<double>(cache_.block_bytes(list)) / cache_.shape(list).block_size;
    };
    double const bytes = (longest_ - demoted) * token_bytes(0) + demoted * token_bytes(cache_.second_list(0));
    bits_per_element_ = 8 * bytes / (longest_ * elements_per_token_);
  }

  Cache cache_;
  serve::HostSteps<Cache> steps_;
  std::int32_t step_tokens_;
  std::vector<folio::Sequence> sequences_;
  double elements_per_token_, bits_per_element_ = 16;
  std::int32_t longest_ = 0;
  folio::ThreadPool* threads_;
};

}  // namespace evaluate
