// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// The cache in host memory: the host writes keys and values and computes the attention over them.

#include <cstdint>
#include <span>
#include <string>

#include "host_steps.hpp"
#include "paged_cache.hpp"

namespace serve {

template <class Cache>
class HostCache final : public PagedCacheOf<Cache> {
 public:
  HostCache(CacheRequest const& request, folio::CacheConfig const& config)
      : PagedCacheOf<Cache>(request, config),
        steps_(this->cache_, request.model.heads, request.options.own_tokens, request.options.threads) {}

  [[nodiscard]] std::string device() const override { return "host"; }

  [[nodiscard]] StoredRows stored_rows() const override {
    StoredRows rows = PagedCacheOf<Cache>::stored_rows();
    rows.own_tokens = steps_.own_tokens();
    return rows;
  }
  void begin_step(std::span<folio::BatchItem const> items) override { steps_.begin(items); }
  void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) override {
    steps_.attend(layer, q, k, v, out);
  }

 private:
  HostSteps<Cache> steps_;
};

}  // namespace serve
