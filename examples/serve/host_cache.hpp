// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The cache in host memory: the host writes keys and values and computes the attention over them.

#include <cstdint>
#include <folio/folio.hpp>
#include <optional>
#include <span>
#include <string>

#include "paged_cache.hpp"

namespace serve {

/// Batches, chunks and threads change no bit of the attention, which is planned once a step for all layers.
template <class Cache>
class HostCache final : public PagedCacheOf<Cache> {
 public:
  explicit HostCache(CacheRequest const& request)
      : PagedCacheOf<Cache>(request),
        batch_(this->cache_.batch({})),
        num_query_heads_(request.model.heads),
        threads_(request.options.threads) {}

  [[nodiscard]] std::string device() const override { return "host"; }

  void begin_step(std::span<folio::BatchItem const> items) override {
    this->cache_.batch(items, batch_);
    plan_ = folio::ops::plan_attention(batch_.view(), num_query_heads_, {}, {threads_, &workspace_});
  }

  void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) override {
    folio::ops::append(batch_.view(), layer, k, v, threads_);
    folio::ops::attend(*plan_, layer, folio::AttentionIo{q, num_query_heads_, out});
  }

 private:
  folio::Batch<typename Cache::View> batch_;
  std::int32_t num_query_heads_;
  folio::Executor threads_;
  folio::AttentionWorkspace workspace_;
  std::optional<folio::AttentionPlan> plan_;
};

}  // namespace serve
