// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// What serve asks of CUDA, answered by the host runner and the stand-in for the CUDA runtime: with it the whole program
// runs as on a GPU. Only what the bundled model needs is compiled, with few quantizers.

#include <cuda_runtime.h>

#include "caches/caches.hpp"
#include "caches/make_cuda_cache.cuh"

namespace serve {
namespace {

template <class... Quantizers>
std::unique_ptr<PagedCache> make_cache(CacheRequest const& request) {
  return make_cuda_cache<folio::HeadDims<64>, Quantizers...>(request);
}

}  // namespace

CudaSupport cuda_support() {
  static constexpr CacheMaker caches[] = {
      {"f32", make_cache<folio::F32>},
      {"k8v4", make_cache<folio::Keys<folio::Int8PerToken>, folio::Values<folio::Int4Rotated>>}};
  return {{}, caches};
}

std::string cuda_device_name() { return "the host runner"; }

}  // namespace serve
