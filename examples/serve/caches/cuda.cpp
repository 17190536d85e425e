// SPDX-FileCopyrightText: 2026 The Folio Authors
// SPDX-License-Identifier: Apache-2.0
// serve in a build with CUDA: is there a GPU, and which caches can be in its memory?

#include <folio/cuda_runtime.cuh>

#include "caches.hpp"

namespace serve {

CudaSupport cuda_support() {
  std::string why = folio::no_cuda_device_because();
  if (!why.empty()) why += "; run it where there is an NVIDIA GPU with its driver, or take --device host";
  return {why, cuda_caches()};
}

std::string cuda_device_name() {
  int device = 0;
  folio::check_cuda(cudaGetDevice(&device), "asking for the current device");
  cudaDeviceProp properties{};
  folio::check_cuda(cudaGetDeviceProperties(&properties, device), "asking for a device's properties");
  return properties.name;
}

}  // namespace serve
