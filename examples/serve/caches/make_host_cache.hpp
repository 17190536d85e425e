// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/precision/demote.hpp>
#include <memory>

#include "../host_cache.hpp"
#include "caches.hpp"

namespace serve {

template <class... Quantizers>
std::unique_ptr<PagedCache> make_host_cache(CacheRequest const& request) {
  return make_paged_cache<HeadDims>(request, [&]<class Built>(Built, folio::CacheConfig const& config) {
    return std::make_unique<HostCache<PrefixCache<Built, Quantizers...>>>(request, config);
  });
}

/// The same for a cache that demotes: for fewer head dims, because its operations are those of two formats.
template <class... Policies>
std::unique_ptr<PagedCache> make_demoting_cache(CacheRequest const& request) {
  return make_paged_cache<DemotingHeadDims>(request, [&]<class Built>(Built, folio::CacheConfig const& config) {
    return std::make_unique<HostCache<PrefixCache<Built, Policies...>>>(request, config);
  });
}

}  // namespace serve
