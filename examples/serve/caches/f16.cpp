// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores 16-bit floats.

#include "caches.hpp"
#include "make_host_cache.hpp"

namespace serve {

std::unique_ptr<PagedCache> make_f16_cache(CacheRequest const& request) { return make_host_cache<folio::F16>(request); }

}  // namespace serve
