// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores keys in 8 bits, values in 4.

#include "caches.hpp"
#include "make_host_cache.hpp"

namespace serve {

std::unique_ptr<PagedCache> make_k8v4_cache(CacheRequest const& request) {
  return make_host_cache<folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>(request);
}

}  // namespace serve
