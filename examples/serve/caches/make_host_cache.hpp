// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "../host_cache.hpp"
#include "caches.hpp"

namespace serve {

template <class... Quantizers>
std::unique_ptr<PagedCache> make_host_cache(CacheRequest const& request) {
  return for_head_dim<PagedCache>(HeadDims(), request.model.head_dim, [&](auto dim) {
    return std::make_unique<HostCache<PrefixCacheFor<dim(), Quantizers...>>>(request);
  });
}

}  // namespace serve
