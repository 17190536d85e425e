// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// What the engine needs of a cache, without the cache's type: one scheduler serves blocks in host memory and on a GPU.

#include <cstdint>
#include <folio/eviction/fair.hpp>
#include <folio/folio.hpp>
#include <folio/prefix/batched_lookup.hpp>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../block_budget.hpp"
#include "../engine.hpp"
#include "../model/llama_config.hpp"
#include "cache_for.hpp"
#include "host_steps.hpp"
#include "stored_rows.hpp"

namespace serve {

/// A folio::KvCache and the attention over it. The engine asks for sequences, grows, forks and releases them, leaves
/// what they have computed for others, and makes each step in two calls: begin_step, and for every layer attend.
class PagedCache {
 public:
  explicit PagedCache(BlockBudget const& budget) : budget_(budget) {}
  PagedCache(PagedCache const&) = delete;
  PagedCache& operator=(PagedCache const&) = delete;
  virtual ~PagedCache() = default;

  [[nodiscard]] BlockBudget const& budget() const { return budget_; }
  /// "host", or "cuda: " and the GPU's name.
  [[nodiscard]] virtual std::string device() const = 0;

  /// A sequence that begins with what the cache has of these tokens, at most all but the last one. What it keeps counts
  /// for `tenant`.
  [[nodiscard]] virtual folio::Sequence create(std::span<std::int32_t const> tokens, std::int32_t tenant) = 0;
  /// Keeps the whole blocks of the tokens of these sequences, which must have been computed, for later ones.
  virtual void keep(std::span<folio::NamedSequence const> sequences) = 0;
  /// What tenants keep is evicted so that what is left is as their weights, as far as they use it.
  virtual void set_weight(std::int32_t tenant, double weight) = 0;
  /// Blocks that are kept for later ones and count for this tenant.
  [[nodiscard]] virtual std::int64_t num_kept_blocks_of(std::int32_t tenant) const = 0;

  /// Demotes what is due of a sequence whose tokens are computed, where the cache does that and has blocks for it.
  /// Whether anything was demoted.
  virtual bool demote(folio::Sequence& sequence) = 0;
  /// What its formats make of rows.
  [[nodiscard]] virtual StoredRows stored_rows() const = 0;
  /// Of the tokens that sequences store now; one that several share counts once.
  [[nodiscard]] virtual double bits_per_element() const = 0;

  // As of folio::KvCache.
  [[nodiscard]] virtual folio::Sequence create() = 0;
  [[nodiscard]] virtual folio::Stats stats() const = 0;
  /// Of blocks that sequences hold.
  [[nodiscard]] virtual std::int64_t live_bytes() const = 0;
  /// Of blocks that no sequence holds, and that are kept for later ones: evicted when a sequence needs them.
  [[nodiscard]] virtual std::int64_t kept_bytes() const = 0;
  [[nodiscard]] virtual std::int64_t memory_bytes() const = 0;
  [[nodiscard]] virtual double bytes_per_token() const = 0;

  /// The tokens that these sequences appended last are the step's queries, in this order.
  virtual void begin_step(std::span<folio::BatchItem const> items) = 0;
  /// Keeps the keys and values of the step's tokens in one layer, [token][kv_head][dim], and writes for each of their
  /// queries [token][head][dim] its attention over the tokens of its own sequence so far. Host memory.
  virtual void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) = 0;

 private:
  BlockBudget budget_;
};

/// What a cache is to be made for.
struct CacheRequest {
  LlamaConfig const& model;
  std::vector<Tokens> const& prompts;
  EngineOptions const& options;
};

/// The caches of serve: prefixes are kept; the least recently used go first, of the tenant that keeps the most for its
/// share.
template <class Built, class... Policies>
using PrefixCache = typename Built::template Cache<folio::FairEviction<folio::LruEviction>, Policies...>;

/// make(built, config) for the request's model, of the head dims `Dims`.
template <class Dims, class Make>
std::unique_ptr<PagedCache> make_paged_cache(CacheRequest const& request, Make const& make) {
  return folio::with_model<Dims, LayerKinds>(
      shape_of(request.model),
      [&](auto built, folio::CacheConfig const& config) -> std::unique_ptr<PagedCache> { return make(built, config); });
}

