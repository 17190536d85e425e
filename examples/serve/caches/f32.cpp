// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// The cache stores 32-bit floats: exact, and what --check compares with.

#include "caches.hpp"
#include "make_host_cache.hpp"

namespace serve {

std::unique_ptr<PagedCache> make_f32_cache(CacheRequest const& request) { return make_host_cache<folio::F32>(request); }

}  // namespace serve
