// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores rotated 4-bit integers.

#include "caches.hpp"
#include "make_host_cache.hpp"

namespace serve {

std::unique_ptr<PagedCache> make_int4_cache(CacheRequest const& request) {
  return make_host_cache<folio::Int4Rotated>(request);
}

}  // namespace serve
