// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What a measurement needs of a cache, without the cache's type. serve's PagedCache is for schedulers: it hands out
// sequences, and shares prefixes. A Store keeps its sequences to itself, because those of a mixed cache are of a type
// of their own. What both do in a step is serve::HostSteps.

#include <cstdint>
#include <folio/folio.hpp>
#include <folio/thread_pool.hpp>
#include <span>
#include <vector>

#include "caches/host_steps.hpp"
#include "model/llama_config.hpp"

namespace evaluate {

/// What a store is to be made for.
struct StoreRequest {
  serve::LlamaConfig const& model;
  std::int32_t num_sequences = 1;  ///< at most, at once
  std::int32_t max_tokens = 0;     ///< of each of them
  folio::ThreadPool* threads = nullptr;
  serve::OwnTokens own_tokens = serve::OwnTokens::exact;
  std::int32_t step_tokens = 0;  ///< of a sequence, at most; 0: the store's own choice
};

/// A cache, its sequences, and the attention over them. One owner thread. A step is begin_step, and for every layer
/// attend, or append where the attention is known already.
class Store {
 public:
  Store() = default;
  Store(Store const&) = delete;
  Store& operator=(Store const&) = delete;
  virtual ~Store() = default;

  /// What an element of a key or value takes in a full cache: codes, parameters and padding.
  [[nodiscard]] virtual double bits_per_element() const = 0;
  /// The most tokens of a sequence that a step should take.
  [[nodiscard]] virtual std::int32_t step_tokens() const = 0;
  /// Forgets everything and begins `num_sequences` empty sequences.
  virtual void restart(std::int32_t num_sequences) = 0;
  /// Sequence i gets num_new[i] tokens in this step; those that get none take no part in it.
  virtual void begin_step(std::span<std::int32_t const> num_new) = 0;
  /// Keeps the keys and values of the step's tokens in one layer, [token][kv_head][dim].
  virtual void append(std::int32_t layer, float const* k, float const* v) = 0;
  /// Appends them, and writes for each of their
  /// queries [token][head][dim] its attention over the tokens of its own sequence so far.
  virtual void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) = 0;
};

/// A folio::KvCache in host memory.
template <class Cache>
class CacheStore final : public Store {
 public:
  /// `config` says the model.
  CacheStore(StoreRequest const& request, folio::CacheConfig const& config)
      : cache_(with_blocks(request, config)),
        steps_(cache_, request.model.heads, request.own_tokens, request.threads),
        step_tokens_(request.step_tokens > 0 ? request.step_tokens : 128),
        elements_per_token_(2.0 * request.model.layers * request.model.kv_heads * request.model.head_dim) {}

  [[nodiscard]] double bits_per_element() const override { return 8 * cache_.bytes_per_token() / elements_per_token_; }

  [[nodiscard]] std::int32_t step_tokens() const override { return step_tokens_; }

  void restart(std::int32_t num_sequences) override {
    sequences_.clear();
    for (std::int32_t i = 0; i < num_sequences; ++i) sequences_.push_back(cache_.create());
  }

  void begin_step(std::span<std::int32_t const> num_new) override {
    std::vector<folio::BatchItem> items;
    for (std::size_t i = 0; i < num_new.size(); ++i) {
      if (num_new[i] == 0) continue;
      sequences_[i].extend(num_new[i]);
      items.emplace_back(&sequences_[i]);
    }
    steps_.begin(items);
  }

  void append(std::int32_t layer, float const* k, float const* v) override { steps_.append(layer, k, v); }

  void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) override {
    steps_.attend(layer, q, k, v, out);
  }

 private:
  static folio::CacheConfig with_blocks(StoreRequest const& request, folio::CacheConfig config) {
    for (int g = 0; g < Cache::num_groups; ++g)
      config.num_blocks.push_back(request.num_sequences *
                                  folio::blocks_for(request.max_tokens, Cache::Blocks::block_size(g)));
    return config;
  }

  Cache cache_;
  serve::HostSteps<Cache> steps_;
  std::int32_t step_tokens_;
  std::vector<folio::Sequence> sequences_;
  double elements_per_token_;
};

}  // namespace evaluate
