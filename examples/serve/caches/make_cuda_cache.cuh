// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "device_cache.cuh"

namespace serve {

template <class Dims, class... Quantizers>
std::unique_ptr<PagedCache> make_cuda_cache(CacheRequest const& request) {
  return make_paged_cache<Dims>(request, [&]<class Built>(Built, folio::CacheConfig const& config) {
    return std::make_unique<DeviceCache<PrefixCache<Built, Quantizers..., folio::DeviceAllocator>>>(request, config);
  });
}

}  // namespace serve
