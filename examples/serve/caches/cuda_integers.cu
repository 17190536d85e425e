// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// Caches on a GPU that store integers of 8 and 4 bits.

#include "caches.hpp"
#include "make_cuda_cache.cuh"

namespace serve {

std::unique_ptr<PagedCache> make_cuda_int8_cache(CacheRequest const& request) {
  return make_cuda_cache<CudaHeadDims, folio::Int8PerToken>(request);
}
std::unique_ptr<PagedCache> make_cuda_int4_cache(CacheRequest const& request) {
  return make_cuda_cache<CudaHeadDims, folio::Int4Rotated>(request);
}
std::unique_ptr<PagedCache> make_cuda_k8v4_cache(CacheRequest const& request) {
  return make_cuda_cache<CudaHeadDims, folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>(request);
}

}  // namespace serve
