// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// A model's steps over a cache in host memory: serve's and evaluate's.

#include <cstdint>
#include <folio/folio.hpp>
#include <folio/precision/mixed_ops.hpp>
#include <optional>
#include <span>
#include <utility>

#include "stored_rows.hpp"

namespace serve {

/// Writes a step's keys and values to a cache, and computes the attention over it, which is planned once a step for all
/// layers. Threads change no bit of it, and where own tokens are read as they are stored, batches and chunks do not
/// either. A cache of f32 stores them exactly: it reads what is stored. The cache outlives it.
template <class Cache>
class HostSteps {
 public:
  HostSteps(Cache& cache, std::int32_t num_query_heads, OwnTokens own_tokens, folio::Executor threads)
      : cache_(cache),
        batch_(cache.batch({})),
        num_query_heads_(num_query_heads),
        own_tokens_(own_tokens_of<Cache>(own_tokens)),
        threads_(threads) {}

  /// The tokens that these sequences got last are the step's queries, in this order.
  void begin(std::span<folio::BatchItem const> items) {
    cache_.batch(items, batch_);
    plan_ = folio::ops::plan_attention(batch_.view(), num_query_heads_, {}, {threads_, &workspace_});
  }

  /// Stores the step's keys and values in one layer, without attention.
  void append(std::int32_t layer, float const* k, float const* v) {
    folio::ops::append(batch_.view(), layer, k, v, threads_);
  }

  void attend(std::int32_t layer, float const* q, float const* k, float const* v, float* out) {
    append(layer, k, v);
    folio::AttentionIo io{q, num_query_heads_, out};
    if (own_tokens_ == OwnTokens::exact) {
      io.k = k;
      io.v = v;
    }
    folio::ops::attend(*plan_, layer, io);
  }

  [[nodiscard]] OwnTokens own_tokens() const { return own_tokens_; }

 private:
  Cache& cache_;
  folio::Batch<typename Cache::View> batch_;
  std::int32_t num_query_heads_;
  OwnTokens own_tokens_;
  folio::Executor threads_;
  folio::AttentionWorkspace workspace_;
  using View = typename Cache::View;
  std::optional<decltype(folio::ops::plan_attention(std::declval<View>(), 1, {}, {}))> plan_;
};

}  // namespace serve