/// The part of a PagedCache that does not depend on where the blocks are.
template <class Cache>
class PagedCacheOf : public PagedCache {
 public:
  [[nodiscard]] folio::Sequence create(std::span<std::int32_t const> tokens, std::int32_t tenant) override {
    return cache_.create(folio::Prefix(tokens), tenant);
  }
  void keep(std::span<folio::NamedSequence const> sequences) override { folio::insert_all(cache_, sequences); }
  void set_weight(std::int32_t tenant, double weight) override {
    cache_.prefixes().eviction().set_share(tenant, {.weight = weight});
  }
  [[nodiscard]] std::int64_t num_kept_blocks_of(std::int32_t tenant) const override {
    std::int64_t kept = 0;
    for (folio::TenantGauges const& one : cache_.prefix_gauges().tenants)
      kept += one.tenant == tenant ? one.kept_blocks : 0;
    return kept;
  }

  bool demote(folio::Sequence& sequence) override {
    if constexpr (Cache::has_demotion) {
      try {
        return cache_.demote(sequence, folio::all_tokens, threads_) > 0;
      } catch (folio::OutOfBlocks const&) {  // NOLINT(bugprone-empty-catch): it stays as it is until it is asked again
      }
    }
    return false;
  }
  [[nodiscard]] StoredRows stored_rows() const override { return serve::stored_rows(cache_); }
  [[nodiscard]] double bits_per_element() const override {
    double bits = 0, elements = 0;
    folio::Stats const stats = cache_.stats();
    for (std::size_t l = 0; l < stats.groups.size(); ++l) {
      folio::GroupShape const& shape = cache_.shape(static_cast<int>(l));
      auto const filled = static_cast<double>(stats.groups[l].slots_held - stats.groups[l].slots_empty);
      bits += 8.0 * filled * static_cast<double>(stats.groups[l].block_bytes) / shape.block_size;
      elements += filled * shape.layers * shape.kv_heads * (shape.key_dim + shape.value_dim);
    }
    return elements > 0 ? bits / elements : 0.0;
  }

  [[nodiscard]] folio::Sequence create() override { return cache_.create(); }
  [[nodiscard]] folio::Stats stats() const override { return cache_.stats(); }
  [[nodiscard]] std::int64_t live_bytes() const override {
    std::int64_t bytes = 0;
    for (int l = 0; l < Cache::num_lists; ++l) bytes += cache_.num_live_blocks(l) * cache_.block_bytes(l);
    return bytes;
  }
  [[nodiscard]] std::int64_t kept_bytes() const override {
    std::int64_t bytes = 0;
    for (int l = 0; l < Cache::num_lists; ++l) bytes += cache_.num_cached_blocks(l) * cache_.block_bytes(l);
    return bytes;
  }
  [[nodiscard]] std::int64_t memory_bytes() const override { return cache_.memory_bytes(); }
  [[nodiscard]] double bytes_per_token() const override { return cache_.bytes_per_token(); }

 protected:
  /// `config` says the model. Throws BadInput when the longest request alone does not fit.
  PagedCacheOf(CacheRequest const& request, folio::CacheConfig const& config)
      : PagedCache(make_budget(request, config)),
        cache_(with_blocks(request, config, budget().num_blocks)),
        threads_(request.options.threads) {}

  Cache cache_;

 private:
  folio::Executor threads_;

  static BlockBudget make_budget(CacheRequest const& request, folio::CacheConfig const& config) {
    std::vector<std::int64_t> const one_each(std::size_t{Cache::num_lists}, 1);
    folio::CacheSizes const sizes = Cache::sizes(with_blocks(request, config, one_each));
    return {sizes.held, sizes.block_bytes, request.prompts, request.options, std::size_t{Cache::num_groups}};
  }
  static folio::CacheConfig with_blocks(CacheRequest const& request, folio::CacheConfig config,
                                        std::vector<std::int64_t> const& num_blocks) {
    auto const second = num_blocks.begin() + Cache::num_groups;
    config.num_blocks.assign(num_blocks.begin(), second);
    if constexpr (Cache::has_demotion)
      config.demotion = {request.options.sinks, request.options.recent_window, {second, num_blocks.end()}};
    return config;
  }
};

}  // namespace serve
