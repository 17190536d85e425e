// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// serve in a build without CUDA.

#include "caches.hpp"

namespace serve {

CudaSupport cuda_support() {
  return {"this serve was built without CUDA; build one with it by cmake --workflow --preset serve-cuda", {}};
}

}  // namespace serve
