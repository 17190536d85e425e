// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once
// Tenants: whose part of the cache is how large, and what each has of it.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <folio/folio.hpp>
#include <folio/planning.hpp>
#include <memory>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include "caches/paged_cache.hpp"
#include "engine.hpp"
#include "generation.hpp"

namespace serve {

/// Gives each tenant its part of the cache: equal ones, but by the tokens that its requests have and may generate none
/// has less than half of another. Counted in blocks of all groups together.
inline void split_memory(PagedCache& cache, EngineOptions const& options, std::vector<TenantResult>& tenants) {
  std::vector<folio::MemoryClaim> claims;
  for (TenantResult const& tenant : tenants)
    claims.push_back({static_cast<double>(
        std::max<std::int64_t>(1, tenant.prompt_tokens + tenant.requests * options.samples * options.max_tokens))});
  auto const each = static_cast<double>(cache.budget().bytes_of_blocks());
  auto const blocks = folio::fair_split(claims, static_cast<double>(cache.budget().bytes()) / each, 0.5);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    cache.set_weight(static_cast<std::int32_t>(i), blocks[i]);
    tenants[i].bytes_share = static_cast<std::int64_t>(blocks[i] * each);
  }
}

/// What the sequences of each tenant have now: those of `running`.
inline void note_tenants(PagedCache const& cache, EngineOptions const& options,
                         std::span<std::unique_ptr<Generation> const> running, std::vector<TenantResult>& tenants) {
  for (TenantResult& tenant : tenants) tenant.bytes_peak = 0;
  for (std::size_t l = 0; l < cache.budget().shapes.size(); ++l) {
    std::vector<std::set<folio::BlockId>> blocks(tenants.size());
    for (auto const& item : running) {
      auto const& ids = item->sequence.state().lists[l].blocks;
      blocks[static_cast<std::size_t>(item->tenant(options))].insert(ids.begin(), ids.end());
    }
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      blocks[i].erase(folio::null_block);  // given back when it left a window, or of a group without layers
      tenants[i].bytes_peak += static_cast<std::int64_t>(blocks[i].size()) * cache.budget().block_bytes[l];
    }
  }
}

/// What each tenant keeps at the end: of all that is kept as large a part as it has of the blocks.
inline void note_kept(PagedCache const& cache, std::vector<TenantResult>& tenants) {
  std::vector<std::int64_t> blocks;
  for (std::size_t i = 0; i < tenants.size(); ++i)
    blocks.push_back(cache.num_kept_blocks_of(static_cast<std::int32_t>(i)));
  std::int64_t const all = std::accumulate(blocks.begin(), blocks.end(), std::int64_t{0});
  for (std::size_t i = 0; all > 0 && i < blocks.size(); ++i)
    tenants[i].bytes_kept = static_cast<std::int64_t>(static_cast<double>(cache.kept_bytes()) *
                                                      static_cast<double>(blocks[i]) / static_cast<double>(all));
}

}  // namespace serve
