// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores 8-bit floats.

#include "caches.hpp"
#include "make_host_cache.hpp"

namespace serve {

std::unique_ptr<PagedCache> make_fp8_cache(CacheRequest const& request) {
  return make_host_cache<folio::Fp8E4M3>(request);
}

}  // namespace serve
