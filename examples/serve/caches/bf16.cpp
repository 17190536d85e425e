// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores bfloat16.

#include "caches.hpp"
#include "make_host_cache.hpp"

namespace serve {

std::unique_ptr<PagedCache> make_bf16_cache(CacheRequest const& request) {
  return make_host_cache<folio::BF16>(request);
}

}  // namespace serve
