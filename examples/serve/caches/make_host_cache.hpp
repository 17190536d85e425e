// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

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

}  // namespace serve
