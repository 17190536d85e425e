// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "../device_cache.cuh"

namespace serve {

template <class Dims, class... Quantizers>
std::unique_ptr<PagedCache> make_cuda_cache(CacheRequest const& request) {
  return for_head_dim<PagedCache>(Dims(), request.model.head_dim, [&](auto dim) {
    return std::make_unique<DeviceCache<PrefixCacheFor<dim(), Quantizers..., folio::DeviceAllocator>>>(request);
  });
}

}  // namespace serve
