// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores 8-bit integers with one scale per row.

#include "caches.hpp"
#include "make_host_cache.hpp"

namespace serve {

std::unique_ptr<PagedCache> make_int8_cache(CacheRequest const& request) {
  return make_host_cache<folio::Int8PerToken>(request);
}

}  // namespace serve
