// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <folio/precision/demote.hpp>
#include <memory>

#include "caches.hpp"
#include "host_cache.hpp"

namespace serve {

template <class Dims, class... Policies>
std::unique_ptr<PagedCache> make_host_cache(CacheRequest const& request) {
  return make_paged_cache<Dims>(request, [&]<class Built>(Built, folio::CacheConfig const& config) {
    return std::make_unique<HostCache<PrefixCache<Built, Policies...>>>(request, config);
  });
}

}  // namespace serve
