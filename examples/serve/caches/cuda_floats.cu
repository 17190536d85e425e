// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Caches on a GPU that store floats.

#include "caches.hpp"
#include "make_cuda_cache.cuh"

namespace serve {

std::unique_ptr<PagedCache> make_cuda_f32_cache(CacheRequest const& request) {
  return make_cuda_cache<CudaHeadDims, folio::F32>(request);
}
std::unique_ptr<PagedCache> make_cuda_f16_cache(CacheRequest const& request) {
  return make_cuda_cache<CudaHeadDims, folio::F16>(request);
}

}  // namespace serve
